"""A PostgreSQL database by its log, on a real server: what was committed stands at the centre, each change once.

The agent's own runner, source and spool; only what lies behind the spool is read here as a centre reads it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pytest

from edge_agent.orders import Pause
from protocol import canonical
from protocol.change import MarkKind, Op
from tests.integration.following import (
    LONG,
    TABLES,
    Hospital,
    a_hospital,
    arrived,
    audited,
    begun,
    capturing,
    check,
    ended,
    marks,
    once,
    standing,
    turn,
    turns_until,
)
from tests.unit.edge_agent.reading import Change

GIVEN_UP = (
    psycopg2.errors.DeadlockDetected,
    psycopg2.errors.UniqueViolation,
    psycopg2.errors.SerializationFailure,
)


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with a_hospital() as one:
        yield one


async def test_a_snapshot_and_every_kind_of_change(hospital: Hospital, tmp_path: Path) -> None:
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one)
        check(hospital, one)
        for table in TABLES:
            hospital.run(
                f'UPDATE "{table}" SET n = 1 WHERE id = 3',
                f'UPDATE "{table}" SET id = 1003 WHERE id = 4',
                f'UPDATE "{table}" SET long = NULL WHERE id = 5',
                f'DELETE FROM "{table}" WHERE id = 6',
                f'INSERT INTO "{table}" VALUES(2000, 7, {LONG.format("new")})',
            )
        hospital.run("INSERT INTO keyless VALUES(3)", "DELETE FROM keyless WHERE n = 2")
        await arrived(hospital, one)
        check(hospital, one)
        hospital.run('TRUNCATE visit, "医嘱 Order"', "INSERT INTO visit VALUES(1, 1, 'after')")
        await arrived(hospital, one)
        check(hospital, one)
        assert (MarkKind.TRUNCATE, None) in marks(one, hospital.name("visit"))
        await one.once("his")
        check(hospital, one, "keyless")
        assert one.said("his") == {}


async def test_what_eight_sessions_do_while_it_reads_dies_and_reads_on(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Against a trigger's own log: each committed change was sent exactly once, in the order of commits per row."""
    async with capturing(hospital, tmp_path) as life:  # so that the slot is there before the first change
        await turns_until(life, lambda: life.position("his") > 0)
    audited(hospital)
    stop = threading.Event()
    writers = [threading.Thread(target=write, args=(hospital, seed, stop)) for seed in range(8)]
    rng = random.Random(5)
    for writer in writers:
        writer.start()
    try:
        end = time.monotonic() + 8
        while time.monotonic() < end:
            async with capturing(hospital, tmp_path, life) as life:
                for _ in range(rng.randrange(5, 60)):
                    await turn(life)
                if rng.random() < 0.3:
                    life.runners["his"].want_snapshot(hospital.name(rng.choice(TABLES)))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    async with capturing(hospital, tmp_path, life) as one:
        await arrived(hospital, one)
        check(hospital, one)
        for table in TABLES:
            once(hospital, one, table)


def write(hospital: Hospital, seed: int, stop: threading.Event) -> None:
    rng = random.Random(seed)
    with closing(psycopg2.connect(**hospital.server.login(hospital.database))) as connection:
        while not stop.is_set():
            with suppress(*GIVEN_UP), connection, connection.cursor() as cursor:
                for _ in range(rng.choice([1, 1, 2, 5])):
                    statement(cursor, rng)
                if rng.random() < 0.1:
                    raise psycopg2.errors.UniqueViolation
            connection.rollback()
            time.sleep(rng.choice([0, 0.002, 0.01]))


def statement(cursor: Any, rng: random.Random) -> None:
    table, id, other, n = (
        f'"{rng.choice(TABLES)}"',
        rng.randrange(40),
        rng.randrange(40),
        rng.randrange(1_000),
    )
    match rng.randrange(6):
        case 0:
            cursor.execute(f"INSERT INTO {table} VALUES({id}, {n}, {LONG.format(n)}) ON CONFLICT DO NOTHING")
        case 1:
            cursor.execute(f"DELETE FROM {table} WHERE id = {id}")
        case 2:
            cursor.execute("SAVEPOINT s")
            try:
                cursor.execute(f"UPDATE {table} SET id = {other}, n = {n} WHERE id = {id}")
            except psycopg2.errors.UniqueViolation:
                cursor.execute("ROLLBACK TO SAVEPOINT s")
        case 3:
            cursor.execute("SAVEPOINT s")
            cursor.execute(f"UPDATE {table} SET n = -1")
            cursor.execute("ROLLBACK TO SAVEPOINT s")
        case _:
            cursor.execute(f"UPDATE {table} SET n = {n} WHERE id = {id}")


async def test_columns_that_change_in_mid_stream(hospital: Hospital, tmp_path: Path) -> None:
    """Rows that stood there got a value of which no log tells: the table is read anew."""
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one)
        hospital.run(
            "UPDATE visit SET n = 5 WHERE id = 1",
            "ALTER TABLE visit ADD COLUMN more int DEFAULT 7",
            "UPDATE visit SET n = 6 WHERE id = 2",
            "ALTER TABLE by_index ALTER COLUMN n TYPE numeric(10,2)",
            "ALTER TABLE full_image DROP COLUMN long",
        )
        await arrived(hospital, one)
        check(hospital, one)
        assert ended(one, hospital.name("visit")) >= 2


async def test_what_is_read_after_an_alteration_keeps_its_key(hospital: Hospital, tmp_path: Path) -> None:
    """The log says neither the order of its columns nor, of a full identity, which they are."""
    tables = ("ordered", "whole")
    hospital.run(
        *(f"CREATE TABLE {table}(a int, b int, n int, PRIMARY KEY(b, a))" for table in tables),
        "ALTER TABLE whole REPLICA IDENTITY FULL",
        *(f"INSERT INTO {table} VALUES(1, 10, 0), (2, 20, 0), (3, 30, 0)" for table in tables),
        *(f"ALTER PUBLICATION guicang_his ADD TABLE ONLY {table}" for table in tables),
    )
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one, *tables)
        for table in tables:
            hospital.run(
                f"UPDATE {table} SET n = 1 WHERE a = 1",
                f"DELETE FROM {table} WHERE a = 2",
                f"ALTER TABLE {table} ADD COLUMN more int DEFAULT 5",
            )
        await arrived(hospital, one, *tables)
        check(hospital, one, *tables)
        first, second = canonical.digests(
            canonical.encode_rows([pa.array([10, 20], pa.int32()), pa.array([1, 2], pa.int32())])
        )
        for table in tables:
            told = [e for e in one.events("his") if isinstance(e, Change) and e.table == hospital.name(table)]
            assert [(e.op, e.key) for e in told if e.op is not Op.READ] == [
                (Op.UPDATE, first),
                (Op.DELETE, second),
            ]
        assert one.said("his") == {}


async def test_a_rewrite_of_which_no_log_tells(hospital: Hospital, tmp_path: Path) -> None:
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one)
        hospital.run("ALTER TABLE parted DETACH PARTITION parted_1")
        name = hospital.name("parted")
        await turns_until(one, lambda: (MarkKind.SNAPSHOT_BEGIN, "rewritten or altered") in marks(one, name))
        await arrived(hospital, one)
        check(hospital, one)


async def test_a_slot_that_is_gone_is_said_and_healed(hospital: Hospital, tmp_path: Path) -> None:
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one)
    hospital.drop_slot()
    hospital.run("UPDATE visit SET n = 9 WHERE id = 1", "DELETE FROM visit WHERE id = 2")
    async with capturing(hospital, tmp_path, one) as one:
        await arrived(hospital, one)
        check(hospital, one)
        assert begun(one, hospital.name("visit")) == ["first", "log lost: slot gone"]


async def test_a_table_that_joins_and_leaves_the_publication_changes_its_way(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.run("ALTER PUBLICATION guicang_his DROP TABLE visit")
    name = hospital.name("visit")

    async with capturing(hospital, tmp_path) as one:
        await turns_until(one, lambda: (MarkKind.SNAPSHOT_END, None) in marks(one, name))
        hospital.run("ALTER PUBLICATION guicang_his ADD TABLE ONLY visit", "UPDATE visit SET n = 3")
        await turns_until(one, lambda: len(begun(one, name)) == 2)
        await arrived(hospital, one)
        check(hospital, one)
        hospital.run("ALTER PUBLICATION guicang_his DROP TABLE visit", "UPDATE visit SET n = 4")
        await turns_until(
            one, lambda: marks(one, name)[-1][0] is MarkKind.SNAPSHOT_END and len(begun(one, name)) == 3
        )
        await turns_until(one, lambda: one.cells("his")[name] == hospital.held(one, "visit"))
        assert begun(one, name) == ["first", "way changed", "way changed"]


async def test_a_commit_that_waits_for_a_standby_wins_over_a_later_chunk(
    hospital: Hospital, tmp_path: Path
) -> None:
    """It is in the log, and no statement sees it (capture.md §3.5)."""
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one)
        hospital.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
        waiting = threading.Thread(
            target=lambda: suppressed(hospital, "UPDATE visit SET n = 77 WHERE id = 20")
        )
        waiting.start()
        try:
            name = hospital.name("visit")
            await turns_until(
                one, lambda: any(e.op is Op.UPDATE for e in one.events("his") if isinstance(e, Change))
            )
            assert hospital.rows("SELECT n FROM visit WHERE id = 20") == [(0,)], "nobody sees it"
            before = ended(one, name)
            one.runners["his"].want_snapshot(name)
            for _ in range(40):
                await turn(one)
            assert ended(one, name) in (before, before + 1)
        finally:
            hospital.run("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
            waiting.join()
        await arrived(hospital, one)
        check(hospital, one)
        assert [count for row, count in standing(one, name).items() if row[:2] == (20, 77)] == [1]


def suppressed(hospital: Hospital, statement: str) -> None:
    with suppress(psycopg2.Error):
        hospital.run(statement)


async def test_rule_11_the_servers_log_is_freed_as_it_is_spooled_and_no_sooner(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Also while nothing happens to our tables, or to none at all (capture.md §3.11)."""
    hospital.run("CREATE TABLE other(n int)")

    def confirmed_behind() -> int:
        ((behind,),) = hospital.rows(
            "SELECT (pg_current_wal_lsn() - confirmed_flush_lsn)::bigint FROM pg_replication_slots "
            "WHERE slot_name = 'guicang_his'"
        )
        return int(behind)

    async with capturing(hospital, tmp_path, exclude=("*other*", "*later*")) as one:
        await arrived(hospital, one)
        hospital.run("INSERT INTO other SELECT generate_series(1, 20000)")
        assert confirmed_behind() > 1_000_000
        await turns_until(one, lambda: confirmed_behind() < 10_000)
    position = one.position("his")
    ((confirmed,),) = hospital.rows(
        "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name = 'guicang_his'"
    )
    assert confirmed <= position


async def test_a_server_that_keeps_too_much_log_is_relieved_and_all_is_read_anew(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Also while the source is paused: the hospital's disk comes first."""
    async with capturing(hospital, tmp_path, wal_keep_bytes_max=2 << 20) as one:
        await arrived(hospital, one)
        name, runner = hospital.name("visit"), one.runners["his"]
        runner._orders.take(lambda book: book.pausing("his", Pause(1, "local")))
        assert await runner.attempt()
        hospital.run("UPDATE visit SET n = 8", *["INSERT INTO keyless SELECT generate_series(1, 20000)"] * 3)
        runner._log._tended_at -= 100  # type: ignore[union-attr]
        assert not await runner.attempt()
        assert one.said("his") == {"": "GC-2059"}
        assert hospital.rows("SELECT FROM pg_replication_slots WHERE slot_name = 'guicang_his'") == []
        runner._orders.take(lambda book: book.resuming("his", "local"))
        await arrived(hospital, one)
        check(hospital, one)
        assert begun(one, name) == ["first", "log lost: slot gone"]
