"""Committing: the tables with waiting rows, and one commit of one table: append, make durable, note.

Invariant 4: the transactions are in the commit, and one whose outcome is unknown is looked up before anything
is written again. When a table is due `heat` decides; where rows come from this room does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from protocol.errors import Permanent, Transient

from ..ledger.ledger import Ledger, TableRecord
from ..metrics import Metrics
from . import heat
from .catalogue import Landing, Portion
from .lake import Lake
from .rows import stamp_landed


class Committing:
    def __init__(
        self,
        *,
        lake: Lake,
        ledger: Ledger,
        metrics: Metrics,
        rhythm: heat.Rhythm,
        pending_bytes_max: int,
        now: Callable[[], float],
        wall: Callable[[], int],
        refused: Callable[[Landing, Permanent], None],
        settled: Callable[[Landing], None],
    ) -> None:
        """`refused` is told of a table whose rows the lake will never take, `settled` of one with a new floor."""
        self._lake = lake
        self._ledger = ledger
        self._metrics = metrics
        self._rhythm = rhythm
        self._pending_bytes_max = pending_bytes_max
        self._now = now
        self._wall = wall
        self._refused = refused
        self._settled = settled
        self._allowance = heat.Allowance.full(now(), rhythm)
        self.active: dict[str, Landing] = {}
        """By path: the tables with waiting rows."""

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.active.values())

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.active.values())

    @property
    def full(self) -> bool:
        return self.bytes >= self._pending_bytes_max

    def add(self, landing: Landing, portion: Portion) -> None:
        landing.add(portion, self._now())
        self.active[landing.record.path] = landing

    def seconds_until_due(self) -> float | None:
        """None where nothing waits."""
        return heat.seconds_until_due(self._now(), self._waiting(), self._rhythm)

    def commit_due(self, everything: bool) -> Transient | None:
        """One table's trouble does not hold up the commits of others."""
        waiting = self._waiting()
        if everything or self.full:
            chosen = [one.table for one in waiting]
        else:
            self._allowance = self._allowance.filled(self._now(), self._rhythm)
            chosen = heat.due(self._now(), waiting, self._allowance, self._rhythm)
        fault = None
        for path in chosen:
            try:
                self.commit_or_refuse(self.active[path])
            except Transient as one:
                fault = one
        return fault

    def commit_or_refuse(self, landing: Landing) -> None:
        """As `commit`, but what the lake refuses for good is somebody else's from then on."""
        try:
            self.commit(landing)
        except Permanent as fault:
            self._refused(landing, fault)

    def commit(self, landing: Landing) -> None:
        """All that waits of one table. Raises Transient GC-6005: the outcome is unknown; Permanent GC-6004: nothing
        was written and nothing will be."""
        started, wall, path = self._now(), self._wall(), landing.record.path
        if landing.uncertain:
            self._look_up(landing, wall)
        if not landing.rows:
            return
        rows, txns = landing.take()
        landing.uncertain = True
        try:
            version = self._lake.append(path, stamp_landed(rows, wall), txns)
        except Permanent:
            landing.uncertain = False
            raise
        self._lake.make_durable(path, version)
        self._metrics.lags.note(landing.record.stream, rows["_gc_source_time"], self._wall())
        landing.last_commit = self._now()
        landing.commit_seconds = landing.last_commit - started
        self._allowance = self._allowance.less(landing.commit_seconds)
        self._landed(landing, {one.app: one.version for one in txns}, version, wall)

    def save(self, landing: Landing, record: TableRecord) -> None:
        if record != landing.record:
            landing.record = record
            self._ledger.save_table(record)

    def _waiting(self) -> list[heat.Waiting]:
        now = self._now()
        return [
            heat.Waiting(
                one.record.path, one.rows, one.bytes, now - one.since, one.last_commit, one.commit_seconds
            )
            for one in self.active.values()
            if one.rows
        ]

    def _look_up(self, landing: Landing, wall: int) -> None:
        """Find out what the commit before left. More may wait by now than it was given."""
        path = landing.record.path
        found = self._lake.recover(path, landing.record.synced_version)
        held = {app: self._lake.txn(path, app) or 0 for app in landing.txns}
        self._landed(landing, held, found.version, wall)

    def _landed(self, landing: Landing, held: Mapping[str, int], version: int, wall: int) -> None:
        record = landing.record
        if rows := landing.settle(held):
            landed = replace(record, synced_version=version, landed=wall, rows=record.rows + rows)
            self.save(landing, landed)
            self._metrics.rows_landed += rows
            self._metrics.commits += 1
        if not landing.waiting:
            self.active.pop(record.path, None)
            if landing.settles:
                landing.settles = False
                self._settled(landing)
