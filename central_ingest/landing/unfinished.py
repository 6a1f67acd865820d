"""Large values that lack pieces, and how long the journal is kept for them.

What has come of one is read again after a restart, so the low-water mark stays at its first piece. One that never
ends must not hold the journal for ever: a newer epoch ends it, and after an hour what has come is made durable by
itself and the mark goes on, as with a table's rows. Whole values are the matter of `objects`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from protocol.batch import PieceHeader
from protocol.envelope import Header
from protocol.names import Stream

from ..quarantine import NOWHERE
from .objects import Objects

SECONDS_MAX = 3_600.0


@dataclass(frozen=True, slots=True)
class _Begun:
    """`offset`: where its first piece stands in the journal, or NOWHERE."""

    epoch: int
    offset: int
    since: float


class Unfinished:
    def __init__(self, objects: Objects, now: Callable[[], float]) -> None:
        self._objects = objects
        self._now = now
        self._values: dict[tuple[Stream, str], _Begun] = {}

    def take(self, header: Header, piece: PieceHeader, data: bytes, offset: int) -> None:
        """Raises as `Objects.add` does."""
        key = (header.stream, piece.sha256)
        if self._objects.add(header.stream.site, piece, data):
            self._values.pop(key, None)
        else:
            self._values.setdefault(key, _Begun(header.epoch, offset, self._now()))

    def end_before(self, header: Header) -> None:
        """What an earlier epoch did not finish it never will."""
        for (stream, sha256), begun in list(self._values.items()):
            if stream == header.stream and begun.epoch < header.epoch:
                del self._values[stream, sha256]

    def settle(self) -> None:
        """Let go of what has waited for an hour, once it is durable without the journal. Raises Transient GC-6005."""
        now = self._now()
        for (stream, sha256), begun in list(self._values.items()):
            if begun.offset != NOWHERE and now - begun.since >= SECONDS_MAX:
                self._objects.make_durable(stream.site, sha256)
                del self._values[stream, sha256]

    def firsts(self) -> Iterator[tuple[Stream, int]]:
        """Streams and the journal offsets from which they must be read again for these."""
        for (stream, _), begun in self._values.items():
            if begun.offset != NOWHERE:
                yield stream, begun.offset

    def any_from_shelf(self, stream: Stream) -> bool:
        """Whether one came out of the quarantine so far, and waits for more of it."""
        return any(of == stream and begun.offset == NOWHERE for (of, _), begun in self._values.items())
