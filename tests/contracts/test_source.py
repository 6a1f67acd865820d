"""What every source promises (edge_agent/sources/source.py), over databases, files and memory.

A rig changes the same small tables behind each source; comparisons are per canonical row, never of totals.
"""

from __future__ import annotations

import csv
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pytest

from edge_agent.sources.columns import weight
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.files import FilesSource
from edge_agent.sources.memory import MemorySource
from edge_agent.sources.source import PageLimits, Rows, Source, Way
from edge_agent.sources.sql import SqlSource
from protocol.canonical import encode_rows
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import Column, TableSchema
from tests.databases import Database, mariadb, postgres

Row = tuple[str, str]
WIDE = PageLimits(rows=1_000_000, bytes=1 << 30)
UNBOUNDED = b""


class Rig(Protocol):
    """A table `visit` of two text columns; `keyed`: the first is its key."""

    @property
    def source(self) -> Source: ...

    @property
    def table(self) -> TableName: ...

    def fill(self, rows: Sequence[Row]) -> None:
        """Make these all rows of the table."""
        ...

    def add_column(self) -> None: ...

    def drop(self) -> None: ...

    def close(self) -> None:
        """What the rig itself holds; the source is closed before."""
        ...


class SqliteRig:
    def __init__(self, folder: Path, keyed: bool) -> None:
        self._path = folder / "his.db"
        self._run(f"CREATE TABLE visit(id TEXT NOT NULL {'PRIMARY KEY' if keyed else ''}, name TEXT)")
        self.source = SqlSource("his", f"sqlite:///{self._path}", statement_seconds_max=60.0)
        self.table = TableName(None, None, "visit")

    def _run(self, *statements: str, rows: Sequence[Row] = ()) -> None:
        connection = sqlite3.connect(self._path)
        connection.execute("PRAGMA synchronous = OFF")
        with connection:
            for statement in statements:
                connection.execute(statement)
            for row in rows:
                connection.execute("INSERT INTO visit VALUES(?, ?)", row)
        connection.close()

    def fill(self, rows: Sequence[Row]) -> None:
        self._run("DELETE FROM visit", rows=rows)

    def add_column(self) -> None:
        self._run("ALTER TABLE visit ADD COLUMN ward TEXT")

    def drop(self) -> None:
        self._run("DROP TABLE visit", "CREATE TABLE other(a)")

    def close(self) -> None:
        pass


class FilesRig:
    def __init__(self, folder: Path, keyed: bool) -> None:
        self._file = folder / "visit.csv"
        (folder / "other.csv").write_text("a\n")
        rule = FileRule(glob="*.csv", key=("id",) if keyed else ())
        other = FileRule(glob="other.csv")
        self.fill([])
        self.source = FilesSource("his", folder, [other, rule], stable_seconds=0.0)
        self.table = TableName(None, None, "visit.csv")

    def _write(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        with self._file.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    def fill(self, rows: Sequence[Row]) -> None:
        self._write(("id", "name"), rows)

    def add_column(self) -> None:
        self._write(("id", "name", "ward"), [])

    def drop(self) -> None:
        self._file.unlink()

    def close(self) -> None:
        pass


class MemoryRig:
    def __init__(self, folder: Path, keyed: bool) -> None:
        self.table = TableName(None, None, "visit")
        self._columns = (Column("id", pa.string()), Column("name", pa.string()))
        self._schema = TableSchema(self.table, self._columns, ("id",) if keyed else ())
        self._source = MemorySource()
        self._source.create(self._schema)
        self.source: Source = self._source

    def fill(self, rows: Sequence[Row]) -> None:
        self._source.create(self._schema, rows)

    def add_column(self) -> None:
        columns = (*self._columns, Column("ward", pa.string()))
        self._source.create(TableSchema(self.table, columns, self._schema.key))

    def drop(self) -> None:
        self._source.drop(self.table)

    def close(self) -> None:
        pass


class ServerRig:
    """A database of its own in the session's server."""

    def __init__(self, server: Database, text: str, keyed: bool) -> None:
        self._server = server
        self._held = ExitStack()
        self._database = self._held.enter_context(self._server.database())
        self._run(f"CREATE TABLE visit(id {text} NOT NULL {'PRIMARY KEY' if keyed else ''}, name text)")
        self.source = SqlSource("his", self._server.url(self._database))
        schema = "public" if server.backend == "postgresql" else None
        self.table = TableName(self._database, schema, "visit")

    def _run(self, *statements: str) -> None:
        self._server.run(*statements, database=self._database)

    def fill(self, rows: Sequence[Row]) -> None:
        connection = self._server.connect(self._database)
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE visit")
            cursor.executemany("INSERT INTO visit VALUES(%s, %s)", rows)
        connection.close()

    def add_column(self) -> None:
        self._run("ALTER TABLE visit ADD COLUMN ward text")

    def drop(self) -> None:
        self._run("DROP TABLE visit", "CREATE TABLE other(a int)")

    def close(self) -> None:
        self._held.close()


class PostgresRig(ServerRig):
    def __init__(self, folder: Path, keyed: bool) -> None:
        super().__init__(postgres(), "text", keyed)


class KingbaseRig(PostgresRig):
    """KingbaseES by its dialect, PostgreSQL by its server."""

    def __init__(self, folder: Path, keyed: bool) -> None:
        super().__init__(folder, keyed)
        self.source.close()
        self.source = SqlSource("his", self._server.url(self._database).replace("postgresql", "kingbase", 1))


class MariadbRig(ServerRig):
    def __init__(self, folder: Path, keyed: bool) -> None:
        super().__init__(mariadb(), "varchar(100) CHARACTER SET utf8mb4", keyed)


MakeRig = Callable[[Path, bool], Rig]
KINDS: list[MakeRig] = [SqliteRig, FilesRig, MemoryRig, PostgresRig, KingbaseRig, MariadbRig]
KEEPS_NUL = (SqliteRig, FilesRig, MemoryRig, MariadbRig)
NO_TOKEN = (ServerRig,)


@pytest.fixture(params=[(kind, keyed) for kind in KINDS for keyed in (True, False)], ids=str)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    make, keyed = request.param
    yield from _opened(make(tmp_path, keyed))


@pytest.fixture(params=[SqliteRig, MemoryRig, PostgresRig, KingbaseRig, MariadbRig])
def ranges(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    yield from _opened(request.param(tmp_path, True))


@pytest.fixture(
    params=[
        (SqliteRig, False),
        (FilesRig, False),
        (FilesRig, True),
        (MemoryRig, False),
        (PostgresRig, False),
        (MariadbRig, False),
    ],
    ids=str,
)
def wholes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    make, keyed = request.param
    yield from _opened(make(tmp_path, keyed))


def _opened(rig: Rig) -> Iterator[Rig]:
    yield rig
    rig.source.close()
    rig.close()


def _row(values: Sequence[str | None]) -> bytes:
    return encode_rows([pa.array([value], pa.string()) for value in values])[0]


def _rows(slices: Sequence[Rows], schema: TableSchema) -> Counter[bytes]:
    names = [c.name for c in schema.columns]
    return Counter(row for rows in slices for row in encode_rows(rows.columns, names, rows.asides))


def _sample(count: int) -> list[Row]:
    return [(f"{i:04d}", f"张三 {i}") for i in range(count)]


def _pages(rig: Rig, schema: TableSchema, limits: PageLimits) -> list[Rows]:
    pages: list[Rows] = []
    after = UNBOUNDED
    while True:
        page = rig.source.page(schema, after, UNBOUNDED, limits)
        pages.append(page.rows)
        if not page.full:
            return pages
        assert page.rows.count
        after = page.last


def test_inventory_names_the_table_its_columns_and_key(rig: Rig) -> None:
    rig.fill(_sample(3))
    names = [str(info.name) for info in rig.source.inventory()]
    assert names == sorted(names)
    info = next(info for info in rig.source.inventory() if info.name == rig.table)
    assert [name for name, _ in info.columns] == ["id", "name"]
    assert info.key == rig.source.describe(rig.table).key


def test_describe_is_the_same_until_the_columns_change(rig: Rig) -> None:
    before = rig.source.describe(rig.table)
    rig.fill(_sample(2))
    assert rig.source.describe(rig.table).fingerprint == before.fingerprint
    rig.add_column()
    assert [c.name for c in rig.source.describe(rig.table).columns] == ["id", "name", "ward"]


def test_a_schema_survives_its_journey(rig: Rig) -> None:
    schema = rig.source.describe(rig.table)
    assert TableSchema.from_bytes(schema.content) == schema


def test_an_unknown_table_is_rejected(rig: Rig) -> None:
    for name in (TableName(None, None, "nowhere"), TableName("x", None, rig.table.name)):
        with pytest.raises(Rejected) as caught:
            rig.source.describe(name)
        assert caught.value.code == "GC-2002"


def test_a_dropped_table_is_gone(rig: Rig) -> None:
    schema = rig.source.describe(rig.table)
    rig.drop()
    with pytest.raises(Rejected) as caught:
        rig.source.describe(rig.table)
    assert caught.value.code == "GC-2002"
    with pytest.raises(Rejected) as caught:
        _read_all(rig, schema)
    assert caught.value.code == "GC-2002"
    assert rig.table not in [info.name for info in rig.source.inventory()]


def test_changed_columns_are_not_read_under_the_old_schema(rig: Rig) -> None:
    schema = rig.source.describe(rig.table)
    _read_all(rig, schema)
    rig.add_column()
    with pytest.raises(Rejected) as caught:
        _read_all(rig, schema)
    assert caught.value.code == "GC-2010"


def _read_all(rig: Rig, schema: TableSchema) -> list[Rows]:
    if rig.source.way(schema) is Way.RANGES:
        return _pages(rig, schema, WIDE)
    return list(rig.source.whole(schema))


def test_the_token_tells_a_change_from_none(rig: Rig) -> None:
    rig.fill(_sample(2))
    before = rig.source.token(rig.table)
    if isinstance(rig, NO_TOKEN):
        assert before is None
        return
    _read_all(rig, rig.source.describe(rig.table))
    assert rig.source.token(rig.table) == before
    rig.fill(_sample(3))
    assert rig.source.token(rig.table) != before


def test_columns_have_the_wire_types_of_the_schema(rig: Rig) -> None:
    for count in (0, 2):
        rig.fill(_sample(count))
        schema = rig.source.describe(rig.table)
        for rows in _read_all(rig, schema):
            assert [c.type for c in rows.columns] == [c.wire for c in schema.columns]


def test_a_table_reads_back_exactly(rig: Rig) -> None:
    rows = [*_sample(300), ("x\ny", 'a "quote", a comma'), ("\u4e00", ""), ("z", "\U0001f600")]
    if isinstance(rig, KEEPS_NUL):
        rows.append(("nul\0", "\0"))
    rig.fill(rows)
    schema = rig.source.describe(rig.table)
    assert _rows(_read_all(rig, schema), schema) == Counter(map(_row, rows))


@pytest.mark.parametrize("size", [1, 3, 100])
def test_pages_cover_each_row_once_in_key_order(ranges: Rig, size: int) -> None:
    rows = _sample(41)
    ranges.fill(rows[::-1])
    schema = ranges.source.describe(ranges.table)
    pages = _pages(ranges, schema, PageLimits(size, 1 << 20))
    assert [r for page in pages for r in encode_rows(page.columns)] == [_row(row) for row in rows]
    assert all(page.count <= size for page in pages)


def test_a_page_keeps_to_its_bounds(ranges: Rig) -> None:
    ranges.fill(_sample(10))
    schema = ranges.source.describe(ranges.table)
    page = ranges.source.page(schema, _row(["0002"]), _row(["0005"]), WIDE)
    assert page.rows.columns[0].to_pylist() == ["0003", "0004", "0005"]
    assert (page.last, page.full) == (_row(["0005"]), False)
    nothing = ranges.source.page(schema, _row(["0009"]), UNBOUNDED, WIDE)
    assert (nothing.rows.count, nothing.last, nothing.full) == (0, b"", False)


def test_a_page_keeps_to_its_bytes_but_reads_a_row(ranges: Rig) -> None:
    ranges.fill([(f"{i}", "x" * 10_000) for i in range(9)])
    schema = ranges.source.describe(ranges.table)
    pages = _pages(ranges, schema, PageLimits(1_000, 35_000))
    assert all(weight(page) <= 35_000 for page in pages)
    assert [v for page in pages for v in page.columns[0].to_pylist()] == [f"{i}" for i in range(9)]
    page = ranges.source.page(schema, UNBOUNDED, UNBOUNDED, PageLimits(1_000, 1))
    assert (page.rows.count, page.full, page.last) == (1, True, _row(["0"]))


def test_present_names_only_keys_that_exist(ranges: Rig) -> None:
    ranges.fill(_sample(500))
    schema = ranges.source.describe(ranges.table)
    asked = [_row([f"{i:04d}"]) for i in range(0, 1_000, 2)]
    assert ranges.source.present(schema, asked) == {_row([f"{i:04d}"]) for i in range(0, 500, 2)}
    assert ranges.source.present(schema, []) == set()


def test_whole_keeps_equal_rows_apart(wholes: Rig) -> None:
    rows = [("1", "a"), ("1", "a"), ("1", "b"), ("", "")] * 3
    wholes.fill(rows)
    schema = wholes.source.describe(wholes.table)
    assert wholes.source.way(schema) is Way.WHOLE
    assert _rows(list(wholes.source.whole(schema)), schema) == Counter(map(_row, rows))


def test_whole_can_be_left_early(wholes: Rig) -> None:
    rows = _sample(2_000)
    wholes.fill(rows)
    schema = wholes.source.describe(wholes.table)
    slices = wholes.source.whole(schema)
    assert next(slices).count
    slices.close()  # type: ignore[attr-defined]
    wholes.fill(rows[:7])
    assert _rows(list(wholes.source.whole(schema)), schema) == Counter(map(_row, rows[:7]))


def _followed(rig: Rig, schema: TableSchema, after: bytes, limits: PageLimits) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    while True:
        page = rig.source.changed(schema, "name", after, limits)
        assert page.rows.count <= limits.rows
        rows += zip(*(c.to_pylist() for c in page.rows.columns), strict=True)
        if not page.full:
            return rows
        after = page.last


@pytest.mark.parametrize("size", [1, 3, 100])
def test_rows_follow_a_column_and_then_the_key(ranges: Rig, size: int) -> None:
    rows = [(f"{i:04d}", f"2024-05-{1 + i % 4:02d}") for i in range(40)]
    ranges.fill(rows[::-1])
    schema = ranges.source.describe(ranges.table)
    limits = PageLimits(size, 1 << 20)
    expected = sorted(rows, key=lambda row: (row[1], row[0]))
    assert _followed(ranges, schema, UNBOUNDED, limits) == expected
    behind = [row for row in expected if row[1] > "2024-05-02"]
    assert _followed(ranges, schema, _row(["2024-05-02"]), limits) == behind
    assert ranges.source.latest(schema, "name") == _row(["2024-05-04"])


def test_a_null_is_not_followed(ranges: Rig) -> None:
    ranges.fill([("1", None), ("2", "2024-05-01"), ("3", None)])  # type: ignore[list-item]
    schema = ranges.source.describe(ranges.table)
    for size in (1, 100):
        assert _followed(ranges, schema, UNBOUNDED, PageLimits(size, 1 << 20)) == [("2", "2024-05-01")]
    assert ranges.source.latest(schema, "name") == _row(["2024-05-01"])
    ranges.fill([("1", None)])  # type: ignore[list-item]
    assert ranges.source.latest(schema, "name") == b""
    assert _followed(ranges, schema, UNBOUNDED, WIDE) == []


def test_the_key_itself_can_be_followed(ranges: Rig) -> None:
    ranges.fill(_sample(5))
    schema = ranges.source.describe(ranges.table)
    page = ranges.source.changed(schema, "id", _row(["0001"]), PageLimits(2, 1 << 20))
    assert (page.rows.columns[0].to_pylist(), page.last, page.full) == (
        ["0002", "0003"],
        _row(["0003"]),
        True,
    )
    assert ranges.source.latest(schema, "id") == _row(["0004"])


def test_a_table_with_other_columns_is_not_followed(ranges: Rig) -> None:
    schema = ranges.source.describe(ranges.table)
    ranges.add_column()
    for ask in (
        lambda: ranges.source.changed(schema, "name", UNBOUNDED, WIDE),
        lambda: ranges.source.latest(schema, "name"),
    ):
        with pytest.raises(Rejected) as caught:
            ask()
        assert caught.value.code == "GC-2010"
