"""From batches and marks to rows of `changes`."""

from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa

from central_ingest.landing.rows import batch_rows, mark_row, stamp_landed
from protocol.batch import decode_batch, encode_batch
from protocol.change import ASIDE, KEY, LAKE_SYSTEM, TIME, MarkKind, Op
from protocol.names import TableName
from protocol.schema import Column, TableSchema

from ..sender import CAPTURED, VISITS, a_batch, a_mark

RECEIVED = 1_700_000_100_000_001
SYSTEM = [f.name for f in LAKE_SYSTEM]


def moment(micros: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros)


def test_a_batch_gets_its_system_columns() -> None:
    batch = decode_batch(a_batch(VISITS, [7, 8], Op.UPDATE), lambda _: VISITS)
    rows = batch_rows(batch, epoch=3, seq=9, received=RECEIVED)
    assert rows.column_names == [*SYSTEM, "id", "name"]
    assert list(rows.schema)[: len(SYSTEM)] == list(LAKE_SYSTEM)
    first, second = rows.to_pylist()
    assert {k: v for k, v in second.items() if v is not None} == {
        "_gc_op": "u",
        "_gc_key": batch.rows.column(1)[1].as_py(),
        "_gc_epoch": 3,
        "_gc_seq": 9,
        "_gc_ord": 1,
        "_gc_captured": moment(CAPTURED),
        "_gc_received": moment(RECEIVED),
        "_gc_date": dt.date(2023, 11, 14),
        "id": 8,
        "name": "name8",
    }
    assert (first["_gc_ord"], first["id"]) == (0, 7)


def test_extras_dictionaries_and_our_own_names_survive() -> None:
    schema = TableSchema(
        TableName(None, None, "t"), (Column("_gc_op", pa.string()), Column("word", pa.string())), ()
    )
    aside = [{"column": "word", "reason": "charset", "original": b"\xff", "sha256": None, "bytes": None}]
    system = {
        "_gc_op": pa.array([ord("r")] * 3, pa.uint8()),
        "_gc_key": pa.array([b"k" * 16] * 3, KEY),
        "_gc_old_key": pa.array([None, b"o" * 16, None], KEY),
        "_gc_source_time": pa.array([None, 5, None], TIME),
        "_gc_aside": pa.array([aside, None, None], ASIDE),
        "_gc_unchanged": pa.array([None, ["word"], None], pa.list_(pa.string())),
    }
    words = pa.array(["a", None, "a"]).dictionary_encode()
    inner = encode_batch(schema, system, [pa.array(["x", "y", "z"]), words], captured=1)
    rows = batch_rows(decode_batch(inner, lambda _: schema), 1, 1, RECEIVED)
    assert rows["_gc_op"].to_pylist() == ["r", "r", "r"]
    assert rows["_gc_x__gc_op"].to_pylist() == ["x", "y", "z"]
    assert (rows["word"].type, rows["word"].to_pylist()) == (pa.string(), ["a", None, "a"])
    assert rows["_gc_old_key"].to_pylist() == [None, b"o" * 16, None]
    assert rows["_gc_source_time"].to_pylist() == [None, moment(5), None]
    assert rows["_gc_aside"].to_pylist() == [aside, None, None]
    assert rows["_gc_unchanged"].to_pylist() == [None, ["word"], None]


def test_a_mark_is_one_row_with_its_facts() -> None:
    mark = a_mark(VISITS.table, 4, MarkKind.SNAPSHOT_BEGIN, VISITS)
    rows = mark_row(mark, VISITS, 2, 5, RECEIVED)
    assert rows.column_names == [*SYSTEM, "id", "name"]
    (row,) = rows.to_pylist()
    assert (row["_gc_op"], row["_gc_epoch"], row["_gc_seq"], row["_gc_ord"]) == ("m", 2, 5, 0)
    assert (row["id"], row["name"]) == (None, None)
    said = json.loads(row["_gc_mark"])
    assert (said["mark"], said["facts"], said["table"]) == (
        "snapshot_begin",
        {"number": 4},
        ["db", None, "visits"],
    )
    assert len(row["_gc_key"]) == 16


def test_a_mark_without_schema_has_system_columns_alone() -> None:
    assert mark_row(a_mark(VISITS.table), None, 1, 1, RECEIVED).column_names == SYSTEM


def test_marks_and_rows_of_a_table_go_into_one_commit() -> None:
    batch = batch_rows(decode_batch(a_batch(VISITS, [1]), lambda _: VISITS), 1, 1, RECEIVED)
    bare = mark_row(a_mark(VISITS.table), None, 1, 2, RECEIVED)
    both = pa.concat_tables([batch, bare], promote_options="default")
    assert both["id"].to_pylist() == [1, None]
    assert both.schema == batch.schema


def test_the_partition_is_the_day_of_receipt_in_utc() -> None:
    day = 86_400_000_000
    for received, date in ((day - 1, dt.date(1970, 1, 1)), (day, dt.date(1970, 1, 2))):
        (row,) = mark_row(a_mark(VISITS.table), None, 1, 1, received).to_pylist()
        assert row["_gc_date"] == date


def test_the_commit_stamps_its_time_and_nothing_else() -> None:
    rows = batch_rows(decode_batch(a_batch(VISITS, [1, 2]), lambda _: VISITS), 1, 1, RECEIVED)
    stamped = stamp_landed(rows, 123)
    assert stamped["_gc_landed"].to_pylist() == [moment(123)] * 2
    assert stamped.drop_columns("_gc_landed") == rows.drop_columns("_gc_landed")
    assert stamped.schema == rows.schema
