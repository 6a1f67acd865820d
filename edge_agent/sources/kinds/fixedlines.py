"""The lines of a file of fixed widths, cut into the bytes of their columns.

All lines end as the first does, by LF or CRLF (a carriage return alone ends none), are exactly as long as the widths
together and hold no line break; another one is refused with its number, since nobody can say which of its columns is
short. Only the last may lack its line break. So lines need not be looked for: a block is cut at once, and what was cut
is checked. Knows no names and no text.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from itertools import accumulate, pairwise

from edge_agent.sources.escaped import exact
from edge_agent.sources.kinds.kind import Opened
from protocol.errors import Rejected
from protocol.limits import MIB

BLOCK_BYTES = 1 * MIB
"""Read at once, or one line."""
_MARK = "\ufeff"


class FixedLines:
    """`encoding` is that of the values, by its exact name. Rejected GC-2008 where the file is empty."""

    def __init__(self, opened: Opened, encoding: str, widths: Sequence[int]) -> None:
        self._opened = opened
        self._stream = opened.stream
        self._stream.seek(0)
        self.encoding = exact(encoding, self._stream.read(len(codecs.BOM_UTF32_LE)))
        self._length = sum(widths)
        self._cuts = list(pairwise(accumulate(widths, initial=0)))
        self._feed = "\n".encode(self.encoding)
        self._return = "\r".encode(self.encoding)
        self._number = 0
        """Of lines read."""
        self._skip_mark()
        first = self._first()
        if not first:
            raise opened.refused("it is empty")
        self.first_end = self._stream.tell() + len(first)
        """Where the first line ends (bytes)."""
        self._end = self._return + self._feed if first.endswith(self._return + self._feed) else self._feed

    def _skip_mark(self) -> None:
        mark = _MARK.encode(self.encoding, "ignore")
        self._stream.seek(0)
        if self._stream.read(len(mark)) != mark:
            self._stream.seek(0)

    def _first(self) -> bytes:
        """The first line with its line break, or as much of it as is too long; it is still to be read."""
        start = self._stream.tell()
        line = self._stream.read(self._length + len(self._return + self._feed))
        self._stream.seek(start)
        place = self._feed_in(line)
        return line if place is None else line[: place + len(self._feed)]

    def _feed_in(self, line: bytes) -> int | None:
        """Where a line feed stands, counted in whole units of the encoding."""
        place = line.find(self._feed)
        while place >= 0 and place % len(self._feed):
            place = line.find(self._feed, place + 1)
        return None if place < 0 else place

    def header(self) -> list[bytes]:
        """The columns of the first line, which may be shorter than the others."""
        line = self._first()
        self._stream.seek(len(line), 1)
        self._number = 1
        line = line.removesuffix(self._end)
        if len(line) > self._length:
            raise self._opened.refused("the header is longer than the widths together")
        return [line[start:end] for start, end in self._cuts]

    def take(self, count: int) -> list[list[bytes]]:
        """At most that many further lines; none at the end."""
        step = self._length + len(self._end)
        block = self._stream.read(max(1, min(count, BLOCK_BYTES // step)) * step)
        return [self._cut(block[start : start + step]) for start in range(0, len(block), step)]

    def _cut(self, line: bytes) -> list[bytes]:
        self._number += 1
        content, end = line[: self._length], line[self._length :]
        is_last = not end and len(content) == self._length
        if not (is_last or end == self._end) or self._feed_in(content) is not None:
            raise self._refused(line)
        return [content[start:stop] for start, stop in self._cuts]

    def _refused(self, line: bytes) -> Rejected:
        place = self._feed_in(line)
        ending = self._end.removesuffix(self._feed)
        found = len(line if place is None else line[:place].removesuffix(ending))
        if found < self._length:
            return self._opened.refused(f"{found} bytes instead of {self._length}", self._number)
        problem = f"more than {self._length} bytes, or another line break than the first line has"
        return self._opened.refused(problem, self._number)
