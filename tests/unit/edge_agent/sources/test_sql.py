"""What a SQL source does when the database is busy, replaced, slow, or not what its definition says."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from edge_agent.sources.address import DIALECTS
from edge_agent.sources.dialects.dialect import Fetch, TableFacts
from edge_agent.sources.dialects.sqlite import Sqlite
from edge_agent.sources.source import PageLimits, Way
from edge_agent.sources.sql import SqlSource
from protocol.canonical import encode_rows
from protocol.errors import Fault, Permanent, Rejected, Transient
from protocol.names import TableName
from tests.servers import SHARED, require_dataset

CHINOOK = SHARED / "sampledb-chinook" / "Chinook_Sqlite.sqlite"
VISIT = TableName(None, None, "visit")
WIDE = PageLimits(1_000_000, 1 << 30)
KEYED = "CREATE TABLE visit(id INTEGER PRIMARY KEY, name TEXT)"
KEYLESS = "CREATE TABLE visit(id INTEGER, name TEXT)"

Open = Callable[..., SqlSource]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "his.db"


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    connection.execute("PRAGMA synchronous = OFF")
    yield connection
    connection.close()


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    sources: list[SqlSource] = []

    def open_source(**settings: object) -> SqlSource:
        source = SqlSource("his", f"sqlite:///{path}", **{"statement_seconds_max": 60.0, **settings})  # type: ignore[arg-type]
        sources.append(source)
        return source

    yield open_source
    for source in sources:
        source.close()


def _fault(call: Callable[[], object]) -> Fault:
    with pytest.raises(Fault) as caught:
        call()
    return caught.value


def _insert(writer: sqlite3.Connection, count: int) -> None:
    writer.execute("BEGIN")
    writer.executemany("INSERT INTO visit VALUES(?, ?)", ((i, f"name {i}") for i in range(count)))
    writer.execute("COMMIT")


def test_a_missing_database_is_an_outage(opened: Open) -> None:
    fault = _fault(opened().inventory)
    assert isinstance(fault, Transient)
    assert fault.code == "GC-2001"


def test_a_file_that_is_no_database_is_an_outage(opened: Open, path: Path) -> None:
    path.write_bytes(b"no database at all, " * 100)
    fault = _fault(opened().inventory)
    assert (fault.code, fault.facts["reason"]) == ("GC-2001", "not a database")


def test_a_locked_database_is_an_outage_and_comes_back(opened: Open, writer: sqlite3.Connection) -> None:
    writer.execute(KEYED)
    source = opened()
    schema = source.describe(VISIT)
    writer.execute("BEGIN EXCLUSIVE")
    fault = _fault(lambda: source.page(schema, b"", b"", WIDE))
    assert (type(fault), fault.facts["reason"]) == (Transient, "database is locked")
    writer.execute("COMMIT")
    assert source.page(schema, b"", b"", WIDE).rows.count == 0


def test_nothing_is_locked_between_two_calls(opened: Open, writer: sqlite3.Connection) -> None:
    writer.execute(KEYED)
    _insert(writer, 100)
    source = opened()
    schema = source.describe(VISIT)
    for call in (
        source.inventory,
        lambda: source.token(VISIT),
        lambda: source.page(schema, b"", b"", PageLimits(10, 1 << 20)),
        lambda: source.present(schema, [b"\x02" + bytes(8)]),
    ):
        call()
        writer.execute("UPDATE visit SET name = name || '!'")


def test_a_source_never_writes(opened: Open, writer: sqlite3.Connection, path: Path) -> None:
    writer.execute(KEYLESS)
    _insert(writer, 100)
    before = (path.read_bytes(), sorted(p.name for p in path.parent.iterdir()))
    source = opened()
    assert sum(rows.count for rows in source.whole(source.describe(VISIT))) == 100
    source.close()
    assert (path.read_bytes(), sorted(p.name for p in path.parent.iterdir())) == before


def test_wal_is_read_while_it_is_written(opened: Open, writer: sqlite3.Connection) -> None:
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute(KEYLESS)
    _insert(writer, 12_000)
    source = opened(statement_seconds_max=1e-9)
    schema = source.describe(VISIT)
    slices = source.whole(schema)
    seen = next(slices).count
    writer.execute("DELETE FROM visit")
    assert seen + sum(rows.count for rows in slices) == 12_000
    assert list(source.whole(schema)) == []


def test_a_replaced_database_is_noticed(opened: Open, writer: sqlite3.Connection, path: Path) -> None:
    writer.execute(KEYED)
    source = opened()
    schema, before = source.describe(VISIT), source.token(VISIT)
    other = sqlite3.connect(path.with_name("restored.db"))
    other.execute(KEYED)
    other.execute("INSERT INTO visit VALUES(7, 'from the backup')")
    other.commit()
    other.close()
    path.with_name("restored.db").replace(path)
    assert source.token(VISIT) != before
    assert source.page(schema, b"", b"", WIDE).rows.columns[0].to_pylist() == [7]


def _ticking(step: float) -> Callable[[], float]:
    ticks = itertools.count()
    return lambda: next(ticks) * step


def test_whole_gives_up_before_writers_wait_too_long(opened: Open, writer: sqlite3.Connection) -> None:
    writer.execute(KEYLESS)
    _insert(writer, 5_000)
    source = opened(statement_seconds_max=1.0, clock=_ticking(0.4))
    schema = source.describe(VISIT)
    fault = _fault(lambda: list(source.whole(schema)))
    assert (fault.code, fault.facts) == ("GC-2007", {"table": "visit", "seconds": "1"})
    writer.execute("DELETE FROM visit")
    assert list(source.whole(schema)) == []


def test_a_page_ends_early_before_writers_wait_too_long(opened: Open, writer: sqlite3.Connection) -> None:
    writer.execute(KEYED)
    _insert(writer, 500)
    source = opened(statement_seconds_max=1.0, clock=_ticking(0.4))
    schema, found, after = source.describe(VISIT), [], b""
    while True:
        page = source.page(schema, after, b"", WIDE)
        found += page.rows.columns[0].to_pylist()
        if not page.full:
            break
        assert page.rows.count < 500
        after = page.last
    assert found == list(range(500))


def test_a_later_page_ends_early_too_where_time_is_short(opened: Open, writer: sqlite3.Connection) -> None:
    writer.execute(KEYED)
    _insert(writer, 20_000)
    now = [0.0]
    steps = itertools.repeat(0.0)

    def clock() -> float:
        now[0] += next(steps)
        return now[0]

    source = opened(statement_seconds_max=1.0, clock=clock)
    schema = source.describe(VISIT)
    limits = PageLimits(10_000, 1 << 30)
    first = source.page(schema, b"", b"", limits)
    assert first.rows.count == 10_000
    steps = itertools.repeat(2.0)
    later = source.page(schema, first.last, b"", limits)
    assert later.full
    assert later.rows.count > 0


def test_a_statement_that_finds_nothing_in_time_is_broken_off(
    opened: Open, writer: sqlite3.Connection
) -> None:
    writer.execute(KEYLESS)
    _insert(writer, 20_000)
    source = opened(statement_seconds_max=1.0, clock=_ticking(5.0), keys={"visit": ("name",)})
    schema = source.describe(VISIT)
    assert _fault(lambda: source.page(schema, b"", b"", WIDE)).code == "GC-2007"


def test_a_key_of_another_type_is_rejected(opened: Open, writer: sqlite3.Connection) -> None:
    writer.execute("CREATE TABLE visit(id INT NOT NULL PRIMARY KEY, name TEXT)")
    writer.execute("INSERT INTO visit VALUES(1, 'a'), ('one', 'b')")
    source = opened()
    schema = source.describe(VISIT)
    assert _fault(lambda: source.page(schema, b"", b"", WIDE)).code == "GC-2004"


def test_a_key_too_large_to_page_by_is_rejected(opened: Open, writer: sqlite3.Connection) -> None:
    writer.execute("CREATE TABLE visit(id TEXT NOT NULL PRIMARY KEY)")
    writer.execute("INSERT INTO visit VALUES(?)", ("x" * 70_000,))
    source = opened()
    schema = source.describe(VISIT)
    assert _fault(lambda: source.page(schema, b"", b"", WIDE)).code == "GC-2004"


@pytest.mark.parametrize("rows", [[(1, "a"), (1, "b"), (2, "c")], [(None, "a"), (1, "b")]])
@pytest.mark.parametrize("size", [1, 2, 10])
def test_a_configured_key_must_be_one(
    opened: Open, writer: sqlite3.Connection, rows: list[tuple[int | None, str]], size: int
) -> None:
    writer.execute(KEYLESS)
    writer.executemany("INSERT INTO visit VALUES(?, ?)", rows)
    source = opened(keys={"visit": ("id",)})
    schema = source.describe(VISIT)
    assert schema.key == ("id",)
    assert _fault(lambda: source.page(schema, b"", b"", PageLimits(size, 1 << 20))).code == "GC-2005"


def test_a_configured_key_compares_by_bytes_without_an_index(
    opened: Open, writer: sqlite3.Connection
) -> None:
    writer.execute("CREATE TABLE visit(id TEXT COLLATE NOCASE)")
    names = ["a", "A", "b", "B ", "B"]
    writer.executemany("INSERT INTO visit VALUES(?)", [(n,) for n in names])
    source = opened(keys={"visit": ("id",)})
    schema, found, after = source.describe(VISIT), [], b""
    while (page := source.page(schema, after, b"", PageLimits(1, 1 << 20))).full:
        found += page.rows.columns[0].to_pylist()
        after = page.last
    assert found == sorted(names)


@pytest.mark.parametrize("key", [("nowhere",), ("weight",)])
def test_a_configured_key_must_be_comparable(
    opened: Open, writer: sqlite3.Connection, key: tuple[str, ...]
) -> None:
    writer.execute("CREATE TABLE visit(id INTEGER PRIMARY KEY, weight REAL)")
    source = opened(keys={"visit": key})
    assert _fault(lambda: source.describe(VISIT)).code == "GC-2005"
    assert [info.key for info in source.inventory()] == [()]


def test_an_empty_configured_key_makes_a_multiset(opened: Open, writer: sqlite3.Connection) -> None:
    writer.execute(KEYED)
    _insert(writer, 3)
    source = opened(keys={"visit": ()})
    schema = source.describe(VISIT)
    assert source.way(schema) is Way.WHOLE
    assert [v for rows in source.whole(schema) for v in rows.columns[0].to_pylist()] == [0, 1, 2]


def test_present_is_decided_by_bytes_not_by_collation(opened: Open, writer: sqlite3.Connection) -> None:
    writer.execute("CREATE TABLE visit(id TEXT COLLATE NOCASE NOT NULL PRIMARY KEY)")
    writer.execute("INSERT INTO visit VALUES('Abc')")
    source = opened()
    schema = source.describe(VISIT)
    assert dict(schema.columns[0].meta) == {"collation": "NOCASE"}
    keys = [encode_rows([pa.array([text])])[0] for text in ("Abc", "ABC", "abc")]
    assert source.present(schema, keys) == {keys[0]}


def test_a_dropped_column_is_never_read_as_its_own_name(opened: Open, writer: sqlite3.Connection) -> None:
    writer.execute(KEYED)
    _insert(writer, 2)
    source = opened()
    schema = source.describe(VISIT)
    writer.execute("ALTER TABLE visit DROP COLUMN name")
    fault = _fault(lambda: source.page(schema, b"", b"", WIDE))
    assert (type(fault), fault.code) == (Rejected, "GC-2010")


def test_a_table_that_cannot_be_read_whole_and_exactly_is_refused(
    monkeypatch: pytest.MonkeyPatch, opened: Open, writer: sqlite3.Connection
) -> None:
    class Refusing(Sqlite):
        def catalogue(self, fetch: Fetch, table: TableName | None) -> list[TableFacts]:
            return [replace(facts, refused="rows are hidden") for facts in super().catalogue(fetch, table)]

    writer.execute(KEYED)
    monkeypatch.setitem(DIALECTS, "sqlite", Refusing)
    source = opened()
    fault = _fault(lambda: source.describe(VISIT))
    assert (type(fault), fault.code) == (Rejected, "GC-2030")
    assert "rows are hidden" in str(fault)
    assert [info.name for info in source.inventory()] == [VISIT]


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "db2://u:pass-word@h/d", "no address", "sqlite:///his.db?mode=rw"],
)
def test_an_address_that_cannot_be_used_is_named_not_shown(url: str) -> None:
    with pytest.raises(Permanent) as caught:
        SqlSource("his", url)
    assert (caught.value.code, caught.value.facts["key"]) == ("GC-1003", "sources.his.url")
    assert "pass-word" not in str(caught.value)


def test_chinook_reads_back_row_by_row() -> None:
    path = require_dataset(CHINOOK)
    plain = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    source = SqlSource("chinook", f"sqlite:///{path}", statement_seconds_max=60.0)
    infos = source.inventory()
    assert infos
    for info in infos:
        schema = source.describe(info.name)
        assert schema.key
        position = schema.key_positions[0]
        keys: list[object] = []
        after = b""
        while True:
            page = source.page(schema, after, b"", PageLimits(100, 1 << 20))
            keys += page.rows.columns[position].to_pylist()
            if not page.full:
                break
            after = page.last
        columns = f'SELECT "{schema.key[0]}" FROM "{info.name.name}"'
        assert sorted(keys) == sorted(value for (value,) in plain.execute(columns))  # type: ignore[type-var]
    source.close()
    plain.close()
