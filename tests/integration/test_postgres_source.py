"""PostgreSQL as it is: every type comes out exactly, every key pages, and what goes wrong has its own name.

What every cell must be, `pg_reference` says.
"""

from __future__ import annotations

import contextlib
import string
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg2.errors import ReadOnlySqlTransaction
from sqlalchemy import make_url

from edge_agent.sources.columns import Carrier, Layout
from edge_agent.sources.copying import TAKE_BYTES_MAX, ask_to_cancel
from edge_agent.sources.dialects.dialect import select_whole
from edge_agent.sources.dialects.postgres import Postgres
from edge_agent.sources.source import PageLimits, Rows, Way
from edge_agent.sources.sql import SqlSource
from protocol.canonical import encode_rows
from protocol.errors import Fault, Rejected, Transient
from protocol.names import TableName
from tests.databases import PASSWORD, PostgresServer, postgres
from tests.integration.held import held
from tests.integration.pg_reference import INTS, PREPARE, TYPES, integer, reference, single

WIDE = PageLimits(1_000_000, 1 << 30)


@pytest.fixture(scope="module")
def server() -> PostgresServer:
    return postgres()


@pytest.fixture(scope="module")
def database(server: PostgresServer) -> Iterator[str]:
    with server.database() as name:
        server.run(*PREPARE, database=name)
        yield name


@pytest.fixture
def source(server: PostgresServer, database: str) -> Iterator[SqlSource]:
    source = SqlSource("his", server.url(database))
    yield source
    source.close()


@pytest.fixture
def run(server: PostgresServer, database: str) -> Callable[..., None]:
    def run(*statements: str) -> None:
        server.run(*statements, database=database)

    return run


def _read(source: SqlSource, table: TableName, size: int = 1_000) -> list[bytes]:
    """All canonical rows, by whichever way the table is read."""
    schema = source.describe(table)
    names = [c.name for c in schema.columns]

    def encoded(rows: Rows) -> list[bytes]:
        assert [c.type for c in rows.columns] == [c.wire for c in schema.columns]
        return encode_rows(rows.columns, names, rows.asides)

    if source.way(schema) is Way.WHOLE:
        return [row for rows in source.whole(schema) for row in encoded(rows)]
    found, after = [], b""
    while True:
        page = source.page(schema, after, b"", PageLimits(size, 1 << 30))
        found += encoded(page.rows)
        if not page.full:
            return found
        after = page.last


def _fault(call: Callable[[], object]) -> Fault:
    with pytest.raises(Fault) as caught:
        call()
    return caught.value


# Examples are not shrunk: over a server that takes minutes.
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data(), keyed=st.booleans(), size=st.sampled_from([1, 7, 1_000]))
def test_every_type_reads_back_exactly(
    server: PostgresServer, database: str, data: st.DataObject, keyed: bool, size: int
) -> None:
    strategies = [values | st.none() for _, values in TYPES.values()]
    rows = data.draw(st.lists(st.tuples(*strategies), max_size=12))
    types = list(TYPES)
    columns = ", ".join(f'"c{i} %" {kind}' for i, kind in enumerate(types))
    connection = server.connect(database)
    with connection.cursor() as cursor:
        cursor.execute("SET TimeZone = 'UTC'; SET lc_monetary = 'C'; DROP TABLE IF EXISTS every")
        cursor.execute(f"CREATE TABLE every(id serial {'PRIMARY KEY' if keyed else ''}, {columns})")
        names = ", ".join(f'"c{i} %%"' for i in range(len(types)))
        marks = ", ".join(f"CAST(%s AS {kind})" for kind in types)
        cursor.executemany(f"INSERT INTO every({names}) VALUES({marks})", rows)
        texts = ", ".join(
            f"""CASE WHEN "c{i} %" IS NOT NULL THEN format('%s', "c{i} %") END""" for i in range(len(types))
        )
        cursor.execute("SET IntervalStyle = postgres; SET extra_float_digits = 3; SET DateStyle = ISO")
        cursor.execute(f"SELECT id::text, {texts} FROM every")
        expected = Counter(reference(row) for row in cursor.fetchall())
    connection.close()
    source = SqlSource("his", server.url(database))
    try:
        table = TableName(database, "public", "every")
        found = Counter(_read(source, table, size))
        schema = source.describe(table)
    finally:
        source.close()
    assert found == expected
    assert Counter(map(b"".join, held(server.url(database), schema))) == expected


LETTERS = st.text(string.ascii_letters + " 张'", max_size=3)
KEYS: dict[str, st.SearchStrategy[str]] = {
    "integer": INTS[32],
    "bigint": INTS[64],
    "boolean": st.sampled_from(["t", "f"]),
    "numeric(10,2)": st.decimals(-1000, 1000, places=2).map(str),
    "numeric": st.sampled_from(["1.0", "2.00", "-1e30", "0.1"]),
    "text": LETTERS,
    'text COLLATE "C"': LETTERS,
    "text COLLATE nocase": LETTERS,
    "citext": LETTERS,
    "char(3)": LETTERS,
    "uuid": st.uuids().map(str),
    "bytea": st.binary(max_size=2).map(lambda b: "\\x" + b.hex()),
    "date": st.dates().map(str),
    "timestamp": st.datetimes().map(str),
    "timestamptz": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(str),
    "time": st.times().map(str),
    "mood": st.sampled_from(["sad", "ok, then", "好"]),
    "inet": st.sampled_from(["10.0.0.1", "10.1.2.3/8", "::1"]),
}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data(), kinds=st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=3))
def test_pages_of_any_key_are_the_table(
    server: PostgresServer, database: str, data: st.DataObject, kinds: list[str]
) -> None:
    rows = data.draw(st.lists(st.tuples(*(KEYS[kind] for kind in kinds)), max_size=15))
    size = data.draw(st.sampled_from([1, 2, 5, 100]))
    names = [f"k{i}" for i in range(len(kinds))]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, kinds, strict=True))
    connection = server.connect(database)
    with connection.cursor() as cursor:
        cursor.execute("SET TimeZone = 'UTC'; DROP TABLE IF EXISTS keyed")
        cursor.execute(f"CREATE TABLE keyed({columns}, PRIMARY KEY({', '.join(names[::-1])}))")
        marks = ", ".join(f"CAST(%s AS {kind.split(' COLLATE')[0]})" for kind in kinds)
        cursor.executemany(f"INSERT INTO keyed VALUES({marks}) ON CONFLICT DO NOTHING", rows)
        cursor.execute("SELECT count(*) FROM keyed")
        (count,) = cursor.fetchone()
    connection.close()
    source = SqlSource("his", server.url(database))
    try:
        table = TableName(database, "public", "keyed")
        schema = source.describe(table)
        assert schema.key == tuple(names[::-1])
        found = _read(source, table, size)
        assert len(found) == len(set(found)) == count
        everything = source.page(schema, b"", b"", WIDE)
        keys = encode_rows([everything.rows.columns[i] for i in schema.key_positions])
        assert source.present(schema, keys) == set(keys)
        if keys:
            middle = keys[data.draw(st.integers(0, count - 1))]
            parts = source.page(schema, b"", middle, WIDE), source.page(schema, middle, b"", WIDE)
            assert [row for part in parts for row in encode_rows(part.rows.columns)] == encode_rows(
                everything.rows.columns
            )
    finally:
        source.close()


def test_a_case_insensitive_key_finds_a_row_only_by_its_bytes(
    source: SqlSource, database: str, run: Callable[..., None]
) -> None:
    run(
        "DROP TABLE IF EXISTS visit",
        "CREATE TABLE visit(id citext PRIMARY KEY)",
        "INSERT INTO visit VALUES('Ab')",
    )
    schema = source.describe(TableName(database, "public", "visit"))
    keys = [b"\x05\x00\x00\x00\x02Ab", b"\x05\x00\x00\x00\x02AB"]
    assert source.present(schema, keys) == {keys[0]}


@pytest.mark.parametrize("kind", ["real", "double precision", "interval", "jsonb"])
def test_what_tells_no_rows_apart_is_a_multiset(
    source: SqlSource, database: str, run: Callable[..., None], kind: str
) -> None:
    run("DROP TABLE IF EXISTS visit", f"CREATE TABLE visit(id {kind} PRIMARY KEY, name text)")
    schema = source.describe(TableName(database, "public", "visit"))
    assert (schema.key, source.way(schema)) == ((), Way.WHOLE)


def test_equal_rows_without_a_key_stay_apart(
    source: SqlSource, database: str, run: Callable[..., None]
) -> None:
    run(
        "DROP TABLE IF EXISTS visit",
        "CREATE TABLE visit(weight real)",
        "INSERT INTO visit SELECT 16777216 FROM generate_series(1, 12000)",
        "INSERT INTO visit VALUES(16777218), (NULL)",
    )
    expected = {single("16777216"): 12_000, single("16777218"): 1, b"\x00": 1}
    assert Counter(_read(source, TableName(database, "public", "visit"))) == expected


def test_a_configured_key_is_read_in_its_own_order(
    server: PostgresServer, database: str, run: Callable[..., None]
) -> None:
    run(
        "DROP TABLE IF EXISTS visit",
        "CREATE TABLE visit(a int, b text NOT NULL)",
        "CREATE UNIQUE INDEX ON visit(b)",
        "INSERT INTO visit SELECT i, 'n' || i FROM generate_series(1, 30) i",
    )
    table = TableName(database, "public", "visit")
    source = SqlSource("his", server.url(database), {str(table): ("b",)})
    try:
        assert len(set(_read(source, table, 7))) == 30
        run("UPDATE visit SET a = 1")
        other = SqlSource("his", server.url(database), {str(table): ("a",)})
        assert _fault(lambda: _read(other, table, 7)).code == "GC-2005"
        other.close()
    finally:
        source.close()


def test_partitions_are_read_through_their_root(
    source: SqlSource, database: str, run: Callable[..., None]
) -> None:
    run(
        "CREATE TABLE measured(id int PRIMARY KEY, v text) PARTITION BY RANGE(id)",
        "CREATE TABLE measured_low PARTITION OF measured FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE measured_high PARTITION OF measured FOR VALUES FROM (10) TO (1000)",
        "INSERT INTO measured SELECT i, 'v' FROM generate_series(0, 50) i",
        "CREATE TABLE parent(id int PRIMARY KEY)",
        "CREATE TABLE child() INHERITS(parent)",
        "INSERT INTO parent VALUES(1)",
        "INSERT INTO child VALUES(1)",
        "CREATE VIEW seen AS SELECT * FROM parent",
    )
    infos = {info.name.name: info for info in source.inventory()}
    assert infos.keys() >= {"measured", "parent", "child"}
    assert not infos.keys() & {"measured_low", "measured_high", "seen"}
    assert len(set(_read(source, infos["measured"].name, 7))) == 51
    assert infos["parent"].key == ()
    assert _read(source, infos["parent"].name) == [integer("1")] * 2


@pytest.fixture
def reader(server: PostgresServer, database: str, run: Callable[..., None]) -> Iterator[SqlSource]:
    """A source whose account may read nothing but what a test grants."""
    run(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    source = SqlSource("his", server.url(database, "reader"))
    yield source
    source.close()
    run("DROP OWNED BY reader", "DROP ROLE reader")


def test_row_level_security_fails_and_hides_nothing(
    reader: SqlSource, database: str, run: Callable[..., None]
) -> None:
    run(
        "DROP TABLE IF EXISTS visit",
        "CREATE TABLE visit(id int PRIMARY KEY, ward text)",
        "INSERT INTO visit VALUES(1, 'reader'), (2, 'else')",
        "ALTER TABLE visit ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own ON visit USING (ward = current_user)",
        "GRANT SELECT ON visit TO reader",
    )
    schema = reader.describe(TableName(database, "public", "visit"))
    fault = _fault(lambda: reader.page(schema, b"", b"", WIDE))
    assert (type(fault), fault.code) == (Rejected, "GC-2003")
    assert fault.facts["reason"] == "no permission, or row-level security would hide rows"


def test_a_lost_permission_stops_only_its_table(
    reader: SqlSource, database: str, run: Callable[..., None]
) -> None:
    run(
        "DROP TABLE IF EXISTS visit, ward",
        "CREATE TABLE visit(id int PRIMARY KEY)",
        "CREATE TABLE ward(id int PRIMARY KEY)",
        "GRANT SELECT ON visit, ward TO reader",
    )
    visit, ward = (reader.describe(TableName(database, "public", name)) for name in ("visit", "ward"))
    run("REVOKE SELECT ON visit FROM reader")
    fault = _fault(lambda: reader.page(visit, b"", b"", WIDE))
    assert (type(fault), fault.code) == (Rejected, "GC-2003")
    assert _fault(lambda: reader.describe(visit.table)).code == "GC-2003"
    assert reader.page(ward, b"", b"", WIDE).rows.count == 0


def test_a_connection_cannot_write(server: PostgresServer, database: str, run: Callable[..., None]) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(id int PRIMARY KEY)")
    dialect = Postgres()
    connection = dialect.connect(make_url(server.url(database)))
    dialect.prepare(connection, 60.0)
    with pytest.raises(ReadOnlySqlTransaction), connection.cursor() as cursor:
        cursor.execute("INSERT INTO public.visit VALUES(1)")
    connection.close()


def test_a_statement_takes_one_core_and_compiles_nothing(server: PostgresServer, database: str) -> None:
    dialect = Postgres()
    with contextlib.closing(dialect.connect(make_url(server.url(database)))) as connection:
        dialect.prepare(connection, 60.0)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('jit'), current_setting('max_parallel_workers_per_gather')"
            )
            assert cursor.fetchone() == ("off", "0")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("DROP TABLE visit", "GC-2002"),
        ("ALTER TABLE visit DROP COLUMN name", "GC-2010"),
        ("ALTER TABLE visit ALTER name TYPE varchar(9)", "GC-2010"),
        ("ALTER TABLE visit RENAME TO visited", "GC-2002"),
        ("ALTER TABLE visit DROP CONSTRAINT visit_pkey", "GC-2010"),
    ],
)
def test_what_changed_between_two_pages_is_noticed(
    source: SqlSource, database: str, run: Callable[..., None], change: str, code: str
) -> None:
    run(
        "DROP TABLE IF EXISTS visit, visited",
        "CREATE TABLE visit(id int PRIMARY KEY, name text)",
        "INSERT INTO visit SELECT i, 'n' FROM generate_series(1, 9) i",
    )
    schema = source.describe(TableName(database, "public", "visit"))
    page = source.page(schema, b"", b"", PageLimits(3, 1 << 20))
    run(change)
    fault = _fault(lambda: source.page(schema, page.last, b"", WIDE))
    assert (type(fault), fault.code) == (Rejected, code)
    assert _fault(lambda: source.present(schema, [page.last])).code == code


def test_a_locked_table_is_not_waited_for(
    source: SqlSource, server: PostgresServer, database: str, run: Callable[..., None]
) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(id int PRIMARY KEY)")
    schema = source.describe(TableName(database, "public", "visit"))
    other = server.connect(database)
    other.autocommit = False
    with other.cursor() as cursor:
        cursor.execute("LOCK TABLE visit IN ACCESS EXCLUSIVE MODE")
        fault = _fault(lambda: source.page(schema, b"", b"", WIDE))
    other.close()
    assert (type(fault), fault.code) == (Rejected, "GC-2041")
    assert source.page(schema, b"", b"", WIDE).rows.count == 0


def test_a_page_sees_one_state_and_leaves_nothing_open(
    source: SqlSource, server: PostgresServer, database: str, run: Callable[..., None]
) -> None:
    run(
        "DROP TABLE IF EXISTS visit",
        "CREATE TABLE visit(name text)",
        "INSERT INTO visit SELECT repeat('x', 2000) FROM generate_series(1, 30000)",
    )
    slices = source.whole(source.describe(TableName(database, "public", "visit")))
    seen = next(slices).count
    run("DELETE FROM visit")
    assert seen + sum(rows.count for rows in slices) == 30_000
    ours = "application_name = 'guicang edge-agent' AND datname = current_database()"
    states = f"SELECT state FROM pg_stat_activity WHERE {ours}"
    assert {state for (state,) in server.rows(states, database)} == {"idle"}


def _unseen(fault: Fault) -> None:
    """Neither the address nor the password nor a name of the network in any word."""
    text = f"{fault!r} {fault} {fault.facts}"
    assert not any(secret in text for secret in (PASSWORD, "127.0.0.1", "administrator", "wrong-word"))


def test_an_outage_is_told_in_fixed_words_and_ends(
    server: PostgresServer, source: SqlSource, database: str, run: Callable[..., None]
) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(id int PRIMARY KEY)", "INSERT INTO visit VALUES(7)")
    schema = source.describe(TableName(database, "public", "visit"))
    server.stop()
    for call in (lambda: source.page(schema, b"", b"", WIDE), source.inventory):
        fault = _fault(call)
        assert (type(fault), fault.code) == (Transient, "GC-2001")
        _unseen(fault)
    server.start()
    assert source.page(schema, b"", b"", WIDE).rows.columns[0].to_pylist() == [7]


def test_a_server_restarted_between_two_calls_is_an_outage_once(
    server: PostgresServer, source: SqlSource, database: str, run: Callable[..., None]
) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(id int PRIMARY KEY)", "INSERT INTO visit VALUES(7)")
    schema = source.describe(TableName(database, "public", "visit"))
    server.stop()
    server.start()
    assert _fault(lambda: source.page(schema, b"", b"", WIDE)).code == "GC-2001"
    assert source.page(schema, b"", b"", WIDE).rows.columns[0].to_pylist() == [7]


@pytest.mark.parametrize("wrong", ["password", "database"])
def test_a_refused_account_is_an_outage(server: PostgresServer, database: str, wrong: str) -> None:
    url = server.url(database, password="wrong-word") if wrong == "password" else server.url("no such one")
    source = SqlSource("his", url)
    fault = _fault(source.inventory)
    code = "GC-2040" if wrong == "password" else "GC-2001"
    assert (type(fault), fault.code) == (Transient, code)
    _unseen(fault)
    source.close()


@pytest.fixture
def foreign(server: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database that speaks another character set than we do."""
    encoding, default = request.param
    name = f"foreign {encoding}"
    server.run(
        f"CREATE DATABASE {server.quoted(name)} ENCODING '{encoding}' TEMPLATE template0",
        f"ALTER DATABASE {server.quoted(name)} SET client_encoding = '{default}'",
    )
    yield name
    server.run(server.drop_database(name))


@pytest.mark.parametrize(
    "foreign", [("EUC_CN", "EUC_CN"), ("SQL_ASCII", "SQL_ASCII"), ("UTF8", "GBK")], indirect=True
)
def test_names_and_keys_are_chinese_whatever_the_server_speaks(server: PostgresServer, foreign: str) -> None:
    with contextlib.closing(server.connect(foreign)) as connection, connection.cursor() as cursor:
        connection.set_client_encoding("UTF8")
        cursor.execute('CREATE TABLE "病人"("姓名" text PRIMARY KEY)')
        cursor.execute('INSERT INTO "病人" VALUES(%s), (%s), (%s)', ("张\\'", "李", "王"))
    with contextlib.closing(SqlSource("his", server.url(foreign))) as source:
        assert [str(info.name) for info in source.inventory()] == [f"{foreign}.public.病人"]
        rows = _read(source, TableName(foreign, "public", "病人"), 1)
    assert Counter(rows) == Counter(encode_rows([pa.array(["张\\'", "李", "王"])]))


def test_rows_that_grow_a_thousandfold_do_not_come_all_at_once(
    source: SqlSource, database: str, run: Callable[..., None]
) -> None:
    run(
        "DROP TABLE IF EXISTS visit",
        "CREATE TABLE visit(id int PRIMARY KEY, image text)",
        "INSERT INTO visit SELECT i, CASE WHEN i > 5000 THEN repeat('x', 100000) END"
        " FROM generate_series(1, 5400) i",
    )
    schema = source.describe(TableName(database, "public", "visit"))
    layout = Layout(("id", "image"), (pa.int32(), pa.string()), (Carrier.SPELT,) * 2)
    sizes, rows = [], 0
    with source._reading(schema.table) as reading:
        query = select_whole(source._dialect, schema.table, schema.columns)
        with reading.stream(f"{query} ORDER BY id", (), layout) as take:
            while (piece := take(5_000)).count:
                sizes.append(piece.nbytes)
                rows += piece.count
    assert rows == 5_400
    assert max(sizes) < 2 * TAKE_BYTES_MAX


def test_only_our_own_statements_are_cancelled(server: PostgresServer, database: str) -> None:
    """The server's process of that number may be the hospital's by now, under the account that we use too."""
    ours, theirs = (Postgres().connect(make_url(server.url(database))) for _ in range(2))
    with theirs.cursor() as cursor:
        cursor.execute("SET application_name = 'the hospital'; SELECT pg_backend_pid()")
        reused = cursor.fetchone()[0]
    place = SimpleNamespace(dsn_parameters=ours.info.dsn_parameters, password=PASSWORD, backend_pid=reused)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with theirs.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(1)")
        except BaseException as error:
            errors.append(error)

    working = threading.Thread(target=work)
    working.start()
    busy = f"SELECT 1 FROM pg_stat_activity WHERE pid = {reused} AND query LIKE '%pg_sleep%'"
    while not server.rows(busy, database):
        pass
    heard = threading.Event()
    ask_to_cancel(SimpleNamespace(info=place), heard)
    working.join()
    assert not errors
    assert not heard.is_set()
    ours.close()
    theirs.close()


def test_comments_come_with_the_catalogue_and_stop_no_reading(
    source: SqlSource, run: Callable[..., None]
) -> None:
    run(
        "CREATE TABLE told (id int PRIMARY KEY, n int)",
        "INSERT INTO told VALUES (1, 1)",
        "COMMENT ON TABLE told IS '就诊记录'",
        "COMMENT ON COLUMN told.n IS '次数'",
        "COMMENT ON CONSTRAINT told_pkey ON told IS 'not ours'",
    )
    name = next(info.name for info in source.inventory() if info.name.name == "told")
    schema = source.describe(name)
    assert (schema.meta["comment"], [c.meta for c in schema.columns]) == (
        "就诊记录",
        [{}, {"comment": "次数"}],
    )
    run("COMMENT ON COLUMN told.n IS 'times'", "COMMENT ON TABLE told IS NULL")
    assert source.page(schema, b"", b"", PageLimits(10, 1 << 20)).rows.count == 1
    again = source.describe(name)
    assert (again.shape, again.columns[1].meta) == (schema.shape, {"comment": "times"})
    assert "comment" not in again.meta
