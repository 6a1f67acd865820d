"""Change → receipted, and → queryable, while 2,000 rows a second come in small changes.

A group of changes is there (at hand, as a reader of a log would have it) at a time that the sender notes. It is
receipted when the spool's own file says so, read from outside; it can be queried when the entry of its Delta commit
has its name. Both are looked for every 2 ms. How long a change waits for the next look at its source is the operator's
interval, and not in here; nor are the first seconds, in which a table that was quiet becomes a busy one.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Txn
from central_ingest.landing.maintenance import Pace
from central_ingest.landing.upkeep import Upkeep
from demo.stage import SITE

from . import visits
from .delta_log import DeltaLog
from .processes import Usage
from .sending import Plan, write_plan
from .site import Site, site

GROUPS_PER_SECOND = 20
GROUP_ROWS = 100
_POLL_SECONDS = 0.002
_WARM_UP_GROUPS = 3 * GROUPS_PER_SECOND


@dataclass(frozen=True)
class Latency:
    """Seconds of each group, in order; the warm-up is left out where there is more than that."""

    rows: int
    receipted: list[float]
    queryable: list[float]
    usages: dict[str, Usage]
    seconds: float


def percentile(values: Sequence[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def run(seconds: float, commits: int = 0) -> Latency:
    """`commits`: so many stand in the table's log before, each of a row."""
    with TemporaryDirectory(prefix="guicang-bench-") as folder:
        database = Path(folder) / "empty.db"
        database.touch()
        with site(Path(folder), f"sqlite:///{database}") as one:
            if commits:
                _sent(one, 1.0, "first")
                _age(one, commits)
            found = _sent(one, seconds, "plan")
            _check(one, found.rows + (int(GROUPS_PER_SECOND * GROUP_ROWS) + commits if commits else 0))
    return found


def _sent(one: Site, seconds: float, name: str) -> Latency:
    rows = int(seconds * GROUPS_PER_SECOND * GROUP_ROWS)
    folder = one.root / name
    folder.mkdir()
    visits.write_slices(folder / "slices.arrow", rows)
    plan = write_plan(folder, folder / "slices.arrow", GROUPS_PER_SECOND, GROUP_ROWS)
    one.start_module("agent", "bench.sender", str(one.agent_config), str(plan.file))
    one.wait_until(lambda: one.agent_status().get("link", {}).get("centre_online", False), 60)
    log, before = DeltaLog(one.lake / "changes", "outpatient"), one.usages()
    log.poll()
    plan.start.touch()
    receipted, queryable = _watch(one, plan, log, seconds + 60)
    usages = {which: use.since(before[which]) for which, use in one.usages().items()}
    one.stop("agent")
    return Latency(rows, receipted, queryable, usages, seconds)


def _age(one: Site, commits: int) -> None:
    """By the lake's own hand, while the centre rests, visited as often as its maintenance does; and the ledger says, as
    after commits of the centre's own, that they are durable."""
    one.stop("centre")
    lake = DeltaLake(one.lake)
    upkeep = Upkeep(lake, wall=time.time)
    (path,) = [path for path in lake.tables() if "outpatient" in path and path.startswith("changes/")]
    schema = lake.schema(path)
    assert schema is not None
    row = lake.read(path, schema.names).slice(0, 1)
    for number in range(commits):
        version = lake.append(path, row, [Txn("bench/aged/1", number + 1)])
        if number % Pace().visit_commits == 0:
            upkeep.visit(path)
    lake.make_durable(path, version)
    with closing(sqlite3.connect(one.data_dir / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE lake_table SET synced_version = ? WHERE path = ?", (version, path))
    one.start_centre()


def _watch(one: Site, plan: Plan, log: DeltaLog, seconds_max: float) -> tuple[list[float], list[float]]:
    """Look until everything that was sent is receipted and can be queried."""
    receipts: list[tuple[float, int]] = []
    commits: list[tuple[float, int]] = []
    give_up = time.monotonic() + seconds_max
    spool = sqlite3.connect(f"file:{one.spool}?mode=ro", uri=True)
    heads: list[tuple[int, float]] = []
    try:
        while not heads or receipts[-1][1] < heads[-1][0] or commits[-1][1] < heads[-1][0]:
            if time.monotonic() > give_up:
                raise RuntimeError("not everything was receipted and landed")
            (seq,) = spool.execute("SELECT receipted_seq FROM streams").fetchone()
            if not receipts or seq > receipts[-1][1]:
                receipts.append((time.time(), seq))
            if log.poll() or not commits:
                commits.append((time.time(), log.last_seq))
            if not heads and plan.done.exists() and (text := plan.done.read_text()):
                heads = [(head, there) for head, there in json.loads(text)]
            time.sleep(_POLL_SECONDS)
    finally:
        spool.close()
    return _waits(heads, receipts), _waits(heads, commits)


def _waits(heads: list[tuple[int, float]], seen: list[tuple[float, int]]) -> list[float]:
    """Of each group: from when it was there until something at least as high was seen."""
    waits, i = [], 0
    for head, there in heads:
        while seen[i][1] < head:
            i += 1
        waits.append(seen[i][0] - there)
    return waits[_WARM_UP_GROUPS:] or waits


def _check(one: Site, rows: int) -> None:
    """What was called queryable is what a query counts."""
    out = one.root / "count.csv"
    sql = f'SELECT count(*) AS n FROM changes."{SITE}.his.{visits.TABLE}"'
    one.central("query", sql, "--output", str(out))
    counted = int(out.read_text().split()[1])
    if counted != rows:
        raise RuntimeError(f"a query counts {counted} of {rows} rows")
