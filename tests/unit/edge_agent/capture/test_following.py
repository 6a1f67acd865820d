"""Values of followed columns: whatever lies within the distance lies behind the bound, in the column's own order."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.capture.following import AHEAD, Kind, behind, clock, credible, kind_of, place
from protocol.canonical import decode, encode_rows
from protocol.schema import Column

NUMBER = Column("n", pa.int64())
AMOUNT = Column("n", pa.decimal128(20, 2))
DATE = Column("d", pa.date32())
LOCAL = Column("t", pa.timestamp("us"))
ZONED = Column("t", pa.timestamp("us", tz="UTC"))
TEXT = Column("t", pa.string())
FORMS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M",
    "%Y%m%d%H%M%S",
    "%Y-%m-%d",
    "%Y%m%d",
)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))
distances = st.floats(0, 10_000_000)


def canonical(column: Column, value: Any) -> bytes:
    return encode_rows([pa.array([value], column.wire)])[0]


def bound(column: Column, value: Any, distance: float) -> Any:
    at = place(column, canonical(column, value))
    assert at is not None
    return decode(behind(column, at, distance))[0]


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (pa.int8(), Kind.NUMBER),
        (pa.decimal128(20, 0), Kind.NUMBER),
        (pa.date32(), Kind.DATE),
        (pa.timestamp("us", tz="UTC"), Kind.MOMENT),
        (pa.string(), Kind.TEXT),
        (pa.float64(), None),
        (pa.bool_(), None),
        (pa.binary(), None),
    ],
    ids=str,
)
def test_what_can_be_followed(wire: pa.DataType, kind: Kind | None) -> None:
    assert kind_of(Column("c", wire)) is kind


@given(value=st.integers(-(2**31), 2**31 - 1), distance=st.integers(0, 2**40))
def test_numbers(value: int, distance: int) -> None:
    assert bound(NUMBER, value, distance) == value - distance - 1
    assert bound(AMOUNT, Decimal(value), distance) == Decimal(value - distance) - Decimal("0.01")


@pytest.mark.parametrize(
    ("wire", "value", "distance", "expected"),
    [
        (pa.int16(), 5, 100_000, -(2**15)),
        (pa.int32(), -5, 2.0**31, -(2**31)),
        (pa.int64(), 5, 1e300, -(2**63)),
        (pa.decimal128(38, 0), Decimal(10**37), 3, Decimal(10**37 - 4)),
        (pa.decimal128(38, 2), Decimal(10**35), 0.5, Decimal("99999999999999999999999999999999999.49")),
        (pa.decimal128(4, 1), Decimal(-900), 500, Decimal("-999.9")),
        (pa.decimal128(38, 0), Decimal(5), 1e300, Decimal(1 - 10**38)),
    ],
    ids=str,
)
def test_numbers_of_any_length_have_a_bound_of_their_type(
    wire: pa.DataType, value: Any, distance: float, expected: Any
) -> None:
    assert bound(Column("c", wire), value, distance) == expected


@given(moment=moments, distance=distances)
def test_moments_and_dates(moment: datetime, distance: float) -> None:
    epoch = datetime(1970, 1, 1)
    exact = (moment - epoch) // timedelta(microseconds=1) - int(distance * 1_000_000)
    for column in (LOCAL, ZONED):
        value = moment.replace(tzinfo=UTC) if column is ZONED else moment
        assert bound(column, value, distance) == exact - 1
    day = bound(DATE, moment.date(), distance)
    assert date(1970, 1, 1) + timedelta(day + 1) <= moment.date() - timedelta(seconds=distance)


@given(moment=moments, back=distances, form=st.sampled_from(FORMS), distance=distances)
def test_text_is_moved_in_its_own_spelling(moment: datetime, back: float, form: str, distance: float) -> None:
    """Whatever was spelt within the distance sorts behind the bound, though its spelling lost the rest."""
    lower = bound(TEXT, moment.strftime(form), distance)
    earlier = moment - timedelta(seconds=min(back, distance))
    assert earlier.strftime(form) > lower
    assert len(lower) in (len(moment.strftime(form)), 19)


@pytest.mark.parametrize(
    "text", ["", "zzz", "2024-13-01", "2024-05-01 25:00:00", "05/01/2024", "１２３４５６７８"]
)
def test_text_that_spells_no_time_has_no_place(text: str) -> None:
    assert place(TEXT, canonical(TEXT, text)) is None
    assert place(TEXT, b"") is None


def test_a_value_later_than_any_clock_is_not_believed() -> None:
    now = 1_700_000_000_000_000
    shanghai = ZoneInfo("Asia/Shanghai")
    assert clock(ZONED, now, shanghai) == now
    assert clock(LOCAL, now, shanghai) == clock(DATE, now, shanghai) == now + 8 * 3_600_000_000
    for later, believed in ((AHEAD, True), (AHEAD + 1, False)):
        at = place(LOCAL, encode_rows([pa.array([now + later], pa.timestamp("us"))])[0])
        assert at is not None
        assert credible(LOCAL, at, now) is believed
    huge = place(NUMBER, canonical(NUMBER, 2**31 - 1))
    assert huge is not None
    assert credible(NUMBER, huge, 0)


def test_bounds_stay_where_a_database_can_read_them() -> None:
    assert bound(DATE, date(1, 1, 2), 1e9) == (date.min - date(1970, 1, 1)).days
    assert bound(TEXT, "1900-01-01", 1e11) == "1000-01-01"
    assert bound(Column("n", pa.int64()), -(2**63), 5) == -(2**63)
