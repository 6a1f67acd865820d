"""The agent at rest: a source in which nothing happens, with the settings of a new installation."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from . import visits
from .processes import resident_bytes, usage_of
from .site import site

SOURCE_ROWS = 20_000
STATUS_CALLS = 7


@dataclass(frozen=True)
class Rest:
    seconds: float
    cpu_share: float
    resident_bytes: int
    peak_bytes: int
    status_seconds: float
    """Median time that `edge-agent status` takes, its process's start included."""


def run(seconds: float, rows: int = SOURCE_ROWS) -> Rest:
    with TemporaryDirectory(prefix="guicang-bench-") as folder:
        database = Path(folder) / "his.db"
        visits.write_sqlite(database, rows)
        with site(Path(folder), f"sqlite:///{database}") as one:
            began = time.time_ns() // 1000
            one.start_agent()
            one.wait_until(lambda: one.settled_since(began), 120)
            pid = one.pid("agent")
            before, started = usage_of(pid), time.monotonic()
            time.sleep(seconds)
            after, lasted = usage_of(pid), time.monotonic() - started
            share = after.since(before).cpu_seconds / lasted
            return Rest(lasted, share, resident_bytes(pid), after.peak_bytes, _status_seconds(one.agent))


def _status_seconds(call: object) -> float:
    assert callable(call)
    took = []
    for _ in range(STATUS_CALLS):
        began = time.monotonic()
        call("status")
        took.append(time.monotonic() - began)
    return statistics.median(took)
