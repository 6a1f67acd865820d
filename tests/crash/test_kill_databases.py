"""Real databases of hospitals and shops, on real servers, under scripted changes, while everything is killed in turn.

One agent reads three of them at once: a Chinese HIS on MariaDB, Chinook and sakila on PostgreSQL. 500 changes in each
(inserts, updates, deletes, changed keys), and SIGKILL of agent, daemon, broker and both servers; the centre's ledger
is in the same PostgreSQL. Some tables are found by scans alone, some are polled by a cursor or watched in a window
besides, with few scans. At the end sources and lake are equal in every table, by every key and column, and no version
stands twice.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from central_ingest.ledger.address import PostgresAddress
from demo.stage import wait_for
from tests.compare import compare
from tests.crash.datasets import DATASETS, Dataset
from tests.crash.region import Region
from tests.crash.scripted_sql import Script
from tests.databases import postgres
from tests.ledgers import address, copy_catalogue
from tests.servers import require_server

SEED = int(os.environ.get("GUICANG_SEED", "20261123"))
STEPS, CHANGES_PER_STEP = 6, 80
"""In each data set."""
VICTIMS = ("agent", "mariadb", "centre", "postgresql", "broker")
SETTLE_SECONDS = 600.0


class Databases(Region):
    """With three databases on two servers."""

    def __init__(self, root: Path, databases: dict[Dataset, str]) -> None:
        super().__init__(root, (one.server() for one in databases))
        self.urls = {one.slug: one.server().url(name) for one, name in databases.items()}
        others = {slug: url for slug, url in self.urls.items() if slug != "his"}
        ways = "".join(_ways(one, name) for one, name in databases.items())
        self.stage.found(self.urls["his"], "".join(_source(slug, url) for slug, url in others.items()) + ways)
        self.stage.start_agent()


def _source(slug: str, url: str) -> str:
    return f"""
[sources.{slug}]
kind = "sql"
url = {json.dumps(url)}
include = ["*"]
scan_interval_seconds = 0.5
duty_share_max = 0.8
"""


def _place(one: Dataset, database: str) -> str:
    return f"{database}.public" if one.server().backend == "postgresql" else database


def _ways(one: Dataset, database: str) -> str:
    return "".join(
        f"\n[sources.{one.slug}.tables.{json.dumps(f'{_place(one, database)}.{table}')}]\n"
        f"scan_interval_seconds = 4\n{told}"
        for table, told in one.ways
    )


def _looks(databases: dict[Dataset, str]) -> set[tuple[str, str, str]]:
    """Source, table and kind of each look that was configured."""
    return {
        (one.slug, f"{_place(one, name)}.{table}", kind)
        for one, name in databases.items()
        for table, told in one.ways
        for kind, word in (("poll", "cursor ="), ("window", "window ="))
        if word in told
    }


def _followed(status: dict[str, Any]) -> set[tuple[str, str, str]]:
    """The same of those that the agent has completed since it started."""
    return {
        (source["source"], table["table"], kind)
        for source in status.get("sources", ())
        for table in source["followed"]
        for kind in ("poll", "window")
        if table[kind]
    }


@pytest.fixture
def databases() -> Iterator[dict[Dataset, str]]:
    with ExitStack() as stack:
        made = {one: stack.enter_context(one.server().database()) for one in DATASETS}
        for one, name in made.items():
            one.load(name)
        yield made


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresAddress]:
    """The centre's, in the PostgreSQL that is killed like the others."""
    with postgres().database() as name:
        place = address(postgres(), name)
        monkeypatch.setenv("GUICANG_CENTRE_LEDGER__URL", place.url)
        monkeypatch.setenv("GUICANG_CENTRE_LEDGER__PASSWORD", place.password)
        yield place


@pytest.fixture
def region(tmp_path: Path, databases: dict[Dataset, str], ledger: PostgresAddress) -> Iterator[Databases]:
    require_server("mosquitto")
    one = Databases(tmp_path, databases)
    try:
        yield one
    finally:
        one.close()


def test_every_change_of_real_databases_arrives_while_everything_is_killed(
    region: Databases, databases: dict[Dataset, str], ledger: PostgresAddress
) -> None:
    rng = random.Random(SEED)
    scripts = [Script(one.server(), name, one.tables, rng) for one, name in databases.items()]
    region.settle(SETTLE_SECONDS)
    for step in range(STEPS):
        for script in scripts:
            script.step(CHANGES_PER_STEP)
        time.sleep(rng.random() * 0.4)
        region.kill(VICTIMS[step % len(VICTIMS)])
    region.settle(SETTLE_SECONDS)
    assert [script.done for script in scripts] == [STEPS * CHANGES_PER_STEP] * len(DATASETS)
    copy_catalogue(ledger, region.stage.data_dir / "ledger.sqlite")
    report = compare(region.urls, region.stage.data_dir)
    assert report.equal, f"seed {SEED}: {report}"
    wait_for(
        lambda: _looks(databases) <= _followed(region.stage.agent_status()), SETTLE_SECONDS, "nobody polls"
    )
    region.stage.stop("agent")
    for slug, script in zip(region.urls, scripts, strict=True):
        table = script.rename_one()
        source = {slug: region.urls[slug]}
        report = compare(source, region.stage.data_dir, include=[f"*.{table.name}"])
        assert not report.equal, "one changed value among all of them is found"
