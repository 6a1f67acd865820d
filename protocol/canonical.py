"""One byte encoding of a row, by wire type: what "the same value" means at both ends.

Keys are compared, rows hashed and completeness proven in it, so it is injective: two rows have the same
bytes if and only if they hold the same values. docs/protocol.md §5 has the table of tags; tests/vectors
freezes samples. It knows Arrow arrays and nothing of sources, envelopes or tables.

    cell  = tag ‖ payload                        null is the tag 00 alone
    00 null   01 bool u8   02 int i64   03 float f64   04 decimal u32 ‖ text   05 string u32 ‖ UTF-8
    06 binary u32 ‖ bytes   07 date i32 (days)   08 timestamp i64 (µs)   09 timestamp with zone i64 (µs UTC)
    0a list u32 ‖ cells   0b struct u32 ‖ cells   0c large: SHA-256 of the bytes   0d aside: string ‖ binary

All integers are big-endian. Integers of any width encode alike, float32 as the equal float64, every NaN as
7ff8000000000000; a decimal is its shortest plain text (`-0.50` → `-0.5`, `-0.0` → `0`).
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .errors import Rejected
from .limits import NESTING_DEPTH_MAX, VALUE_INLINE_BYTES_MAX

NULL = b"\x00"
HASH_BYTES = 16

_BOOL = {False: b"\x01\x00", True: b"\x01\x01", None: NULL}
_INT = struct.Struct(">Bq")
_FLOAT = struct.Struct(">Bd")
_DATE = struct.Struct(">Bi")
_LENGTH = struct.Struct(">BI")
_NAN = b"\x03\x7f\xf8\x00\x00\x00\x00\x00\x00"
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", re.ASCII)

Aside = Mapping[str, Any]
"""One entry of `_gc_aside`: column, reason, original (bytes or None), sha256 (bytes or None), bytes (int or None)."""


def encode_column(array: pa.Array | pa.ChunkedArray) -> list[bytes]:
    """The cells of a column of any wire type (dictionary-encoded or not), one `bytes` a row."""
    if isinstance(array, pa.ChunkedArray):
        return [cell for chunk in array.chunks for cell in encode_column(chunk)]
    kind = array.type
    if pa.types.is_dictionary(kind):
        cells = encode_column(array.dictionary)
        return [NULL if i is None else cells[i] for i in array.indices.to_pylist()]
    if pa.types.is_list(kind):
        return _lists(array)
    if pa.types.is_struct(kind):
        return _structs(array)
    return _scalars(array, kind)


def _scalars(array: pa.Array, kind: pa.DataType) -> list[bytes]:
    if pa.types.is_string(kind):
        return _lengthy(5, array.cast(pa.binary()).to_pylist())
    if pa.types.is_binary(kind):
        return _lengthy(6, array.to_pylist())
    if pa.types.is_integer(kind):
        return _packed(_INT, 2, array.to_pylist())
    if pa.types.is_decimal128(kind):
        return [NULL if v is None else _prefixed(4, decimal_text(v).encode()) for v in array.to_pylist()]
    if pa.types.is_timestamp(kind):
        return _packed(_INT, 8 if kind.tz is None else 9, array.cast(pa.int64()).to_pylist())
    if pa.types.is_date32(kind):
        return _packed(_DATE, 7, array.cast(pa.int32()).to_pylist())
    if pa.types.is_boolean(kind):
        return [_BOOL[v] for v in array.to_pylist()]
    if pa.types.is_floating(kind):
        return [NULL if v is None else _float(v) for v in array.to_pylist()]
    raise Rejected("GC-5006", reason="a type without canonical form")


def _packed(layout: struct.Struct, tag: int, values: Iterable[int | None]) -> list[bytes]:
    pack = layout.pack
    return [NULL if v is None else pack(tag, v) for v in values]


def _prefixed(tag: int, data: bytes) -> bytes:
    return _LENGTH.pack(tag, len(data)) + data


def _lengthy(tag: int, values: Iterable[bytes | None]) -> list[bytes]:
    pack = _LENGTH.pack
    return [
        NULL if v is None else pack(tag, len(v)) + v if len(v) <= VALUE_INLINE_BYTES_MAX else large_cell(v)
        for v in values
    ]


def _float(value: float) -> bytes:
    return _NAN if math.isnan(value) else _FLOAT.pack(3, value)


def _lists(array: pa.Array) -> list[bytes]:
    items = iter(encode_column(array.flatten()))
    lengths = pc.list_value_length(array).to_pylist()
    return [
        NULL if n is None else _LENGTH.pack(0x0A, n) + b"".join(next(items) for _ in range(n))
        for n in lengths
    ]


def _structs(array: pa.Array) -> list[bytes]:
    head = _LENGTH.pack(0x0B, array.type.num_fields)
    rows = zip(*(encode_column(child) for child in array.flatten()), strict=True)
    valid = array.is_valid().to_pylist()
    return [head + b"".join(cells) if ok else NULL for ok, cells in zip(valid, rows, strict=True)]


def decimal_text(value: Decimal) -> str:
    """The shortest plain text of a finite decimal: no exponent, no superfluous zero, no negative zero."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def large_cell(value: bytes) -> bytes:
    """The cell of a value longer than VALUE_INLINE_BYTES_MAX, wherever it is kept."""
    return b"\x0c" + hashlib.sha256(value).digest()


def aside_cell(aside: Aside) -> bytes:
    """The cell of a value that the typed column does not carry, wherever its original is kept."""
    if aside["reason"] == "large":
        return b"\x0c" + bytes(aside["sha256"])
    original = aside["original"]
    if original is None:
        data = b"\x0c" + bytes(aside["sha256"])
    else:
        (data,) = _lengthy(6, [original])
    return b"\x0d" + _prefixed(5, aside["reason"].encode()) + data


def encode_rows(
    columns: Sequence[pa.Array | pa.ChunkedArray],
    names: Sequence[str] = (),
    asides: Sequence[Sequence[Aside] | None] | None = None,
) -> list[bytes]:
    """The rows of `columns` (equal lengths), in canonical bytes.

    `asides[i]` are the entries of row i; each takes the place of its column's cell, found by `names`.
    """
    cells = [encode_column(column) for column in columns]
    if asides is not None and any(asides):
        position = {name: i for i, name in enumerate(names)}
        for row, entries in enumerate(asides):
            for entry in entries or ():
                if entry["column"] in position:
                    cells[position[entry["column"]]][row] = aside_cell(entry)
    return [b"".join(row) for row in zip(*cells, strict=True)]


def digest(row: bytes, secret: bytes = b"") -> bytes:
    """BLAKE2b-128 of a canonical row or key, keyed where `secret` is given."""
    return hashlib.blake2b(row, digest_size=HASH_BYTES, key=secret).digest()


def digests(rows: Iterable[bytes], secret: bytes = b"") -> list[bytes]:
    """`digest` of each row."""
    blake2b = hashlib.blake2b
    return [blake2b(row, digest_size=HASH_BYTES, key=secret).digest() for row in rows]


def add_to_set_hash(total: int, row_digests: Iterable[bytes]) -> int:
    """The set hash of a snapshot: the sum of its rows' digests modulo 2**128, whatever their order.

    A sum, not an exclusive or: two equal rows must not cancel each other.
    """
    return (total + sum(int.from_bytes(d, "big") for d in row_digests)) % (1 << 128)


def decode(data: bytes) -> list[Any]:
    """The values of a canonical row or key, in order: None, bool, int, float, Decimal, str, bytes, list.

    Dates are days, timestamps microseconds (ints). Large and aside cells have no value here: Rejected, as
    for anything else that is no canonical row.
    """
    values: list[Any] = []
    offset = 0
    try:
        while offset < len(data):
            value, offset = _decode_cell(data, offset, 0)
            values.append(value)
    except (struct.error, UnicodeDecodeError, ArithmeticError, IndexError):
        raise Rejected("GC-5006", reason="canonical row") from None
    return values


def _decode_cell(data: bytes, offset: int, depth: int) -> tuple[Any, int]:
    tag = data[offset]
    if tag == 0:
        return None, offset + 1
    if tag == 1 and data[offset + 1] <= 1:
        return data[offset + 1] == 1, offset + 2
    if tag in (2, 8, 9):
        return _INT.unpack_from(data, offset)[1], offset + _INT.size
    if tag == 3:
        value = _FLOAT.unpack_from(data, offset)[1]
        if data[offset : offset + _FLOAT.size] != _float(value):
            raise Rejected("GC-5006", reason="canonical row")
        return value, offset + _FLOAT.size
    if tag == 7:
        return _DATE.unpack_from(data, offset)[1], offset + _DATE.size
    if tag in (4, 5, 6):
        return _decode_lengthy(tag, data, offset)
    if tag in (0x0A, 0x0B) and depth < NESTING_DEPTH_MAX:
        _, count = _LENGTH.unpack_from(data, offset)
        offset += _LENGTH.size
        items = []
        for _ in range(count):
            item, offset = _decode_cell(data, offset, depth + 1)
            items.append(item)
        return items, offset
    raise Rejected("GC-5006", reason="canonical row")


def _decode_lengthy(tag: int, data: bytes, offset: int) -> tuple[Any, int]:
    _, length = _LENGTH.unpack_from(data, offset)
    start = offset + _LENGTH.size
    payload = data[start : start + length]
    if len(payload) != length or length > VALUE_INLINE_BYTES_MAX:
        raise Rejected("GC-5006", reason="canonical row")
    if tag == 6:
        return bytes(payload), start + length
    text = bytes(payload).decode("utf-8")
    if tag == 5:
        return text, start + length
    if text == "-0" or not _DECIMAL.fullmatch(text):
        raise Rejected("GC-5006", reason="canonical row")
    return Decimal(text), start + length
