"""A store on a local disk: names are files below a root, and durable means fsynced with every directory above.

deltalake never calls fsync (measured with strace, 1.6.6), and neither does `put`: whoever commits syncs many names
at once. The kernel reports a failed write once and then calls the page clean, so what counts after a failure is
what `prove` reads past its cache. It refuses to know what lies in the files.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import uuid
from collections.abc import Iterable
from pathlib import Path

from .store import Item, Location

_DRAFT = ".tmp"
_DRAFTS = re.compile(r".*(\.tmp|#[0-9]+)")
"""Ours, and those of the engine (object_store) that writes deltalake's checkpoints."""


class LocalStore:
    """A `Store` below `root`."""

    lasting = False

    def __init__(self, root: Path) -> None:
        self._root = root
        self._synced: set[Path] = set()
        """Directories that are known to stand durably in their parents."""

    def establish(self) -> None:
        missing = [place for place in (self._root, *self._root.parents) if not place.exists()]
        self._root.mkdir(parents=True, exist_ok=True)
        for place in missing:
            _sync(place.parent)

    def create(self, name: str, content: bytes) -> None:
        final = self._root / name
        final.parent.mkdir(parents=True, exist_ok=True)
        draft = final.with_name(f"{uuid.uuid4()}{_DRAFT}")
        draft.write_bytes(content)
        try:
            os.link(draft, final)
        except OSError:
            if not final.exists() or final.read_bytes() != content:
                raise
        finally:
            with contextlib.suppress(OSError):  # `tidy` removes drafts that stay behind
                draft.unlink()

    def put(self, name: str, content: bytes) -> None:
        file = self._root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def keep(self, name: str, content: bytes | Path) -> None:
        file = self._root / name
        self.establish()
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = content if isinstance(content, Path) else file.with_name(f".{file.name}.new")
        if isinstance(content, bytes):
            draft.write_bytes(content)
        _sync(draft)
        os.replace(draft, file)
        self._sync_directory(file.parent)

    def get(self, name: str) -> bytes:
        return (self._root / name).read_bytes()

    def prove(self, name: str) -> bytes:
        file = self._root / name
        _forget_cached(file)
        return file.read_bytes()

    def size(self, name: str) -> int | None:
        try:
            facts = (self._root / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return facts.st_size if stat.S_ISREG(facts.st_mode) else None

    def list(self, folder: str) -> list[Item]:
        try:
            with os.scandir(self._root / folder) as entries:
                found = [item for one in entries if (item := _item(one)) is not None]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(found, key=lambda item: item.name)

    def move(self, name: str, to: str) -> None:
        target = self._root / to
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._root / name, target)

    def delete(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    def sync(self, names: Iterable[str]) -> None:
        """Files in the order of their names, then the directories that name them."""
        touched = set()
        for name in names:
            path = self._root / name
            if name.endswith("/"):
                touched.add(path)
            else:
                _sync(path)
                touched.add(path.parent)
        for directory in sorted(touched):
            self._sync_directory(directory)

    def tidy(self, folder: str) -> None:
        for item in self.list(folder):
            if _DRAFTS.fullmatch(item.name):
                (self._root / folder / item.name).unlink(missing_ok=True)

    def clear_uploads(self) -> int:
        return 0

    def locate(self, folder: str) -> Location:
        return Location(str(self._root / folder))

    def _sync_directory(self, directory: Path) -> None:
        _sync(directory)
        while directory != self._root and directory not in self._synced:
            _sync(directory.parent)
            self._synced.add(directory)
            directory = directory.parent


def _item(entry: os.DirEntry[str]) -> Item | None:
    """None for what is gone since it was listed."""
    if entry.is_dir(follow_symlinks=False):
        return Item(f"{entry.name}/", 0, 0)
    try:
        facts = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Item(entry.name, facts.st_size, facts.st_mtime)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _forget_cached(file: Path) -> None:
    if hasattr(os, "posix_fadvise"):
        handle = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
