"""Differences between an index and what was read: against plain dictionaries, and what cannot be a key."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.capture.diff import count_ops, encode, index_of, key_rows, keyed_ops, select
from edge_agent.sources.columns import aside
from edge_agent.sources.source import Rows
from protocol import canonical
from protocol.change import Op
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import Column, TableSchema

NAME = TableName(None, None, "t")
SECRET = b"k" * 32
PAIR = TableSchema(NAME, (Column("v", pa.string()), Column("id", pa.int64())), ("id",))

states = st.dictionaries(st.integers(0, 6), st.sampled_from("abc"))


def rows_of(state: dict[int, str]) -> Rows:
    return Rows([pa.array(state.values(), pa.string()), pa.array(state.keys(), pa.int64())])


@given(states, states)
def test_keyed_ops_are_what_happened_to_each_row(old: dict[int, str], new: dict[int, str]) -> None:
    index = index_of(PAIR, encode(PAIR, rows_of(old), SECRET))
    encoded = encode(PAIR, rows_of(new), SECRET)
    ops = dict(zip(new, keyed_ops(index, encoded, snapshot=False), strict=True))
    for key, value in new.items():
        if key not in old:
            assert ops[key] is Op.CREATE
        else:
            assert ops[key] is (None if old[key] == value else Op.UPDATE)
    assert keyed_ops(index, encoded, snapshot=True) == [Op.READ] * len(new)


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_count_ops_use_the_old_index_up(old: list[str], new: list[str]) -> None:
    remaining = Counter(text.encode() for text in old)
    ops = count_ops(remaining, [text.encode() for text in new], snapshot=False)
    created = Counter(text for text, op in zip(new, ops, strict=True) if op is Op.CREATE)
    assert created == Counter(new) - Counter(old)
    assert +remaining == Counter(text.encode() for text in (Counter(old) - Counter(new)).elements())
    before = remaining.copy()
    assert count_ops(remaining, [b"a"], snapshot=True) == [Op.READ]
    assert remaining == before


def test_digests_are_keyed_and_keys_are_canonical() -> None:
    rows = rows_of({7: "a", 8: "b"})
    one, other = encode(PAIR, rows, SECRET), encode(PAIR, rows, b"o" * 32)
    assert one.keys == [b"\x02" + (7).to_bytes(8, "big"), b"\x02" + (8).to_bytes(8, "big")]
    assert one.digests == [canonical.digest(line, SECRET) for line in one.rows]
    assert not set(one.digests) & set(other.digests)
    keyless = TableSchema(NAME, PAIR.columns)
    assert encode(keyless, rows, SECRET).keys == []


@pytest.mark.parametrize(
    "rows",
    [
        Rows([pa.array(["a"]), pa.array([None], pa.int64())]),
        Rows([pa.array(["a"]), pa.array([None], pa.int64())], [[aside("id", "type", b"seven")]]),
    ],
    ids=["null", "aside"],
)
def test_a_key_that_is_null_or_aside_is_none(rows: Rows) -> None:
    with pytest.raises(Rejected, match="GC-2004"):
        encode(PAIR, rows, SECRET)


def test_a_value_aside_beside_the_key_is_a_value() -> None:
    rows = Rows([pa.nulls(2, pa.string()), pa.array([1, 2])], [[aside("v", "charset", b"\xff")], None])
    assert len(set(encode(PAIR, rows, SECRET).digests)) == 2


def test_a_key_that_stands_twice_is_refused() -> None:
    rows = Rows([pa.array(["a", "b"]), pa.array([1, 1])])
    with pytest.raises(Rejected, match="GC-2005"):
        index_of(PAIR, encode(PAIR, rows, SECRET))


KEY_VALUES: list[tuple[pa.DataType, list[Any]]] = [
    (pa.bool_(), [True, False]),
    (pa.int8(), [-128, 0]),
    (pa.int64(), [-(2**63), 2**63 - 1]),
    (pa.decimal128(12, 3), [Decimal("-0.500"), Decimal("100.000")]),
    (pa.string(), ["", "甲"]),
    (pa.binary(), [b"", b"\x00"]),
    (pa.date32(), [date(1, 1, 1), date(9999, 12, 31)]),
    (pa.timestamp("us"), [datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(2024, 2, 29)]),
    (pa.timestamp("us", tz="UTC"), [-1, 10**15]),
]


@pytest.mark.parametrize(("wire", "values"), KEY_VALUES, ids=[str(wire) for wire, _ in KEY_VALUES])
def test_rows_of_deletions_hold_the_typed_key_and_nothing_else(wire: pa.DataType, values: list[Any]) -> None:
    schema = TableSchema(
        NAME, (Column("v", pa.string()), Column("b", wire), Column("a", pa.int32())), ("a", "b")
    )
    rows = Rows([pa.array(["x", "y"]), pa.array(values, wire), pa.array([1, 2], pa.int32())])
    keys = encode(schema, rows, SECRET).keys
    made = key_rows(schema, keys)
    assert [c.type for c in made.columns] == [c.wire for c in schema.columns]
    assert made.columns[0].null_count == 2
    assert made.columns[1].equals(rows.columns[1])
    assert made.columns[2].equals(rows.columns[2])
    assert encode(schema, made, SECRET).keys == keys


def test_selecting_rows_takes_their_asides_along() -> None:
    entry = aside("v", "charset", b"\xff")
    rows = Rows([pa.array(["a", None, "c"]), pa.array([1, 2, 3])], [None, [entry], None])
    taken = select(rows, [1, 2])
    assert taken.columns[1].to_pylist() == [2, 3]
    assert taken.asides == [[entry], None]
    assert select(rows, [0, 1, 2]) is rows
    assert select(rows, []).count == 0
