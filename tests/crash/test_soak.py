"""Many hospitals, many tables, a lake that is maintained all the while, and everything killed at random.

Changes follow Zipf's law over the tables, with deletes and with definitions that change. At the end source and lake are
equal per key and column, no version stands twice, and two readers that are not ours see the same rows.
`GUICANG_SOAK=10x20x300` makes it ten hospitals of twenty tables that live for five minutes.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from central_ingest.landing.columns import exact_name
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.materialising import path_of
from central_ingest.landing.replay import replay
from demo.stage import Stage, wait_for
from tests.compare import compare
from tests.crash.clinic import Clinic
from tests.crash.region import Region
from tests.foreign import by_kernel, by_polars
from tests.servers import require_server

SEED = int(os.environ.get("GUICANG_SEED", "20261127"))
HOSPITALS, TABLES, SECONDS = map(int, os.environ.get("GUICANG_SOAK", "2x6x10").split("x"))
CHANGES_PER_STEP = 20
SETTLE_SECONDS = 240.0 + 4.0 * HOSPITALS * TABLES
"""Two cores have all hospitals and the centre to carry, whose maintenance never rests."""
KILL_SECONDS = (1.0, 5.0)

RESTLESS = (
    ("[landing]", "checkpoint_commits = 10"),
    ("[landing]", "quiet_seconds = 0.2"),
    ("[maintenance]", "share_max = 1.0"),
    ("[current]", "cadence_seconds = 1.0"),
    ("[current]", "cpu_share = 1.0"),
)
"""The lake's maintenance, as often as it can be asked for."""


class Hospitals(Region):
    """Several hospitals of one centre."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        super().__init__(root)
        self.stage.found_centre(RESTLESS)
        self.stage.start_centre()
        self.sites = {
            f"site-{i}": Stage.beside(self.stage, root / f"site-{i}", f"site-{i}") for i in range(HOSPITALS)
        }
        self.clinics: dict[str, Clinic] = {}
        for site, stage in self.sites.items():
            self.clinics[site] = Clinic(stage.root / "his.db", TABLES, random.Random(rng.random()))
            stage.join(f"sqlite:///{stage.root / 'his.db'}")
            stage.start_agent()

    def kill_any(self, rng: random.Random) -> None:
        what = rng.choice(["centre", "broker", *self.sites])
        if what in self.sites:
            self.sites[what].kill("agent")
            self.sites[what].start_agent()
        else:
            self.kill(what)

    def settle_all(self) -> None:
        self.settle(SETTLE_SECONDS, stages=self.sites.values())

    def close(self) -> None:
        for stage in self.sites.values():
            stage.close()
        for clinic in self.clinics.values():
            clinic.close()
        super().close()


@pytest.fixture
def hospitals(tmp_path: Path) -> Iterator[Hospitals]:
    require_server("mosquitto")
    one = Hospitals(tmp_path, random.Random(SEED))
    try:
        yield one
    finally:
        one.close()


def test_a_maintained_lake_is_exact_after_everything_was_killed(hospitals: Hospitals) -> None:
    rng = random.Random(SEED + 1)
    _live(hospitals, rng)
    hospitals.settle_all()
    for site, clinic in hospitals.clinics.items():
        assert set(clinic.done) >= {"insert", "update", "delete"}
        report = compare(
            {"his": f"sqlite:///{clinic.path}"},
            hospitals.stage.data_dir,
            site=site,
            query_command=f"{sys.executable} -m tests.comparing.answering --config {hospitals.stage.centre_config}",
            require_query=True,
        )
        assert report.equal, f"seed {SEED}, {site}: {report}"
    wait_for(lambda: _current_is_fresh(hospitals), SETTLE_SECONDS, "current was not materialised")
    keys = _keys(hospitals.stage.data_dir)
    assert len(keys) >= HOSPITALS * TABLES
    root = hospitals.stage.data_dir / "lake"
    lake = DeltaLake(root)
    for path, keyed in keys.items():
        _same_to_all(lake, root, path, keyed)


def _live(hospitals: Hospitals, rng: random.Random) -> None:
    end, kill_at = time.monotonic() + SECONDS, time.monotonic() + rng.uniform(*KILL_SECONDS)
    while time.monotonic() < end:
        clinic = rng.choice(list(hospitals.clinics.values()))
        clinic.step(CHANGES_PER_STEP)
        if rng.random() < 0.05:
            clinic.evolve()
        if time.monotonic() > kill_at:
            hospitals.kill_any(rng)
            kill_at = time.monotonic() + rng.uniform(*KILL_SECONDS)
        time.sleep(0.03)


def _current_is_fresh(hospitals: Hospitals) -> bool:
    said = hospitals.stage.centre_status()["current"]
    return not (said["behind"] or said["never"] or said["failing"])


def _keys(data_dir: Path) -> dict[str, bool]:
    """Lake paths of all tables, and whether they have a key."""
    with sqlite3.connect(f"file:{data_dir / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
        return {
            path: json.loads(key) != [] for path, key in ledger.execute("SELECT path, key FROM lake_table")
        }


def _same_to_all(lake: DeltaLake, root: Path, path: str, keyed: bool) -> None:
    """`changes` to both readers, version by version; and `current` to both, as a replay of the changes has it."""
    changes = lake.read(path)
    ours, stands = _versions(changes), replay(changes, keyed)
    names = sorted({name for row in stands for name in row})
    for read in (by_polars, by_kernel):
        assert _versions(_read(read, lake, root, path)) == ours, f"{read.__name__}: {path}"
        found = _standing(_read(read, lake, root, path_of(path)).to_pylist())
        assert _counted(found, names) == _counted(stands, names), f"{read.__name__}: current of {path}"


def _read(read: Callable[[Path], pa.Table], lake: DeltaLake, root: Path, path: str) -> pa.Table:
    """With exact names, and in the types that we have: each reader has its own of text and of moments."""
    found, schema = read(root / path), lake.schema(path)
    assert schema is not None
    return (
        found.rename_columns([exact_name(one) for one in found.column_names])
        .select(schema.names)
        .cast(schema)
    )


def _versions(changes: pa.Table) -> dict[tuple[int, int, int], dict[str, object]]:
    rows = {(r["_gc_epoch"], r["_gc_seq"], r["_gc_ord"]): r for r in changes.to_pylist()}
    assert len(rows) == changes.num_rows, "a version stands twice"
    return rows


def _standing(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As docs/operating.md says: the base without the keys of the tail, and of those the latest that lives."""
    last: dict[bytes, dict[str, Any]] = {}
    for row in sorted((r for r in made if r["_gc_part"] == "tail"), key=lambda r: r["_gc_step"]):
        last[row["_gc_key"]] = row
    base = [r for r in made if r["_gc_part"] != "tail" and r["_gc_key"] not in last]
    return base + [r for r in last.values() if r["_gc_live"]]


def _counted(rows: list[dict[str, Any]], names: list[str]) -> Counter[str]:
    """A table without a key has equal rows as often as they count."""
    return Counter(repr([row.get(name) for name in names]) for row in rows)
