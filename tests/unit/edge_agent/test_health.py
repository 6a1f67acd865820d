"""Health: freshness first; an idle source is fresh, a dead poller is not; no fault stays untold."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.capture.phases import Phase
from edge_agent.capture.reports import TableReport
from edge_agent.capture.rhythm import Task
from edge_agent.courier import Courier
from edge_agent.health import FAULTS_SHOWN, PASSING, Health, write_status
from edge_agent.identity import Grants
from edge_agent.orders import Pause
from edge_agent.spool.records import Scan, Work
from protocol.errors import Rejected, Transient
from protocol.link.memory import MemoryBroker
from protocol.names import TableName

from .capture import tables
from .capture.stage import Stage
from .capture.tables import VISIT, row
from .keys import CENTRE, IDENTITY, STREAM

SECOND = 1_000_000
SOURCES = {"his": {"name": "门诊", "kind": "sql", "interval_seconds": 10.0}}


class Ground:
    def __init__(self, directory: Path) -> None:
        self.stage = Stage(directory)
        self.stage.source.create(tables.schema(VISIT), [row(VISIT, k, 0) for k in range(3)])
        self.courier = Courier(
            link=MemoryBroker().link("agent"),
            spool=self.stage.spool,
            identity=IDENTITY,
            centre=CENTRE,
            grants=Grants(directory, IDENTITY, CENTRE),
            sources=["his"],
            now=lambda: 0.0,
            wall=lambda: 1,
            rng=random.Random(1),
        )
        self.courier.connected = self.courier.centre_online = True

    def status(self, now: int = SECOND) -> dict[str, Any]:
        facts = {"version": "1", "agent": IDENTITY.agent, "site": "H1", "broker": "b", "sources": SOURCES}
        runners = {"his": self.stage.runner}
        health = Health(
            spool=self.stage.spool,
            courier=self.courier,
            runners=runners,
            facts=facts,
            orders=self.stage.orders,
        )
        said = health.status(now)
        assert json.loads(json.dumps(said)) == said, "it must be JSON"
        return said

    def source(self, now: int = SECOND) -> dict[str, Any]:
        (said,) = self.status(now)["sources"]
        assert isinstance(said, dict)
        return said

    def receipt(self) -> None:
        state = self.stage.spool.stream(STREAM)
        assert state is not None
        self.stage.spool.receipt(STREAM, state.epoch, state.head_seq, state.head_hash, b"")


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.stage.close()


def test_a_paused_source_is_degraded_and_grows_old(ground: Ground) -> None:
    ground.stage.settle()
    ground.receipt()
    assert (ground.source()["healthy"], ground.source()["paused"]) == (True, None)
    ground.stage.orders.take(lambda book: book.pausing("his", Pause(5, "centre")))
    said = ground.source()
    assert (said["healthy"], said["paused"]) == (False, {"since": 5, "by": "centre"})
    later = ground.source(now=500 * SECOND)
    assert later["freshness_seconds"] > said["freshness_seconds"]
    assert ground.status()["healthy"] is False


def test_refused_messages_are_counted_by_code(ground: Ground) -> None:
    ground.courier.messages_refused["GC-5002"] += 2
    assert ground.status()["link"]["messages_refused"] == {"GC-5002": 2}


def test_fresh_is_what_has_its_receipt(ground: Ground) -> None:
    assert ground.source()["freshness_seconds"] is None
    ground.stage.settle()
    said = ground.source()
    assert (said["freshness_seconds"], said["healthy"], said["backlog_envelopes"] > 0) == (None, False, True)
    ground.receipt()
    started = ground.stage.runner.report.last_pass
    assert started is not None
    said = ground.source(started + 7 * SECOND)
    assert (said["freshness_seconds"], said["fresh_as_of"]) == (7.0, started)
    assert (said["healthy"], said["backlog_envelopes"], said["backlog_bytes"]) == (True, 0, 0)
    assert said["head_seq"] == said["receipted_seq"] > 0
    assert ground.status(started + 7 * SECOND)["healthy"]


def test_an_idle_source_is_fresh_and_a_dead_poller_is_not(ground: Ground) -> None:
    ground.stage.settle()
    ground.receipt()
    state = ground.stage.spool.stream(STREAM)
    assert state is not None
    ground.stage.spool.commit(Work(STREAM, 1, state.head_seq, scan=Scan(500 * SECOND)))
    assert ground.source(505 * SECOND)["freshness_seconds"] == 5.0
    assert ground.source(600 * SECOND)["healthy"], "ten intervals are not over"
    assert not ground.source(601 * SECOND)["healthy"]
    assert not ground.status(601 * SECOND)["healthy"]


def test_a_clock_set_back_is_no_negative_age(ground: Ground) -> None:
    ground.stage.settle()
    ground.receipt()
    assert ground.source(-5 * SECOND)["freshness_seconds"] == 0.0


@pytest.mark.parametrize("broken", ["connected", "centre_online"])
def test_without_the_line_nothing_is_healthy(ground: Ground, broken: str) -> None:
    ground.stage.settle()
    ground.receipt()
    assert ground.status()["healthy"]
    setattr(ground.courier, broken, False)
    ground.courier.link_fault = Transient("GC-4001", broker="b", reason="lost")
    said = ground.status()
    assert not said["healthy"]
    assert said["link"][broken] is False
    assert said["link"]["fault"]["code"] == "GC-4001"


def test_each_fault_is_told_in_both_languages(ground: Ground) -> None:
    ground.stage.settle()
    ground.receipt()
    report = ground.stage.runner.report
    for i in range(FAULTS_SHOWN + 5):
        name = TableName(None, None, f"t{i}")
        report.tables[name] = TableReport(
            Phase.SNAPSHOT.value, faults={Task.SCAN: Rejected("GC-2005", table=str(name))}
        )
    said = ground.source()
    assert not said["healthy"]
    assert len(said["faults"]) == FAULTS_SHOWN
    assert said["faults"][0]["table"] == "t0"
    assert {"code", "what", "todo", "what_zh", "todo_zh"} < set(said["faults"][0])
    assert said["tables"]["total"] == FAULTS_SHOWN + 6
    assert (said["tables"]["following"], said["tables"]["snapshot"]) == (1, [])


def test_snapshots_under_way_are_shown(ground: Ground) -> None:
    for i in range(5):
        name = TableName("his", None, f"t{i}")
        ground.stage.runner.report.tables[name] = TableReport(Phase.SNAPSHOT.value, i, 10)
    shown = ground.source()["tables"]
    assert shown["snapshot"] == [{"table": f"his.t{i}", "rows": i, "rows_estimate": 10} for i in range(3)]
    assert shown["rows"] == 10


def test_a_fault_or_refusal_of_the_source_is_told(ground: Ground) -> None:
    ground.stage.settle()
    ground.receipt()
    ground.courier.refused["his"] = "GC-5003"
    assert (ground.source()["refused"], ground.source()["healthy"]) == ("GC-5003", False)
    ground.courier.refused.clear()
    assert ground.source()["healthy"]
    ground.stage.runner.report.fault = Transient("GC-2001", source="his", reason="refused")
    assert ground.source()["fault"]["code"] == "GC-2001"
    assert not ground.source()["healthy"]


@pytest.mark.parametrize("code", sorted(PASSING))
def test_what_passes_by_itself_is_shown_and_no_alarm(ground: Ground, code: str) -> None:
    ground.stage.settle()
    ground.receipt()
    fault = Rejected(code, file="visit.csv", table="visit", source="his", session=7)
    ground.stage.runner.report.tables[VISIT].note(Task.SCAN, fault)
    said = ground.source()
    assert ([fault["code"] for fault in said["faults"]], said["healthy"]) == ([code], True)


def test_a_pattern_that_fits_nothing_is_an_alarm(ground: Ground) -> None:
    ground.stage.settings = ground.stage.settings.model_copy(update={"include": (str(VISIT), "vsit")})
    ground.stage.reopen()
    ground.stage.settle()
    ground.receipt()
    said = ground.source()
    assert [(f["table"], f["code"]) for f in said["faults"]] == [("vsit", "GC-2044")]
    assert not said["healthy"]


async def test_capture_may_go_on_while_it_is_told(ground: Ground) -> None:
    async def capture() -> None:
        for i in range(3_000):
            ground.stage.runner.report.tables[TableName(None, None, f"t{i}")] = TableReport()
            if not i % 10:
                await asyncio.sleep(0)

    async def tell() -> None:
        for _ in range(30):
            await asyncio.to_thread(ground.source)

    await asyncio.gather(capture(), tell())


def test_the_status_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    for said in ({"a": "门诊"}, {"b": 1}):
        write_status(path, said)
        assert json.loads(path.read_text("utf-8")) == said
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]
    assert path.stat().st_mode & 0o777 == 0o644
