"""The journal in segment files: what the centre has given receipts for stands here (invariant 3).

Segments follow each other by offset, and a segment ends where the next begins, whatever stands behind that
in its file. Opening checks the last segment alone; sealed ones are checked as they are read. The bytes are
described in `frames`, reading in `segments`, writing in `tail`; this file opens, mends and sets aside. A
damaged stretch is copied to `damaged/<offset>-<length>-<hash>.bin` in the journal's directory. What an
envelope says is none of its business.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from protocol.errors import Permanent, Transient
from protocol.limits import MIB

from .disk import Disk, LinuxDisk, create_durably, make_directory
from .journal import TORN_TAIL, Damage, Entry
from .segments import MISSING, Segment, SegmentReader, list_segments
from .tail import Tail

SEGMENT_BYTES_MAX = 256 * MIB


class FileJournal:
    """See the seam. With `read_only` it is the journal as it stood at opening; a writer may go on beside it."""

    def __init__(self, disk: Disk, directory: Path, segment_bytes_max: int, lock: int | None) -> None:
        self._disk = disk
        self._directory = directory
        self._lock = lock
        self._closed = False
        self._damage: list[Damage] = []
        self._tail = Tail(disk, directory, list_segments(directory), segment_bytes_max)

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        read_only: bool = False,
        disk: Disk | None = None,
    ) -> FileJournal:
        """Open the journal in `directory`, which is made where it is missing (but not by `read_only`).

        A segment is closed once an append would take it above `segment_bytes_max`. Raises Permanent GC-1006
        when another writer has it open, Transient GC-6001 when it cannot be read or mended.
        """
        disk = disk or LinuxDisk()
        lock: int | None = None
        try:
            if read_only:
                journal = cls(disk, directory, segment_bytes_max, None)
                journal._survey()
            else:
                make_directory(disk, directory)
                lock = _lock(directory)
                journal = cls(disk, directory, segment_bytes_max, lock)
                journal._mend()
        except BaseException as error:
            if lock is not None:
                os.close(lock)
            if isinstance(error, OSError):
                raise _unwritable(directory, error) from error
            raise
        return journal

    @property
    def end(self) -> int:
        return self._tail.end

    @property
    def damage(self) -> Sequence[Damage]:
        """In the order in which it was found, each stretch once: what is new stands behind what was known."""
        return tuple(self._damage)

    def append(self, received: int, envelopes: Sequence[bytes]) -> list[int]:
        if self._closed or self._lock is None:
            raise ValueError(
                "the journal is closed" if self._closed else "the journal is open for reading only"
            )
        if not envelopes:
            return []
        try:
            return self._tail.append(received, envelopes)
        except OSError as error:
            raise _unwritable(self._directory, error) from error

    def read(self, start: int = 0) -> Iterator[Entry]:
        if self._closed:
            raise ValueError("the journal is closed")
        return self._read(start, self.end, tuple(self._tail.segments))

    def close(self) -> None:
        self._closed = True
        self._tail.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _read(self, start: int, end: int, segments: Sequence[Segment]) -> Iterator[Entry]:
        stops = [*(segment.base for segment in segments), end][1:]
        for segment, stop in zip(segments, stops, strict=True):
            first = max(start, segment.base)
            if first < stop:
                yield from self._read_segment(segment, first, stop)

    def _read_segment(self, segment: Segment, start: int, stop: int) -> Iterator[Entry]:
        try:
            reader = SegmentReader(self._disk, segment)
        except FileNotFoundError:
            self._note(Damage(start, stop - start, MISSING))
            return
        with reader:
            for item in reader.items(start, stop):
                if isinstance(item, Entry):
                    yield item
                else:
                    self._keep(reader, item)

    def _survey(self) -> None:
        """Find the end without touching anything. What is half written there is the writer's, and no damage."""
        if self._tail.segments:
            with SegmentReader(self._disk, self._tail.segments[-1]) as reader:
                survey = reader.survey()
            self._damage += survey.damage
            self._tail.end = survey.end

    def _mend(self) -> None:
        """Find the end, cut what is unfinished behind it, and make sure that what is believed is on the disk.

        Records that a killed writer had not synced are valid in the page cache alone, and a sync that failed
        in his time may leave them there looking clean. Hence first sync, then forget, then read.
        """
        self._disk.sync_directory(self._directory)
        if not self._tail.segments:
            return
        segment = self._tail.segments[-1]
        reader = SegmentReader(self._disk, segment, writable=True)
        try:
            self._disk.sync(reader.fd)
            self._disk.forget(reader.fd)
            survey = reader.survey()
            for stretch in survey.damage:
                self._keep(reader, stretch)
            if survey.torn is not None:
                self._cut(reader, survey.torn)
        except BaseException:
            self._disk.close(reader.fd)
            raise
        self._tail.end = survey.end
        if reader.marker is None or reader.unreadable:
            self._disk.close(reader.fd)  # left as it is for the operator: the next append opens a new segment
        else:
            self._tail.resume(segment, reader.fd, reader.marker, survey.end)

    def _cut(self, reader: SegmentReader, torn: Damage) -> None:
        self._set_aside(reader, torn)
        size = self._disk.size(reader.fd)
        self._disk.truncate(reader.fd, size - torn.length)
        self._disk.sync(reader.fd)
        self._note(replace(torn, reason=TORN_TAIL))

    def _keep(self, reader: SegmentReader, stretch: Damage) -> None:
        """Note a stretch between valid records, and copy it aside when we are the writer; it also stays."""
        if any((known.offset, known.length) == (stretch.offset, stretch.length) for known in self._damage):
            return
        if self._lock is not None:
            try:
                self._set_aside(reader, stretch)
            except OSError as error:  # nothing is lost by it, so it must not keep anyone from reading on
                why = os.strerror(error.errno or 0)
                stretch = replace(stretch, reason=f"{stretch.reason}; not copied aside: {why}")
        self._note(stretch)

    def _set_aside(self, reader: SegmentReader, stretch: Damage) -> None:
        digest = blake2b(digest_size=8)
        for chunk in reader.stretch(stretch.offset, stretch.length):
            digest.update(chunk)
        name = f"{stretch.offset:020d}-{stretch.length}-{digest.hexdigest()}.bin"
        make_directory(self._disk, self._directory / "damaged")
        path = self._directory / "damaged" / name
        self._disk.close(create_durably(self._disk, path, reader.stretch(stretch.offset, stretch.length)))

    def _note(self, stretch: Damage) -> None:
        if stretch not in self._damage:
            self._damage.append(stretch)


def _lock(directory: Path) -> int:
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise Permanent("GC-1006", command="central-ingest", path=str(directory)) from error
    return fd


def _unwritable(directory: Path, error: OSError) -> Transient:
    return Transient("GC-6001", path=str(directory), reason=os.strerror(error.errno or 0))
