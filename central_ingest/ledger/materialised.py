"""The ledger's page of the materialised `current`: how far each table is, which have news, which are to be rebuilt.

Derived: each table states the same of itself in its own commits. A page that is lost or behind costs a look at each
table, never a row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from . import tables as t
from .upsert import upsert


@dataclass(frozen=True, slots=True)
class Standing:
    """One table. `path` is that of its `changes`; `time` and what follows as the statement in the lake says."""

    path: str
    landed: int | None
    time: int | None
    epoch: int
    seq: int
    base_rows: int
    tail_rows: int


@dataclass(frozen=True, slots=True)
class News:
    """A table whose `current` is behind: `landed` is its last commit, `time` up to when it is materialised (None:
    never). `rebuild`: somebody asked for it."""

    path: str
    keyed: bool
    landed: int
    time: int | None
    rebuild: bool


class MaterialisedBook:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def all(self) -> dict[str, Standing]:
        """By path."""
        with self._engine.connect() as c:
            return {row.path: Standing(*row[:7]) for row in c.execute(sa.select(t.materialised))}

    def news(self) -> list[News]:
        """The tables that are behind, the stalest first."""
        of, made = t.lake_table, t.materialised
        behind = made.c.landed.is_distinct_from(of.c.landed) | made.c.asked.is_not(None)
        query = (
            sa.select(of.c.path, of.c.key, of.c.landed, made.c.time, made.c.asked)
            .select_from(of.outerjoin(made, made.c.path == of.c.path))
            .where(of.c.landed.is_not(None) & behind)
        )
        with self._engine.connect() as c:
            found = [
                News(row.path, bool(json.loads(row.key)), row.landed, row.time, row.asked is not None)
                for row in c.execute(query)
            ]
        return sorted(found, key=lambda one: (one.time or 0, one.path))

    def note(self, one: Standing, *, rebuilt: int | None = None) -> None:
        """`rebuilt`: when the rebuild began that this is the end of; one asked for later is still to come."""
        names = ("landed", "time", "epoch", "seq", "base_rows", "tail_rows")
        values = {name: getattr(one, name) for name in names}
        made = t.materialised
        with self._engine.begin() as c:
            c.execute(
                upsert(c, made)
                .values(values | {"path": one.path})
                .on_conflict_do_update(index_elements=["path"], set_=values)
            )
            if rebuilt is not None:
                met = (made.c.path == one.path) & (made.c.asked <= rebuilt)
                c.execute(sa.update(made).where(met).values(asked=None))

    def ask(self, paths: Iterable[str], now: int) -> None:
        """That these be rebuilt."""
        empty: dict[str, Any] = {"epoch": 0, "seq": 0, "base_rows": 0, "tail_rows": 0}
        with self._engine.begin() as c:
            for path in paths:
                c.execute(
                    upsert(c, t.materialised)
                    .values(empty | {"path": path, "asked": now})
                    .on_conflict_do_update(index_elements=["path"], set_={"asked": now})
                )
