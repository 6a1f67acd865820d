"""The seam of the journal: append durably, read again in order.

Invariant 3: no receipt before the journal is on disk. Tables and current state are derived from what stands
here. An offset is a byte position since the journal began; it only grows, and it survives restarts.
Implementations: `files` and `memory`; both pass tests/contracts/test_journal.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.names import Stream

TORN_TAIL = "an unfinished record at the end was cut"
"""The reason of the one damage that loses nothing: it had no receipt."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One journaled envelope: where it stands, when it was received (UTC, microseconds), its bytes as signed."""

    offset: int
    received: int
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch that holds no valid record. It was set aside, never overwritten: `reason` is for the operator."""

    offset: int
    length: int
    reason: str

    @property
    def end(self) -> int:
        return self.offset + self.length

    @property
    def is_loss(self) -> bool:
        return self.reason != TORN_TAIL

    def is_within(self, other: Damage) -> bool:
        return other.offset <= self.offset and self.end <= other.end


@dataclass(frozen=True, slots=True)
class Run:
    """Sequences `first` to `last` of an epoch, each chained to the one before: `before` is the chain hash before the
    first, `hash` and `resume` are those of the head at the last. `begin` is the offset of the first record, `offset`
    and `received` are those of the last, `envelope_bytes` the sum of all; `public` is the key of the last rotation in
    it, empty where there is none."""

    stream: Stream
    epoch: int
    first: int
    last: int
    before: bytes
    hash: bytes
    resume: bytes
    begin: int
    offset: int
    received: int
    envelope_bytes: int
    public: bytes = b""

    @property
    def chain(self) -> bytes:
        """What the next header must carry as its previous hash."""
        return self.resume or self.hash


class Journal(Protocol):
    """One writer at a time, enforced; any number of readers."""

    @property
    def start(self) -> int:
        """The first offset that was not given up: what stood before it is known by its runs alone."""
        ...

    @property
    def end(self) -> int:
        """The offset at which the next record will stand."""
        ...

    @property
    def damage(self) -> Sequence[Damage]:
        """What was found damaged at opening or while reading, and is so still; in the order in which it was found."""
        ...

    def append(self, received: int, envelopes: Sequence[bytes]) -> list[int]:
        """Write all `envelopes` with one write and one sync, and return their offsets.

        When it returns they survive a power cut. When it raises (Transient GC-6001: disk full, I/O error)
        none of them counts as written: what reached the disk of them is cut off before anything else is
        appended, and the caller gives no receipt.
        """
        ...

    def repair(self, start: int, stop: int, received: int, envelopes: Sequence[bytes]) -> bool:
        """Put `envelopes` into what is damaged between the offsets `start` and `stop`, in their order and as far
        back as there is room. From then on `read` gives them there.

        When it returns True they survive a power cut; False where there is no room for all of them, and nothing
        is written. Raises Transient GC-6001 as `append` does.
        """
        ...

    def read(self, start: int = 0) -> Iterator[Entry]:
        """Every intact record from offset `start` up to `end` as it was when called, in order.

        `start` must be 0, an offset that `append` or `read` gave, or an `end`; what was given up is passed over.
        A damaged stretch is noted in `damage` and skipped.
        """
        ...

    def outline(self) -> Iterator[Entry | Run]:
        """All that was ever journaled, for whoever asks only how far streams go: the runs of what is archived
        or was given up, and the records behind them as `read` gives them."""
        ...

    def close(self) -> None: ...
