"""Random lives of a database, its log and its follower: what stands at the centre is what was committed.

Transactions commit, become visible later or much later, move keys with long values left out, truncate and rewrite
tables, while snapshots are read in chunks of two rows (of a table without a key by one statement) and the follower dies
anywhere. Checked by key at every cut behind the snapshot's end, against what was committed up to the cut's position;
and nothing is sent twice.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from edge_agent.capture.facts import facts_of
from edge_agent.capture.index import IndexFiles
from edge_agent.capture.log import follow
from edge_agent.capture.log.follow import LogFollower
from edge_agent.capture.log.position import Position
from edge_agent.capture.log.waiting import WAIT_SECONDS
from edge_agent.capture.phases import Phase
from edge_agent.capture.scan import ScanSettings
from edge_agent.capture.writer import StreamWriter
from edge_agent.orders import Orders
from edge_agent.sources.log import XID_BITS
from edge_agent.sources.memory_log import Key, MemoryLog, Row
from edge_agent.spool.records import Shard, TableState
from edge_agent.spool.spool import Spool
from protocol.canonical import decode
from protocol.change import MarkKind, Op, Version
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import Column, TableSchema

from ...keys import EPOCH_SECRET, SEAL, STREAM
from ...reading import Change, Event, Mark, Reader

VISITS = TableName("his", "public", "门诊")
LABS = TableName("his", "public", "labs")
NOTES = TableName("his", "public", "notes")
"""Without a key."""
TABLES = [VISITS, LABS, NOTES]
KEYS = 9
LARGE = ["x" * 40, "y" * 40, "甲" * 40]
UNKNOWN = "?"


def schema(name: TableName) -> TableSchema:
    columns = (Column("id", pa.int64()), Column("small", pa.int64()), Column("long", pa.string()))
    return TableSchema(name, columns[1:], ()) if name == NOTES else TableSchema(name, columns, ("id",))


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Standing:
    """A table at the centre, by the rule of landing.md §5."""

    changes: list[Change] = field(default_factory=list)
    floor: Version = field(default_factory=lambda: Version(0, 0))
    begun: Version | None = None
    ended: int = 0

    def mark(self, mark: Mark) -> None:
        match mark.header.mark:
            case MarkKind.SNAPSHOT_BEGIN:
                self.begun = mark.version
            case MarkKind.SNAPSHOT_END:
                assert self.begun is not None
                self.floor, self.begun, self.ended = max(self.floor, self.begun), None, self.ended + 1
            case MarkKind.TRUNCATE:
                self.floor = max(self.floor, mark.version)

    def copies(self) -> Counter[Row]:
        """Of a table without a key."""
        counted: Counter[bytes] = Counter()
        rows: dict[bytes, bytes] = {}
        for one in self.changes:
            if one.version > self.floor:
                counted[one.key] += -1 if one.op is Op.DELETE else 1
                rows.setdefault(one.key, one.row)
        assert not any(count < 0 for count in counted.values())
        return Counter({tuple(decode(rows[key])): count for key, count in counted.items() if count})

    def rows(self) -> dict[Key, list[Any]]:
        images: dict[bytes, list[Any]] = {}
        standing: dict[bytes, list[Any]] = {}
        for one in self.changes:
            counts = one.version > self.floor
            if one.op is Op.DELETE:
                standing.pop(one.key, None)
                continue
            values = decode(one.row)
            base = images.get(one.old_key or one.key)
            for i in one.unchanged:
                values[i] = UNKNOWN if base is None else base[i]
            images[one.key] = values
            if counts:
                standing[one.key] = values
            else:
                standing.pop(one.key, None)
        return {(values[0],): values for values in standing.values()}


class Life:
    def __init__(self, seed: int, directory: Path) -> None:
        self.rng = random.Random(seed)
        # The log's numbers begin anew in the middle of it.
        self.log = MemoryLog(lambda: self.rng.choice([1, 2, 5, 100]), first_xid=(3 << XID_BITS) - 40)
        first = [(key, key, self.rng.choice(LARGE)) for key in range(0, KEYS, 2)]
        self.log.create(schema(VISITS), first, large=["long"])
        self.log.create(schema(LABS), first, large=["long"], joined=False)
        self.log.create(schema(NOTES), [(key % 2, self.rng.choice(LARGE[:2])) for key in range(KEYS)])
        self.included = [VISITS]
        self.open: dict[int, list[Any]] = {}
        self.locks: dict[tuple[TableName, Key | None], int] = {}
        self.history: list[tuple[int, dict[TableName, dict[Key, Row]]]] = [
            (0, {t: self.log.rows(t) for t in TABLES})
        ]
        """After each commit: where its record begins, and what all commits up to it left."""
        self.directory = directory
        self.reader = Reader(EPOCH_SECRET)
        self.standing = {t: Standing() for t in TABLES}
        self.seq = 1
        self.told: Counter[tuple[int | None, TableName, bytes, Op]] = Counter()
        self.calls_until_crash: int | None = None
        self.spool = Spool.open(directory / "spool", bytes_max=1 << 30, keep_receipted_bytes=0)
        self.spool.open_epoch(STREAM, 1, b"grant", EPOCH_SECRET)
        self.time = 0.0
        self.faults: list[Rejected] = []
        self.crashes = 0
        self.quiet = False
        self.log.before = self._moment
        self.start()

    # the follower's life

    def start(self) -> None:
        self.orders = Orders(self.directory / "orders.json")
        self.files = IndexFiles(self.directory / "index")
        self.follower = LogFollower(
            "his",
            ScanSettings(page_rows=2, deletion_rows_min=10_000),
            lambda: StreamWriter(self.spool, STREAM, SEAL, self._wall),
            self.orders,
            self.files,
            self._rejected,
            lambda: self.time,
        )

    def _wall(self) -> int:
        self._moment("wall")
        return 1

    def _rejected(self, _table: TableName, fault: Rejected | None) -> None:
        if fault is not None:
            self.faults.append(fault)

    def _moment(self, name: str) -> None:
        """Between any two things that the follower does others go on, and it may die."""
        for _ in range(8 if name == "fence" else self.rng.choice([0, 0, 1, 4])):
            self.happen()
        if self.calls_until_crash is not None:
            self.calls_until_crash -= 1
            if self.calls_until_crash < 0:
                self.calls_until_crash = None
                raise Crash

    def work(self) -> None:
        """A turn of the follower, which may die in it."""
        self.time += self.rng.choice([0.1, 3.0])
        try:
            self.follower.follow(self.log, 0.0)
            self.follower.snapshot(self.log, self.included)
        except Crash:
            self.crashes += 1
            self.start()

    # what happens in the database

    def write(self) -> None:
        if not self.open or self.rng.random() < 0.4:
            self.open[self.log.begin()] = []
        xid = self.rng.choice(list(self.open))
        table = self.rng.choice(TABLES)
        key = (self.rng.randrange(KEYS),)
        before = self.log.rows(table).get(key)
        what = self.rng.random()
        new = (self.rng.randrange(KEYS),) if what < 0.15 and table != NOTES else key
        if any(self.locks.get((table, k), xid) != xid for k in (None, key, new)):
            return
        long = (
            before[-1] if before is not None and self.rng.random() < 0.8 else self.rng.choice([*LARGE, None])
        )
        row: Row | None = (*new, self.rng.randrange(100), long)
        if table == NOTES:  # some are alike
            row = (self.rng.randrange(2), self.rng.choice(LARGE[:2]))
        row = None if what > 0.9 else row
        self.log.write(self.open[xid], table, key, row)
        self.locks |= {(table, key): xid, (table, new): xid}

    def truncate(self) -> None:
        table = self.rng.choice(TABLES)
        if any(t == table for t, _ in self.locks) or table not in self.included:
            return
        xid = self.log.begin()
        did: list[Any] = []
        self.log.truncate(did, table)
        self.locks[table, None] = xid
        self.open[xid] = did

    def commit(self) -> None:
        if not self.open:
            return
        xid = self.rng.choice(list(self.open))
        did = self.open.pop(xid)
        self.log.commit(xid, did)
        state = {t: dict(rows) for t, rows in self.history[-1][1].items()}
        for one in did:
            if isinstance(one, TableName):
                state[one].clear()
                continue
            state[one.table].pop(one.old or one.key, None)
            if one.row is not None:
                state[one.table][one.key] = one.row
        self.history.append((self.log.newest, state))
        if self.rng.random() < 0.7:
            self._shown(xid)

    def show(self) -> None:
        if hidden := self.log.hidden:
            xid = self.rng.choice(hidden)
            self._shown(xid)

    def _shown(self, xid: int) -> None:
        self.log.show(xid)
        self.locks = {place: holder for place, holder in self.locks.items() if holder != xid}

    def happen(self) -> None:
        """Something does, in the database."""
        if self.quiet:
            return
        action = self.rng.random()
        if action < 0.50:
            self.write()
        elif action < 0.80:
            self.commit()
        elif action < 0.96:
            self.show()
        elif action < 0.98:
            self.truncate()
        elif action < 0.99:
            self.log.rewrite(self.rng.choice(TABLES))
        elif LABS not in self.included:
            self.log.join(LABS)
            self.included = TABLES

    # what must be true

    def check(self) -> None:
        """After each turn: what was sent, up to the position that the spool has."""
        self.read()
        state = self.spool.stream(STREAM)
        assert state is not None
        position = Position.parse(state.position)
        if position.commit:
            return
        committed = next(rows for lsn, rows in reversed(self.history) if lsn < max(position.end, 1))
        for table, standing in self.standing.items():
            known = self.spool.table(STREAM, table)
            if known is None or known.phase != Phase.FOLLOW:
                continue
            if table == NOTES:
                assert standing.copies() == Counter(committed[table].values())
            else:
                assert standing.rows() == {key: list(row) for key, row in committed[table].items()}, table

    def read(self) -> None:
        while (stored := self.spool.peek(STREAM, self.seq)) is not None:
            self.seq = stored.last_seq + 1
            for event in self.reader.read([stored.data]):
                self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, Change):
            self.standing[event.table].changes.append(event)
            if event.op is not Op.READ:
                self.told[event.time, event.table, event.key, event.op] += 1
        elif isinstance(event, Mark):
            table = event.header.table_name
            assert table is not None
            self.standing[table].mark(event)

    def each_change_once(self) -> None:
        expected: Counter[tuple[int | None, TableName, Op]] = Counter()
        for lsn, did in self.log.told():
            moved = did.old is not None or (did.before is not None and did.row is not None)
            for op in (Op.DELETE, Op.CREATE) if moved else (did.op,):
                expected[lsn, did.table, op] += 1
        told: Counter[tuple[int | None, TableName, Op]] = Counter()
        for (time, table, _, op), count in self.told.items():
            told[time, table, op] += count
        of_notes = [one for one in expected if one[1] == NOTES]
        assert all(told.pop(one, 0) <= expected.pop(one) for one in of_notes), (
            "none before its first snapshot"
        )
        assert told == expected


def live(seed: int, directory: Path, steps: int) -> Life:
    one = Life(seed, directory)
    one.included = [VISITS, NOTES]
    rng = one.rng
    for step in range(steps):
        one.happen()
        action = rng.random()
        if action < 0.04:
            one.orders.take(lambda book: book.wanting("his", [rng.choice(TABLES)]))
        elif action < 0.12:
            one.calls_until_crash = rng.randrange(8)
        one.work()
        if step % 5 == 0:
            one.check()
    one.quiet = True
    one.log.join(LABS)
    one.included = TABLES
    one.calls_until_crash = None
    while one.open:
        one.commit()
    while one.log.hidden:
        one.show()
    for _ in range(60):
        one.work()
    one.check()
    one.each_change_once()
    assert one.spool.table(STREAM, VISITS).phase == Phase.FOLLOW  # type: ignore[union-attr]
    assert one.spool.table(STREAM, LABS).phase == Phase.FOLLOW  # type: ignore[union-attr]
    assert one.spool.table(STREAM, NOTES).phase == Phase.FOLLOW  # type: ignore[union-attr]
    assert {fault.code for fault in one.faults} <= {"GC-2078"}, "but for who holds a snapshot up"
    return one


@pytest.mark.parametrize("seed", range(16))
def test_what_was_committed_stands_at_the_centre(seed: int, tmp_path: Path) -> None:
    live(seed, tmp_path, 200)


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
    for _ in range(250):
        quiet.follower.follow(quiet.log, 0.0)
        quiet.follower.snapshot(quiet.log, quiet.included)
        quiet.time += 0.1
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
    for _ in range(200):
        quiet.follower.follow(quiet.log, 0.0)
        quiet.follower.snapshot(quiet.log, quiet.included)
        quiet.time += 0.01
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
    for _ in range(1_000):
        quiet.follower.follow(quiet.log, 0.0)
        quiet.follower.snapshot(quiet.log, quiet.included)
        quiet.time += 0.01
    assert 2 <= asked["chunk"] <= 5, "ten seconds: at once, after 1, 3, 7"
    assert {fault.code for fault in quiet.faults} == {"GC-2003"}


def test_who_waits_for_a_transaction_to_end_does_not_ask_at_every_turn(quiet: Life) -> None:
    xid = quiet.log.begin()
    write(quiet, xid, LABS, 1, (1, 10, "x"))
    quiet.log.join(LABS)
    quiet.included = [LABS]
    asked: Counter[str] = Counter()
    quiet.log.before = lambda name: asked.update([name])
    for _ in range(1_000):
        quiet.follower.follow(quiet.log, 0.0)
        quiet.follower.snapshot(quiet.log, quiet.included)
        quiet.time += 0.01
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
    for _ in range(60):
        quiet.follower.follow(quiet.log, 0.0)
        quiet.follower.snapshot(quiet.log, quiet.included)
        quiet.time += 0.5
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
