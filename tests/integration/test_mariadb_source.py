"""MariaDB as it is: every type comes out exactly, every key pages, and what goes wrong has its own name.

The reference is what the server itself says of each value, `HEX` of its bytes or its cast to text, read and
judged by tests/comparing, which shares nothing with the agent; samples beside it are written out here.
"""

from __future__ import annotations

import string
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

import pyarrow as pa
import pymysql
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from edge_agent.sources.dialects.mysql import Mysql
from edge_agent.sources.source import PageLimits, Rows, Way
from edge_agent.sources.sql import SqlSource
from protocol.canonical import encode_rows
from protocol.errors import Fault, Rejected, Transient
from protocol.names import TableName
from tests.comparing.mysql import MysqlDatabase
from tests.databases import PASSWORD, MariadbServer, mariadb

WIDE = PageLimits(1_000_000, 1 << 30)


@pytest.fixture(scope="module")
def server() -> MariadbServer:
    return mariadb()


@pytest.fixture(scope="module")
def database(server: MariadbServer) -> Iterator[str]:
    with server.database() as name:
        yield name


@pytest.fixture
def source(server: MariadbServer, database: str) -> Iterator[SqlSource]:
    source = SqlSource("his", server.url(database), statement_seconds_max=60.0)
    yield source
    source.close()


Run = Callable[..., None]


@pytest.fixture
def run(server: MariadbServer, database: str) -> Run:
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


def _integers(bits: int, signed: bool = True) -> st.SearchStrategy[int]:
    low = -(1 << (bits - 1)) if signed else 0
    return st.integers(low, low + (1 << bits) - 1)


HAN = st.text(st.sampled_from("张王李 aAzZ'\"\\%"), max_size=20)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ZERO_DATES = st.sampled_from(
    ["0000-00-00", "2021-00-00", "2021-02-00", "1000-01-01", "9999-12-31", "0000-01-01"]
)
ZERO_TIMES = st.sampled_from(["0000-00-00 00:00:00", "9999-12-31 23:59:59.999999", "1988-04-10 00:30:00"])
MOMENTS = st.datetimes(datetime(1000, 1, 1)).map(str) | ZERO_TIMES

TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[object]]] = {
    "tinyint": (pa.int8(), _integers(8)),
    "tinyint(1)": (pa.int8(), _integers(8)),
    "tinyint unsigned": (pa.int16(), _integers(8, False)),
    "smallint": (pa.int16(), _integers(16)),
    "smallint unsigned": (pa.int32(), _integers(16, False)),
    "mediumint": (pa.int32(), _integers(24)),
    "mediumint unsigned zerofill": (pa.int32(), _integers(24, False)),
    "int": (pa.int32(), _integers(32)),
    "int unsigned": (pa.int64(), _integers(32, False)),
    "bigint": (pa.int64(), _integers(64)),
    "bigint unsigned": (pa.decimal128(20, 0), _integers(64, False)),
    "decimal(10,2)": (pa.decimal128(10, 2), st.decimals(-(10**8) + 1, 10**8 - 1, places=2)),
    "decimal(38,30)": (pa.decimal128(38, 30), st.decimals(-99999999, 99999999, places=30)),
    "decimal(65,30)": (pa.string(), st.integers(-(10**34), 10**34)),
    "float": (pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "float(7,2)": (pa.float32(), st.floats(-99999, 99999, width=32)),
    "double": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "bit(1)": (pa.binary(), st.sampled_from([b"\0", b"\1"])),
    "bit(20)": (pa.binary(), st.binary(min_size=2, max_size=2)),
    "date": (pa.date32(), st.dates(datetime(1000, 1, 1).date()).map(str) | ZERO_DATES),
    "datetime": (pa.timestamp("us"), MOMENTS),
    "datetime(6)": (pa.timestamp("us"), MOMENTS),
    "timestamp(3)": (
        pa.timestamp("us", tz="UTC"),
        st.datetimes(datetime(1970, 1, 2), datetime(2038, 1, 18)).map(str) | st.just("0000-00-00 00:00:00"),
    ),
    "time(6)": (pa.string(), st.sampled_from(["838:59:59.999999", "-838:59:59", "00:00:00", "12:34:56.7"])),
    "year": (pa.string(), st.sampled_from([1901, 2155, 0])),
    "char(6)": (pa.string(), st.sampled_from(["", "a", "a  ", "  b", "张三"])),
    "varchar(40)": (pa.string(), ANY),
    "varchar(40) CHARACTER SET utf8mb3": (pa.string(), HAN),
    "varchar(40) CHARACTER SET gbk": (pa.string(), HAN),
    "varchar(40) CHARACTER SET latin1": (pa.string(), st.sampled_from(["é€", "\x81", "a", ""])),
    "text CHARACTER SET big5": (pa.string(), st.sampled_from(["張", "a", ""])),
    "varchar(9) CHARACTER SET utf16": (pa.string(), st.sampled_from(["\U0001f600", "a", ""])),
    "longtext": (pa.string(), ANY),
    "binary(4)": (pa.binary(), st.binary(max_size=4)),
    "varbinary(9)": (pa.binary(), st.binary(max_size=9)),
    "longblob": (pa.binary(), st.binary()),
    "enum('a','好, b')": (pa.string(), st.sampled_from(["a", "好, b", ""])),
    "set('x','y')": (pa.string(), st.sampled_from(["", "x", "x,y"])),
    "json": (pa.string(), st.sampled_from(['{"a":  1}', "null"])),
    "uuid": (pa.string(), st.uuids().map(str)),
    "inet6": (pa.string(), st.sampled_from(["::1", "2001:db8::ff00:42:8329"])),
}


# Examples are not shrunk: over a server that takes minutes.
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data(), keyed=st.booleans(), size=st.sampled_from([1, 7, 1_000]))
def test_every_type_reads_back_exactly(
    server: MariadbServer, database: str, data: st.DataObject, keyed: bool, size: int
) -> None:
    strategies = [values | st.none() for _, values in TYPES.values()]
    rows = data.draw(st.lists(st.tuples(*strategies), max_size=12))
    columns = ", ".join(f"`c{i} %%` {kind} NULL" for i, kind in enumerate(TYPES))
    identity = "id int AUTO_INCREMENT" + (" PRIMARY KEY" if keyed else ", KEY(id)")
    connection = server.connect(database)
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute("DROP TABLE IF EXISTS every")
        cursor.execute(f"CREATE TABLE every({identity}, {columns})", ())
        names = ", ".join(f"`c{i} %%`" for i in range(len(TYPES)))
        marks = ", ".join(["%s"] * len(TYPES))
        for row in rows:
            cursor.execute(f"INSERT INTO every({names}) VALUES({marks})", row)
    connection.close()
    source = SqlSource("his", server.url(database))
    try:
        table = TableName(database, None, "every")
        found = Counter(_read(source, table, size))
        described = {column.name: column.wire for column in source.describe(table).columns}
    finally:
        source.close()
    wires = {"id": pa.int32(), **{f"c{i} %": wire for i, (wire, _) in enumerate(TYPES.values())}}
    assert described == wires
    comparing = MysqlDatabase(make_url(server.url(database)))
    batches = list(comparing.rows((database, None, "every"), wires))
    comparing.close()
    assert found == Counter(b"".join(row) for batch in batches for row in zip(*batch, strict=True))


def _long(tag: int, data: bytes) -> bytes:
    return bytes([tag]) + struct.pack(">I", len(data)) + data


def _aside(reason: str, original: bytes) -> bytes:
    return b"\x0d" + _long(5, reason.encode()) + _long(6, original)


@pytest.mark.parametrize(
    ("kind", "literal", "cell"),
    [
        ("float", "16777217", b"\x03" + struct.pack(">d", 16777216.0)),
        ("float", "16777218", b"\x03" + struct.pack(">d", 16777218.0)),
        ("double(8,3)", "12345.678", b"\x03" + struct.pack(">d", 12345.678)),
        ("bigint unsigned", "18446744073709551615", _long(4, b"18446744073709551615")),
        ("decimal(65,0)", "9" * 65, _long(5, b"9" * 65)),
        ("date", "'0000-00-00'", _aside("range", b"0000-00-00")),
        ("datetime(3)", "'0000-00-00'", _aside("range", b"0000-00-00 00:00:00.000")),
        ("timestamp", "'1970-01-01 08:00:01'", b"\x09" + struct.pack(">q", 1_000_000)),
        ("datetime", "'1970-01-01 08:00:01'", b"\x08" + struct.pack(">q", 28_801_000_000)),
        ("time", "'-838:59:59'", _long(5, b"-838:59:59")),
        ("year", "2026", _long(5, b"2026")),
        ("bit(9)", "b'100000001'", _long(6, b"\x01\x01")),
        ("binary(4)", "'ab'", _long(6, b"ab\0\0")),
        ("varchar(9) CHARACTER SET gbk", "_gbk x'D5C5'", _long(5, "张".encode())),
        ("varchar(9) CHARACTER SET gbk", "_gbk x'FEFE41'", _aside("charset", b"\xfe\xfe\x41")),
        ("varchar(9) CHARACTER SET latin1", "_latin1 x'FF80'", _long(5, "ÿ€".encode())),
        ("point", "POINT(1, 2)", _long(6, struct.pack("<IBIdd", 0, 1, 1, 1.0, 2.0))),
    ],
)
def test_samples(source: SqlSource, database: str, run: Run, kind: str, literal: str, cell: bytes) -> None:
    run("DROP TABLE IF EXISTS sample", f"CREATE TABLE sample(v {kind} NULL)")
    run(f"INSERT INTO sample VALUES({literal}), (NULL)")
    assert Counter(_read(source, TableName(database, None, "sample"))) == Counter([cell, b"\x00"])


LETTERS = st.text(string.ascii_letters + " 张'%\\", max_size=3)
KEYS: dict[str, st.SearchStrategy[object]] = {
    "int": _integers(32),
    "bigint": _integers(64),
    "bigint unsigned": _integers(64, False),
    "decimal(10,2)": st.decimals(-1000, 1000, places=2),
    "varchar(9)": LETTERS,
    "varchar(9) COLLATE utf8mb4_bin": LETTERS,
    "varchar(9) CHARACTER SET gbk": LETTERS,
    "char(3)": LETTERS,
    "binary(3)": st.binary(max_size=3),
    "varbinary(3)": st.binary(max_size=3),
    "date": st.dates(datetime(1000, 1, 1).date()).map(str),
    "datetime(6)": st.datetimes(datetime(1000, 1, 1)).map(str),
    "timestamp(6)": st.datetimes(datetime(1970, 1, 2), datetime(2038, 1, 18)).map(str),
}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data(), kinds=st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=3))
def test_pages_of_any_key_are_the_table(
    server: MariadbServer, database: str, data: st.DataObject, kinds: list[str]
) -> None:
    rows = data.draw(st.lists(st.tuples(*(KEYS[kind] for kind in kinds)), max_size=15))
    size = data.draw(st.sampled_from([1, 2, 5, 100]))
    names = [f"k{i}" for i in range(len(kinds))]
    columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in zip(names, kinds, strict=True))
    connection = server.connect(database)
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute("DROP TABLE IF EXISTS keyed")
        cursor.execute(f"CREATE TABLE keyed({columns}, PRIMARY KEY({', '.join(names[::-1])}))")
        for row in rows:
            cursor.execute(f"INSERT IGNORE INTO keyed VALUES({', '.join(['%s'] * len(row))})", row)
        cursor.execute("SELECT count(*) FROM keyed")
        ((count,),) = cursor.fetchall()
    connection.close()
    source = SqlSource("his", server.url(database))
    try:
        table = TableName(database, None, "keyed")
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
    source: SqlSource, database: str, run: Run
) -> None:
    run(
        "DROP TABLE IF EXISTS visit",
        "CREATE TABLE visit(id varchar(9) PRIMARY KEY)",
        "INSERT INTO visit VALUES('Ab')",
    )
    schema = source.describe(TableName(database, None, "visit"))
    keys = [b"\x05\x00\x00\x00\x02Ab", b"\x05\x00\x00\x00\x02AB", b"\x05\x00\x00\x00\x03Ab "]
    assert source.present(schema, keys) == {keys[0]}


@pytest.mark.parametrize("kind", ["float", "double", "enum('b','a')", "year", "bit(3)", "time"])
def test_what_tells_no_rows_apart_is_a_multiset(
    source: SqlSource, database: str, run: Run, kind: str
) -> None:
    run("DROP TABLE IF EXISTS visit", f"CREATE TABLE visit(id {kind} NOT NULL PRIMARY KEY, name text)")
    schema = source.describe(TableName(database, None, "visit"))
    assert (schema.key, source.way(schema)) == ((), Way.WHOLE)


def test_float_keys_that_print_alike_stay_apart(source: SqlSource, database: str, run: Run) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(id float PRIMARY KEY)")
    run("INSERT INTO visit VALUES(16777216), (16777218)")
    values = [
        v
        for rows in source.whole(source.describe(TableName(database, None, "visit")))
        for v in rows.columns[0]
    ]
    assert sorted(v.as_py() for v in values) == [16777216.0, 16777218.0]


def test_a_page_left_early_by_its_bytes_goes_on(source: SqlSource, database: str, run: Run) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(id int PRIMARY KEY, v longtext)")
    run("INSERT INTO visit SELECT seq, REPEAT('x', 20000) FROM seq_1_to_200")
    schema, found, after = source.describe(TableName(database, None, "visit")), [], b""
    while True:
        page = source.page(schema, after, b"", PageLimits(1_000, 300_000))
        found += page.rows.columns[0].to_pylist()
        if not page.full:
            break
        after = page.last
    assert found == list(range(1, 201))


def test_whole_left_early_leaves_nothing_open(source: SqlSource, database: str, run: Run) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(v longtext)")
    run("INSERT INTO visit SELECT REPEAT('x', 2000) FROM seq_1_to_30000")
    schema = source.describe(TableName(database, None, "visit"))
    slices = source.whole(schema)
    seen = next(slices).count
    run("DELETE FROM visit LIMIT 29999")
    assert seen + sum(rows.count for rows in slices) == 30_000
    slices = source.whole(schema)
    assert next(slices).count == 1
    slices.close()  # type: ignore[attr-defined]
    run("ALTER TABLE visit ADD COLUMN w int")


def test_an_engine_without_snapshots_is_held_to_the_limit(
    server: MariadbServer, database: str, run: Run
) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(v int) ENGINE=MyISAM")
    run("INSERT INTO visit SELECT seq FROM seq_1_to_20000")
    ticks = iter(range(1_000_000))
    source = SqlSource("his", server.url(database), statement_seconds_max=3.0, clock=lambda: next(ticks))
    schema = source.describe(TableName(database, None, "visit"))
    assert _fault(lambda: list(source.whole(schema))).code == "GC-2007"
    run("DELETE FROM visit")
    assert list(source.whole(schema)) == []
    source.close()


def test_every_database_of_a_server(server: MariadbServer, database: str, run: Run) -> None:
    run(
        "DROP TABLE IF EXISTS visit",
        "CREATE TABLE visit(id int PRIMARY KEY)",
        "CREATE OR REPLACE VIEW seen AS SELECT 1",
    )
    with server.database() as second:
        server.run(
            "CREATE TABLE Visit(id int PRIMARY KEY)",
            "CREATE TABLE visit(id bigint PRIMARY KEY)",
            database=second,
        )
        source = SqlSource("his", server.url(""))
        names = {info.name for info in source.inventory()}
        assert names >= {TableName(database, None, "visit")} | {
            TableName(second, None, n) for n in ("Visit", "visit")
        }
        assert not {name.name for name in names} & {"seen"}
        assert source.describe(TableName(second, None, "visit")).columns[0].wire == pa.int64()
        source.close()


@pytest.fixture
def reader(server: MariadbServer, database: str) -> Iterator[SqlSource]:
    """A source whose account may read nothing but what a test grants."""
    server.run(f"CREATE USER reader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
    server.run(f"GRANT INSERT ON `{database}`.* TO reader@'127.0.0.1'")
    source = SqlSource("his", server.url(database, "reader"))
    yield source
    source.close()
    server.run("DROP USER reader@'127.0.0.1'")


def test_a_lost_permission_stops_only_its_table(
    reader: SqlSource, server: MariadbServer, database: str, run: Run
) -> None:
    run(
        "DROP TABLE IF EXISTS visit, ward",
        "CREATE TABLE visit(id int PRIMARY KEY)",
        "CREATE TABLE ward(id int PRIMARY KEY)",
    )
    run("GRANT SELECT ON visit TO reader@'127.0.0.1'", "GRANT SELECT ON ward TO reader@'127.0.0.1'")
    visit, ward = (reader.describe(TableName(database, None, name)) for name in ("visit", "ward"))
    run("REVOKE SELECT ON visit FROM reader@'127.0.0.1'")
    fault = _fault(lambda: reader.page(visit, b"", b"", WIDE))
    assert (type(fault), fault.code) == (Rejected, "GC-2003")
    assert reader.page(ward, b"", b"", WIDE).rows.count == 0


def test_a_connection_cannot_write(server: MariadbServer, database: str, run: Run) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(id int PRIMARY KEY)")
    dialect = Mysql()
    connection = dialect.connect(make_url(server.url(database)))
    dialect.prepare(connection, 60.0)
    with pytest.raises(pymysql.err.MySQLError, match="1792"), connection.cursor() as cursor:
        cursor.execute("INSERT INTO visit VALUES(1)")
    connection.close()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("DROP TABLE visit", "GC-2002"),
        ("ALTER TABLE visit DROP COLUMN name", "GC-2010"),
        ("ALTER TABLE visit MODIFY name varchar(9)", "GC-2010"),
        ("RENAME TABLE visit TO visited", "GC-2002"),
        ("ALTER TABLE visit DROP PRIMARY KEY", "GC-2010"),
    ],
)
def test_what_changed_between_two_pages_is_noticed(
    source: SqlSource, database: str, run: Run, change: str, code: str
) -> None:
    run("DROP TABLE IF EXISTS visit, visited", "CREATE TABLE visit(id int PRIMARY KEY, name text)")
    run("INSERT INTO visit SELECT seq, 'n' FROM seq_1_to_9")
    schema = source.describe(TableName(database, None, "visit"))
    page = source.page(schema, b"", b"", PageLimits(3, 1 << 20))
    run(change)
    fault = _fault(lambda: source.page(schema, page.last, b"", WIDE))
    assert (type(fault), fault.code) == (Rejected, code)
    assert _fault(lambda: source.present(schema, [page.last])).code == code


def test_a_locked_table_is_not_waited_for(
    source: SqlSource, server: MariadbServer, database: str, run: Run
) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(id int PRIMARY KEY)")
    schema = source.describe(TableName(database, None, "visit"))
    other = server.connect(database)
    with other.cursor() as cursor:
        cursor.execute("LOCK TABLE visit WRITE")
        fault = _fault(lambda: source.page(schema, b"", b"", WIDE))
    other.close()
    assert (type(fault), fault.code) == (Rejected, "GC-2041")


def _unseen(fault: Fault) -> None:
    """Neither the address nor the password nor a name of the network in any word."""
    text = f"{fault!r} {fault} {fault.facts}"
    assert not any(secret in text for secret in (PASSWORD, "127.0.0.1", "administrator", "wrong-word"))


def test_an_outage_is_told_in_fixed_words_and_ends(
    server: MariadbServer, source: SqlSource, database: str, run: Run
) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(id int PRIMARY KEY)", "INSERT INTO visit VALUES(7)")
    schema = source.describe(TableName(database, None, "visit"))
    server.stop()
    for call in (lambda: source.page(schema, b"", b"", WIDE), source.inventory):
        fault = _fault(call)
        assert (type(fault), fault.code) == (Transient, "GC-2001")
        _unseen(fault)
    server.start()
    assert source.page(schema, b"", b"", WIDE).rows.columns[0].to_pylist() == [7]


def test_a_server_restarted_between_two_calls_is_an_outage_once(
    server: MariadbServer, source: SqlSource, database: str, run: Run
) -> None:
    run("DROP TABLE IF EXISTS visit", "CREATE TABLE visit(id int PRIMARY KEY)", "INSERT INTO visit VALUES(7)")
    schema = source.describe(TableName(database, None, "visit"))
    server.stop()
    server.start()
    assert _fault(lambda: source.page(schema, b"", b"", WIDE)).code == "GC-2001"
    assert source.page(schema, b"", b"", WIDE).rows.columns[0].to_pylist() == [7]


@pytest.mark.parametrize("wrong", ["password", "database"])
def test_a_refused_account_is_an_outage(server: MariadbServer, database: str, wrong: str) -> None:
    url = server.url(database, password="wrong-word") if wrong == "password" else server.url("no such one")
    source = SqlSource("his", url)
    fault = _fault(source.inventory)
    code = "GC-2040" if wrong == "password" else "GC-2001"
    assert (type(fault), fault.code) == (Transient, code)
    _unseen(fault)
    source.close()


def test_comments_come_with_the_catalogue_and_stop_no_reading(
    source: SqlSource, database: str, run: Run
) -> None:
    run(
        "CREATE TABLE told (id int PRIMARY KEY, n int COMMENT '次数') COMMENT '就诊记录'",
        "INSERT INTO told VALUES (1, 1)",
    )
    name = TableName(database, None, "told")
    schema = source.describe(name)
    assert (schema.meta["comment"], [c.meta for c in schema.columns]) == (
        "就诊记录",
        [{}, {"comment": "次数"}],
    )
    run("ALTER TABLE told COMMENT '', MODIFY n int COMMENT 'times'")
    assert source.page(schema, b"", b"", PageLimits(10, 1 << 20)).rows.count == 1
    again = source.describe(name)
    assert (again.shape, again.columns[1].meta) == (schema.shape, {"comment": "times"})
