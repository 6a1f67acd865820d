"""Which tables of a PostgreSQL database its log carries, on a real server; and what happens to the others.

Rules 9 and 10 of capture.md §3: a table that the hospital could no longer change leaves the publication, and one
without a key is merged with its log as a multiset of rows.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import psycopg2
import pytest

from edge_agent.sources.pg.source import PostgresSource
from edge_agent.sources.reading import Reading
from protocol.change import Op
from protocol.names import TableName
from tests.databases import PASSWORD, postgres
from tests.integration.capturing import Capturing
from tests.integration.following import (
    TABLES,
    Hospital,
    a_hospital,
    arrived,
    begun,
    capturing,
    changes_of,
    check,
    key_of,
    standing,
    stands,
    turn,
    turns_until,
)
from tests.unit.edge_agent.reading import Change


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with a_hospital() as one:
        yield one


@asynccontextmanager
async def with_least_rights(hospital: Hospital, root: Path, name: str) -> AsyncIterator[Capturing]:
    """The agent logs in as a role that may do no more than it has to."""
    hospital.run(
        f"CREATE ROLE {name} LOGIN REPLICATION PASSWORD '{PASSWORD}'",
        f"GRANT USAGE ON SCHEMA public TO {name}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}",
    )
    try:
        async with capturing(hospital, root, account=name) as one:
            yield one
    finally:
        hospital.run(
            f"REASSIGN OWNED BY {name} TO administrator", f"DROP OWNED BY {name}", f"DROP ROLE {name}"
        )


def tend(one: Capturing) -> None:
    """It looks after the hospital at its next turn."""
    work = one.runners["his"]._log
    assert work is not None
    work._tended_at -= 100


async def tended(one: Capturing) -> dict[str, str]:
    tend(one)
    await turn(one)
    return one.said("his")


def without_log(one: Capturing) -> str | None:
    """The code of why."""
    fault = one.runners["his"].report.log
    return None if fault is None else fault.code


async def test_rule_9_a_table_that_lost_its_identity_leaves_the_publication_at_once(
    hospital: Hospital, tmp_path: Path
) -> None:
    """By a role that owns nothing but the publication."""
    async with with_least_rights(hospital, tmp_path, "owner_of_publication") as one:
        hospital.run("ALTER PUBLICATION guicang_his OWNER TO owner_of_publication")
        await arrived(hospital, one)
        hospital.run("ALTER TABLE visit DROP CONSTRAINT visit_pkey")
        with pytest.raises(psycopg2.Error, match="replica identity"):
            hospital.run("UPDATE visit SET n = 1 WHERE id = 1")
        assert (await tended(one))[str(hospital.name("visit"))] == "GC-2071"
        hospital.run("UPDATE visit SET n = 1 WHERE id = 1", "UPDATE parted SET n = 1 WHERE id = 1")
        await turns_until(one, lambda: stands(one, hospital, "visit"))
        await arrived(hospital, one, *(table for table in TABLES if table != "visit"))
        check(hospital, one)
        assert (await tended(one))[str(hospital.name("visit"))] == "GC-2071", "it stays said"
        hospital.run(
            "ALTER TABLE visit ADD PRIMARY KEY (id)", "ALTER PUBLICATION guicang_his ADD TABLE ONLY visit"
        )
        await arrived(hospital, one)
        check(hospital, one)
        assert str(hospital.name("visit")) not in one.said("his")


async def test_rule_9_where_it_may_not_take_a_table_out_it_says_so_until_somebody_does(
    hospital: Hospital, tmp_path: Path
) -> None:
    async with with_least_rights(hospital, tmp_path, "owner_of_nothing") as one:
        await arrived(hospital, one)
        hospital.run("ALTER TABLE parted_1 REPLICA IDENTITY NOTHING")
        assert (await tended(one))[str(hospital.name("parted"))] == "GC-2072"
        assert (await tended(one))[str(hospital.name("parted"))] == "GC-2072"
        hospital.run("ALTER PUBLICATION guicang_his DROP TABLE ONLY parted", "UPDATE parted SET n = 2")
        assert str(hospital.name("parted")) not in await tended(one)
        await turns_until(one, lambda: stands(one, hospital, "parted"))


async def test_rule_9_a_publication_of_all_tables_is_dangerous_and_said_of_each(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.run("CREATE PUBLICATION everything FOR ALL TABLES", "ALTER TABLE visit REPLICA IDENTITY NOTHING")
    async with capturing(hospital, tmp_path, publications=("everything",)) as one:
        await turn(one)
        said = await tended(one)
        assert {name for name, code in said.items() if code == "GC-2072"} == {
            str(hospital.name("visit")),
            str(hospital.name("keyless")),
        }
    hospital.run("DROP PUBLICATION everything")


def carry_keyless(hospital: Hospital) -> None:
    hospital.run(
        "ALTER TABLE keyless ADD COLUMN note text, ALTER COLUMN note SET STORAGE EXTERNAL",
        "UPDATE keyless SET note = repeat('长', 3000)",
        "ALTER TABLE keyless REPLICA IDENTITY FULL",
        "ALTER PUBLICATION guicang_his ADD TABLE ONLY keyless",
    )


async def test_rule_10_a_table_without_a_key_is_rows_read_and_what_their_statement_did_not_see(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Sessions write alike rows while its snapshots are read, again and again."""
    carry_keyless(hospital)
    stop, name = threading.Event(), hospital.name("keyless")
    async with capturing(hospital, tmp_path) as one:
        writers = [threading.Thread(target=write_alike, args=(hospital, stop, n)) for n in range(3)]
        for writer in writers:
            writer.start()
        try:
            await arrived(hospital, one, "keyless")
            for number in range(1, 5):
                one.runners["his"].want_snapshot(name)
                await turns_until(one, partial(has_begun, one, hospital, number + 1))
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        await arrived(hospital, one, "keyless")
        check(hospital, one, "keyless")
        assert begun(one, hospital.name("keyless")) == ["first", *["asked for"] * 4]
        assert any(e.op is Op.DELETE for e in one.events("his") if isinstance(e, Change))
        await the_rest_is_told_once(hospital, one)


def has_begun(one: Capturing, hospital: Hospital, times: int) -> bool:
    return len(begun(one, hospital.name("keyless"))) == times


async def the_rest_is_told_once(hospital: Hospital, one: Capturing) -> None:
    seen = len(changes_of(one, hospital, "keyless"))
    hospital.run(
        "TRUNCATE keyless",
        "INSERT INTO keyless SELECT 7, 'x' FROM generate_series(1, 5)",
        "UPDATE keyless SET n = 8 WHERE ctid IN (SELECT ctid FROM keyless LIMIT 2)",
        "DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless WHERE n = 7 LIMIT 1)",
    )
    await arrived(hospital, one, "keyless")
    changes = changes_of(one, hospital, "keyless")[seen:]
    told = Counter(e.op for e in changes if e.op is not Op.READ)  # a truncated table may be read anew
    assert told == {Op.CREATE: 7, Op.DELETE: 3}
    assert standing(one, hospital.name("keyless")) == {(7, "x"): 2, (8, "x"): 2}
    check(hospital, one, "keyless")


def write_alike(hospital: Hospital, stop: threading.Event, number: int) -> None:
    with closing(psycopg2.connect(**hospital.server.login(hospital.database))) as connection:
        while not stop.is_set():
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO keyless SELECT i % 2, repeat('长', i) FROM generate_series(1, 4) i"
                )
                cursor.execute(
                    "UPDATE keyless SET n = n + 1 WHERE ctid IN (SELECT ctid FROM keyless ORDER BY random() LIMIT 2"
                    " FOR UPDATE SKIP LOCKED)"
                )
                cursor.execute(
                    "DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless ORDER BY random() LIMIT 4"
                    " FOR UPDATE SKIP LOCKED)"
                )


async def test_rule_10_a_commit_that_nobody_sees_is_counted_once(hospital: Hospital, tmp_path: Path) -> None:
    carry_keyless(hospital)
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one)
        hospital.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
        waiting = threading.Thread(
            target=wait_for_standby, args=(hospital, "INSERT INTO keyless VALUES(5, 'new')")
        )
        waiting.start()
        try:
            name = hospital.name("keyless")
            await turns_until(one, lambda: Op.CREATE in {e.op for e in changes_of(one, hospital, "keyless")})
            one.runners["his"].want_snapshot(name)
            for _ in range(20):
                await turn(one)
        finally:
            hospital.run("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
            waiting.join()
        await arrived(hospital, one, "keyless")
        check(hospital, one, "keyless")
        assert standing(one, hospital.name("keyless"))[5, "new"] == 1


def wait_for_standby(hospital: Hospital, statement: str) -> None:
    hospital.run(statement)


async def test_a_table_without_a_key_that_is_scanned_and_then_followed_counts_no_row_twice(
    hospital: Hospital, tmp_path: Path
) -> None:
    async with capturing(hospital, tmp_path) as one:
        await turns_until(one, lambda: begun(one, hospital.name("keyless")) == ["first"])
        await turns_until(one, lambda: stands(one, hospital, "keyless"))
        hospital.run("ALTER TABLE keyless REPLICA IDENTITY FULL")
        hospital.run(
            "ALTER PUBLICATION guicang_his ADD TABLE ONLY keyless", "INSERT INTO keyless VALUES(1), (9)"
        )
        await turns_until(one, lambda: begun(one, hospital.name("keyless")) == ["first", "way changed"])
        await arrived(hospital, one, "keyless")
        check(hospital, one, "keyless")
        hospital.run(
            "ALTER PUBLICATION guicang_his DROP TABLE ONLY keyless", "INSERT INTO keyless VALUES(1), (9)"
        )
        await turns_until(one, lambda: len(begun(one, hospital.name("keyless"))) == 3)
        await turns_until(one, lambda: stands(one, hospital, "keyless"))


def test_a_table_that_is_made_anew_while_it_is_asked_about_is_still_carried(hospital: Hospital) -> None:
    """What the log told of it meanwhile would be passed over, however far behind its reader is."""

    class Slow(PostgresSource):
        def _carried(self, reading: Reading, asked_of: Sequence[TableName]) -> set[TableName]:
            reading.fetch("SELECT 1", ())  # the statement's moment
            hospital.run(
                "BEGIN; DROP TABLE visit; CREATE TABLE visit(id int PRIMARY KEY, n int, long text);"
                "ALTER PUBLICATION guicang_his ADD TABLE ONLY visit; COMMIT"
            )
            return super()._carried(reading, asked_of)

    url = hospital.server.url(hospital.database)
    with closing(Slow("his", lambda: url, lambda _: True, "guicang_his", ["guicang_his"])) as source:
        assert hospital.name("visit") in source.identities([hospital.name("visit")])


async def test_what_a_table_was_told_before_it_was_dropped_is_told(
    hospital: Hospital, tmp_path: Path
) -> None:
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one)
        hospital.run("UPDATE visit SET n = 3 WHERE id = 3", "DROP TABLE visit")
        one.runners["his"].hint()  # it looks first which tables there are
        await turns_until(one, lambda: Op.UPDATE in {e.op for e in changes_of(one, hospital, "visit")})
        await turns_until(one, lambda: one.said("his") == {str(hospital.name("visit")): "GC-2002"})


@pytest.mark.parametrize("table", ["visit", "full_image", "by_index"])
async def test_what_a_table_was_told_before_it_was_dropped_is_told_by_an_agent_that_was_away(
    hospital: Hospital, tmp_path: Path, table: str
) -> None:
    """By the key that it had, which of a full identity no log says."""
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one)
    changes = (f"UPDATE {table} SET n = 5 WHERE id = 5", f"DELETE FROM {table} WHERE id = 6")
    hospital.run(*changes, f"DROP TABLE {table}", "UPDATE parted SET n = 6 WHERE id = 6")
    async with capturing(hospital, tmp_path, one) as one:
        await turns_until(one, lambda: stands(one, hospital, "parted"))
        told = [change for change in changes_of(one, hospital, table) if change.op is not Op.READ]
        assert [(change.op, change.key) for change in told] == [
            (Op.UPDATE, key_of(5)),
            (Op.DELETE, key_of(6)),
        ]
        assert one.said("his") == {str(hospital.name(table)): "GC-2002"}


async def test_the_columns_of_an_identity_index_are_the_key(hospital: Hospital, tmp_path: Path) -> None:
    """Also beside a primary key, of which the log says nothing where a row goes."""
    hospital.run(
        "CREATE TABLE twice(id int PRIMARY KEY, card text NOT NULL, n int)",
        "CREATE UNIQUE INDEX twice_card ON twice(card)",
        "ALTER TABLE twice REPLICA IDENTITY USING INDEX twice_card",
        "INSERT INTO twice VALUES(1, 'a', 0), (2, 'b', 0)",
        "ALTER PUBLICATION guicang_his ADD TABLE ONLY twice",
    )
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one, "twice", "by_index")
        hospital.run("UPDATE twice SET id = 9 WHERE id = 1", "UPDATE twice SET card = 'c' WHERE id = 2")
        await arrived(hospital, one, "twice")
        check(hospital, one, "twice")
        assert one.schema("his", hospital.name("twice")).key == ("card",)
        assert one.schema("his", hospital.name("by_index")).key == ("id",)


async def test_where_no_log_can_be_had_the_tables_are_scanned_and_status_says_why(tmp_path: Path) -> None:
    """Neither slot nor source fault comes of it."""
    server = postgres()
    with server.database() as database:
        one = Hospital(server, database)
        one.run("CREATE TABLE visit(id int PRIMARY KEY, n int)", "INSERT INTO visit VALUES(1, 1)")
        one.run("CREATE PUBLICATION guicang_his FOR TABLE ONLY visit")
        async with capturing(one, tmp_path) as agent:
            await turns_until(agent, lambda: stands(agent, one, "visit"))
            assert agent.runners["his"].report.fault is None
            assert without_log(agent) == "GC-2056"
            assert "GC-2056" in agent.printed()
            assert "改为扫描" in agent.printed()
            one.run("UPDATE visit SET n = 2")
            await turns_until(agent, lambda: stands(agent, one, "visit"))
        assert one.rows("SELECT FROM pg_replication_slots") == []


async def test_a_publication_that_comes_and_goes_changes_the_way_and_loses_nothing(
    hospital: Hospital, tmp_path: Path
) -> None:
    """What was written while there was none cannot be decoded later: the slot is made anew."""
    ((listed,),) = hospital.rows(
        "SELECT string_agg(format('ONLY %I', tablename), ', ') FROM pg_publication_tables WHERE pubname = 'guicang_his'"
    )
    again = f"CREATE PUBLICATION guicang_his FOR TABLE {listed} WITH (publish_via_partition_root = true)"
    hospital.run("DROP PUBLICATION guicang_his")
    async with capturing(hospital, tmp_path) as one:
        await turns_until(one, lambda: stands(one, hospital, "visit"))
        assert without_log(one) == "GC-2054"
        hospital.run(again, "UPDATE visit SET n = 5 WHERE id = 5")
        await arrived(hospital, one)
        check(hospital, one)
        assert without_log(one) is None
        hospital.run("DROP PUBLICATION guicang_his", "UPDATE visit SET n = 6 WHERE id = 6")
        await turns_until(one, lambda: without_log(one) == "GC-2054")
        hospital.run("DELETE FROM visit WHERE id = 7", again, "UPDATE visit SET n = 8 WHERE id = 8")
        await arrived(hospital, one)
        check(hospital, one)


async def test_a_log_that_is_kept_for_too_long_is_given_up(hospital: Hospital, tmp_path: Path) -> None:
    async with capturing(hospital, tmp_path, wal_keep_seconds_max=3_600.0) as one:
        await arrived(hospital, one)
        assert await tended(one) == {}
        work = one.runners["his"]._log
        assert work is not None
        work._keep = type(work._keep)(work._keep.bytes_max, 0.0)
        tend(one)
        assert not await one.runners["his"].attempt()
        assert one.said("his") == {"": "GC-2074"}
        work._keep = type(work._keep)(work._keep.bytes_max, 3_600.0)
        hospital.run("UPDATE visit SET n = 8")
        await arrived(hospital, one)
        check(hospital, one)
        assert begun(one, hospital.name("visit")) == ["first", "log lost: slot gone"]


async def test_a_server_without_a_free_slot_is_scanned(hospital: Hospital, tmp_path: Path) -> None:
    ((most,),) = hospital.rows("SELECT current_setting('max_replication_slots')::int")
    taken = [name for i in range(most) if takes_a_slot(hospital, name := f"taken_{i}")]
    try:
        async with capturing(hospital, tmp_path) as one:
            await turns_until(one, lambda: stands(one, hospital, "visit"))
            assert without_log(one) == "GC-2082"
    finally:
        for name in taken:
            hospital.run(f"SELECT pg_drop_replication_slot('{name}')")


def takes_a_slot(hospital: Hospital, name: str) -> bool:
    try:
        hospital.run(f"SELECT pg_create_physical_replication_slot('{name}')")
    except psycopg2.Error:
        return False
    return True
