"""The plan that `bench.sender` follows, as the bench that starts it writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from . import visits


@dataclass(frozen=True)
class Plan:
    file: Path
    start: Path
    done: Path


def write_plan(
    root: Path, slices: Path, groups_per_second: float = 0.0, group_rows: int = visits.SLICE_ROWS
) -> Plan:
    """`start` gives the word when it appears, `done` says what was sent."""
    plan = Plan(root / "plan.json", root / "start", root / "done.json")
    said = {
        "slices": str(slices),
        "start": str(plan.start),
        "done": str(plan.done),
        "groups_per_second": groups_per_second,
        "group_rows": group_rows,
    }
    plan.file.write_text(json.dumps(said))
    return plan
