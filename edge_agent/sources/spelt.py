"""From a database's own text of a value to Arrow, exactly or aside, and back (promise 7).

A server spells every value without loss: dates as ISO 8601, moments in UTC, numbers in decimal digits, bytes
as `\\x` and hex digits. A whole column is read by one cast of Arrow's; where that does not accept all, smaller
and smaller parts are, and what no wire type holds (infinity, 0000-00-00, a year before 1 or after 9999, NaN in a
decimal) stands aside in the server's spelling. `spell` goes the other way, for the bounds of a key. Pure;
knows no database, no column's name and no table.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from protocol.canonical import decimal_text
from protocol.change import ASIDE_CHARSET, ASIDE_RANGE

Odd = tuple[str, bytes]
"""(reason, exact original) of a value that its column does not carry."""

_DAY_MIN = (date.min - date(1970, 1, 1)).days
_MICROSECOND_MIN = _DAY_MIN * 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_YEAR = r"^(?:[1-9]\d{3}|0[1-9]\d\d|00[1-9]\d|000[1-9])-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"


def read(
    wire: pa.DataType, values: Sequence[bytes | str | None] | pa.Array
) -> tuple[pa.Array, dict[int, Odd] | None]:
    """`values` as an array of `wire`, null where a value stands aside, and the asides by row (None: none)."""
    texts = values if isinstance(values, pa.Array) else pa.array(values, pa.binary())
    try:
        return _cast(wire, texts).cast(wire), None
    except pa.ArrowInvalid:
        return _apart(wire, texts)


def in_utf8(texts: pa.Array, charset: str | None) -> pa.Array:
    """Texts of another charset (Python's name; None: of ours) in UTF-8. What is no text of it, or would not lead back
    to its bytes, has them behind the byte FF (`columns.Carrier.MARKED`)."""
    if charset is None:
        return texts
    values = texts.to_pylist()
    if all(value is None or value.isascii() for value in values):
        return texts
    return pa.array([None if value is None else _recoded(value, charset) for value in values], pa.binary())


def _recoded(value: bytes, charset: str) -> bytes:
    try:
        text = value.decode(charset)
        exact = text.encode(charset) == value
    except UnicodeError:
        exact = False
    return text.encode() if exact else b"\xff" + value


def _cast(wire: pa.DataType, texts: pa.Array) -> pa.Array:
    """One cast for the column; moments perhaps without their zone. pa.ArrowInvalid where a value is odd."""
    if pa.types.is_binary(wire):
        return pa.array([_unhexed(v.as_buffer()) if v.is_valid else None for v in texts], wire)
    plain = texts.cast(pa.string())
    if pa.types.is_boolean(wire):
        return pc.equal(plain, "t")
    if pa.types.is_timestamp(wire) and wire.tz is not None and not _has_offset(texts):
        wire = pa.timestamp("us")
    result = plain.cast(wire)
    # Arrow reads a year 0, which neither Python nor most readers of a lake know.
    if pa.types.is_date(wire):
        _refuse_below(result.cast(pa.int32()), _DAY_MIN)
    elif pa.types.is_timestamp(wire):
        _refuse_below(result.cast(pa.int64()), _MICROSECOND_MIN)
    return result


def _has_offset(texts: pa.Array) -> bool:
    """PostgreSQL says `+00` of a moment in UTC, MySQL nothing."""
    first = pc.index(texts.is_valid(), True).as_py()
    return first < 0 or bytes(texts[first].as_py()).endswith(b"+00")


def _refuse_below(numbers: pa.Array, least: int) -> None:
    smallest = pc.min(numbers).as_py()
    if smallest is not None and smallest < least:
        raise pa.ArrowInvalid("year 0")


def _unhexed(text: pa.Buffer) -> bytes:
    try:
        return unhexlify(memoryview(text)[2:])  # no copy: it may be the longest that a database has
    except ValueError:
        raise pa.ArrowInvalid("hex digits") from None


def _apart(wire: pa.DataType, texts: pa.Array) -> tuple[pa.Array, dict[int, Odd]]:
    odd: dict[int, Odd] = {}
    if pa.types.is_date(wire) or pa.types.is_timestamp(wire):
        # Zero dates come by the thousand, and a cast that fails for each would be slow.
        unlikely = pc.invert(pc.match_substring_regex(texts, _YEAR))
        for row in pc.indices_nonzero(unlikely.fill_null(False)).to_pylist():
            odd[row] = _odd(wire, texts[row].as_py())
        texts = pc.if_else(unlikely.fill_null(False), pa.scalar(None, texts.type), texts)
    return pa.concat_arrays(_halved(wire, texts, 0, odd)), odd


def _halved(wire: pa.DataType, texts: pa.Array, first: int, odd: dict[int, Odd]) -> list[pa.Array]:
    """`texts` in parts that are cast at once, down to each value that cannot be."""
    try:
        return [_cast(wire, texts).cast(wire)]
    except pa.ArrowInvalid:
        if len(texts) == 1:
            odd[first] = _odd(wire, texts[0].as_py())
            return [pa.nulls(1, wire)]
    half = len(texts) // 2
    left = _halved(wire, texts.slice(0, half), first, odd)
    return left + _halved(wire, texts.slice(half), first + half, odd)


def _odd(wire: pa.DataType, original: bytes) -> Odd:
    return (ASIDE_CHARSET if pa.types.is_string(wire) else ASIDE_RANGE), original


def spell(wire: pa.DataType, value: Any) -> str:
    """The text of a decoded canonical value (protocol.canonical.decode)."""
    if pa.types.is_date(wire):
        return str(date(1970, 1, 1) + timedelta(days=value))
    if pa.types.is_timestamp(wire):
        moment = _EPOCH + timedelta(microseconds=value)
        return (moment if wire.tz else moment.replace(tzinfo=None)).isoformat(sep=" ")
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, bool):
        return "t" if value else "f"
    return decimal_text(value) if isinstance(value, Decimal) else str(value)
