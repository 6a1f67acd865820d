"""An orderly stop, seen from the other end, over a real broker: a hospital is told that its centre is away."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.stage import Stage, wait_for
from tests.servers import Mosquitto, require_server

SECONDS = 60.0


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    require_server("mosquitto")
    loop = asyncio.new_event_loop()
    broker = Mosquitto(tmp_path / "broker")
    loop.run_until_complete(broker.start())
    one = Stage(tmp_path, broker.port)
    database, folder = tmp_path / "his.db", tmp_path / "exports"
    folder.mkdir()
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE visit (id INTEGER PRIMARY KEY, name TEXT)")
        db.execute("INSERT INTO visit VALUES (1, '张三')")
    (folder / "a.csv").write_text("id\n1\n", "utf-8")
    try:
        one.set_up(database, folder)
        one.start_agent()
        yield one
    finally:
        one.close()
        loop.run_until_complete(broker.kill())
        loop.close()


def test_the_agent_shows_that_the_centre_went_away_and_that_it_came_back(stage: Stage) -> None:
    wait_for(lambda: stage.agent_status().get("healthy"), SECONDS, "the agent is not healthy")
    assert stage.stop("centre") == 0
    wait_for(lambda: not stage.agent_status()["link"]["centre_online"], SECONDS, "the agent was not told")
    assert "centre away" in stage.agent("status")
    stage.start_centre()
    wait_for(lambda: stage.agent_status()["healthy"], SECONDS, "the agent did not find its centre again")
    assert stage.stop("agent") == 0
    wait_for(lambda: "NOT RUNNING" in stage.agent("status"), SECONDS, "a stopped agent shows as running")
