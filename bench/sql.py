"""A SQL table → landed by the agent as it is installed, beside dlt's two backends → Parquet, in one run.

Both are timed from the start of their processes. The agent may use all of its time for reading
(`duty_share_max = 1`): what it gives up for the hospital's sake is a setting, and `duty` measures it. dlt's default
backend is slow, so it reads fewer rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from . import databases, visits
from .databases import Made, Missing
from .delta_log import DeltaLog
from .landed import Run
from .processes import run_to_end
from .rivals import environment
from .site import Setting, site

SECONDS_MAX = 900.0
MARKS = 2
"""A snapshot's begin and end, which land as a row each."""
DLT_ROWS_MAX = {"pyarrow": 0, "sqlalchemy": 100_000}
"""0: all."""
_DLT = Path(__file__).parent / "rivals" / "dlt_parquet.py"


@dataclass(frozen=True)
class Figures:
    database: str
    ours: list[Run]
    dlt: dict[str, list[Run]]


def run(kind: str, rows: int, rounds: int, rival: Path | None) -> Figures:
    """Raises Missing where the server or its generator is not here. Without `rival` (a Python that has dlt) ours
    runs alone."""
    with (
        TemporaryDirectory(prefix="guicang-bench-", ignore_cleanup_errors=True) as folder,
        databases.KINDS[kind](Path(folder), rows) as made,
    ):
        figures = Figures(made.name, [], {backend: [] for backend in DLT_ROWS_MAX} if rival else {})
        for number in range(rounds):
            figures.ours.append(ours(made, rows))
            for backend, runs in figures.dlt.items():
                assert rival is not None
                bound = DLT_ROWS_MAX[backend]
                if number == 0 or not bound:  # the slow one once
                    runs.append(dlt(rival, made, backend, min(rows, bound or rows)))
        return figures


def ours(made: Made, rows: int, **settings: Setting) -> Run:
    """`settings` of the source besides."""
    with (
        TemporaryDirectory(prefix="guicang-bench-") as folder,
        site(Path(folder), made.url, None, duty_share_max=1.0, **settings) as one,
    ):
        log = DeltaLog(one.lake / "changes", "outpatient")
        before = one.usages()
        began = time.monotonic()
        one.start_agent()
        ended = one.wait_until(lambda: log.has(rows + MARKS), SECONDS_MAX)
        usages = one.usages()
        usages |= {name: usages[name].since(before[name]) for name in before}
        return Run(rows, ended - began, usages)


def dlt(python: Path, made: Made, backend: str, rows: int) -> Run:
    with TemporaryDirectory(prefix="guicang-bench-") as folder:
        bound = str(rows if DLT_ROWS_MAX.get(backend) else 0)
        command = [str(python), str(_DLT), made.rival_url, visits.TABLE, backend, folder, bound]
        log = Path(folder) / "log"
        with log.open("ab") as output:
            ended = run_to_end(command, output, environment(Path(folder)))
        if ended.code or not any(_parquet(Path(folder))):
            raise RuntimeError(f"dlt ({backend}): {log.read_text('utf-8', 'replace')[-2_000:]}")
        return Run(rows, ended.seconds, {"dlt": ended.usage})


def _parquet(folder: Path) -> Iterator[Path]:
    return (folder / "loaded" / visits.TABLE).glob("*.parquet")


__all__ = ["Figures", "Missing", "run"]
