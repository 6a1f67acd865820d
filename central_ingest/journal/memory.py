"""The journal in memory, for tests and the simulator: the same promises, no disk.

`MemoryStore` is what a disk would be: it outlives the journal that is opened on it, so a simulated centre can
be killed and started again. Memory does not rot by itself: `rot` says what is damaged.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from protocol.errors import Permanent, Transient
from protocol.limits import ENVELOPE_BYTES_MAX
from protocol.signing import SUITES

from .frames import FRAME_HEADER_BYTES
from .journal import Damage, Entry, Run
from .repairs import Repair, left_of, place
from .runs import Runs


@dataclass(slots=True)
class MemoryStore:
    """What survives. While `full`, every append fails. `release()` is the death of a writer that never closed."""

    entries: list[Entry] = field(default_factory=list)
    end: int = 0
    full: bool = False
    writer: MemoryJournal | None = None
    damage: list[Damage] = field(default_factory=list)
    start: int = 0
    runs: list[Run] = field(default_factory=list)

    def give_up(self, before: int) -> None:
        """The records below this offset, which begins one, are known by their runs alone."""
        runs = Runs(SUITES)
        for one in self.entries:
            if one.offset < before:
                runs.add(one)
        self.runs += runs.all()
        self.entries = [one for one in self.entries if one.offset >= before]
        self.damage = [one for one in self.damage if one.offset >= before]
        self.start = before

    def rot(self, start: int, stop: int) -> None:
        """The records between these offsets are damaged."""
        self.entries = [one for one in self.entries if not start <= one.offset < stop]
        self.damage.append(Damage(start, stop - start, "rot"))

    def release(self) -> None:
        self.writer = None


class MemoryJournal:
    """See the seam. Offsets grow as those of the files do: by a frame's header and its envelope."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    @classmethod
    def open(cls, store: MemoryStore | None = None) -> MemoryJournal:
        """Open the journal that `store` holds. Raises Permanent GC-1006 when another writer has it open."""
        store = store if store is not None else MemoryStore()
        if store.writer is not None:
            raise Permanent("GC-1006", command="central-ingest", path="memory")
        store.writer = cls(store)
        return store.writer

    @property
    def start(self) -> int:
        return self._store.start

    @property
    def end(self) -> int:
        return self._store.end

    @property
    def damage(self) -> Sequence[Damage]:
        return tuple(self._store.damage)

    def append(self, received: int, envelopes: Sequence[bytes]) -> list[int]:
        self._require_open()
        if any(len(envelope) > ENVELOPE_BYTES_MAX for envelope in envelopes):
            raise ValueError("an envelope above its bound")
        if not envelopes:
            return []
        if self._store.full:
            raise Transient("GC-6001", path="memory", reason="full")
        return [self._take(received, bytes(envelope)) for envelope in envelopes]

    def repair(self, start: int, stop: int, received: int, envelopes: Sequence[bytes]) -> bool:
        self._require_open()
        store = self._store
        runs = place([one for one in store.damage if start <= one.offset and one.end <= stop], envelopes)
        if runs is None:
            return False
        if store.full:
            raise Transient("GC-6001", path="memory", reason="full")
        made = []
        for base, run in runs:
            offset = base
            for envelope in run:
                store.entries.append(Entry(offset, received, envelope))
                offset += FRAME_HEADER_BYTES + len(envelope)
            made.append(Repair(base, offset, Path()))
        store.entries.sort(key=lambda entry: entry.offset)
        store.damage = [left for one in store.damage for left in left_of(one, made)]
        return True

    def read(self, start: int = 0) -> Iterator[Entry]:
        self._require_open()
        first = bisect_left(self._store.entries, start, key=lambda entry: entry.offset)
        return iter(self._store.entries[first:])

    def outline(self) -> Iterator[Entry | Run]:
        self._require_open()
        return iter([*self._store.runs, *self._store.entries])

    def close(self) -> None:
        if self._store.writer is self:
            self._store.writer = None

    def _take(self, received: int, envelope: bytes) -> int:
        offset = self._store.end
        self._store.entries.append(Entry(offset, received, envelope))
        self._store.end += FRAME_HEADER_BYTES + len(envelope)
        return offset

    def _require_open(self) -> None:
        if self._store.writer is not self:
            raise ValueError("the journal is closed")
