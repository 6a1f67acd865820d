"""Materialising: one step of one table's `current`, from what stands there and what `changes` has since.

A step reads new changes alone, and no row of the state unless a change left columns out. Where that is not exact
(the floor moved; a row took over from a key that died before the window; a table without key) the table is
recomputed from its history. Exact either way: what a version of the Delta table says is a plain replay of the
changes up to the envelope that its statement names. Knows no ledger and no clock but the one given to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from protocol.change import Version

from . import evolution
from .deriving import advance, distinct
from .history import History, Place, Tables
from .materialised import BUCKET_BYTES, LIVE, Materialised
from .recomputing import recomputed
from .statement import Statement, Track

CHANGES, CURRENT = "changes/", "current/"


def path_of(changes: str) -> str:
    """Where the materialised `current` of a table of `changes` lies."""
    assert changes.startswith(CHANGES)
    return CURRENT + changes.removeprefix(CHANGES)


def changes_of(current: str) -> str:
    """The other way round."""
    assert current.startswith(CURRENT)
    return CHANGES + current.removeprefix(CURRENT)


@dataclass(frozen=True, slots=True)
class Limits:
    """`window_bytes`: of changes in memory that one step takes; `bucket_bytes`: of rows that a merge or a recompute
    holds at a time. The tail is merged when it has this share of the base's rows (a merge costs as much whatever the
    tail holds, a reader pays for the tail), and always where the base has at most `small_rows`: such a table can be
    read plainly."""

    window_bytes: int = 64 << 20
    bucket_bytes: int = BUCKET_BYTES
    merge_share: float = 0.5
    small_rows: int = 10_000


@dataclass(frozen=True, slots=True)
class Made:
    """How a table stands after a step. `recomputed`: from its history; `more`: a large window goes on at once."""

    statement: Statement
    base_rows: int
    tail_rows: int
    recomputed: bool
    more: bool


class Materialising:
    def __init__(
        self, lake: Tables, scratch: Path, wall: Callable[[], int], limits: Limits | None = None
    ) -> None:
        self._lake = lake
        self._scratch = scratch
        self._wall = wall
        self._limits = limits or Limits()

    def step(self, changes: str, keyed: bool, *, rebuild: bool = False) -> Made | None:
        """One step of the table whose `changes` lie there; None where nothing has landed.

        `rebuild`: from its history, whatever stands. Raises Transient GC-6005 where the store fails: the last good
        version stays readable. Only one thread may do this.
        """
        began = self._wall()
        history = History.at_present(self._lake, changes)
        if history is None:
            return None
        work = _Work(self._lake, self._scratch, self._limits, history, keyed, began)
        is_new = work.step(rebuild)
        table = self._table(changes)
        assert table.statement is not None
        more = table.statement.more
        return Made(table.statement, table.base_rows, table.tail_rows, is_new, more)

    def _table(self, changes: str) -> Materialised:
        return Materialised(
            self._lake, path_of(changes), self._scratch, bucket_bytes=self._limits.bucket_bytes
        )


_TRACKED = ("_gc_op", "_gc_epoch", "_gc_seq", "_gc_ord", "_gc_mark")


class _Work:
    """One step, over one history."""

    def __init__(
        self, lake: Tables, scratch: Path, limits: Limits, history: History, keyed: bool, began: int
    ) -> None:
        self._limits = limits
        self._scratch = scratch
        self._history = history
        self._keyed = keyed
        self._began = began
        self._last = history.last
        """As far as this step may go."""
        self._table = Materialised(lake, path_of(history.path), scratch, bucket_bytes=limits.bucket_bytes)

    def step(self, rebuild: bool) -> bool:
        """Whether the table was recomputed."""
        said = self._table.statement
        if said is not None and said.place > self._last:
            said = None
        crosses = self._choose_key(None if rebuild else said)
        if rebuild or said is None or said.keyed != self._keyed:
            self._recompute(None)
            return True
        if said.place == self._last:
            return False
        if (
            crosses
            or not self._keyed
            or not self._table.fits(self._history.schema)
            or not self._advance(said)
        ):
            self._recompute(said)
            return True
        return False

    def _choose_key(self, said: Statement | None) -> bool:
        """Under which key the table stands, and up to where: before a newer key where no floor was laid since it came
        (see `merging.standing`). Tells whether another key came since what is `said`."""
        keys = evolution.keys(self._history.landed.metadata)
        for era in reversed(keys):
            self._keyed = bool(era.key)
            since = (era.since.epoch, era.since.seq)
            if era is keys[0] or (said is not None and said.place >= since):
                return False
            above = self._track(said, self._last).floor.above
            if above is not None and above >= era.since:
                return True
            self._last = min(self._last, (since[0], since[1] - 1))
        return False

    def _advance(self, said: Statement) -> bool:
        """Take the next window; False, and nothing done, where only the history can tell."""
        end = self._history.window_end(said.place, self._last, self._limits.window_bytes)
        window = pa.concat_tables(self._history.pieces(said.place, end))
        track = said.track.followed(window)
        if track.floor.above != said.track.floor.above:
            return False
        changed = window.filter(pc.not_equal(window.column("_gc_op"), "m"))
        statement = self._statement(track, end)
        if not changed.num_rows:
            self._table.restate(statement)
            return True
        live = advance(changed, self._table.standing)
        if live is None:
            return False
        rows = with_tombstones(live, changed)
        tail, base = self._table.tail_rows + rows.num_rows, self._table.base_rows
        if base <= self._limits.small_rows or tail >= self._limits.merge_share * base:
            self._table.merge(rows, statement)
        else:
            self._table.append(rows, statement)
        return True

    def _recompute(self, said: Statement | None) -> None:
        history, last = self._history, self._last
        track = self._track(said, last)
        parts = recomputed(history, last, track.floor, self._keyed, self._scratch, self._limits.bucket_bytes)
        self._table.replace(parts, history.schema, self._statement(track, last))

    def _track(self, said: Statement | None, upto: Place) -> Track:
        history = self._history
        if said is None:
            return Track.of(history.marks(upto), history.reads, Version(*upto))
        nothing = history.schema.empty_table().select(list(_TRACKED))
        return said.track.followed(pa.concat_tables([nothing, *history.pieces(said.place, upto, _TRACKED)]))

    def _statement(self, track: Track, upto: Place) -> Statement:
        before = self._table.statement
        return Statement(
            changes=self._history.path,
            changes_version=self._history.version,
            epoch=upto[0],
            seq=upto[1],
            time=self._began,
            step=1 if before is None else before.step + 1,
            keyed=self._keyed,
            track=track,
            more=upto < self._last,
        )


def with_tombstones(live: pa.Table, changed: pa.Table) -> pa.Table:
    """The rows that live, and of each other key that changed that it is gone."""
    keys = distinct(changed.column("_gc_key"))
    dead = keys.filter(pc.invert(pc.is_in(keys, value_set=distinct(live.column("_gc_key")))))
    columns = [
        dead.cast(field.type) if field.name == "_gc_key" else pa.nulls(len(dead), field.type)
        for field in live.schema
    ]
    rows = pa.concat_tables([live, pa.Table.from_arrays(columns, schema=live.schema)])
    lives = pa.concat_arrays(
        [pa.repeat(pa.scalar(True), live.num_rows), pa.repeat(pa.scalar(False), len(dead))]
    )
    return rows.append_column(LIVE, lives)
