"""What the ledger promises, on SQLite and on PostgreSQL: what is written is read again, also by another process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from central_ingest.ledger import holdings
from central_ingest.ledger.address import Address
from central_ingest.ledger.broken import break_epoch, broken_epochs
from central_ingest.ledger.commands import new_command
from central_ingest.ledger.cuts import Cut
from central_ingest.ledger.holes import HEALED, Hole
from central_ingest.ledger.ledger import (
    AgentRecord,
    GrantRecord,
    InventoryLine,
    Ledger,
    Parked,
    StreamRecord,
    TableRecord,
)
from central_ingest.ledger.materialised import News, Standing
from central_ingest.ledger.quarantine import Gap
from protocol.delivery import Head
from protocol.errors import Permanent
from protocol.names import Stream, TableName
from tests.ledgers import KINDS, new_place
from tests.unit.central_ingest.sender import OTHER_STREAM, STREAM

SECRET = b"h" * 32
AGENT = AgentRecord("a" * 32, "h1", 1, b"p" * 32, "1.0", 50, None)
PATH = "changes/h1/his/x-1"


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Address]:
    with new_place(request.param, tmp_path) as place:
        yield place


@pytest.fixture
def ledger(place: Address) -> Iterator[Ledger]:
    ledger = Ledger.open(place)
    yield ledger
    ledger.close()


def test_it_survives_closing_and_is_read_by_others(place: Address) -> None:
    first, second = Ledger.open(place), Ledger.open(place)
    first.add_site("h1", "第一医院", 1)
    assert second.sites() == [("h1", "第一医院")]
    first.close()
    second.close()
    third = Ledger.open(place)
    assert third.sites() == [("h1", "第一医院")]
    third.close()


def test_several_threads_write_at_once(ledger: Ledger) -> None:
    def write(who: str) -> None:
        for i in range(10):
            ledger.add_audit(i, who, "q")
            ledger.save_fleet("a", i, {"who": who})

    together(3, write)
    for who in "012":
        assert [now for now, by, _ in ledger.audits() if by == who] == list(range(10))
    assert [*ledger.fleet()] == ["a"]


def together(count: int, write: Callable[[str], None]) -> None:
    threads = [threading.Thread(target=write, args=(str(n),)) for n in range(count)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def test_text_is_sorted_by_code_points_whatever_the_server_s_locale(ledger: Ledger) -> None:
    codes = ["a", "B", "_", "é", "中", "一", "Z", "0", "\U0001f600"]
    for code in codes:
        ledger.add_site(code, "", 1)
    assert [code for code, _ in ledger.sites()] == sorted(codes)


def test_a_nul_in_a_text_does_no_harm(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.save_inventory([InventoryLine(STREAM, "x\0y", 1, None, False, "\0")], False, 1)
    assert ledger.inventory() == [InventoryLine(STREAM, "x␀y", 1, None, False, "␀")]


def test_bytes_of_every_value_come_back(ledger: Ledger) -> None:
    ledger.save_schema(bytes(range(256)), b"\0\xff" * 40_000)
    assert ledger.schema(bytes(range(256))) == b"\0\xff" * 40_000


def test_numbers_are_as_wide_as_sequences(ledger: Ledger) -> None:
    ledger.begin_epoch(STREAM, 2**62, "a", 2**62, 2**62)
    assert [(one.head.epoch, one.low_water) for one in ledger.streams()] == [(2**62, 2**62)]


def test_of_two_agents_that_use_an_invitation_at_once_one_comes_in(ledger: Ledger) -> None:
    ledger.invite(SECRET, "h1", expires=100)
    came: list[str] = []
    start = threading.Barrier(4)

    def enrol(n: str) -> None:
        start.wait()
        if ledger.use_invitation(SECRET, "h1", replace(AGENT, id=n * 32), 10):
            came.append(n * 32)

    together(4, enrol)
    assert len(came) == 1
    assert [one.id for one in ledger.agents()] == came


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


def test_broken_epochs_are_those_of_their_stream(ledger: Ledger) -> None:
    odd = Stream("h_1", "his")  # the underscore is a wildcard of LIKE
    break_epoch(ledger, STREAM, 3)
    break_epoch(ledger, STREAM, 4)
    break_epoch(ledger, odd, 1)
    assert broken_epochs(ledger) == {STREAM: 4, odd: 1}


def test_commands_are_answered_once(ledger: Ledger) -> None:
    one = new_command(STREAM, AGENT.id, "snapshot", "模式.a", "操作员", 80, 1_000)
    two = new_command(STREAM, AGENT.id, "pause", None, "操作员", 81, 1_000)
    ledger.commands.add(one)
    ledger.commands.add(two)
    ledger.commands.note_sent(one.id, 90)
    ledger.commands.note_sent(one.id, 95)
    assert ledger.commands.open(100) == [replace(one, sent=90), two]
    assert ledger.commands.answer(one.id, AGENT.id, 100, done=True, code=None, facts={"名": "x"})
    assert ledger.commands.answer(one.id, AGENT.id, 101, done=False, code="GC-4015", facts={})
    assert not ledger.commands.answer(two.id, "b" * 32, 100, done=True, code=None, facts={})
    assert ledger.commands.all() == [replace(one, sent=90, answered=100, facts={"名": "x"}), two]
    assert [(now, who) for now, who, _ in ledger.audits()] == [(80, "操作员"), (81, "操作员")]


def test_holes_are_narrowed_and_end(ledger: Ledger) -> None:
    hole = Hole(STREAM, 1, 2, 9, b"", b"h" * 32, 100, 300, 40)
    ledger.holes.add(hole, AGENT.id, True, 90)
    ledger.holes.add(replace(hole, stream=OTHER_STREAM), AGENT.id, False, 91)
    one, other = ledger.holes.open()
    assert (one.hole, one.waits, other.waits) == (hole, True, False)
    ledger.holes.note_asked(one.id, 95, 2)
    ledger.holes.note_came(replace(one, hole=replace(hole, last=5), came=4, came_bytes=70))
    ledger.holes.end(other.id, HEALED)
    narrowed = replace(one, hole=replace(hole, last=5), came=4, came_bytes=70, asked=95)
    assert ledger.holes.open() == [narrowed]
    assert ledger.holes.all() == [narrowed, replace(other, state=HEALED)]


def test_what_is_parked_is_released_or_leaves_a_gap(ledger: Ledger) -> None:
    book = ledger.quarantine
    one = book.park(STREAM, PATH, "GC-6004", "为何", (1, 4), 60)
    other = book.park(STREAM, "", "GC-5005", "why", (1, 5), 61)
    grown = replace(one, last=(1, 9), envelopes=6, bytes=700, end=800)
    book.note([grown])
    assert book.held() == [grown, other]
    asked = book.ask(one.id, "drop", "操作员", 70)
    gap = Gap(STREAM, PATH, (1, 4), (1, 9), 6, 700, None, "GC-6004", "为何", "操作员", 71)
    order = new_command(STREAM, AGENT.id, "snapshot", "x", "操作员", 71, 1_000)
    kept = book.drop(grown, [gap, replace(gap, path="")], order, 71)
    assert book.gaps() == kept
    assert [replace(one, id=0) for one in kept] == [gap, replace(gap, path="")]
    assert (book.request(asked).finished, book.open_requests(), ledger.commands.all()) == (71, [], [order])
    book.heal(kept[0], 99)
    assert [one.healed for one in book.gaps()] == [99, None]
    book.ask(other.id, "retry", "操作员", 100)
    book.release(other, 101)
    assert (book.held(), ledger.parked(), book.open_requests()) == ([], [], [])


def test_a_number_of_the_quarantine_is_never_given_twice(ledger: Ledger) -> None:
    """Its shelf, and requests about it, go by it."""
    first = ledger.quarantine.park(STREAM, PATH, "GC-6004", "why", (1, 4), 60)
    ledger.quarantine.release(first, 61)
    assert ledger.quarantine.park(STREAM, PATH, "GC-6004", "why", (1, 5), 62).id > first.id


def test_holdings_are_added_and_read_again(ledger: Ledger) -> None:
    held = holdings.Holdings(
        {"h1": "一院"},
        {AGENT.id: replace(AGENT, revoked=7)},
        {STREAM: holdings.Epochs(3, AGENT.id, 2, AGENT.id)},
    )
    holdings.add(ledger, holdings.Holdings(agents={AGENT.id: AGENT}))
    holdings.add(ledger, held)
    holdings.add(ledger, held)
    assert holdings.read(ledger) == held


def test_damage_stands_until_it_is_taken_back(ledger: Ledger) -> None:
    book, fault = ledger.damage, Permanent("GC-6102", file="h1/名", wrong="missing")
    assert (book.all(), book.cursor()) == ([], (0, ""))
    book.add("files/h1/名", fault, 5)
    book.add("files/h1/名", fault, 9)
    (one,) = book.all()
    assert (one.name, one.found, str(one.fault)) == ("files/h1/名", 5, str(fault))
    for after in ("changes/a", "files/名"):
        book.save_cursor(7, after)
    assert book.cursor() == (7, "files/名")
    book.remove(one.name)
    assert book.all() == []


def test_a_table_has_news_until_what_is_materialised_of_it_is_noted(ledger: Ledger) -> None:
    table = TableRecord(PATH, STREAM, TableName(None, None, "x"), ("id",), b"", 3, None, 0)
    ledger.save_table(table)
    assert ledger.materialised.news() == []
    ledger.save_table(replace(table, landed=10))
    assert ledger.materialised.news() == [News(PATH, True, 10, None, False)]
    made = Standing(PATH, 10, 11, 1, 7, 5, 2)
    ledger.materialised.note(made)
    assert (ledger.materialised.news(), ledger.materialised.all()) == ([], {PATH: made})
    ledger.save_table(replace(table, landed=20, key=()))
    assert ledger.materialised.news() == [News(PATH, False, 20, 11, False)]
    ledger.materialised.note(replace(made, landed=20))
    ledger.materialised.ask([PATH], 30)
    assert ledger.materialised.news() == [News(PATH, False, 20, 11, True)]
    ledger.materialised.note(replace(made, landed=20), rebuilt=29)
    assert [one.rebuild for one in ledger.materialised.news()] == [True]
    ledger.materialised.note(replace(made, landed=20), rebuilt=30)
    assert ledger.materialised.news() == []


def test_a_rebuild_can_be_asked_for_before_anything_was_materialised(ledger: Ledger) -> None:
    ledger.save_table(TableRecord(PATH, STREAM, TableName(None, None, "x"), ("id",), b"", 3, 10, 0))
    ledger.materialised.ask([PATH, "changes/h1/his/y-1"], 30)
    assert ledger.materialised.news() == [News(PATH, True, 10, None, True)]


MINUTE = 60_000_000


def test_of_cuts_the_last_of_each_minute_stays(ledger: Ledger) -> None:
    times = [(1, 3 * MINUTE), (5, 3 * MINUTE + 7), (6, 4 * MINUTE), (9, 9 * MINUTE)]
    given = [Cut(STREAM, 2, seq, received) for seq, received in times]
    ledger.cuts.note(given)
    ledger.cuts.note([Cut(STREAM, 2, 4, 3 * MINUTE + 30), Cut(OTHER_STREAM, 7, 1, 3 * MINUTE)])  # read again
    assert ledger.cuts.last(STREAM, 3 * MINUTE - 1) is None
    assert ledger.cuts.last(STREAM, 3 * MINUTE + 59) == given[1]
    assert ledger.cuts.last(STREAM, 8 * MINUTE) == given[2]
    assert ledger.cuts.last(STREAM, 99 * MINUTE) == given[3]
    assert ledger.cuts.last(OTHER_STREAM, 99 * MINUTE) == Cut(OTHER_STREAM, 7, 1, 3 * MINUTE)
    ledger.cuts.note([Cut(STREAM, 3, 1, 9 * MINUTE + 1)])  # an epoch counts before a sequence
    assert ledger.cuts.last(STREAM, 99 * MINUTE) == Cut(STREAM, 3, 1, 9 * MINUTE + 1)


def test_of_cuts_older_than_a_week_the_last_of_each_hour_stays(ledger: Ledger) -> None:
    week, hour = 7 * 24 * 60 * MINUTE, 60 * MINUTE
    old = [Cut(STREAM, 1, 1 + n, n * 20 * MINUTE) for n in range(6)]
    new = [Cut(STREAM, 1, 100 + n, week + 3 * hour + n * MINUTE) for n in range(3)]
    ledger.cuts.note([*old, *new])
    ledger.cuts.thin(week + 2 * hour)
    found = {ledger.cuts.last(STREAM, one.received) for one in [*old, *new]}
    assert found == {None, old[2], old[5], *new}
