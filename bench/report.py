"""Figures as the markdown that is printed and that docs/performance.md holds between two marker lines."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from .duty import Duty
from .landed import Run
from .latency import Latency, percentile
from .markdown import cpu, header, judged, peak, peaks, row
from .processes import MIB
from .rest import Rest
from .sql import Figures

BEGIN, END = "<!-- figures{}: begin -->", "<!-- figures{}: end -->"
_PACKAGES = ("pyarrow", "deltalake", "aiomqtt", "zstandard", "pynacl")

LANDED_GOAL, RECEIPTED_GOAL, QUERYABLE_GOAL = 200_000, 0.100, 0.300
SPEED_GOAL, MEMORY_GOAL = 3.0, 1 / 4
AGENT_GOAL, REST_GOAL, REST_CPU_GOAL = 200, 110, 0.01


def head(rows: int, rounds: int, rivals: str) -> str:
    """When, where and with what."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    load = os.getloadavg()[0]
    return "\n".join(
        (
            f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {rows:,} rows, medians of {rounds} rounds in "
            f"which the contestants alternate.",
            f"Machine: {os.cpu_count()} cores of {_processor()}, {platform.system()} {platform.release()}; load "
            f"average {load:.1f} before the first bench (above 0.5 the machine was not ours alone).",
            f"Python {platform.python_version()}, {versions}, {_mosquitto()}.",
            f"Compared with: {rivals}.",
        )
    )


def landed(found: Iterable[tuple[str, str, list[Run]]]) -> str:
    lines = ["### Prepared batches → landed", ""]
    lines += header("placement", "who", "rows/s", "ratio", "CPU s per 1 M rows", "peak MiB")
    by_place: dict[str, float] = {}
    for placement, who, runs in found:
        rate = statistics.median(run.rate for run in runs)
        ratio = "1" if who == "ours" else f"{rate / by_place[placement]:.2f}"
        by_place.setdefault(placement, rate)
        lines.append(row(placement, who, f"{rate:,.0f}", ratio, cpu(runs), peaks(runs)))
        if placement == "one core" and who == "ours":
            goal = judged(f"{LANDED_GOAL:,} rows/s on one core", rate >= LANDED_GOAL, f"{rate:,.0f} rows/s")
    return "\n".join([*lines, "", goal])


def latency(found: Latency, commits: int = 0) -> str:
    after = f", after {commits:,} commits" if commits else ""
    lines = [f"### Latency at {found.rows / found.seconds:,.0f} rows/s{after}", ""]
    lines += header("from a change to", "p50 ms", "p99 ms", "most ms")
    for what, values in (("receipted", found.receipted), ("queryable", found.queryable)):
        ends = (percentile(values, 0.5), percentile(values, 0.99), max(values))
        lines.append(row(what, *(f"{1000 * value:.0f}" for value in ends)))
    shares = ", ".join(
        f"{name} {100 * use.cpu_seconds / found.seconds:.0f} %" for name, use in found.usages.items()
    )
    receipted, queryable = percentile(found.receipted, 0.5), percentile(found.queryable, 0.5)
    goals = [
        judged("receipted p50 under 100 ms", receipted < RECEIPTED_GOAL, f"{1000 * receipted:.0f} ms"),
        judged("queryable p50 under 300 ms", queryable < QUERYABLE_GOAL, f"{1000 * queryable:.0f} ms"),
    ]
    return "\n".join([*lines, "", f"Share of a core: {shares}.", "", *goals])


def sql(found: Sequence[Figures]) -> str:
    lines = ["### SQL source → landed (ours), → Parquet (dlt)", ""]
    lines += header("database", "who", "rows", "rows/s", "ours is", "CPU s per 1 M rows", "peak MiB")
    goals = []
    for one in found:
        rate = statistics.median(run.rate for run in one.ours)
        rows = f"{one.ours[0].rows:,}"
        lines.append(row(one.database, "ours", rows, f"{rate:,.0f}", "", cpu(one.ours), peaks(one.ours)))
        for backend, runs in one.dlt.items():
            theirs = statistics.median(run.rate for run in runs)
            cells = (
                f"{runs[0].rows:,}",
                f"{theirs:,.0f}",
                f"{rate / theirs:.1f} ×",
                cpu(runs),
                peaks(runs),
            )
            lines.append(row(one.database, f"dlt, {backend}", *cells))
        goals += _sql_goals(one, rate)
    return "\n".join([*lines, "", *goals])


def _sql_goals(one: Figures, rate: float) -> list[str]:
    agent = peak(one.ours, "agent")
    goals = [judged(f"{one.database}: agent under {AGENT_GOAL} MiB", agent < AGENT_GOAL, f"{agent:.0f} MiB")]
    if theirs := one.dlt.get("pyarrow"):
        speed = rate / statistics.median(run.rate for run in theirs)
        share = agent / peak(theirs, "dlt")
        goals += [
            judged(
                f"{one.database}: three times dlt's pyarrow backend", speed >= SPEED_GOAL, f"{speed:.1f} ×"
            ),
            judged(f"{one.database}: in a quarter of its memory", share <= MEMORY_GOAL, f"{share:.2f}"),
        ]
    return goals


def rest(found: Rest) -> str:
    held = found.resident_bytes / MIB
    lines = [f"### The agent at rest, {found.seconds:.0f} s", ""]
    lines += header("resident MiB", "peak MiB", "share of a core", "`status` answers in")
    lines.append(
        row(
            f"{held:.0f}",
            f"{found.peak_bytes / MIB:.0f}",
            f"{100 * found.cpu_share:.1f} %",
            f"{1000 * found.status_seconds:.0f} ms",
        )
    )
    goals = [
        judged(f"under {REST_GOAL} MiB at rest", held < REST_GOAL, f"{held:.0f} MiB"),
        judged("1 % of a core", found.cpu_share <= REST_CPU_GOAL, f"{100 * found.cpu_share:.1f} %"),
    ]
    return "\n".join([*lines, "", *goals])


def duty(found: Sequence[Duty]) -> str:
    lines = ["### Share of time that statements run, as PostgreSQL counts it, and rows a second", ""]
    lines += header("`duty_share_max`", "measured", "`rows_per_second_max`", "rows/s")
    lines += [
        row(
            f"{one.allowed:.2f}",
            f"{one.active_share:.3f}",
            f"{one.rows_allowed:,}" if one.rows_allowed else "none",
            f"{one.rows_per_second:,.0f}",
        )
        for one in found
    ]
    goals = [
        judged(f"at most {one.allowed:.2f}", one.active_share <= one.allowed, f"{one.active_share:.3f}")
        for one in found
    ]
    goals += [
        judged(
            f"at most {one.rows_allowed:,} rows/s",
            one.rows_per_second <= one.rows_allowed,
            f"{one.rows_per_second:,.0f}",
        )
        for one in found
        if one.rows_allowed
    ]
    return "\n".join([*lines, "", *goals])


def write(page: Path, figures: str, of: str = "") -> None:
    """Replace what stands between the marker lines `of` these benches. Raises ValueError where the page has none."""
    begin, end = BEGIN.format(of), END.format(of)
    text = page.read_text("utf-8")
    before, found, rest_of_page = text.partition(begin)
    _, also_found, after = rest_of_page.partition(end)
    if not (found and also_found):
        raise ValueError(f"{page} has no lines {begin} and {end}")
    page.write_text(f"{before}{begin}\n{figures}\n{end}{after}", "utf-8")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _mosquitto() -> str:
    said = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0] if said else "no mosquitto"
