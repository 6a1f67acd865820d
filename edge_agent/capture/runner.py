"""The runner of one source: goes round its tables, one step at a time, and never works harder than it may.

A pass looks at every included table: what has no snapshot gets one, what has one is scanned for differences.
One table's fault stops that table only; the source's fault ends the pass, to be tried again. Between any two
steps it rests as the duty cycle demands. A pass in which every table was read completely is remembered with
the stream's head: that is what freshness is told from (landing.md §1a).
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from protocol.errors import Fault, Rejected, Transient
from protocol.names import Stream, TableName
from protocol.schema import TableSchema

from ..batching import Seal
from ..sources.settings import FilesSettings, SqlSettings
from ..sources.source import Source, TableInfo, Way
from ..spool.records import Scan as ScanRecord
from ..spool.records import TableState
from ..spool.spool import Spool
from . import snapshot
from .index import IndexDamaged, IndexFiles
from .inventory import inventory_marks
from .phases import Phase
from .ranges import RangeScan
from .scan import Pass, Scan, ScanSettings
from .snapshot import Progress
from .whole import WholeScan
from .writer import StreamWriter

log = logging.getLogger("edge.capture")

RETRY_SECONDS_MAX = 60.0
INVENTORY_SECONDS = 86_400.0
BACKFILL_BACKLOG_BYTES = 8 << 20
"""A snapshot reads on only while less than this waits to be sent: a live change is never far behind."""
_PROGRESS_FACTS = ("snapshot", "reason", "cursor", "batches", "rows", "set_hash", "confirmed")


@dataclass(slots=True)
class TableReport:
    """What `status` says of a table."""

    phase: str = Phase.NEW.value
    rows: int = 0
    rows_estimate: int | None = None
    fault: Fault | None = None


@dataclass(slots=True)
class Report:
    """What `status` says of a source's capture."""

    tables: dict[TableName, TableReport] = field(default_factory=dict)
    fault: Fault | None = None
    paused: bool = False
    last_pass: int | None = None


def is_included(settings: SqlSettings | FilesSettings, name: TableName) -> bool:
    """Whether the operator's list names the table: an include pattern fits, and no exclude pattern."""
    text = str(name)
    return any(fnmatch.fnmatchcase(text, p) for p in settings.include) and not any(
        fnmatch.fnmatchcase(text, p) for p in settings.exclude
    )


class Runner:
    def __init__(
        self,
        *,
        slug: str,
        settings: SqlSettings | FilesSettings,
        open_source: Callable[[], Source],
        spool: Spool,
        stream: Stream,
        seal: Seal,
        files: IndexFiles,
        wall: Callable[[], int],
    ) -> None:
        self.slug = slug
        self.stream = stream
        self.report = Report()
        self._settings = settings
        self._open_source = open_source
        self._spool = spool
        self._seal = seal
        self._files = files
        self._wall = wall
        self.source: Source | None = None
        self._tokens: dict[TableName, str] = {}
        self._wanted_snapshots: set[TableName] = set()
        self._confirmed: set[TableName] = set()
        self._inventory_at: float | None = None
        self._included: frozenset[TableName] = frozenset()
        self._wake = asyncio.Event()
        self._scan = ScanSettings(
            page_rows=settings.page_rows,
            deletion_share_max=settings.deletion_share_max,
            deletion_rows_min=settings.deletion_rows_min,
        )

    # what a person or the centre may ask

    def want_snapshot(self, table: TableName | None) -> None:
        """Read a table (None: all of them) anew, beginning with the next pass."""
        known = [t.table for t in self._spool.tables(self.stream)]
        self._wanted_snapshots |= {table} if table is not None else set(known)
        self._wake.set()

    def confirm(self, table: TableName) -> None:
        """The deletions that a table waits with are meant."""
        self._confirmed.add(table)
        self._wake.set()

    # the loop

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            pause = self._settings.scan_interval_seconds
            try:
                await self._pass()
                self.report.fault, failures = None, 0
            except (Transient, Rejected) as fault:
                self._note_source_fault(fault)
                failures += 1
                pause = min(RETRY_SECONDS_MAX, 2.0**failures)
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                continue

    async def close(self) -> None:
        if self.source is not None:
            await asyncio.to_thread(self.source.close)

    def _note_source_fault(self, fault: Fault) -> None:
        if self.report.fault is None or self.report.fault.code != fault.code:
            log.warning("%s: %s", self.slug, fault)
        self.report.fault = fault

    async def _pass(self) -> None:
        state = self._spool.stream(self.stream)
        if state is None or state.stopped:
            raise Transient(state.stopped if state and state.stopped else "GC-3005", **self._facts_of(state))
        started = self._wall()
        source = await self._opened()
        infos = await asyncio.to_thread(source.inventory)
        included = [info for info in infos if is_included(self._settings, info.name)]
        if not included and not self._spool.tables(self.stream):
            await self._take_inventory(infos, frozenset())
            raise Rejected("GC-2012", source=self.slug)
        await self._take_inventory(infos, frozenset(info.name for info in included))
        complete = True
        for info in included:
            complete = await self._table(source, info) and complete
        complete = await self._missing({info.name for info in infos}) and complete
        if complete:
            self._writer().commit(None, scan=ScanRecord(started))
            self.report.last_pass = started

    def _facts_of(self, state: object) -> dict[str, str | int]:
        epoch = getattr(state, "epoch", 0)
        return {"source": self.slug, "epoch": epoch, "seq": 0}

    async def _opened(self) -> Source:
        if self.source is None:
            self.source = await asyncio.to_thread(self._open_source)
        return self.source

    def _writer(self) -> StreamWriter:
        return StreamWriter(self._spool, self.stream, self._seal, self._wall)

    # one table

    async def _table(self, source: Source, info: TableInfo) -> bool:
        """One pass over one table; False where it could not be completed. Only this table's faults end here."""
        report = self.report.tables.setdefault(info.name, TableReport())
        report.rows_estimate = info.rows_estimate
        try:
            await self._scan_table(source, info.name, report)
        except Rejected as fault:
            if report.fault is None or report.fault.code != fault.code:
                log.warning("%s: %s", self.slug, fault)
            report.fault = fault
            return False
        except IndexDamaged:
            log.warning("%s: index of a table is damaged; it is read anew", self.slug)
            self._tokens.pop(info.name, None)
            schema = await asyncio.to_thread(source.describe, info.name)
            snapshot.begin(self._writer(), schema, "index damaged", keep_index=False, confirmed=False)
            return False
        report.fault = None
        return True

    async def _scan_table(self, source: Source, name: TableName, report: TableReport) -> None:
        token = await asyncio.to_thread(source.token, name)
        quiet = token is not None and token == self._tokens.get(name)
        if quiet and name not in self._wanted_snapshots | self._confirmed and report.phase == Phase.FOLLOW:
            return
        schema = await asyncio.to_thread(source.describe, name)
        one, cursor = self._begin(source, schema)
        report.phase = (Phase.SNAPSHOT if one.snapshot else Phase.FOLLOW).value
        scan: Scan = RangeScan(one, cursor) if source.way(schema) is Way.RANGES else WholeScan(one)
        base = one.progress.rows if one.progress else 0
        while not await self._step(scan, backfill=one.snapshot):
            if one.snapshot:
                report.rows = base + one.read
        if one.progress is not None:
            self._guard_end(one)
            await asyncio.to_thread(snapshot.end, one.writer, schema, one.progress)
            log.info("%s: snapshot of %s ended with %d rows", self.slug, schema.table, one.progress.rows)
        elif one.confirmed:
            one.confirmed = False
            one.writer.commit(None, table=one.state())
        self._confirmed.discard(name)
        report.phase = Phase.FOLLOW.value
        report.rows = self._spool.rows_indexed(self.stream, name)
        if token is not None:
            self._tokens[name] = token

    def _begin(self, source: Source, schema: TableSchema) -> tuple[Pass, bytes]:
        """The pass that is due: a snapshot that goes on or begins, or a diff; and where it starts."""
        writer = self._writer()
        name = schema.table
        state = writer.table(name)
        confirmed = name in self._confirmed or bool(state and state.facts.get("confirmed"))
        reason = self._reason_to_begin(state, schema)
        before = 0
        if reason is not None:
            same = state is not None and state.fingerprint == schema.fingerprint
            if not same:
                before = self._spool.rows_indexed(self.stream, name)
            snapshot.begin(writer, schema, reason, keep_index=same, confirmed=confirmed, before=before)
            self._wanted_snapshots.discard(name)
            state = writer.table(name)
        assert state is not None
        facts = {k: v for k, v in state.facts.items() if k not in _PROGRESS_FACTS}
        progress = Progress.from_facts(state.facts) if state.phase == Phase.SNAPSHOT else None
        one = Pass(
            self.slug, source, writer, self._files, self._scan, schema, confirmed, progress, dict(facts)
        )
        return one, progress.cursor if progress else b""

    def _reason_to_begin(self, state: TableState | None, schema: TableSchema) -> str | None:
        if state is None:
            return "first"
        if state.phase == Phase.GONE:
            return "back"
        if state.fingerprint != schema.fingerprint:
            return "columns changed"
        return "asked for" if schema.table in self._wanted_snapshots else None

    def _guard_end(self, one: Pass) -> None:
        """A snapshot read without its old index shows only here how much would be swept."""
        before = int(str(one.facts.pop("before", 0)))
        assert one.progress is not None
        one.guard(max(0, before - one.progress.rows), before)

    async def _step(self, scan: Scan, *, backfill: bool) -> bool:
        while backfill and self._spool.backlog(self.stream).bytes > BACKFILL_BACKLOG_BYTES:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # receipts shrink it on the courier's word; there is nothing to wait on
        begun = time.monotonic()
        done = await asyncio.to_thread(scan.step)
        worked = time.monotonic() - begun
        await asyncio.sleep(worked * (1 / self._settings.duty_share_max - 1))
        return done

    # tables that are gone, and the inventory

    async def _missing(self, existing: set[TableName]) -> bool:
        """Tables that were captured and are no longer there: said aloud, dropped only when confirmed."""
        complete = True
        for state in self._spool.tables(self.stream):
            if (
                state.table in existing
                or state.phase == Phase.GONE
                or not is_included(self._settings, state.table)
            ):
                continue
            report = self.report.tables.setdefault(state.table, TableReport(state.phase))
            if state.table in self._confirmed:
                snapshot.drop(self._writer(), state)
                self._confirmed.discard(state.table)
                report.phase, report.fault = Phase.GONE.value, None
                continue
            report.fault = Rejected("GC-2002", table=str(state.table), source=self.slug)
            complete = False
        return complete

    async def _take_inventory(self, infos: list[TableInfo], included: frozenset[TableName]) -> None:
        now = time.monotonic()
        names = included | {info.name for info in infos}
        due = self._inventory_at is None or now - self._inventory_at > INVENTORY_SECONDS
        if not due and names == self._included:
            return
        writer = self._writer()
        group = writer.group()
        for mark in inventory_marks(infos, included, self._wall()):
            group.mark(mark)
        await asyncio.to_thread(writer.commit, group)
        self._inventory_at, self._included = now, frozenset(names)
