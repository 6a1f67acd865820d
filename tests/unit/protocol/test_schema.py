"""Schemas: one spelling, one fingerprint, and nothing but Rejected from foreign bytes."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Rejected
from protocol.limits import COLUMNS_MAX, SCHEMA_BYTES_MAX
from protocol.names import TableName
from protocol.schema import Column, TableSchema, canonical_json, load_json, wire_from_json, wire_to_json

from .strategies import schemas, wires

TABLE = TableName(None, None, "t")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=20, deadline=None)
@given(schemas())
def test_round_trip(schema: TableSchema) -> None:
    again = TableSchema.from_bytes(schema.content)
    assert again == schema
    assert again.fingerprint == schema.fingerprint
    assert again.arrow.equals(schema.arrow)
    assert [again.columns[i].name for i in again.key_positions] == list(schema.key)


@settings(max_examples=20, deadline=None)
@given(schemas(), schemas())
def test_fingerprint_names_one_schema(a: TableSchema, b: TableSchema) -> None:
    assert (a.fingerprint == b.fingerprint) == (a == b)


@settings(deadline=None)
@given(wires(3))
def test_wire_types_round_trip(wire: pa.DataType) -> None:
    assert wire_from_json(json.loads(canonical_json(wire_to_json(wire)))) == wire


@pytest.mark.parametrize(
    "wire",
    [
        pa.uint64(),
        pa.large_string(),
        pa.time64("us"),
        pa.timestamp("ns"),
        pa.timestamp("us", tz="Asia/Shanghai"),
        pa.decimal256(50, 2),
        pa.date64(),
        pa.null(),
        pa.large_list(pa.int8()),
        pa.dictionary(pa.int32(), pa.string()),
        pa.list_(pa.uint8()),
    ],
)
def test_other_types_do_not_travel(wire: pa.DataType) -> None:
    with pytest.raises(Rejected):
        wire_to_json(wire)


@settings(max_examples=40, deadline=None)
@given(schemas(), st.data())
def test_changed_bytes_are_refused_or_another_schema(schema: TableSchema, data: st.DataObject) -> None:
    content = bytearray(schema.content)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = TableSchema.from_bytes(bytes(content))
    except Rejected:
        return
    assert again.content == content


@given(JSON)
def test_any_json_is_refused_or_a_wire_type(document: object) -> None:
    try:
        wire = wire_from_json(document)
    except Rejected:
        return
    assert wire_from_json(wire_to_json(wire)) == wire


@given(JSON)
def test_any_json_is_no_schema(document: object) -> None:
    with pytest.raises(Rejected):
        TableSchema.from_bytes(canonical_json(document))


@given(st.binary(max_size=40))
def test_any_bytes_are_no_schema(data: bytes) -> None:
    with pytest.raises(Rejected):
        TableSchema.from_bytes(data)


def test_deep_json_is_refused() -> None:
    with pytest.raises(Rejected):
        load_json(b"[" * 200_000)


def test_bounds() -> None:
    with pytest.raises(Rejected) as refused:
        TableSchema.from_bytes(b" " * (SCHEMA_BYTES_MAX + 1))
    assert refused.value.code == "GC-5007"
    TableSchema(TABLE, tuple(Column(str(i), pa.int8()) for i in range(COLUMNS_MAX)))
    with pytest.raises(Rejected):
        TableSchema(TABLE, tuple(Column(str(i), pa.int8()) for i in range(COLUMNS_MAX + 1)))


def test_half_a_surrogate_pair_is_no_column_name() -> None:
    with pytest.raises(Rejected):
        TableSchema(TABLE, (Column("\ud800", pa.int8()),))


def test_columns_keep_their_order_and_members_are_sorted() -> None:
    schema = TableSchema(
        TABLE, (Column("b", pa.int8()), Column("a", pa.int8())), ("a", "b"), {"z": "1", "a": "2"}
    )
    document = json.loads(schema.content)
    assert [c["name"] for c in document["columns"]] == ["b", "a"]
    assert document["key"] == ["a", "b"]
    assert list(document) == sorted(document)
    assert list(document["meta"]) == ["a", "z"]
    assert schema.key_positions == (1, 0)


def test_lake_names_escape_ours() -> None:
    schema = TableSchema(TABLE, (Column("_gc_op", pa.int8()), Column("id", pa.int8())))
    assert schema.lake_names == ("_gc_x__gc_op", "id")
