"""Maintenance: a loop body on a thread of its own that looks after tables, never between two appends.

What is worth doing is decided from counters: how often each table committed since it was visited last, and how much
there is to read of it. Tables that did not commit cost nothing, but for a slow round that passes by each of them in
turn. Upkeep takes no more than a share of one core's time; jobs of others (the materialised `current`) run at their
own times in between. Nothing here is durable: after a restart counting begins anew, and the round finds what was
left. Knows no thread, no clock and no store.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from protocol.errors import Fault, Permanent

from .delta import DeltaLake
from .soundness import DERIVED
from .upkeep import Upkeep, Visited

log = logging.getLogger("central.maintenance")

_LEISURE_SECONDS = 1.0
_AFTER_FAULT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """What an operator chooses: commits of a table until it is visited, seconds until one that committed less is, the
    share of one core's time that upkeep may take, and seconds between two tables of the round."""

    visit_commits: int = 100
    quiet_seconds: float = 3_600.0
    share_max: float = 0.25
    round_seconds: float = 2.0


@dataclass(slots=True)
class Tally:
    """What is known of a table that committed since its last visit. `since`: when it first did."""

    since: float
    commits: int = 0
    rests_until: float = 0.0


def urgency(now: float, one: Tally, weight: int, pace: Pace) -> float:
    """1 where a visit is due. A heavy table is visited after more commits, so that a visit costs each of them alike
    however large the table is."""
    if now < one.rests_until:
        return 0.0
    return max(one.commits / max(pace.visit_commits, weight // 20), (now - one.since) / pace.quiet_seconds)


def most_urgent(
    now: float, tallies: Mapping[str, Tally], weights: Mapping[str, int], pace: Pace
) -> str | None:
    """The table to visit now; between equals the name decides."""
    ranked = [(urgency(now, one, weights.get(path, 0), pace), path) for path, one in tallies.items()]
    urgent, path = max(ranked, default=(0.0, ""))
    return path if urgent >= 1 else None


@dataclass(slots=True)
class Job:
    """Work of others that shares the thread. `run` does a piece of it and returns in how many seconds it wants to be
    called again. What it raises as a Fault is logged, and it is called again after a minute."""

    name: str
    run: Callable[[], float]
    due: float = field(default=0.0)


class Maintenance:
    def __init__(
        self,
        lake: DeltaLake,
        upkeep: Upkeep,
        *,
        paths: Callable[[], Iterable[str]],
        pace: Pace,
        now: Callable[[], float],
    ) -> None:
        """`paths` names every table, for the round; it opens and lists none."""
        self._lake = lake
        self._upkeep = upkeep
        self._paths = paths
        self._pace = pace
        self._now = now
        self._tallies: dict[str, Tally] = {}
        self._weights: dict[str, int] = {}
        self._round: deque[str] = deque()
        self._round_due = now() + pace.round_seconds
        self._rests_until = 0.0
        self._jobs: list[Job] = []
        self._faults: dict[str, Fault] = {}

    @property
    def fault(self) -> Fault | None:
        """Of what did not go well when it was last tried; None where all did."""
        return next(iter(self._faults.values()), None)

    def add(self, job: Job) -> None:
        self._jobs.append(job)

    def step(self) -> float:
        """One job, or one table; returns seconds until there may be something to do again."""
        self._count()
        started, looked = self._now(), False
        job = min(self._jobs, key=lambda one: one.due, default=None)
        if job is not None and job.due <= started:
            self._run(job)
        elif self._rests_until <= started:
            looked = self._look_after(started)
        now = self._now()
        upkeep = (
            self._rests_until
            if looked
            else max(self._rests_until, min(self._round_due, now + _LEISURE_SECONDS))
        )
        return max(0.0, min([upkeep, *(one.due for one in self._jobs)]) - now)

    def _count(self) -> None:
        for path, commits in self._lake.commits_since().items():
            self._tallies.setdefault(path, Tally(self._now())).commits += commits

    def _run(self, job: Job) -> None:
        pauses: list[float] = []
        well = self._guarded(job.name, lambda: pauses.append(job.run()))
        job.due = self._now() + (pauses[0] if well else _AFTER_FAULT_SECONDS)

    def _look_after(self, started: float) -> bool:
        path = most_urgent(started, self._tallies, self._weights, self._pace)
        if path is not None:
            self._visit(path)
        elif self._round_due <= started:
            self._pass_by()
            self._round_due = self._now() + self._pace.round_seconds
        else:
            return False
        spent = self._now() - started
        self._rests_until = self._now() + spent * (1 / self._pace.share_max - 1)
        return True

    def _visit(self, path: str) -> None:
        tally, visits = self._tallies.pop(path), list[Visited]()
        if not self._guarded(path, lambda: visits.append(self._upkeep.visit(path))):
            tally.rests_until = self._now() + _AFTER_FAULT_SECONDS
            self._tallies[path] = tally
            return
        self._weights[path] = visits[0].weight
        if visits[0].more:
            self._tallies[path] = tally

    def _pass_by(self) -> None:
        """One table of the round."""
        if not self._round:
            self._round.extend(self._paths())
        if self._round and self._is_proven(path := self._round.popleft()):
            self._guarded(path, lambda: self._upkeep.visit(path))
            self._guarded(path, lambda: self._upkeep.sweep(path))

    def _is_proven(self, path: str) -> bool:
        """One of `changes` that nobody has recovered since the start is the lander's to look at first. What is made of
        `changes` has no lander, and the start proved what was being written there."""
        return path.startswith(DERIVED) or self._lake.is_recovered(path)

    def _guarded(self, what: str, act: Callable[[], object]) -> bool:
        """Whether it went well. One table's trouble is no other's, and none of landing's."""
        fault: Fault | None = None
        try:
            act()
        except Fault as one:
            fault = one
        except Exception as error:  # a mistake of ours; what it says may quote rows
            fault = Permanent("GC-6051", path=what, reason=type(error).__name__)
        if fault is None:
            self._faults.pop(what, None)
            return True
        log.warning("maintenance of %s: %s", what, fault)
        self._faults[what] = fault
        return False
