"""Whether the agent keeps to the share of time that its statements may run, as PostgreSQL itself counts it.

`pg_stat_database.active_time` is the time that the sessions of a database spent executing statements. It is read before
and after the first snapshot of the table, from another database.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from . import databases
from .delta_log import DeltaLog
from .site import site

MARKS = 2


@dataclass(frozen=True)
class Duty:
    allowed: float
    active_share: float
    rows_per_second: float


def run(rows: int, shares: tuple[float, ...]) -> list[Duty]:
    """Raises Missing where there is no PostgreSQL or generator."""
    found = []
    with (
        TemporaryDirectory(prefix="guicang-bench-") as folder,
        databases.postgres(Path(folder), rows) as made,
    ):
        assert made.server is not None
        for share in shares:
            with (
                TemporaryDirectory(prefix="guicang-bench-") as root,
                site(Path(root), made.url, duty_share_max=share) as one,
            ):
                log = DeltaLog(one.lake, "outpatient")
                one.start_agent()
                one.wait_until(lambda log=log: log.has(2), 120)  # type: ignore[misc]
                began, active, at = time.monotonic(), _active_seconds(made), log.rows
                ended = one.wait_until(
                    lambda log=log: log.has(rows + MARKS),  # type: ignore[misc]
                    600,
                )
                lasted = ended - began
                found.append(Duty(share, (_active_seconds(made) - active) / lasted, (log.rows - at) / lasted))
    return found


def _active_seconds(made: databases.Made) -> float:
    assert made.server is not None
    query = f"SELECT active_time / 1000 FROM pg_stat_database WHERE datname = '{made.database}'"
    return float(made.server.rows(query)[0][0])
