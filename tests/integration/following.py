"""A hospital's PostgreSQL whose log is followed by the agent's own runner, source and spool, for tests.

What lies behind the spool is read as a centre reads it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2

from edge_agent.capture.facts import facts_of
from edge_agent.capture.phases import Phase
from edge_agent.sources.settings import PostgresSettings
from protocol.change import MarkKind
from protocol.errors import Fault
from protocol.names import TableName
from tests.comparing.source import open_source
from tests.databases import PostgresServer, logical_postgres
from tests.integration.capturing import Capturing
from tests.unit.edge_agent.reading import Mark

PATIENCE_SECONDS = 60.0
TABLES = ("visit", "full_image", "by_index", "医嘱 Order", "parted")
LONG = "repeat(md5('{}'), 400)"
"""Longer than what stays in a row, and not to be compressed into it."""


class Hospital:
    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server = server
        self.database = database

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.server.rows(query, self.database)

    def name(self, table: str) -> TableName:
        return TableName(self.database, "public", table)

    def settings(self, account: str | None = None, **more: Any) -> dict[str, PostgresSettings]:
        said = {"page_rows": 7, "scan_interval_seconds": 0.5, "deletion_rows_min": 100_000} | more
        url = self.server.url(self.database, account)
        return {"his": PostgresSettings(url=url, include=("*",), duty_share_max=1.0, **said)}

    def held(self, one: Capturing, table: str) -> Counter[bytes]:
        name = self.name(table)
        wires = {column.name: column.wire for column in one.schema("his", name).columns}
        with closing(open_source(self.server.url(self.database))) as source:
            batches = list(source.rows((name.database, name.schema, name.name), wires))
        return Counter(b"".join(row) for batch in batches for row in zip(*batch, strict=True))

    def drop_slot(self) -> None:
        """Once its reader has gone."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.rows("SELECT FROM pg_replication_slots WHERE slot_name = 'guicang_his'"):
            with suppress(psycopg2.Error):
                self.run("SELECT pg_drop_replication_slot('guicang_his')")
            assert time.monotonic() < end


@contextmanager
def hospital_of(*statements: str) -> Iterator[Hospital]:
    """A database in which these were run."""
    server = logical_postgres()
    with server.database() as database:
        one = Hospital(server, database)
        one.run(*statements)
        try:
            yield one
        finally:
            one.drop_slot()


@contextmanager
def a_hospital() -> Iterator[Hospital]:
    """With `TABLES`, all carried by the log, and a table without a key."""
    with hospital_of(
        "CREATE TABLE visit(id int PRIMARY KEY, n int, long text)",
        "CREATE TABLE full_image(id int PRIMARY KEY, n int, long text)",
        "ALTER TABLE full_image REPLICA IDENTITY FULL",
        "CREATE TABLE by_index(id int NOT NULL, n int, long text)",
        "CREATE UNIQUE INDEX by_index_key ON by_index(id)",
        "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_key",
        'CREATE TABLE "医嘱 Order"(id int PRIMARY KEY, n int, long text)',
        "CREATE TABLE parted(id int PRIMARY KEY, n int, long text) PARTITION BY HASH (id)",
        "CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "CREATE TABLE keyless(n int)",
        *(
            f'INSERT INTO "{t}" SELECT i, 0, {LONG.format("first")} FROM generate_series(1, 30) i'
            for t in TABLES
        ),
        "INSERT INTO keyless VALUES(1), (1), (2)",
        "CREATE PUBLICATION guicang_his FOR TABLE ONLY visit, ONLY full_image, ONLY by_index, "
        'ONLY "医嘱 Order", ONLY parted WITH (publish_via_partition_root = true)',
    ) as one:
        yield one


@asynccontextmanager
async def capturing(hospital: Hospital, root: Path, **more: Any) -> AsyncIterator[Capturing]:
    one = Capturing(root, hospital.settings(**more), began=int(time.time() * 1e6))
    try:
        yield one
    finally:
        await one.close()


@asynccontextmanager
async def capturing_again(
    hospital: Hospital, root: Path, former: Capturing | None
) -> AsyncIterator[Capturing]:
    """The agent started anew on what the former one left."""
    one = Capturing(root, hospital.settings(), began=int(time.time() * 1e6), former=former)
    try:
        yield one
    finally:
        await one.close()


async def turn(one: Capturing) -> None:
    with suppress(Fault):  # a source that was lost is found again
        await one.runners["his"].turn()


async def turns_until(one: Capturing, reached: Callable[[], bool]) -> None:
    """The agent works until that holds; a source that it lost for a moment it finds again."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        await turn(one)
        assert time.monotonic() < end, one.where("his")


async def arrived(hospital: Hospital, one: Capturing, *tables: str) -> None:
    """Until everything that was committed before this is in the spool, and each of these tables was read to its end."""
    hospital.run("CREATE TABLE IF NOT EXISTS later(n int)")
    ((stamp,),) = hospital.rows("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    spool, stream = one._spool, one._seen["his"].stream
    names = [hospital.name(table) for table in tables or TABLES]

    def there() -> bool:
        states = [spool.table(stream, name) for name in names]
        followed = all(s is not None and s.phase == Phase.FOLLOW and not stale(s) for s in states)
        return followed and (one.runners["his"].report.last_pass or 0) > stamp

    await turns_until(one, there)


def stale(state: Any) -> bool:
    log = facts_of(state).log
    return log is None or bool(log.stale)


def check(hospital: Hospital, one: Capturing, *tables: str) -> None:
    cells = one.cells("his")
    for table in tables or TABLES:
        assert cells[hospital.name(table)] == hospital.held(one, table), table


def marks(one: Capturing, table: TableName) -> list[tuple[MarkKind, str | None]]:
    """Kinds, and of a snapshot's begin its reason."""
    events = one.events("his")
    return [
        (e.header.mark, e.header.facts.get("reason"))
        for e in events
        if isinstance(e, Mark) and e.header.table_name == table
    ]
