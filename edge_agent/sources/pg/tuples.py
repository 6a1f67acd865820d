"""Tuples of pgoutput, taken out of the bytes of the log as whole columns.

    tuple  = u16 columns ‖ value …                                       big endian
    value  = "n" (null), or "u" (large, and left alone), or "t" ‖ u32 length ‖ text

(PostgreSQL's manual, "Logical Replication Message Formats": TupleData.) Where the values of a column lie follows for
all tuples at once, and one `take` gathers them; of few tuples a loop in Python is quicker, and gives the same. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

FEW = 500
"""Up to so many tuples the loop is quicker."""

PADDING = bytes(8)
"""Behind the last tuple, so that a number can be read wherever a value may begin."""

_BYTES_LIMIT = 1 << 31
"""Offsets of an array end here; the server's messages are half as long at most."""

_NUMBER = pa.int64()
_NOUGHT, _ONE, _FIVE = (pa.scalar(number, _NUMBER) for number in (0, 1, 5))
_EIGHT, _SIXTEEN, _TWENTY_FOUR = (pa.scalar(1 << bits, _NUMBER) for bits in (8, 16, 24))
_OF_END = pa.scalar(1 << 32, _NUMBER)
_NO_INDEX = pa.scalar(None, pa.int32())
_TEXT, _NULL, _UNCHANGED = (pa.scalar(ord(kind), pa.uint8()) for kind in "tnu")
_KINDS = pa.array([ord(kind) for kind in "tnu"], pa.uint8())
_U16, _U32 = struct.Struct(">H"), struct.Struct(">I")


class Torn(Exception):
    """The bytes are no tuple."""


@dataclass(frozen=True, slots=True, eq=False)
class Tuples:
    """A binary array a column; of each column which values were left alone (None: none); where each tuple ends."""

    columns: list[pa.Array]
    unchanged: list[pa.Array | None]
    ends: list[int]


def read(data: bytes, starts: Sequence[int], limits: Sequence[int], columns: int) -> Tuples:
    """The tuples that begin at `starts`, each of so many columns, and end at `limits` at the latest. `data` has
    PADDING behind it. Raises Torn."""
    if len(data) >= _BYTES_LIMIT:
        raise Torn
    if not starts:
        return Tuples([pa.nulls(0, pa.binary())] * columns, [None] * columns, [])
    if len(starts) <= FEW:
        return read_few(data, starts, limits, columns)
    return read_many(data, starts, limits, columns)


def read_few(data: bytes, starts: Sequence[int], limits: Sequence[int], columns: int) -> Tuples:
    """One value after another."""
    values: list[list[bytes | None]] = [[] for _ in range(columns)]
    unchanged: dict[int, list[int]] = {}
    ends = []
    for row, (start, limit) in enumerate(zip(starts, limits, strict=True)):
        at = start + 2
        if at > limit or _U16.unpack_from(data, start)[0] != columns:
            raise Torn
        for column, found in enumerate(values):
            kind = data[at]
            if kind == 0x74:
                begin = at + 5
                at = begin + _U32.unpack_from(data, at + 1)[0]
                if at > limit:
                    raise Torn
                found.append(data[begin:at])
            elif kind in (0x6E, 0x75):
                at += 1
                found.append(None)
                if kind == 0x75:
                    unchanged.setdefault(column, []).append(row)
            else:
                raise Torn
            if at > limit:
                raise Torn
        ends.append(at)
    rows = range(len(starts))
    marks = [
        pa.array([row in unchanged[column] for row in rows], pa.bool_()) if column in unchanged else None
        for column in range(columns)
    ]
    return Tuples([pa.array(found, pa.binary()) for found in values], marks, ends)


def read_many(data: bytes, starts: Sequence[int], limits: Sequence[int], columns: int) -> Tuples:
    """One column after another, of all tuples at once."""
    octets = pa.Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(data)])
    at, limit = pa.array(starts, _NUMBER), pa.array(limits, _NUMBER)
    evens = pa.array(range(0, 2 * len(starts), 2), pa.int32())
    if not _all(pc.less_equal(pc.add(at, pc.add(_ONE, _ONE)), limit)):
        raise Torn
    counts = pc.add(pc.multiply(_octet(octets, at, 0), _EIGHT), _octet(octets, at, 1))
    if not _all(pc.equal(counts, pa.scalar(columns, _NUMBER))):
        raise Torn
    at = pc.add(at, pa.scalar(2, _NUMBER))
    found, marks = [], []
    for _ in range(columns):
        kind = octets.take(at)
        values, at, unchanged = _column(octets, evens, kind, at, limit)
        found.append(values)
        marks.append(unchanged)
    return Tuples(found, marks, at.to_pylist())


def _column(
    octets: pa.Array, evens: pa.Array, kind: pa.Array, at: pa.Array, limit: pa.Array
) -> tuple[pa.Array, pa.Array, pa.Array | None]:
    """The values that begin `at`, where they end, and which were left alone."""
    span = pc.min_max(kind)
    least, most = span["min"].as_py(), span["max"].as_py()
    absent = unchanged = None
    if least == most == 0x74:
        start, length = pc.add(at, _FIVE), _length(octets, at)
    else:
        if not _all(pc.is_in(kind, _KINDS)):
            raise Torn
        absent = pc.not_equal(kind, _TEXT)
        start = pc.if_else(absent, pc.add(at, _ONE), pc.add(at, _FIVE))
        length = pc.if_else(absent, _NOUGHT, _length(octets, at))
        if most == 0x75:
            unchanged = pc.equal(kind, _UNCHANGED)
    end = pc.add(start, length)
    if not _all(pc.less_equal(end, limit)):
        raise Torn
    return _gathered(octets.buffers()[1], evens, absent, start, end), end, unchanged


def _length(octets: pa.Array, at: pa.Array) -> pa.Array:
    """The numbers of four bytes that stand behind the bytes `at`."""
    number = pc.multiply(_octet(octets, at, 1), _TWENTY_FOUR)
    number = pc.add(number, pc.multiply(_octet(octets, at, 2), _SIXTEEN))
    number = pc.add(number, pc.multiply(_octet(octets, at, 3), _EIGHT))
    return pc.add(number, _octet(octets, at, 4))


def _octet(octets: pa.Array, at: pa.Array, place: int) -> pa.Array:
    return octets.take(pc.add(at, pa.scalar(place, _NUMBER))).cast(_NUMBER)


def _all(condition: pa.Array) -> bool:
    return bool(pc.all(condition).as_py())


def _gathered(
    buffer: pa.Buffer, evens: pa.Array, absent: pa.Array | None, start: pa.Array, end: pa.Array
) -> pa.Array:
    # Both ends of a value as two halves of one number are the offsets of an array that holds every value and,
    # between two, all that lies there; every second element is a value (as in `packets`).
    offsets = pc.add(start, pc.multiply(end, _OF_END)).buffers()[1]
    both = pa.Array.from_buffers(pa.binary(), 2 * len(evens) - 1, [None, offsets, buffer])
    return both.take(evens if absent is None else pc.if_else(absent, _NO_INDEX, evens))
