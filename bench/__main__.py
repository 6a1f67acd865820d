"""`python -m bench [NAME …]`: run benches, print their tables as markdown, and write them into a page where asked.

Without names all of them run, in about 70 minutes. A bench whose server or generator is missing is left out by
name, as is a rival that cannot be installed: nothing is invented.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import commits, current, duty, files, landed, latency, report, rest, rivals, sql, stored
from .databases import KINDS, Missing
from .pg import fresh, log, snapshot
from .pg import report as pg_report

ROWS, DUTY_ROWS = 1_000_000, 200_000
CURRENT_ROWS = 5_000_000
FILE_ROWS = 500_000
VISITS, CHANGES = 2_000_000, 1_000_000
"""Of a PostgreSQL by its log: rows of the snapshot, changes of each kind; the whole run ends within 35 minutes."""


@dataclass(frozen=True)
class Size:
    """How much is done. `seconds` is how long latency and rest are watched; `visits` and `changes` are those of a
    PostgreSQL by its log; `current_rows` those of the table whose `current` is kept fresh; `files` are small ones,
    `file_bytes` those of the large one; `commits` stand in a table that is no longer fresh."""

    rows: int
    rounds: int
    seconds: float
    duty_rows: int
    visits: int
    changes: int
    current_rows: int
    files: int = 10_000
    file_bytes: int = 1 << 30
    commits: int = 10_000
    duty_shares: tuple[float, ...] = (0.1, 0.3)
    databases: tuple[str, ...] = tuple(KINDS)
    rivals: bool = True


QUICK = Size(2_000, 1, 1.0, 2_000, 2_000, 2_000, 2_000, 20, 3 << 20, 20, (0.5,), ("sqlite",), rivals=False)
"""Whether the benches still run at all; their figures mean nothing."""


def _landed(size: Size) -> str:
    return report.landed(landed.run(size.rows, size.rounds))


def _latency(size: Size) -> str:
    fresh = report.latency(latency.run(size.seconds / 2))
    aged = report.latency(latency.run(size.seconds / 2, size.commits), size.commits)
    return f"{fresh}\n\n{aged}"


def _commits(size: Size) -> str:
    return commits.report(commits.run(size.rounds, size.commits))


def _stored(size: Size) -> str:
    return stored.report(stored.run(size.duty_rows))


def _sql(size: Size) -> str:
    python = rivals.install()[0] if size.rivals else None
    found, missing = [], []
    for kind in size.databases:
        try:
            found.append(sql.run(kind, size.rows, max(1, size.rounds - 1), python))
        except Missing as what:
            missing.append(f"- left out: {kind}, {what}")
    return "\n".join([report.sql(found), *missing])


def _rest(size: Size) -> str:
    return report.rest(rest.run(size.seconds))


def _duty(size: Size) -> str:
    return report.duty(duty.run(size.duty_rows, size.duty_shares, size.seconds))


def _pg_snapshot(size: Size) -> str:
    python = rivals.install()[0] if size.rivals else None
    return pg_report.snapshot(snapshot.run(size.visits, max(1, size.rounds - 1), python))


def _pg_log(size: Size) -> str:
    return pg_report.log(log.run(size.changes, max(1, size.rounds - 1)))


def _pg_fresh(size: Size) -> str:
    return pg_report.fresh(fresh.run(size.seconds / 2))


def _current(size: Size) -> str:
    changes = current.RATE * current.SECONDS
    return current.report(current.run(size.current_rows, min(changes, size.current_rows // 8)))


def _files(size: Size) -> str:
    return files.report(files.run(min(size.rows, FILE_ROWS), size.files, size.file_bytes))


GROUPS: dict[str, dict[str, Callable[[Size], str]]] = {
    "": {"landed": _landed, "latency": _latency, "sql": _sql, "rest": _rest, "duty": _duty},
    " of PostgreSQL by its log": {"pg-snapshot": _pg_snapshot, "pg-log": _pg_log, "pg-fresh": _pg_fresh},
    " of the lake": {"commits": _commits, "stored": _stored, "current": _current},
    " of files": {"files": _files},
}
"""Benches by what the marker lines of their figures say."""
BENCHES = {name: bench for group in GROUPS.values() for name, bench in group.items()}


def run(names: list[str], size: Size) -> str:
    """The figures as markdown, each part printed as it comes."""
    python, why_not = rivals.install() if size.rivals else (None, "nothing but our own plain programs")
    known = f"{rivals.versions(python)}, in an environment of their own" if python else why_not
    parts = [report.head(size.rows, size.rounds, known)]
    print(parts[0], flush=True)
    for name in names:
        began = time.monotonic()
        try:
            part = BENCHES[name](size)
        except Missing as what:
            part = f"### {name}\n\nLeft out: {what}."
        print(f"\n{part}\n\n({name} took {time.monotonic() - began:.0f} s)", flush=True)
        parts.append(part)
    return "\n\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument(
        "--rows",
        type=int,
        help=f"of every bench; left out: {ROWS:,}, and of a PostgreSQL by its log {VISITS:,}, or {CHANGES:,} changes",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long rest is watched; latency half of it"
    )
    parser.add_argument("--database", action="append", choices=list(KINDS), help="for sql; all if left out")
    parser.add_argument("--quick", action="store_true", help="only see whether everything still runs")
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="put the tables between PAGE's marker lines of their kind"
    )
    said = parser.parse_args()
    if unknown := set(said.names) - set(BENCHES):
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    chosen = tuple(said.database or KINDS)
    rows = (
        said.rows or ROWS,
        said.rounds,
        said.seconds,
        DUTY_ROWS,
        said.rows or VISITS,
        said.rows or CHANGES,
        said.rows or CURRENT_ROWS,
    )
    size = QUICK if said.quick else Size(*rows, databases=chosen)
    for of, group in GROUPS.items():
        names = [name for name in said.names or BENCHES if name in group]
        if names:
            figures = run(names, size)
            if said.write:
                report.write(said.write, figures, of)
    return 0


if __name__ == "__main__":
    sys.exit(main())
