"""The growing end of a file journal: frames envelopes, writes them once, syncs once, or takes all of it back.

It remembers `end`, the last offset known to be on the disk, and believes nothing else. After a failed sync
the kernel may have dropped the pages and call the next sync a success (fsyncgate, PostgreSQL 2018; Rebello et
al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). So that file is never written again: a
new segment begins at `end`, and by beginning there it ends the old one. It knows nothing of reading.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .disk import Disk, create_durably, write_all
from .frames import FRAME_HEADER_BYTES, HEADER_BYTES, MARKER_BYTES, frame_header, segment_header
from .segments import Segment


class Tail:
    """One writer's hold on the last segment. Every call raises OSError as the disk gives it."""

    def __init__(self, disk: Disk, directory: Path, segments: list[Segment], segment_bytes_max: int) -> None:
        self._disk = disk
        self._directory = directory
        self._segment_bytes_max = segment_bytes_max
        self._fd: int | None = None
        self._marker = b""
        self._base = 0
        self.segments = segments
        self.end = 0

    def resume(self, segment: Segment, fd: int, marker: bytes, end: int) -> None:
        """Go on in a segment that was read to its `end`; `fd` belongs to the tail from here."""
        self._fd, self._marker, self._base, self.end = fd, marker, segment.base, end

    def append(self, received: int, envelopes: Sequence[bytes]) -> list[int]:
        """Put the envelopes on the disk behind `end` and return their offsets; or raise, and `end` stands."""
        fd = self._roomy_segment(sum(FRAME_HEADER_BYTES + len(envelope) for envelope in envelopes))
        offsets, content = self._frames(received, envelopes)
        try:
            write_all(self._disk, fd, content, self._position)
        except BaseException:
            self._take_back(fd)
            raise
        try:
            self._disk.sync(fd)
        except BaseException:
            self._abandon(fd)
            raise
        self.end += len(content)
        return offsets

    def forget(self, base: int) -> None:
        """Segments up to the one of offset `base` stand elsewhere now. May be called beside `append`."""
        del self.segments[: sum(one.base <= base for one in tuple(self.segments))]

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            self._disk.close(fd)

    @property
    def _position(self) -> int:
        return self.end - self._base + HEADER_BYTES

    def _frames(self, received: int, envelopes: Sequence[bytes]) -> tuple[list[int], bytes]:
        offsets: list[int] = []
        parts: list[bytes] = []
        offset = self.end
        for envelope in envelopes:
            header = frame_header(self._marker, offset, received, envelope)
            offsets.append(offset)
            parts += (header, envelope)
            offset += len(header) + len(envelope)
        return offsets, b"".join(parts)

    def _roomy_segment(self, size: int) -> int:
        """The descriptor of a segment that takes `size` more bytes; one append never spans two."""
        full = self._position + size > self._segment_bytes_max and self.end > self._base
        if self._fd is not None and not full:
            return self._fd
        self.close()
        segment, marker = Segment.at(self._directory, self.end), secrets.token_bytes(MARKER_BYTES)
        fd = create_durably(self._disk, segment.path, [segment_header(segment.base, marker)])
        self.resume(segment, fd, marker, self.end)
        if segment not in self.segments:  # it is there already when a failed one of no records was replaced
            self.segments.append(segment)
        return fd

    def _take_back(self, fd: int) -> None:
        try:
            self._disk.truncate(fd, self._position)
        except OSError:
            self._abandon(fd)

    def _abandon(self, fd: int) -> None:
        """Leave the file for good. Cutting it is a courtesy: the next segment's base ends it all the same."""
        self._fd = None
        with suppress(OSError):
            self._disk.truncate(fd, self._position)
        with suppress(OSError):
            self._disk.close(fd)
