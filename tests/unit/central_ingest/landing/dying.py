"""A store on disk whose process is killed at a chosen call: what the call had done by then stays, nothing follows."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from central_ingest.landing.localstore import LocalStore


class Killed(BaseException):
    """Nobody catches it, as nobody catches a SIGKILL."""


class DyingStore(LocalStore):
    """`dies_at`: the call that changes something, counted from 0, that does not come to its end (None: none).
    `halfway`: what it writes is then there by half, else not at all. `calls` names those made."""

    def __init__(self, root: Path, dies_at: int | None = None, *, halfway: bool = False) -> None:
        super().__init__(root)
        self._dies_at = dies_at
        self._halfway = halfway
        self.calls: list[str] = []

    def create(self, name: str, content: bytes) -> None:
        if self._dies("create", name):
            self._leave(name + ".tmp", content)
        super().create(name, content)

    def put(self, name: str, content: bytes) -> None:
        if self._dies("put", name):
            self._leave(name, content)
        super().put(name, content)

    def keep(self, name: str, content: bytes | Path) -> None:
        if self._dies("keep", name):
            self._leave(name + ".new", b"" if isinstance(content, Path) else content)
        super().keep(name, content)

    def move(self, name: str, to: str) -> None:
        if self._dies("move", name):
            raise Killed
        super().move(name, to)

    def delete(self, name: str) -> None:
        if self._dies("delete", name):
            raise Killed
        super().delete(name)

    def sync(self, names: Iterable[str]) -> None:
        if self._dies("sync", ""):
            raise Killed
        super().sync(names)

    def _dies(self, call: str, name: str) -> bool:
        self.calls.append(f"{call} {name}")
        if self._dies_at is not None and len(self.calls) - 1 > self._dies_at:
            raise Killed  # the dead do nothing more
        return len(self.calls) - 1 == self._dies_at

    def _leave(self, name: str, content: bytes) -> None:
        if self._halfway:
            super().put(name, content[: len(content) // 2])
        raise Killed


def copied(root: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    return shutil.copytree(root, to)
