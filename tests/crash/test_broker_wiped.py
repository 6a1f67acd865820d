"""A broker that loses its storage, and a second daemon started by mistake: both ends as processes, over mosquitto."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.stage import SITE, Stage, program_path, wait_for
from tests.servers import Mosquitto

SECONDS = 60.0


class OtherBroker(Stage):
    """The broker is ours, not the daemon's own."""

    def start_centre(self) -> None:
        self._start("centre", "central-ingest", "run", "--config", str(self.centre_config))


class Ground:
    def __init__(self, root: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.kept = root / "kept"
        self.kept.mkdir()
        persistent = ("allow_anonymous true", "persistence true", f"persistence_location {self.kept}/")
        self.broker = Mosquitto(root / "broker", (*persistent, "autosave_interval 1"))
        self.loop.run_until_complete(self.broker.start())
        self.stage = OtherBroker(root, self.broker.port)
        self.database = root / "his.db"
        with sqlite3.connect(self.database) as db:
            db.execute("CREATE TABLE visit (id INTEGER PRIMARY KEY, name TEXT)")
        self.stage.set_up(self.database, root / "exports")

    def wipe(self) -> None:
        self.loop.run_until_complete(self.broker.kill())
        for path in self.kept.iterdir():
            path.unlink()
        self.loop.run_until_complete(self.broker.start())

    def insert(self, ident: int, name: str) -> None:
        with sqlite3.connect(self.database) as db:
            db.execute("INSERT INTO visit VALUES (?, ?)", (ident, name))

    def rows(self) -> list[str]:
        out = self.stage.root / "out.csv"
        said = f'SELECT id, name FROM current."{SITE}.his.visit" ORDER BY id'
        self.stage.central("query", said, "--output", str(out))
        return out.read_text("utf-8").split()[1:]

    def landed(self, count: int) -> None:
        wait_for(
            lambda: self.stage.centre_status()["counters"]["rows_landed"] >= count, SECONDS, "nothing landed"
        )

    def close(self) -> None:
        self.stage.close()
        self.loop.run_until_complete(self.broker.kill())
        self.loop.close()


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    (tmp_path / "exports").mkdir()
    one = Ground(tmp_path)
    try:
        yield one
    finally:
        one.close()


def test_all_goes_on_after_the_broker_s_storage_is_wiped_and_beside_a_second_daemon(ground: Ground) -> None:
    ground.insert(1, "张三")
    ground.stage.start_agent()
    wait_for(lambda: ground.stage.centre_status().get("streams"), SECONDS, "the centre knows of no stream")
    ground.landed(1)
    command = [program_path("central-ingest"), "run", "--config", str(ground.stage.centre_config)]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert second.returncode == 78
    assert "GC-1006" in second.stderr
    ground.wipe()
    before = ground.stage.centre_status()["counters"]["rows_landed"]
    ground.insert(2, "李四")
    ground.landed(before + 1)
    assert ground.rows() == ['1,"张三"', '2,"李四"']
