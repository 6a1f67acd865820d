"""Upkeep: what is done to one table so that its next years cost what its first day did.

A *visit* joins small files, seals a checkpoint, lets go of data files that were removed long enough ago, and cleans
the log up. Each step stands by itself: killed after any of them, the next visit goes on from what it finds, for
nothing is remembered but what the table's own log says. A *sweep* looks for files that no commit names at all
(drafts of an append that died, what a cut commit added).

What may be deleted, and when: a data file that the table's state does not hold, that a sealed checkpoint does not
hold either (no cut ever goes below one), and that nobody can be reading any more: removed, or written and named
nowhere, longer ago than readers are promised. Log entries: below the older of two sealed checkpoints, and as old.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from . import compaction
from .delta import DeltaLake
from .holding import READER_HOURS
from .tablestate import LiveFile, TableState

CHECKPOINT_COMMITS = 100
_JOINS_AT_ONCE = 16
_DISCARDED_AT_ONCE = 64  # of a table, while its appends wait


@dataclass(frozen=True, slots=True)
class Visited:
    """What a visit left: how much the next one has to read and a checkpoint has to carry, and whether more is worth
    doing at once."""

    weight: int
    more: bool


class Upkeep:
    def __init__(
        self,
        lake: DeltaLake,
        *,
        reader_hours: float = READER_HOURS,
        checkpoint_commits: int = CHECKPOINT_COMMITS,
        wall: Callable[[], float],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """`wall` gives seconds since 1970; `stopping`, whether no more joins should be begun."""
        self._lake = lake
        self._reader_seconds = reader_hours * 3600
        self._checkpoint_commits = checkpoint_commits
        self._wall = wall
        self._stopping = stopping
        self._let_go: dict[str, int] = {}
        """Until when (milliseconds) the removed files of a table are known to be deleted."""

    def visit(self, path: str) -> Visited:
        joined = self.compact(path)
        known = self._lake.state(path)
        if known.version < 0:
            return Visited(0, False)
        until = self._wall() - self._reader_seconds
        old = [n for n, at in known.removed.items() if self._let_go.get(path, -1) <= at < until * 1000]
        behind = known.version - self._lake.sealed(path)
        if behind >= self._checkpoint_commits or (old and behind):
            self._lake.checkpoint(path)
        if self._discard(path, old, known):
            self._let_go[path] = int(until * 1000)
        self._lake.clean_log(path, until)
        return Visited(known.weight, joined == _JOINS_AT_ONCE)

    def compact(self, path: str) -> int:
        """Join what is worth joining, one commit for each new file; returns how many there were."""
        today = datetime.datetime.fromtimestamp(self._wall(), datetime.UTC).date().isoformat()
        joins = compaction.plan(self._lake.files(path), today)
        for done, files in enumerate(joins[:_JOINS_AT_ONCE]):
            if self._stopping():
                return done
            self._lake.rewrite(path, files, [self._rows(path, files)], changes_rows=False)
        return len(joins[:_JOINS_AT_ONCE])

    def sweep(self, path: str) -> int:
        """Delete what no commit names; returns how many files went."""
        known = self._lake.state(path)
        strays = self._lake.strays(path, known, self._wall() - self._reader_seconds)
        if strays and self._lake.sealed(path) < known.version:
            self._lake.checkpoint(path)
        return self._discard(path, strays, known)

    def _discard(self, path: str, names: Sequence[str], known: TableState) -> int:
        """Nothing, unless a sealed checkpoint stands where `known` does or above."""
        if self._lake.sealed(path) < known.version:
            return 0
        pieces = range(0, len(names), _DISCARDED_AT_ONCE)
        return sum(self._lake.discard(path, names[at : at + _DISCARDED_AT_ONCE], known) for at in pieces)

    def _rows(self, path: str, files: Sequence[LiveFile]) -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            for one in files:
                for piece in self._lake.read_file(path, one):
                    yield from piece.to_batches()

        return pa.RecordBatchReader.from_batches(self._lake.schema(path), batches())
