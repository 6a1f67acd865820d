"""A file as a look at its folder found it: its name, what it was then, and where it lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells that a file was touched: any difference means read it again."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    @property
    def touched_seconds(self) -> float:
        return max(self.modified_ns, self.changed_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system within the folder: `name` of the folder that it begins with (`scans/`; "": the folder itself),
    where that is and its numbers, and whether it lies on a network (None: nobody can tell)."""

    name: str
    where: str
    device: int
    inode: int
    on_network: bool | None


@dataclass(frozen=True, slots=True)
class FoundFile:
    """`name`: the path below the folder, with `/`, as `foldernames` spells it. `odd`: the same for the system, where
    that does not follow from the name. `resting`: nobody wrote to it for a while."""

    name: str
    odd: str | None
    state: FileState
    resting: bool
    mount: Mount

    @classmethod
    def at(cls, name: str, where: str, state: FileState, resting: bool, mount: Mount) -> FoundFile:
        return cls(name, None if where == _where(name, mount) else where, state, resting, mount)

    @property
    def where(self) -> str:
        return _where(self.name, self.mount) if self.odd is None else self.odd

    @property
    def path(self) -> Path:
        return Path(self.where)

    @property
    def is_surely_local(self) -> bool:
        """Else its content may change while nothing of its state does: clocks over a network are coarse."""
        return self.mount.on_network is False


def _where(name: str, mount: Mount) -> str:
    """A hundred thousand of these are not kept."""
    return os.path.join(mount.where, name[len(mount.name) :])
