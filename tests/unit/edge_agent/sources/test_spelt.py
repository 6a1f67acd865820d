"""Values as a database spells them: exactly what Arrow holds, and all else aside in its own spelling."""

from __future__ import annotations

from datetime import date, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.spelt import Odd, read, spell
from protocol.canonical import decode, encode_column

RANGE, CHARSET = "range", "charset"
DAY, MOMENT, MOMENT_TZ = pa.date32(), pa.timestamp("us"), pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("wire", "texts", "odd"),
    [
        (DAY, [b"2024-02-29", None, b"0000-00-00", b"2021-02-30"], {2: RANGE, 3: RANGE}),
        (DAY, [b"infinity", b"0044-03-15 BC", b"10000-01-01", b"0000-12-31"], dict.fromkeys(range(4), RANGE)),
        (MOMENT, [b"0001-01-01 00:00:00", b"0000-12-31 23:59:59", b"-infinity"], {1: RANGE, 2: RANGE}),
        (MOMENT_TZ, [b"9999-12-31 23:59:59.999999+00", b"10000-01-01 00:00:00+00"], {1: RANGE}),
        (pa.decimal128(4, 2), [b"NaN", b"-12.30", None, b"123.00", b"1.234"], {0: RANGE, 3: RANGE, 4: RANGE}),
        (pa.int16(), [b"32768", b"-32768"], {0: RANGE}),
        (pa.float64(), [b"NaN", b"-Infinity", b"1e-320"], {}),
        (pa.bool_(), [b"t", b"f", None], {}),
        (pa.string(), [b"\xff", "张".encode(), "str", b""], {0: CHARSET}),
        (pa.binary(), [b"\\x00ff", b"\\x", None], {}),
    ],
)
def test_what_does_not_fit_stands_aside(
    wire: pa.DataType, texts: list[bytes | str | None], odd: dict[int, str]
) -> None:
    array, found = read(wire, texts)
    assert array.type == wire
    assert (found or {}) == {row: (reason, texts[row]) for row, reason in odd.items()}
    nulls = {row for row, text in enumerate(texts) if text is None or row in odd}
    assert {row for row in range(len(texts)) if not array[row].is_valid} == nulls


def test_no_rows() -> None:
    for wire in (DAY, MOMENT, MOMENT_TZ, pa.bool_(), pa.binary(), pa.decimal128(5, 1), pa.string()):
        array, odd = read(wire, [])
        assert (array.type, len(array), odd) == (wire, 0, None)


def _round_trip(wire: pa.DataType, text: str) -> str:
    array, odd = read(wire, [text.encode()])
    assert odd is None
    return spell(wire, decode(encode_column(array)[0])[0])


@given(st.dates())
def test_dates_come_back(value: date) -> None:
    assert _round_trip(DAY, str(value)) == str(value)


@given(st.datetimes())
def test_moments_come_back(value: datetime) -> None:
    assert _round_trip(MOMENT, str(value)) == str(value)
    assert _round_trip(MOMENT_TZ, f"{value}+00") == f"{value}+00:00"


@given(st.binary(), st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1))
def test_other_keys_come_back(data: bytes, flag: bool, number: int) -> None:
    assert _round_trip(pa.binary(), f"\\x{data.hex()}") == f"\\x{data.hex()}"
    assert _round_trip(pa.bool_(), "t" if flag else "f") == ("t" if flag else "f")
    assert _round_trip(pa.int64(), str(number)) == str(number)


@given(st.lists(st.sampled_from([b"2024-01-01", b"0000-00-00", None, b"2024-13-01", b"infinity"])))
def test_every_row_keeps_its_place(texts: list[bytes | None]) -> None:
    array, odd = read(DAY, texts)
    expected: dict[int, Odd] = {
        row: (RANGE, text) for row, text in enumerate(texts) if text not in (None, b"2024-01-01")
    }
    assert (odd or {}) == expected
    assert [v for v in array.to_pylist() if v] == [date(2024, 1, 1)] * texts.count(b"2024-01-01")


ODD_DAYS = st.sampled_from([b"0000-00-00", b"infinity", b"0044-03-15 BC", b"2021-02-30", b"12021-01-01", b""])


@given(st.lists(st.dates().map(lambda day: str(day).encode()) | ODD_DAYS | st.none(), max_size=40))
def test_a_column_is_what_its_values_are_alone(texts: list[bytes | None]) -> None:
    array, odd = read(DAY, texts)
    alone = [read(DAY, [text]) for text in texts]
    assert array.to_pylist() == [one.to_pylist()[0] for one, _ in alone]
    assert (odd or {}) == {row: found[0] for row, (_, found) in enumerate(alone) if found}
