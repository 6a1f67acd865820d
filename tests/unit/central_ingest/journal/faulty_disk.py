"""A disk that fills up, tears writes, fails syncs and loses its power, on real files.

It keeps, beside the files that a process sees, what the platter would have: writes reach it with a sync that
succeeds, names with a sync of their directory. A sync that fails drops what was written before it and the
next one succeeds, as Linux does; only `forget` then shows what is really there.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path

from central_ingest.journal.disk import LinuxDisk


@dataclass(eq=False, slots=True)
class _File:
    """`durable` is on the platter; `pending` are writes (position, bytes) and cuts (length, None) above it."""

    durable: bytearray
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def flush(self, budget: int | None = None) -> None:
        for position, content in self.pending:
            if content is None:
                del self.durable[position:]
                continue
            part = content if budget is None else content[:budget]
            self.durable.extend(bytes(max(0, position - len(self.durable))))
            self.durable[position : position + len(part)] = part
            if budget is not None:
                budget -= len(part)
                if budget <= 0:
                    break
        self.pending.clear()


class FaultyDisk(LinuxDisk):
    """Set an attribute and the next calls suffer. `power_cut()` leaves the files as the platter has them."""

    def __init__(self) -> None:
        self.room: int | None = None
        """Bytes that may still be written before the disk is full."""
        self.write_bytes_max: int | None = None
        """How much one write takes at most."""
        self.sync_failures = 0
        self.truncate_failures = 0
        self.directory_sync_failures = 0
        self.unreadable: range = range(0)
        """Positions that no read may touch, in any file."""
        self.calls: list[str] = []
        self._seen: dict[Path, _File] = {}
        self._durable: dict[Path, _File] = {}
        self._opened: dict[int, _File] = {}

    def create(self, path: Path) -> int:
        self._durable.update({path: self._known(path)} if path.exists() else {})
        path.unlink(missing_ok=True)  # a new inode: what the platter has under that name stays until a rename
        fd = super().create(path)
        self._seen[path] = self._opened[fd] = _File(bytearray())
        return fd

    def open(self, path: Path, *, writable: bool) -> int:
        fd = super().open(path, writable=writable)
        self._opened[fd] = self._known(path)
        return fd

    def close(self, fd: int) -> None:
        del self._opened[fd]
        super().close(fd)

    def read(self, fd: int, length: int, position: int) -> bytes:
        touched = range(max(position, self.unreadable.start), min(position + length, self.unreadable.stop))
        if touched:
            raise OSError(errno.EIO, "unreadable")
        return super().read(fd, length, position)

    def write(self, fd: int, content: memoryview, position: int) -> int:
        self.calls.append("write")
        limits = (len(content), self.room, self.write_bytes_max)
        taken = min(limit for limit in limits if limit is not None)
        if taken == 0:
            raise OSError(errno.ENOSPC, "full")
        if self.room is not None:
            self.room -= taken
        self._opened[fd].pending.append((position, bytes(content[:taken])))
        return super().write(fd, content[:taken], position)

    def truncate(self, fd: int, length: int) -> None:
        if self.truncate_failures:
            self.truncate_failures -= 1
            raise OSError(errno.EIO, "truncate")
        self._opened[fd].pending.append((length, None))
        super().truncate(fd, length)

    def sync(self, fd: int) -> None:
        self.calls.append("sync")
        if self.sync_failures:
            self.sync_failures -= 1
            self._opened[fd].pending.clear()
            raise OSError(errno.EIO, "sync")
        self._opened[fd].flush()

    def forget(self, fd: int) -> None:
        file = self._opened[fd]
        assert not file.pending, "only what was synced can be forgotten"
        with open(f"/proc/self/fd/{fd}", "r+b") as same:  # one that was opened for reading only, too
            same.truncate(0)
            same.write(file.durable)

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self._seen[new] = self._seen.pop(old)

    def remove(self, path: Path) -> None:
        self._durable.update({path: self._known(path)} if path not in self._durable else {})
        super().remove(path)
        self._seen.pop(path, None)

    def sync_directory(self, directory: Path) -> None:
        self.calls.append("sync_directory")
        if self.directory_sync_failures:
            self.directory_sync_failures -= 1
            raise OSError(errno.EIO, "sync of a directory")
        for names in (self._durable, self._seen):
            for path in [path for path in names if path.parent == directory]:
                if path in self._seen:
                    self._durable[path] = self._seen[path]
                else:
                    del names[path]

    def power_cut(self, flushed_bytes: int = 0) -> None:
        """Of every file, the platter has what was synced and `flushed_bytes` of what was not."""
        for path in {*self._seen, *self._durable}:
            path.unlink(missing_ok=True)
        for path, file in self._durable.items():
            file.flush(flushed_bytes)
            path.write_bytes(file.durable)
        self._seen = dict(self._durable)

    def _known(self, path: Path) -> _File:
        if path not in self._seen:
            self._seen[path] = self._durable[path] = _File(bytearray(path.read_bytes()))
        return self._seen[path]
