"""Moments around whatever a process writes: a machine may die before and after each of them.

Files: every fsync, rename and unlink that a process asks of the system, so also the moment between a draft and
its name. Databases: every COMMIT. The journal's disk and the lake are fakes with moments of their own (`centre`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from edge_agent.spool.database import Database

from .clock import PROCESS

CALLS = ("fsync", "replace", "unlink")


def moment() -> None:
    """Of the process whose code runs here, if one does."""
    process = PROCESS.get()
    if process is not None:
        process.moment()


@contextmanager
def around_files(but: Path) -> Iterator[None]:
    """While in it, those calls have moments; those on names below `but` have not."""
    before = {name: getattr(os, name) for name in CALLS}

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            if isinstance(args[0], int) or but not in Path(args[0]).parents:
                moment()
                result = call(*args, **kwargs)
                moment()
                return result
            return call(*args, **kwargs)

        return run

    for name, call in before.items():
        setattr(os, name, watched(call))
    try:
        yield
    finally:
        for name, call in before.items():
            setattr(os, name, call)


def around_commits(engine: sa.Engine) -> None:
    """Of the ledger."""
    commit = engine.dialect.do_commit

    def watched(connection: Any) -> None:
        moment()
        commit(connection)
        moment()

    engine.dialect.do_commit = watched  # type: ignore[assignment, method-assign]


class SpoolFile(Database):
    """The spool's file, with moments around its commits, and what a power cut leaves of it.

    Its WAL only grows while it is open (it is far below the size at which it is carried over), so what is on the
    platter is the WAL up to the last durable commit; of the rest any beginning may have reached it.
    """

    synced_bytes = 0

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Any]:
        moment()
        with super().write(durable=durable) as connection:
            yield connection
            moment()
        if durable:
            self.synced_bytes = self._wal.stat().st_size
        moment()

    def die(self, torn_bytes: int | None) -> None:
        """Close without the goodbye by which SQLite carries the WAL over. With `torn_bytes` the power is cut, and
        so many bytes of what was not synced are there."""
        there = {path: path.read_bytes() for path in (self.path, self._wal) if path.exists()}
        if torn_bytes is not None and self._wal in there:
            there[self._wal] = there[self._wal][: self.synced_bytes + torn_bytes]
        self.close()
        for path, content in there.items():
            path.write_bytes(content)
