"""From a server's own text of a value to its canonical cell, by the lake's wire type; this test's own rules.

What the type cannot hold must stand aside with that text as its original: reason `range`, or `charset` for
bytes that are no UTF-8. Nothing of the agent's reading is used, and nothing is converted by Arrow.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation

import pyarrow as pa

from protocol import canonical

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Odd(Exception):
    """The wire type does not hold this value; the reason."""


def cells(texts: Sequence[bytes | None], wire: pa.DataType | None) -> list[bytes]:
    """A column's cells; empty ones where the lake has no such column."""
    if wire is None:
        return [b""] * len(texts)
    rule = _rule(wire)
    return [canonical.NULL if text is None else _cell(rule, text) for text in texts]


def _cell(rule: Callable[[str], bytes], text: bytes) -> bytes:
    try:
        return rule(text.decode())
    except UnicodeDecodeError:
        reason = "charset"
    except Odd as odd:
        reason = str(odd)
    return canonical.aside_cell(
        {"column": "", "reason": reason, "original": text, "sha256": None, "bytes": len(text)}
    )


def _rule(wire: pa.DataType) -> Callable[[str], bytes]:
    if pa.types.is_decimal128(wire):
        return lambda text: _decimal(text, wire)
    if pa.types.is_timestamp(wire):
        return _moment if wire.tz is None else _moment_in_utc
    if pa.types.is_integer(wire):
        return lambda text: b"\x02" + struct.pack(">q", int(text))
    if wire == pa.float32():
        return lambda text: _float(struct.unpack("<f", struct.pack("<f", float(text)))[0])
    if pa.types.is_floating(wire):
        return lambda text: _float(float(text))
    if pa.types.is_boolean(wire):
        return lambda text: b"\x01" + bytes([{"t": 1, "f": 0}[text]])
    if pa.types.is_date(wire):
        return lambda text: b"\x07" + struct.pack(">i", (_parsed(text).date() - date(1970, 1, 1)).days)
    if pa.types.is_binary(wire):
        return lambda text: canonical.encode_column(pa.array([bytes.fromhex(text.removeprefix("\\x"))]))[0]
    return lambda text: canonical.encode_column(pa.array([text]))[0]


def _float(value: float) -> bytes:
    return canonical.encode_column(pa.array([value], pa.float64()))[0]


def _decimal(text: str, wire: pa.DataType) -> bytes:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise Odd("range") from None
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise Odd("range")
    if -exponent > wire.scale or len(digits) + exponent > wire.precision - wire.scale:
        raise Odd("range")
    plain = canonical.decimal_text(value).encode()
    return b"\x04" + struct.pack(">I", len(plain)) + plain


def _moment(text: str) -> bytes:
    return b"\x08" + _microseconds(_parsed(text))


def _moment_in_utc(text: str) -> bytes:
    return b"\x09" + _microseconds(_parsed(text.removesuffix("+00")))


def _microseconds(moment: datetime) -> bytes:
    return struct.pack(">q", (moment - _EPOCH) // timedelta(microseconds=1))


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise Odd("range") from None
