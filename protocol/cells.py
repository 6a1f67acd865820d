"""Canonical cells of whole columns at once, by Arrow's kernels: the same bytes as one value at a time would give.

A column's cells come as *parts*: binary arrays of its length which, joined element by element, are the cells (see
`canonical` for the table of tags). So the bytes of a row are joined once, out of the parts of all its columns. Lists
and structs, and columns with a value too long for a row, go value by value. What the bytes are is `canonical`'s.
"""

from __future__ import annotations

import functools
import hashlib
import struct
import sys
from array import array as packed
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from .errors import Rejected
from .limits import VALUE_INLINE_BYTES_MAX

NULL = b"\x00"
LENGTH = struct.Struct(">BI")

_BINARY = pa.binary()
_NOTHING = pa.scalar(b"", _BINARY)
_NULL = pa.scalar(NULL, _BINARY)
_NAN = pa.scalar(float("nan"), pa.float64())

Parts = list[pa.Array | pa.Scalar]


def joined(parts: Parts, count: int) -> pa.Array:
    """The cells (or rows) that `parts` make up: a binary array without nulls."""
    if all(isinstance(part, pa.Scalar) for part in parts):
        parts = [*parts, pa.repeat(_NOTHING, count)]
    return pc.binary_join_element_wise(*parts, _NOTHING)


def as_list(cells: pa.Array) -> list[bytes]:
    """The elements of a binary array without nulls."""
    offsets = memoryview(cells.buffers()[1]).cast("i")[cells.offset : cells.offset + len(cells) + 1]
    data = cells.buffers()[2]
    text = b"" if data is None else data.to_pybytes()
    return [text[start:end] for start, end in pairwise(offsets)]


def most_bytes(array: pa.Array) -> int:
    """A bound of what the values of a column come to, each written out."""
    held = int(array.nbytes)
    if pa.types.is_dictionary(array.type):
        return held + min(int(array.dictionary.nbytes), VALUE_INLINE_BYTES_MAX) * len(array)
    return held


def column_parts(array: pa.Array) -> Parts:
    """Raises Rejected GC-5006 for a type without canonical form."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        cells = joined(column_parts(array.dictionary), len(array.dictionary))
        return [_filled(cells.take(array.indices), _NULL)]
    if pa.types.is_list(kind):
        return [pa.array(_lists(array), _BINARY)]
    if pa.types.is_struct(kind):
        return [pa.array(_structs(array), _BINARY)]
    return _scalars(array, kind)


def _scalars(array: pa.Array, kind: pa.DataType) -> Parts:
    if pa.types.is_string(kind):
        return _sized(5, array.cast(_BINARY))
    if pa.types.is_binary(kind):
        return _sized(6, array)
    if pa.types.is_integer(kind):
        return _fixed(2, "q", array.cast(pa.int64()))
    if pa.types.is_decimal128(kind):
        return _sized(4, _shortest(array).cast(_BINARY))
    if pa.types.is_timestamp(kind):
        return _fixed(8 if kind.tz is None else 9, "q", array.cast(pa.int64()))
    if pa.types.is_date32(kind):
        return _fixed(7, "i", array.cast(pa.int32()))
    if pa.types.is_boolean(kind):
        cells = pc.if_else(array, pa.scalar(b"\x01\x01", _BINARY), pa.scalar(b"\x01\x00", _BINARY))
        return [_filled(cells, _NULL)]
    if pa.types.is_floating(kind):
        double = array.cast(pa.float64())
        return _fixed(3, "d", pc.if_else(pc.is_nan(double), _NAN, double))
    raise Rejected("GC-5006", reason="a type without canonical form")


def _filled(array: pa.Array, value: pa.Scalar) -> pa.Array:
    return pc.fill_null(array, value) if array.null_count else array


def _fixed(tag: int, code: str, array: pa.Array) -> Parts:
    """Tag and big-endian value; `code` is the value's type as the module `array` names it."""
    values = packed(code)
    width, buffer = values.itemsize, array.buffers()[1]
    if buffer is not None:
        values.frombytes(memoryview(buffer)[array.offset * width : (array.offset + len(array)) * width])
    if sys.byteorder == "little":
        values.byteswap()
    fixed = pa.Array.from_buffers(pa.binary(width), len(array), [None, pa.py_buffer(values)])
    mark = pa.scalar(bytes((tag,)), _BINARY)
    if not array.null_count:
        return [mark, fixed.cast(_BINARY)]
    valid = array.is_valid()
    return [pc.if_else(valid, mark, _NULL), pc.if_else(valid, fixed.cast(_BINARY), _NOTHING)]


def _sized(tag: int, array: pa.Array) -> Parts:
    """Tag, length and bytes; the hash of what is too long."""
    lengths = pc.binary_length(array)
    longest = pc.max(lengths).as_py() or 0
    if longest > VALUE_INLINE_BYTES_MAX:
        return [pa.array([_sized_one(tag, value) for value in array.to_pylist()], _BINARY)]
    heads = _heads(tag, 1 << longest.bit_length()).take(lengths)
    return [_filled(heads, _NULL), _filled(array, _NOTHING)]


@functools.cache
def _heads(tag: int, count: int) -> pa.Array:
    """Tag and length of every length below `count`."""
    return pa.array([LENGTH.pack(tag, length) for length in range(count)], _BINARY)


def _sized_one(tag: int, value: bytes | None) -> bytes:
    if value is None:
        return NULL
    return sized(tag, value) if len(value) <= VALUE_INLINE_BYTES_MAX else large(value)


def sized(tag: int, data: bytes) -> bytes:
    return LENGTH.pack(tag, len(data)) + data


def large(value: bytes) -> bytes:
    return b"\x0c" + hashlib.sha256(value).digest()


def _shortest(array: pa.Array) -> pa.Array:
    """Decimals as plain text without exponent, superfluous zero or negative zero (Arrow has none)."""
    text = array.cast(pa.string())
    if pc.any(pc.match_substring(text, "E")).as_py():  # as Arrow writes a very small one
        plain = [v if v is None else format(v, "f") for v in array.to_pylist()]
        text = pa.array(plain, pa.string())
    return text if array.type.scale <= 0 else pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), ".")


def _lists(array: pa.Array) -> list[bytes]:
    items = iter(_cells(array.flatten()))
    lengths = pc.list_value_length(array).to_pylist()
    return [
        NULL if n is None else LENGTH.pack(0x0A, n) + b"".join(next(items) for _ in range(n)) for n in lengths
    ]


def _structs(array: pa.Array) -> list[bytes]:
    head = LENGTH.pack(0x0B, array.type.num_fields)
    rows = zip(*(_cells(child) for child in array.flatten()), strict=True)
    valid = array.is_valid().to_pylist()
    return [head + b"".join(cells) if ok else NULL for ok, cells in zip(valid, rows, strict=True)]


def _cells(array: pa.Array) -> list[bytes]:
    return as_list(joined(column_parts(array), len(array)))
