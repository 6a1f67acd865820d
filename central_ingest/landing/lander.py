"""The lander: reads the journal in order and makes tables of it. Whatever it holds in memory stands there.

It is a loop body without a loop: `step` takes what the journal has, commits the tables that are due and says
how long it may sleep. Its memory of how far it got is a low-water mark per stream in the ledger, saved only
when every table below it is durable (promise 4); after a restart it reads again from there, and each table
skips what its transactions say that it holds. What cannot be opened parks its stream, what cannot land parks
its table (promise 6): it moves to the quarantine, and everything later of it behind it (see `parking`).
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

from ..journal.journal import Damage, Entry, Journal
from ..ledger.ledger import Ledger
from ..metrics import Metrics
from ..quarantine import NOWHERE, Place, Quarantine
from . import heat
from .beginnings import begin_anew
from .catalogue import Catalogue, Landing, Portion, app_of
from .committing import Committing
from .cuts import Cuts
from .holes import Holes
from .inventory import inventory
from .lake import Lake
from .looking import Looking
from .objects import Objects
from .parking import Parking
from .rows import batch_rows, mark_row
from .schemas import Schemas
from .unfinished import Unfinished

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
        quarantine: Quarantine,
        quarantine_bytes_max: int,
        now: Callable[[], float],
        wall: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._lake = lake
        self._ledger = ledger
        self._opener = opener
        self._suites = suites
        self._now = now
        self._catalogue = Catalogue(ledger)
        self._holes = Holes(journal, ledger, suites, wall)
        self._cuts = Cuts(ledger.cuts, wall)
        self._quarantine = quarantine
        self._shelf: Place | None = None
        """Of the quarantine, from which an envelope is being taken again."""
        self._schemas = Schemas(ledger, lake)
        self._low_water = {r.stream: min(r.low_water, journal.end) for r in ledger.streams()}
        self._unfinished = Unfinished(objects, now)
        self._parking = Parking(
            quarantine=quarantine,
            ledger=ledger,
            lake=lake,
            catalogue=self._catalogue,
            hands=self,
            bytes_max=quarantine_bytes_max,
            now=now,
            wall=wall,
        )
        self._committing = Committing(
            lake=lake,
            ledger=ledger,
            metrics=metrics,
            rhythm=rhythm,
            pending_bytes_max=pending_bytes_max,
            now=now,
            wall=wall,
            refused=self._refuse,
            settled=self._parking.settled,
        )
        save = self._committing.save
        self._looking = Looking(lake, self._catalogue, save=save, older=self._land_again, now=now)
        self._marks_saved = now()
        self.position = min(self._low_water.values(), default=journal.end)
        self.fault: Fault | None = None
        """Why nothing lands now (the store fails); None while it goes on."""

    def recover(self) -> None:
        """Before the first step. Opens no table: each is looked at when it is touched first. What was parked stays so,
        until somebody asks for it. No mark stays above a journal that lost its end: what comes instead would pass for
        landed. Tables that a lost ledger does not know are met when the journal names them again."""
        self._ledger.save_low_water(self._low_water)
        self._parking.load()
        begin_anew(self._journal, self._ledger, self._low_water)
        self._holes.recover(self._low_water)

    def _land_again(self, stream: Stream) -> None:
        """The lake is older than the ledger: the journal is read from its beginning, tables skip what they hold."""
        is_told = self._low_water.get(stream) == 0
        self._low_water[stream] = self.position = 0
        self._ledger.save_low_water({stream: 0})
        self._holes.again(stream)
        if not is_told:
            begin_anew(self._journal, self._ledger, {stream: 0})

    @property
    def backlog_bytes(self) -> int:
        """Journaled and not yet read."""
        return self._journal.end - self.position

    @property
    def streams_behind(self) -> int:
        """Those that wait for what the journal lost, or catch up."""
        return self._holes.behind

    def has_examined(self, stretch: Damage) -> bool:
        """Whether what is missing in a damaged stretch of the journal is known; may be asked from any thread."""
        return self._holes.knows(stretch)

    @property
    def pending_rows(self) -> int:
        return self._committing.rows

    def step(self, everything: bool = False) -> float:
        """Take, commit, note; returns seconds until there is something to do again (0: at once).

        `everything` commits all that waits, as before a stop. Raises Transient GC-6005 where the store fails:
        nothing is lost, the same step is tried again. One table's trouble does not hold up the commits of others.
        """
        reading = self._take()
        retrying = False
        if reading is None:
            retrying, reading = self._look_around()
        committing = self._committing.commit_due(everything)
        self._note_low_water(everything)
        if fault := committing or reading:
            raise fault
        if retrying:
            return 0.0
        if self.position < self._journal.end and self._holes.look(self._low_water, self.position):
            return 0.0
        until = self._committing.seconds_until_due()
        return IDLE_SECONDS if until is None else min(IDLE_SECONDS, max(until, 0.002))

    def _look_around(self) -> tuple[bool, Transient | None]:
        try:
            self._looking.pass_by()
            return self._parking.step(), None
        except Transient as fault:
            return False, fault

    # reading

    def _take(self) -> Transient | None:
        try:
            self._quarantine.flush()
            self._read()
            self._quarantine.flush()
        except Transient as fault:
            return fault
        return None

    def _read(self) -> None:
        taken, end = 0, self._journal.end
        for entry in self._journal.read(self.position):
            self.position = entry.offset
            enough = taken >= READ_BYTES or self._committing.full or entry.offset >= end
            if enough or not self._holes.look(self._low_water, entry.offset):
                break
            self._take_entry(entry)
            taken += len(entry.envelope)
        else:
            self.position = end
        self._holes.passed(self.position)

    def _take_entry(self, entry: Entry) -> None:
        envelope = parse(entry.envelope)
        stream, at = envelope.header.stream, entry.offset
        if at >= self._mark_of(stream, at) and self._holes.takes(stream, at):
            self._take_next(envelope, entry)
            self._holes.took(stream, at)

    def _take_next(self, envelope: Envelope, entry: Entry) -> None:
        header = envelope.header
        place = (header.stream, "")
        if self._parking.is_dropped(place, header):
            return
        if self._parking.holds_back(place, header):
            self._parking.hold(place, header, entry)
            return
        try:
            self._land(header, self._open(envelope), entry)
        except Rejected as fault:
            self._parking.park(place, header, entry, fault)

    def _mark_of(self, stream: Stream, offset: int) -> int:
        """The low-water mark. One that began since the start stands where it began, not at the first envelope that
        is met of it: those before may have been lost."""
        if stream not in self._low_water:
            begun = {r.stream: r.low_water for r in self._ledger.streams()}
            self._low_water[stream] = min(offset, begun.get(stream, offset))
        return self._low_water[stream]

    def _land(self, header: Header, inner: bytes, entry: Entry) -> None:
        self._unfinished.end_before(header)
        match header.kind:
            case Kind.SCHEMA:
                self._schemas.keep(inner)
            case Kind.BATCH:
                self._batch(header, inner, entry)
            case Kind.MARK:
                self._mark(header, batches.decode_mark(inner), entry)
            case Kind.PIECE:
                self._unfinished.take(header, *batches.decode_piece(inner), entry.offset)
            case Kind.GAP | Kind.ROTATION:
                pass

    def _batch(self, header: Header, inner: bytes, entry: Entry) -> None:
        table = batches.table_of(inner)
        landing = self._catalogue.find(header.stream, table, None)
        if self._passes_by(landing, header, entry):
            return
        try:
            batch = batches.decode_batch(inner, self._schemas.find)
        except Rejected as fault:
            if self._shelf == landing.place:
                raise
            unknown = fault.facts.get("reason") == batches.UNKNOWN_SCHEMA
            if unknown and self._holes.swallowed(header.stream, header.epoch):
                log.warning("%s %d/%d is passed over: %s", header.stream, header.epoch, header.seq, fault)
                return
            self._committing.commit_or_refuse(landing)  # what came before lands, or is set aside, before it
            self._set_aside(landing.place, header, entry, fault)
            return
        self._cuts.pass_by(header, batch.header, entry.received)
        rows = batch_rows(batch, header.epoch, header.seq, entry.received)
        self._pend(landing, batch.schema, rows, header, entry)

    def _mark(self, header: Header, mark: MarkHeader, entry: Entry) -> None:
        if mark.table_name is None:
            if mark.mark is MarkKind.INVENTORY:
                self._ledger.save_inventory(*inventory(header.stream, mark), now=entry.received)
            return
        schema = self._schemas.find(bytes.fromhex(mark.schema_)) if mark.schema_ else None
        if schema is not None and schema.table != mark.table_name:
            schema = None
        landing = self._catalogue.find(header.stream, mark.table_name, schema)
        if self._passes_by(landing, header, entry):
            return
        self._cuts.pass_by(header, mark, entry.received)
        landing.settles = landing.settles or mark.mark is not MarkKind.SNAPSHOT_BEGIN
        rows = mark_row(mark, schema, header.epoch, header.seq, entry.received)
        self._pend(landing, schema, rows, header, entry)

    def _holds(self, landing: Landing, header: Header) -> bool:
        """Whether the table has it already: asked of the lake once per epoch, remembered afterwards."""
        self._looking.at(landing)
        app = app_of(header.stream, header.epoch)
        if app not in landing.held:
            landing.held[app] = self._lake.txn(landing.record.path, app) or 0
        return header.seq <= max(landing.held[app], landing.txns.get(app, 0))

    def _pend(
        self, landing: Landing, schema: TableSchema | None, rows: pa.Table, header: Header, entry: Entry
    ) -> None:
        fingerprint = schema.fingerprint if schema else landing.fingerprint
        if landing.rows and fingerprint != landing.fingerprint:
            self._committing.commit_or_refuse(landing)
            if self._parking.holds_back(landing.place) and not self._is_retried(landing):
                self._parking.hold(landing.place, header, entry)
                return
        landing.fingerprint = fingerprint
        if schema is not None and schema.fingerprint != landing.record.fingerprint:
            record = replace(landing.record, key=schema.key, fingerprint=schema.fingerprint)
            self._committing.save(landing, record)
        app = app_of(header.stream, header.epoch)
        portion = Portion(app, header.seq, entry.offset, rows, entry if entry.offset == NOWHERE else None)
        self._committing.add(landing, portion)

    def _is_retried(self, landing: Landing) -> bool:
        return self._shelf == landing.place and self._parking.is_retrying(landing.place)

    # parking

    def _refuse(self, landing: Landing, fault: Permanent) -> None:
        """The lake will not take what waits of a table: it moves to the quarantine, or it came from there."""
        portions = landing.give_up()
        self._committing.active.pop(landing.record.path, None)
        entries = [one.entry or next(iter(self._journal.read(one.offset))) for one in portions]
        headers = [parse(entry.envelope).header for entry in entries]
        if self._parking.holds_back(landing.place):
            self._parking.failed(landing.place, (headers[0].epoch, headers[0].seq), fault)
            return
        for header, entry in zip(headers, entries, strict=True):
            self._set_aside(landing.place, header, entry, fault)

    def _set_aside(self, place: Place, header: Header, entry: Entry, fault: Fault) -> None:
        if self._parking.holds_back(place):
            self._parking.hold(place, header, entry)
        else:
            self._parking.park(place, header, entry, fault)

    def _passes_by(self, landing: Landing, header: Header, entry: Entry) -> bool:
        """Whether this does not land now: the table has it, somebody gave it up, or it must wait behind another."""
        if self._holds(landing, header) or self._parking.is_dropped(landing.place, header):
            return True
        if self._parking.holds_back(landing.place, header) and self._shelf != landing.place:
            self._parking.hold(landing.place, header, entry)
            return True
        return False

    def look_at(self, path: str) -> None:
        self._looking.at_path(path)

    def inner(self, entry: Entry) -> bytes:
        return self._open(parse(entry.envelope))

    def _open(self, envelope: Envelope) -> bytes:
        return open_inner(envelope, self._suites[envelope.header.suite], self._opener)

    def land_again(self, place: Place, entry: Entry) -> None:
        self._shelf = place
        try:
            self._land(parse(entry.envelope).header, self.inner(entry), entry)
        finally:
            self._shelf = None
        if self._committing.full:
            self.settle(place)

    def settle(self, place: Place) -> bool:
        stream, path = place
        for landing in list(self._committing.active.values()):
            if landing.record.stream == stream and path in ("", landing.record.path):
                self._committing.commit_or_refuse(landing)
        return path != "" or not self._unfinished.any_from_shelf(stream)

    # low water

    def _note_low_water(self, everything: bool) -> None:
        now = self._now()
        if not everything and now - self._marks_saved < LOW_WATER_SECONDS:
            return
        self._marks_saved = now
        if not self._holes.look(self._low_water, self.position):
            return
        self._unfinished.settle()
        self._cuts.note()
        for one in self._ledger.streams():  # one that begins and never sends must not hold the journal
            self._low_water.setdefault(one.stream, min(one.low_water, self._journal.end))
        marks = dict.fromkeys(self._low_water, self.position)
        marks |= {s: min(self.position, offset) for s, offset in self._holes.late() if s in marks}
        for landing in self._committing.active.values():
            if landing.first_offset is not None:
                stream = landing.record.stream
                marks[stream] = min(marks[stream], landing.first_offset)
        for stream in marks:
            if (unsafe := self._quarantine.first_unsafe(stream)) is not None:
                marks[stream] = min(marks[stream], unsafe)
        self._unfinished.hold(marks)
        changed = {s: m for s, m in marks.items() if m > self._low_water[s]}
        if changed:
            self._ledger.save_low_water(changed)
            self._low_water |= changed
        self.position = self._holes.refresh(self._low_water, self.position)
