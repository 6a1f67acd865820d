"""A walk through a folder: each file below it that is wanted, by one look at each, and what could not be looked at.

Files are found by their names and types; nothing but regular files is looked at, and no file is opened. A linked
folder is not entered: it can lead in a circle; a linked file is the file that it leads to. One folder that is closed
stops nobody but itself. No path is walked by calling oneself, so that no depth is too deep.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edge_agent.sources.foldernames import HIDDEN_PREFIXES, SYSTEM_FOLDERS, fitting, is_temporary, spelt
from edge_agent.sources.found import Mount
from edge_agent.sources.mounts import lies_on_network

NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Gone since its name was read, or a link to nowhere."""

Trail = tuple[tuple[int, int], ...]
"""Device and inode of each folder from the root on."""


@dataclass(slots=True)
class Walk:
    """`known`: mounts as an earlier walk found them. Filled on the way: `mounts` by name, and `closed`: names of
    folders (that end in `/`) and files that could not be looked at, each with the reason."""

    root: str
    known: dict[str, Mount] = field(default_factory=dict)
    mounts: dict[str, Mount] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)

    def files(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, str, Mount, os.stat_result]]:
        """(name, path, mount, status) of wanted regular files, in no order. Raises OSError where the root itself
        cannot be read."""
        status = os.stat(self.root)
        mount = self._mount("", self.root, status)
        stack: list[tuple[str, str, Mount, Trail]] = [
            (self.root, "", mount, ((status.st_dev, status.st_ino),))
        ]
        while stack:
            folder, above, mount, trail = stack.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        name = entry.name
                        if name.startswith(HIDDEN_PREFIXES):
                            continue
                        name = above + spelt(name)
                        if entry.is_dir(follow_symlinks=False):
                            if above != mount.name or entry.name not in SYSTEM_FOLDERS:
                                stack += self._below(entry.path, f"{name}/", mount, trail)
                        elif not is_temporary(name) and wanted(name) and _may_be_regular(entry):
                            found = self._look(entry, name, above)
                            if found is not None and stat.S_ISREG(found.st_mode):
                                yield fitting(name), entry.path, mount, found
            except _Closed as error:
                self.close(above, error.cause)
            except OSError as error:
                self.close(above, error)

    def close(self, name: str, error: OSError) -> None:
        """It could not be looked at, unless there is no such thing at all."""
        if not name:
            raise error
        if error.errno not in NOTHING_THERE:
            self.closed[name] = _reason(error)

    def _look(self, entry: os.DirEntry[str], name: str, above: str) -> os.stat_result | None:
        try:
            return os.stat(entry.path)
        except PermissionError as error:
            if not entry.is_symlink():  # the whole folder tells names and nothing else
                raise _Closed(error) from None
            self.close(fitting(name), error)
        except OSError as error:
            self.close(fitting(name), error)
        return None

    def _below(self, path: str, name: str, mount: Mount, trail: Trail) -> list[tuple[str, str, Mount, Trail]]:
        try:
            status = os.stat(path)
        except OSError as error:
            self.close(name, error)
            return []
        place = (status.st_dev, status.st_ino)
        if place in trail and status.st_ino:
            self.closed[name] = "it leads back to a folder above it"
            return []
        if status.st_dev != trail[-1][0]:
            mount = self._mount(name, path, status)
        return [(path, name, mount, (*trail, place))]

    def _mount(self, name: str, path: str, status: os.stat_result) -> Mount:
        known = self.known.get(name)
        if known is None or (known.device, known.inode) != (status.st_dev, status.st_ino):
            known = Mount(name, path, status.st_dev, status.st_ino, lies_on_network(path, status.st_dev))
        self.mounts[name] = known
        return known


class _Closed(Exception):
    """Stays inside this room."""

    def __init__(self, cause: OSError) -> None:
        super().__init__()
        self.cause = cause


def _may_be_regular(entry: os.DirEntry[str]) -> bool:
    """By its type alone, which costs no look: no pipe, socket or device."""
    return entry.is_file(follow_symlinks=False) or entry.is_symlink()


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "no permission"
    return "its path is too long" if error.errno == errno.ENAMETOOLONG else "read error"
