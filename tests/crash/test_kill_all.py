"""Real data, real processes, SIGKILL in turn: agent, daemon and broker, under 500 scripted changes.

Chinook as the HIS and the OMOP tables as exported files. At the end source and lake are equal per key and
column, no version stands twice; and wherever the script waits for a scan after a step, exactly that step's
net changes have landed, no more and no fewer.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import deltalake
import pytest

from tests.compare import compare
from tests.crash.region import Region
from tests.crash.scripted import Chinook, Exports, Net
from tests.servers import SHARED, require_dataset, require_server

CHINOOK = SHARED / "sampledb-chinook" / "Chinook_Sqlite.sqlite"
OMOP = SHARED / "eunomia-synthea27nj" / "Synthea27Nj_5.4.zip"
SEED = int(os.environ.get("GUICANG_SEED", "20261123"))

CHANGES, CHANGES_PER_STEP, STEPS_PER_WAIT = 500, 100, 5
EDITED_FILES = ["PERSON.csv", "CONDITION_OCCURRENCE.csv", "PROVIDER.csv"]
SETTLE_SECONDS = 120.0


class Hospital(Region):
    """With a database and a folder of exported files."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        super().__init__(root)
        self.database, self.folder = root / "his.db", root / "exports"
        shutil.copyfile(require_dataset(CHINOOK), self.database)
        self.folder.mkdir()
        with zipfile.ZipFile(require_dataset(OMOP)) as archive:
            for name in archive.namelist():
                if name.endswith(".csv") and "/" not in name:
                    archive.extract(name, self.folder)
        self.stage.set_up(self.database, self.folder)
        self.stage.start_agent()
        self.chinook = Chinook(self.database, rng)
        self.exports = Exports(self.folder, EDITED_FILES, rng)

    def close(self) -> None:
        self.chinook.close()
        super().close()


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Hospital]:
    require_server("mosquitto")
    one = Hospital(tmp_path, random.Random(SEED))
    try:
        yield one
    finally:
        one.close()


class Landed:
    """What has landed in `changes`, read anew at each look."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._seen: dict[str, int] = {}

    def since_last_look(self) -> Net:
        """The c, u and d that have landed since the last look, by table, op and key."""
        net: Net = Counter()
        with sqlite3.connect(f"file:{self._data_dir / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
            tables = ledger.execute("SELECT path, name, key FROM lake_table").fetchall()
        for path, name, key in tables:
            rows = deltalake.DeltaTable(self._data_dir / "lake" / path).to_pyarrow_table()
            table, columns = json.loads(name)[2], json.loads(key)
            last = self._seen.get(path, 0)
            for row in rows.select(["_gc_epoch", "_gc_seq", "_gc_op", *columns]).to_pylist():
                assert row["_gc_epoch"] == 1
                if row["_gc_seq"] > last and row["_gc_op"] in ("c", "u", "d"):
                    net[table, row["_gc_op"], tuple(row[c] for c in columns)] += 1
            self._seen[path] = max(rows["_gc_seq"].to_pylist(), default=0)
        return net


def test_every_change_arrives_once_while_everything_is_killed(region: Hospital) -> None:
    rng = random.Random(SEED + 1)
    region.settle(SETTLE_SECONDS)
    landed = Landed(region.stage.data_dir)
    landed.since_last_look()
    victims = ["agent", "centre", "broker"]
    for step in range(CHANGES // CHANGES_PER_STEP):
        in_turn = step % STEPS_PER_WAIT
        if in_turn == 0:
            region.settle(SETTLE_SECONDS)
            landed.since_last_look()
        expected = region.chinook.step(CHANGES_PER_STEP // 2) + region.exports.step(CHANGES_PER_STEP // 2)
        time.sleep(rng.random() * 0.4)
        region.kill(victims[step % len(victims)])
        if in_turn == 0:
            region.settle(SETTLE_SECONDS)
            assert landed.since_last_look() == expected, f"step {step}, seed {SEED}"
    region.settle(SETTLE_SECONDS)
    report = compare(
        {"his": f"sqlite:///{region.database}", "exports": str(region.folder)},
        region.stage.data_dir,
        query_command=f"{sys.executable} -m tests.comparing.answering --config {region.stage.centre_config}",
        require_query=True,
    )
    assert report.equal, f"seed {SEED}: {report}"
