"""Refreshing: which table's `current` is materialised next, and when the work rests.

A job for the maintenance thread: `step` takes one table and says how long it may sleep. Each round takes the tables
that are behind, the stalest first, once per cadence. All of them together take no more than a share of one core,
each table no more than a smaller one: what is not used is saved, for a merge or a recompute now and then, and what
was overdrawn is waited for. So a table that costs much is less fresh, and says how fresh, and others do not suffer.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from protocol.errors import Fault, Transient

from ..ledger.materialised import MaterialisedBook, News, Standing
from .materialising import Materialising

log = logging.getLogger("central.current")

_SAVED_SECONDS_MAX = 120.0
_TABLE_PART = 0.5
"""Of the share of all that one table may have."""


@dataclass(slots=True)
class Purse:
    """Seconds of work that may be spent: they come in at a rate, and below zero nothing is begun."""

    rate: float
    at: float
    seconds: float = 0.0

    def filled(self, now: float) -> float:
        self.seconds = min(_SAVED_SECONDS_MAX, self.seconds + (now - self.at) * self.rate)
        self.at = now
        return self.seconds

    def wait(self, now: float) -> float:
        """Seconds until something may be begun."""
        return max(0.0, -self.filled(now)) / self.rate


class Refreshing:
    def __init__(
        self,
        *,
        materialising: Materialising,
        book: MaterialisedBook,
        cadence_seconds: float,
        cpu_share: float,
        now: Callable[[], float],
        spent: Callable[[], float],
        wall: Callable[[], int],
    ) -> None:
        """`now` and `spent` (what the work takes) are clocks in seconds; `wall` gives UTC microseconds."""
        self._materialising = materialising
        self._book = book
        self._cadence_seconds = cadence_seconds
        self._cpu_share = cpu_share
        self._now = now
        self._spent = spent
        self._wall = wall
        self._queue: deque[News] = deque()
        self._behind: list[News] = []
        self._round_due = now()
        self._purse = Purse(cpu_share, now())
        self._purses: dict[str, Purse] = {}
        self._faults: dict[str, Fault] = {}

    def step(self) -> float:
        """One table; returns seconds until there may be something to do."""
        now = self._now()
        if wait := self._purse.wait(now):
            return min(wait, self._cadence_seconds)
        if not self._queue:
            if now < self._round_due:
                return self._round_due - now
            self._begin_round(now)
        while self._queue:
            one = self._queue.popleft()
            purse = self._purses.get(one.path)
            if one.rebuild or purse is None or not purse.wait(now):
                self._refresh(one)
                return 0.0
        return max(0.0, self._round_due - self._now())

    @property
    def fault(self) -> Fault | None:
        """Of a table whose last step failed; None where there is none."""
        return next(iter(self._faults.values()), None)

    def status(self) -> dict[str, Any]:
        """`behind`: tables with changes that are not in yet, as the last round found; `stalest_seconds`: of these the
        time since everything was in; `never`: those that never were; `failing`: whose last step failed."""
        behind, now = self._behind, self._wall()
        times = [one.time for one in behind if one.time is not None]
        return {
            "behind": len(behind),
            "never": len(behind) - len(times),
            "stalest_seconds": max((now - time for time in times), default=0) / 1e6,
            "failing": len(self._faults),
        }

    def _begin_round(self, now: float) -> None:
        self._round_due = now + self._cadence_seconds
        self._behind = self._book.news()
        self._queue.extend(self._behind)
        known = {one.path for one in self._behind}
        self._purses = {
            path: purse for path, purse in self._purses.items() if purse.filled(now) < _SAVED_SECONDS_MAX
        }
        self._faults = {path: fault for path, fault in self._faults.items() if path in known}

    def _refresh(self, one: News) -> None:
        began, before = self._wall(), self._spent()
        try:
            self._materialise(one, began)
            self._faults.pop(one.path, None)
        except Fault as fault:
            told = Transient("GC-6060", table=one.path, reason=str(fault))
            if one.path not in self._faults:
                log.warning("%s", told)
            self._faults[one.path] = told
        now, spent = self._now(), self._spent() - before
        self._purse.seconds -= spent
        rate = self._cpu_share * _TABLE_PART
        purse = self._purses.setdefault(one.path, Purse(rate, now, _SAVED_SECONDS_MAX))
        purse.filled(now)
        purse.seconds -= spent

    def _materialise(self, one: News, began: int) -> None:
        try:
            made = self._materialising.step(one.path, one.keyed, rebuild=one.rebuild)
        except (pa.ArrowException, OSError) as error:
            raise Transient("GC-6005", path=one.path, reason=type(error).__name__) from error
        if made is None:
            return
        said = made.statement
        landed = None if made.more else one.landed
        time = said.time if made.more else began
        standing = Standing(one.path, landed, time, said.epoch, said.seq, made.base_rows, made.tail_rows)
        self._book.note(standing, rebuilt=began if one.rebuild else None)
        self._behind = [other for other in self._behind if other.path != one.path]
        if made.more:
            self._queue.appendleft(News(one.path, one.keyed, one.landed, time, rebuild=False))
