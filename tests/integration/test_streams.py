"""A server's own text in whole columns is the driver's records, value for value; and a stream can be left.

Both ways of reading run over the same statement of the same table: what `Records` makes of the driver's values
is the reference for what a dialect's own stream makes of the server's bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from edge_agent.sources.columns import Carrier, Layout, join
from edge_agent.sources.copying import CopyStream
from edge_agent.sources.dialects.dialect import Dialect, select_page, select_whole
from edge_agent.sources.dialects.mysql import Mysql
from edge_agent.sources.dialects.mysql_results import ColumnResult
from edge_agent.sources.dialects.postgres import Postgres
from edge_agent.sources.slicing import slices
from edge_agent.sources.source import PageLimits, Rows
from edge_agent.sources.sql import SqlSource
from edge_agent.sources.streams import Records, Stream
from protocol.errors import Fault, Rejected, Transient
from protocol.names import TableName
from protocol.schema import Column, TableSchema
from tests.databases import MariadbServer, PostgresServer, mariadb, postgres
from tests.integration.pg_reference import PREPARE
from tests.integration.pg_reference import TYPES as POSTGRES_TYPES
from tests.integration.test_mariadb_source import TYPES as MARIADB_TYPES

ROW_BYTES = 2_000
MANY = 30_000
TIMES = settings(
    max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)

HOSTILE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.text(
    st.sampled_from("'\"\\%s`;-- \n\ufeff张E$"), max_size=12
)


@pytest.fixture(scope="module")
def server() -> PostgresServer:
    return postgres()


@pytest.fixture(scope="module")
def database(server: PostgresServer) -> Iterator[str]:
    with server.database() as name:
        server.run(*PREPARE, "CREATE TABLE wide(id int, v text)", database=name)
        server.run(
            f"INSERT INTO wide SELECT i, repeat('x', {ROW_BYTES}) FROM generate_series(1, {MANY}) i",
            database=name,
        )
        yield name


def _connect(dialect: Dialect, url: str) -> Any:
    connection = dialect.connect(make_url(url))
    dialect.prepare(connection, 600.0)
    return connection


@pytest.fixture
def connection(server: PostgresServer, database: str) -> Iterator[Any]:
    """As the dialect opens it."""
    connection = _connect(Postgres(), server.url(database))
    yield connection
    connection.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "copy"]


@pytest.fixture
def source(server: PostgresServer, database: str) -> Iterator[SqlSource]:
    source = SqlSource("his", server.url(database))
    yield source
    source.close()


def _layout(dialect: Dialect, schema: TableSchema) -> Layout:
    columns = schema.columns
    return Layout(
        tuple(c.name for c in columns),
        tuple(c.wire for c in columns),
        tuple(dialect.carrier(c) for c in columns),
    )


def _all(stream: Stream, rows_max: int) -> Rows:
    pieces = [*slices(stream.take, rows_max, 1 << 30), stream.take(1)]
    stream.close()
    return join(pieces)


def _same(dialect: Dialect, connection: Any, statement: tuple[str, tuple[Any, ...]], layout: Layout) -> int:
    """Read `statement` both ways; how many rows it has."""
    usable = lambda: True  # noqa: E731 (a constant)
    expected = _all(Records(dialect.cursor(connection, *statement), layout, usable), 7)
    for rows_max in (1, 3, 1_000):
        found = _all(dialect.stream(connection, *statement, layout), rows_max)
        assert found.asides == expected.asides
        for one, other in zip(found.columns, expected.columns, strict=True):
            assert one.type == other.type
            assert repr(one.to_pylist()) == repr(other.to_pylist())  # NaN equals nothing, -0.0 equals 0.0
    return expected.count


@TIMES
@given(data=st.data())
def test_copy_is_what_the_driver_reads(server: PostgresServer, database: str, data: st.DataObject) -> None:
    strategies = [values | st.none() for _, values in POSTGRES_TYPES.values()]
    rows = data.draw(st.lists(st.tuples(*strategies), max_size=12))
    columns = ", ".join(f'"c{i} %" {kind}' for i, kind in enumerate(POSTGRES_TYPES))
    marks = ", ".join(f"CAST(%s AS {kind})" for kind in POSTGRES_TYPES)
    with server.connect(database) as administrator, administrator.cursor() as cursor:
        cursor.execute("SET TimeZone = 'UTC'; SET lc_monetary = 'C'; DROP TABLE IF EXISTS every")
        cursor.execute(f"CREATE TABLE every({columns})")
        cursor.executemany(f"INSERT INTO every VALUES({marks})", rows)
    administrator.close()
    source = SqlSource("his", server.url(database))
    schema = source.describe(TableName(database, "public", "every"))
    source.close()
    dialect = Postgres()
    statement = select_whole(dialect, schema.table, schema.columns), ()
    with closing(_connect(dialect, server.url(database))) as connection:
        assert _same(dialect, connection, statement, _layout(dialect, schema)) == len(rows)


@TIMES
@given(keys=st.sets(HOSTILE, min_size=1, max_size=12), data=st.data())
def test_copy_of_a_range_between_any_two_keys(
    server: PostgresServer, database: str, keys: set[str], data: st.DataObject
) -> None:
    with server.connect(database) as administrator, administrator.cursor() as cursor:
        cursor.execute('DROP TABLE IF EXISTS keyed; CREATE TABLE keyed(id text COLLATE "C" PRIMARY KEY)')
        cursor.executemany("INSERT INTO keyed VALUES(%s)", [(key,) for key in keys])
    administrator.close()
    after, until = sorted(data.draw(st.sampled_from(sorted(keys))) for _ in range(2))
    expected = [key for key in sorted(keys) if after < key <= until]
    dialect = Postgres()
    column = Column("id", pa.string(), "text")
    statement = select_page(
        dialect, TableName(database, "public", "keyed"), [column], [column], [after], [until], 1_000
    )
    layout = Layout(("id",), (column.wire,), (Carrier.SPELT,))
    with closing(_connect(dialect, server.url(database))) as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"SET standard_conforming_strings = {data.draw(st.sampled_from(['on', 'off']))}")
            cursor.execute("SET escape_string_warning = off")
        assert _all(dialect.stream(connection, *statement, layout), 5).columns[0].to_pylist() == expected


def _wide(connection: Any, database: str) -> CopyStream:
    dialect = Postgres()
    columns = [Column("id", pa.int32(), "integer"), Column("v", pa.string(), "text")]
    sql = select_whole(dialect, TableName(database, "public", "wide"), columns)
    layout = Layout(("id", "v"), tuple(c.wire for c in columns), (Carrier.SPELT, Carrier.SPELT))
    return CopyStream(connection, sql.encode(), layout, 600.0)


def _taken(stream: CopyStream | ColumnResult, rows: int) -> int:
    """How many come, asked for as often as their bytes demand."""
    count = stream.take(rows).count
    while count < rows and (more := stream.take(rows - count).count):
        count += more
    return count


def _one(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


@pytest.mark.parametrize("rows", [0, 1, 5_000])
def test_a_copy_left_early_leaves_its_transaction_as_it_was(
    connection: Any, server: PostgresServer, database: str, rows: int
) -> None:
    before = _one(connection, "SELECT count(*) FROM public.wide")
    stream = _wide(connection, database)
    assert _taken(stream, rows) == rows
    server.run("INSERT INTO wide VALUES(0, 'late')", database=database)
    stream.close()
    # Still the same transaction and state, with the server's own time limit.
    assert _one(connection, "SELECT count(*) FROM public.wide") == before
    assert _one(connection, "SHOW statement_timeout") == "10min"
    server.run("DELETE FROM wide WHERE id = 0", database=database)
    connection.rollback()


def test_a_copy_read_to_its_end_leaves_its_transaction_as_it_was(connection: Any, database: str) -> None:
    stream = _wide(connection, database)
    count = sum(piece.count for piece in slices(stream.take, 5_000, 1 << 20))
    stream.close()
    assert count == _one(connection, "SELECT count(*) FROM public.wide")
    assert _one(connection, "SHOW statement_timeout") == "10min"


def test_a_reader_that_pauses_is_no_slow_statement(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '50ms'")
    layout = Layout(("v",), (pa.string(),), (Carrier.SPELT,))
    stream = CopyStream(connection, b"SELECT 'v' FROM pg_catalog.pg_sleep(0.2)", layout, 600.0)
    assert _all(stream, 10).columns[0].to_pylist() == ["v"]


@pytest.mark.parametrize(
    ("end", "kind", "code"),
    [("pg_cancel_backend", Rejected, "GC-2042"), ("pg_terminate_backend", Transient, "GC-2001")],
)
def test_a_copy_that_the_server_ends_is_a_fault(
    source: SqlSource, server: PostgresServer, database: str, end: str, kind: type[Fault], code: str
) -> None:
    schema = source.describe(TableName(database, "public", "wide"))
    pieces = source.whole(schema)
    next(pieces)
    ours = "application_name = 'guicang edge-agent' AND datname = current_database()"
    server.run(f"SELECT {end}(pid) FROM pg_stat_activity WHERE {ours}", database=database)
    with pytest.raises(kind) as caught:
        for _ in pieces:
            pass
    assert caught.value.code == code
    assert not [thread for thread in threading.enumerate() if thread.name == "copy"]
    assert sum(rows.count for rows in source.whole(schema)) == MANY


def test_a_page_cut_by_its_bytes_still_sees_rows_that_share_a_key(
    server: PostgresServer, database: str
) -> None:
    table = TableName(database, "public", "wide")
    source = SqlSource("his", server.url(database), {str(table): ("id",)})
    schema = source.describe(table)
    limits = PageLimits(100_000, 40 * ROW_BYTES)
    page = source.page(schema, b"", b"", limits)
    assert (page.full, page.rows.columns[0].to_pylist()) == (True, list(range(1, page.rows.count + 1)))
    server.run(f"INSERT INTO wide VALUES({page.rows.count}, 'its twin')", database=database)
    with pytest.raises(Rejected) as caught:
        source.page(schema, b"", b"", limits)
    assert caught.value.code == "GC-2005"
    source.close()
    server.run("DELETE FROM wide WHERE v = 'its twin'", database=database)


def test_a_copy_that_sends_nothing_is_cancelled(connection: Any) -> None:
    layout = Layout(("v",), (pa.string(),), (Carrier.SPELT,))
    stream = CopyStream(connection, b"SELECT 'v' FROM pg_catalog.pg_sleep(60)", layout, 0.1)
    with pytest.raises(psycopg2.errors.QueryCanceled):
        stream.take(1)
    stream.close()
    assert _one(connection, "SELECT 1") == 1


def test_a_driver_error_reaches_the_reader(connection: Any) -> None:
    layout = Layout(("v",), (pa.string(),), (Carrier.SPELT,))
    stream = CopyStream(connection, b"SELECT 1 / (i - 500) FROM generate_series(1, 1000) i", layout, 600.0)
    with pytest.raises(psycopg2.errors.DivisionByZero):
        _all(stream, 1_000)
    stream.close()
    assert _one(connection, "SELECT 1") == 1


@pytest.fixture(scope="module")
def maria() -> MariadbServer:
    return mariadb()


@pytest.fixture(scope="module")
def schema_of_maria(maria: MariadbServer) -> Iterator[str]:
    with maria.database() as name:
        maria.run(
            "CREATE TABLE wide(id int NOT NULL, v longtext NOT NULL, KEY(id))",
            f"INSERT INTO wide SELECT seq, REPEAT('x', {ROW_BYTES}) FROM seq_1_to_{MANY}",
            database=name,
        )
        yield name


@settings(TIMES, max_examples=5)
@given(data=st.data())
def test_packets_are_what_the_driver_reads(
    maria: MariadbServer, schema_of_maria: str, data: st.DataObject
) -> None:
    strategies = [values | st.none() for _, values in MARIADB_TYPES.values()]
    rows = data.draw(st.lists(st.tuples(*strategies), max_size=12))
    columns = ", ".join(f"`c{i} %%` {kind} NULL" for i, kind in enumerate(MARIADB_TYPES))
    with maria.connect(schema_of_maria) as administrator, administrator.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute("DROP TABLE IF EXISTS every")
        cursor.execute(f"CREATE TABLE every({columns}, long_text longtext, long_blob longblob)", ())
        marks = ", ".join(["%s"] * len(MARIADB_TYPES))
        for row in rows:
            size = data.draw(st.sampled_from([0, 250, 251, 255, 256, 65_535, 65_536, 70_000]))
            cursor.execute(
                f"INSERT INTO every VALUES({marks}, REPEAT('张', %s), REPEAT(x'ff', %s))", [*row, size, size]
            )
    source = SqlSource("his", maria.url(schema_of_maria))
    schema = source.describe(TableName(schema_of_maria, None, "every"))
    source.close()
    dialect = Mysql()
    statement = select_whole(dialect, schema.table, schema.columns), ()
    with closing(_connect(dialect, maria.url(schema_of_maria))) as connection:
        assert _same(dialect, connection, statement, _layout(dialect, schema)) == len(rows)


@pytest.mark.parametrize(("rows", "usable"), [(0, False), (1, False), (5_000, False), (MANY, True)])
def test_packets_left_early_cost_the_connection_and_nothing_else(
    maria: MariadbServer, schema_of_maria: str, rows: int, usable: bool
) -> None:
    dialect = Mysql()
    layout = Layout(("id", "v"), (pa.int32(), pa.string()), (Carrier.SPELT, Carrier.SPELT))
    with closing(_connect(dialect, maria.url(schema_of_maria))) as connection:
        stream = dialect.stream(connection, "SELECT id, v FROM wide", (), layout)
        assert isinstance(stream, ColumnResult)
        assert _taken(stream, rows) == rows
        stream.close()
        stream.close()
        assert dialect.usable(connection) is usable
        if not usable:
            connection.connect()
        assert dialect.cursor(connection, "SELECT 1", ()).fetchmany(2) == [(b"1",)]


@pytest.mark.parametrize(
    ("end", "kind", "code"), [("KILL QUERY", Rejected, "GC-2042"), ("KILL", Transient, "GC-2001")]
)
def test_packets_that_the_server_ends_are_a_fault(
    maria: MariadbServer, schema_of_maria: str, end: str, kind: type[Fault], code: str
) -> None:
    with closing(SqlSource("his", maria.url(schema_of_maria))) as source:
        schema = source.describe(TableName(schema_of_maria, None, "wide"))
        pieces = source.whole(schema)
        next(pieces)
        running = "SELECT id FROM information_schema.processlist WHERE info LIKE '%%wide%% AS t'"
        ((number,),) = maria.rows(running)
        maria.run(f"{end} {number}")
        with pytest.raises(kind) as caught:
            for _ in pieces:
                pass
        assert caught.value.code == code
        assert sum(rows.count for rows in source.whole(schema)) == MANY


def test_a_page_of_packets_cut_by_its_bytes_still_sees_rows_that_share_a_key(
    maria: MariadbServer, schema_of_maria: str
) -> None:
    table = TableName(schema_of_maria, None, "wide")
    source = SqlSource("his", maria.url(schema_of_maria), {str(table): ("id",)})
    schema = source.describe(table)
    limits = PageLimits(100_000, 40 * ROW_BYTES)
    page = source.page(schema, b"", b"", limits)
    assert (page.full, page.rows.columns[0].to_pylist()) == (True, list(range(1, page.rows.count + 1)))
    maria.run(f"INSERT INTO wide VALUES({page.rows.count}, 'its twin')", database=schema_of_maria)
    with pytest.raises(Rejected) as caught:
        source.page(schema, b"", b"", limits)
    assert caught.value.code == "GC-2005"
    source.close()
