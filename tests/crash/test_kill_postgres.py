"""A PostgreSQL database that is followed by its log, written to by eight sessions, while everything is killed in turn.

Agent, daemon, broker and the server itself die by SIGKILL or immediate shutdown and come back, the snapshot runs and is
begun anew by DDL, and nobody waits for anybody. In the end

- source and lake are equal in every table, by every key and column (`tests.compare`), and
- `changes` holds every row change that was committed while it ran, once, under its own key, with what it made of the
  row, and of each key in the order of commits: all that a trigger noted in the same transactions, and no other.

The second claim excepts nothing: neither what happened during a snapshot, nor before a table was truncated, altered,
rewritten, or dropped and made again, nor what a server that died had just committed. Not part of it is what is no row
change: values that DDL gave to rows, and the rows that TRUNCATE or DROP took away. Those only the first claim covers.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

from demo.stage import wait_for
from tests.compare import compare
from tests.comparing import catalogue
from tests.crash.hospital_pg import ByRow, HospitalDatabase, differences
from tests.crash.region import Region
from tests.crash.workload import EVERY_KIND, Workload
from tests.databases import PostgresServer, require_postgres
from tests.servers import require_server

SEED = int(os.environ.get("GUICANG_SEED", "20261127"))
HISTORIES = int(os.environ.get("GUICANG_HISTORIES", "1"))
"""How many seeds are tried, from that one on."""
VICTIMS = ("agent", "postgresql", "broker", "agent", "centre")
RECOVERY_SECONDS, SETTLE_SECONDS = 60.0, 240.0
ROUND_SECONDS = 0.5
SLOT = "guicang_his"


@pytest.fixture
def hospital() -> Iterator[HospitalDatabase]:
    require_postgres()
    settings = {"deadlock_timeout": "100ms", "max_connections": "40", "max_wal_size": "2GB"}
    server = PostgresServer(wal_level="logical", **settings)
    server.run("CREATE DATABASE his")
    try:
        one = HospitalDatabase(server, "his")
        one.found()
        yield one
    finally:
        server.discard()


@pytest.fixture
def region(tmp_path: Path, hospital: HospitalDatabase) -> Iterator[Region]:
    require_server("mosquitto")
    one = Region(tmp_path, [hospital.server])
    try:
        settings = ('kind = "postgres"', 'exclude = ["*.audit.*"]', "page_rows = 250")
        key = '\n[sources.his.tables."his.public.by_index"]\nkey = ["id"]\n'
        one.stage.found(hospital.server.url("his"), key, settings)
        one.stage.start_agent()
        yield one
    finally:
        one.close()


def receipted(region: Region) -> int:
    """Up to which envelope the centre has all, as the agent that runs now says; 0 before it says anything."""
    status = region.stage.agent_status()
    sources = status.get("sources", [])
    return int(sources[0]["receipted_seq"]) if sources else 0


def told(data_dir: Path) -> dict[str, ByRow]:
    """What `changes` of every table holds besides snapshots and marks, in order."""
    found: dict[str, ByRow] = {}
    for line in catalogue.read(data_dir).tables:
        columns = ["_gc_epoch", "_gc_seq", "_gc_ord", "_gc_op", "id", "v", "n", "note"]
        table = DeltaTable(str(data_dir / "lake" / line.path)).to_pyarrow_table(columns=columns)
        by_row: ByRow = defaultdict(list)
        for row in table.sort_by([(name, "ascending") for name in columns[:3]]).to_pylist():
            assert row["_gc_epoch"] == 1
            note = None if row["note"] is None else hashlib.md5(row["note"].encode()).hexdigest()
            if row["_gc_op"] not in ("m", "r"):
                by_row[row["id"]].append((row["_gc_op"], row["v"], row["n"], note))
        found[f"{line.name[1]}.{line.name[2]}"] = by_row
    return found


@pytest.mark.parametrize("seed", range(SEED, SEED + HISTORIES))
def test_every_change_of_eight_sessions_arrives_once_while_everything_is_killed(
    region: Region, hospital: HospitalDatabase, seed: int
) -> None:
    rng = random.Random(seed)
    victims = list(VICTIMS)
    rng.shuffle(victims)
    query = f"SELECT FROM pg_replication_slots WHERE slot_name = '{SLOT}' AND confirmed_flush_lsn IS NOT NULL"
    wait_for(lambda: hospital.rows(query), RECOVERY_SECONDS, "no slot")
    workload = Workload(hospital, seed)
    workload.start()
    try:
        for victim in victims:
            time.sleep(rng.random() * 0.8)
            region.kill(victim)
            before = receipted(region)
            wait_for(lambda: receipted(region) > before, RECOVERY_SECONDS, f"nothing goes on: seed {seed}")  # noqa: B023
        wait_for(
            lambda: workload.done.keys() >= EVERY_KIND, RECOVERY_SECONDS, f"not all was done: seed {seed}"
        )
    finally:
        workload.stop()
    region.settle(SETTLE_SECONDS, later=2 * ROUND_SECONDS)
    report = compare({"his": hospital.server.url("his")}, region.stage.data_dir, exclude=["*.audit.*"])
    assert report.equal, f"seed {seed}: {report}"
    noted, landed = hospital.noted(), told(region.stage.data_dir)
    assert sum(map(len, noted.values())) > 1_000
    for table in noted:
        wrong = differences(landed[table], noted[table])
        assert not wrong, f"seed {seed}, {table}: {len(wrong)} ids, {wrong[:5]}"
