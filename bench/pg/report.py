"""The figures of PostgreSQL by its log, as markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ..landed import Run
from ..latency import percentile
from ..markdown import cpu, header, judged, peak, peaks, row
from ..processes import MIB
from .fresh import Fresh
from .log import KINDS, LANDED, RIVAL, SPOOL, Found
from .snapshot import ADBC, COPY, DLT, OURS, PROBES, Figures

MEMORY_GOAL, AGENT_GOAL = 1 / 4, 250 * 1_000_000 / MIB
LOG_GOALS = {"inserts": 0.75, "deletes": 0.85}
P50_GOAL, P99_GOAL = 0.250, 0.700


def snapshot(found: Figures) -> str:
    rows = found.runs[OURS][0].rows
    lines = [f"### PostgreSQL by its log: snapshot of {rows:,} visits, {_rounds(found.runs[OURS])}", ""]
    lines += header("who", "rows/s", "ours is", "CPU s per 1 M rows", "peak MiB")
    rate = _rate(found.runs[OURS])
    for who, runs in found.runs.items():
        theirs = _rate(runs)
        ratio = "" if who == OURS else f"{rate / theirs:.2f} ×"
        lines.append(row(who, f"{theirs:,.0f}", ratio, cpu(runs), peaks(runs)))
    return "\n".join([*lines, "", *_snapshot_goals(found, rate), "", *_reading(found)])


def _snapshot_goals(found: Figures, rate: float) -> list[str]:
    theirs = found.runs.get(DLT.format("connectorx"))
    if theirs is None:
        return ["- dlt did not take part"]
    speed = rate / _rate(theirs)
    share = peak(found.runs[OURS], "agent") / peak(theirs, "dlt")
    return [
        judged("the rate of dlt with connectorx", speed >= 1, f"{speed:.2f} ×"),
        judged("in a quarter of its memory", share <= MEMORY_GOAL, f"{share:.2f}"),
    ]


def _reading(found: Figures) -> list[str]:
    """Two ways to read."""
    lines = header("reading alone", "rows/s", "ours is", "CPU s per 1 M rows", "peak MiB")
    rate = _rate(found.reading[COPY])
    for who, runs in found.reading.items():
        ratio = "" if who == COPY else f"{rate / _rate(runs):.2f} ×"
        lines.append(row(who, f"{_rate(runs):,.0f}", ratio, cpu(runs), peaks(runs)))
    return [*lines, "", *_exactness(found)]


def _exactness(found: Figures) -> list[str]:
    if ADBC not in found.reading:
        return []
    by_kind: dict[str, list[str]] = {}
    for name, kind in found.kinds.items():
        by_kind.setdefault(kind, []).append(f"`{PROBES[name]}` of {name}")
    said = "; ".join(
        f"{', '.join(names)} as {'bytes that nobody decoded' if kind == 'bytes' else kind}"
        for kind, names in by_kind.items()
    )
    return [f"COPY gives the server's text of every value; ADBC gives {said}."]


def log(found: Found) -> str:
    first = next(iter(found.values()))
    lines = [f"### PostgreSQL by its log: {first[0].rows:,} changes of each kind, {_rounds(first)}", ""]
    lines += header("change", "who", "changes/s", "of pg_recvlogical", "CPU s per 1 M changes", "peak MiB")
    for (kind, who), runs in found.items():
        ratio = _rate(runs) / _rate(found[kind, RIVAL])
        lines.append(row(kind, who, f"{_rate(runs):,.0f}", f"{ratio:.2f}", cpu(runs), peaks(runs)))
    return "\n".join([*lines, "", *_log_goals(found)])


def _log_goals(found: Found) -> list[str]:
    goals = []
    for kind, least in LOG_GOALS.items():
        for who in (SPOOL, LANDED):
            ratio = _rate(found[kind, who]) / _rate(found[kind, RIVAL])
            goals.append(judged(f"{kind}, {who}: {least} of pg_recvlogical", ratio >= least, f"{ratio:.2f}"))
    most = max(peak(found[kind, who], "agent") for kind in KINDS for who in (SPOOL, LANDED))
    return [*goals, judged("agent under 250 MB", most < AGENT_GOAL, f"{most:.0f} MiB")]


def fresh(found: Fresh) -> str:
    lines = [f"### PostgreSQL by its log: from commit to landed at {found.rate:,.0f} changes/s", ""]
    p50, p99 = (percentile(found.waits, share) for share in (0.5, 0.99))
    lines += header("changes", "p50 ms", "p99 ms", "most ms")
    lines.append(
        row(f"{len(found.waits):,}", *(f"{1000 * value:.0f}" for value in (p50, p99, max(found.waits))))
    )
    shares = ", ".join(
        f"{name} {100 * use.cpu_seconds / found.seconds:.0f} %" for name, use in found.usages.items()
    )
    goals = [
        judged("p50 under 250 ms", p50 < P50_GOAL, f"{1000 * p50:.0f} ms"),
        judged("p99 under 700 ms", p99 < P99_GOAL, f"{1000 * p99:.0f} ms"),
    ]
    return "\n".join([*lines, "", f"Share of a core: {shares}.", "", *goals])


def _rounds(runs: Sequence[Run]) -> str:
    return "one round" if len(runs) == 1 else f"medians of {len(runs)} rounds"


def _rate(runs: Sequence[Run]) -> float:
    return statistics.median(run.rate for run in runs)
