"""Chunks of a PostgreSQL table on a real server: of one state, saying what it saw, of the table that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from edge_agent.sources.pg.chunking import ChunkSource
from edge_agent.sources.source import PageLimits
from protocol.canonical import encode_rows
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import TableSchema
from tests.databases import PostgresServer, postgres

LIMITS = PageLimits(3, 1 << 20)


@pytest.fixture(scope="module")
def server() -> PostgresServer:
    return postgres()


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    with server.database() as name:
        server.run(
            'CREATE TABLE "门诊"(id int PRIMARY KEY, name text)',
            "INSERT INTO \"门诊\" SELECT i, '王' || i FROM generate_series(1, 7) i",
            database=name,
        )
        yield name


@pytest.fixture
def source(server: PostgresServer, database: str) -> Iterator[ChunkSource]:
    with closing(ChunkSource("his", server.url(database))) as one:
        yield one


@pytest.fixture
def schema(source: ChunkSource, database: str) -> TableSchema:
    return source.describe(TableName(database, "public", "门诊"))


def ids(chunk: Any) -> list[int]:
    return chunk.page.rows.columns[0].to_pylist()  # type: ignore[no-any-return]


def test_chunks_go_on_from_key_to_key(source: ChunkSource, schema: TableSchema) -> None:
    found, after = [], b""
    while True:
        chunk = source.chunk(schema, after, LIMITS)
        found.append(ids(chunk))
        if not chunk.page.full:
            break
        after = chunk.page.last
    assert found == [[1, 2, 3], [4, 5, 6], [7]]


def test_a_chunk_says_whom_its_statement_saw(
    server: PostgresServer, database: str, source: ChunkSource, schema: TableSchema
) -> None:
    """By the transaction that wrote each row (xmin), as the server's own function judges it."""
    with closing(server.connect(database)) as other:
        other.autocommit = False
        cursor = other.cursor()
        cursor.execute("INSERT INTO \"门诊\" VALUES(0, 'open') RETURNING txid_current()")
        ((running,),) = cursor.fetchall()
        chunk = source.chunk(schema, b"", LIMITS)
        assert 0 not in ids(chunk)
        assert not chunk.snapshot.sees(running)
        other.commit()
    later = source.chunk(schema, b"", LIMITS)
    assert ids(later)[0] == 0
    assert later.snapshot.sees(running)
    for (xid,) in server.rows('SELECT DISTINCT xmin::text::bigint FROM "门诊"', database):
        assert later.snapshot.sees(xid)
    ((text,),) = server.rows("SELECT pg_current_snapshot()::text", database)
    assert source.visible().xmax == int(text.split(":")[1])


def test_rows_of_keys_are_those_that_exist(source: ChunkSource, schema: TableSchema) -> None:
    import pyarrow as pa

    keys = encode_rows([pa.array([5, 2, 99], pa.int64())])
    assert sorted(ids(source.rows_of(schema, keys))) == [2, 5]
    assert ids(source.rows_of(schema, keys[2:])) == []


@pytest.mark.parametrize(
    ("statement", "another"),
    [
        ("UPDATE \"门诊\" SET name = 'x'", False),
        ("ANALYZE", False),
        ('CREATE INDEX ON "门诊"(name)', False),
        ('VACUUM FULL "门诊"', True),
        ('TRUNCATE "门诊"', True),
        ('ALTER TABLE "门诊" ADD COLUMN more int DEFAULT 7', True),
        ('ALTER TABLE "门诊" ALTER COLUMN name SET NOT NULL', True),
        ('ALTER TABLE "门诊" REPLICA IDENTITY FULL', True),
        ('CREATE TABLE child() INHERITS ("门诊")', True),
        ('DROP TABLE "门诊"; CREATE TABLE "门诊"(id int PRIMARY KEY, name text)', True),
    ],
)
def test_a_table_is_what_it_was_until_something_else_than_rows_changed(
    server: PostgresServer, database: str, source: ChunkSource, statement: str, another: bool
) -> None:
    name = TableName(database, "public", "门诊")
    before = source.identity(name)
    server.run(*statement.split("; "), database=database)
    assert (source.identity(name) != before) is another


def test_partitions_belong_to_their_root(server: PostgresServer, database: str, source: ChunkSource) -> None:
    name = TableName(database, "public", "visit")
    server.run(
        "CREATE TABLE visit(id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM (0) TO (10)",
        "INSERT INTO visit VALUES(1)",
        database=database,
    )
    before = source.identity(name)
    server.run("ALTER TABLE visit DETACH PARTITION visit_1", database=database)
    assert source.identity(name) != before


def test_a_table_that_is_gone_or_altered_gives_no_chunk(
    server: PostgresServer, database: str, source: ChunkSource, schema: TableSchema
) -> None:
    server.run('ALTER TABLE "门诊" ALTER COLUMN name TYPE varchar(9)', database=database)
    with pytest.raises(Rejected, match="GC-2010"):
        source.chunk(schema, b"", LIMITS)
    server.run('DROP TABLE "门诊"', database=database)
    assert source.identity(schema.table) is None
    with pytest.raises(Rejected, match="GC-2002"):
        source.chunk(schema, b"", LIMITS)


def test_a_fence_needs_no_right_but_to_connect(server: PostgresServer, database: str) -> None:
    server.run("CREATE ROLE reader LOGIN PASSWORD 'pass-word'", database=database)
    try:
        with closing(ChunkSource("his", server.url(database, "reader", "pass-word"))) as one:
            ((before,),) = server.rows("SELECT pg_current_wal_flush_lsn()", database)
            first, second = one.fence(), one.fence()
            ((after,),) = server.rows("SELECT pg_current_wal_flush_lsn()", database)
        assert first != second
        assert after > before, "on the server's disk when it returns"
    finally:
        server.run("DROP ROLE reader", database=database)
