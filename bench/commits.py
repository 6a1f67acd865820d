"""Commits straight into the lake, fresh and after many, beside a user's own appends.

Rounds of 1 × 100,000 rows, 20 × 1,000 and 200 × 50, each table one commit, made durable; the same once the tables of
the last two shapes have many commits behind them, maintenance running on its thread; and `write_deltalake` doing the
first rounds. One process, kept to one core.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from deltalake import write_deltalake

from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Txn
from central_ingest.landing.maintenance import Maintenance, Pace
from central_ingest.landing.upkeep import Upkeep

from . import visits
from .markdown import header, row

SHAPES = ((1, 100_000), (20, 1_000), (200, 50))
"""Tables, and rows of a commit of each."""
Append = Callable[[str, pa.Table], None]


@dataclass(frozen=True)
class Figure:
    who: str
    tables: int
    rows: int
    commits: int
    seconds: float
    cpu_seconds: float


def rows_of(count: int) -> pa.Table:
    """Visits with the columns that every table of `changes` has of itself."""
    batches = list(visits.slices(count, min(count, 10_000)))
    given = pa.Table.from_batches(batches).slice(0, count)
    system = {"_gc_epoch": 1, "_gc_seq": 1, "_gc_date": dt.datetime.now(dt.UTC).date()}
    for name, value in system.items():
        given = given.append_column(name, pa.repeat(pa.scalar(value), count))
    plain = [(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in given.schema]
    return given.cast(pa.schema(plain))


def path_of(number: int) -> str:
    return f"changes/bench/visits/t-{number:08x}"


def measure(who: str, tables: int, rows: pa.Table, rounds: int, append: Append) -> Figure:
    began, cpu = time.monotonic(), time.process_time()
    for _ in range(rounds):
        for number in range(tables):
            append(path_of(number), rows)
    spent = time.process_time() - cpu
    return Figure(who, tables, rows.num_rows, rounds * tables, time.monotonic() - began, spent)


def into(lake: DeltaLake) -> Append:
    count = 0

    def append(path: str, rows: pa.Table) -> None:
        nonlocal count
        count += 1
        lake.make_durable(path, lake.append(path, rows, [Txn("bench/visits/1", count)]))

    return append


def aged(lake: DeltaLake, rows: pa.Table, tables: int, commits: int, rounds: int) -> Figure:
    """Ours, with maintenance on its thread while `commits` come and while it is measured."""
    stop = threading.Event()
    upkeep = Upkeep(lake, reader_hours=0, wall=time.time, stopping=stop.is_set)
    maintenance = Maintenance(lake, upkeep, paths=list, pace=Pace(), now=time.monotonic)

    def look_after() -> None:
        while not stop.is_set():
            stop.wait(maintenance.step())

    thread = threading.Thread(target=look_after)
    thread.start()
    try:
        append = into(lake)
        for number in range(commits):
            append(path_of(number % tables), rows.slice(0, 1))
        return measure(f"ours after {commits:,} commits, maintained", tables, rows, rounds, append)
    finally:
        stop.set()
        thread.join()


def run(rounds: int, commits: int) -> list[Figure]:
    kept = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(kept)})
    try:
        return [one for shape in SHAPES for one in _of_a_shape(*shape, rounds, commits)]
    finally:
        os.sched_setaffinity(0, kept)


def _of_a_shape(tables: int, count: int, rounds: int, commits: int) -> Iterator[Figure]:
    rows = rows_of(count)
    with TemporaryDirectory(prefix="guicang-bench-") as folder:
        lake, plain = DeltaLake(Path(folder) / "ours"), Path(folder) / "plain"

        def append(path: str, rows: pa.Table) -> None:
            write_deltalake(plain / path, rows, mode="append", partition_by=["_gc_date"])

        yield measure("ours", tables, rows, rounds, into(lake))
        yield measure("write_deltalake", tables, rows, rounds, append)
        yield aged(lake, rows, tables, commits, rounds)


def report(found: list[Figure]) -> str:
    lines = ["### Commits on one core", ""]
    lines += header("tables × rows", "who", "rows/s", "commits/s", "CPU s per 1 M rows")
    for one in found:
        total = one.commits * one.rows
        lines.append(
            row(
                f"{one.tables} × {one.rows:,}",
                one.who,
                f"{total / one.seconds:,.0f}",
                f"{one.commits / one.seconds:,.0f}",
                f"{one.cpu_seconds * 1e6 / total:.1f}",
            )
        )
    return "\n".join(lines)
