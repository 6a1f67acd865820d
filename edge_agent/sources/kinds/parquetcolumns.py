"""Columns of Parquet as wire types: what each value becomes, exactly or aside.

Most types have a wire type of their own or a wider one (uint32 → int64, uint64 → decimal(20,0)). Times, durations and
decimals of more than 38 digits become text. A timestamp in nanoseconds is one in microseconds where it is whole; else
it stands aside, as does a day or a moment outside the years 1 to 9999, as the integer that the file stores. Lists,
structs and maps (as lists of key and value) become what their leaves become; within them nothing can stand aside, so a
leaf that may have to is text there. INT96, the timestamp of old writers, holds more than the nanoseconds of 64 bits in
which Arrow reads it by default, where 9999-12-31 comes out as 1816; read in both units, it is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from edge_agent.sources.columns import Carrier, build
from edge_agent.sources.spelt import Odd
from protocol.change import ASIDE_RANGE
from protocol.limits import NESTING_DEPTH_MAX
from protocol.schema import DECIMAL_DIGITS_MAX

Built = tuple[pa.Array, dict[int, Odd] | None]

_DAY_MIN, _DAY_MAX = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31, in days since 1970."""
_DAY_SECONDS = 86_400
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_MICROSECONDS = 10**6
_WRAP = 1 << 64

_AS_THEY_ARE = frozenset(
    {
        pa.bool_(),
        pa.int8(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.binary(),
    }
)
_WIDER: dict[pa.DataType, pa.DataType] = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.null(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


class NoExactReadingError(Exception):
    """A type that nothing of ours carries."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A column's wire type, and how its values come to it."""

    wire: pa.DataType
    build: Callable[[pa.Array], Built]


def carried(of: pa.DataType) -> Carried:
    """Raises NoExactReadingError."""
    if pa.types.is_dictionary(of):
        inner = carried(of.value_type)
        return Carried(inner.wire, lambda array: inner.build(array.cast(of.value_type)))
    if _is_text(of):
        return Carried(pa.string(), _texts)
    if pa.types.is_date(of):
        return Carried(pa.date32(), lambda array: _dates(array.cast(pa.date32())))
    if pa.types.is_timestamp(of):
        wire = pa.timestamp("us", tz="UTC" if of.tz else None)
        return Carried(wire, lambda array: _moments(array.cast(pa.int64()), of.unit, wire))
    if pa.types.is_decimal(of) and not _fits_decimal128(of):
        return Carried(pa.string(), _long_decimals)
    wire = _within(of, 0)
    return Carried(wire, lambda array: (array.cast(wire), None))


def _is_text(of: pa.DataType) -> bool:
    return bool(pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of))


def _fits_decimal128(of: pa.DataType) -> bool:
    return bool(0 <= of.scale <= of.precision <= DECIMAL_DIGITS_MAX)


def _within(of: pa.DataType, depth: int) -> pa.DataType:
    """The wire type to which every value can be cast as it is."""
    if depth > NESTING_DEPTH_MAX:
        raise NoExactReadingError
    if of in _AS_THEY_ARE or _is_text(of):
        return pa.string() if _is_text(of) else of
    if of in _WIDER:
        return _WIDER[of]
    if pa.types.is_decimal(of) and _fits_decimal128(of):
        return pa.decimal128(of.precision, of.scale)
    if pa.types.is_fixed_size_binary(of):
        return pa.binary()
    if pa.types.is_map(of):
        pair = [("key", _within(of.key_type, depth + 2)), ("value", _within(of.item_type, depth + 2))]
        return pa.list_(pa.struct(pair))
    if pa.types.is_struct(of):
        if len({f.name for f in of}) != of.num_fields or not of.num_fields:
            raise NoExactReadingError
        return pa.struct([(f.name, _within(f.type, depth + 1)) for f in of])
    if pa.types.is_nested(of):  # lists of every kind
        return pa.list_(_within(of.value_type, depth + 1))
    if pa.types.is_temporal(of) or pa.types.is_decimal(of):
        return pa.string()
    raise NoExactReadingError


def _texts(array: pa.Array) -> Built:
    """Parquet's word that bytes are UTF-8 is not taken."""
    texts = array.cast(pa.string())
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        values = texts.cast(pa.binary()).to_pylist()
        return build(Carrier.TEXT, pa.string(), [v if v is None else bytearray(v) for v in values])
    return texts, None


def _long_decimals(array: pa.Array) -> Built:
    values: list[Decimal | None] = array.to_pylist()
    return pa.array([None if v is None else format(v, "f") for v in values], pa.string()), None


def _dates(array: pa.Array) -> Built:
    days = array.cast(pa.int32())
    return _apart(days, _outside(days, _DAY_MIN, _DAY_MAX), lambda kept: kept.cast(pa.date32()))


def _moments(counts: pa.Array, unit: str, wire: pa.DataType) -> Built:
    per_second = _PER_SECOND[unit]
    first, behind = _DAY_MIN * _DAY_SECONDS, (_DAY_MAX + 1) * _DAY_SECONDS
    if unit == "ns":
        whole = pc.multiply(pc.divide(counts, 1000), 1000)
        return _apart(counts, pc.not_equal(whole, counts), lambda kept: pc.divide(kept, 1000).cast(wire))
    odd = _outside(counts, first * per_second, behind * per_second - 1)
    factor = _MICROSECONDS // per_second
    return _apart(counts, odd, lambda kept: pc.multiply(kept, factor).cast(wire))


def _outside(numbers: pa.Array, least: int, most: int) -> pa.Array:
    return pc.or_(pc.less(numbers, least), pc.greater(numbers, most))


def _apart(stored: pa.Array, is_odd: pa.Array, finish: Callable[[pa.Array], pa.Array]) -> Built:
    """`finish` of the values that are not odd; the odd ones aside, as the integers that they are."""
    places = pc.indices_nonzero(is_odd.fill_null(False)).to_pylist()
    if not places:
        return finish(stored), None
    kept = pc.if_else(is_odd, pa.scalar(None, stored.type), stored)
    return finish(kept), {place: (ASIDE_RANGE, str(stored[place].as_py()).encode()) for place in places}


def int96(in_microseconds: pa.Array, in_nanoseconds: pa.Array) -> Built:
    """Moments of INT96, read in both units: the first is cut to microseconds, the second wraps around."""
    cut = in_microseconds.cast(pa.int64()).to_pylist()
    wrapped = in_nanoseconds.cast(pa.int64()).to_pylist()
    odd: dict[int, Odd] = {}
    for row, (micro, nano) in enumerate(zip(cut, wrapped, strict=True)):
        if micro is not None and (rest := (nano - micro * 1000) % _WRAP):
            odd[row] = ASIDE_RANGE, str(micro * 1000 + rest if rest < 1000 else nano).encode()
            cut[row] = None
    counts = pa.array(cut, pa.int64())
    array, outside = _moments(counts, "us", pa.timestamp("us"))
    return array, {**(outside or {}), **odd} or None
