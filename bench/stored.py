"""Bytes that the centre keeps for each byte of an envelope that it received: journal, `changes`, `current`.

Visits are sent as prepared batches and land as ever; then the materialised `current` is waited for. Nothing is joined
or cleaned up yet: that only makes it less.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from central_ingest.journal.files import FileJournal

from . import visits
from .delta_log import DeltaLog
from .markdown import header, row
from .sending import write_plan
from .site import site

SECONDS_MAX = 300.0


@dataclass(frozen=True)
class Stored:
    rows: int
    received: int
    """Bytes of envelopes."""
    kept: dict[str, int]


def run(rows: int) -> Stored:
    with TemporaryDirectory(prefix="guicang-bench-") as folder:
        slices, database = Path(folder) / "slices.arrow", Path(folder) / "empty.db"
        visits.write_slices(slices, rows)
        database.touch()
        with site(Path(folder), f"sqlite:///{database}") as one:
            plan = write_plan(one.root, slices)
            one.start_module("agent", "bench.sender", str(one.agent_config), str(plan.file))
            plan.start.touch()
            changes, current = DeltaLog(one.lake / "changes"), DeltaLog(one.lake / "current")
            one.wait_until(lambda: changes.has(rows), SECONDS_MAX)
            one.wait_until(lambda: current.has(rows), SECONDS_MAX)
            one.stop("agent")
            one.stop("centre")
            journal = FileJournal.open(one.data_dir / "journal", read_only=True)
            received = sum(len(entry.envelope) for entry in journal.read())
            journal.close()
            places = {
                "journal": one.data_dir / "journal",
                "changes": one.lake / "changes",
                "current": one.lake / "current",
            }
            return Stored(rows, received, {name: _size(place) for name, place in places.items()})


def _size(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())


def report(found: Stored) -> str:
    lines = ["### Bytes kept for each byte received", ""]
    lines += header("what", "bytes a row", "for each byte received")
    sizes = {"envelopes received": found.received} | found.kept
    sizes["together"] = sum(found.kept.values())
    lines += [
        row(name, f"{size / found.rows:.0f}", f"{size / found.received:.2f}") for name, size in sizes.items()
    ]
    return "\n".join(lines)
