"""Keeping `current` of a large table fresh: our materialising beside MERGE of delta-rs, on the same changes.

A table of so many visits, and a minute of random changes at a time: most update, some create, some delete. Each
contestant is a process of its own that reads the new changes from the same `changes` table, as the daemon's lander
left them (a commit a second), and brings its `current` up to date. Ours goes on until it has merged its tail once, so
that the mean holds what the merge costs. Then both answers are compared, and a question over all rows is timed: by the
rule over `changes` alone, exactly as queries are answered, and from the materialised table as others read it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from central_ingest.landing.delta import DeltaLake
from protocol.change import LAKE_SYSTEM

from . import visits
from .markdown import header, judged, row
from .processes import MIB, Usage, usage_of

PATH = "changes/h1/his/outpatient-visit-0a1b2c3d"
RATE, SECONDS = 1_000, 60
MERGES = 3
"""Rounds of MERGE: each costs as much as the one before."""
ROUNDS_MAX = 60
_SNAPSHOT = "1" * 32
_COMMITS_PER_ROUND = 60
_DAY = date(2026, 11, 27)


@dataclass
class Contest:
    """What the rounds cost: CPU seconds of each, the peaks of the processes, and the answers' reading times."""

    rows: int
    changes: int
    build: Usage = field(default_factory=lambda: Usage(0.0, 0))
    ours: list[float] = field(default_factory=list)
    ours_merging: list[float] = field(default_factory=list)
    ours_peak: int = 0
    merge: list[float] = field(default_factory=list)
    merge_peak: int = 0
    same: bool = False
    reading: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    """Seconds, CPU seconds and peak bytes of one question over the whole table."""

    @property
    def ours_mean(self) -> float:
        found = self.ours + self.ours_merging
        return sum(found) / len(found)

    @property
    def merge_mean(self) -> float:
        return sum(self.merge) / len(self.merge)

    @property
    def share(self) -> float:
        """Of MERGE's CPU that ours takes."""
        return self.ours_mean / self.merge_mean


class Hospital:
    """What happens at the source, as `changes` gets it."""

    def __init__(self, lake: DeltaLake, rows: int) -> None:
        self._lake = lake
        self._rng = Random(5)
        self._seq = 0
        self._numbers = rows
        self._gone: set[int] = set()
        self._images = pa.Table.from_batches(list(visits.slices(visits.DISTINCT_ROWS)))
        self._snapshot(rows)

    def _snapshot(self, rows: int) -> None:
        self._mark({"mark": "snapshot_begin"})
        waiting: list[pa.RecordBatch] = []
        for part in visits.slices(rows):
            waiting.append(part)
            if len(waiting) * visits.SLICE_ROWS >= 100_000:
                self._land(pa.Table.from_batches(waiting), "r")
                waiting = []
        if waiting:
            self._land(pa.Table.from_batches(waiting), "r")
        self._mark({"mark": "snapshot_end", "facts": {"rows": rows, "batches": 1}})

    def minute(self, changes: int) -> None:
        """A minute's changes, a commit a second."""
        per_commit = max(1, changes // _COMMITS_PER_ROUND)
        for _ in range(_COMMITS_PER_ROUND):
            numbers, ops = [], []
            for _ in range(per_commit):
                which = self._rng.random()
                number = self._rng.randrange(1, self._numbers + 1)
                if which < 0.1 or number in self._gone:
                    self._numbers += 1
                    number, op = self._numbers, "c"
                elif which < 0.2:
                    self._gone.add(number)
                    op = "d"
                else:
                    op = "u"
                numbers.append(number)
                ops.append(op)
            at = pa.array([self._rng.randrange(visits.DISTINCT_ROWS) for _ in numbers])
            images = self._images.take(at).set_column(0, "visit_id", pa.array(numbers, pa.int64()))
            keys = [blake2b(n.to_bytes(8, "big"), digest_size=16).digest() for n in numbers]
            at = images.schema.get_field_index("_key")
            self._land(images.set_column(at, "_key", pa.array(keys, pa.binary(16))), pa.array(ops))

    def _land(self, rows: pa.Table, op: Any) -> None:
        self._seq += 1
        count = rows.num_rows
        given = {
            "_gc_op": pa.repeat(op, count) if isinstance(op, str) else op,
            "_gc_key": rows.column("_key").cast(pa.binary()),
        }
        self._append(rows.drop_columns(["_key"]), given)

    def _mark(self, said: dict[str, Any]) -> None:
        self._seq += 1
        text = json.dumps(said | {"captured": 0, "table": [None, None, visits.TABLE], "snapshot": _SNAPSHOT})
        given = {"_gc_op": pa.array(["m"]), "_gc_key": pa.array([b"mark"]), "_gc_mark": pa.array([text])}
        nothing = [pa.nulls(1, one.type) for one in visits.ARROW]
        self._append(pa.Table.from_arrays(nothing, schema=visits.ARROW), given)

    def _append(self, rows: pa.Table, given: dict[str, Any]) -> None:
        count = rows.num_rows
        given = given | {
            "_gc_ord": pa.array(range(count), pa.int64()),
            "_gc_epoch": pa.repeat(pa.scalar(1, pa.int64()), count),
            "_gc_seq": pa.repeat(pa.scalar(self._seq, pa.int64()), count),
            "_gc_date": pa.repeat(pa.scalar(_DAY), count),
        }
        system = [given.get(f.name, pa.nulls(count, f.type)).cast(f.type) for f in LAKE_SYSTEM]
        names = [*(f.name for f in LAKE_SYSTEM), *rows.schema.names]
        self._lake.append(PATH, pa.Table.from_arrays([*system, *rows.columns], names=names), [])


class Contestant:
    """A process that does what it is told, line by line."""

    def __init__(self, who: str, root: Path) -> None:
        command = [sys.executable, "-m", "bench.current_contestants", who, str(root)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.tell("ready")

    def tell(self, what: str) -> dict[str, Any]:
        """What it answered, with the CPU seconds that it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        before = usage_of(self._process.pid)
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the contestant ended at {what}")
        found: dict[str, Any] = json.loads(line)
        return found | {"cpu": usage_of(self._process.pid).since(before).cpu_seconds}

    @property
    def usage(self) -> Usage:
        return usage_of(self._process.pid)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@contextlib.contextmanager
def contestant(who: str, root: Path) -> Iterator[Contestant]:
    one = Contestant(who, root)
    try:
        yield one
    finally:
        one.end()


def run(rows: int, changes: int = RATE * SECONDS) -> Contest:
    found = Contest(rows, changes)
    with TemporaryDirectory(prefix="guicang-bench-") as folder:
        root = Path(folder)
        hospital = Hospital(DeltaLake(root / "lake"), rows)
        with contestant("ours", root) as ours:
            ours.tell("step")
            found.build = ours.usage
        with contestant("merge", root) as merge:
            merge.tell("build")
        with contestant("ours", root) as ours, contestant("merge", root) as merge:
            while len(found.merge) < MERGES or (not found.ours_merging and len(found.ours) < ROUNDS_MAX):
                hospital.minute(changes)
                said = ours.tell("step")
                (found.ours_merging if said["merged"] else found.ours).append(said["cpu"])
                if len(found.merge) < MERGES:
                    found.merge.append(merge.tell("step")["cpu"])
                if len(found.merge) == MERGES and not found.same:
                    found.same = _same(root)
                    found.merge_peak = merge.usage.peak_bytes
            found.ours_peak = ours.usage.peak_bytes
        hospital.minute(changes)
        with contestant("ours", root) as ours:
            ours.tell("step")  # so that what is read has a tail
        for who in ("changes", "exact", "materialised"):
            with contestant(who, root) as reader:
                began = time.monotonic()
                said = reader.tell("read")
                found.reading[who] = (time.monotonic() - began, said["cpu"], reader.usage.peak_bytes)
    return found


def _same(root: Path) -> bool:
    """Whether both say the same of each key."""
    answers = []
    for who in ("ours", "merge"):
        with contestant(who, root) as one:
            answers.append(one.tell("digest")["digest"])
    return bool(answers[0] == answers[1])


def report(found: Contest) -> str:
    """The figures as markdown, with the goals."""
    lines = [
        f"### Keeping `current` of {found.rows:,} rows fresh: {found.changes:,} random changes a minute",
        "",
        *header("who", "CPU s a minute", "of which", "peak MB"),
        row("ours", f"{found.ours_mean:.2f}", _parts(found), f"{found.ours_peak / MIB:.0f}"),
        row("delta-rs MERGE", f"{found.merge_mean:.2f}", "", f"{found.merge_peak / MIB:.0f}"),
        row(
            "ours, made from its history",
            f"{found.build.cpu_seconds:.1f} (once)",
            "",
            f"{found.build.peak_bytes / MIB:.0f}",
        ),
        "",
        *header("one question over all rows", "seconds", "CPU s", "peak MB"),
        *(
            row(who, f"{seconds:.2f}", f"{cpu:.2f}", f"{peak / MIB:.0f}")
            for who, (seconds, cpu, peak) in found.reading.items()
        ),
        "",
        judged("the two answers are the same, row by row", found.same, "compared after the third minute"),
        judged("a tenth of MERGE's CPU", found.share <= 0.1, f"{found.share:.3f}"),
        judged("under 600 MB", found.ours_peak < 600e6, f"{found.ours_peak / 1e6:.0f} MB"),
    ]
    return "\n".join(lines)


def _parts(found: Contest) -> str:
    steps = f"{sum(found.ours) / max(1, len(found.ours)):.2f} in each of {len(found.ours)} minutes"
    merging = ", ".join(f"{one:.2f}" for one in found.ours_merging)
    return f"{steps}, {merging} in the one that merged" if merging else steps
