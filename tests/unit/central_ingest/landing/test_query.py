"""What may be asked of the lake, what is opened for it, and what never leaves the engine."""

from __future__ import annotations

import traceback
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from central_ingest.landing.query import (
    CatalogueTable,
    QueryEngine,
    printed_name,
    printed_names,
    sql_name,
)
from protocol.canonical import encode_column
from protocol.change import Version
from protocol.errors import Permanent
from protocol.names import TableName

from .changes_tables import SOURCE, Line, change, mark, table

VISIT = TableName(None, "his", "outpatient_visit")
NAME = "440100-001.his-main.his.outpatient_visit"
CURRENT, CHANGES = sql_name("current", NAME), sql_name("changes", NAME)


def _entry(name: TableName, path: str, key: tuple[str, ...] = ("id",)) -> CatalogueTable:
    return CatalogueTable(
        "440100-001", "his-main", name, path, key, printed_name("440100-001", "his-main", name)
    )


class Store:
    """Parquet files below a folder; remembers what was opened."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.opened: list[str] = []

    def write(self, path: str, rows: pa.Table) -> None:
        (self._root / path).mkdir()
        pq.write_table(rows, self._root / path / "part.parquet")

    def open(self, path: str) -> ds.Dataset | None:
        self.opened.append(path)
        return ds.dataset(self._root / path) if (self._root / path).exists() else None


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path)
    lines: list[Line] = [
        mark(1, 1, "snapshot_begin", "0" * 32),
        change(1, 2, 0, "r", "a", id=1, 姓名="甲", **{"fee.total": Decimal("1.50")}),
        change(1, 2, 1, "r", "b", id=2, 姓名="乙"),
        mark(1, 3, "snapshot_end", "0" * 32, 2),
        change(1, 4, 0, "u", "a", id=1, 姓名="丙", unchanged=["fee.total"]),
        change(1, 5, 0, "d", "b", id=2),
    ]
    found.write("visit", table(lines))
    found.write("log", table([change(1, 1, i, "c", "same", id=7) for i in range(3)]))
    return found


@pytest.fixture
def engine(store: Store) -> QueryEngine:
    others = [_entry(TableName(None, None, f"t{i}"), f"t{i}") for i in range(100)]
    return QueryEngine(
        [_entry(VISIT, "visit"), _entry(TableName(None, None, "log"), "log", ()), *others], store.open
    )


def test_current_and_changes_under_the_names_that_are_printed(engine: QueryEngine) -> None:
    assert CURRENT == 'current."440100-001.his-main.his.outpatient_visit"'
    rows = engine.query(f'SELECT id, "姓名", "fee.total", _gc_unknown FROM {CURRENT}')
    assert rows.to_pylist() == [{"id": 1, "姓名": "丙", "fee.total": Decimal("1.50"), "_gc_unknown": []}]
    ops = engine.query(f"SELECT _gc_op, count(*) AS n FROM {CHANGES} GROUP BY 1")
    assert {row["_gc_op"]: row["n"] for row in ops.to_pylist()} == {"m": 2, "r": 2, "u": 1, "d": 1}


def test_marks_are_visible_in_changes(engine: QueryEngine) -> None:
    sql = f"SELECT json_extract_string(_gc_mark, '$.mark') AS m FROM {CHANGES} WHERE _gc_op = 'm' ORDER BY _gc_seq"
    assert engine.query(sql)["m"].to_pylist() == ["snapshot_begin", "snapshot_end"]


def test_a_table_without_key_gives_each_row_as_often_as_it_counts(engine: QueryEngine) -> None:
    rows = engine.query(f"SELECT id FROM {sql_name('current', '440100-001.his-main.log')}")
    assert rows["id"].to_pylist() == [7, 7, 7]


def test_only_the_tables_that_a_query_names_are_opened(engine: QueryEngine, store: Store) -> None:
    log = sql_name("CHANGES", "440100-001.his-main.LOG")
    sql = f"""WITH visits AS (SELECT * FROM {CURRENT})
        SELECT (SELECT count(*) FROM {log}) AS logs, count(*) AS n
        FROM visits JOIN {CHANGES} c USING (id), range(2) -- changes."440100-001.his-main.t1"
        WHERE 'current."440100-001.his-main.t2"' <> ''"""
    assert engine.query(sql).to_pylist() == [{"logs": 3, "n": 4}]
    assert sorted(store.opened) == ["log", "visit"]


def test_as_arrow_in_the_lakes_types_and_as_of_a_version(engine: QueryEngine) -> None:
    visit = _entry(VISIT, "visit")
    rows = engine.current(visit)
    assert [rows.schema.field(name).type for name in SOURCE.names] == list(SOURCE.types)
    assert rows.schema.field("_gc_received").type == pa.timestamp("us", "UTC")
    assert {r["_gc_key"]: r["姓名"] for r in rows.to_pylist()} == {b"a": "丙"}
    earlier = engine.current(visit, Version(1, 4, 0))
    assert {r["_gc_key"]: r["姓名"] for r in earlier.to_pylist()} == {b"a": "丙", b"b": "乙"}


def test_columns_that_differ_in_case_alone_keep_their_exact_names(store: Store) -> None:
    source = pa.schema([("Name", pa.string()), ("_gc_as_name", pa.string()), ("_gc_x__gc_op", pa.string())])
    lines = [
        change(1, 1, 0, "c", "a", Name="N", _gc_as_name="n", _gc_x__gc_op="o"),
        change(1, 2, 0, "u", "a", unchanged=["name", "_gc_op"], Name="M"),
    ]
    store.write("case", table(lines, source))
    entry = _entry(TableName(None, None, "case"), "case")
    (row,) = QueryEngine([entry], store.open).current(entry).to_pylist()
    assert (row["Name"], row["name"], row["_gc_x__gc_op"]) == ("M", "n", "o")


def test_every_value_comes_out_as_it_stands(store: Store) -> None:
    extremes = pa.array([2**63 - 1, -(2**63), -(2**63) + 1, 0], pa.int64())
    days = pa.array([2**31 - 1, -(2**31), -(2**31) + 1, 0], pa.int32())
    nested = pa.list_(pa.struct([("x", pa.int16()), ("y", pa.list_(pa.string()))]))
    values = {
        "int": extremes,
        "wall": extremes.cast(pa.timestamp("us")),
        "time": extremes.cast(pa.timestamp("us", "UTC")),
        "day": days.cast(pa.date32()),
        "float": pa.array([float("nan"), -0.0, 5e-324, None], pa.float64()),
        "float32": pa.array([float("-inf"), -0.0, 1e-45, None], pa.float32()),
        "decimal": pa.array([Decimal("9" * 38), Decimal("-" + "9" * 38), None, 0], pa.decimal128(38, 0)),
        "text": pa.array(["", "\0x", "𠮷 e\u0301", " "]),
        "bytes": pa.array([b"", b"\0\xff", None, b"x"]),
        "nested": pa.array([[], None, [None, {"x": None, "y": []}], [{"x": 1, "y": ["a", None]}]], nested),
    }
    rows = table([change(1, 1, i, "r", str(i)) for i in range(4)], pa.schema([]))
    for name, column in values.items():
        rows = rows.append_column(name, column)
    store.write("values", rows)
    entry = _entry(TableName(None, None, "values"), "values")
    found = QueryEngine([entry], store.open).current(entry).sort_by("_gc_ord")
    for name, column in values.items():
        assert encode_column(found[name]) == encode_column(column), name


@pytest.mark.parametrize("keyed", [True, False])
def test_a_table_of_which_only_marks_have_landed_is_empty(store: Store, keyed: bool) -> None:
    store.write("marks", table([mark(1, 1, "snapshot_begin", "0" * 32)], pa.schema([])))
    entry = _entry(TableName(None, None, "marks"), "marks", ("id",) if keyed else ())
    assert QueryEngine([entry], store.open).current(entry).num_rows == 0


REFUSED = {
    "INSERT INTO x VALUES (1)": "only SELECT is allowed",
    "COPY (SELECT 1) TO 'x.csv'": "only SELECT is allowed",
    "SET threads = 1": "only SELECT is allowed",
    "ATTACH 'x.db'": "only SELECT is allowed",
    "INSTALL httpfs": "only SELECT is allowed",
    "SHOW TABLES": "only SELECT is allowed",
    "": "one SELECT at a time",
    "SELECT 1; SELECT 2": "one SELECT at a time",
    "SELECT 1; DROP SCHEMA changes": "only SELECT is allowed",
    "SELEC 1": "syntax, at character 1",
    "SELECT * FROM read_text('pyproject.toml')": "table functions are not allowed",
    "SELECT * FROM glob('*')": "table functions are not allowed",
    "SELECT * FROM arrow_scan(1, 2, 3)": "table functions are not allowed",
    "SELECT * FROM query('SELECT 1')": "table functions are not allowed",
    "SELECT (SELECT max(content) FROM read_text('x'))": "table functions are not allowed",
    "SELECT * FROM 'x.parquet'": "no table x.parquet",
    "SELECT * FROM sql": "no table sql",
    "SELECT * FROM _gc_data_0": "no table _gc_data_0",
    'SELECT * FROM current."no such"': 'no table current."no such"',
    f'SELECT * FROM other."{NAME}"': f'no table other."{NAME}"',
    'SELECT * FROM changes."440100-001.his-main.t1"': "nothing has landed yet in 440100-001.his-main.t1",
    f"SELECT nobody FROM {CURRENT}": "unknown column, or types that do not go together",
    "SELECT nothing_such(1)": "unknown name",
    f'SELECT CAST("姓名" AS INTEGER) FROM {CURRENT}': "a value does not fit the operation",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_a_refusal_says_which_kind_and_nothing_of_the_data(engine: QueryEngine, sql: str) -> None:
    with pytest.raises(Permanent) as caught:
        engine.query(sql)
    assert (caught.value.code, caught.value.facts) == ("GC-6007", {"reason": REFUSED[sql]})
    assert "丙" not in "".join(traceback.format_exception(caught.value))


def test_a_query_may_nest_deep_but_not_endlessly(engine: QueryEngine) -> None:
    assert engine.query("SELECT 1" + "+1" * 50).num_rows == 1
    with pytest.raises(Permanent, match="GC-6007"):
        engine.query("SELECT 1" + "+1" * 2_000)


def test_a_query_has_the_memory_it_was_given(store: Store) -> None:
    engine = QueryEngine([], store.open, memory_bytes_max=8 << 20)
    with pytest.raises(Permanent, match="not enough memory"):
        engine.query("SELECT list(i) FROM range(50000000) t(i)")


def test_a_data_file_that_is_gone_is_a_refusal(store: Store, tmp_path: Path) -> None:
    dataset = store.open("visit")
    (tmp_path / "visit" / "part.parquet").unlink()
    engine = QueryEngine([_entry(VISIT, "visit")], lambda path: dataset)
    with pytest.raises(Permanent) as caught:
        engine.query(f"SELECT count(id) FROM {CHANGES}")
    assert caught.value.code == "GC-6007"
    assert str(tmp_path) not in str(caught.value)


def test_names_that_sql_cannot_tell_apart_are_told_apart() -> None:
    tables = [
        ("1", "his", TableName(None, "a", "b.c")),
        ("1", "his", TableName("a", "b", "c")),
        ("1", "his", TableName(None, "A", "b.c")),
        ("1", "his", TableName(None, None, "门诊")),
    ]
    names = printed_names(tables)
    assert len({name.casefold() for name in names}) == 4
    assert [name.partition("#")[0] for name in names] == [
        "1.his.a.b.c",
        "1.his.a.b.c",
        "1.his.A.b.c",
        "1.his.门诊",
    ]
    assert "#" not in names[3]
    assert names == printed_names(tables[:3]) + printed_names(tables[3:])
    with pytest.raises(ValueError, match="differ"):
        QueryEngine([_entry(VISIT, "x"), _entry(VISIT, "y")], lambda path: None)
