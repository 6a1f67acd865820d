"""What every source with a log promises (edge_agent/sources/log.py): a PostgreSQL server and the database in memory.

A rig writes transactions behind each; what the log tells is looked at per change, in its order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pytest

from edge_agent.sources.log import Changed, Event, Fence, Gulp, LogLost, LogSource, Truncated
from edge_agent.sources.memory_log import MemoryLog
from edge_agent.sources.pg.source import PostgresSource
from edge_agent.sources.source import PageLimits
from protocol.canonical import encode_rows
from protocol.change import Op
from protocol.names import TableName
from protocol.schema import Column, TableSchema
from tests.databases import PostgresServer, logical_postgres

PATIENCE_SECONDS = 30.0
LONG = "".join(chr(0x4E00 + i * 7919 % 20_000) for i in range(3_000))
Row = tuple[int, int, str]
Told = tuple[Op, int, int | None, bool, tuple[str, ...]]
"""op, id, n, moved, columns left out"""


class Rig(Protocol):
    """`visit` (id key, n, long), with rows 1 to 3, whose log begins with `source.follow(0, "")`. Of `other`, which has
    no key, the log tells no change, but that something was written."""

    @property
    def source(self) -> LogSource: ...

    @property
    def schema(self) -> TableSchema: ...

    def run(self, *statements: tuple[int, Row | None]) -> None:
        """One transaction: what becomes of the row of each id."""
        ...

    @contextmanager
    def open(self, id: int, row: Row) -> Iterator[None]:
        """A transaction that has written this, and commits with the block."""
        ...

    def truncate(self) -> None: ...

    def rewrite(self) -> None: ...

    def write_other(self) -> None:
        """A row is created there."""
        ...


class Memory:
    def __init__(self) -> None:
        columns = (Column("id", pa.int64()), Column("n", pa.int64()), Column("long", pa.string()))
        self.schema = TableSchema(TableName("his", "public", "visit"), columns, ("id",))
        self.source = self.log = MemoryLog(lambda: 2)
        self.log.create(self.schema, [(i, 0, LONG) for i in (1, 2, 3)], large=["long"])
        self.other = TableName("his", "public", "other")
        self.log.create(TableSchema(self.other, columns, ()), joined=False, hinted=True)

    def run(self, *statements: tuple[int, Row | None]) -> None:
        xid, did = self.log.begin(), list[Any]()
        for id, row in statements:
            self.log.write(did, self.schema.table, (id,), row)
        self.log.commit(xid, did)
        self.log.show(xid)

    @contextmanager
    def open(self, id: int, row: Row) -> Iterator[None]:
        xid, did = self.log.begin(), list[Any]()
        self.log.write(did, self.schema.table, (id,), row)
        yield
        self.log.commit(xid, did)
        self.log.show(xid)

    def truncate(self) -> None:
        xid, did = self.log.begin(), list[Any]()
        self.log.truncate(did, self.schema.table)
        self.log.commit(xid, did)
        self.log.show(xid)

    def rewrite(self) -> None:
        self.log.rewrite(self.schema.table)

    def write_other(self) -> None:
        xid, did = self.log.begin(), list[Any]()
        self.log.write(did, self.other, (1,), (1, 1, "new"))
        self.log.commit(xid, did)
        self.log.show(xid)


class Postgres:
    def __init__(self, server: PostgresServer, database: str) -> None:
        self._server, self._database = server, database
        server.run(
            "CREATE TABLE visit(id bigint PRIMARY KEY, n bigint, long text)",
            "ALTER TABLE visit ALTER COLUMN long SET STORAGE EXTERNAL",
            "CREATE TABLE other(id bigint, n bigint, long text)",
            *(f"INSERT INTO visit VALUES({i}, 0, '{LONG}')" for i in (1, 2, 3)),
            "CREATE PUBLICATION contract FOR TABLE ONLY visit",
            "CREATE PUBLICATION contract_inserts FOR TABLE ONLY other WITH (publish = 'insert')",
            database=database,
        )
        self._writing = server.connect(database)
        self._writing.autocommit = False
        url = server.url(database)
        self.source = self.pg = PostgresSource(
            "his", lambda: url, lambda _: True, "contract", ["contract"], inserts="contract_inserts"
        )
        self.schema = self.pg.describe(TableName(database, "public", "visit"))
        self.pg.identities([self.schema.table])

    def _statement(self, id: int, row: Row | None) -> str:
        if row is None:
            return f"DELETE FROM visit WHERE id = {id}"
        values = f"{row[0]}, {row[1]}, '{row[2]}'"
        update = "UPDATE SET n = excluded.n"
        if row[2] != LONG:
            update += ", long = excluded.long"
        if row[0] != id:
            return f"UPDATE visit SET id = {row[0]}, n = {row[1]} WHERE id = {id}"
        return f"INSERT INTO visit VALUES({values}) ON CONFLICT (id) DO {update}"

    def run(self, *statements: tuple[int, Row | None]) -> None:
        with self._writing, self._writing.cursor() as cursor:
            for id, row in statements:
                cursor.execute(self._statement(id, row))

    @contextmanager
    def open(self, id: int, row: Row) -> Iterator[None]:
        with closing(self._server.connect(self._database)) as connection:
            connection.autocommit = False
            with connection, connection.cursor() as cursor:
                cursor.execute(self._statement(id, row))
                yield

    def truncate(self) -> None:
        self._server.run("TRUNCATE visit", database=self._database)

    def rewrite(self) -> None:
        self._server.run("VACUUM FULL visit", database=self._database)

    def write_other(self) -> None:
        self._server.run("INSERT INTO other VALUES(1, 1, 'new')", database=self._database)

    def close(self) -> None:
        self.pg.close()
        self._writing.close()
        self._server.drop_slot("contract", self._database)


@pytest.fixture(params=["memory", "postgres"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "memory":
        yield Memory()
        return
    server = logical_postgres()
    with server.database() as database:
        one = Postgres(server, database)
        try:
            yield one
        finally:
            one.close()


def until(source: LogSource, wanted: int) -> list[Gulp]:
    """Gulps until so many changes have come."""
    gulps: list[Gulp] = []
    end = time.monotonic() + PATIENCE_SECONDS
    while len(told([e for g in gulps for e in g.events])) < wanted:
        gulps.append(source.read(1 << 20, 0.2))
        assert time.monotonic() < end
    return gulps


def events(gulps: list[Gulp]) -> list[Event]:
    return [event for gulp in gulps for event in gulp.events]


def told(some: list[Event]) -> list[Told]:
    found: list[Told] = []
    for event in some:
        for one in event.tables if isinstance(event, Changed) else ():
            ids, numbers = one.rows.columns[0].to_pylist(), one.rows.columns[1].to_pylist()
            moved = one.moved or [False] * len(ids)
            left_out = one.unchanged or [None] * len(ids)
            for at, op in enumerate(one.ops):
                found.append((op, ids[at], numbers[at], moved[at], tuple(left_out[at] or ())))
    return found


def test_of_a_table_that_it_does_not_carry_it_tells_that_something_was_written(rig: Rig) -> None:
    rig.source.follow(0, "")
    rig.run((9, (9, 1, "short")))
    gulps = until(rig.source, 1)
    assert not any(gulp.written for gulp in gulps)
    rig.write_other()
    rig.run((9, None))
    gulps = until(rig.source, 1)
    assert {one.name for gulp in gulps for one in gulp.written} == {"other"}
    assert told(events(gulps)) == [(Op.DELETE, 9, None, False, ())]


def test_every_kind_of_change_comes_in_commit_order(rig: Rig) -> None:
    rig.source.follow(0, "")
    rig.run((9, (9, 1, "short")), (1, (1, 5, LONG)))
    rig.run((2, (20, 6, LONG)), (3, None))
    gulps = until(rig.source, 5)
    assert told(events(gulps)) == [
        (Op.CREATE, 9, 1, False, ()),
        (Op.UPDATE, 1, 5, False, ("long",)),
        (Op.DELETE, 2, None, False, ()),
        (Op.CREATE, 20, 6, True, ("long",)),
        (Op.DELETE, 3, None, False, ()),
    ]
    changed = [event for event in events(gulps) if isinstance(event, Changed)]
    ordinals = [o for event in changed for one in event.tables for o in one.ordinal]
    assert ordinals == [0, 1, 0, 0, 1]
    ends = [t.end for event in changed for t in event.transactions if t.end is not None]
    assert len(ends) == 2
    assert ends == sorted(ends)
    assert {one.schema.fingerprint for event in changed for one in event.tables} == {rig.schema.fingerprint}


def test_a_truncation_stands_where_it_happened(rig: Rig) -> None:
    rig.source.follow(0, "")
    rig.run((7, (7, 1, "a")))
    rig.truncate()
    rig.run((8, (8, 1, "a")))
    kinds = [type(event) for event in events(until(rig.source, 2)) if not is_empty(event)]
    assert kinds == [Changed, Truncated, Changed]


def is_empty(event: Event) -> bool:
    return isinstance(event, Changed) and not event.tables


def test_a_chunk_says_whom_it_saw_and_a_fence_stands_behind_all_before(rig: Rig) -> None:
    rig.source.follow(0, "")
    with rig.open(5, (5, 5, "open")):
        chunk = rig.source.chunk(rig.schema, b"", PageLimits(2, 1 << 20))
        assert (chunk.page.rows.columns[0].to_pylist(), chunk.page.full) == ([1, 2], True)
    rig.run((6, (6, 6, "before")))
    token = rig.source.fence()
    rig.run((7, (7, 7, "behind")))
    gulps = until(rig.source, 3)
    some = events(gulps)
    at = some.index(Fence(token))
    assert [one[1] for one in told(some[:at])] == [5, 6]
    assert [one[1] for one in told(some[at:])] == [7]
    unseen = [t.xid for e in some[:at] if isinstance(e, Changed) and e.tables for t in e.transactions]
    assert [chunk.snapshot.sees(xid) for xid in unseen] == [False, False]
    now = rig.source.visible()
    assert [now.sees(xid) for xid in unseen] == [True, True]
    rest = rig.source.chunk(rig.schema, chunk.page.last, PageLimits(9, 1 << 20))
    assert (rest.page.rows.columns[0].to_pylist(), rest.page.full) == ([3, 5, 6, 7], False)
    keys = encode_rows([pa.array([6, 99, 1], pa.int64())])
    assert sorted(rig.source.rows_of(rig.schema, keys).page.rows.columns[0].to_pylist()) == [1, 6]


def test_what_was_not_confirmed_is_told_again(rig: Rig) -> None:
    origin = rig.source.follow(0, "")
    rig.run((7, (7, 1, "a")))
    rig.run((8, (8, 1, "a")))
    some = events(until(rig.source, 2))
    first, second = [t for e in some if isinstance(e, Changed) and e.tables for t in e.transactions if t.end]
    assert first.end is not None
    rig.source.confirm(first.end)
    assert rig.source.follow(first.end, origin) == origin
    assert [one[1] for one in told(events(until(rig.source, 1)))] == [8]
    assert second.end is not None
    rig.source.confirm(second.end)
    confirmed(rig, second.end)
    with pytest.raises(LogLost):
        rig.source.follow(first.end, origin)
    with pytest.raises(LogLost):
        rig.source.follow(second.end, "another server")


def confirmed(rig: Rig, lsn: int) -> None:
    """Once the server has heard it."""
    if isinstance(rig, Postgres):
        query = "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name = 'contract'"
        end = time.monotonic() + PATIENCE_SECONDS
        while rig._server.rows(query) < [(lsn,)]:
            assert time.monotonic() < end


def test_it_never_says_more_than_has_come(rig: Rig) -> None:
    """Of where the log is, and of time: whoever is behind says so."""
    rig.source.follow(0, "")
    for number in range(10, 40):
        rig.run((number, (number, 0, LONG)))
    seen: list[Told] = []
    commits: dict[int, tuple[int, int]] = {}
    gulps: list[tuple[Gulp, set[int]]] = []
    end = time.monotonic() + PATIENCE_SECONDS
    newest = 0
    while len(seen) < 30 or not gulps[-1][0].drained or gulps[-1][0].reached <= newest:
        gulp = rig.source.read(10_000, 0.1)
        seen += told(list(gulp.events))
        for event in gulp.events:
            for one in event.transactions if isinstance(event, Changed) and event.tables else ():
                commits[one.xid] = (one.commit, one.time)
                newest = max(newest, one.commit)
        gulps.append((gulp, set(commits)))
        assert time.monotonic() < end
    for gulp, known in gulps:
        later = [commits[xid] for xid in commits.keys() - known]
        assert all(commit >= gulp.reached and at >= gulp.time for commit, at in later)
    assert [one[1] for one in seen] == list(range(10, 40))
    assert gulps[-1][0].time >= max(at for _, at in commits.values())


def test_only_what_is_carried_has_an_identity_and_a_rewrite_changes_it(rig: Rig) -> None:
    table = rig.schema.table
    other = TableName(table.database, table.schema, "other")
    gone = TableName(table.database, table.schema, "gone")
    assert rig.source.identities([table, other, gone]).keys() == {table}
    before = rig.source.identity(table)
    assert before == rig.source.identities([table])[table]
    rig.run((1, (1, 77, "x")))
    assert (
        rig.source.identity(table) == before == rig.source.chunk(rig.schema, b"", PageLimits(1, 9)).identity
    )
    rig.rewrite()
    assert rig.source.identity(table) != before
    assert rig.source.identity(TableName(table.database, table.schema, "nothing")) is None


def test_a_log_that_is_kept_for_too_long_is_given_up(rig: Rig, tmp_path: Path) -> None:
    origin = rig.source.follow(0, "")
    rig.run((7, (7, 1, "a")))
    end = time.monotonic() + PATIENCE_SECONDS
    while not rig.source.kept()[0]:
        assert time.monotonic() < end
    rig.source.give_up()
    assert rig.source.kept()[0] == 0
    with pytest.raises(LogLost):
        rig.source.follow(1, origin)
    rig.source.follow(0, "")
    rig.run((8, (8, 1, "a")))
    assert [one[1] for one in told(events(until(rig.source, 1)))] == [8]


def test_a_keepalive_from_the_midst_of_a_transaction_makes_nothing_fresh() -> None:
    """A server that is still sending an old transaction says what the time is now."""
    server = logical_postgres()
    with server.database() as database:
        rig = Postgres(server, database)
        try:
            rig.source.follow(0, "")
            while not rig.source.read(1 << 20, 0.1).time:
                pass
            rows = "INSERT INTO visit SELECT i, 0, 'x' FROM generate_series(100, 60000) i"
            server.run(rows, database=database)
            end = time.monotonic() + PATIENCE_SECONDS
            times, committed, came = list[int](), 0, 0
            while not committed:
                gulp = rig.source.read(200_000, 0.1)
                rig.pg._following().asked_at = 0.0  # so that keepalives come at every turn
                for event in gulp.events:
                    for one in event.transactions if isinstance(event, Changed) else ():
                        came += one.rows
                        committed = one.time if one.end is not None and came > 59_000 else 0
                if not committed:
                    times.append(gulp.time)
                assert time.monotonic() < end
            assert len(times) > 5, "it came in many pieces"
            assert max(times) < committed
        finally:
            rig.close()
