"""Quarantine: envelopes that are authentic but cannot land, durable apart from the journal (landing.md §4).

Each parked table, or stream, has a shelf: a journal of its own, with every envelope as it was signed and when it
was received, in order. The low-water mark may pass an envelope once it is here, so that the journal can be
pruned. What an envelope says, and whether it can land now, is the lander's business.
"""

from __future__ import annotations

import logging
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Protocol

from protocol.envelope import Header, parse
from protocol.errors import Fault, Transient
from protocol.limits import MIB
from protocol.names import Stream

from .journal.files import FileJournal
from .journal.journal import Entry, Journal
from .journal.memory import MemoryJournal, MemoryStore
from .ledger.quarantine import Held, Position, QuarantineBook

log = logging.getLogger("central.quarantine")

Place = tuple[Stream, str]
"""A stream and the lake path of one of its tables; an empty path: the whole stream."""

SHELVES_OPEN_MAX = 32
SEGMENT_BYTES = 8 * MIB
"""Small, because opening a shelf reads its last segment."""
NOWHERE = -1
"""The journal offset of what came out of the quarantine: it holds no low-water mark down."""


class Shelves(Protocol):
    """Where shelves stand, by number."""

    def open(self, number: int) -> Journal: ...

    def remove(self, number: int) -> None: ...

    def set_aside_unknown(self, known: set[int]) -> None:
        """Nothing that no ledger names is ever read, overwritten or deleted."""
        ...


class FileShelves:
    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, number: int) -> Journal:
        return FileJournal.open(self._root / f"{number:08d}", segment_bytes_max=SEGMENT_BYTES)

    def remove(self, number: int) -> None:
        shutil.rmtree(self._root / f"{number:08d}", ignore_errors=True)

    def count(self, number: int) -> int:
        """Envelopes that can be read of a shelf, by a reader beside whoever writes."""
        journal = FileJournal.open(self._root / f"{number:08d}", read_only=True)
        try:
            return sum(1 for _ in journal.read())
        finally:
            journal.close()

    def unknown(self) -> list[Path]:
        """What was set aside."""
        place = self._root / "unknown"
        return sorted(place.iterdir()) if place.exists() else []

    def set_aside_unknown(self, known: set[int]) -> None:
        names = {f"{number:08d}" for number in known} | {"unknown"}
        for path in sorted(self._root.iterdir()) if self._root.exists() else []:
            if path.name not in names:
                place = self._root / "unknown"
                place.mkdir(exist_ok=True)
                count = sum(1 for _ in place.iterdir())
                log.warning("a shelf that the ledger does not know was set aside: %s", path.name)
                path.rename(place / f"{path.name}-{count}")


class MemoryShelves:
    """For tests: outlives the quarantine that is opened on it."""

    def __init__(self) -> None:
        self.stores: dict[int, MemoryStore] = {}

    def open(self, number: int) -> Journal:
        store = self.stores.setdefault(number, MemoryStore())
        store.release()
        return MemoryJournal.open(store)

    def remove(self, number: int) -> None:
        self.stores.pop(number, None)

    def set_aside_unknown(self, known: set[int]) -> None:
        for number in self.stores.keys() - known:
            del self.stores[number]


@dataclass(slots=True)
class Shelf:
    """`fresh` is not on the disk yet: journal offset, and the entry."""

    held: Held
    fresh: list[Entry] = field(default_factory=list)


class Quarantine:
    """Belongs to the lander's thread. Raises Transient GC-6021 where its disk fails."""

    def __init__(self, book: QuarantineBook, shelves: Shelves) -> None:
        self._book = book
        self._shelves = shelves
        self._open: OrderedDict[int, Journal] = OrderedDict()
        self._places: dict[Place, Shelf] = {}

    def load(self) -> None:
        """Before anything else: what was parked stays so, and what the ledger had not noted is counted."""
        self._book.forget_unheld()
        self._places = {(one.stream, one.path): Shelf(one) for one in self._book.held()}
        self._shelves.set_aside_unknown({shelf.held.id for shelf in self._places.values()})
        for place, shelf in self._places.items():
            for entry in self.read(place, shelf.held.end):
                self._count(shelf, entry)
            shelf.held = replace(shelf.held, end=self._journal(shelf).end)
        self._book.note([shelf.held for shelf in self._places.values()])

    def places(self) -> list[Place]:
        return list(self._places)

    def held(self, place: Place) -> Held | None:
        """As it stands on the disk."""
        shelf = self._places.get(place)
        return None if shelf is None else shelf.held

    def park(self, place: Place, header: Header, fault: Fault, now: int) -> None:
        """From here on everything of `place` goes to its shelf, beginning with the envelope of `header`."""
        stream, path = place
        log.error("parked %s %s at %d/%d: %s", stream, path, header.epoch, header.seq, fault)
        first = (header.epoch, header.seq)
        self._places[place] = Shelf(self._book.park(stream, path, fault.code, fault.what, first, now))

    def hold(self, place: Place, header: Header, entry: Entry) -> None:
        """Take an envelope; one that is here already is not taken twice. Durable after `flush`."""
        shelf = self._places[place]
        fresh = parse(shelf.fresh[-1].envelope).header if shelf.fresh else None
        last = shelf.held.last if fresh is None else (fresh.epoch, fresh.seq)
        if (header.epoch, header.seq) > last:
            shelf.fresh.append(entry)

    def flush(self) -> None:
        """Return once all that was taken is on the disk."""
        noted = []
        for shelf in self._places.values():
            if not shelf.fresh:
                continue
            journal = self._journal(shelf)
            for received, run in groupby(list(shelf.fresh), key=lambda entry: entry.received):
                entries = list(run)
                try:
                    journal.append(received, [entry.envelope for entry in entries])
                except Transient as fault:
                    raise _unwritable(fault) from fault
                for entry in entries:
                    self._count(shelf, entry)
                del shelf.fresh[: len(entries)]
            shelf.held = replace(shelf.held, end=journal.end)
            noted.append(shelf.held)
        if noted:
            self._book.note(noted)

    def first_unsafe(self, stream: Stream) -> int | None:
        """The journal offset of the oldest envelope of a stream that is not on the disk here yet."""
        fresh = (shelf.fresh for (one, _), shelf in self._places.items() if one == stream)
        return min((e.offset for entries in fresh for e in entries if e.offset != NOWHERE), default=None)

    def read(self, place: Place, start: int) -> Iterator[Entry]:
        """What is on the disk, in order, by offsets of the shelf."""
        try:
            yield from self._journal(self._places[place]).read(start)
        except Transient as fault:
            raise _unwritable(fault) from fault

    def is_whole(self, place: Place) -> bool:
        """Whether everything that was laid on the shelf can still be read."""
        return sum(1 for _ in self.read(place, 0)) == self._places[place].held.envelopes

    def blame(self, place: Place, first: Position, fault: Fault) -> None:
        """It still cannot land, and this is why: everything before `first` has landed."""
        shelf = self._places[place]
        shelf.held = replace(shelf.held, code=fault.code, reason=fault.what, first=first)
        self._book.blame(shelf.held)

    def remove(self, place: Place) -> None:
        """The ledger has let go of it."""
        held = self._places.pop(place).held
        if (journal := self._open.pop(held.id, None)) is not None:
            journal.close()
        self._shelves.remove(held.id)

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def _count(self, shelf: Shelf, entry: Entry) -> None:
        header = parse(entry.envelope).header
        held = shelf.held
        shelf.held = replace(
            held,
            last=(header.epoch, header.seq),
            envelopes=held.envelopes + 1,
            bytes=held.bytes + len(entry.envelope),
        )

    def _journal(self, shelf: Shelf) -> Journal:
        number = shelf.held.id
        if number not in self._open:
            while len(self._open) >= SHELVES_OPEN_MAX:
                self._open.popitem(last=False)[1].close()
            try:
                self._open[number] = self._shelves.open(number)
            except Transient as fault:
                raise _unwritable(fault) from fault
        self._open.move_to_end(number)
        return self._open[number]


def _unwritable(fault: Transient) -> Transient:
    return Transient("GC-6021", **fault.facts)
