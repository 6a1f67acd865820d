"""SQLite, whose columns hold anything: every value comes out exactly, every row exactly once."""

from __future__ import annotations

import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.sources.dialects.dialect import key_range
from edge_agent.sources.dialects.sqlite import Sqlite, creates_foreign_files, wire_type
from edge_agent.sources.source import PageLimits, Rows, Way
from edge_agent.sources.sql import SqlSource
from protocol.canonical import encode_rows
from protocol.names import TableName
from protocol.schema import Column

VISIT = TableName(None, None, "visit")
WIDE = PageLimits(1_000_000, 1 << 30)

DECLARED = {
    "INTEGER": "integer",
    "UNSIGNED BIG INT": "integer",
    "BOOLEAN": "integer",
    "VARCHAR(20)": "text",
    "": "text",
    "DATETIME": "text",
    "BLOB": "blob",
    "DOUBLE PRECISION": "real",
    "DECIMAL(10,2)": "decimal",
    "NUMERIC": "number",
}
WIRE = {
    "integer": pa.int64(),
    "text": pa.string(),
    "blob": pa.binary(),
    "real": pa.float64(),
    "decimal": pa.decimal128(10, 2),
    "number": pa.string(),
}


@contextmanager
def database(*statements: str) -> Iterator[tuple[sqlite3.Connection, SqlSource]]:
    """A writer's connection to a new database in which these ran, and a source that reads it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "h i#s张.db"
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("PRAGMA synchronous = OFF")
        for statement in statements:
            writer.execute(statement)
        source = SqlSource("his", f"sqlite:///{path}", statement_seconds_max=60.0)
        try:
            yield writer, source
        finally:
            source.close()
            writer.close()


def read(source: SqlSource, table: TableName = VISIT, size: int = 1_000) -> list[bytes]:
    """All canonical rows, by whichever way the table is read."""
    schema = source.describe(table)
    names = [c.name for c in schema.columns]

    def encoded(rows: Rows) -> list[bytes]:
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


# An independent reading, cell by cell, straight from docs/protocol.md §5 and the storage class.


def _long(tag: int, data: bytes) -> bytes:
    return bytes([tag]) + struct.pack(">I", len(data)) + data


def _aside(reason: str, original: bytes) -> bytes:
    return b"\x0d" + _long(5, reason.encode()) + _long(6, original)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def reference(kind: str, storage: str, value: Any) -> bytes:
    """The cell of a stored value; text as bytes."""
    if storage == "null":
        return b"\x00"
    if storage == "text" and not _is_text(value):
        return _aside("charset", value)
    exact = value if storage in ("text", "blob") else repr(value).encode()
    match kind, storage:
        case ("integer", "integer"):
            return b"\x02" + struct.pack(">q", value)
        case ("real", "real"):
            return b"\x03" + struct.pack(">d", value)
        case ("text", "text"):
            return _long(5, value)
        case ("blob", "blob"):
            return _long(6, value)
        case ("number", "integer" | "real"):
            return _long(5, exact)
        case ("decimal", "integer" | "real"):
            return _reference_decimal(exact)
    return _aside("type", exact)


def _reference_decimal(exact: bytes) -> bytes:
    if b"inf" in exact:
        return _aside("range", exact)
    cents = Decimal(exact.decode()) * 100
    if cents != cents.to_integral_value() or abs(cents) >= 10**10:
        return _aside("range", exact)
    text = f"{cents / 100:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return _long(4, (b"0" if text == "-0" else text.encode()))


wild = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.integers(-(10**9), 10**9).map(lambda cents: cents / 100)
    | st.text(max_size=8)
    | st.sampled_from(["1", "1.5", "0x10", "1e3", " 7", "2024-01-02", "张三"])
    | st.binary(max_size=8)
    | st.binary(max_size=4).map(lambda data: ("text", data))
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(DECLARED)), min_size=1, max_size=6).flatmap(
        lambda kinds: st.tuples(
            st.just(kinds), st.lists(st.tuples(*[wild] * len(kinds)), min_size=1, max_size=12)
        )
    )
)
def test_wild_values_in_any_column_read_back_exactly(drawn: tuple[list[str], list[tuple[Any, ...]]]) -> None:
    declared, rows = drawn
    columns = ", ".join(f'"c{i}" {kind}' for i, kind in enumerate(declared))
    with database(f"CREATE TABLE visit({columns})") as (writer, source):
        for row in rows:
            marks = ", ".join("CAST(? AS TEXT)" if isinstance(v, tuple) else "?" for v in row)
            writer.execute(
                f"INSERT INTO visit VALUES({marks})", [v[1] if isinstance(v, tuple) else v for v in row]
            )
        schema = source.describe(VISIT)
        assert [c.wire for c in schema.columns] == [WIRE[DECLARED[kind]] for kind in declared]
        expected = list(_independent(writer, declared))
        assert Counter(read(source)) == Counter(expected)


def _independent(writer: sqlite3.Connection, declared: Sequence[str]) -> Iterator[bytes]:
    writer.text_factory = bytes
    both = ", ".join(f'typeof("c{i}"), "c{i}"' for i in range(len(declared)))
    for row in writer.execute(f"SELECT {both} FROM visit"):
        cells = zip(declared, row[::2], row[1::2], strict=True)
        yield b"".join(reference(DECLARED[kind], storage.decode(), value) for kind, storage, value in cells)


KEYED = [
    "a TEXT COLLATE NOCASE NOT NULL, b BLOB NOT NULL, c INTEGER NOT NULL, PRIMARY KEY(a, b, c)",
    "a TEXT COLLATE NOCASE, b BLOB, c INTEGER, PRIMARY KEY(a COLLATE BINARY, b, c)",
    "a TEXT COLLATE RTRIM, b BLOB, c INTEGER, PRIMARY KEY(c DESC, a, b)",
    "a TEXT, b BLOB, c INTEGER, PRIMARY KEY(b, a, c)",
]
SUFFIXES = ["", " WITHOUT ROWID", " WITHOUT ROWID", " WITHOUT ROWID"]
key_text = st.sampled_from(["a", "A", "a ", "b", "", "é", "É", "张", "a\0", "~"]) | st.text(max_size=2)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(range(len(KEYED))),
    st.lists(st.tuples(key_text, st.binary(max_size=2), st.integers(-2, 2)), max_size=30),
    st.integers(1, 5),
)
def test_pages_of_any_key_hold_each_row_once(which: int, rows: list[tuple[Any, ...]], size: int) -> None:
    with database(f"CREATE TABLE visit({KEYED[which]}){SUFFIXES[which]}") as (writer, source):
        writer.execute("BEGIN")
        writer.executemany("INSERT OR IGNORE INTO visit VALUES(?, ?, ?)", rows)
        writer.execute("COMMIT")
        stored = writer.execute("SELECT a, b, c FROM visit").fetchall()
        expected = [_long(5, a.encode()) + _long(6, b) + b"\x02" + struct.pack(">q", c) for a, b, c in stored]
        schema = source.describe(VISIT)
        assert schema.key
        assert sorted(read(source, size=size)) == sorted(expected)
        page = source.page(schema, b"", b"", WIDE)
        keys = encode_rows([page.rows.columns[i] for i in schema.key_positions])
        assert source.present(schema, keys) == set(keys)


class _Expanding(Sqlite):
    row_values = False


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=40),
    st.tuples(*[st.integers(0, 3)] * 3),
    st.tuples(*[st.integers(0, 3)] * 3),
)
def test_the_expanded_predicate_equals_row_values(
    rows: list[tuple[int, ...]], after: tuple[int, ...], until: tuple[int, ...]
) -> None:
    key = [Column(name, pa.int64(), "INTEGER") for name in "abc"]
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t(a, b, c)")
    connection.executemany("INSERT INTO t VALUES(?, ?, ?)", rows)
    expected = sorted(row for row in rows if after < row <= until)
    for dialect in (Sqlite(), _Expanding()):
        condition, values = key_range(dialect, key, after, until)
        found = connection.execute(f"SELECT a, b, c FROM t WHERE {condition}", values).fetchall()
        assert sorted(found) == expected
    connection.close()


def test_the_predicates_golden_text() -> None:
    key = [Column("a", pa.int64()), Column('b"', pa.string(), "", {"collation": "NOCASE"})]
    assert key_range(Sqlite(), key[:1], [1], [2]) == ('t."a" > ? AND t."a" <= ?', (1, 2))
    text = 't."a" >= ? AND ((t."a" > ?) OR (t."a" = ? AND t."b""" COLLATE "NOCASE" > ?))'
    assert key_range(Sqlite(), key, [1, "x"], []) == (text, (1, 1, 1, "x"))
    plain = [Column("a", pa.int64()), Column("b", pa.string())]
    assert key_range(Sqlite(), plain, [], [1, "x"]) == ('(t."a", t."b") <= (?, ?)', (1, "x"))


@pytest.mark.parametrize(
    ("definition", "key"),
    [
        ("(a INTEGER PRIMARY KEY, b)", ("a",)),
        ("(a INTEGER PRIMARY KEY DESC, b)", ()),
        ("(a INT PRIMARY KEY, b)", ()),
        ("(a INT NOT NULL PRIMARY KEY, b)", ("a",)),
        ("(a TEXT PRIMARY KEY, b ANY) STRICT", ("a",)),
        ("(a TEXT, b BLOB, PRIMARY KEY(b, a)) WITHOUT ROWID", ("b", "a")),
        ("(a REAL PRIMARY KEY) WITHOUT ROWID", ()),
        ("(a DECIMAL(5,2) PRIMARY KEY) WITHOUT ROWID", ()),
        ("(a NUMERIC PRIMARY KEY) WITHOUT ROWID", ()),
        ("(a DATE, b INT, PRIMARY KEY(a, b)) WITHOUT ROWID", ("a", "b")),
        ("(a INTEGER NOT NULL UNIQUE)", ()),
    ],
)
def test_only_a_certain_key_is_a_key(definition: str, key: tuple[str, ...]) -> None:
    with database(f"CREATE TABLE visit{definition}") as (_, source):
        assert source.describe(VISIT).key == key


def test_the_inventory_holds_tables_alone() -> None:
    statements = [
        "CREATE TABLE visit(id INTEGER PRIMARY KEY AUTOINCREMENT, a, b GENERATED ALWAYS AS (a + 1) VIRTUAL)",
        "INSERT INTO visit(a) VALUES(1), (2)",
        'CREATE TABLE "Ein ""Name"""(x INT)',
        "CREATE VIEW seen AS SELECT 1",
        "CREATE VIRTUAL TABLE notes USING fts5(text)",
    ]
    with database(*statements) as (writer, source):
        infos = {str(info.name): info for info in source.inventory()}
        assert sorted(infos) == ['Ein "Name"', "visit"]
        assert infos["visit"].columns == (("id", "INTEGER"), ("a", ""), ("b", ""))
        assert (infos["visit"].rows_estimate, infos["visit"].key) == (2, ("id",))
        writer.execute("DELETE FROM visit WHERE id = 1")
        writer.execute("ANALYZE")
        assert {str(i.name): i.rows_estimate for i in source.inventory()}["visit"] in (1, 2)


def test_a_generated_column_is_read() -> None:
    with database("CREATE TABLE visit(id INTEGER PRIMARY KEY, b INT AS (id * 2))") as (writer, source):
        writer.execute("INSERT INTO visit(id) VALUES(21)")
        page = source.page(source.describe(VISIT), b"", b"", WIDE)
        assert [c.to_pylist() for c in page.rows.columns] == [[21], [42]]


def test_a_page_seeks_in_the_index() -> None:
    with database("CREATE TABLE visit(a INT NOT NULL, b TEXT NOT NULL, PRIMARY KEY(a, b))") as (
        writer,
        source,
    ):
        key = source.describe(VISIT).columns
        condition, values = key_range(Sqlite(), key, [1, "x"], [2, "y"])
        plan = writer.execute(
            f'EXPLAIN QUERY PLAN SELECT * FROM visit AS t WHERE {condition} ORDER BY t."a", t."b"', values
        ).fetchall()
        assert len(plan) == 1
        assert "(a,b)>(?,?) AND (a,b)<(?,?)" in plan[0][3]


@pytest.mark.parametrize(
    ("declared", "wire"),
    [
        ("DECIMAL(38,10)", pa.decimal128(38, 10)),
        ("numeric ( 5 )", pa.decimal128(5, 0)),
        ("DECIMAL(39,2)", pa.string()),
        ("DECIMAL(5,6)", pa.string()),
        ("FLOAT(24)", pa.float64()),
        ("FLOATING POINT", pa.int64()),
        ("NVARCHAR2(30)", pa.string()),
        ("TIMESTAMP", pa.string()),
    ],
)
def test_a_declared_type_gives_the_wire_type(declared: str, wire: pa.DataType) -> None:
    assert wire_type(declared) == wire


@pytest.mark.parametrize(
    ("version", "owner", "user", "beside", "expected"),
    [
        (2, 7, 8, (False, False), True),
        (2, 7, 8, (True, False), True),
        (2, 7, 8, (True, True), False),
        (2, 7, 7, (False, False), False),
        (2, 7, 0, (False, False), False),
        (2, 7, None, (False, False), False),
        (1, 7, 8, (False, False), False),
    ],
)
def test_no_file_of_ours_is_left_beside_a_wal_database(
    version: int, owner: int, user: int | None, beside: tuple[bool, bool], expected: bool
) -> None:
    header = b"SQLite format 3\0\x10\0" + bytes([version, version])
    assert creates_foreign_files(header, owner, user, beside) is expected
