"""Which piece of work of a source comes next. Pure.

Every table has up to three kinds of work, each due at a time of its own. One step is done at a time, of whatever
has waited longest: a scan under way is due since its last step ended, so a poll that came due meanwhile goes
first, and the scan goes on before that poll comes round again. Of the long scans only one is under way at a time.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from protocol.names import TableName


class Task(Enum):
    """In the order in which equally urgent work is done, the last first."""

    SCAN = "scan"
    WINDOW = "window"
    POLL = "poll"


Job = tuple[TableName, Task]
_RANK = {work: -place for place, work in enumerate(Task)}


class Rhythm:
    """Times are seconds of any clock that only rises."""

    def __init__(self) -> None:
        self._due: dict[Job, float] = {}
        self._asked: dict[Job, float] = {}
        self._resting: dict[Job, float] = {}
        self.scanning: Job | None = None
        """The scan under way."""

    def clear(self) -> None:
        self._due.clear()
        self._asked.clear()
        self._resting.clear()
        self.scanning = None

    def expect(self, jobs: dict[Job, float]) -> None:
        """From now on there are these jobs; one that was not there before is due at its time."""
        self._due = {job: self._due.get(job, at) for job, at in jobs.items()}
        if self.scanning not in self._due:
            self.scanning = None

    def begin(self, job: Job) -> None:
        """It begins, and whatever it was hastened for until now is done with it."""
        self._asked.pop(job, None)

    def put(self, job: Job, at: float) -> None:
        """A job of `expect` is due at that time; at once where it was hastened since it began."""
        if job in self._due:
            self._due[job] = min(at, self._asked.get(job, at))

    def rest(self, job: Job, until: float) -> None:
        """It is due then, and no hint makes it due before."""
        self._resting[job] = until
        self._due[job] = until

    def hasten(self, jobs: Collection[Job], now: float) -> None:
        """They are due now, if they were not before."""
        for job in jobs:
            self._asked[job] = now
            if job in self._due:
                self._due[job] = min(self._due[job], now)

    def hint(self, now: float) -> None:
        """Scans are due now, but for those that rest."""
        self.hasten([job for job in self._due if job[1] is Task.SCAN and not self.rests(job, now)], now)

    def rests(self, job: Job, now: float) -> bool:
        return self._resting.get(job, now) > now

    def expects(self, job: Job) -> bool:
        return job in self._due

    @property
    def jobs(self) -> list[Job]:
        return list(self._due)

    def is_due(self, job: Job, now: float) -> bool:
        return self._due.get(job, now + 1) <= now

    def next(self, now: float, *, scans: bool) -> Job | None:
        """What to do a step of now, if anything is due. `scans`: whether scans may work."""
        due = [job for job in self._due if self.is_due(job, now) and self._may(job, scans=scans)]
        return min(due, key=lambda job: (self._due[job], _RANK[job[1]]), default=None)

    def wait(self, now: float, *, scans: bool) -> float | None:
        """Seconds until something will be due; None where nothing ever is."""
        times = [at for job, at in self._due.items() if self._may(job, scans=scans)]
        return max(0.0, min(times) - now) if times else None

    def _may(self, job: Job, *, scans: bool) -> bool:
        return job[1] is not Task.SCAN or (scans and self.scanning in (None, job))
