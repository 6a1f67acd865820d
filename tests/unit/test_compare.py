"""tests/compare.py convicts what is not equal, and acquits what is.

Each lake is written by hand with deltalake and a ledger of one table, so that any lie can be told in it: a
comparison that lets one pass would let the same loss pass in earnest.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from protocol import canonical
from protocol.change import LAKE_SYSTEM
from tests import compare as command
from tests.compare import compare
from tests.comparing.catalogue import ComparisonError
from tests.comparing.csvfolder import CsvRule
from tests.comparing.report import TableReport

COLUMNS = {
    "id": pa.int64(),
    "name": pa.string(),
    "fee": pa.decimal128(10, 2),
    "weight": pa.float64(),
    "scan": pa.binary(),
}
CREATE = "CREATE TABLE visit (id INTEGER PRIMARY KEY, name TEXT, fee DECIMAL(10,2), weight REAL, scan BLOB)"
ROWS: list[tuple[Any, ...]] = [
    (1, "王秀英", 12.5, 0.1 + 0.2, b"\x00\xff"),
    (2, "", 3, 61.5, None),
    (3, None, None, None, b""),
]
LONG = "病程记录" * 20_000


def decimals(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows as the lake's types hold them."""
    return [
        (i, n, None if f is None else pa.scalar(str(f)).cast(pa.decimal128(10, 2)).as_py(), w, s)
        for i, n, f, w, s in rows
    ]


@dataclass
class HandMadeLake:
    """A centre's data directory with one table. Rows are added as (op, values, more system columns)."""

    root: Path
    columns: dict[str, pa.DataType] = field(default_factory=lambda: dict(COLUMNS))
    key: tuple[str, ...] = ("id",)
    name: str = "visit"
    path: str = "changes/h1/his/visit-0a1b2c3d"
    rows: list[dict[str, Any]] = field(default_factory=list)
    schemas: list[tuple[bytes, bytes]] = field(default_factory=list)
    """(fingerprint, content) in the ledger"""

    def add(self, op: str, values: tuple[Any, ...], **system: Any) -> dict[str, Any]:
        """A row of its own batch, its `_gc_key` the digest of its key (or of the row under a secret)."""
        row = dict(zip(self.columns, values, strict=True)) | {"_gc_op": op, "_gc_epoch": 1, "_gc_ord": 0}
        row |= {"_gc_seq": len(self.rows) + 1, "_gc_key": self.key_of(row)} | system
        self.rows.append(row)
        return row

    def key_of(self, row: dict[str, Any]) -> bytes:
        names = self.key or tuple(self.columns)
        arrays = [pa.array([row[name]], self.columns[name]) for name in names]
        return canonical.digest(canonical.encode_rows(arrays)[0], b"" if self.key else b"secret")

    def mark(self, kind: str, **facts: Any) -> dict[str, Any]:
        text = json.dumps(
            {"mark": kind, "snapshot": "5" * 32, "table": [None, None, self.name], "facts": facts}
        )
        row = self.add("m", (None,) * len(self.columns), _gc_mark=text)
        return row | {"_gc_key": b"\x00" * 16}

    def snapshot(self, rows: list[tuple[Any, ...]], **asides: list[dict[str, Any]]) -> None:
        """All of `rows` between a begin and an honest end; `asides` by the row's first value, as `row_1=…`."""
        self.mark("snapshot_begin")
        digests = []
        for values in rows:
            entries = asides.get(f"row_{values[0]}")
            row = self.add("r", values, _gc_aside=entries)
            arrays = [pa.array([row[name]], kind) for name, kind in self.columns.items()]
            digests += canonical.digests(canonical.encode_rows(arrays, list(self.columns), [entries]))
        total = canonical.add_to_set_hash(0, digests)
        self.mark("snapshot_end", rows=len(rows), set_hash=f"{total:032x}", batches=len(rows))

    def land(self) -> None:
        """Write the ledger, and the table in two commits."""
        schema = pa.schema([*LAKE_SYSTEM, *(pa.field(n, k) for n, k in self.columns.items())])
        half = (len(self.rows) + 1) // 2
        for rows in filter(None, (self.rows[:half], self.rows[half:])):
            table = pa.Table.from_pylist([{"_gc_date": 0} | row for row in rows], schema)
            write_deltalake(str(self.root / "lake" / self.path), table, mode="append")
        self._write_ledger()

    def _write_ledger(self) -> None:
        ledger = sqlite3.connect(self.root / "ledger.sqlite")
        ledger.execute("CREATE TABLE lake_table (path, site, source, name, key)")
        name, key = json.dumps([None, None, self.name]), json.dumps(self.key)
        ledger.execute("INSERT INTO lake_table VALUES (?, 'h1', 'his', ?, ?)", (self.path, name, key))
        ledger.execute("CREATE TABLE schema (fingerprint, content)")
        ledger.executemany("INSERT INTO schema VALUES (?, ?)", self.schemas)
        ledger.commit()
        ledger.close()

    def large(self, value: bytes, column: str = "name") -> dict[str, Any]:
        """The file of a large value, and the entry that refers to it."""
        digest = hashlib.sha256(value)
        path = self.root / "files" / "h1" / digest.hexdigest()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
        return aside(column, "large", None, sha256=digest.digest(), size=len(value))


def aside(
    column: str, reason: str, original: bytes | None, sha256: bytes | None = None, size: int = 0
) -> dict[str, Any]:
    return {"column": column, "reason": reason, "original": original, "sha256": sha256, "bytes": size}


@pytest.fixture
def lake(tmp_path: Path) -> HandMadeLake:
    root = tmp_path / "centre"
    root.mkdir()
    return HandMadeLake(root)


@pytest.fixture
def his(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "his.db", isolation_level=None)
    connection.execute(CREATE)
    connection.executemany("INSERT INTO visit VALUES (?, ?, ?, ?, ?)", ROWS)
    yield connection
    connection.close()


@pytest.fixture
def verdict(lake: HandMadeLake, tmp_path: Path) -> Callable[..., TableReport]:
    """Land what was added, compare, and give the report of the one table."""

    def run(**options: Any) -> TableReport:
        lake.land()
        report = compare(f"sqlite:///{tmp_path}/his.db", lake.root, **options)
        (table,) = report.tables
        assert report.equal == table.equal
        return table

    return run


Verdict = Callable[..., TableReport]


def found(table: TableReport) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.kind, one.columns) for one in table.differences]


# what is equal


@pytest.mark.usefixtures("his")
def test_equal_is_acquitted(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    table = verdict()
    assert table.equal, (table.problems, table.differences)
    assert (table.rows_source, table.rows_lake, table.columns) == (3, 3, 5)


@pytest.mark.usefixtures("his")
def test_changes_after_the_snapshot_are_replayed(lake: HandMadeLake, verdict: Verdict) -> None:
    one, two, three = decimals(ROWS)
    lake.snapshot([(1, "before", None, None, None), two, (4, "leaves", None, None, None)])
    lake.add("u", one)
    lake.add("d", (4, None, None, None, None))
    lake.add("c", three)
    table = verdict()
    assert table.equal, (table.problems, table.differences)


@pytest.mark.usefixtures("his")
def test_a_new_snapshot_sweeps_what_it_did_not_read(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot([*decimals(ROWS), (9, "gone since", None, None, None)])
    lake.snapshot(decimals(ROWS))
    assert verdict().equal


@pytest.mark.usefixtures("his")
def test_columns_that_a_change_did_not_carry_fold_back(lake: HandMadeLake, verdict: Verdict) -> None:
    one, two, three = decimals(ROWS)
    lake.snapshot([(1, one[1], None, one[3], one[4]), two, (7, three[1], three[2], three[3], three[4])])
    lake.add("u", (1, None, one[2], one[3], None), _gc_unchanged=["name", "scan"])
    old = lake.add("d", (7, None, None, None, None))["_gc_key"]
    lake.add("c", (3, None, None, None, None), _gc_unchanged=["scan"], _gc_old_key=old)
    table = verdict()
    assert table.equal, (table.problems, table.differences)


def test_asides_and_large_values_are_equal_by_their_originals(
    his: sqlite3.Connection, lake: HandMadeLake, verdict: Verdict
) -> None:
    his.execute("UPDATE visit SET fee = '未缴', weight = 'x' WHERE id = 1")
    his.execute("UPDATE visit SET fee = 1.239, name = CAST(x'D6D0' AS TEXT), scan = 'text' WHERE id = 2")
    his.execute("UPDATE visit SET name = ? WHERE id = 3", (LONG,))
    one = [aside("fee", "type", "未缴".encode()), aside("weight", "type", b"x")]
    two = [
        aside("fee", "range", b"1.239"),
        aside("name", "charset", b"\xd6\xd0"),
        aside("scan", "type", b"text"),
    ]
    three = [lake.large(LONG.encode())]
    rows = [(1, "王秀英", None, None, b"\x00\xff"), (2, None, None, 61.5, None), (3, None, None, None, b"")]
    lake.snapshot(rows, row_1=one, row_2=two, row_3=three)
    table = verdict()
    assert table.equal, (table.problems, table.differences)


@pytest.mark.usefixtures("his")
def test_marks_name_the_schema_of_their_rows(lake: HandMadeLake, verdict: Verdict) -> None:
    """A set hash covers the columns in the order they were sent, not in that of the lake."""
    lake.columns = dict(reversed(COLUMNS.items()))
    lake.snapshot([tuple(reversed(row)) for row in decimals(ROWS)])
    names = list(lake.columns)
    document = {"columns": [{"name": name} for name in names], "key": ["id"]}
    content = json.dumps(document).encode()
    mark = hashlib.blake2b(content, digest_size=32)
    for row in (lake.rows[0], lake.rows[-1]):
        row["_gc_mark"] = json.dumps(json.loads(row["_gc_mark"]) | {"schema": mark.hexdigest()})
    lake.columns = dict(COLUMNS)
    lake.schemas = [(mark.digest(), content)]
    table = verdict()
    assert table.equal, (table.problems, table.differences)


# one lie each


@pytest.mark.usefixtures("his")
def test_a_missing_row(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS[:2]))
    table = verdict()
    assert found(table) == [("missing", ())]
    assert table.differences[0].key_hash == lake.key_of({"id": 3}).hex()


@pytest.mark.usefixtures("his")
def test_an_extra_row(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    lake.add("c", (4, "nobody", None, None, None))
    table = verdict()
    assert found(table) == [("extra", ())]
    assert table.differences[0].key_hash == lake.key_of({"id": 4}).hex()


CHANGED: dict[str, tuple[int, str, Any]] = {
    "another text": (0, "name", "王秀莹"),
    "a trailing space": (0, "name", "王秀英 "),
    "null for empty": (1, "name", None),
    "empty for null": (2, "name", ""),
    "a float rounded": (0, "weight", 0.3),
    "a decimal rounded": (0, "fee", pa.scalar("12.51").cast(pa.decimal128(10, 2)).as_py()),
    "bytes cut": (0, "scan", b"\x00"),
}


@pytest.mark.usefixtures("his")
@pytest.mark.parametrize("lie", CHANGED)
def test_a_changed_value(lake: HandMadeLake, verdict: Verdict, lie: str) -> None:
    at, column, value = CHANGED[lie]
    lake.snapshot(decimals(ROWS))
    lake.add("u", tuple((dict(zip(COLUMNS, decimals(ROWS)[at], strict=True)) | {column: value}).values()))
    table = verdict()
    assert found(table) == [("different", (column,))]
    assert table.differences[0].key_hash == lake.key_of({"id": at + 1}).hex()
    assert table.differences[0].values == ()


def test_a_float_column_for_decimals_and_one_too_narrow(
    his: sqlite3.Connection, lake: HandMadeLake, verdict: Verdict
) -> None:
    his.execute("DELETE FROM visit WHERE id > 1")
    lake.columns |= {"fee": pa.float64(), "weight": pa.float32()}
    lake.snapshot([(1, "王秀英", 12.5, 0.1 + 0.2, b"\x00\xff")])
    his.execute("UPDATE visit SET fee = 12")
    assert found(verdict()) == [("different", ("fee", "weight"))]


def test_a_decimal_that_was_rounded_instead_of_set_aside(
    his: sqlite3.Connection, lake: HandMadeLake, verdict: Verdict
) -> None:
    his.execute("UPDATE visit SET fee = 12.499 WHERE id = 1")
    lake.snapshot(decimals(ROWS))
    assert found(verdict()) == [("different", ("fee",))]


ASIDES: dict[str, list[dict[str, Any]]] = {
    "another original": [aside("fee", "type", "未交".encode())],
    "another reason": [aside("fee", "range", "未缴".encode())],
    "none at all": [],
    "of another column": [aside("name", "type", "未缴".encode())],
}


@pytest.mark.parametrize("lie", ASIDES)
def test_an_aside_that_is_another(
    his: sqlite3.Connection, lake: HandMadeLake, verdict: Verdict, lie: str
) -> None:
    his.execute("UPDATE visit SET fee = '未缴', name = NULL WHERE id = 1")
    lake.snapshot([(1, None, None, 0.1 + 0.2, b"\x00\xff"), *decimals(ROWS[1:])], row_1=ASIDES[lie])
    table = verdict()
    assert [one.kind for one in table.differences] == ["different"]
    assert "fee" in table.differences[0].columns


def test_a_value_beside_its_aside(his: sqlite3.Connection, lake: HandMadeLake, verdict: Verdict) -> None:
    his.execute("UPDATE visit SET weight = 'x' WHERE id = 1")
    lake.snapshot(decimals(ROWS), row_1=[aside("weight", "type", b"x")])
    assert ("different", ("weight",)) in found(verdict())


@pytest.mark.parametrize("lie", ["missing", "other content", "other size", "size"])
def test_the_file_of_a_large_value(
    his: sqlite3.Connection, lake: HandMadeLake, verdict: Verdict, lie: str
) -> None:
    his.execute("UPDATE visit SET name = ? WHERE id = 1", (LONG,))
    entry = lake.large(LONG.encode())
    path = lake.root / "files" / "h1" / entry["sha256"].hex()
    if lie == "size":
        entry["bytes"] -= 1
    elif lie == "missing":
        path.unlink()
    else:
        path.write_bytes(LONG.encode()[::-1] if lie == "other content" else b"short")
    one, *others = decimals(ROWS)
    lake.snapshot([(1, None, *one[2:]), *others], row_1=[entry])
    table = verdict()
    assert [text.partition(":")[0] for text in table.problems] == [
        "the file of a large value is missing or another one"
    ]
    assert not table.differences


@pytest.mark.usefixtures("his")
def test_a_data_file_that_is_missing(lake: HandMadeLake, tmp_path: Path) -> None:
    lake.snapshot(decimals(ROWS))
    lake.land()
    next((lake.root / "lake" / lake.path).glob("*.parquet")).unlink()
    (problem,) = compare(f"sqlite:///{tmp_path}/his.db", lake.root).table("visit").problems
    assert problem.startswith("cannot be compared: the lake cannot be read")


@pytest.mark.usefixtures("his")
def test_a_table_that_never_landed(lake: HandMadeLake, verdict: Verdict) -> None:
    assert verdict().problems == ["cannot be compared: nothing has landed"]


@pytest.mark.usefixtures("his")
def test_a_version_that_stands_twice(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    lake.rows.append(lake.rows[-2])
    table = verdict()
    assert "a version stands twice in changes" in table.problems


@pytest.mark.usefixtures("his")
def test_a_batch_that_landed_in_part(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    for place, ordinal in ((0, 0), (1, 2)):
        lake.add("u", decimals(ROWS)[place], _gc_seq=9, _gc_ord=ordinal)
    assert verdict().problems == ["a batch did not land whole"]


@pytest.mark.usefixtures("his")
def test_commits_out_of_order(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    lake.rows.reverse()
    assert verdict().problems == ["a later commit holds earlier versions"]


@pytest.mark.usefixtures("his")
def test_a_wrong_set_hash(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    lake.rows[-1]["_gc_mark"] = lake.rows[-1]["_gc_mark"].replace('"set_hash": "', '"set_hash": "0')
    table = verdict()
    assert table.problems == ["a snapshot's set hash is not that of the rows that landed"]
    assert not table.differences


@pytest.mark.usefixtures("his")
def test_a_value_that_changed_under_an_old_snapshot(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    lake.rows[1]["name"] = "another"
    lake.snapshot(decimals(ROWS))
    assert verdict().problems == ["a snapshot's set hash is not that of the rows that landed"]


@pytest.mark.usefixtures("his")
def test_a_snapshot_that_is_not_whole_sweeps_nothing(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    lake.snapshot(decimals(ROWS))
    del lake.rows[-3]
    table = verdict()
    assert "a snapshot's end tells 3 rows, 2 landed" in table.problems
    assert not table.differences


@pytest.mark.usefixtures("his")
def test_a_snapshot_that_never_ended(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    del lake.rows[-1]
    assert verdict().problems == ["no snapshot of it has ended"]


@pytest.mark.usefixtures("his")
def test_a_key_that_is_not_its_rows(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    lake.rows[2]["_gc_key"] = b"\x01" * 16
    assert verdict().problems == ["_gc_key is not the digest of the row's key"]


@pytest.mark.usefixtures("his")
def test_an_image_that_nobody_has(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS[:2]))
    lake.add("c", decimals(ROWS)[2], _gc_unchanged=["name"])
    assert found(verdict()) == [("different", ("name",))]


def test_a_column_that_never_came(his: sqlite3.Connection, lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    his.execute("ALTER TABLE visit ADD COLUMN phone TEXT")
    assert verdict().problems == ["column phone is not in the lake"]


def test_a_column_that_should_be_empty_by_now(
    his: sqlite3.Connection, lake: HandMadeLake, verdict: Verdict
) -> None:
    lake.snapshot(decimals(ROWS))
    his.execute("ALTER TABLE visit DROP COLUMN weight")
    assert found(verdict()) == [("different", ("weight",)), ("different", ("weight",))]


# tables without key


@pytest.fixture
def counted(his: sqlite3.Connection, lake: HandMadeLake) -> HandMadeLake:
    """The source has the first row twice; so has the lake, and no key."""
    his.execute("CREATE TABLE log (text TEXT, n INTEGER)")
    his.executemany("INSERT INTO log VALUES (?, ?)", [("a", 1), ("a", 1), ("b", 2)])
    his.execute("DROP TABLE visit")
    lake.columns, lake.key, lake.name = {"text": pa.string(), "n": pa.int64()}, (), "log"
    lake.snapshot([("a", 1), ("a", 1), ("b", 2)])
    return lake


@pytest.mark.usefixtures("counted")
def test_an_equal_multiset(verdict: Verdict) -> None:
    table = verdict()
    assert table.equal, (table.problems, table.differences)
    assert (table.rows_source, table.rows_lake) == (3, 3)


def test_a_multiset_that_changed_and_is_equal(counted: HandMadeLake, verdict: Verdict) -> None:
    counted.add("c", ("a", 1))
    gone = counted.add("c", ("c", 3))["_gc_key"]
    counted.add("d", ("a", 1))
    counted.add("d", (None, None), _gc_key=gone)
    table = verdict()
    assert table.equal, (table.problems, table.differences)


def test_a_snapshot_under_way_counts_nothing_twice(counted: HandMadeLake, verdict: Verdict) -> None:
    counted.snapshot([("a", 1), ("b", 2)])
    del counted.rows[-1]
    table = verdict()
    assert table.equal, (table.problems, table.differences)


def test_what_is_deleted_during_a_snapshot(counted: HandMadeLake, verdict: Verdict) -> None:
    counted.snapshot([("a", 1), ("a", 1), ("b", 2), ("c", 3)])
    end = counted.rows.pop()
    counted.add("d", ("c", 3))
    counted.rows.append(end | {"_gc_seq": len(counted.rows) + 1})
    table = verdict()
    assert table.equal, (table.problems, table.differences)


@pytest.mark.parametrize(("op", "kind"), [("c", "extra"), ("d", "missing")])
def test_a_multiset_off_by_one(counted: HandMadeLake, verdict: Verdict, op: str, kind: str) -> None:
    counted.add(op, ("a", 1))
    assert found(verdict()) == [(kind, ())]


def test_more_taken_away_than_there_was(counted: HandMadeLake, verdict: Verdict) -> None:
    for _ in range(2):
        counted.add("d", ("b", 2))
    assert verdict().problems == ["more rows were taken away than there were"]


def test_one_key_for_different_rows(counted: HandMadeLake, verdict: Verdict) -> None:
    counted.rows[3]["_gc_key"] = counted.rows[1]["_gc_key"]
    assert "different rows have one _gc_key" in verdict().problems


@pytest.mark.usefixtures("counted")
def test_a_multiset_matched_by_named_columns_tells_a_duplicate(verdict: Verdict) -> None:
    table = verdict(keys={"log": ("n",)})
    assert {one.kind for one in table.differences} == {"duplicate"}


# tables, folders, query


@pytest.mark.usefixtures("his")
def test_a_table_that_never_arrived(lake: HandMadeLake, verdict: Verdict, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "his.db") as other:
        other.execute("CREATE TABLE bill (id INTEGER PRIMARY KEY)")
    other.close()
    lake.snapshot(decimals(ROWS))
    lake.land()
    report = compare(f"sqlite:///{tmp_path}/his.db", lake.root)
    assert {t.table: t.problems for t in report.tables} == {"bill": ["not in the lake"], "visit": []}
    assert not report.equal
    assert compare(f"sqlite:///{tmp_path}/his.db", lake.root, include=["v*"]).equal
    assert compare({"his": f"sqlite:///{tmp_path}/his.db"}, lake.root, exclude=["bill"]).equal


def test_a_table_that_is_gone(his: sqlite3.Connection, lake: HandMadeLake, tmp_path: Path) -> None:
    lake.snapshot(decimals(ROWS))
    lake.land()
    his.execute("DROP TABLE visit")
    report = compare(f"sqlite:///{tmp_path}/his.db", lake.root)
    assert report.table("visit").problems == ["gone at the source"]
    assert compare(f"sqlite:///{tmp_path}/his.db", lake.root, allow_gone=True).equal


def test_nothing_compared_is_not_equal(his: sqlite3.Connection, lake: HandMadeLake, tmp_path: Path) -> None:
    his.execute("DROP TABLE visit")
    lake.land()
    assert not compare(f"sqlite:///{tmp_path}/his.db", lake.root, include=["none"]).equal


@pytest.fixture
def folder(lake: HandMadeLake, tmp_path: Path) -> Path:
    exports = tmp_path / "exports" / "2026"
    exports.mkdir(parents=True)
    (exports / "labs.csv").write_text('\ufeffno,值\n007,"多行\n文字"\n008,\n', encoding="utf-8")
    lake.columns, lake.key, lake.name = {"no": pa.string(), "值": pa.string()}, (), "2026/labs.csv"
    return tmp_path / "exports"


def test_a_folder_that_is_equal(lake: HandMadeLake, folder: Path) -> None:
    lake.snapshot([("007", "多行\n文字"), ("008", "")])
    lake.land()
    report = compare(folder, lake.root)
    assert report.equal
    assert report.table("2026/labs.csv").rows_source == 2


@pytest.mark.parametrize("lie", [("7", "多行\n文字"), ("007", "多行文字"), ("007", None)])
def test_a_folder_that_is_not(lake: HandMadeLake, folder: Path, lie: tuple[str, str]) -> None:
    lake.snapshot([lie, ("008", "")])
    lake.land()
    table = compare(folder, lake.root, keys={"2026/labs.csv": ("no",)}).tables[0]
    expected = {("missing", ()), ("extra", ())} if lie[0] == "7" else {("different", ("值",))}
    assert set(found(table)) == expected


def test_files_of_one_table_in_another_encoding(lake: HandMadeLake, folder: Path) -> None:
    for name, text in {"a.txt": "no|值\n1|甲\n", "b.txt": "no|值\n2|乙,丙\n"}.items():
        (folder / name).write_bytes(text.encode("gb18030"))
    lake.name = "drugs"
    lake.snapshot([("1", "甲"), ("2", "乙,丙")])
    lake.land()
    rule = CsvRule.parse("*.txt:table=drugs,encoding=gb18030,delimiter=|")
    assert compare(folder, lake.root, csv_rules=[rule]).equal


def test_a_file_that_is_no_table(lake: HandMadeLake, folder: Path) -> None:
    (folder / "2026" / "labs.csv").write_text("no,值\n1,2,王秀英\n", encoding="utf-8")
    lake.snapshot([("1", "2")])
    lake.land()
    (problem,) = compare(folder, lake.root).tables[0].problems
    assert "another width" in problem
    assert "王秀英" not in problem


ANSWER = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[3])"


@pytest.fixture
def answer(tmp_path: Path) -> Callable[[list[dict[str, Any]]], str]:
    """Makes a query command that answers with these rows, whatever is asked."""

    def make(rows: list[dict[str, Any]]) -> str:
        fields = [*LAKE_SYSTEM, *(pa.field(n, k) for n, k in COLUMNS.items())]
        table = pa.Table.from_pylist(rows, pa.schema([f for f in fields if f.name != "_gc_op"]))
        prepared = tmp_path / "prepared.arrow"
        with pa.ipc.new_file(prepared, table.schema) as file:
            file.write_table(table)
        script = tmp_path / "answer.py"
        script.write_text(ANSWER)
        return f"'{sys.executable}' '{script}' '{prepared}' {{sql}} {{out}}"

    return make


@pytest.mark.usefixtures("his")
def test_query_says_the_same(lake: HandMadeLake, verdict: Verdict, answer: Callable[..., str]) -> None:
    lake.snapshot(decimals(ROWS))
    table = verdict(query_command=answer(lake.rows[1:-1]))
    assert table.equal, (table.problems, table.differences)
    assert table.query == "equal"


@pytest.mark.usefixtures("his")
def test_query_says_something_else(lake: HandMadeLake, verdict: Verdict, answer: Callable[..., str]) -> None:
    lake.snapshot(decimals(ROWS))
    rows = [dict(row) for row in lake.rows[1:-1]]
    rows[1]["name"] = None
    table = verdict(query_command=answer(rows))
    assert table.query == "different"
    assert {(one.kind, one.key_hash) for one in table.differences} == {
        ("query", lake.rows[2]["_gc_key"].hex())
    }


@pytest.mark.usefixtures("his")
@pytest.mark.parametrize("falsified", [False, True])
def test_one_process_answers_all_questions(
    lake: HandMadeLake, verdict: Verdict, answer: Callable[..., str], tmp_path: Path, falsified: bool
) -> None:
    lake.snapshot(decimals(ROWS))
    answer(lake.rows[2:-1] if falsified else lake.rows[1:-1])
    script = tmp_path / "stays.py"
    script.write_text(
        "import json, shutil, sys\n"
        "for line in sys.stdin:\n"
        "    shutil.copy(sys.argv[1], json.loads(line)['out'])\n"
        "    print(0, flush=True)\n"
    )
    table = verdict(query_command=f"'{sys.executable}' '{script}' '{tmp_path}/prepared.arrow'")
    assert table.query == ("different" if falsified else "equal")


@pytest.mark.usefixtures("his")
def test_a_process_that_ends_without_an_answer(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    table = verdict(query_command="true")
    assert table.problems == ["query could not be run: ValueError"]


@pytest.mark.usefixtures("his")
def test_query_fails(lake: HandMadeLake, verdict: Verdict) -> None:
    lake.snapshot(decimals(ROWS))
    table = verdict(query_command="false {sql} {out}")
    assert table.problems == ["query ended with exit code 1"]


@pytest.mark.usefixtures("his")
def test_query_is_required(lake: HandMadeLake, tmp_path: Path) -> None:
    lake.snapshot(decimals(ROWS))
    lake.land()
    report = compare(f"sqlite:///{tmp_path}/his.db", lake.root, require_query=True)
    assert report.problems == ["query was not checked"]
    assert not report.equal


# the command


@pytest.mark.usefixtures("his")
def test_the_command_tells_without_values(
    lake: HandMadeLake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.snapshot(decimals(ROWS))
    lake.add("u", (1, "another name", *decimals(ROWS)[0][2:]))
    lake.land()
    arguments = [f"his=sqlite:///{tmp_path}/his.db", "--data-dir", str(lake.root), "--site", "h1"]
    assert command.main(arguments) == 1
    printed = capsys.readouterr().out
    assert f"different {lake.key_of({'id': 1}).hex()} columns name" in printed
    assert "NOT checked" in printed
    assert "DIFFERENT 不一致" in printed
    assert "another name" not in printed
    assert command.main([*arguments, "--show-values"]) == 1
    assert "source '王秀英', lake 'another name'" in capsys.readouterr().out


@pytest.mark.usefixtures("his")
def test_the_command_acquits(lake: HandMadeLake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake.snapshot(decimals(ROWS))
    lake.land()
    assert command.main([f"sqlite:///{tmp_path}/his.db", "--data-dir", str(lake.root)]) == 0
    assert "EQUAL 一致: 1 tables, 3 rows" in capsys.readouterr().out


@pytest.mark.usefixtures("his")
@pytest.mark.parametrize("place", ["oracle://h/his", "sqlite:////none.db", "/no/such/folder", "x://["])
def test_what_cannot_be_compared(lake: HandMadeLake, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    lake.land()
    with pytest.raises(ComparisonError):
        compare(place, lake.root)
    assert command.main([place, "--data-dir", str(lake.root)]) == command.USAGE
    assert "compare: " in capsys.readouterr().out
