"""Whether the agent keeps to the share of time that its statements may run, and to the rows it may read a second.

The share is as PostgreSQL itself counts it:
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
    """`rows_allowed`: a second, 0 for no limit."""

    allowed: float
    rows_allowed: int
    active_share: float
    rows_per_second: float


def run(rows: int, shares: tuple[float, ...], seconds: float) -> list[Duty]:
    """Under each share without a limit of rows, and under the last of them with one by which the table takes so many
    seconds. Raises Missing where there is no PostgreSQL or generator."""
    found = []
    settings = [(share, 0) for share in shares] + [(shares[-1], max(1, round(rows / seconds)))]
    with (
        TemporaryDirectory(prefix="guicang-bench-") as folder,
        databases.postgres(Path(folder), rows) as made,
    ):
        assert made.server is not None
        for share, limit in settings:
            with (
                TemporaryDirectory(prefix="guicang-bench-") as root,
                site(Path(root), made.url, duty_share_max=share, rows_per_second_max=limit) as one,
            ):
                log = DeltaLog(one.lake / "changes", "outpatient")
                one.start_agent()
                one.wait_until(lambda log=log: log.has(2), 120)  # type: ignore[misc]
                began, active, at = time.monotonic(), _active_seconds(made), log.rows
                ended = one.wait_until(
                    lambda log=log: log.has(rows + MARKS),  # type: ignore[misc]
                    600,
                )
                lasted = ended - began
                busy = (_active_seconds(made) - active) / lasted
                found.append(Duty(share, limit, busy, (log.rows - at) / lasted))
    return found


def _active_seconds(made: databases.Made) -> float:
    assert made.server is not None
    query = f"SELECT active_time / 1000 FROM pg_stat_database WHERE datname = '{made.database}'"
    return float(made.server.rows(query)[0][0])
