"""The ledger's page of holes: which envelopes the journal lost, what was asked of whom, and what came.

The lander finds holes, reception asks and narrows them; each opens or closes a line in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from protocol.names import Stream

from . import tables as t

OPEN, HEALED, GONE = "open", "healed", "gone"


@dataclass(frozen=True, slots=True)
class Hole:
    """The envelopes `first` to `last` of an epoch, lost between the journal's offsets `start` and `stop`. `hash` is
    the chain hash of `last`, `before` that of the sequence before `first`; `received` is near to when they came."""

    stream: Stream
    epoch: int
    first: int
    last: int
    before: bytes
    hash: bytes
    start: int
    stop: int
    received: int

    def __str__(self) -> str:
        return f"{self.stream} {self.epoch}/{self.first}-{self.last}"

    def meets(self, other: Hole) -> bool:
        same = (self.stream, self.epoch) == (other.stream, other.epoch)
        return same and self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class HoleRecord:
    """A line. `hole` is what is still missing; `waits`: whether landing of the stream stands there; `times`: how often
    it was asked for since anything came."""

    id: int
    hole: Hole
    agent: str
    waits: bool
    found: int
    asked: int | None = None
    times: int = 0
    came: int = 0
    came_bytes: int = 0
    state: str = OPEN


class HoleBook:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def all(self) -> list[HoleRecord]:
        """Oldest first."""
        return self._select(sa.select(t.hole).order_by(t.hole.c.id))

    def open(self) -> list[HoleRecord]:
        return self._select(sa.select(t.hole).where(t.hole.c.state == OPEN).order_by(t.hole.c.id))

    def add(self, hole: Hole, agent: str, waits: bool, now: int) -> None:
        values = _values(hole) | {"agent": agent, "waits": waits, "found": now, "state": OPEN}
        self._run(sa.insert(t.hole).values(values | {"times": 0, "came": 0, "came_bytes": 0}))

    def is_as(self, id: int, hole: Hole | None, waits: bool) -> None:
        """What the journal itself says of an open hole. While somebody fills it only he knows its extent."""
        self._update(id, **({} if hole is None else _values(hole)), waits=waits)

    def note_asked(self, id: int, now: int, times: int) -> None:
        self._update(id, asked=now, times=times)

    def note_came(self, one: HoleRecord) -> None:
        """What of it is in the journal again, after it is."""
        hole, state = one.hole, one.state
        came = {"came": one.came, "came_bytes": one.came_bytes, "times": one.times}
        self._update(one.id, last=hole.last, hash=hole.hash, state=state, **came)

    def end(self, id: int, state: str) -> None:
        self._update(id, state=state)

    def _update(self, id: int, **values: Any) -> None:
        self._run(sa.update(t.hole).where(t.hole.c.id == id).values(values))

    def _run(self, statement: Any) -> None:
        with self._engine.begin() as c:
            c.execute(statement)

    def _select(self, query: sa.Select[Any]) -> list[HoleRecord]:
        with self._engine.connect() as c:
            return [_record(row) for row in c.execute(query)]


def _values(hole: Hole) -> dict[str, Any]:
    return {
        "site": hole.stream.site,
        "source": hole.stream.source,
        "epoch": hole.epoch,
        "first": hole.first,
        "last": hole.last,
        "before": hole.before,
        "hash": hole.hash,
        "start": hole.start,
        "stop": hole.stop,
        "received": hole.received,
    }


def _record(row: sa.Row[Any]) -> HoleRecord:
    stream = Stream(row.site, row.source)
    extent = (row.epoch, row.first, row.last, row.before, row.hash, row.start, row.stop, row.received)
    hole = Hole(stream, *extent)
    counted = (row.asked, row.times, row.came, row.came_bytes, row.state)
    return HoleRecord(row.id, hole, row.agent, row.waits, row.found, *counted)
