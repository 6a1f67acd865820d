"""The life of a database, its log and its follower, which may die, with a centre (`standing`) behind them.

Things happen in the database at random, also between any two things that the follower does; a test that wants none of
it says `quiet`. What stands at the centre is held against what was committed up to the position that the spool has.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from edge_agent.capture.index import IndexFiles
from edge_agent.capture.log.follow import LogFollower
from edge_agent.capture.log.position import Position
from edge_agent.capture.phases import Phase
from edge_agent.capture.scan import ScanSettings
from edge_agent.capture.writer import StreamWriter
from edge_agent.orders import Orders
from edge_agent.sources.log import XID_BITS
from edge_agent.sources.memory_log import Key, MemoryLog, Row
from edge_agent.spool.spool import Spool
from protocol.change import Op
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import Column, TableSchema

from ...keys import EPOCH_SECRET, SEAL, STREAM
from ...reading import Change, Event, Mark, Reader
from .standing import Standing

VISITS = TableName("his", "public", "门诊")
LABS = TableName("his", "public", "labs")
NOTES = TableName("his", "public", "notes")
"""Without a key."""
TABLES = [VISITS, LABS, NOTES]
KEYS = 9
LARGE = ["x" * 40, "y" * 40, "甲" * 40]


def schema(name: TableName) -> TableSchema:
    columns = (Column("id", pa.int64()), Column("small", pa.int64()), Column("long", pa.string()))
    return TableSchema(name, columns[1:], ()) if name == NOTES else TableSchema(name, columns, ("id",))


class Crash(BaseException):
    """The process is gone."""


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
            self._turn()
        except Crash:
            self.crashes += 1
            self.start()

    def turns(self, count: int, *, apart_seconds: float) -> None:
        """So many, in which it does not die."""
        for _ in range(count):
            self._turn()
            self.time += apart_seconds

    def _turn(self) -> None:
        self.follower.follow(self.log, 0.0)
        self.follower.snapshot(self.log, self.included)

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
