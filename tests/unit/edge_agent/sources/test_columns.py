"""Values become columns exactly, or stand aside with their original."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.columns import Carrier, Layout, build, join, weight
from edge_agent.sources.slicing import slices
from edge_agent.sources.source import Rows

WIRES = {
    Carrier.INTEGER: pa.int64(),
    Carrier.FLOAT: pa.float64(),
    Carrier.DECIMAL: pa.decimal128(9, 2),
    Carrier.NUMBER_TEXT: pa.string(),
    Carrier.TEXT: pa.string(),
    Carrier.BINARY: pa.binary(),
}

CASES: list[tuple[Carrier, Any, Any, tuple[str, bytes] | None]] = [
    (Carrier.INTEGER, 2**63 - 1, 2**63 - 1, None),
    (Carrier.INTEGER, 2**63, None, ("range", b"9223372036854775808")),
    (Carrier.INTEGER, 1.0, None, ("type", b"1.0")),
    (Carrier.INTEGER, True, None, ("type", b"True")),
    (Carrier.INTEGER, bytearray("五".encode()), None, ("type", "五".encode())),
    (Carrier.INTEGER, b"\x01\xff", None, ("type", b"\x01\xff")),
    (Carrier.INTEGER, bytearray(b"\xff"), None, ("charset", b"\xff")),
    (Carrier.FLOAT, float("inf"), float("inf"), None),
    (Carrier.FLOAT, 1, None, ("type", b"1")),
    (Carrier.DECIMAL, 1.1, Decimal("1.10"), None),
    (Carrier.DECIMAL, -9999999.99, Decimal("-9999999.99"), None),
    (Carrier.DECIMAL, 7, Decimal("7.00"), None),
    (Carrier.DECIMAL, 1e6, Decimal("1000000.00"), None),
    (Carrier.DECIMAL, 1.28e-23, None, ("range", b"1.28e-23")),
    (Carrier.DECIMAL, -0.0, Decimal("0.00"), None),
    (Carrier.DECIMAL, 1.234, None, ("range", b"1.234")),
    (Carrier.DECIMAL, 1e7, None, ("range", b"10000000.0")),
    (Carrier.DECIMAL, float("-inf"), None, ("range", b"-inf")),
    (Carrier.DECIMAL, bytearray(b"1.1"), None, ("type", b"1.1")),
    (Carrier.NUMBER_TEXT, 0.1, "0.1", None),
    (Carrier.NUMBER_TEXT, 10**18, "1" + "0" * 18, None),
    (Carrier.NUMBER_TEXT, "5", None, ("type", b"5")),
    (Carrier.TEXT, bytearray("张".encode()), "张", None),
    (Carrier.TEXT, "a\0b", "a\0b", None),
    (Carrier.TEXT, b"blob", None, ("type", b"blob")),
    (Carrier.TEXT, bytearray(b"\xd5\xc5"), None, ("charset", b"\xd5\xc5")),
    (Carrier.TEXT, bytearray(b"\xed\xa0\x80"), None, ("charset", b"\xed\xa0\x80")),
    (Carrier.TEXT, "\ud800", None, ("charset", b"\xed\xa0\x80")),
    (Carrier.TEXT, 5, None, ("type", b"5")),
    (Carrier.BINARY, b"", b"", None),
    (Carrier.BINARY, bytearray(b"text"), None, ("type", b"text")),
]


@pytest.mark.parametrize(("carrier", "value", "kept", "odd"), CASES)
def test_a_value_is_carried_or_stands_aside(
    carrier: Carrier, value: Any, kept: Any, odd: tuple[str, bytes] | None
) -> None:
    array, asides = build(carrier, WIRES[carrier], [None, value])
    assert array.type == WIRES[carrier]
    assert array.to_pylist() == [None, kept]
    assert asides == ({1: odd} if odd else None)


floats = (
    st.floats(allow_nan=False)
    | st.floats(-2, 2).map(lambda f: f * 1e-20)
    | st.decimals(-9999, 9999, places=2).map(float)
)
numbers = st.integers(-(2**63), 2**63 - 1) | floats


@given(
    # A column of floats alone is read at once, one with an integer among them value by value.
    st.lists(st.none() | floats, max_size=8) | st.lists(st.none() | numbers, max_size=8),
    st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p))),
)
def test_a_decimal_is_exact_or_aside(values: list[int | float | None], digits: tuple[int, int]) -> None:
    precision, scale = digits
    array, odd = build(Carrier.DECIMAL, pa.decimal128(precision, scale), values)
    for row, (value, kept) in enumerate(zip(values, array.to_pylist(), strict=True)):
        exact = None if value is None else Decimal(repr(value))
        fits = exact is not None and exact.is_finite() and _fits(Fraction(exact), precision, scale)
        assert kept == (exact if fits else None)
        expected = None if fits or value is None else ("range", repr(value).encode())
        assert (odd or {}).get(row) == expected


def _fits(exact: Fraction, precision: int, scale: int) -> bool:
    scaled = exact * 10**scale
    return scaled.denominator == 1 and bool(abs(scaled) < 10**precision)


def test_asides_of_several_columns_meet_in_their_row() -> None:
    layout = Layout(("a", "b"), (pa.int64(), pa.string()), (Carrier.INTEGER, Carrier.TEXT))
    rows = layout.rows([(1, "x"), ("one", 2), (3, None)])
    assert rows.asides is not None
    assert [None if a is None else [e["column"] for e in a] for a in rows.asides] == [None, ["a", "b"], None]
    assert weight(rows) == rows.nbytes + len(b"one") + len(b"2")
    joined = join([layout.rows([]), layout.rows([(1, "x")]), rows])
    assert joined.asides == [None, *rows.asides]
    assert joined.columns[0].to_pylist() == [1, 1, None, 3]


@given(
    st.lists(st.text(max_size=50), max_size=60),
    st.integers(1, 20),
    st.integers(1, 400),
    st.none() | st.integers(0, 500),
)
def test_slices_hold_every_record_once_within_their_bounds(
    texts: list[str], rows_max: int, bytes_max: int, row_bytes: int | None
) -> None:
    left = list(texts)

    layout = Layout(("a",), (pa.string(),), (Carrier.TEXT,))

    def fetch(count: int) -> Rows:
        taken = [(text,) for text in left[:count]]
        del left[:count]
        return layout.rows(taken)

    pieces = list(slices(fetch, rows_max, bytes_max, row_bytes))
    assert [v for piece in pieces for v in piece.columns[0].to_pylist()] == texts
    assert all(p.count == 1 or (p.count <= rows_max and weight(p) <= bytes_max) for p in pieces)
