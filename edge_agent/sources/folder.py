"""A folder as a source sees it: which files count, and whether it is still the same folder.

A share that dropped looks like an empty folder, and an empty folder looks like a mass deletion. So a folder
that is missing or has lost all its files (GC-2009), or is another one than before (GC-2045), is an outage,
never a change, until a person accepts it as it is. A file counts once it has rested; one that counted before
stays in the list while it is rewritten. Nothing is written, locked, renamed or deleted here, and no file is
opened.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import Transient
from protocol.limits import NAME_BYTES_MAX

_IGNORED_SUFFIXES = (".tmp", ".part", ".partial", ".crdownload")
_IGNORED_PREFIXES = (".", "~$")


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
class FoundFile:
    """`name`: the path below the folder, with `/`; bytes that are no UTF-8 stand there as `\\xNN`."""

    name: str
    path: Path
    state: FileState
    resting: bool


def glob_matcher(glob: str) -> Callable[[str], bool]:
    """Whether a name matches: `*`, `?`, `[…]` within a name, `**/` for any folders, case ignored."""
    parts = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[[^/\]]+\]|.", glob, re.DOTALL):
        match token:
            case "**/":
                parts.append("(?:[^/]*/)*")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _ if len(token) > 1:
                parts.append("[" + token[1:-1].replace("\\", "\\\\").replace("!", "^", token[1] == "!") + "]")
            case _:
                parts.append(re.escape(token))
    pattern = re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
    return lambda name: pattern.fullmatch(name) is not None


class Folder:
    """The files below `root` that `wanted` accepts by name.

    `identity` is None until files were seen for the first time; kept by the caller, it makes the next
    process notice another folder in this one's place. `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        slug: str,
        root: Path,
        wanted: Callable[[str], bool],
        stable_seconds: float,
        identity: str | None,
        clock: Callable[[], float],
    ) -> None:
        self._slug = slug
        self._root = root
        self._wanted = wanted
        self._stable_seconds = stable_seconds
        self._clock = clock
        self.identity = identity
        self._seen: dict[str, tuple[FileState, float]] = {}
        self._counted: dict[str, Path] = {}

    def scan(self) -> list[FoundFile]:
        """The files that count, sorted by name. Transient GC-2001 (unreadable), GC-2009, GC-2045 (not the folder)."""
        identity = self._check_root()
        try:
            found = [self._found(name, path) for name, path in self._walk(self._root, "")]
        except OSError:
            raise Transient("GC-2001", source=self._slug, reason="the folder cannot be read") from None
        files = sorted((f for f in found if f is not None), key=lambda f: f.name)
        if not files and self.identity is not None:
            raise Transient("GC-2009", source=self._slug)
        if files:
            self.identity = identity
        counted = [f for f in files if f.resting or f.name in self._counted]
        self._counted = {f.name: f.path for f in counted}
        self._seen = {f.name: self._seen[f.name] for f in files}
        return counted

    def look(self, name: str) -> FoundFile | None:
        """One file that counted at the last scan, as it is now; None if it is not there. Faults as `scan`."""
        path = self._counted.get(name)
        if path is None:
            return None
        self._check_root()
        try:
            return self._found(name, path)
        except OSError:
            raise Transient("GC-2001", source=self._slug, reason="the folder cannot be read") from None

    def accept(self) -> None:
        """The folder is meant as it is now, be it another one, or empty."""
        self.identity = None

    def _check_root(self) -> str:
        try:
            status = self._root.stat()
        except OSError:
            raise Transient("GC-2009", source=self._slug) from None
        identity = f"{status.st_dev}:{status.st_ino}"
        if not stat.S_ISDIR(status.st_mode):
            raise Transient("GC-2009", source=self._slug)
        if self.identity not in (None, identity):
            raise Transient("GC-2045", source=self._slug)
        return identity

    def _walk(self, folder: Path, above: str) -> Iterator[tuple[str, Path]]:
        """(name, path) of wanted files. Linked folders are not entered: they can lead in a circle."""
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(_IGNORED_PREFIXES):
                    continue
                name = above + os.fsencode(entry.name).decode("utf-8", "backslashreplace")
                if entry.is_dir(follow_symlinks=False):
                    yield from self._walk(Path(entry.path), f"{name}/")
                elif not name.lower().endswith(_IGNORED_SUFFIXES) and self._wanted(name):
                    yield name, Path(entry.path)

    def _found(self, name: str, path: Path) -> FoundFile | None:
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        # A longer name has no table name; a pipe or device would block.
        if len(name.encode()) > NAME_BYTES_MAX or not stat.S_ISREG(status.st_mode):
            return None
        state = FileState.of(status)
        return FoundFile(name, path, state, self._rests(name, state))

    def _rests(self, name: str, state: FileState) -> bool:
        """By the file's own times, or, where its clock runs ahead of ours, by our own watching."""
        now = self._clock()
        before = self._seen.get(name)
        if before is None or before[0] != state:
            # Some shares tell a size long before the time of its change: such a time says nothing.
            dated = before is None or before[0].touched_seconds != state.touched_seconds
            before = (state, min(now, state.touched_seconds) if dated else now)
            self._seen[name] = before
        return now - before[1] >= self._stable_seconds
