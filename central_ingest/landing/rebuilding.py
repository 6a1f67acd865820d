"""Tables made anew from the journal (landing.md §3): landed apart by the lander itself, then put in place at once.

First the journal is read through, archives included: of each stream all must be there, or nothing begins. Then the
lander lands what it reads into a lake of its own on the local disk. Last, each table gets its new files in one
commit that takes the old ones away: who reads sees the old rows or the new, and so does whoever comes after a crash.
The ledger's line follows; should it not, the next start proves what stands above it. Only while no daemon runs.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from protocol.envelope import parse
from protocol.errors import Permanent, Transient
from protocol.limits import MIB
from protocol.names import Stream
from protocol.signing import Opener, Suite

from ..journal.files import FileJournal
from ..journal.journal import Damage, Run
from ..journal.runs import Runs
from ..lags import Lags
from ..ledger.ledger import Ledger, TableRecord
from ..metrics import Metrics
from ..quarantine import MemoryShelves, Quarantine
from .catalogue import app_of
from .delta import DeltaLake
from .healing import COLUMNS, floor_of
from .heat import Rhythm
from .held import told_of
from .lake import Txn
from .lander import Lander
from .objects import Objects
from .staging import Book, Chosen, Part
from .tablestate import LiveFile
from .wholeness import Whole, whole_from

log = logging.getLogger("central.rebuilding")

_PART_BYTES = 64 * MIB
_RHYTHM = Rhythm(hot_seconds=3_600.0, quiet_seconds=3_600.0, commit_bytes=_PART_BYTES, share_max=1.0)


@dataclass(frozen=True, slots=True)
class Refused:
    """A table of which nothing was changed, and why."""

    record: TableRecord
    fault: Permanent


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A table as it stands now. Its history begins at `first` (epoch, sequence), received at `received`; `lacks` says
    why not earlier, "" where nothing was before."""

    record: TableRecord
    first: tuple[int, int]
    received: int
    lacks: str


class Rebuilding:
    def __init__(
        self,
        *,
        journal: FileJournal,
        lake: DeltaLake,
        ledger: Ledger,
        objects: Objects,
        opener: Opener,
        suites: Mapping[int, Suite],
        scratch: Path,
        pending_bytes_max: int,
        now: Callable[[], float],
        wall: Callable[[], int],
    ) -> None:
        """`scratch` is a folder for as long as it takes, on a disk with room for the tables twice over."""
        self._journal = journal
        self._lake = lake
        self._ledger = ledger
        self._objects = objects
        self._opener = opener
        self._suites = suites
        self._scratch = scratch
        self._pending_bytes_max = pending_bytes_max
        self._now = now
        self._wall = wall
        self._runs: dict[Stream, list[Run]] = {}
        self._synced: dict[str, int] = {}

    def run(
        self, streams: Collection[Stream], paths: Collection[str] | None, *, from_snapshot: bool = False
    ) -> Iterator[Rebuilt | Refused]:
        """Make the tables at `paths` (None: all of these streams) anew, and yield each when it is in place, or refused
        with GC-6074, 6075 or 6077.

        `from_snapshot` makes do with a journal that begins later, if a full snapshot of the table stands whole in it.
        Raises Permanent GC-6073 before anything is changed, Transient GC-6005, GC-6001: then it can be run again.
        """
        self._synced = {one.path: one.synced_version for one in self._ledger.lake_tables()}
        wholes = self._wholes(streams)
        for stream, whole in wholes.items():
            if whole.since is None or (whole.lacks and not from_snapshot):
                raise Permanent("GC-6073", stream=str(stream), reason=whole.lacks)
        damage = list(self._journal.damage)
        self._clear()
        try:
            since = {stream: one.since for stream, one in wholes.items() if one.since is not None}
            staged, book = self._stage(since, paths)
            if new := [one for one in self._journal.damage if one not in damage]:
                reason = f"offset {new[0].offset} was damaged meanwhile"
                raise Permanent("GC-6073", stream=", ".join(map(str, sorted(streams))), reason=reason)
            for record in book.lake_tables():
                if record.stream in streams and (paths is None or record.path in paths):
                    yield self._judge(record, staged, book, wholes[record.stream])
            for fingerprint in book.schemas() - self._ledger.schemas():
                self._ledger.save_schema(fingerprint, book.schema(fingerprint) or b"")
        finally:
            self._clear()

    # what the journal has

    def _wholes(self, streams: Collection[Stream]) -> dict[Stream, Whole]:
        damage = self._read_through(streams)
        heads = {one.stream: (one.head.epoch, one.head.seq) for one in self._ledger.streams()}
        return {
            stream: whole_from(
                self._runs.get(stream, []),
                damage,
                start=self._journal.start,
                end=self._journal.end,
                head=heads.get(stream, (0, 0)),
                used=[one.epoch for one in self._ledger.grants(stream) if one.used is not None],
            )
            for stream in streams
        }

    def _read_through(self, streams: Collection[Stream]) -> list[Damage]:
        """Every record of these streams; of what was given up the runs. Returns what is damaged."""
        runs = Runs(self._suites)
        for one in self._journal.outline():
            if one.offset >= self._journal.start:
                break
            if isinstance(one, Run) and one.stream in streams:
                runs.join(one)
        for entry in self._journal.read():
            if parse(entry.envelope).header.stream in streams:
                runs.add(entry)
        self._runs = {}
        for run in runs.all():
            self._runs.setdefault(run.stream, []).append(run)
        return [one for one in self._journal.damage if one.is_loss]

    # landing apart

    def _stage(self, since: Mapping[Stream, int], paths: Collection[str] | None) -> tuple[DeltaLake, Book]:
        staged = DeltaLake(self._scratch / "lake")
        book = Book(self._ledger, self._lake, self._journal)
        book.copy(self._ledger, since)
        lander = Lander(
            journal=Part(self._journal, since),
            lake=Chosen(staged, self._lake, paths),
            ledger=book,
            objects=self._objects,
            opener=self._opener,
            suites=self._suites,
            metrics=Metrics(Lags(self._now)),
            rhythm=_RHYTHM,
            pending_bytes_max=self._pending_bytes_max,
            quarantine=Quarantine(book.quarantine, MemoryShelves()),
            quarantine_bytes_max=1 << 62,
            now=self._now,
            wall=self._wall,
        )
        lander.recover()
        while lander.backlog_bytes:
            lander.step()
        while lander.pending_rows:
            lander.step(everything=True)
        return staged, book

    # in its place

    def _judge(self, record: TableRecord, staged: DeltaLake, book: Book, whole: Whole) -> Rebuilt | Refused:
        try:
            self._refuse_parked(record, book)
            return self._put_in_place(record, staged, whole)
        except Permanent as fault:
            return Refused(record, fault)

    def _refuse_parked(self, record: TableRecord, book: Book) -> None:
        """Raises Permanent GC-6077 where something lands no more that once did, or should: the table would lack it."""
        before = {(one.stream, one.path) for one in self._ledger.quarantine.held()}
        for held in book.quarantine.held():
            is_ours = held.stream == record.stream and held.path in ("", record.path)
            if is_ours and (held.stream, held.path) not in before:
                reason = f"{held.code} at {held.first[0]}/{held.first[1]}"
                raise Permanent("GC-6077", table=f"{record.stream} {record.table}", reason=reason)

    def _put_in_place(self, record: TableRecord, staged: DeltaLake, whole: Whole) -> Rebuilt:
        path, name = record.path, f"{record.stream} {record.table}"
        first, received = self._first(record.stream, whole)
        txns = self._txns(record, staged, first[0])
        if whole.lacks:
            rows = staged.read(path, COLUMNS) if staged.schema(path) is not None else None
            if rows is None or floor_of(rows).above is None:
                raise Permanent("GC-6074", table=name)
        with suppress(Transient):  # as at a daemon's start; where it cannot, `_live` sees to it
            self._lake.recover(path, self._synced.get(path, -1))
        self._refuse_to_lose(record, txns, first[0])
        if record.synced_version < 0:  # of such a table nothing ever landed
            return Rebuilt(record, first, received, whole.lacks)
        known = [one for one in txns if (self._txn(path, one.app) or 0) < one.version]
        old, is_sound = self._live(path)
        staged_facts = {} if is_sound else told_of(staged.schema(path))[1]
        self._ledger.materialised.ask(
            [path], self._wall()
        )  # before: no crash leaves one of the old rows behind
        version = self._lake.rewrite(
            path,
            old,
            _parts(staged, path),
            changes_rows=True,
            txns=known if is_sound else txns,
            settings=staged_facts,
            redefines=not is_sound,
        )
        if version is None:
            raise Transient("GC-6005", path=path, reason="somebody else wrote it")
        placed = replace(record, synced_version=version, landed=self._wall())
        self._ledger.save_table(placed)
        log.info("%s was built anew: %d rows from %d/%d on", name, placed.rows, *first)
        return Rebuilt(placed, first, received, whole.lacks)

    def _first(self, stream: Stream, whole: Whole) -> tuple[tuple[int, int], int]:
        """The first envelope that was read of a stream, and when it was received."""
        for entry in Part(self._journal, {stream: whole.since or 0}).read():
            header = parse(entry.envelope).header
            return (header.epoch, header.seq), entry.received
        return (0, 0), 0

    def _txns(self, record: TableRecord, staged: DeltaLake, since_epoch: int) -> list[Txn]:
        """What the new table holds, epoch by epoch."""
        epochs = {run.epoch for run in self._runs.get(record.stream, ()) if run.epoch >= since_epoch}
        apps = [app_of(record.stream, epoch) for epoch in sorted(epochs)]
        held = {app: staged.txn(record.path, app) for app in apps}
        return [Txn(app, version) for app, version in held.items() if version is not None]

    def _refuse_to_lose(self, record: TableRecord, txns: Sequence[Txn], since_epoch: int) -> None:
        """Raises Permanent GC-6075 where the table that stands holds more than the journal brought."""
        new = {one.app: one.version for one in txns}
        epochs = {run.epoch for run in self._runs.get(record.stream, ()) if run.epoch >= since_epoch}
        heads = {one.head.epoch for one in self._ledger.streams() if one.stream == record.stream}
        for epoch in sorted(epochs | heads):
            app = app_of(record.stream, epoch)
            there = self._txn(record.path, app) or 0
            if there > new.get(app, 0):
                name = f"{record.stream} {record.table}"
                raise Permanent("GC-6075", table=name, epoch=epoch, seq=there)

    def _txn(self, path: str, app: str) -> int | None:
        """What the table holds of an app; None where it cannot be opened: then it holds nothing for anybody."""
        try:
            return self._lake.txn(path, app)
        except Transient:
            return None

    def _live(self, path: str) -> tuple[list[LiveFile], bool]:
        """The files to take away, and whether the table's log says what it must. One that cannot be read is cut back to
        where it can."""
        try:
            is_there = self._lake.schema(path) is not None
            return (list(self._lake.files(path)) if is_there else []), is_there
        except Transient:
            self._lake.recover(path, -1)
            return list(self._lake.files(path)), False

    def _clear(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True, exist_ok=True)


def _parts(staged: DeltaLake, path: str) -> Iterator[pa.Table]:
    """All rows, in pieces of a size that makes good files."""
    waiting: list[pa.Table] = []
    for file in staged.files(path):
        for piece in staged.read_file(path, file):
            waiting.append(piece)
            if sum(one.nbytes for one in waiting) >= _PART_BYTES:
                yield pa.concat_tables(waiting)
                waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
