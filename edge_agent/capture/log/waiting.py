"""Which tables' snapshots wait: after a fault, or until transactions have ended. Pure."""

from __future__ import annotations

from collections.abc import Callable

from protocol.names import TableName

REST_SECONDS, REST_SECONDS_MAX = 1.0, 300.0
"""How long a table rests whose snapshot met a fault; doubled with each that follows."""
WAIT_SECONDS = 0.2
"""How long nothing is begun where transactions must end first, or be seen."""
HELD_UP_SECONDS = 10.0
"""A snapshot that waits for longer says for whom, and again after as long."""


class Waiting:
    """Of one source."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rests: dict[TableName, tuple[float, int]] = {}
        """Until when, and after how many faults in a row."""
        self._held_up: dict[TableName, tuple[float, float]] = {}
        """Since when, and when it is said the next time."""
        self._all_until = 0.0

    @property
    def nothing_begins(self) -> bool:
        return self._clock() < self._all_until

    def rests(self, table: TableName) -> bool:
        until, _ = self._rests.get(table, (0.0, 0))
        return self._clock() < until

    def failed(self, table: TableName) -> None:
        """Each attempt costs the hospital a statement, and all other tables its time."""
        times = self._rests.get(table, (0.0, 0))[1]
        seconds = min(REST_SECONDS_MAX, REST_SECONDS * 2.0 ** min(times, 16))
        self._rests[table] = (self._clock() + seconds, times + 1)

    def succeeded(self, table: TableName) -> None:
        self._rests.pop(table, None)

    def held_up(self, table: TableName) -> bool:
        """It has to wait for transactions: whether that is to be said."""
        now = self._clock()
        self._all_until = now + WAIT_SECONDS
        since, say_at = self._held_up.setdefault(table, (now, now + HELD_UP_SECONDS))
        if now < say_at:
            return False
        self._held_up[table] = (since, now + HELD_UP_SECONDS)
        return True

    def went_on(self, table: TableName) -> bool:
        """It waits no longer: whether anything was said."""
        since, say_at = self._held_up.pop(table, (0.0, 0.0))
        return say_at > since + HELD_UP_SECONDS
