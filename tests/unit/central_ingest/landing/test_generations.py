"""Every value that was sent is readable again exactly, whatever became of its column: through the lake on disk.

Random sequences of schemas, rows and snapshots of one table go the way of a batch; a book of what was sent is
held, per key and per column, against `changes`, against `current`, and against the oracle.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing import evolution
from central_ingest.landing.columns import exact_name
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Txn
from central_ingest.landing.materialising import Limits, Materialising, path_of
from central_ingest.landing.merging import shown_schema
from central_ingest.landing.query import CatalogueTable, QueryEngine
from central_ingest.landing.replay import replay
from central_ingest.landing.rows import batch_rows, mark_row, stamp_landed
from protocol.batch import MarkHeader, decode_batch, encode_batch
from protocol.canonical import digest, encode_rows
from protocol.change import KEY, LAKE_SYSTEM_NAMES, OP_CODES, MarkKind, Op, Version
from protocol.names import TableName
from protocol.schema import Column, TableSchema
from tests.comparing.changes import Changes, read
from tests.comparing.matching import Lake, compare_query
from tests.comparing.replay import replay as replay_again
from tests.comparing.report import TableReport
from tests.foreign import by_deltalake, by_kernel

NAME = TableName("his", "dbo", "就诊 visits.v1")
PATH = "changes/h1/his/visits-0a1b2c3d"
TABLE = CatalogueTable("h1", "his", NAME, PATH, ("id",), "visits")

KINDS: dict[pa.DataType, list[Any]] = {
    pa.int16(): [-32768, 32767, 0],
    pa.int32(): [-(2**31), 2**31 - 1, 7],
    pa.int64(): [-(2**63), 2**63 - 1, 2**53 + 1],
    pa.float32(): [1.401298464324817e-45, 0.10000000149011612, -0.0],
    pa.float64(): [0.1, 5e-324, 1.7976931348623157e308],
    pa.decimal128(12, 2): [Decimal("9999999999.99"), Decimal("-0.01")],
    pa.decimal128(38, 4): [Decimal("1234567890123456789012345678901234.5678")],
    pa.string(): ["", "二", "007"],
    pa.binary(): [b"", b"\xff"],
    pa.date32(): [dt.date(1900, 1, 1), dt.date(9999, 12, 31)],
    pa.timestamp("us"): [dt.datetime(1986, 5, 4, 1, 2, 3, 4)],
}
SMALL = Limits(merge_share=0.0)
"""Every step merges its tail."""
COLUMNS = ["n", "N", "_gc_gen2_n", "名 称.x", "长" * 300]


@dataclass(frozen=True)
class Sent:
    """A value as it was sent."""

    kind: pa.DataType
    value: Any


Line = dict[str, Sent]


@dataclass
class Book:
    """The table as its source had it, row by row, under the key of now; `frozen` while that has no snapshot."""

    root: Path
    schema: TableSchema
    seq: int = 0
    standing: dict[bytes, list[Line]] = field(default_factory=dict)
    frozen: list[Line] | None = None
    founded: bool = False
    """Whether a snapshot ended or the table was emptied: before that a table without key shows what is being read."""
    sent: dict[Version, Line] = field(default_factory=dict)
    lake: DeltaLake = field(init=False)

    def __post_init__(self) -> None:
        self.lake = DeltaLake(self.root)

    def become(self, schema: TableSchema) -> None:
        if schema.key != self.schema.key and self.seq:
            self.frozen = self.lines if self.frozen is None else self.frozen
            self.standing = {}
        self.schema = schema

    @property
    def lines(self) -> list[Line]:
        return [line for lines in self.standing.values() for line in lines]

    @property
    def shown(self) -> list[Line]:
        return self.lines if self.frozen is None else self.frozen

    def batch(self, op: Op, rows: Sequence[Mapping[str, Any]]) -> None:
        self.seq += 1
        schema = self.schema
        columns = [pa.array([row[c.name] for row in rows], c.wire) for c in schema.columns]
        told = [columns[i] for i in schema.key_positions] or columns
        keys = [digest(key) for key in encode_rows(told)]
        system = {"_gc_op": pa.array([OP_CODES[op]] * len(rows), pa.uint8()), "_gc_key": pa.array(keys, KEY)}
        inner = encode_batch(schema, system, columns, captured=1)
        batch = decode_batch(inner, lambda fingerprint: schema)
        self._land(batch_rows(batch, 1, self.seq, 86_400_000_000))
        for ord_, (key, row) in enumerate(zip(keys, rows, strict=True)):
            line = {c.name: Sent(c.wire, row[c.name]) for c in schema.columns}
            self.sent[Version(1, self.seq, ord_)] = line
            self._stand(op, key, line)

    def _stand(self, op: Op, key: bytes, line: Line) -> None:
        if self.schema.key:
            self.standing[key] = [] if op is Op.DELETE else [line]
        elif op is Op.DELETE:
            self.standing[key] = self.standing.get(key, [])[1:]
        else:  # equal rows are shown as the last of them
            self.standing[key] = [line] * (len(self.standing.get(key, [])) + 1)

    def snapshot(self, rows: Sequence[Mapping[str, Any]], whole: bool) -> None:
        before, self.standing = self.standing, {}
        self._mark(MarkKind.SNAPSHOT_BEGIN, {})
        if rows:
            self.batch(Op.READ, rows)
        self._mark(MarkKind.SNAPSHOT_END, {"rows": len(rows) + (not whole)})
        if whole:
            self.frozen, self.founded = None, True
        elif self.schema.key:
            self.standing = before | self.standing
        else:
            self.standing = before

    def truncate(self) -> None:
        self._mark(MarkKind.TRUNCATE, {})
        self.standing, self.frozen, self.founded = {}, None, True

    def _mark(self, kind: MarkKind, facts: dict[str, Any]) -> None:
        self.seq += 1
        if kind is MarkKind.SNAPSHOT_BEGIN:
            self.began = self.seq
        mark = MarkHeader(
            captured=1,
            mark=kind,
            table=(NAME.database, NAME.schema, NAME.name),
            schema_=self.schema.fingerprint.hex(),
            snapshot=None if kind is MarkKind.TRUNCATE else f"{self.began:032x}",
            facts=facts,
        )
        self._land(mark_row(mark, self.schema, 1, self.seq, 86_400_000_000))

    def _land(self, rows: pa.Table) -> None:
        self.lake.append(PATH, stamp_landed(rows, 1), [Txn("h1/his/1", self.seq)])


def compacted(book: Book) -> None:
    """All files of `changes` become one."""
    lake = book.lake
    files, before = lake.files(PATH), lake.schema(PATH)
    rows = pa.concat_tables([one for file in files for one in lake.read_file(PATH, file)])
    assert lake.rewrite(PATH, files, [rows], changes_rows=False) is not None
    for one in (lake, DeltaLake(book.root)):
        now = one.schema(PATH)
        assert now is not None
        assert now.equals(before, check_metadata=True)


def check_materialised(book: Book) -> None:
    """Once the materialised `current` has caught up, its columns are those of `current`, and its rows. While it stands
    still for another key its columns do so as well, unless it is made anew."""
    job = Materialising(book.lake, book.root.parent / "scratch", lambda: 1, SMALL)
    keyed = bool(book.schema.key)
    while (made := job.step(PATH, keyed)) is not None and made.more:
        pass
    assert made is not None
    if book.frozen is not None:
        made = job.step(PATH, keyed, rebuild=True)
    assert made is not None
    assert made.tail_rows == 0
    changes = book.lake.read(PATH)
    expected = replay(changes, True, made.statement.upto)
    names = [n for n in shown_schema(changes.schema).names if n not in LAKE_SYSTEM_NAMES]
    table = book.root / path_of(PATH)
    for reader in (by_deltalake, by_kernel):
        found = reader(table)
        named = found.rename_columns(list(map(exact_name, found.column_names)))
        rows = named.select([*names, "_gc_seq", "_gc_ord"]).to_pylist()
        assert Counter(map(repr, rows)) == Counter(
            repr({n: r[n] for n in (*names, "_gc_seq", "_gc_ord")}) for r in expected
        )
    latest = replay(changes, True)
    assert Counter(repr({n: r[n] for n in names}) for r in expected) == Counter(
        repr({n: r[n] for n in names}) for r in latest
    )


def check(book: Book) -> None:
    """What was sent against `changes`, `current`, the oracle, and the reading of `tests.comparing`."""
    changes = book.lake.read(PATH)
    schema = changes.schema
    landed = {
        Version(r["_gc_epoch"], r["_gc_seq"], r["_gc_ord"]): r
        for r in changes.to_pylist()
        if r["_gc_op"] != "m"
    }
    assert landed.keys() == book.sent.keys()
    columns = [f.name for f in schema if f.name not in LAKE_SYSTEM_NAMES]
    for version, line in book.sent.items():
        expected = dict.fromkeys(columns) | {_place(schema, name, s): s.value for name, s in line.items()}
        assert {name: landed[version][name] for name in columns} == expected
    current = QueryEngine([TABLE], book.lake.dataset).current(TABLE)
    system = [name for name in current.column_names if name in LAKE_SYSTEM_NAMES or name == "_gc_unknown"]
    found = Counter(repr(row) for row in current.drop_columns(system).to_pylist())
    assert found == Counter(repr(_expected(schema, line)) for line in book.shown)
    rows = [{k: v for k, v in row.items() if k not in system} for row in replay(changes, True)]
    assert Counter(map(repr, rows)) == found
    third = Changes(read(book.root / PATH))
    report = TableReport("h1", "his", "visits")
    said = Changes(QueryEngine([TABLE], book.lake.dataset).query("FROM current.visits"), ordered=False)
    compare_query(Lake(third, replay_again(third, book.schema.key, {})), said, keyed=False, report=report)
    assert (report.query, report.problems, report.differences) == ("equal", [], [])


def _lake_name(name: str) -> str:
    return f"_gc_x_{name}" if name.startswith("_gc_") else name


def _place(schema: pa.Schema, name: str, sent: Sent) -> str:
    """The one column of this name and type."""
    (found,) = (
        f.name for f in schema if evolution.parse_name(f.name)[0] == _lake_name(name) and f.type == sent.kind
    )
    return str(found)


def _expected(schema: pa.Schema, line: Line) -> dict[str, Any]:
    shown = evolution.shown(pa.schema([f for f in schema if f.name not in LAKE_SYSTEM_NAMES]))
    row: dict[str, Any] = {one.name: None for one in shown}
    for name, sent in line.items():
        place = _place(schema, name, sent)
        one = next(one for one in shown if place in one.generations)
        row[one.name] = _as(one.kind, sent)
    return row


def _as(kind: pa.DataType, sent: Sent) -> Any:
    """Where a value is shown in another type it is equal, and to a text the digits are."""
    if sent.value is None or sent.kind == kind:
        return sent.value
    if pa.types.is_string(kind):
        return format(sent.value, "d")
    (value,) = pa.array([sent.value], sent.kind).cast(kind).to_pylist()
    assert value == sent.value
    return value


Draw = Callable[..., Any]
_KEYS = st.sampled_from([("id",), ("id",), ("id",), ("id", "no"), ()])
_KINDS = st.sampled_from(list(KINDS))


@st.composite
def _schemas(draw: st.DrawFn) -> TableSchema:
    names = draw(st.lists(st.sampled_from(COLUMNS), unique=True, max_size=3))
    columns = [Column("id", pa.int64()), Column("no", pa.string())]
    return TableSchema(NAME, (*columns, *(Column(n, draw(_KINDS)) for n in names)), draw(_KEYS))


def _rows(draw: Draw, schema: TableSchema, most: int) -> list[dict[str, Any]]:
    ids = draw(st.lists(st.integers(1, 3), unique=True, min_size=min(1, most), max_size=most))
    return [
        {"id": one, "no": f"n{one % 2}"}
        | {c.name: draw(st.none() | st.sampled_from(KINDS[c.wire])) for c in schema.columns[2:]}
        for one in ids
    ]


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_whatever_becomes_of_a_table_each_value_is_readable_exactly(data: st.DataObject) -> None:
    draw = data.draw
    with TemporaryDirectory() as root:
        book = Book(Path(root, "lake"), draw(_schemas()))
        for step in draw(st.lists(st.sampled_from("bbbasssxt"), min_size=1, max_size=8)):
            if step == "a":
                book.become(draw(_schemas()))
            elif step == "t":
                book.truncate()
            elif step in "sx":
                whole = step == "s" or not (book.schema.key or book.founded)
                book.snapshot(_rows(draw, book.schema, 3), whole)
            else:
                op = draw(
                    st.sampled_from([Op.CREATE, Op.UPDATE, Op.DELETE] if book.schema.key else [Op.CREATE])
                )
                book.batch(op, _rows(draw, book.schema, 2))
            if book.seq and draw(st.sampled_from([False, False, False, True])):
                compacted(book)
                check_materialised(book)
        if book.seq:
            check(book)
            check_materialised(book)


def test_the_stored_names_differ_whatever_the_case(tmp_path: Path) -> None:
    wide = TableSchema(NAME, tuple(Column(n, pa.int32()) for n in COLUMNS))
    book = Book(tmp_path, wide)
    book.batch(Op.CREATE, [dict.fromkeys(COLUMNS, 1)])
    book.become(TableSchema(NAME, tuple(Column(n, pa.string()) for n in COLUMNS)))
    book.batch(Op.CREATE, [dict.fromkeys(COLUMNS, "x")])
    dataset = book.lake.dataset(PATH)
    assert dataset is not None
    names = dataset.schema.names
    assert len({name.casefold() for name in names}) == len(names) == len(LAKE_SYSTEM_NAMES) + 2 * len(COLUMNS)
    assert {exact_name(name) for name in names} == set(book.lake.read(PATH).column_names)
    check(book)


def test_a_table_of_1500_columns_becomes_another(tmp_path: Path) -> None:
    names = [f"列{i}" for i in range(1_500)]
    book = Book(tmp_path, TableSchema(NAME, tuple(Column(n, pa.int32()) for n in names)))
    book.batch(Op.CREATE, [dict.fromkeys(names, 1)])
    kinds = [pa.int64() if i % 2 else pa.date32() for i in range(1_500)]
    book.become(TableSchema(NAME, tuple(map(Column, names, kinds))))
    book.batch(Op.CREATE, [{n: 2 if i % 2 else dt.date(2026, 11, 27) for i, n in enumerate(names)}])
    current = QueryEngine([TABLE], book.lake.dataset).current(TABLE)
    assert current.num_rows == 2
    values = sorted(
        (row["列0"], row["_gc_gen1_列0"], row["列1"]) for row in current.to_pylist()[::-1] if row["列0"]
    )
    assert values == [(dt.date(2026, 11, 27), None, 2)]
    assert {row["_gc_gen1_列0"]: row["列1"] for row in current.to_pylist()} == {None: 2, 1: 1}


@pytest.mark.parametrize("as_of", [None, Version(1, 3)])
def test_until_a_snapshot_under_the_new_key_has_ended_the_table_stands_still(
    tmp_path: Path, as_of: Version | None
) -> None:
    by_id = TableSchema(NAME, (Column("id", pa.int64()), Column("no", pa.string())), ("id",))
    book = Book(tmp_path, by_id)
    book.batch(Op.CREATE, [{"id": 1, "no": "a"}, {"id": 2, "no": "b"}])
    book.become(TableSchema(NAME, by_id.columns, ("no",)))
    book.batch(Op.UPDATE, [{"id": 3, "no": "a"}])
    book.snapshot([{"id": 3, "no": "a"}], False)
    engine = QueryEngine([TABLE], book.lake.dataset)
    assert sorted(engine.current(TABLE, as_of)["id"].to_pylist()) == [1, 2]
    book.snapshot([{"id": 3, "no": "a"}], True)
    assert sorted(engine.current(TABLE, as_of)["id"].to_pylist()) == ([3] if as_of is None else [1, 2])
    check(book)
