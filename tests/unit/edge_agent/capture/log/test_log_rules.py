"""The follower of a log, rule by rule (capture.md §3), and what it does about tables that cannot go on.

Nothing happens in the database but what the test does.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from edge_agent.capture.facts import facts_of
from edge_agent.capture.log import follow
from edge_agent.capture.log.position import Position
from edge_agent.capture.log.waiting import WAIT_SECONDS
from edge_agent.capture.phases import Phase
from edge_agent.capture.writer import StreamWriter
from edge_agent.sources.memory_log import Row
from edge_agent.spool.records import Shard, TableState
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import Column, TableSchema

from ...keys import SEAL, STREAM
from .life import LABS, VISITS, Life, schema
from .standing import Standing


@pytest.fixture
def quiet(tmp_path: Path) -> Life:
    """Nothing happens but what the test does."""
    one = Life(1, tmp_path)
    one.quiet = True
    return one


def write(one: Life, xid: int, table: TableName, key: int, row: Row | None) -> None:
    did = one.open.setdefault(xid, [])
    one.log.write(did, table, (key,), row)


def commit(one: Life, xid: int, *, show: bool = True) -> None:
    one.log.commit(xid, one.open.pop(xid))
    if show:
        one.log.show(xid)


def work(one: Life, turns: int = 20) -> None:
    for _ in range(turns):
        one.work()
    one.read()


def test_rule_7_who_wrote_before_the_table_joined_is_waited_for(quiet: Life) -> None:
    """Such a transaction reaches neither log nor chunk."""
    xid = quiet.log.begin()
    write(quiet, xid, LABS, 1, (1, 10, "x"))
    quiet.log.join(LABS)
    quiet.included = [LABS]
    work(quiet)
    assert quiet.spool.table(STREAM, LABS) is None
    commit(quiet, xid)
    work(quiet)
    assert quiet.standing[LABS].rows()[1,] == [1, 10, "x"]


def test_rule_7_who_holds_a_snapshot_up_is_named_until_it_goes_on(quiet: Life) -> None:
    xid = quiet.log.begin()
    write(quiet, xid, LABS, 1, (1, 10, "x"))
    quiet.log.join(LABS)
    quiet.included = [LABS]
    said: list[Rejected | None] = []
    quiet.follower._reject = lambda _table, fault: said.append(fault)
    quiet.turns(250, apart_seconds=0.1)
    assert [(one.code, one.facts["session"]) for one in said if one] == [("GC-2078", xid)] * 2
    commit(quiet, xid)
    work(quiet)
    assert said[2:], "it goes on"
    assert set(said[2:]) == {None}


def test_rule_5_a_commit_that_nobody_sees_wins_over_a_later_chunk(quiet: Life) -> None:
    work(quiet)
    assert quiet.standing[VISITS].ended == 1
    quiet.orders.take(lambda book: book.wanting("his", [VISITS]))
    work(quiet, 1)  # the begin mark
    xid = quiet.log.begin()
    write(quiet, xid, VISITS, 0, (0, 99, None))
    commit(quiet, xid, show=False)
    work(quiet, 40)
    assert quiet.standing[VISITS].ended == 2
    assert quiet.standing[VISITS].rows()[0,] == [0, 99, None]
    assert quiet.log.confirmed <= quiet.log.record_of(xid), "a restart must be told of it again"
    quiet.log.show(xid)
    work(quiet, 3)
    assert quiet.log.confirmed > quiet.log.record_of(xid)


def test_rule_4_an_update_that_left_a_value_out_completes_the_chunk(quiet: Life) -> None:
    quiet.orders.take(lambda book: book.wanting("his", [VISITS]))
    work(quiet, 1)
    long = quiet.log.rows(VISITS)[0,][2]
    xid = quiet.log.begin()
    write(quiet, xid, VISITS, 0, (0, 77, long))
    commit(quiet, xid, show=False)
    work(quiet, 40)
    assert quiet.standing[VISITS].rows()[0,] == [0, 77, long]


def test_rule_6_a_row_that_moved_behind_the_cursor_is_read_once_more(quiet: Life) -> None:
    quiet.orders.take(lambda book: book.wanting("his", [VISITS]))
    while Position.parse(quiet.spool.stream(STREAM).position).end == 0 or not cursor(quiet):  # type: ignore[union-attr]
        work(quiet, 1)
    long = quiet.log.rows(VISITS)[8,][2]
    xid = quiet.log.begin()
    write(quiet, xid, VISITS, 8, (1, 8, long))
    commit(quiet, xid)
    work(quiet, 40)
    assert quiet.standing[VISITS].rows()[1,] == [1, 8, long]
    assert (8,) not in quiet.standing[VISITS].rows()


def cursor(one: Life) -> bytes:
    progress = facts_of(one.spool.table(STREAM, VISITS)).progress
    return b"" if progress is None else progress.cursor


WIDE = TableName("his", "public", "wide")


def wide(one: Life) -> None:
    """A table of which no row fits an envelope, first in the list."""
    names = [f"c{i}" for i in range(700)]
    columns = (Column("id", pa.int64()), *(Column(name, pa.string()) for name in names))
    noise = random.Random(1)
    row = (1, *("".join(noise.choices("abcdefghijklmnop", k=4_000)) for _ in names))
    one.log.create(TableSchema(WIDE, columns, ("id",)), [row])
    one.standing[WIDE] = Standing()
    one.included = [WIDE, VISITS]


def test_a_table_that_cannot_travel_stops_no_other_and_is_tried_seldom(quiet: Life) -> None:
    wide(quiet)
    chunks: Counter[str] = Counter()
    quiet.log.before = lambda name: chunks.update([name])
    quiet.turns(200, apart_seconds=0.01)
    quiet.read()
    assert quiet.standing[VISITS].ended == 1
    assert {fault.code for fault in quiet.faults} == {"GC-2013"}
    assert len(quiet.faults) <= 3, "two seconds: at once, after one, after three"
    xid = quiet.log.begin()
    write(quiet, xid, VISITS, 0, (0, 5, None))
    commit(quiet, xid)
    quiet.follower.follow(quiet.log, 0.0)
    quiet.read()
    assert quiet.standing[VISITS].rows()[0,] == [0, 5, None]


def test_a_table_that_may_not_be_read_is_asked_for_seldom(quiet: Life) -> None:
    asked: Counter[str] = Counter()

    def refuse(name: str) -> None:
        asked[name] += 1
        if name == "chunk":
            raise Rejected("GC-2003", table="visits", source="his", reason="no permission")

    quiet.log.before = refuse
    quiet.turns(1_000, apart_seconds=0.01)
    assert 2 <= asked["chunk"] <= 5, "ten seconds: at once, after 1, 3, 7"
    assert {fault.code for fault in quiet.faults} == {"GC-2003"}


def test_who_waits_for_a_transaction_to_end_does_not_ask_at_every_turn(quiet: Life) -> None:
    xid = quiet.log.begin()
    write(quiet, xid, LABS, 1, (1, 10, "x"))
    quiet.log.join(LABS)
    quiet.included = [LABS]
    asked: Counter[str] = Counter()
    quiet.log.before = lambda name: asked.update([name])
    quiet.turns(1_000, apart_seconds=0.01)
    assert asked["visible"] <= 10 / WAIT_SECONDS + 1


def test_a_chunk_with_too_much_before_its_fence_is_put_off(
    quiet: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "UNSEEN_ROWS_MAX", 20)
    quiet.log._rows_at_once = lambda: 7
    held: list[int] = []

    def flood(name: str) -> None:
        if name == "fence" and len(held) < 10_000:
            for number in range(60):
                xid = quiet.log.begin()
                quiet.open[xid] = []
                quiet.log.write(quiet.open[xid], LABS, (number,), (number, number, "x"))
                commit(quiet, xid)
        if name == "read":
            held.append(quiet.follower._unseen.rows)

    quiet.log.join(LABS)
    quiet.log.before = flood
    quiet.turns(60, apart_seconds=0.5)
    assert max(held) <= 20 + 7, "what is held is bounded"
    quiet.log.before = lambda name: None
    work(quiet, 40)
    assert quiet.standing[VISITS].ended == 1


def test_what_an_index_was_kept_of_goes_when_the_log_takes_over(quiet: Life) -> None:
    writer = StreamWriter(quiet.spool, STREAM, SEAL, lambda: 1)
    name = quiet.files.write_keyed({b"k": bytes(16)})
    state = TableState(VISITS, Phase.FOLLOW, schema(VISITS).fingerprint)
    writer.commit(None, table=state, add_shards=[Shard(b"", b"", name, 9)])
    work(quiet)
    assert quiet.standing[VISITS].ended == 1
    assert not (quiet.directory / "index" / name).exists()
    assert quiet.spool.shards(STREAM, VISITS) == []
