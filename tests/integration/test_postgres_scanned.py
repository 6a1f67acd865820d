"""Tables that are scanned beside a log that is followed, on a real PostgreSQL: what the log says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.capture.facts import facts_of
from edge_agent.sources.pg.source import PostgresSource
from edge_agent.sources.settings import TableSettings
from protocol.change import Op
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
    stands,
    turn,
    turns_until,
)

INSERTS = "CREATE PUBLICATION guicang_his_inserts FOR TABLE ONLY keyless WITH (publish = 'insert')"


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with a_hospital() as one:
        yield one


def capturing_rarely(
    hospital: Hospital, root: Path, former: Capturing | None = None, **more: Any
) -> AbstractAsyncContextManager[Capturing]:
    """Scans of the table without a key are an hour apart."""
    rarely = {str(hospital.name("keyless")): TableSettings(scan_interval_seconds=3_600.0)}
    return capturing(hospital, root, former, tables=rarely, **more)


def source_of(one: Capturing) -> PostgresSource:
    source = one.runners["his"].source
    assert isinstance(source, PostgresSource)
    return source


async def until_stands(one: Capturing, hospital: Hospital, *tables: str) -> None:
    """Nobody hints at anything."""
    await turns_until(one, lambda: all(stands(one, hospital, table) for table in tables))


async def test_a_table_of_which_the_log_tells_inserts_alone_is_scanned_as_soon_as_it_tells_one(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.run(INSERTS)
    async with capturing_rarely(hospital, tmp_path) as one:
        await until_stands(one, hospital, "keyless", "visit")
        hospital.run("INSERT INTO keyless VALUES(2), (3)")
        await until_stands(one, hospital, "keyless")
        hospital.run("UPDATE keyless SET n = 4 WHERE n = 3", "UPDATE visit SET n = 5 WHERE id = 5")
        await until_stands(one, hospital, "visit")
        for _ in range(10):
            await turn(one)
        assert not stands(one, hospital, "keyless"), "no log tells of an update"
        hospital.run("INSERT INTO keyless VALUES(5)")
        await until_stands(one, hospital, "keyless")
        told = Counter(change.op for change in changes_of(one, hospital, "keyless"))
        assert told == {Op.READ: 3, Op.CREATE: 4, Op.DELETE: 1}, "each row once"


async def test_a_publication_of_inserts_comes_and_goes_and_nothing_is_read_anew(
    hospital: Hospital, tmp_path: Path
) -> None:
    """What was written while there was none cannot be decoded with it: until that has passed, the log goes without."""
    both = ["guicang_his", "guicang_his_inserts"]

    async def until_followed(publications: list[str]) -> None:
        def reached() -> bool:
            hospital.run("CHECKPOINT")  # the server notes which transactions run, else every 15 s
            return source_of(one)._following().publications == publications

        await turns_until(one, reached)

    async with capturing_rarely(hospital, tmp_path) as one:
        await until_stands(one, hospital, "keyless", *TABLES)
        hospital.run(INSERTS, "UPDATE visit SET n = 5 WHERE id = 5")
        await until_followed(both)
        hospital.run("INSERT INTO keyless VALUES(2)")
        await until_stands(one, hospital, "keyless", "visit")
        gone = "DROP PUBLICATION guicang_his_inserts"
        hospital.run(
            gone, "UPDATE visit SET n = 6 WHERE id = 6", INSERTS, "UPDATE visit SET n = 7 WHERE id = 7"
        )
        await until_stands(one, hospital, "visit")
        await until_followed(both)
        hospital.run(gone, "UPDATE visit SET n = 8 WHERE id = 8")
        await until_stands(one, hospital, "visit")
        await until_followed(both[:1])
    hospital.run("UPDATE visit SET n = 9 WHERE id = 9", INSERTS, "UPDATE visit SET n = 10 WHERE id = 10")
    async with capturing_rarely(hospital, tmp_path, one) as one:
        await until_stands(one, hospital, "visit")
        await until_followed(both)
        hospital.run("INSERT INTO keyless VALUES(3)")
        await until_stands(one, hospital, "keyless")
        check(hospital, one)
        assert all(begun(one, hospital.name(table)) == ["first"] for table in TABLES)
        assert one.runners["his"].report.log is None


async def test_the_log_does_not_wait_while_a_scan_rests(hospital: Hospital, tmp_path: Path) -> None:
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one)
    async with capturing(hospital, tmp_path, one, duty_share_max=1e-6) as one:
        runner = one.runners["his"]
        await turns_until(one, lambda: runner._rests_until > runner._clock())
        hospital.run("UPDATE visit SET n = 5 WHERE id = 5")
        await until_stands(one, hospital, "visit")
        assert runner._rests_until > runner._clock(), "it rests for an hour"


@pytest.mark.parametrize("identity", ["FULL", "USING INDEX parent_key"])
async def test_a_table_whose_children_have_rows_is_scanned(
    hospital: Hospital, tmp_path: Path, identity: str
) -> None:
    """It shows their rows, and the log tells what happens to them as theirs."""
    hospital.run(
        "CREATE TABLE parent(id int NOT NULL, n int)",
        "CREATE UNIQUE INDEX parent_key ON parent(id)",
        f"ALTER TABLE parent REPLICA IDENTITY {identity}",
        "CREATE TABLE child() INHERITS (parent)",
        "ALTER TABLE child REPLICA IDENTITY FULL",
        "INSERT INTO parent VALUES(1, 1)",
        "INSERT INTO child VALUES(2, 2)",
        "ALTER PUBLICATION guicang_his ADD TABLE ONLY parent",
    )
    key = {str(hospital.name("parent")): TableSettings(key=("id",))} if identity != "FULL" else {}
    async with capturing(hospital, tmp_path, tables=key) as one:
        await until_stands(one, hospital, "parent", "visit")
        hospital.run("UPDATE child SET n = 3", "UPDATE visit SET n = 5 WHERE id = 5")
        await until_stands(one, hospital, "parent", "visit")
        hospital.run("ALTER TABLE child NO INHERIT parent", "UPDATE parent SET n = 4")
        await until_stands(one, hospital, "parent")
        await arrived(hospital, one, "parent")
        hospital.run("ALTER TABLE child INHERIT parent", "INSERT INTO child VALUES(5, 5)")
        await until_stands(one, hospital, "parent")


async def test_a_partitioned_table_without_a_primary_key_is_scanned(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Its next partition would have no identity."""
    hospital.run(
        "CREATE TABLE halves(id int NOT NULL, n int) PARTITION BY LIST (id)",
        "ALTER TABLE halves REPLICA IDENTITY FULL",
        "CREATE TABLE first_half PARTITION OF halves FOR VALUES IN (1)",
        "ALTER TABLE first_half REPLICA IDENTITY FULL",
        "INSERT INTO halves VALUES(1, 1)",
        "ALTER PUBLICATION guicang_his ADD TABLE halves",
    )
    async with capturing(hospital, tmp_path) as one:
        await until_stands(one, hospital, "halves", "visit")
        state = one.state("his", hospital.name("halves"))
        assert state is not None
        assert facts_of(state).log is None
        hospital.run(
            "CREATE TABLE second_half PARTITION OF halves FOR VALUES IN (2)",
            "INSERT INTO halves VALUES(2, 2)",
        )
        await until_stands(one, hospital, "halves")
