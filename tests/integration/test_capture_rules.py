"""The rules of capture.md §3 on a real server, by transactions that are driven: who writes when, to the statement.

Each test is named after its rule and fails where the rule is broken. Rules 1 and 12 want other servers and stand in
`test_postgres_lost.py`, rule 11 in `test_postgres_followed.py`. The source stops between the steps of its chunks
(`stepwise`); what it reads and what the server says is real.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from edge_agent.sources.pg.chunking import ChunkSource
from edge_agent.sources.source import PageLimits
from protocol import canonical
from protocol.change import Op
from protocol.names import TableName
from tests.databases import logical_postgres
from tests.integration.capturing import Capturing
from tests.integration.following import (
    LONG,
    PATIENCE_SECONDS,
    PUBLICATION,
    SLOT,
    Hospital,
    arrived,
    audited,
    begun,
    capturing,
    check,
    ended,
    hospital_on,
    key_of,
    once,
    turn,
    turns_until,
)
from tests.integration.stepwise import MOMENTS, stepwise
from tests.unit.edge_agent.reading import Change

ALL_THE_ROWS = PageLimits(1_000, 1 << 30)


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with hospital_on(logical_postgres()) as one:
        yield one


class Script:
    """What happens at which moment of which chunk, counted per table from 0; each once."""

    def __init__(self, **of: Mapping[tuple[int, str], Callable[[], object]]) -> None:
        self._of = {table: dict(actions) for table, actions in of.items()}
        self._chunks: dict[str, int] = {}
        self.done: list[tuple[int, str]] = []

    def __call__(self, moment: str, table: TableName) -> None:
        if moment == "begin":
            self._chunks[table.name] = self._chunks.get(table.name, -1) + 1
        at = (self._chunks[table.name], moment)
        action = self._of.get(table.name, {}).pop(at, None)
        if action is not None:
            action()
            self.done.append(at)


@contextmanager
def session(hospital: Hospital) -> Iterator[Any]:
    """A cursor of a transaction that is open until its connection commits."""
    with closing(psycopg2.connect(**hospital.server.login(hospital.database))) as connection:
        yield connection.cursor()


def wait_until(hospital: Hospital, query: str) -> None:
    """Until the server's catalogue says so."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not hospital.rows(query):
        assert time.monotonic() < end, query


def changes(one: Capturing, table: TableName, id: int) -> list[tuple[Op, int | None]]:
    """What was said of a row, with its `n`."""
    return [
        (e.op, None if e.op is Op.DELETE else canonical.decode(e.row)[1])
        for e in one.events("his")
        if isinstance(e, Change) and e.table == table and e.key == key_of(id)
    ]


# Rule 2: a chunk is of one state and of one definition.


def test_rule_2_a_chunk_waits_for_its_lock_before_it_takes_a_snapshot(hospital: Hospital) -> None:
    """Whoever took the snapshot first would read none of the rows that a rewrite has moved meanwhile."""
    url = hospital.server.url(hospital.database)
    with closing(ChunkSource("his", url)) as source, session(hospital) as cursor:
        schema = source.describe(hospital.name("visit"))
        cursor.execute("ALTER TABLE visit ALTER COLUMN n TYPE int USING n + 1")
        waits = "SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock'"

        def commit() -> None:
            wait_until(hospital, waits)
            cursor.connection.commit()

        thread = threading.Thread(target=commit)
        thread.start()
        try:
            chunk = source.chunk(schema, b"", ALL_THE_ROWS)
        finally:
            thread.join()
        assert chunk.page.rows.count == 30
        assert set(chunk.page.rows.columns[1].to_pylist()) == {1}


ENDS = (
    "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
    f"WHERE slot_name = '{SLOT}' AND active_pid IS NOT NULL"
)
ENDS_SESSION = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'guicang edge-agent' "
    "AND backend_type = 'client backend' AND datname = current_database()"
)


@pytest.mark.parametrize(
    ("which", "moment"),
    [(ENDS, "seen"), (ENDS, "read"), (ENDS, "fenced"), (ENDS_SESSION, "seen"), (ENDS_SESSION, "fenced")],
    ids=["log-seen", "log-read", "log-fenced", "session-seen", "session-fenced"],
)
async def test_rule_2_losing_either_connection_voids_the_chunk(
    hospital: Hospital, tmp_path: Path, which: str, moment: str
) -> None:
    """What is written meanwhile is in no chunk that was read before."""

    def lose() -> None:
        hospital.run(which, "UPDATE visit SET n = 1 WHERE id = 9", "DELETE FROM visit WHERE id = 10")

    script = Script(visit={(1, moment): lose})
    async with capturing(hospital, tmp_path, opening=stepwise(script), only="visit") as one:
        await arrived(hospital, one, "visit")
        assert script.done == [(1, moment)]
        check(hospital, one, "visit")
        assert begun(one, hospital.name("visit")) == ["first"], "it went on where it was"


RECREATED = (
    "BEGIN; DROP TABLE visit; CREATE TABLE visit(n int, id int PRIMARY KEY, long text); "
    f"ALTER PUBLICATION {PUBLICATION} ADD TABLE ONLY visit; INSERT INTO visit VALUES(5, 5, 'new'); COMMIT"
)
CHANGED = [
    ("begin", "ALTER TABLE visit ALTER COLUMN n TYPE int USING n + 1"),
    ("ended", "ALTER TABLE visit ALTER COLUMN n TYPE numeric(9,2)"),
    ("fenced", "ALTER TABLE visit DROP CONSTRAINT visit_pkey, ADD PRIMARY KEY (id, n)"),
    ("fenced", "ALTER TABLE visit RENAME COLUMN n TO m"),
    ("begin", "VACUUM FULL visit"),
    ("ended", "TRUNCATE visit"),
    ("fenced", "BEGIN; TRUNCATE visit; INSERT INTO visit VALUES(3, 3, 'x'), (40, 40, 'y'); COMMIT"),
    ("begin", RECREATED),
    ("ended", RECREATED),
    ("fenced", RECREATED),
]


@pytest.mark.parametrize(("moment", "how"), CHANGED)
async def test_rule_2_a_table_that_is_another_begins_anew(
    hospital: Hospital, tmp_path: Path, how: str, moment: str
) -> None:
    """In the middle of its snapshot."""
    script = Script(visit={(2, moment): lambda: hospital.run(how)})
    async with capturing(hospital, tmp_path, opening=stepwise(script), only="visit") as one:
        await arrived(hospital, one, "visit")
        assert script.done == [(2, moment)]
        check(hospital, one, "visit")
        assert len(begun(one, hospital.name("visit"))) >= 2


async def test_rule_2_a_table_that_is_dropped_meanwhile_stops_no_other(
    hospital: Hospital, tmp_path: Path
) -> None:
    script = Script(visit={(2, "ended"): lambda: hospital.run("DROP TABLE visit")})
    only = ("*.visit", "*.parted")
    async with capturing(hospital, tmp_path, opening=stepwise(script), include=only) as one:
        await arrived(hospital, one, "parted")
        check(hospital, one, "parted")
        name = hospital.name("visit")
        await turns_until(one, lambda: one.said("his").get(str(name)) == "GC-2002")
        assert ended(one, name) == 0


# Rules 3 and 4: the fence, and what the chunk's statement did not see.


async def test_rule_3_a_chunk_enters_behind_everything_that_it_saw(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Also of an idle server whose last segment has just ended, where nothing is written behind the fence."""

    def write() -> None:
        hospital.run("UPDATE visit SET n = 7 WHERE id BETWEEN 8 AND 14", "SELECT pg_switch_wal()")

    script = Script(
        visit={(1, "begin"): write, (2, "fenced"): lambda: hospital.run("SELECT pg_switch_wal()")}
    )
    async with capturing(hospital, tmp_path, opening=stepwise(script), only="visit") as one:
        await arrived(hospital, one, "visit")
        assert script.done == [(1, "begin"), (2, "fenced")]
        check(hospital, one, "visit")
        for id in range(8, 15):
            assert changes(one, hospital.name("visit"), id) == [(Op.UPDATE, 7), (Op.READ, 7)]


CHUNKS = 5
"""During so many others write; rows that must be read again because of them would come without end."""


class Busy:
    """At every moment of every chunk others write to rows that it is about to read, has read, or will never read;
    half of them began a moment before. Nobody waits for anybody: each writes to rows of its own."""

    def __init__(self, hospital: Hospital, table: str, seed: int) -> None:
        self._hospital = hospital
        self._table = f'"{table}"'
        self._name = table
        self._rng = random.Random(seed)
        self._open: list[Any] = []
        self._n = 1_000
        self.moments = 0

    def __call__(self, moment: str, table: TableName) -> None:
        if table.name != self._name or self.moments == CHUNKS * len(MOMENTS):
            return
        self.moments += 1
        self.commit()
        taken: set[int] = set()
        for begins in (True, False):
            connection = psycopg2.connect(**self._hospital.server.login(self._hospital.database))
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT id FROM {self._table} ORDER BY id")
                ids = [id for (id,) in cursor.fetchall() if id not in taken]
                for statement in self._statements(ids, taken):
                    cursor.execute(statement)
            self._open.append(connection)
            if not begins:
                self._open.pop().commit()
                connection.close()

    def commit(self) -> None:
        """What began the moment before."""
        for connection in self._open:
            connection.commit()
            connection.close()
        self._open.clear()

    def _statements(self, ids: list[int], taken: set[int]) -> Iterator[str]:
        first, second, third, fourth, fifth = self._rng.sample(ids, 5)
        taken |= {first, second, third, fourth, fifth}
        table, self._n = self._table, self._n + 1
        ahead = self._rng.choice((1, -1))
        yield f"UPDATE {table} SET n = {self._n} WHERE id IN ({first}, {second})"
        yield f"UPDATE {table} SET id = {ahead * self._n * 10}, n = {self._n} WHERE id = {second}"
        yield f"UPDATE {table} SET long = {LONG.format(self._n)}, n = {self._n} WHERE id = {third}"
        yield f"DELETE FROM {table} WHERE id = {fourth}"
        yield f"SAVEPOINT s; DELETE FROM {table} WHERE id = {fifth}; ROLLBACK TO SAVEPOINT s"
        yield f"INSERT INTO {table} VALUES({ahead * self._n * 10 + 1}, {self._n}, 'new')"


@pytest.mark.parametrize("table", ["visit", "full_image", "parted"])
async def test_rule_4_the_log_wins_over_a_chunk_at_every_moment(
    hospital: Hospital, tmp_path: Path, table: str
) -> None:
    hospital.run(f'INSERT INTO "{table}" SELECT i, 0, {LONG.format("first")} FROM generate_series(31, 120) i')
    name, busy = hospital.name(table), Busy(hospital, table, 11)
    async with capturing(hospital, tmp_path, only=table, page_rows=1_000) as one:
        await arrived(hospital, one, table)
    audited(hospital)
    async with capturing(hospital, tmp_path, one, stepwise(busy), only=table, page_rows=11) as one:
        one.runners["his"].want_snapshot(name)
        await turns_until(one, lambda: ended(one, name) == 2)
        busy.commit()
        assert busy.moments == CHUNKS * len(MOMENTS), "at every moment, several times"
        await arrived(hospital, one, table)
        check(hospital, one, table)
        once(hospital, one, table)
        told = [e for e in one.events("his") if isinstance(e, Change) and e.table == name]
        assert any(e.unchanged for e in told) is (table != "full_image")


@pytest.mark.parametrize("moment", ["seen", "read", "ended"])
async def test_rule_4_what_the_log_left_out_is_filled_from_the_chunk(
    hospital: Hospital, tmp_path: Path, moment: str
) -> None:
    """A row whose long value the log left out is needed from the chunk, with all else as the log said it last."""

    def write() -> None:
        hospital.run(
            "UPDATE visit SET n = 5 WHERE id = 9",
            "UPDATE visit SET n = n + 1 WHERE id IN (9, 10)",
            "UPDATE visit SET n = 7, long = 'short' WHERE id = 11",
            "DELETE FROM visit WHERE id = 12",
        )

    script = Script(visit={(1, moment): write})
    async with capturing(hospital, tmp_path, opening=stepwise(script), only="visit") as one:
        await arrived(hospital, one, "visit")
        assert script.done == [(1, moment)]
        check(hospital, one, "visit")
        name = hospital.name("visit")
        assert changes(one, name, 9) == [(Op.UPDATE, 5), (Op.UPDATE, 6), (Op.READ, 6)]
        assert changes(one, name, 11) == [(Op.UPDATE, 7)], "the log said all of it"


# Rule 5: decoded, and not yet visible.


@contextmanager
def nobody_answers(hospital: Hospital, statement: str) -> Iterator[None]:
    """The statement's commit waits for a standby that there is not, and is in the log."""

    def run() -> None:
        with suppress(psycopg2.Error):
            hospital.run(statement)

    waiting = threading.Thread(target=run)
    hospital.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
    try:
        waiting.start()
        wait_until(hospital, "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        yield
    finally:
        hospital.run("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        waiting.join()


@pytest.mark.parametrize("dies", [False, True])
async def test_rule_5_a_commit_that_nobody_sees_yet_wins_over_later_chunks(
    hospital: Hospital, tmp_path: Path, dies: bool
) -> None:
    """Also where the agent dies in between: it is told again, for the slot was not confirmed beyond it."""
    name, read = hospital.name("visit"), list[str]()
    script = Script(visit={(0, "fenced"): lambda: read.append("the first chunk")})
    settings = hospital.settings(include=("*.visit",))
    one = Capturing(tmp_path, settings, opening=stepwise(script))
    try:
        await turns_until(one, lambda: bool(read))
        with nobody_answers(hospital, "UPDATE visit SET n = 77 WHERE id = 20"):
            await turns_until(one, lambda: changes(one, name, 20) == [(Op.UPDATE, 77)])
            if dies:
                await one.close()
                one = Capturing(tmp_path, settings, former=one)
            await turns_until(one, lambda: ended(one, name) == 1)
            assert hospital.rows("SELECT n FROM visit WHERE id = 20") == [(0,)], "nobody sees it"
            assert {n for _, n in changes(one, name, 20)} == {77}, "the chunk's row was older"
        await arrived(hospital, one, "visit")
        check(hospital, one, "visit")
    finally:
        await one.close()


# Rule 6: rows that a chunk never meets.


@pytest.mark.parametrize(
    ("table", "dies"), [("visit", False), ("visit", True), ("by_index", True), ("parted", False)]
)
async def test_rule_6_a_row_that_moves_behind_the_cursor_is_read_once_more(
    hospital: Hospital, tmp_path: Path, table: str, dies: bool
) -> None:
    """Its long value was never said; the end mark waits until it was read."""
    moves = [
        f'UPDATE "{table}" SET id = -1 WHERE id = 25',
        f'UPDATE "{table}" SET id = -2 WHERE id = -1',
        f'UPDATE "{table}" SET id = 3000 WHERE id = 2',
        f'UPDATE "{table}" SET id = -3, n = 5 WHERE id = 26',
    ]
    script = Script(**{table: {(1, "fenced"): lambda: hospital.run(*moves)}})
    async with capturing(hospital, tmp_path, opening=stepwise(script), only=table) as one:
        await turns_until(one, lambda: bool(changes(one, hospital.name(table), -3)))
        assert script.done == [(1, "fenced")]
        if not dies:
            await arrived(hospital, one, table)
    async with capturing(hospital, tmp_path, one, only=table) as one:
        await arrived(hospital, one, table)
        check(hospital, one, table)
        assert begun(one, hospital.name(table)) == ["first"]


# Rule 7: whoever had written before the log carried the table.


async def test_rule_7_a_transaction_that_wrote_before_the_table_joined_is_waited_for(
    hospital: Hospital, tmp_path: Path
) -> None:
    name = hospital.name("visit")
    hospital.run(f"ALTER PUBLICATION {PUBLICATION} DROP TABLE visit")
    two = ("*.visit", "*.by_index")
    async with capturing(hospital, tmp_path, include=two, scan_interval_seconds=0.1) as one:
        await arrived(hospital, one, "by_index")
        await turns_until(one, lambda: ended(one, name) > 0)
        with session(hospital) as cursor:
            cursor.execute("INSERT INTO visit VALUES(500, 5, 'before'); DELETE FROM visit WHERE id = 3")
            hospital.run(f"ALTER PUBLICATION {PUBLICATION} ADD TABLE ONLY visit")
            await turns_after_a_look(one)
            assert begun(one, name) == ["first"], "it waits for whoever had written"
            cursor.connection.commit()
        await arrived(hospital, one, "visit")
        check(hospital, one, "visit")
        assert begun(one, name) == ["first", "way changed"]


LEFT = {
    "left": (
        f"ALTER PUBLICATION {PUBLICATION} DROP TABLE visit",
        f"ALTER PUBLICATION {PUBLICATION} ADD TABLE ONLY visit",
    ),
    "left out for a moment": (
        f"ALTER PUBLICATION {PUBLICATION} SET (publish = 'insert')",
        f"ALTER PUBLICATION {PUBLICATION} SET (publish = 'insert, update, delete, truncate')",
    ),
    "made again": (
        "DROP TABLE visit; CREATE TABLE visit(id int PRIMARY KEY, n int, long text)",
        f"ALTER PUBLICATION {PUBLICATION} ADD TABLE ONLY visit",
    ),
}


@pytest.mark.parametrize("how", LEFT)
async def test_rule_7_a_table_that_was_away_between_two_looks_is_read_anew(
    hospital: Hospital, tmp_path: Path, how: str
) -> None:
    """And not before those have ended who had written meanwhile."""
    name = hospital.name("visit")
    async with capturing(hospital, tmp_path, only="visit", page_rows=1_000) as one:
        await arrived(hospital, one, "visit")
        with session(hospital) as cursor:
            hospital.run(LEFT[how][0])
            cursor.execute("INSERT INTO visit VALUES(500, 5, 'x'); UPDATE visit SET n = 8 WHERE id = 500")
            hospital.run(LEFT[how][1])
            await turns_after_a_look(one)
            assert begun(one, name) == ["first"], "it waits for whoever had written"
            cursor.connection.commit()
        await arrived(hospital, one, "visit")
        check(hospital, one, "visit")
        assert len(begun(one, name)) == 2


async def turns_after_a_look(one: Capturing) -> None:
    """Some turns, of which the first looks at the catalogue."""
    one.runners["his"].hint()
    for _ in range(5):
        await turn(one)


# Rule 8: what the log does not show.

UNTOLD = {
    "added with a default": ("visit", "ALTER TABLE visit ADD COLUMN more int DEFAULT 7"),
    "rewritten": ("visit", "ALTER TABLE visit ALTER COLUMN n TYPE int USING n + 1"),
    "made again with others": (
        "visit",
        "BEGIN; DROP TABLE visit; CREATE TABLE visit(id int PRIMARY KEY, n int, long text); "
        f"INSERT INTO visit VALUES(5, 5, 'new'); ALTER PUBLICATION {PUBLICATION} ADD TABLE ONLY visit; COMMIT",
    ),
    "detached": ("parted", "ALTER TABLE parted DETACH PARTITION parted_1"),
    "attached": (
        "parted",
        "BEGIN; ALTER TABLE parted DETACH PARTITION parted_1; UPDATE parted_1 SET n = 9; "
        "ALTER TABLE parted ATTACH PARTITION parted_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1); COMMIT",
    ),
    "a partition emptied": ("parted", "TRUNCATE parted_0"),
}


@pytest.mark.parametrize("how", UNTOLD)
async def test_rule_8_what_the_log_does_not_show_is_seen_in_the_catalogue(
    hospital: Hospital, tmp_path: Path, how: str
) -> None:
    """Without any change of a row behind it."""
    table, statement = UNTOLD[how]
    async with capturing(hospital, tmp_path, only=table, page_rows=1_000) as one:
        await arrived(hospital, one, table)
        hospital.run(statement)
        await arrived(hospital, one, table)
        check(hospital, one, table)
        assert len(begun(one, hospital.name(table))) == 2


async def test_rule_8_another_comment_reads_nothing_anew(hospital: Hospital, tmp_path: Path) -> None:
    """The log does not tell of it; it is seen when the table is described again, as after an ANALYZE."""
    name = hospital.name("visit")
    async with capturing(hospital, tmp_path, only="visit", page_rows=1_000) as one:
        await arrived(hospital, one, "visit")
        hospital.run("COMMENT ON COLUMN visit.n IS '次数'")
        hospital.run("ANALYZE visit", "UPDATE visit SET n = 77 WHERE id = 9")
        await arrived(hospital, one, "visit")
        check(hospital, one, "visit")
        assert begun(one, name) == ["first"]


# Rule 13: only what was committed, when it was.


@pytest.mark.parametrize("moment", ["begin", "seen", "fenced"])
async def test_rule_13_a_prepared_transaction_counts_from_its_commit(
    hospital: Hospital, tmp_path: Path, moment: str
) -> None:
    """Prepared before a chunk and committed at a moment of it; another one is rolled back, and a part of a third."""

    def prepare() -> None:
        hospital.run(
            "BEGIN; UPDATE visit SET n = 1 WHERE id IN (9, 25); DELETE FROM visit WHERE id = 10; "
            "UPDATE visit SET id = 0 WHERE id = 24; PREPARE TRANSACTION 'kept'",
            "BEGIN; DELETE FROM visit WHERE id IN (8, 11, 28); PREPARE TRANSACTION 'undone'",
        )

    def decide() -> None:
        hospital.run(
            "COMMIT PREPARED 'kept'",
            "ROLLBACK PREPARED 'undone'",
            "BEGIN; UPDATE visit SET n = 2 WHERE id = 12; SAVEPOINT s; DELETE FROM visit WHERE id IN (12, 13, 20); "
            "ROLLBACK TO SAVEPOINT s; UPDATE visit SET n = 3 WHERE id = 30; COMMIT",
        )

    script = Script(visit={(0, "ended"): prepare, (1, moment): decide})
    try:
        async with capturing(hospital, tmp_path, opening=stepwise(script), only="visit") as one:
            await arrived(hospital, one, "visit")
            assert script.done == [(0, "ended"), (1, moment)]
            check(hospital, one, "visit")
            name = hospital.name("visit")
            told = [(e.op, e.key) for e in one.events("his") if isinstance(e, Change) and e.table == name]
            assert {key for op, key in told if op is Op.DELETE} == {key_of(10), key_of(24)}
    finally:
        for gid in ("kept", "undone"):
            with suppress(psycopg2.Error):
                hospital.run(f"ROLLBACK PREPARED '{gid}'")
