"""What the daemon counts: numbers by code and by agent, never content."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from .lags import Lags


@dataclass(slots=True)
class Metrics:
    """Counted since the daemon started."""

    lags: Lags
    envelopes_admitted: int = 0
    bytes_admitted: int = 0
    envelopes_repeated: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By error code; `refuse` adds to it, from any thread."""
    arrivals_dropped: int = 0
    """Arrivals for which the inbox had no room: they are sent again."""
    rows_landed: int = 0
    commits: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def refuse(self, code: str) -> None:
        with self._lock:
            self.refused[code] += 1

    def as_json(self) -> dict[str, object]:
        return {
            "envelopes_admitted": self.envelopes_admitted,
            "bytes_admitted": self.bytes_admitted,
            "envelopes_repeated": self.envelopes_repeated,
            "refused": dict(self.refused),
            "arrivals_dropped": self.arrivals_dropped,
            "rows_landed": self.rows_landed,
            "commits": self.commits,
        }
