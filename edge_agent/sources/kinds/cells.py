"""Values of spreadsheet cells: what number and format of a cell mean, and what column carries all of a column's.

A cell is text, a number, a boolean, a moment, a time of day or a duration; the last three are numbers of days that a
format shows so. Each cell has a type of its own, so a column's is what all its cells are, else text in which every
value is spelt by one rule. An error (#N/A), and a day that no calendar has, is no value of any column: it stands aside.

Excel counts days in floating point and shows milliseconds. A moment as near to a whole millisecond as such numbers are
inexact is that millisecond; any other is the nearest microsecond. Serial 60 of the 1900 system is the 29th of February
1900, which never was; negative ones have no date.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

import pyarrow as pa

from edge_agent.sources.kinds.carrying import OddCell
from protocol.change import ASIDE_RANGE

Cell: TypeAlias = str | int | float | bool | datetime | time | timedelta | OddCell
"""A cell that has a value; moments and times have no zone."""


class Shown(Enum):
    """What a number format makes of a number."""

    NUMBER = "number"
    MOMENT = "moment"
    TIME = "time"
    """Hours, minutes or seconds without a date: a time of day while the number is below 1."""
    DURATION = "duration"


_HIDDEN = re.compile(r'"[^"]*"?|\\.|[_*].|\[(?![hms]+\])[^\]]*\]?', re.IGNORECASE | re.DOTALL)
"""Literal text, padding, colours, conditions and locales."""
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_POWER = re.compile(r"E[+-]", re.IGNORECASE)
_DATE_LETTERS = frozenset("dy")
_TIME_LETTERS = frozenset("hs")

_BUILT_IN = {
    **dict.fromkeys((*range(14, 18), 22, *range(27, 32), 36, *range(50, 55), 57, 58), Shown.MOMENT),
    **dict.fromkeys((*range(18, 22), *range(32, 36), 45, 47, 55, 56), Shown.TIME),
    46: Shown.DURATION,
}
"""Formats that have a number and no code (ECMA-376 part 1, 18.8.30); 27-36 and 50-58 are dates in East Asia."""


def shown_by(number: int, code: str | None) -> Shown:
    """By a format's code, or, where the file has none, by its number."""
    if code is None:
        return _BUILT_IN.get(number, Shown.NUMBER)
    plain = _HIDDEN.sub("", code)
    if _ELAPSED.search(plain):
        return Shown.DURATION
    letters = _POWER.sub("", plain).lower()
    if "general" in letters:
        return Shown.NUMBER
    has_time = not _TIME_LETTERS.isdisjoint(letters)
    if not _DATE_LETTERS.isdisjoint(letters) or ("m" in letters and not has_time):
        return Shown.MOMENT
    return Shown.TIME if has_time else Shown.NUMBER


_DAY_MICROSECONDS = 86_400_000_000
_NOISE_MICROSECONDS = 5
"""A number of days of our time in 15 digits, as many programs write it."""
_NOISE_STEPS = 4
"""Of the floating-point number: sums of hours are some off."""
_EPOCH_1900 = datetime(1899, 12, 30)
_EPOCH_1904 = datetime(1904, 1, 1)
_DAYS_MAX = 2_958_466
"""Behind the last day that Excel has, 9999-12-31."""
_LEAP_DAY = 60


def dated(serial: int | float, shown: Shown, is_1904: bool) -> Cell:
    """A number of days as the moment, time of day or duration that its format shows."""
    if not abs(serial) < _DAYS_MAX:
        return OddCell(ASIDE_RANGE, number_text(serial))
    span = timedelta(microseconds=_microseconds(serial))
    if shown is Shown.DURATION:
        return span
    if 0 <= serial < 1 and span.days == 0 and (shown is Shown.TIME or not is_1904):
        return (datetime.min + span).time()
    if serial < 0 or (span.days == _LEAP_DAY and not is_1904):
        return OddCell(ASIDE_RANGE, number_text(serial))
    try:
        if is_1904:
            return _EPOCH_1904 + span
        return _EPOCH_1900 + span + timedelta(days=span.days < _LEAP_DAY)
    except OverflowError:
        return OddCell(ASIDE_RANGE, number_text(serial))


def _microseconds(serial: int | float) -> int:
    days = math.floor(serial)
    exact = (serial - days) * _DAY_MICROSECONDS
    whole = round(exact / 1000) * 1000
    noise = max(_NOISE_MICROSECONDS, _NOISE_STEPS * math.ulp(serial) * _DAY_MICROSECONDS)
    return days * _DAY_MICROSECONDS + (whole if abs(exact - whole) <= noise else round(exact))


_INTEGER = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_DOUBLE_DIGITS = 17
"""Any number of so many digits comes back from a double."""
_EXACT_FLOAT_MAX = 1 << 53


def number(text: str) -> int | float | OddCell | None:
    """The number that a file spells; None where it is none. Integers of 64 bits are exact; what has more digits than
    a double tells apart stands aside."""
    if len(text) < 16 and text.isascii() and text.isdigit() and (text[0] != "0" or text == "0"):
        return int(text)
    if "." not in text and _INTEGER.fullmatch(text) and text != "-0":
        if len(text) < 19 or (len(text) < 21 and -(1 << 63) <= int(text) < 1 << 63):
            return int(text)
    elif not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    if math.isinf(value) or (len(text) > _DOUBLE_DIGITS and not _is_double(text, value)):
        return OddCell(ASIDE_RANGE, text)
    return value


def _is_double(text: str, value: float) -> bool:
    mantissa = re.split("[eE]", text)[0].lstrip("+-").replace(".", "").strip("0")
    return len(mantissa) <= _DOUBLE_DIGITS or Decimal(text) == Decimal(value)


def number_text(value: int | float) -> str:
    """Digits of an integer, else the shortest text that gives the same double."""
    return str(int(value)) if isinstance(value, int) or is_integral(value) else repr(value)


def is_integral(value: float) -> bool:
    """Whether an integer says the same: within 2**53, and no negative zero."""
    if value == 0:
        return math.copysign(1, value) > 0
    return value.is_integer() and abs(value) <= _EXACT_FLOAT_MAX


def spelt(value: Cell) -> str:
    """The text of a value in a column that holds several types, or that no wire type carries."""
    match value:
        case str():
            return value
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return number_text(value)
        case datetime():
            return value.isoformat(sep=" ")
        case time():
            return value.isoformat()
        case timedelta():
            return _hours(value)
    raise AssertionError("no value")


def _hours(span: timedelta) -> str:
    """30:05:00 or -0:30:00.5, as [h]:mm:ss shows it."""
    total = abs(span) // timedelta(microseconds=1)
    seconds, fraction = divmod(total, 1_000_000)
    tail = f".{fraction:06d}".rstrip("0") if fraction else ""
    sign = "-" if span < timedelta() else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{tail}"


@dataclass(frozen=True, slots=True)
class CellColumn:
    """What carries every value of a column: a wire type, and a word for what its cells are."""

    wire: pa.DataType
    source_type: str

    def build(self, values: Sequence[Cell | None]) -> tuple[pa.Array, dict[int, OddCell]]:
        """Null where a cell is empty or aside; the asides by row."""
        odd = {row: value for row, value in enumerate(values) if isinstance(value, OddCell)}
        kept = [None if isinstance(value, OddCell) else value for value in values]
        if pa.types.is_string(self.wire):
            kept = [None if value is None else spelt(value) for value in kept]
        elif pa.types.is_integer(self.wire):
            kept = [None if value is None else int(value) for value in kept]  # type: ignore[arg-type]
        elif pa.types.is_floating(self.wire):
            for row, value in enumerate(kept):
                if isinstance(value, int) and int(float(value)) != value:
                    kept[row], odd[row] = None, OddCell(ASIDE_RANGE, str(value))
        return pa.array(kept, self.wire), odd


TEXT = CellColumn(pa.string(), "text")
MIXED = CellColumn(pa.string(), "mixed")
INTEGER = CellColumn(pa.int64(), "integer")
NUMBER = CellColumn(pa.float64(), "number")
_OF_ONE = {
    str: TEXT,
    int: INTEGER,
    float: NUMBER,
    bool: CellColumn(pa.bool_(), "boolean"),
    datetime: CellColumn(pa.timestamp("us"), "date"),
    time: CellColumn(pa.string(), "time"),
    timedelta: CellColumn(pa.string(), "duration"),
}


def cell_type(value: Cell) -> type:
    """An integral float counts as int."""
    kind = type(value)
    return int if kind is float and is_integral(value) else kind  # type: ignore[arg-type]


def column_of(types: set[type]) -> CellColumn:
    """What carries all cells of these types (of `cell_type`)."""
    types = types - {OddCell}
    if types == {int, float}:
        return NUMBER
    if len(types) > 1:
        return MIXED
    return _OF_ONE[types.pop()] if types else TEXT
