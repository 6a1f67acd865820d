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

from . import cells
from .errors import Rejected
from .limits import MIB, NESTING_DEPTH_MAX, VALUE_INLINE_BYTES_MAX

NULL = cells.NULL
HASH_BYTES = 16

_BYTES_AT_ONCE = 256 * MIB
"""Rows that may come to more are encoded in parts: an Arrow array of bytes ends at 2 GiB."""
_INT = struct.Struct(">Bq")
_FLOAT = struct.Struct(">Bd")
_DATE = struct.Struct(">Bi")
_LENGTH = cells.LENGTH
_NAN = b"\x03\x7f\xf8\x00\x00\x00\x00\x00\x00"
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", re.ASCII)

Aside = Mapping[str, Any]
"""One entry of `_gc_aside`: column, reason, original (bytes or None), sha256 (bytes or None), bytes (int or None)."""


def encode_column(array: pa.Array | pa.ChunkedArray) -> list[bytes]:
    """The cells of a column of any wire type (dictionary-encoded or not), one `bytes` a row."""
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return [cell for chunk in chunks for cell in encode_rows([chunk])]


def decimal_text(value: Decimal) -> str:
    """The shortest plain text of a finite decimal: no exponent, no superfluous zero, no negative zero."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def large_cell(value: bytes) -> bytes:
    """The cell of a value longer than VALUE_INLINE_BYTES_MAX, wherever it is kept."""
    return cells.large(value)


def aside_cell(aside: Aside) -> bytes:
    """The cell of a value that the typed column does not carry, wherever its original is kept."""
    if aside["reason"] == "large":
        return b"\x0c" + bytes(aside["sha256"])
    original = aside["original"]
    if original is None:
        data = b"\x0c" + bytes(aside["sha256"])
    else:
        (data,) = encode_column(pa.array([original], pa.binary()))
    return b"\x0d" + cells.sized(5, aside["reason"].encode()) + data


def encode_rows(
    columns: Sequence[pa.Array | pa.ChunkedArray],
    names: Sequence[str] = (),
    asides: Sequence[Sequence[Aside] | None] | None = None,
) -> list[bytes]:
    """The rows of `columns` (equal lengths), in canonical bytes.

    `asides[i]` are the entries of row i; each takes the place of its column's cell, found by `names`.
    """
    if not columns:
        return []
    arrays = [one.combine_chunks() if isinstance(one, pa.ChunkedArray) else one for one in columns]
    count = len(arrays[0])
    assert all(len(array) == count for array in arrays)
    if count > 1 and sum(map(cells.most_bytes, arrays)) > _BYTES_AT_ONCE:
        half = count // 2
        return [
            row
            for start, end in ((0, half), (half, count))
            for row in encode_rows(
                [array.slice(start, end - start) for array in arrays], names, asides and asides[start:end]
            )
        ]
    parts = [cells.column_parts(array) for array in arrays]
    for position, changed in _cells_aside(names, asides).items():
        column = cells.as_list(cells.joined(parts[position], count))
        for row, cell in changed.items():
            column[row] = cell
        parts[position] = [pa.array(column, pa.binary())]
    return cells.as_list(cells.joined([part for column in parts for part in column], count))


def _cells_aside(
    names: Sequence[str], asides: Sequence[Sequence[Aside] | None] | None
) -> dict[int, dict[int, bytes]]:
    """By column and row: the cells that stand aside."""
    found: dict[int, dict[int, bytes]] = {}
    position = {name: i for i, name in enumerate(names)}
    for row, entries in enumerate(asides or ()):
        for entry in entries or ():
            if entry["column"] in position:
                found.setdefault(position[entry["column"]], {})[row] = aside_cell(entry)
    return found


def digest(row: bytes, secret: bytes = b"") -> bytes:
    """BLAKE2b-128 of a canonical row or key, keyed where `secret` is given."""
    return hashlib.blake2b(row, digest_size=HASH_BYTES, key=secret).digest()


def digests(rows: Iterable[bytes], secret: bytes = b"") -> list[bytes]:
    """`digest` of each row."""
    beginning = hashlib.blake2b(digest_size=HASH_BYTES, key=secret)
    found = []
    for row in rows:
        one = beginning.copy()  # cheaper than the parameters, and the key, again
        one.update(row)
        found.append(one.digest())
    return found


def add_to_set_hash(total: int, row_digests: Iterable[bytes]) -> int:
    """The set hash of a snapshot: the sum of its rows' digests modulo 2**128, whatever their order.

    A sum, not an exclusive or: two equal rows must not cancel each other.
    """
    joined = b"".join(row_digests)
    halves: tuple[int, ...] = struct.unpack(f">{len(joined) // 8}Q", joined)
    added = (sum(halves[::2]) << 64) + sum(halves[1::2])
    return (total + added) % (1 << 128)


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
        if math.isnan(value) and data[offset : offset + _FLOAT.size] != _NAN:
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
