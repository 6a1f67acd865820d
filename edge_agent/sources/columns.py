"""From a source's Python values to Arrow columns, exactly or aside (promise 7).

A `Carrier` says which Python values a column carries as they are. pyarrow alone is no judge of that: it
makes 1 of 1.5 for int64, 1.0 of 1 for float64 and text of bytes without a word. So the types of all values
are looked at first; a clean column is converted in one call, any other value by value, and what does not
fit is null with its exact original in `asides`. Text comes as str, or as a bytearray of UTF-8 (checked
here), which keeps it apart from binary values. Pure; knows no source, no dialect and no table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from edge_agent.sources import spelt
from edge_agent.sources.source import Rows
from edge_agent.sources.spelt import Odd
from protocol.canonical import Aside
from protocol.change import ASIDE_CHARSET, ASIDE_LARGE, ASIDE_RANGE, ASIDE_TYPE


class Carrier(Enum):
    """What a column carries as it is; every other value stands aside."""

    INTEGER = "integer"
    """int within 64 bits, as int64"""
    FLOAT = "float"
    """float, as float64"""
    DECIMAL = "decimal"
    """int, and float by its shortest text, as decimal128 where all digits fit"""
    NUMBER_TEXT = "number text"
    """int and float, as text: their repr"""
    TEXT = "text"
    BINARY = "binary"
    SPELT = "spelt"
    """the database's exact text of a value of the wire type, as UTF-8 (see `spelt`)"""
    MARKED = "marked"
    """the same of text, or the byte FF, which begins no UTF-8, and then bytes that are no text"""


@dataclass(frozen=True, slots=True)
class Encoded:
    """bytes, or str of their hex digits, as the text that they are in `charset` (Python's name)"""

    charset: str


_NATIVE: dict[Carrier, frozenset[type]] = {
    Carrier.INTEGER: frozenset({int}),
    Carrier.FLOAT: frozenset({float}),
    Carrier.DECIMAL: frozenset({int, float}),
    Carrier.NUMBER_TEXT: frozenset({int, float}),
    Carrier.TEXT: frozenset({str, bytearray}),
    Carrier.BINARY: frozenset({bytes}),
}
_NONE = type(None)

Values: TypeAlias = Sequence[Any] | pa.Array
"""Of one column: as a driver gives them, or as binary texts of a column that is spelt or binary itself."""

_PLAIN_MIN = 1e-4
"""Smaller numbers may have more places than Arrow counts."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How records become rows: one name, wire type and carrier a column."""

    names: tuple[str, ...]
    wires: tuple[pa.DataType, ...]
    carriers: tuple[Carrier | Encoded, ...]

    def some(self, positions: Sequence[int]) -> Layout:
        """Of the columns at these positions."""
        return Layout(
            tuple(self.names[i] for i in positions),
            tuple(self.wires[i] for i in positions),
            tuple(self.carriers[i] for i in positions),
        )

    def rows(self, records: Sequence[Sequence[Any]]) -> Rows:
        """The rows of `records`, each a sequence of one value a column."""
        by_column = list(zip(*records, strict=True)) if records else [()] * len(self.names)
        return self.columns(by_column, len(records))

    def columns(self, by_column: Sequence[Values], count: int) -> Rows:
        """The rows of `count` values a column."""
        columns: list[pa.Array] = []
        asides: list[list[Aside] | None] | None = None
        for name, wire, carrier, values in zip(self.names, self.wires, self.carriers, by_column, strict=True):
            array, odd = build(carrier, wire, values)
            columns.append(array)
            if odd:
                asides = [None] * count if asides is None else asides
                _note(asides, name, odd)
        return Rows(columns, asides)


def _note(asides: list[list[Aside] | None], name: str, odd: Mapping[int, Odd]) -> None:
    for row, (reason, original) in odd.items():
        entries = asides[row] or []
        entries.append(aside(name, reason, original))
        asides[row] = entries


def aside(column: str, reason: str, original: bytes) -> Aside:
    """An entry of `_gc_aside` that holds its original."""
    return {
        "column": column,
        "reason": reason,
        "original": original,
        "sha256": None,
        "bytes": len(original),
    }


def named(column: str, sha256: bytes, size: int) -> Aside:
    """An entry for bytes that its row names and does not hold."""
    return {"column": column, "reason": ASIDE_LARGE, "original": None, "sha256": sha256, "bytes": size}


def build(
    carrier: Carrier | Encoded, wire: pa.DataType, values: Values
) -> tuple[pa.Array, dict[int, Odd] | None]:
    """`values` as an array of `wire`, null where a value is aside, and the asides by row (None: none)."""
    if isinstance(carrier, Encoded):
        return _decoded(carrier.charset, wire, values)
    if carrier is Carrier.SPELT:
        return spelt.read(wire, values)
    if carrier is Carrier.MARKED:
        array, odd = spelt.read(wire, values)
        return array, odd and {row: (reason, original[1:]) for row, (reason, original) in odd.items()}
    if isinstance(values, pa.Array):
        return values, None
    types = set(map(type, values))
    types.discard(_NONE)
    if types <= _NATIVE[carrier]:
        try:
            return _clean(carrier, wire, values, types), None
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
            pass
    return _checked(carrier, wire, values)


def _decoded(
    charset: str, wire: pa.DataType, values: Sequence[bytes | str | None]
) -> tuple[pa.Array, dict[int, Odd] | None]:
    kept: list[str | None] = []
    odd: dict[int, Odd] = {}
    for row, value in enumerate(values):
        text = None
        if value is not None:
            original = bytes.fromhex(value) if isinstance(value, str) else bytes(value)
            try:
                text = original.decode(charset)
                # Some codes are read but never written, so their text would not lead back to them.
                exact = text.encode(charset) == original
            except UnicodeError:
                exact = False
            if not exact:
                text, odd[row] = None, (ASIDE_CHARSET, original)
        kept.append(text)
    return pa.array(kept, wire), odd or None


def _clean(carrier: Carrier, wire: pa.DataType, values: Sequence[Any], types: set[type]) -> pa.Array:
    """One call for the column, whose values are of these types. Raises where a value does not fit."""
    if carrier is Carrier.DECIMAL:
        return _clean_decimals(wire, values, types)
    if carrier is Carrier.NUMBER_TEXT:
        return pa.array([None if v is None else repr(v) for v in values], wire)
    if carrier is Carrier.TEXT:
        # As binary first: Arrow checks a column of UTF-8 at once five times as fast as each value.
        return pa.array(values, pa.binary()).cast(wire)
    return pa.array(values, wire)


def _clean_decimals(wire: pa.DataType, values: Sequence[int | float | None], types: set[type]) -> pa.Array:
    # Arrow refuses digits that do not fit, but 128 bits that overflow on the way wrap around silently, and
    # 1e-23 becomes 0. Both are out of reach for numbers between these bounds.
    bound = 10 ** (wire.precision - wire.scale)
    if types == {float}:
        return _clean_floats(wire, pa.array(values, pa.float64()), bound)
    if not all(v is None or v == 0 or _PLAIN_MIN <= abs(v) < bound for v in values):
        raise OverflowError
    return pa.array([None if v is None else repr(v) for v in values], pa.string()).cast(wire)


def _clean_floats(wire: pa.DataType, numbers: pa.Array, bound: int) -> pa.Array:
    size = pc.abs(numbers)
    fits = pc.and_(pc.greater_equal(size, _PLAIN_MIN), pc.less(size, float(bound)))
    if pc.any(pc.invert(pc.or_(fits, pc.equal(size, 0.0)))).as_py():
        raise OverflowError
    return numbers.cast(pa.string()).cast(wire)  # the shortest text, whose digits are those of `repr`


def _checked(
    carrier: Carrier, wire: pa.DataType, values: Sequence[Any]
) -> tuple[pa.Array, dict[int, Odd] | None]:
    native = _NATIVE[carrier]
    fit = _FIT[carrier](wire)
    kept: list[Any] = []
    odd: dict[int, Odd] = {}
    for row, value in enumerate(values):
        result = None if value is None else fit(value) if type(value) in native else foreign(value)
        if isinstance(result, tuple):
            odd[row] = result
            result = None
        kept.append(result)
    return pa.array(kept, wire), odd or None


def foreign(value: Any) -> Odd:
    """A value of another type than its column: reason, and its exact text or bytes."""
    if isinstance(value, str | bytearray):
        text = _text(value)
        return text if isinstance(text, tuple) else (ASIDE_TYPE, text.encode())
    if isinstance(value, bytes):
        return ASIDE_TYPE, value
    return ASIDE_TYPE, _plain(value)


def _plain(value: Any) -> bytes:
    return (repr(value) if isinstance(value, float) else str(value)).encode()


def _text(value: str | bytearray) -> str | Odd:
    try:
        if isinstance(value, str):
            value.encode()
            return value
        return value.decode()
    except UnicodeDecodeError:
        return ASIDE_CHARSET, bytes(value) if isinstance(value, bytearray) else b""
    except UnicodeEncodeError:
        return ASIDE_CHARSET, value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b""


def _integer(value: int) -> int | Odd:
    return value if -(1 << 63) <= value < 1 << 63 else (ASIDE_RANGE, _plain(value))


def _decimal(wire: pa.DataType) -> Callable[[int | float], Decimal | Odd]:
    scale, whole_digits = wire.scale, wire.precision - wire.scale

    def fit(value: int | float) -> Decimal | Odd:
        if isinstance(value, float) and not math.isfinite(value):
            return ASIDE_RANGE, _plain(value)
        exact = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
        _, digits, exponent = exact.as_tuple()
        assert isinstance(exponent, int)
        if not exact:
            return Decimal(0)
        while exponent < -scale and digits[-1] == 0:
            digits, exponent = digits[:-1], exponent + 1
        if exponent < -scale or len(digits) + exponent > whole_digits:
            return ASIDE_RANGE, _plain(value)
        return exact

    return fit


_FIT: dict[Carrier, Callable[[pa.DataType], Callable[[Any], Any]]] = {
    Carrier.INTEGER: lambda _: _integer,
    Carrier.FLOAT: lambda _: float,
    Carrier.DECIMAL: _decimal,
    Carrier.NUMBER_TEXT: lambda _: repr,
    Carrier.TEXT: lambda _: _text,
    Carrier.BINARY: lambda _: bytes,
}


def weight(rows: Rows) -> int:
    """Bytes that `rows` occupy, asides included."""
    return rows.nbytes + sum(
        len(entry["original"] or b"") for entries in rows.asides or () for entry in entries or ()
    )


def join(pieces: Sequence[Rows]) -> Rows:
    """Rows one after another; at least one piece."""
    if len(pieces) == 1:
        return pieces[0]
    columns = [pa.concat_arrays(column) for column in zip(*(p.columns for p in pieces), strict=True)]
    if all(p.asides is None for p in pieces):
        return Rows(columns)
    return Rows(columns, [a for p in pieces for a in (p.asides or [None] * p.count)])
