"""What can be followed: the values of a cursor or window column, as arithmetic. Pure.

A column that can be followed holds whole or decimal numbers, dates, moments, or text that spells a time so that
text order is time order: `2024-05-01`, `2024-05-01 08:30:00` (with `T`, with fractions), `20240501`,
`20240501083000`. Values are the database's own, in canonical form; they are compared and moved here only to say
where a reading begins, never to say what belongs to it: that the database does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import ROUND_FLOOR, Decimal, localcontext
from enum import Enum

import pyarrow as pa

from protocol.canonical import decode, encode_rows
from protocol.schema import Column

DAY = 86_400_000_000
"""Microseconds."""
AHEAD = DAY
"""How far a clock of the source's may be ahead of ours. What is later is taken for a mistake of its row (a year
9999), and does not move the position: everything up to it would never be polled again."""

_EPOCH = datetime(1970, 1, 1)
_DIGITS = 100
"""More than a number and a distance have together; Python's own 28 are fewer than a number may have."""
_DAY_MIN = (date.min - date(1970, 1, 1)).days
_TEXT_MIN = (datetime(1000, 1, 1) - _EPOCH) // timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Form:
    """How text spells a time, to a precision of `seconds`."""

    pattern: str
    written: str
    seconds: int

    def read(self, text: str) -> datetime | None:
        if re.match(self.pattern, text) is None:
            return None
        try:
            return datetime.strptime(text[: len(_EPOCH.strftime(self.written))], self.written)
        except ValueError:
            return None


_FORMS = (
    Form(r"\d{4}-\d\d-\d\d$", "%Y-%m-%d", 86_400),
    Form(r"\d{8}$", "%Y%m%d", 86_400),
    Form(r"\d{14}$", "%Y%m%d%H%M%S", 1),
    *(
        Form(rf"\d{{4}}-\d\d-\d\d{mark}\d\d:\d\d{rest}", f"%Y-%m-%d{mark}{written}", seconds)
        for mark in " T"
        for rest, written, seconds in ((r":\d\d", "%H:%M:%S", 1), ("$", "%H:%M", 60))
    ),
)


class Kind(Enum):
    NUMBER = "number"
    DATE = "date"
    MOMENT = "moment"
    TEXT = "text"

    @property
    def is_time(self) -> bool:
        return self is not Kind.NUMBER


def kind_of(column: Column) -> Kind | None:
    """None where the values have no order that can be followed."""
    wire = column.wire
    if pa.types.is_integer(wire) or pa.types.is_decimal(wire):
        return Kind.NUMBER
    if pa.types.is_date(wire):
        return Kind.DATE
    if pa.types.is_timestamp(wire):
        return Kind.MOMENT
    return Kind.TEXT if pa.types.is_string(wire) else None


@dataclass(frozen=True, slots=True)
class Place:
    """A value of a followed column: `order` compares (a number, or microseconds on the column's own clock)."""

    order: Decimal | int
    form: Form | None = None
    """Of text."""


def place(column: Column, value: bytes) -> Place | None:
    """Where a canonical value stands; None for none, and for text that spells no time."""
    if not value:
        return None
    (plain,) = decode(value)
    match kind_of(column):
        case Kind.DATE:
            return Place(plain * DAY)
        case Kind.TEXT:
            return _spelt(plain)
    return Place(plain)


def _spelt(text: str) -> Place | None:
    for form in _FORMS:
        moment = form.read(text)
        if moment is not None:
            return Place((moment - _EPOCH) // timedelta(microseconds=1), form)
    return None


def behind(column: Column, at: Place, distance: float) -> bytes:
    """A canonical value below all that lie at most `distance` (seconds, or numbers) before `at`."""
    kind = kind_of(column)
    if kind is Kind.NUMBER:
        return _number(column, at.order, distance)
    moment = int(at.order) - int(distance * 1_000_000)
    if kind is Kind.MOMENT:
        return _encoded(pa.array([max(moment - 1, _DAY_MIN * DAY)], pa.int64()).cast(column.wire))
    if kind is Kind.DATE:
        return _encoded(pa.array([max(moment // DAY - 1, _DAY_MIN)], pa.int32()).cast(column.wire))
    assert at.form is not None
    unit = at.form.seconds
    seconds = max((moment // 1_000_000 // unit - 1) * unit, _TEXT_MIN)
    return _encoded(pa.array([(_EPOCH + timedelta(seconds=seconds)).strftime(at.form.written)]))


def _number(column: Column, at: Decimal | int, distance: float) -> bytes:
    """No less than the column's type holds: what it does not hold a database does not compare it with."""
    wire = column.wire
    with localcontext(prec=_DIGITS):
        value = at - Decimal(repr(distance))
        if pa.types.is_integer(wire):
            least = -1 << (wire.bit_width - 1)
            whole = int(value.to_integral_value(ROUND_FLOOR)) - 1
            return _encoded(pa.array([min(max(whole, least), ~least)], pa.int64()))
        step = Decimal(1).scaleb(-wire.scale)
        smallest = step - Decimal(10) ** (wire.precision - wire.scale)
        exact = max(value - step, smallest).quantize(step, ROUND_FLOOR)
    return _encoded(pa.array([exact], pa.decimal128(38, wire.scale)))


def _encoded(values: pa.Array) -> bytes:
    return encode_rows([values])[0]


def clock(column: Column, now: int, zone: tzinfo) -> int:
    """`now` (microseconds UTC) as the column's own clock shows it."""
    if pa.types.is_timestamp(column.wire) and column.wire.tz is not None:
        return now
    local = datetime.fromtimestamp(now / 1e6, UTC).astimezone(zone).replace(tzinfo=None)
    return (local - _EPOCH) // timedelta(microseconds=1)


def credible(column: Column, at: Place, now: int) -> bool:
    """Whether a position may stand there; `now` is of the column's own clock."""
    kind = kind_of(column)
    return kind is Kind.NUMBER or at.order <= now + AHEAD
