"""What the centre shows of its streams, whatever agents say of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from central_ingest import screens
from central_ingest.fleet import (
    HEALED_SHOWN,
    UNLISTED_MICROS,
    Unlisted,
    hole_lines,
    stream_lines,
    unlisted,
    write_status,
)
from central_ingest.lags import Lags
from central_ingest.ledger.holes import GONE, HEALED, Hole
from central_ingest.ledger.ledger import InventoryLine, Ledger, TableRecord
from central_ingest.roster import Roster, Tenure
from protocol.delivery import Head
from protocol.errors import Transient
from protocol.names import Stream

from .ledgers import memory_ledger
from .sender import STREAM, VISITS

NOW = 1_000_000_000


@pytest.fixture
def ledger() -> Ledger:
    ledger = memory_ledger()
    ledger.add_site("h1", "第一医院", 1)
    return ledger


def line(ledger: Ledger) -> dict[str, Any]:
    roster = Roster()
    roster.begin(Tenure(STREAM, "a", Head(2, 7, b"h"), received=NOW - 5))
    (one,) = stream_lines(roster, ledger, NOW, Unlisted(ledger).counts(NOW), Lags(lambda: 0.0))
    return one


def test_a_line_says_how_fresh_and_how_far(ledger: Ledger) -> None:
    source = {"source": "his", "fresh_as_of": NOW - 2_500_000, "backlog_bytes": 9, "healthy": True}
    ledger.save_fleet("a", NOW - 1, {"sources": [{"source": "lis"}, source]})
    ledger.save_table(TableRecord("p", STREAM, VISITS.table, (), b"", 0, NOW - 3, 4))
    assert line(ledger) == {
        "site": "h1",
        "name": "第一医院",
        "source": "his",
        "agent": "a",
        "epoch": 2,
        "seq": 7,
        "received": NOW - 5,
        "landed": NOW - 3,
        "tables": 1,
        "tables_unlisted": 0,
        "heard": NOW - 1,
        "silent": False,
        "freshness_seconds": 2.5,
        "backlog_bytes": 9,
        "healthy": True,
        "commit_to_landed": None,
        "paused": None,
    }


def test_a_table_that_its_source_does_not_list_any_more_is_named(ledger: Ledger) -> None:
    elsewhere = Stream("h1", "lis")
    ledger.save_table(TableRecord("p", STREAM, VISITS.table, (), b"", 0, NOW, 4))
    ledger.save_table(TableRecord("q", elsewhere, VISITS.table, (), b"", 0, NOW, 4))
    counts = Unlisted(ledger)
    assert unlisted(ledger) == {}, "nothing is said of a source that never sent an inventory"
    assert counts.counts(NOW)[STREAM] == 0
    listed = InventoryLine(STREAM, str(VISITS.table), 2, None, False, "not in include")
    other = InventoryLine(STREAM, "other", 2, None, True, "")
    ledger.save_inventory([listed, other], True, NOW)
    assert unlisted(ledger) == {}, "a table that is there is listed, captured or not"
    ledger.save_inventory([other], True, NOW)
    assert unlisted(ledger) == {"p": STREAM}
    assert counts.counts(NOW + UNLISTED_MICROS + 1) == {STREAM: 1}


def test_what_the_journal_lost_is_shown_until_it_came_and_a_while_longer(ledger: Ledger) -> None:
    for number in range(HEALED_SHOWN + 4):
        ledger.holes.add(Hole(STREAM, 1, number + 1, number + 1, b"", b"h", 100, 200, 1), "a", True, NOW)
    first, second, third, *others = ledger.holes.open()
    for one in others:
        ledger.holes.end(one.id, HEALED)
    ledger.holes.end(second.id, GONE)
    ledger.holes.end(third.id, HEALED)
    ledger.holes.note_asked(first.id, NOW, 1)
    lines = hole_lines(ledger)
    assert [(one["first"], one["state"], one["asked"]) for one in lines[:2]] == [
        (1, "open", NOW),
        (2, "gone", None),
    ]
    assert [one["first"] for one in lines[2:]] == list(range(5, HEALED_SHOWN + 5))
    json.dumps(lines)
    console = Console(record=True, width=200)
    for line in lines[:3]:
        screens._hole(console, line)
    text = console.export_text()
    assert "landing waits h1/his" in text
    assert "missing 1/1-1" in text
    assert "cannot come again" in text
    assert "came again" in text


def test_who_was_never_heard_is_silent(ledger: Ledger) -> None:
    one = line(ledger)
    assert (one["silent"], one["heard"], one["freshness_seconds"], one["healthy"]) == (
        True,
        None,
        None,
        False,
    )


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"sources": None},
        {"sources": {"source": "his"}},
        {"sources": ["his", 3, None]},
        {"sources": [{"source": "his", "fresh_as_of": "soon", "backlog_bytes": [], "healthy": "yes"}]},
        {"sources": [{"source": "his", "fresh_as_of": 10**400, "backlog_bytes": -1}]},
        {"sources": [{"source": "his", "fresh_as_of": float("nan"), "backlog_bytes": float("inf")}]},
        {"sources": [{"source": "his", "fresh_as_of": True}]},
    ],
)
def test_an_agent_may_say_anything(ledger: Ledger, status: dict[str, Any]) -> None:
    ledger.save_fleet("a", NOW, status)
    one = line(ledger)
    assert (one["freshness_seconds"], one["backlog_bytes"], one["healthy"]) == (None, None, False)
    json.dumps(one, allow_nan=False)


def test_status_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write_status(path, {"名": 1})
    write_status(path, {"名": 2})
    assert json.loads(path.read_text("utf-8")) == {"名": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]


def test_a_fault_is_told_in_both_languages() -> None:
    fault = Transient("GC-6001", path="/j", reason="full")
    assert fault.as_json() == {
        "code": "GC-6001",
        "what": fault.what,
        "todo": fault.todo,
        "what_zh": fault.what_zh,
        "todo_zh": fault.todo_zh,
    }
