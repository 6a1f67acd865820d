"""The lander: reads the journal in order and makes tables of it. Whatever it holds in memory stands there.

It is a loop body without a loop: `step` takes what the journal has, commits the tables that are due and says
how long it may sleep. Its memory of how far it got is a low-water mark per stream in the ledger, saved only
when every table below it is durable (promise 4); after a restart it reads again from there, and each table
skips what its transactions say that it holds. What cannot be opened parks its stream, what cannot land parks
its table (promise 6); both are tried again at the next start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

import pyarrow as pa

from protocol import batch as batches
from protocol.batch import MarkHeader
from protocol.change import MarkKind
from protocol.envelope import Envelope, Header, Kind, parse
from protocol.errors import Fault, Permanent, Rejected, Transient
from protocol.names import Stream
from protocol.schema import TableSchema
from protocol.sealing import open_inner
from protocol.signing import Opener, Suite

from ..journal.journal import Entry, Journal
from ..ledger.ledger import Ledger, Parked, TableRecord
from ..metrics import Metrics
from . import heat
from .catalogue import Catalogue, Landing, Portion, app_of
from .holes import Holes
from .inventory import inventory
from .lake import Lake
from .objects import Objects
from .rows import batch_rows, mark_row, stamp_landed

log = logging.getLogger("central.lander")

READ_BYTES = 16 << 20
"""Journal bytes that one step takes before it looks at what is due."""
LOW_WATER_SECONDS = 1.0
IDLE_SECONDS = 1.0


class Lander:
    def __init__(
        self,
        *,
        journal: Journal,
        lake: Lake,
        ledger: Ledger,
        objects: Objects,
        opener: Opener,
        suites: Mapping[int, Suite],
        metrics: Metrics,
        rhythm: heat.Rhythm,
        pending_bytes_max: int,
        now: Callable[[], float],
        wall: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._lake = lake
        self._ledger = ledger
        self._objects = objects
        self._opener = opener
        self._suites = suites
        self._metrics = metrics
        self._rhythm = rhythm
        self._pending_bytes_max = pending_bytes_max
        self._now = now
        self._wall = wall
        self._catalogue = Catalogue(ledger)
        self._holes = Holes(journal, ledger)
        self._active: dict[str, Landing] = {}
        """By path: the tables with waiting rows, and the parked ones."""
        self._schemas: dict[bytes, TableSchema] = {}
        self._low_water = {r.stream: min(r.low_water, journal.end) for r in ledger.streams()}
        self._parked_streams: dict[Stream, int] = {}
        self._unfinished: dict[tuple[Stream, str], tuple[int, int]] = {}
        """Large values that lack pieces: the epoch that sends them, the journal offset of the first piece."""
        self._allowance = heat.Allowance.full(now(), rhythm)
        self._marks_saved = now()
        self.position = min(self._low_water.values(), default=journal.end)
        self.fault: Fault | None = None
        """Why nothing lands now (the store fails); None while it goes on."""

    def recover(self) -> None:
        """Before the first step: see that what the ledger calls durable is there, cut what is torn above it,
        and forget what was parked: everything is tried again. No mark stays above a journal that lost its end
        (what comes instead would pass for landed), nor above what a table no longer has. Tables that a lost ledger
        does not know are checked from their first commit on: the journal names them again."""
        self._ledger.save_low_water(self._low_water)
        for landing in self._catalogue.all():
            record = landing.record
            found = self._lake.recover(record.path, record.synced_version)
            if found.version < record.synced_version:
                self._land_again(record.stream)
            for version in found.cut:
                log.warning("%s", Rejected("GC-6006", table=str(record.table), version=version))
            self._save(landing, replace(record, synced_version=found.version))
        for path in self._catalogue.unknown(self._lake.tables()):
            self._lake.recover(path, -1)
        for parked in self._ledger.parked():
            self._ledger.unpark(parked.stream, parked.path)

    def _land_again(self, stream: Stream) -> None:
        """The lake is older than the ledger: the journal is read from its beginning, tables skip what they hold."""
        self._low_water[stream] = self.position = 0
        self._ledger.save_low_water({stream: 0})

    @property
    def backlog_bytes(self) -> int:
        """Journaled and not yet read."""
        return self._journal.end - self.position

    @property
    def pending_rows(self) -> int:
        return sum(one.rows for one in self._active.values())

    def step(self, everything: bool = False) -> float:
        """Take, commit, note; returns seconds until there is something to do again (0: at once).

        `everything` commits all that waits, as before a stop. Raises Transient GC-6005 where the store fails:
        nothing is lost, the same step is tried again. One table's trouble does not hold up the commits of others.
        """
        reading = self._take()
        self._holes.look(self._low_water)
        committing = self._commit_due(everything)
        self._note_low_water(everything)
        if fault := committing or reading:
            raise fault
        if self.position < self._journal.end:
            return 0.0
        until = heat.seconds_until_due(self._now(), self._waiting(), self._rhythm)
        return min(IDLE_SECONDS, max(until or 0.0, 0.002)) if self._has_pending() else IDLE_SECONDS

    # reading

    def _take(self) -> Transient | None:
        taken, end = 0, self._journal.end
        try:
            for entry in self._journal.read(self.position):
                self.position = entry.offset
                full = taken >= READ_BYTES or self._pending_bytes() >= self._pending_bytes_max
                if full or entry.offset >= end:
                    return None
                self._take_entry(entry)
                taken += len(entry.envelope)
        except Transient as fault:
            return fault
        self.position = end
        return None

    def _take_entry(self, entry: Entry) -> None:
        envelope = parse(entry.envelope)
        header = envelope.header
        stream = header.stream
        if entry.offset < self._low_water.setdefault(stream, entry.offset) or stream in self._parked_streams:
            return
        try:
            inner = open_inner(envelope, self._suites[header.suite], self._opener)
            self._land(envelope, inner, entry)
        except Rejected as fault:
            self._park_stream(header, entry.offset, fault)

    def _land(self, envelope: Envelope, inner: bytes, entry: Entry) -> None:
        header = envelope.header
        self._give_up_unfinished(header)
        match header.kind:
            case Kind.SCHEMA:
                schema = TableSchema.from_bytes(inner)
                self._ledger.save_schema(schema.fingerprint, schema.content)
                self._lake.keep_schema(schema.fingerprint, schema.content)
                self._schemas[schema.fingerprint] = schema
            case Kind.BATCH:
                self._batch(header, inner, entry)
            case Kind.MARK:
                self._mark(header, batches.decode_mark(inner), entry)
            case Kind.PIECE:
                self._piece(header, inner, entry)
            case Kind.GAP | Kind.ROTATION:
                pass

    def _batch(self, header: Header, inner: bytes, entry: Entry) -> None:
        table = batches.table_of(inner)
        landing = self._catalogue.find(header.stream, table, None)
        if landing.parked or self._holds(landing, header):
            return
        try:
            batch = batches.decode_batch(inner, self._schema)
        except Rejected as fault:
            self._park_table(landing, header, entry.offset, fault)
            return
        rows = batch_rows(batch, header.epoch, header.seq, entry.received)
        self._pend(landing, batch.schema, rows, header, entry)

    def _mark(self, header: Header, mark: MarkHeader, entry: Entry) -> None:
        if mark.table_name is None:
            if mark.mark is MarkKind.INVENTORY:
                self._ledger.save_inventory(*inventory(header.stream, mark), now=entry.received)
            return
        schema = self._schema(bytes.fromhex(mark.schema_)) if mark.schema_ else None
        if schema is not None and schema.table != mark.table_name:
            schema = None
        landing = self._catalogue.find(header.stream, mark.table_name, schema)
        if landing.parked or self._holds(landing, header):
            return
        rows = mark_row(mark, schema, header.epoch, header.seq, entry.received)
        self._pend(landing, schema, rows, header, entry)

    def _piece(self, header: Header, inner: bytes, entry: Entry) -> None:
        piece, data = batches.decode_piece(inner)
        key = (header.stream, piece.sha256)
        if self._objects.add(header.stream.site, piece, data):
            self._unfinished.pop(key, None)
        else:
            self._unfinished.setdefault(key, (header.epoch, entry.offset))

    def _give_up_unfinished(self, header: Header) -> None:
        """What an earlier epoch did not finish it never will; it must not hold the low-water mark for ever."""
        over = [
            key
            for key, (epoch, _) in self._unfinished.items()
            if key[0] == header.stream and epoch < header.epoch
        ]
        for key in over:
            del self._unfinished[key]

    def _schema(self, fingerprint: bytes) -> TableSchema | None:
        if fingerprint not in self._schemas:
            content = self._ledger.schema(fingerprint)
            if content is None:
                return None
            self._schemas[fingerprint] = TableSchema.from_bytes(content)
        return self._schemas[fingerprint]

    def _holds(self, landing: Landing, header: Header) -> bool:
        """Whether the table has it already: asked of the lake once per epoch, remembered afterwards."""
        app = app_of(header.stream, header.epoch)
        if app not in landing.held:
            landing.held[app] = self._lake.txn(landing.record.path, app) or 0
        return header.seq <= max(landing.held[app], landing.txns.get(app, 0))

    def _pend(
        self, landing: Landing, schema: TableSchema | None, rows: pa.Table, header: Header, entry: Entry
    ) -> None:
        fingerprint = schema.fingerprint if schema else landing.fingerprint
        if landing.rows and fingerprint != landing.fingerprint:
            self._commit(landing)
            if landing.parked:
                return
        landing.fingerprint = fingerprint
        if schema is not None and schema.fingerprint != landing.record.fingerprint:
            self._save(landing, replace(landing.record, key=schema.key, fingerprint=schema.fingerprint))
        app = app_of(header.stream, header.epoch)
        landing.add(Portion(app, header.seq, entry.offset, rows), self._now())
        self._active[landing.record.path] = landing

    # committing

    def _waiting(self) -> list[heat.Waiting]:
        now = self._now()
        return [
            heat.Waiting(
                one.record.path, one.rows, one.bytes, now - one.since, one.last_commit, one.commit_seconds
            )
            for one in self._active.values()
            if one.rows
        ]

    def _commit_due(self, everything: bool) -> Transient | None:
        waiting = self._waiting()
        if everything or self._pending_bytes() >= self._pending_bytes_max:
            chosen = [one.table for one in waiting]
        else:
            self._allowance = self._allowance.filled(self._now(), self._rhythm)
            chosen = heat.due(self._now(), waiting, self._allowance, self._rhythm)
        fault = None
        for path in chosen:
            try:
                self._commit(self._active[path])
            except Transient as one:
                fault = one
        return fault

    def _commit(self, landing: Landing) -> None:
        """One commit of one table: append, make durable, note. Invariant 4: the transactions are in it, and a
        commit whose outcome is unknown is looked up before anything is written again."""
        started, wall, path = self._now(), self._wall(), landing.record.path
        if landing.uncertain:
            self._look_up(landing, wall)
        if not landing.rows:
            return
        rows, txns = landing.take()
        landing.uncertain = True
        try:
            version = self._lake.append(path, stamp_landed(rows, wall), txns)
        except Permanent as fault:
            self._park_landing(landing, fault)
            return
        self._lake.make_durable(path, version)
        landing.last_commit = self._now()
        landing.commit_seconds = landing.last_commit - started
        self._allowance = self._allowance.less(landing.commit_seconds)
        self._landed(landing, {one.app: one.version for one in txns}, version, wall)

    def _look_up(self, landing: Landing, wall: int) -> None:
        """Find out what the commit before left. More may wait by now than it was given."""
        path = landing.record.path
        found = self._lake.recover(path, landing.record.synced_version)
        held = {app: self._lake.txn(path, app) or 0 for app in landing.txns}
        self._landed(landing, held, found.version, wall)

    def _landed(self, landing: Landing, held: Mapping[str, int], version: int, wall: int) -> None:
        record = landing.record
        if rows := landing.settle(held):
            landed = replace(record, synced_version=version, landed=wall, rows=record.rows + rows)
            self._save(landing, landed)
            self._metrics.rows_landed += rows
            self._metrics.commits += 1
        if landing.first_offset is None:
            del self._active[record.path]
        self.fault = None

    def _save(self, landing: Landing, record: TableRecord) -> None:
        if record != landing.record:
            landing.record = record
            self._ledger.save_table(record)

    # parking

    def _park_stream(self, header: Header, offset: int, fault: Rejected) -> None:
        self._parked_streams[header.stream] = offset
        self._note_parked(header.stream, "", header.epoch, header.seq, fault)

    def _park_table(self, landing: Landing, header: Header, offset: int, fault: Fault) -> None:
        landing.park(offset)
        self._active[landing.record.path] = landing
        self._note_parked(header.stream, landing.record.path, header.epoch, header.seq, fault)

    def _park_landing(self, landing: Landing, fault: Fault) -> None:
        first = landing.waiting[0]
        epoch, seq = int(first.app.rpartition("/")[2]), first.seq
        landing.park()
        self._note_parked(landing.record.stream, landing.record.path, epoch, seq, fault)

    def _note_parked(self, stream: Stream, path: str, epoch: int, seq: int, fault: Fault) -> None:
        log.error("parked %s %s at %d/%d: %s", stream, path, epoch, seq, fault)
        self._ledger.park(Parked(stream, path, fault.code, fault.what, epoch, seq, self._wall()))

    # low water

    def _note_low_water(self, everything: bool) -> None:
        now = self._now()
        if not everything and now - self._marks_saved < LOW_WATER_SECONDS:
            return
        self._marks_saved = now
        marks = dict.fromkeys(self._low_water, self.position)
        for landing in self._active.values():
            if landing.first_offset is not None:
                stream = landing.record.stream
                marks[stream] = min(marks[stream], landing.first_offset)
        for (stream, _), (_, offset) in self._unfinished.items():
            marks[stream] = min(marks[stream], offset)
        for stream, offset in self._parked_streams.items():
            marks[stream] = min(marks[stream], offset)
        changed = {s: m for s, m in marks.items() if m > self._low_water[s]}
        if changed:
            self._ledger.save_low_water(changed)
            self._low_water |= changed

    def _pending_bytes(self) -> int:
        return sum(one.bytes for one in self._active.values())

    def _has_pending(self) -> bool:
        return any(one.rows for one in self._active.values())
