"""Large values that lack pieces, and how long the journal is kept for them.

What has come of one is read again after a restart, so the low-water mark stays at its first piece. One that never
ends must not hold the journal for ever: a newer epoch ends it, and after an hour what has come is made durable by
itself and the mark goes on, as with a table's rows. The mark never comes to stand among the pieces of one that was
ended: a later piece, read again without the first, is none. Whole values are the matter of `objects`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.batch import PieceHeader
from protocol.envelope import Header
from protocol.names import Stream

from ..quarantine import NOWHERE
from .objects import Objects

SECONDS_MAX = 3_600.0


@dataclass(slots=True)
class _Begun:
    """`offset` and `last`: where the first and the last piece that came stand in the journal, or NOWHERE."""

    epoch: int
    offset: int
    last: int
    since: float
    ended: bool = False


class Unfinished:
    def __init__(self, objects: Objects, now: Callable[[], float]) -> None:
        self._objects = objects
        self._now = now
        self._values: dict[tuple[Stream, str, int], _Begun] = {}
        """By stream, SHA-256 and epoch: a newer one begins the same value anew."""

    def take(self, header: Header, piece: PieceHeader, data: bytes, offset: int) -> None:
        """Raises as `Objects.add` does."""
        key = (header.stream, piece.sha256, header.epoch)
        if self._objects.add(header.stream.site, piece, data):
            for of in [of for of in self._values if of[:2] == key[:2]]:
                del self._values[of]
        else:
            begun = self._values.setdefault(key, _Begun(header.epoch, offset, offset, self._now()))
            begun.last = max(begun.last, offset)

    def end_before(self, header: Header) -> None:
        """What an earlier epoch did not finish it never will."""
        for key, begun in list(self._values.items()):
            if key[0] == header.stream and begun.epoch < header.epoch:
                begun.ended = True
                if begun.offset == NOWHERE:
                    del self._values[key]

    def settle(self) -> None:
        """Let go of what has waited for an hour, once it is durable without the journal. Raises Transient GC-6005."""
        now = self._now()
        for (stream, sha256, epoch), begun in list(self._values.items()):
            if begun.offset != NOWHERE and now - begun.since >= SECONDS_MAX:
                self._objects.make_durable(stream.site, sha256)
                del self._values[stream, sha256, epoch]

    def hold(self, marks: dict[Stream, int]) -> None:
        """Lower `marks`, journal offsets below which nothing is read again, to what these must be read again from;
        and forget those that were ended and lie below."""
        held = [(of, begun) for (of, _, _), begun in self._values.items() if begun.offset != NOWHERE]
        for stream, begun in sorted(held, key=lambda one: -one[1].offset):
            if not begun.ended or marks[stream] <= begun.last:
                marks[stream] = min(marks[stream], begun.offset)
        for key, begun in list(self._values.items()):
            if begun.ended and begun.last < marks[key[0]]:
                del self._values[key]

    def any_from_shelf(self, stream: Stream) -> bool:
        """Whether one came out of the quarantine so far, and waits for more of it."""
        return any(of == stream and begun.offset == NOWHERE for (of, _, _), begun in self._values.items())
