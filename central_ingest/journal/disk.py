"""The few calls by which the journal touches a disk, as a seam.

Everything that decides whether an envelope survives a power cut goes through here, so that a test can tear a
write, fill the disk, fail a sync or cut the power without patching anything. `LinuxDisk` is the real one. It
knows files and bytes; what they mean it refuses to know. Every call raises OSError as the system does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_MODE = 0o600
"""What the journal writes is for the account of the daemon alone."""


class Disk(Protocol):
    """Files by descriptor, positions in bytes."""

    def create(self, path: Path) -> int:
        """An empty file at `path`, open for reading and writing; what stood there is emptied."""
        ...

    def open(self, path: Path, *, writable: bool) -> int: ...

    def close(self, fd: int) -> None: ...

    def size(self, fd: int) -> int: ...

    def read(self, fd: int, length: int, position: int) -> bytes:
        """Up to `length` bytes; fewer only at the end of the file."""
        ...

    def write(self, fd: int, content: memoryview, position: int) -> int:
        """How many bytes of `content` were taken, which may be fewer than it has."""
        ...

    def truncate(self, fd: int, length: int) -> None: ...

    def sync(self, fd: int) -> None:
        """Content and size are on the disk when it returns. When it raises, nothing is known of what was not."""
        ...

    def forget(self, fd: int) -> None:
        """Drop the cached pages of a synced file, so that the next read tells what the disk has."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """`old` takes the place of `new`, atomically."""
        ...

    def remove(self, path: Path) -> None: ...

    def sync_directory(self, directory: Path) -> None: ...


class LinuxDisk:
    """The disk of this machine."""

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)

    def open(self, path: Path, *, writable: bool) -> int:
        return os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def read(self, fd: int, length: int, position: int) -> bytes:
        content = os.pread(fd, length, position)
        if len(content) in (0, length):
            return content
        return content + self.read(fd, length - len(content), position + len(content))

    def write(self, fd: int, content: memoryview, position: int) -> int:
        return os.pwrite(fd, content, position)

    def truncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def forget(self, fd: int) -> None:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def rename(self, old: Path, new: Path) -> None:
        os.replace(old, new)

    def remove(self, path: Path) -> None:
        path.unlink()

    def sync_directory(self, directory: Path) -> None:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_all(disk: Disk, fd: int, content: bytes, position: int) -> None:
    """Write the whole of `content`: a disk that takes less is asked again until it takes all or refuses."""
    rest = memoryview(content)
    while rest:
        taken = disk.write(fd, rest, position)
        rest = rest[taken:]
        position += taken


def create_durably(disk: Disk, path: Path, chunks: Iterable[bytes]) -> int:
    """Make `path` hold `chunks`, whole or not at all, and return its descriptor, open for writing.

    The file is new even where one of that name stood, which stays as it was until the new one is synced.
    """
    new = path.with_name(path.name + ".new")
    fd = disk.create(new)
    try:
        position = 0
        for chunk in chunks:
            write_all(disk, fd, chunk, position)
            position += len(chunk)
        disk.sync(fd)
        disk.rename(new, path)
        disk.sync_directory(path.parent)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            disk.close(fd)
        raise
    return fd


def make_directory(disk: Disk, directory: Path) -> None:
    """Make `directory` and its parents, each of them there after a power cut."""
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        disk.sync_directory(place.parent)
