"""How long to rest after a step, so that the hospital's system comes first (promise 8). Pure.

Three reasons to rest, of which the longest counts: our statements may run only a share of the time; only so many
rows a second may be read, on average; and where the same step takes much longer than it lately did, the source
has other work to do. The last is told from steps of the same kind over about as many rows.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from statistics import median

SAMPLES = 15
"""So many latest steps are what a step is compared with: a source that stays slow becomes its own measure."""
SAMPLES_MIN = 5
SLOW = 3.0
"""Times the median from which a step counts as slow."""
SLOW_SECONDS_MIN = 0.05
"""What is faster than this disturbs nobody, however slow it is for its kind."""
BACK_OFF_MAX = 10.0
"""Times its own time that a slow step is rested for, at most."""
KINDS_MAX = 2_000


class Pacing:
    """Of one source."""

    def __init__(self, duty_share_max: float, rows_per_second_max: int) -> None:
        self._duty = duty_share_max
        self._rows_per_second = rows_per_second_max
        self._seconds: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def rest(self, kind: Hashable, seconds: float, rows: int) -> float:
        """Seconds to rest after a step of `kind` that took `seconds` and read `rows`."""
        duty = seconds * (1 / self._duty - 1)
        rate = rows / self._rows_per_second - seconds if self._rows_per_second else 0.0
        return max(duty, rate, seconds * self._slowness((kind, rows.bit_length()), seconds))

    def _slowness(self, kind: Hashable, seconds: float) -> float:
        """0 where the step was as fast as ever; else by how much it was slower."""
        before = self._seconds.pop(kind, None) or deque[float](maxlen=SAMPLES)
        usual = median(before) if len(before) >= SAMPLES_MIN else None
        before.append(seconds)
        self._seconds[kind] = before
        if len(self._seconds) > KINDS_MAX:
            self._seconds.popitem(last=False)
        if usual is None or seconds < max(SLOW * usual, SLOW_SECONDS_MIN):
            return 0.0
        return min(seconds / max(usual, SLOW_SECONDS_MIN / SLOW), BACK_OFF_MAX)
