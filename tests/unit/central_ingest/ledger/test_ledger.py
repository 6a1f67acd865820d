"""The centre's book: what is written is read again, also by another process on the same file."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from central_ingest.ledger.ledger import (
    AgentRecord,
    GrantRecord,
    InventoryLine,
    Ledger,
    Parked,
    StreamRecord,
    TableRecord,
)
from protocol.delivery import Head
from protocol.names import TableName

from ..ledgers import memory_ledger
from ..sender import OTHER_STREAM, STREAM

SECRET = b"h" * 32
AGENT = AgentRecord("a" * 32, "h1", 1, b"p" * 32, "1.0", 50, None)


@pytest.fixture
def ledger() -> Ledger:
    return memory_ledger()


def test_a_ledger_of_an_older_version_gets_the_tables_that_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    old = Ledger.open(path)
    old.add_site("h1", "第一医院", 1)
    old.close()
    raw = sqlite3.connect(path)
    (command,) = raw.execute("SELECT name FROM sqlite_master WHERE name = 'command'").fetchall()
    raw.execute(f"DROP TABLE {command[0]}")
    raw.close()
    new = Ledger.open(path)
    assert new.sites() == [("h1", "第一医院")]
    assert new.commands.all() == []
    new.close()


def test_it_survives_closing_and_is_read_by_others(tmp_path: Path) -> None:
    first = Ledger.open(tmp_path / "l.sqlite")
    second = Ledger.open(tmp_path / "l.sqlite")
    first.add_site("h1", "第一医院", 1)
    assert second.sites() == [("h1", "第一医院")]
    first.close()
    second.close()
    third = Ledger.open(tmp_path / "l.sqlite")
    assert third.sites() == [("h1", "第一医院")]
    third.close()


def test_several_threads_write_at_once(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "l.sqlite")

    def write(who: str) -> None:
        for i in range(10):
            ledger.add_audit(i, who, "q")

    threads = [threading.Thread(target=write, args=(str(n),)) for n in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for who in "012":
        assert [now for now, by, _ in ledger.audits() if by == who] == list(range(10))
    ledger.close()


def test_a_site_keeps_its_name_unless_a_new_one_is_given(ledger: Ledger) -> None:
    ledger.add_site("h2", "", 1)
    ledger.add_site("h1", "old", 1)
    ledger.add_site("h1", "", 2)
    assert ledger.sites() == [("h1", "old"), ("h2", "")]
    ledger.add_site("h1", "new", 3)
    assert ledger.sites() == [("h1", "new"), ("h2", "")]


def test_an_invitation_lets_one_agent_in(ledger: Ledger) -> None:
    ledger.invite(SECRET, "h1", expires=100)
    other = replace(AGENT, id="b" * 32)
    assert not ledger.use_invitation(b"x" * 32, "h1", AGENT, 10)
    assert not ledger.use_invitation(SECRET, "h2", AGENT, 10)
    assert ledger.agents() == []
    assert ledger.use_invitation(SECRET, "h1", AGENT, 100)
    assert not ledger.use_invitation(SECRET, "h1", other, 10)
    assert ledger.use_invitation(SECRET, "h1", replace(AGENT, enrolled=99), 101)
    assert ledger.agents() == [AGENT]


def test_an_invitation_expires(ledger: Ledger) -> None:
    ledger.invite(SECRET, "h1", expires=100)
    assert not ledger.use_invitation(SECRET, "h1", AGENT, 101)
    assert ledger.agents() == []


def test_who_was_revoked_or_belongs_elsewhere_does_not_come_in_again(ledger: Ledger) -> None:
    ledger.invite(SECRET, "h1", 100)
    ledger.invite(b"2" * 32, "h1", 100)
    ledger.invite(b"3" * 32, "h2", 100)
    assert ledger.use_invitation(SECRET, "h1", AGENT, 10)
    assert not ledger.use_invitation(b"3" * 32, "h2", replace(AGENT, site="h2"), 10)
    ledger.revoke(AGENT.id, 60)
    assert not ledger.use_invitation(SECRET, "h1", AGENT, 10)
    assert not ledger.use_invitation(b"2" * 32, "h1", AGENT, 10)
    assert ledger.agents() == [replace(AGENT, revoked=60)]
    other = replace(AGENT, id="b" * 32)
    assert ledger.use_invitation(b"2" * 32, "h1", other, 10)


def test_grants_are_used_with_their_epoch(ledger: Ledger) -> None:
    ledger.add_grant(STREAM, 2, "a", 1)
    ledger.add_grant(STREAM, 1, "b", 1)
    ledger.add_grant(OTHER_STREAM, 1, "a", 1)
    ledger.begin_epoch(STREAM, 2, "a", 7, low_water=0)
    assert ledger.grants(STREAM) == [GrantRecord(STREAM, 1, "b", None), GrantRecord(STREAM, 2, "a", 7)]
    assert ledger.grants(OTHER_STREAM) == [GrantRecord(OTHER_STREAM, 1, "a", None)]


def test_an_epoch_begins_anew_but_keeps_the_low_water_mark(ledger: Ledger) -> None:
    ledger.begin_epoch(STREAM, 1, "a", 1, low_water=300)
    record = StreamRecord(STREAM, "a", Head(1, 5, b"h", b"r"), 900, b"key", 44, 300)
    ledger.save_heads([record], checkpoint=1_000)
    assert (ledger.streams(), ledger.checkpoint()) == ([record], 1_000)
    ledger.begin_epoch(STREAM, 2, "b", 2, low_water=999)
    begun = StreamRecord(STREAM, "b", Head(2), 0, None, 44, 300)
    assert ledger.streams() == [begun]
    assert [g.epoch for g in ledger.grants(STREAM)] == [1, 2]
    ledger.save_heads([record], checkpoint=1_001)
    assert ledger.streams() == [begun], "a head of an epoch that is over is not written"


def test_low_water_marks_are_per_stream(ledger: Ledger) -> None:
    ledger.begin_epoch(STREAM, 1, "a", 1, 0)
    ledger.begin_epoch(OTHER_STREAM, 1, "a", 1, 5)
    ledger.save_low_water({STREAM: 70})
    assert {r.stream: r.low_water for r in ledger.streams()} == {STREAM: 70, OTHER_STREAM: 5}


def test_the_catalogue_keeps_exact_names(ledger: Ledger) -> None:
    record = TableRecord(
        "changes/h1/his/x-1", STREAM, TableName(None, "模式", "a.b"), ("编号", "n"), b"f" * 32, 4, None, 0
    )
    ledger.save_table(record)
    changed = replace(record, synced_version=5, landed=9, rows=3)
    ledger.save_table(changed)
    assert ledger.lake_tables() == [changed]


def test_schemas_are_kept_by_content(ledger: Ledger) -> None:
    assert ledger.schema(b"f") is None
    ledger.save_schema(b"f", b"content")
    ledger.save_schema(b"f", b"content")
    assert ledger.schema(b"f") == b"content"


def test_the_first_reason_for_parking_stands(ledger: Ledger) -> None:
    first = Parked(STREAM, "p", "GC-6004", "why", 1, 2, 3)
    whole = Parked(STREAM, "", "GC-5005", "why", 1, 9, 3)
    ledger.park(first)
    ledger.park(replace(first, seq=8))
    ledger.park(whole)
    assert sorted(ledger.parked(), key=lambda p: p.path) == [whole, first]
    ledger.unpark(STREAM, "p")
    ledger.unpark(OTHER_STREAM, "")
    assert ledger.parked() == [whole]


def test_the_first_part_of_an_inventory_replaces_the_one_before(ledger: Ledger) -> None:
    a, b, c = (InventoryLine(STREAM, name, 3, None, name == "a", "why") for name in "abc")
    elsewhere = replace(a, stream=OTHER_STREAM)
    ledger.save_inventory([a, elsewhere], first=False, now=1)
    ledger.save_inventory([b], first=True, now=2)
    ledger.save_inventory([c, replace(b, columns=4)], first=False, now=2)
    assert ledger.inventory() == [replace(b, columns=4), c, elsewhere]


def test_the_last_word_of_an_agent_counts(ledger: Ledger) -> None:
    ledger.save_fleet("a", 1, {"x": 1})
    ledger.save_fleet("a", 2, {"名": [None]})
    assert ledger.fleet() == {"a": (2, {"名": [None]})}
