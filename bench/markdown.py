"""Rows of the tables that are printed: medians of several runs, and whether a goal is met."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from .landed import Run
from .processes import MIB, Usage


def header(*names: str) -> list[str]:
    return [row(*names), "|" + "---|" * len(names)]


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def judged(text: str, met: bool, measured: str) -> str:
    return f"- {'met' if met else '**not met**'}: {text} ({measured})"


def cpu(runs: Sequence[Run]) -> str:
    parts = {name: statistics.median(run.cpu_per_million(name) for run in runs) for name in runs[0].usages}
    if len(parts) == 1:
        return f"{next(iter(parts.values())):.1f}"
    each = ", ".join(f"{name} {value:.1f}" for name, value in parts.items())
    return f"{sum(parts.values()):.1f} ({each})"


def peaks(runs: Sequence[Run]) -> str:
    named = [name for name, usage in runs[0].usages.items() if usage.peak_bytes]
    if len(named) == 1:
        return f"{peak(runs, named[0]):.0f}"
    return ", ".join(f"{name} {peak(runs, name):.0f}" for name in named)


def peak(runs: Sequence[Run], name: str) -> float:
    """MiB; the median, as everything."""

    def held(usage: Usage) -> float:
        return usage.peak_bytes / MIB

    return statistics.median(held(run.usages[name]) for run in runs)
