"""Recomputing a `current` from its history, in the memory of one bucket whatever the size of the table.

Rows above the floor are sorted apart by key into a spill, and the rule runs over one bucket of keys at a time. A
row that took over from another key may need what that key held: the changes of all keys that ever moved go along
with each bucket, where some change left columns out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from . import current as rule
from .buckets import Bucket, even, within
from .deriving import derive, distinct, unchanged_in
from .history import EXPANDS, History, Place
from .spill import spilling

_FILES_MAX = 256
"""Of a spill; a larger history is read once more for each further so many buckets."""


def recomputed(
    history: History, upto: Place, above: rule.Floor, keyed: bool, scratch: Path, bucket_bytes: int
) -> Iterator[tuple[Bucket, pa.Table]]:
    """The rows of `current` by bucket, of about `bucket_bytes` in memory; buckets without rows are left out."""
    after = None if above.above is None else (above.above.epoch, above.above.seq)
    size = sum(file.size for file in history.newer(after)) * EXPANDS
    buckets = even(min(1 << 16, size // bucket_bytes + 1))
    names, moved = _survey(history, after, upto) if keyed else (set[str](), None)
    gathered = _Gathered(bucket_bytes)
    for begin in range(0, len(buckets), _FILES_MAX):
        group = buckets[begin : begin + _FILES_MAX]
        span = Bucket(group[0].first, group[-1].last)
        sorter = [*([Bucket(0, span.first - 1)] if span.first else []), *group]
        sorter += [Bucket(span.last + 1)] if span.last < Bucket().last else []
        with spilling(scratch, sorter) as spill:
            for piece in history.pieces(after, upto):
                rows = piece.filter(pc.not_equal(piece.column("_gc_op"), "m"))
                spill.add(within(rows, span))
            for number in spill.numbers():
                rows = spill.rows(number)
                assert rows is not None
                bucket = sorter[number]
                if moved is not None:
                    inside = distinct(rows.column("_gc_key"))
                    others = pc.invert(pc.is_in(moved.column("_gc_key"), value_set=inside))
                    rows = pa.concat_tables([rows, moved.filter(others)])
                found = within(derive(rows, keyed, above, names), bucket)
                yield from gathered.add(bucket, found)
                pa.default_memory_pool().release_unused()
    yield from gathered.rest()


def _survey(history: History, after: Place | None, upto: Place) -> tuple[set[str], pa.Table | None]:
    """The columns that some change left out, and all changes of the keys that moved (None where neither matters)."""
    names: set[str] = set()
    keys: list[pa.Array] = []
    wanted = ("_gc_op", "_gc_key", "_gc_old_key", "_gc_unchanged")
    for piece in history.pieces(after, upto, wanted):
        names |= unchanged_in(piece)
        old = piece.column("_gc_old_key")
        if old.null_count < len(old):
            moves = piece.filter(pc.is_valid(old))
            keys += [*moves.column("_gc_key").chunks, *moves.column("_gc_old_key").chunks]
    if not names or not keys:
        return names, None
    moving = pc.unique(pa.concat_arrays(keys))
    pieces = history.pieces(after, upto)
    of_them = (piece.filter(pc.is_in(piece.column("_gc_key"), value_set=moving)) for piece in pieces)
    changes = pa.concat_tables([*of_them, history.schema.empty_table()])
    return names, changes.filter(pc.not_equal(changes.column("_gc_op"), "m"))


class _Gathered:
    """Neighbouring buckets joined until they are worth a file: a long history may hold few rows that live."""

    def __init__(self, bytes_wanted: int) -> None:
        self._wanted = bytes_wanted
        self._first = 0
        self._last = 0
        self._parts: list[pa.Table] = []

    def add(self, bucket: Bucket, rows: pa.Table) -> Iterator[tuple[Bucket, pa.Table]]:
        self._last = bucket.last
        self._parts.append(rows)
        if sum(part.nbytes for part in self._parts) >= self._wanted:
            yield from self.rest()

    def rest(self) -> Iterator[tuple[Bucket, pa.Table]]:
        if self._parts:
            yield Bucket(self._first, self._last), pa.concat_tables(self._parts)
        self._first, self._parts = self._last + 1, []
