"""The rule of generations: which type goes on in which column, and which older one is shown as the newest."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing import evolution
from central_ingest.landing.evolution import Shown

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64()]
TEXT, ZONED, PLAIN = pa.string(), pa.timestamp("us", "UTC"), pa.timestamp("us")
KINDS = [
    pa.bool_(),
    *INTEGERS,
    pa.float32(),
    pa.float64(),
    pa.decimal128(5, 0),
    pa.decimal128(7, 2),
    pa.decimal128(9, 2),
    pa.decimal128(20, 0),
    pa.decimal128(38, 18),
    TEXT,
    pa.binary(),
    pa.date32(),
    PLAIN,
    ZONED,
    pa.list_(pa.int32()),
    pa.struct([("a", pa.int32())]),
]
MERGED = {
    ("int8", "int16"),
    ("int8", "int32"),
    ("int8", "int64"),
    ("int16", "int32"),
    ("int16", "int64"),
    ("int32", "int64"),
    ("int8", "float"),
    ("int8", "double"),
    ("int16", "float"),
    ("int16", "double"),
    ("int32", "double"),
    ("float", "double"),
    *((f"int{bits}", "string") for bits in (8, 16, 32, 64)),
    *((f"int{bits}", "decimal128(20, 0)") for bits in (8, 16, 32, 64)),
    *((f"int{bits}", "decimal128(38, 18)") for bits in (8, 16, 32, 64)),
    *((f"int{bits}", f"decimal128({digits})") for bits in (8, 16) for digits in ("5, 0", "7, 2", "9, 2")),
    *(("decimal128(5, 0)", f"decimal128({digits})") for digits in ("7, 2", "9, 2", "20, 0", "38, 18")),
    ("decimal128(7, 2)", "decimal128(9, 2)"),
    ("decimal128(7, 2)", "decimal128(38, 18)"),
    ("decimal128(9, 2)", "decimal128(38, 18)"),
    ("decimal128(20, 0)", "decimal128(38, 18)"),
}
"""All pairs of KINDS of which the older is shown as the newer; docs/decisions/0023 has the same table."""


def test_the_table_of_what_is_converted() -> None:
    found = {
        (str(old), str(new))
        for old in KINDS
        for new in KINDS
        if old != new and evolution.exact(pa.field("n", old), pa.field("n", new))
    }
    assert found == MERGED


@pytest.mark.parametrize(("old", "new"), [(a, b) for a in KINDS for b in KINDS if (str(a), str(b)) in MERGED])
def test_what_is_converted_is_the_same_at_its_ends(old: pa.DataType, new: pa.DataType) -> None:
    """The least and the greatest value of each type, by Arrow, which refuses to lose a digit."""
    ends = pa.array(_ends(old), old)
    there = ends.cast(new)
    if pa.types.is_string(new):
        back = pa.array([text and int(text) for text in there.to_pylist()], old)
    else:
        back = there.cast(old)
    assert back == ends


def _ends(kind: pa.DataType) -> list[object]:
    if pa.types.is_integer(kind):
        greatest = (1 << (kind.bit_width - 1)) - 1
        return [-greatest - 1, greatest, greatest - 1, None]
    if pa.types.is_decimal(kind):
        greatest = Decimal(10**kind.precision - 1).scaleb(-kind.scale)
        return [-greatest, greatest, None]
    return [3.4028234663852886e38, 1.401298464324817e-45, None]


def test_a_number_that_mysql_fills_up_with_zeros_is_no_text() -> None:
    filled = pa.field("n", pa.int32(), metadata={"guicang.source_type": "int(5) unsigned ZEROFILL"})
    assert not evolution.exact(filled, pa.field("n", TEXT))
    assert evolution.exact(filled, pa.field("n", pa.int64()))


def _landed(*kinds: pa.DataType, name: str = "n") -> pa.Schema:
    held: pa.Schema | None = None
    for kind in kinds:
        held = evolution.united(held, pa.schema([pa.field(evolution.place(held, name, kind), kind)]))
    assert held is not None
    return held


CASES: list[tuple[list[pa.DataType], list[Shown]]] = [
    ([pa.int32()], [Shown("n", pa.int32(), ("n",))]),
    ([pa.int32(), pa.int64()], [Shown("n", pa.int64(), ("_gc_gen2_n", "n"))]),
    (
        [pa.int64(), pa.int32()],
        [Shown("n", pa.int32(), ("_gc_gen2_n",)), Shown("_gc_gen1_n", pa.int64(), ("n",))],
    ),
    ([pa.int32(), pa.int64(), pa.int32(), pa.int64()], [Shown("n", pa.int64(), ("_gc_gen2_n", "n"))]),
    (
        [pa.int32(), pa.int64(), pa.int32()],
        [Shown("n", pa.int32(), ("n",)), Shown("_gc_gen2_n", pa.int64(), ("_gc_gen2_n",))],
    ),
    (
        [PLAIN, pa.int8(), TEXT, pa.int16(), pa.int64()],
        [
            Shown("n", pa.int64(), ("_gc_gen5_n", "_gc_gen4_n", "_gc_gen2_n")),
            Shown("_gc_gen1_n", PLAIN, ("n",)),
            Shown("_gc_gen3_n", TEXT, ("_gc_gen3_n",)),
        ],
    ),
]


@pytest.mark.parametrize(("kinds", "columns"), CASES)
def test_one_column_in_the_newest_type_and_beside_it_what_is_not_exact(
    kinds: list[pa.DataType], columns: list[Shown]
) -> None:
    assert evolution.shown(_landed(*kinds)) == columns


@settings(max_examples=50, deadline=None)
@given(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=12), name=st.text(min_size=1))
def test_every_generation_is_shown_once_and_its_type_is_found_again(
    kinds: list[pa.DataType], name: str
) -> None:
    held = _landed(*kinds, name=name)
    assert [field.type for field in held] == list(dict.fromkeys(kinds))
    assert [evolution.parse_name(field.name) for field in held] == [(name, n + 1) for n in range(len(held))]
    columns = evolution.shown(held)
    assert sorted(one for column in columns for one in column.generations) == sorted(held.names)
    assert (columns[0].name, columns[0].kind) == (name, kinds[-1])
    assert {evolution.parse_name(column.name)[0] for column in columns} == {name}
    for kind in kinds:
        assert held.field(evolution.place(held, name, kind)).type == kind
