"""Reading one segment file: every intact record in it, and every stretch that holds none.

Used by the writer at opening, by readers beside it and by `rebuild`; it never writes. A disk that refuses to
read a block is a reader's matter too: the block counts as zeros, so its records fail their hash like any
other damage and the rest is still read.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from protocol.limits import MIB

from .disk import Disk
from .frames import (
    FRAME_HEADER_BYTES,
    HEADER_BYTES,
    MARKER_BYTES,
    frame_length,
    frame_received,
    segment_marker,
)
from .journal import Damage, Entry

_NAME = re.compile(r"([0-9]{20})\.gcj")
_CHUNK_BYTES = 1 * MIB
_BLOCK_BYTES = 4096
_UNREADABLE = frozenset(
    {errno.EIO, getattr(errno, "EBADMSG", errno.EIO), getattr(errno, "EUCLEAN", errno.EIO)}
)

BAD_RECORD = "no valid record"
LOST_HEADER = "the segment's header is lost"
MISSING = "the segment is missing or too short"


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A segment file and the offset of its first record."""

    base: int
    path: Path

    @classmethod
    def at(cls, directory: Path, base: int) -> Segment:
        return cls(base, directory / f"{base:020d}.gcj")


def list_segments(directory: Path) -> list[Segment]:
    """The segments that stand in `directory`, by offset; none where it does not exist."""
    if not directory.exists():
        return []
    names = (_NAME.fullmatch(path.name) for path in directory.iterdir())
    return sorted(Segment.at(directory, int(name[1])) for name in names if name)


@dataclass(frozen=True, slots=True)
class Survey:
    """What one segment holds: where its records end, what is damaged between them, what is torn behind them."""

    end: int
    damage: tuple[Damage, ...]
    torn: Damage | None


class SegmentReader:
    """An open segment. `marker` is None where its header is lost; `unreadable` when the disk refused a read."""

    def __init__(self, disk: Disk, segment: Segment, *, writable: bool = False) -> None:
        self._disk = disk
        self.base = segment.base
        self.unreadable = False
        self.fd = disk.open(segment.path, writable=writable)
        self.marker: bytes | None = None

    def __enter__(self) -> SegmentReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disk.close(self.fd)

    @property
    def limit(self) -> int:
        """The offset at which the file ends now."""
        return self.base + max(0, self._disk.size(self.fd) - HEADER_BYTES)

    def survey(self) -> Survey:
        """Read the last segment of a journal to its end, where alone something unfinished may stand."""
        damage: list[Damage] = []
        limit = self.limit
        for item in self.items(self.base, limit):
            if isinstance(item, Damage):
                damage.append(item)
        if damage and damage[-1].offset + damage[-1].length == limit and self._tells_the_truth:
            return Survey(damage[-1].offset, tuple(damage[:-1]), damage[-1])
        return Survey(limit, tuple(damage), None)

    @property
    def _tells_the_truth(self) -> bool:
        """Whether bytes that look torn are: not where the header is lost or the disk would not read them."""
        return self.marker is not None and not self.unreadable

    def items(self, start: int, stop: int) -> Iterator[Entry | Damage]:
        """Every record from offset `start` to offset `stop`, and every stretch between them that holds none."""
        self.marker = segment_marker(self._bytes(HEADER_BYTES, 0), self.base)
        if self.marker is None:
            if start < stop:
                yield Damage(start, stop - start, LOST_HEADER)
            return
        while start < stop:
            entry = self._entry(start, stop, self.marker)
            if entry is not None:
                yield entry
                start += FRAME_HEADER_BYTES + len(entry.envelope)
            else:
                following = self._next(start + 1, stop, self.marker)
                reason = MISSING if start >= self.limit else BAD_RECORD
                yield Damage(start, following - start, reason)
                start = following

    def stretch(self, offset: int, length: int) -> Iterator[bytes]:
        """The bytes that stand there, in chunks, as far as the file has them."""
        stop = min(offset + length, self.limit)
        while offset < stop:
            chunk = self._at(offset, min(_CHUNK_BYTES, stop - offset))
            yield chunk
            offset += len(chunk)

    def _entry(self, offset: int, stop: int, marker: bytes) -> Entry | None:
        header = self._at(offset, min(FRAME_HEADER_BYTES, stop - offset))
        length = frame_length(header, marker)
        if length is None or offset + FRAME_HEADER_BYTES + length > stop:
            return None
        envelope = self._at(offset + FRAME_HEADER_BYTES, length)
        received = frame_received(header, offset, envelope)
        return None if received is None else Entry(offset, received, envelope)

    def _next(self, offset: int, stop: int, marker: bytes) -> int:
        """The offset of the first valid record at or behind `offset`; `stop` where there is none."""
        while stop - offset >= FRAME_HEADER_BYTES:
            chunk = self._at(offset, min(_CHUNK_BYTES, stop - offset))
            if len(chunk) < MARKER_BYTES:
                break
            found = chunk.find(marker)
            while found >= 0:
                if self._entry(offset + found, stop, marker) is not None:
                    return offset + found
                found = chunk.find(marker, found + 1)
            offset += len(chunk) - (MARKER_BYTES - 1)  # a marker may lie across two chunks
        return stop

    def _at(self, offset: int, length: int) -> bytes:
        return self._bytes(length, offset - self.base + HEADER_BYTES)

    def _bytes(self, length: int, position: int) -> bytes:
        try:
            return self._disk.read(self.fd, length, position)
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            self.unreadable = True
        return b"".join(self._blocks(length, position))

    def _blocks(self, length: int, position: int) -> Iterator[bytes]:
        stop = min(position + length, self._disk.size(self.fd))
        while position < stop:
            block = min(_BLOCK_BYTES - position % _BLOCK_BYTES, stop - position)
            try:
                yield self._disk.read(self.fd, block, position)
            except OSError as error:
                if error.errno not in _UNREADABLE:
                    raise
                yield bytes(block)
            position += block
