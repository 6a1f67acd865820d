"""Canonical rows: injective, the same by column as by cell, and decoded to the values that went in."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import struct
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import canonical, cells
from protocol.errors import Rejected
from protocol.limits import VALUE_INLINE_BYTES_MAX

from .strategies import SCALARS, rows, values, wires

EPOCH = dt.date(1970, 1, 1)
EXACT = Context(prec=76)


def cell(wire: pa.DataType, value: Any) -> bytes:
    """The simplest reading of the table in docs/protocol.md §5, one value at a time."""
    if value is None:
        return b"\x00"
    if pa.types.is_boolean(wire):
        return bytes((1, value))
    if pa.types.is_integer(wire):
        return b"\x02" + signed(value, 8)
    if pa.types.is_floating(wire):
        return b"\x03" + (struct.pack(">d", math.nan if math.isnan(value) else value))
    if pa.types.is_decimal(wire):
        return sized(4, shortest(value).encode())
    if pa.types.is_string(wire):
        return inline_or_large(5, value.encode())
    if pa.types.is_binary(wire):
        return inline_or_large(6, value)
    if pa.types.is_date32(wire):
        return b"\x07" + signed((value - EPOCH).days, 4)
    if pa.types.is_timestamp(wire):
        return (b"\x08" if wire.tz is None else b"\x09") + signed(value, 8)
    if pa.types.is_list(wire):
        return struct.pack(">BI", 10, len(value)) + b"".join(cell(wire.value_type, v) for v in value)
    return struct.pack(">BI", 11, wire.num_fields) + b"".join(cell(f.type, value[f.name]) for f in wire)


def signed(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big", signed=True)


def sized(tag: int, data: bytes) -> bytes:
    return bytes((tag,)) + len(data).to_bytes(4, "big") + data


def inline_or_large(tag: int, data: bytes) -> bytes:
    return (
        sized(tag, data) if len(data) <= VALUE_INLINE_BYTES_MAX else b"\x0c" + hashlib.sha256(data).digest()
    )


def shortest(value: Decimal) -> str:
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    number = int("".join(map(str, digits)) or "0")
    if not number:
        return "0"
    while exponent < 0 and number % 10 == 0:
        number, exponent = number // 10, exponent + 1
    text = str(number * 10 ** max(exponent, 0)).rjust(1 - min(exponent, 0), "0")
    text = text if exponent >= 0 else f"{text[:exponent]}.{text[exponent:]}"
    return f"-{text}" if sign else text


def plain(wire: pa.DataType, value: Any) -> Any:
    """What `decode` gives for a value: dates as days, structs as lists, comparable NaN and zero."""
    if value is None:
        return None
    if pa.types.is_floating(wire):
        return "nan" if math.isnan(value) else (value, math.copysign(1, value))
    if pa.types.is_date32(wire):
        return value if isinstance(value, int) else (value - EPOCH).days
    if pa.types.is_list(wire):
        return [plain(wire.value_type, v) for v in value]
    if pa.types.is_struct(wire):
        items = [value[f.name] for f in wire] if isinstance(value, dict) else value
        return [plain(f.type, v) for f, v in zip(wire, items, strict=True)]
    return value


@st.composite
def columns(draw: st.DrawFn, count: int = 3) -> tuple[pa.DataType, list[Any]]:
    wire = draw(wires())
    return wire, draw(st.lists(values(wire), min_size=count, max_size=count))


@settings(max_examples=50, deadline=None)
@given(columns(), st.integers(0, 2))
def test_columns_equal_cells_and_decode(column: tuple[pa.DataType, list[Any]], skipped: int) -> None:
    wire, items = column
    array = pa.array(items, wire)
    expected = [cell(wire, v) for v in items]
    assert canonical.encode_column(array) == expected
    assert canonical.encode_column(array.slice(skipped)) == expected[skipped:]
    assert canonical.encode_column(pa.chunked_array([array.slice(0, 1), array.slice(1)])) == expected
    for encoded, value in zip(expected, items, strict=True):
        (decoded,) = canonical.decode(encoded)
        assert plain(wire, decoded) == plain(wire, value)


@st.composite
def decimals(draw: st.DrawFn) -> tuple[pa.DataType, list[Any]]:
    """Of any precision and scale, many of them with zeros at their end."""
    precision = draw(st.integers(1, 38))
    scale = draw(st.integers(0, precision))
    units = st.integers(0, precision).flatmap(
        lambda zeros: st.integers(1 - 10 ** (precision - zeros), 10 ** (precision - zeros) - 1).map(
            lambda n: n * 10**zeros
        )
    )
    exact = units.map(lambda n: Decimal(n).scaleb(-scale, context=EXACT))
    return pa.decimal128(precision, scale), draw(st.lists(st.none() | exact, max_size=20))


@settings(max_examples=60, deadline=None)
@given(
    decimals()
    | st.sampled_from(list(SCALARS)).flatmap(
        lambda wire: st.tuples(st.just(wire), st.lists(values(wire), max_size=20))
    )
)
def test_long_columns_equal_cells(column: tuple[pa.DataType, list[Any]]) -> None:
    wire, items = column
    array = pa.array(items, wire)
    expected = [cell(wire, value) for value in items]
    assert canonical.encode_column(array) == expected
    assert canonical.encode_rows([array, array]) == [one * 2 for one in expected]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_what_is_too_much_at_once_is_encoded_in_parts(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.array([f"内科{i}" for i in range(count)])
    arrays = [texts, texts.dictionary_encode(), pa.array([None] * count, pa.int64())]
    asides = [
        [{"column": "c", "reason": "range", "original": b"%d" % i, "sha256": None}] for i in range(count)
    ]
    whole = canonical.encode_rows(arrays, "abc", asides)
    monkeypatch.setattr(canonical, "_BYTES_AT_ONCE", 1)
    assert canonical.encode_rows(arrays, "abc", asides) == whole
    assert len(set(whole)) == count


def test_a_dictionary_counts_as_what_it_stands_for() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 50_000]))
    assert cells.most_bytes(array) > 5_000_000_000


@settings(max_examples=40, deadline=None)
@given(columns(count=6))
def test_injective(column: tuple[pa.DataType, list[Any]]) -> None:
    wire, items = column
    encoded = canonical.encode_column(pa.array(items, wire))
    for a, x in zip(encoded, items, strict=True):
        for b, y in zip(encoded, items, strict=True):
            assert (a == b) == (plain(wire, x) == plain(wire, y))


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), min_size=2, max_size=6))
def test_rows_do_not_run_into_each_other(pairs: list[tuple[str, str]]) -> None:
    encoded = canonical.encode_rows([pa.array([p[0] for p in pairs]), pa.array([p[1] for p in pairs])])
    for a, x in zip(encoded, pairs, strict=True):
        for b, y in zip(encoded, pairs, strict=True):
            assert (a == b) == (x == y)


@given(st.lists(st.none() | st.sampled_from(["内科", "外科", ""]), min_size=1))
def test_dictionary_encoding_changes_nothing(texts: list[str | None]) -> None:
    array = pa.array(texts, pa.string())
    assert canonical.encode_column(array.dictionary_encode()) == canonical.encode_column(array)


def test_a_null_inside_a_dictionary_is_null() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int32()), pa.array(["a", None]))
    assert canonical.encode_column(array)[1:] == [b"\x00", b"\x00"]


def test_integers_of_any_width_and_floats_of_both_are_equal() -> None:
    widths = [pa.int8(), pa.int16(), pa.int32(), pa.int64()]
    assert len({canonical.encode_column(pa.array([5], w))[0] for w in widths}) == 1
    assert len({canonical.encode_column(pa.array([1.5], w))[0] for w in (pa.float32(), pa.float64())}) == 1


def test_a_large_value_is_its_sha256_wherever_it_is_kept() -> None:
    value = b"x" * (VALUE_INLINE_BYTES_MAX + 1)
    (inline,) = canonical.encode_column(pa.array([value]))
    aside = {
        "column": "a",
        "reason": "large",
        "original": None,
        "sha256": hashlib.sha256(value).digest(),
        "bytes": 1,
    }
    assert inline == canonical.large_cell(value) == canonical.aside_cell(aside)
    assert canonical.encode_rows([pa.array([None], pa.binary())], ["a"], [[aside]]) == [inline]


def test_asides_of_columns_that_are_not_encoded_change_nothing() -> None:
    aside = {"column": "z", "reason": "range", "original": b"0", "sha256": None, "bytes": None}
    assert canonical.encode_rows([pa.array([1])], ["a"], [[aside]]) == canonical.encode_rows([pa.array([1])])


def test_other_types_have_no_canonical_form() -> None:
    with pytest.raises(Rejected):
        canonical.encode_column(pa.array([1], pa.duration("us")))


@given(st.lists(st.binary(max_size=5)), st.randoms(use_true_random=False))
def test_set_hash_ignores_order_and_counts_equal_rows(encoded: list[bytes], random: Any) -> None:
    digests = canonical.digests(encoded)
    total = canonical.add_to_set_hash(0, digests)
    shuffled = list(digests)
    random.shuffle(shuffled)
    half = len(shuffled) // 2
    assert canonical.add_to_set_hash(canonical.add_to_set_hash(0, shuffled[:half]), shuffled[half:]) == total
    assert canonical.add_to_set_hash(total, [b"\x00" * 15 + b"\x01"] * 2) != total


@settings(max_examples=300)
@given(
    st.binary(max_size=30)
    | st.lists(st.sampled_from([bytes((i,)) for i in range(14)]), max_size=12).map(b"".join)
)
def test_any_bytes_are_a_row_or_refused(data: bytes) -> None:
    try:
        decoded = canonical.decode(data)
    except Rejected:
        return
    assert len(decoded) <= len(data)


@settings(max_examples=20, deadline=None)
@given(rows())
def test_whole_rows(sample: Any) -> None:
    encoded = canonical.encode_rows(sample.arrays)
    assert len(encoded) == sample.count
    for i, row in enumerate(encoded):
        assert len(canonical.decode(row)) == len(sample.arrays)
        assert row == b"".join(canonical.encode_column(a.slice(i, 1))[0] for a in sample.arrays)
