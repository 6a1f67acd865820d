"""Both products as they are installed, the lake in a bucket: the object store goes away for a while, and the centre is
killed meanwhile. The hospital keeps what the centre may not take, and at the end everything is there once."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.stage import SITE, Stage, wait_for
from tests.objectstores import ACCESS_KEY, SECRET_KEY, Fault, ObjectServer, shared_server

SECONDS = 90.0
MIB = 1 << 20
ROWS, ROW_BYTES = 3_000, 2_400
"""Incompressible: twice what the centre may hold while it lands nothing."""
LOOKS = 15


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    server = shared_server()
    server.clear()
    yield server
    server.clear()


@pytest.fixture
def stage(server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    settings = {
        "LAKE__URL": f"s3://{server.bucket()}/region/lake",
        "LAKE__ENDPOINT": server.url,
        "LAKE__ALLOW_HTTP": "true",
        "LAKE__RETRY_SECONDS": "0.5",
        "LANDING__PENDING_BYTES_MAX": str(MIB),
        "CREDIT__BUDGET_BYTES": str(MIB),
        "CREDIT__LANDING_BACKLOG_BYTES_MAX": str(MIB),
    }
    for key, value in settings.items():
        monkeypatch.setenv(f"GUICANG_CENTRE_{key}", value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    one = Stage(tmp_path)
    with sqlite3.connect(tmp_path / "his.db") as db:
        db.execute("CREATE TABLE visit (id INTEGER PRIMARY KEY, note TEXT)")
        db.execute("INSERT INTO visit VALUES (0, 'first')")
    try:
        one.found(f"sqlite:///{tmp_path / 'his.db'}", "")
        one.start_agent()
        yield one
    finally:
        one.close()


def ids(stage: Stage) -> dict[str, list[int]]:
    """The keys that stand in the table, and those that were ever created in it, by `central-ingest query`."""
    out, name = stage.root / "ids.csv", f'"{SITE}.his.visit"'
    changes = f"SELECT 'changes', id FROM changes.{name} WHERE _gc_op IN ('r', 'c')"
    stage.central(
        "query", f"SELECT 'current', id FROM current.{name} UNION ALL {changes}", "--output", str(out)
    )
    found: dict[str, list[int]] = {"current": [], "changes": []}
    for line in sorted(out.read_text("utf-8").splitlines()[1:]):
        kind, _, key = line.partition(",")
        found[kind.strip('"')].append(int(key))
    return {kind: sorted(keys) for kind, keys in found.items()}


def not_landed(stage: Stage) -> int:
    return int(stage.centre_status()["journal"]["not_landed_bytes"])


def test_the_centre_takes_no_more_than_it_may_hold_and_goes_on_by_itself(
    stage: Stage, server: ObjectServer
) -> None:
    since = now()
    wait_for(lambda: stage.settled_since(since), SECONDS, "the first row is not in the bucket")
    server.order(Fault("cut"))
    chance = random.Random(5)
    with sqlite3.connect(stage.root / "his.db") as db:
        rows = ((one, chance.randbytes(ROW_BYTES).hex()) for one in range(1, ROWS))
        db.executemany("INSERT INTO visit VALUES (?, ?)", rows)
    wait_for(lambda: faulty(stage) and not_landed(stage) > MIB, SECONDS, "the centre did not fall behind")
    wait_for(Still(lambda: (sent(stage), spooled(stage))), SECONDS, "it never came to rest")
    assert sent(stage) < spooled(stage), "the hospital was let send everything"
    stage.kill("centre")
    before = stage.centre_status()["pid"]
    stage.start_centre()
    wait_for(
        lambda: stage.centre_status()["pid"] != before and faulty(stage), SECONDS, "it is not there again"
    )
    server.clear()
    since = now()
    wait_for(lambda: stage.settled_since(since), SECONDS, "it did not go on by itself")
    assert ids(stage) == {"current": list(range(ROWS)), "changes": list(range(ROWS))}
    wait_for(lambda: stage.centre_status()["healthy"], SECONDS, "something is still wrong")
    for log in stage.root.glob("*.log"):
        assert SECRET_KEY not in log.read_text("utf-8")
    assert json.loads((stage.data_dir / "status.json").read_text("utf-8"))["fault"] is None


def sent(stage: Stage) -> int:
    """Sequences that the centre has."""
    return int(stage.centre_status()["streams"][0]["seq"])


def spooled(stage: Stage) -> int:
    """Sequences that the hospital has given out."""
    return int(stage.agent_status()["sources"][0]["head_seq"])


class Still:
    """True once what `look` sees was the same so often in a row."""

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look
        self._seen: deque[object] = deque(maxlen=LOOKS)

    def __call__(self) -> bool:
        self._seen.append(self._look())
        return len(self._seen) == LOOKS and len(set(self._seen)) == 1


def now() -> int:
    return time.time_ns() // 1000


def faulty(stage: Stage) -> bool:
    fault = stage.centre_status()["fault"]
    return bool(fault) and fault["code"] == "GC-6005"
