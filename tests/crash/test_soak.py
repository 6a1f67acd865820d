"""Many hospitals, many tables, a lake that is maintained all the while, and everything killed at random.

Changes follow Zipf's law over the tables, with deletes and with definitions that change. At the end source and lake are
equal per key and column, no version stands twice, and two readers that are not ours see the same rows.
`GUICANG_SOAK=10x20x300` makes it ten hospitals of twenty tables that live for five minutes.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from demo.stage import Stage
from tests.compare import compare
from tests.crash.clinic import Clinic
from tests.crash.foreign import READERS
from tests.crash.region import Region
from tests.servers import require_server

SEED = int(os.environ.get("GUICANG_SEED", "20261127"))
HOSPITALS, TABLES, SECONDS = map(int, os.environ.get("GUICANG_SOAK", "3x8x20").split("x"))
CHANGES_PER_STEP = 20
SETTLE_SECONDS = 240.0
KILL_SECONDS = (1.0, 5.0)

RESTLESS = (("[landing]", "checkpoint_commits = 10"),)
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
    lake = hospitals.stage.data_dir / "lake"
    seen = 0
    for log in sorted((lake / "changes").rglob("_delta_log")):
        _same_to_all(log.parent)
        seen += 1
    assert seen >= HOSPITALS * TABLES


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
        time.sleep(0.1)


def _same_to_all(table: Path) -> None:
    """Row by row, by version: no version stands twice, so each row of one reader has its own of the other."""
    ours = _rows(deltalake.DeltaTable(str(table)).to_pyarrow_table())
    for name, read in READERS.items():
        theirs = _rows(read(table))
        assert theirs.keys() == ours.keys(), f"{name}: {table.name}"
        for version, row in theirs.items():
            assert row == ours[version], f"{name}: {table.name}"


def _rows(table: pa.Table) -> dict[tuple[int, int, int], dict[str, object]]:
    rows = {(r["_gc_epoch"], r["_gc_seq"], r["_gc_ord"]): r for r in table.to_pylist()}
    assert len(rows) == table.num_rows, "a version stands twice"
    return rows
