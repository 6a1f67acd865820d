"""The KingbaseES dialect on a real PostgreSQL, which is all that is known of it: no KingbaseES was met."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from edge_agent.sources.dialects.kingbase import Kingbase
from edge_agent.sources.source import PageLimits, Way
from edge_agent.sources.sql import SqlSource
from protocol.canonical import encode_rows
from protocol.errors import Rejected, Transient
from protocol.names import TableName
from tests.databases import PostgresServer, postgres

WIDE = PageLimits(1_000_000, 1 << 30)


@pytest.fixture(scope="module")
def server() -> PostgresServer:
    return postgres()


@pytest.fixture(scope="module")
def database(server: PostgresServer) -> Iterator[str]:
    with server.database() as name:
        yield name


def _address(server: PostgresServer, database: str) -> str:
    return server.url(database).replace("postgresql", "kingbase", 1)


@pytest.fixture
def sources(server: PostgresServer, database: str) -> Iterator[tuple[SqlSource, SqlSource]]:
    """As KingbaseES and as PostgreSQL."""
    opened = SqlSource("his", _address(server, database)), SqlSource("his", server.url(database))
    yield opened
    for source in opened:
        source.close()


def test_every_statement_reads_what_the_dialect_of_postgresql_reads(
    server: PostgresServer, database: str, sources: tuple[SqlSource, SqlSource]
) -> None:
    server.run(
        'CREATE TABLE "就诊 100%s" (b int, "a""A" numeric(9,2), c varchar(9), t timestamptz, d date, j jsonb,'
        ' n numeric, y bytea, PRIMARY KEY ("a""A", b, c))',
        "INSERT INTO \"就诊 100%s\" SELECT i, i * 1.01, '张' || i, now(), '0044-03-15 BC', '{\"a\": 1.0}', 1e-9, 'x'"
        " FROM generate_series(1, 50) i",
        database=database,
    )
    table = TableName(database, "public", "就诊 100%s")
    found = []
    for source in sources:
        schema = source.describe(table)
        first = source.page(schema, b"", b"", PageLimits(20, 1 << 30))
        rest = source.page(schema, first.last, b"", WIDE)
        bounded = source.page(schema, first.last, rest.last, WIDE)
        keys = encode_rows([rest.rows.columns[i] for i in schema.key_positions])
        assert source.present(schema, keys) == set(keys)
        rows = [
            encode_rows(p.rows.columns, [c.name for c in schema.columns], p.rows.asides)
            for p in (first, rest, bounded)
        ]
        found.append((schema.columns, schema.key, source.way(schema), rows))
    assert found[0] == found[1]
    assert [len(rows) for rows in found[0][3]] == [20, 30, 30]
    assert found[0][1] == ('a"A', "b", "c")


def test_a_table_without_a_key_is_read_whole(
    server: PostgresServer, database: str, sources: tuple[SqlSource, SqlSource]
) -> None:
    server.run("CREATE TABLE w(kg real)", "INSERT INTO w VALUES (1.5), (NULL)", database=database)
    schema = sources[0].describe(TableName(database, "public", "w"))
    assert sources[0].way(schema) is Way.WHOLE
    assert [row for rows in sources[0].whole(schema) for row in rows.columns[0].to_pylist()] == [1.5, None]


def test_a_configured_key_that_is_null_somewhere_is_refused(server: PostgresServer, database: str) -> None:
    server.run('CREATE TABLE n("%s" int)', "INSERT INTO n VALUES (NULL)", database=database)
    table = TableName(database, "public", "n")
    source = SqlSource("his", _address(server, database), {str(table): ("%s",)})
    with pytest.raises(Rejected) as caught:
        source.page(source.describe(table), b"", b"", WIDE)
    source.close()
    assert caught.value.code == "GC-2005"


def test_it_cannot_write_and_it_says_whose_fault_a_wrong_password_is(
    server: PostgresServer, database: str
) -> None:
    from psycopg2.errors import ReadOnlySqlTransaction

    dialect = Kingbase()
    connection = dialect.connect(make_url(_address(server, database)))
    dialect.prepare(connection, 60.0)
    with pytest.raises(ReadOnlySqlTransaction):
        connection.cursor().execute("CREATE TABLE no(a int)")
    connection.close()
    wrong = SqlSource("his", make_url(_address(server, database)).set(password="no").render_as_string(False))
    with pytest.raises(Transient) as caught:
        wrong.inventory()
    wrong.close()
    assert caught.value.code == "GC-2040"
