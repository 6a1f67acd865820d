"""How long rows took from their commit at the source until they stood in the lake, per stream, of the last minutes.

Only rows of logs say when they were committed. Counted in steps of a fifth, so that a million rows cost what one
does; both clocks, the source's and ours, go into it. From any thread.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from protocol.names import Stream

WINDOW_SECONDS = 300.0
"""What is told is of at least the last so many seconds, at most of twice as many."""
STEPS = 4
"""Of which each doubling of a time has so many."""
SHORTEST_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Lag:
    """Of so many rows half, and all but one in a hundred, took no longer than this."""

    rows: int
    p50_seconds: float
    p99_seconds: float

    def as_json(self) -> dict[str, float]:
        return {"rows": self.rows, "p50_seconds": self.p50_seconds, "p99_seconds": self.p99_seconds}


@dataclass(slots=True)
class Lags:
    clock: Callable[[], float]
    _now: dict[Stream, Counter[int]] = field(default_factory=dict)
    _before: dict[Stream, Counter[int]] = field(default_factory=dict)
    _since: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, stream: Stream, committed: pa.ChunkedArray, landed: int) -> None:
        """`committed`: when each row was (timestamps in microseconds; null where nobody knows); `landed` likewise."""
        if committed.null_count == len(committed):
            return
        micros = pc.subtract(pa.scalar(landed, pa.int64()), committed.drop_null().cast(pa.int64()))
        seconds = pc.max_element_wise(pc.divide(micros.cast(pa.float64()), 1e6), SHORTEST_SECONDS)
        steps = pc.ceil(pc.multiply(pc.log2(seconds), float(STEPS))).cast(pa.int64())
        counts = {one["values"]: one["counts"] for one in pc.value_counts(steps).to_pylist()}
        with self._lock:
            self._turn()
            self._now.setdefault(stream, Counter()).update(counts)

    def of(self, stream: Stream) -> Lag | None:
        """None where no row that says when it was committed has landed of late."""
        with self._lock:
            self._turn()
            counts = self._now.get(stream, Counter()) + self._before.get(stream, Counter())
        rows = counts.total()
        return Lag(rows, _share(counts, 0.5), _share(counts, 0.99)) if rows else None

    def _turn(self) -> None:
        now = self.clock()
        if self._since is None:
            self._since = now
        windows = int((now - self._since) / WINDOW_SECONDS)
        if windows > 0:
            self._before, self._now = ({} if windows > 1 else self._now), {}
            self._since += windows * WINDOW_SECONDS


def _share(counts: Counter[int], share: float) -> float:
    """The time that so large a share of the rows did not exceed."""
    wanted, passed = math.ceil(counts.total() * share), 0
    for step in sorted(counts):
        passed += counts[step]
        if passed >= wanted:
            break
    return float(f"{2.0 ** (step / STEPS):.2g}")
