"""The runner of one source: goes round its tables, one step at a time, and never works harder than it may.

A pass looks at every included table: what has no snapshot gets one, what has one is scanned for differences.
One table's fault stops that table only; the source's fault ends the pass, to be tried again. Between any two
steps it rests as the duty cycle demands. A pass in which every table was read completely is remembered with
the stream's head: that is what freshness is told from (landing.md §1a).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from protocol.errors import Fault, Rejected, Transient
from protocol.names import Stream, TableName
from protocol.schema import TableSchema

from ..batching import Seal
from ..orders import Orders
from ..sources.settings import FilesSettings, SqlSettings
from ..sources.source import Source, TableInfo, Way
from ..spool.records import Scan as ScanRecord
from ..spool.records import TableState
from ..spool.spool import Spool
from . import snapshot
from .facts import Facts
from .included import is_included, unmatched
from .index import IndexDamaged, IndexFiles
from .inventory import inventory_marks
from .lane import Lane
from .phases import Phase
from .ranges import RangeScan
from .reports import Report, TableReport
from .scan import Pass, Scan, ScanSettings
from .whole import WholeScan
from .writer import StreamWriter

log = logging.getLogger("edge.capture")

RETRY_SECONDS_MAX = 60.0
CLOSE_SECONDS_MAX = 10.0
INVENTORY_SECONDS = 86_400.0
BACKFILL_BACKLOG_BYTES = 8 << 20
"""A snapshot reads on only while less than this waits to be sent: a live change is never far behind."""
SLOW = frozenset({"GC-2007", "GC-2041", "GC-2042"})
"""Faults of a table that is locked or takes too long: each attempt costs the others that time."""
SLOW_REST_FACTOR = 10.0
SLOW_REST_SECONDS_MAX = 3_600.0
ASKED_FOR = "asked for"
DAMAGED = "index damaged"


class Paused(Exception):
    """The source is paused. Stays inside this room: the pass is thrown away, a later one goes on from the spool."""


def retry_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row of the whole source."""
    doubled: int = 2 ** min(failures, 16)  # an outage of days has thousands of them
    return min(RETRY_SECONDS_MAX, float(doubled))


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
        orders: Orders | None = None,
    ) -> None:
        """Without `orders` of its agent it has its own, which no restart survives."""
        self.slug = slug
        self.stream = stream
        self.report = Report()
        self._settings = settings
        self._open_source = open_source
        self._spool = spool
        self._seal = seal
        self._files = files
        self._wall = wall
        self._orders = orders or Orders(None)
        self.source: Source | None = None
        self._epoch = 0
        self._tokens: dict[TableName, str] = {}
        self._damaged: set[TableName] = set()
        self._rest_until: dict[TableName, float] = {}
        self._inventory_at: float | None = None
        self._included: frozenset[TableName] = frozenset()
        self._wake = asyncio.Event()
        self._lane = Lane(slug)
        self._scan = ScanSettings(
            page_rows=settings.page_rows,
            deletion_share_max=settings.deletion_share_max,
            deletion_rows_min=settings.deletion_rows_min,
        )

    # what a person or the centre may ask

    def want_snapshot(self, table: TableName | None) -> None:
        """Read a table (None: all of them) anew, beginning with the next pass."""
        wanted = self.known_tables() if table is None else [table]
        self._orders.take(lambda book: book.wanting(self.slug, wanted))
        self._wake.set()

    def hint(self) -> None:
        """Something may have changed: look sooner than the interval says."""
        self._wake.set()

    def confirm(self, table: TableName) -> None:
        """The deletions that a table waits with are meant."""
        self._orders.take(lambda book: book.confirming(self.slug, [table]))
        self._wake.set()

    def known_tables(self) -> list[TableName]:
        """Every included table that capture has met, also of those that are gone."""
        known = {t.table for t in self._spool.tables(self.stream)} | set(self.report.tables)
        return sorted((t for t in known if is_included(self._settings, t)), key=str)

    # the loop

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            self._wake.clear()
            failures = 0 if await self.attempt() else failures + 1
            pause = retry_seconds(failures) if failures else self._settings.scan_interval_seconds
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                continue

    async def attempt(self) -> bool:
        """One pass whose faults all end in the report; whether the source as a whole could be read."""
        try:
            await self.go_round()
        except Paused:
            pass
        except Fault as fault:
            self._note_source_fault(fault)
            return False
        self.report.fault = None
        return True

    async def close(self) -> None:
        """Whatever still runs at the source is broken off first; a disk that hangs for good is left behind."""
        if self.source is not None:
            self.source.interrupt()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lane.run(self.source.close), CLOSE_SECONDS_MAX)
        self._lane.end()

    def _note_source_fault(self, fault: Fault) -> None:
        if self.report.fault is None or self.report.fault.code != fault.code:
            log.warning("%s: %s", self.slug, fault)
        self.report.fault = fault

    async def go_round(self) -> None:
        """One pass over all tables. Raises the source's and the spool's faults; those of a table are noted."""
        self._stop_if_paused()
        epoch = self._writer().epoch
        if epoch != self._epoch:
            self._begin_epoch(epoch)
        started = self._wall()
        source = await self._opened()
        infos = await self._lane.run(source.inventory)
        known = {info.name for info in infos} | {state.table for state in self._spool.tables(self.stream)}
        self.report.unmatched = [
            Rejected("GC-2044", source=self.slug, pattern=p) for p in unmatched(self._settings, known)
        ]
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
            writer = self._writer()
            if writer.epoch != epoch:
                raise Transient("GC-3007", source=self.slug, epoch=epoch)
            writer.commit(None, scan=ScanRecord(started))
            self.report.last_pass = started

    def _begin_epoch(self, epoch: int) -> None:
        """What is remembered here of an older epoch is not true of a new one, which begins with nothing."""
        self._epoch = epoch
        self._tokens.clear()
        self._damaged.clear()
        self._rest_until.clear()
        self._inventory_at = None
        self.report.tables.clear()

    def _stop_if_paused(self) -> None:
        if self._orders.pause_of(self.slug) is not None:
            raise Paused

    async def _opened(self) -> Source:
        if self.source is None:
            self.source = await self._lane.run(self._open_source)
        return self.source

    def _writer(self) -> StreamWriter:
        return StreamWriter(self._spool, self.stream, self._seal, self._wall)

    # one table

    async def _table(self, source: Source, info: TableInfo) -> bool:
        """One pass over one table; False where it could not be completed. Only this table's faults end here."""
        self._stop_if_paused()
        report = self.report.tables.setdefault(info.name, TableReport())
        report.rows_estimate = info.rows_estimate
        if self._rests(info.name):
            return False
        begun = time.monotonic()
        try:
            await self._scan_table(source, info.name, report)
        except Rejected as fault:
            if report.fault is None or report.fault.code != fault.code:
                log.warning("%s: %s", self.slug, fault)
            report.fault = fault
            if fault.code in SLOW:
                rest = min(SLOW_REST_SECONDS_MAX, SLOW_REST_FACTOR * (time.monotonic() - begun))
                self._rest_until[info.name] = time.monotonic() + rest
            return False
        except IndexDamaged:
            log.warning("%s: index of a table is damaged; it is read anew", self.slug)
            self._damaged.add(info.name)
            return False
        report.fault = None
        return True

    def _rests(self, name: TableName) -> bool:
        """Whether a slow table waits, so that the others need not wait for it; unless a person asks for it."""
        until = self._rest_until.get(name, 0.0)
        return time.monotonic() < until and not self._is_asked_about(name)

    async def _scan_table(self, source: Source, name: TableName, report: TableReport) -> None:
        token = await self._lane.run(source.token, name)
        quiet = token is not None and token == self._tokens.get(name)
        if quiet and not self._is_asked_about(name):
            return
        self._tokens.pop(name, None)
        schema = await self._lane.run(source.describe, name)
        resumed = True
        while resumed:  # what an interrupted pass had read is as old as that: a scan of now follows it
            one = await self._lane.run(self._begin, source, schema)
            resumed = one.facts.under_way
            await self._go_through(source, one, report)
        report.phase = Phase.FOLLOW.value
        report.rows = self._spool.rows_indexed(self.stream, name)
        if token is not None:
            self._tokens[name] = token

    async def _go_through(self, source: Source, one: Pass, report: TableReport) -> None:
        report.phase = (Phase.SNAPSHOT if one.snapshot else Phase.FOLLOW).value
        progress = one.facts.progress
        if progress is None or not progress.complete:
            scan: Scan = RangeScan(one) if source.way(one.schema) is Way.RANGES else WholeScan(one)
            while not await self._step(scan, backfill=one.snapshot):
                if one.facts.progress is not None:
                    report.rows = one.facts.progress.rows
        await self._lane.run(self._end, one)

    def _is_asked_about(self, name: TableName) -> bool:
        wanted = self._orders.wanted(self.slug, name) is not None
        return wanted or name in self._damaged or self._orders.is_confirmed(self.slug, name)

    def _begin(self, source: Source, schema: TableSchema) -> Pass:
        """The pass that is due: a snapshot that begins or goes on, or a diff."""
        writer = self._writer()
        name = schema.table
        state = writer.table(name)
        facts = Facts.from_json(state.facts) if state else Facts()
        if facts.progress is not None and facts.progress.id == self._orders.wanted(self.slug, name):
            self._orders.begun(self.slug, name)  # it died right behind the begin mark
        if self._orders.is_confirmed(self.slug, name):
            facts = replace(facts, confirmed=True)
            if state is not None:
                writer.commit(None, table=replace(state, facts=facts.to_json()))
        reason = self._reason_to_begin(state, schema)
        if reason is not None:
            facts = self._begin_snapshot(writer, schema, state, facts, reason)
            self._orders.begun(self.slug, name)
            self._damaged.discard(name)
        self._orders.passed_on(self.slug, name)
        return Pass(self.slug, source, writer, self._files, self._scan, schema, facts)

    def _reason_to_begin(self, state: TableState | None, schema: TableSchema) -> str | None:
        if state is None or state.phase == Phase.NEW:
            return "first"
        if state.phase == Phase.GONE:
            return "back"
        if state.fingerprint != schema.fingerprint:
            return "columns changed"
        if schema.table in self._damaged:
            return DAMAGED
        return ASKED_FOR if self._orders.wanted(self.slug, schema.table) is not None else None

    def _begin_snapshot(
        self, writer: StreamWriter, schema: TableSchema, state: TableState | None, facts: Facts, reason: str
    ) -> Facts:
        """Under the same columns the old index stays: with it the guard sees a mass deletion as it is found.
        Otherwise only how many rows were known; a snapshot that never ended hands that number on."""
        keep_index = state is not None and state.fingerprint == schema.fingerprint and reason != DAMAGED
        before = facts.before
        voided = [facts.reading.scratch, facts.reading.index] if facts.reading else []
        if not keep_index:
            before = max(before, self._spool.rows_indexed(self.stream, schema.table))
            voided += [shard.file for shard in self._spool.shards(self.stream, schema.table)]
        begun = snapshot.begin(
            writer,
            schema,
            reason,
            keep_index=keep_index,
            confirmed=facts.confirmed,
            before=before,
            id=self._orders.wanted(self.slug, schema.table),
        )
        self._files.remove(*voided)
        return begun

    def _end(self, one: Pass) -> None:
        """Everything was read: a snapshot gets its end mark, of a diff nothing is remembered."""
        progress = one.facts.progress
        if progress is not None:
            one.guard_end()
            snapshot.end(one.writer, one.schema, progress)
            log.info("%s: snapshot of %s ended with %d rows", self.slug, one.schema.table, progress.rows)
        elif one.facts != Facts():
            one.complete()
            one.writer.commit(None, table=one.state())

    # driving

    async def _step(self, scan: Scan, *, backfill: bool) -> bool:
        while backfill and self._spool.backlog(self.stream).bytes > BACKFILL_BACKLOG_BYTES:
            self._stop_if_paused()
            await asyncio.sleep(0.05)  # receipts shrink it on the courier's word; there is nothing to wait on
        self._stop_if_paused()
        begun = time.monotonic()
        done = await self._lane.run(scan.step)
        worked = time.monotonic() - begun
        await asyncio.sleep(worked * (1 / self._settings.duty_share_max - 1))
        return done

    # tables that are gone, and the inventory

    async def _missing(self, existing: set[TableName]) -> bool:
        """Tables that were captured and are no longer there: said aloud, dropped only when confirmed."""
        complete = True
        for state in self._spool.tables(self.stream):
            if state.phase == Phase.GONE:
                self._orders.passed_on(self.slug, state.table)  # it died right behind the drop
            if (
                state.table in existing
                or state.phase == Phase.GONE
                or not is_included(self._settings, state.table)
            ):
                continue
            self._tokens.pop(state.table, None)
            report = self.report.tables.setdefault(state.table, TableReport(state.phase))
            if self._orders.is_confirmed(self.slug, state.table):
                await self._lane.run(self._drop, state)
                self._orders.passed_on(self.slug, state.table)
                report.phase, report.fault = Phase.GONE.value, None
                continue
            report.fault = Rejected("GC-2002", table=str(state.table), source=self.slug)
            complete = False
        return complete

    def _drop(self, state: TableState) -> None:
        files = [shard.file for shard in self._spool.shards(self.stream, state.table)]
        snapshot.drop(self._writer(), state)
        self._files.remove(*files, *state.facts.get("files", ()))

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
        await self._lane.run(writer.commit, group)
        self._inventory_at, self._included = now, frozenset(names)
