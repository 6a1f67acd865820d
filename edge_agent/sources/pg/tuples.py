"""Tuples of pgoutput, taken out of the bytes of the log as whole columns.

    tuple  = u16 columns ‖ value …                                       big endian
    value  = "n" (null), or "u" (large, and left alone), or "t" ‖ u32 length ‖ text

(PostgreSQL's manual, "Logical Replication Message Formats": TupleData.) Where the values of a column lie follows for
all tuples at once, and one `take` gathers them; of few tuples a loop in Python is quicker, and gives the same. Pure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from .messages import UP_8, UP_16, UP_24, Torn, numbers

FEW = 500
"""Up to so many tuples the loop is quicker."""

_BYTES_LIMIT = 1 << 31
"""Offsets of an array end here; the server's messages are half as long at most."""

_NUMBER = pa.int64()
_HALF = pa.scalar(32, _NUMBER)
_OF_END = pa.scalar(1 << 32, _NUMBER)
_TWICE = (1 << 32) + 1
_ONE_STEP, _HEAD_STEP, _TEXT_STEP = (pa.scalar(by * _TWICE, _NUMBER) for by in (1, 2, 5))
_TWO_BYTES, _FIVE_BYTES = (pa.scalar(size << 32, _NUMBER) for size in (2, 5))
_NOUGHT = pa.scalar(0, _NUMBER)
_NO_INDEX = pa.scalar(None, pa.int32())
_TEXT, _UNCHANGED = (pa.scalar(ord(kind), pa.uint8()) for kind in "tu")
_TOO_LONG = 1 << 30
"""No value has a gigabyte, and by twice as much the numbers here would overflow."""
_U16, _U32 = struct.Struct(">H"), struct.Struct(">I")


@dataclass(frozen=True, slots=True, eq=False)
class Tuples:
    """A binary array a column; of each column which values were left alone (None: none); where each tuple ends."""

    columns: list[pa.Array]
    unchanged: list[pa.Array | None]
    ends: pa.Array


def read(data: pa.Array, starts: pa.Array, limits: pa.Array, columns: int) -> Tuples:
    """The tuples that begin at `starts`, each of so many columns, and end at `limits` at the latest. `data` (bytes as
    an array) has padding behind it (`messages`). Raises Torn."""
    if len(data) >= _BYTES_LIMIT:
        raise Torn
    if not len(starts):
        return Tuples([pa.nulls(0, pa.binary())] * columns, [None] * columns, starts)
    if len(starts) <= FEW:
        return read_few(data, starts, limits, columns)
    return read_many(data, starts, limits, columns)


def read_few(data: pa.Array, starts: pa.Array, limits: pa.Array, columns: int) -> Tuples:
    """One value after another."""
    octets = memoryview(data.buffers()[1])
    values: list[list[bytes | None]] = [[] for _ in range(columns)]
    unchanged: dict[int, list[int]] = {}
    ends = []
    for row, (start, limit) in enumerate(zip(starts.to_pylist(), limits.to_pylist(), strict=True)):
        text = octets[start:limit].tobytes()
        try:
            ends.append(start + _take_row(text, values, unchanged, row))
        except (IndexError, struct.error):
            raise Torn from None
    rows = range(len(starts))
    marks = [
        pa.array([row in unchanged[column] for row in rows], pa.bool_()) if column in unchanged else None
        for column in range(columns)
    ]
    return Tuples([pa.array(found, pa.binary()) for found in values], marks, numbers(ends))


def _take_row(
    text: bytes, values: list[list[bytes | None]], unchanged: dict[int, list[int]], row: int
) -> int:
    """Put the values of one tuple behind those of others; where it ends. IndexError or struct.error where `text` does
    before."""
    if _U16.unpack_from(text)[0] != len(values):
        raise Torn
    at = 2
    for column, found in enumerate(values):
        kind = text[at]
        if kind == 0x74:
            begin = at + 5
            at = begin + _U32.unpack_from(text, at + 1)[0]
            found.append(text[begin:at])
        elif kind in (0x6E, 0x75):
            at += 1
            found.append(None)
            if kind == 0x75:
                unchanged.setdefault(column, []).append(row)
        else:
            raise Torn
    if at > len(text):
        raise Torn
    return at


def read_many(data: pa.Array, starts: pa.Array, limits: pa.Array, columns: int) -> Tuples:
    """One column after another, of all tuples at once."""
    walk = _Walk(data, starts, limits)
    walk.head(columns)
    found = [walk.column() for _ in range(columns)]
    return Tuples([values for values, _ in found], [marks for _, marks in found], walk.end())


class _Walk:
    """Along all tuples at once, from column to column. `_at` is where each value begins, twice: in both halves of a
    number. Such numbers are the offsets of an array of which every second element is wanted (as in `packets`)."""

    def __init__(self, data: pa.Array, starts: pa.Array, limits: pa.Array) -> None:
        self._buffer = data.buffers()[1]
        self._limits = limits
        self._count = len(starts)
        self._evens = pa.array(range(0, 2 * self._count, 2), pa.int32())
        self._most = pc.max(limits).as_py() * _TWICE
        self._at = pc.multiply(starts, _ONE_STEP)

    def head(self, columns: int) -> None:
        """The number of columns, which must be this one."""
        if self._taken(_TWO_BYTES) != _U16.pack(columns) * self._count:
            raise Torn
        self._step(_HEAD_STEP)

    def column(self) -> tuple[pa.Array, pa.Array | None]:
        """The values of the next column, and which were left alone."""
        heads = self._taken(_FIVE_BYTES)
        kinds = heads[::5]
        texts = kinds.count(b"t")
        if texts == self._count:
            return self._texts(self._lengths(heads), _TEXT_STEP, None), None
        if kinds.count(b"n") == self._count:
            self._step(_ONE_STEP)
            return pa.nulls(self._count, pa.binary()), None
        return self._mixed(heads, kinds, texts)

    def _mixed(self, heads: bytes, kinds: bytes, texts: int) -> tuple[pa.Array, pa.Array | None]:
        left_alone = kinds.count(b"u")
        if texts + left_alone + kinds.count(b"n") != self._count:
            raise Torn
        kind = _octets(kinds)
        absent = pc.not_equal(kind, _TEXT)
        lengths = pc.if_else(absent, _NOUGHT, self._lengths(heads))
        found = self._texts(lengths, pc.if_else(absent, _ONE_STEP, _TEXT_STEP), absent)
        return found, pc.equal(kind, _UNCHANGED) if left_alone else None

    def end(self) -> pa.Array:
        """Where the tuples end, each within its limit."""
        ends = pc.shift_right(self._at, _HALF)
        if not pc.all(pc.less_equal(ends, self._limits)).as_py():
            raise Torn
        return ends

    def _lengths(self, heads: bytes) -> pa.Array:
        """The numbers of four bytes behind the first of each five."""
        lengths = _octets(heads[4::5]).cast(_NUMBER)
        for place, factor in ((3, UP_8), (2, UP_16), (1, UP_24)):
            octets = heads[place::5]
            if octets.count(0) != self._count:
                lengths = pc.add(lengths, pc.multiply(_octets(octets).cast(_NUMBER), factor))
        return lengths

    def _texts(self, lengths: pa.Array, head: pa.Array | pa.Scalar, absent: pa.Array | None) -> pa.Array:
        """The values of these lengths behind the heads, and on to the next column."""
        if pc.max(lengths).as_py() >= _TOO_LONG:
            raise Torn
        self._step(head)
        start = self._at
        self._step(pc.multiply(lengths, _ONE_STEP))
        offsets = pc.add(start, pc.multiply(lengths, _OF_END))
        return self._both(offsets).take(
            self._evens if absent is None else pc.if_else(absent, _NO_INDEX, self._evens)
        )

    def _step(self, by: pa.Array | pa.Scalar) -> None:
        self._at = pc.add(self._at, by)
        if (
            pc.max(self._at).as_py() > self._most
        ):  # nothing is read beyond the last tuple and the padding behind it
            raise Torn

    def _taken(self, size: pa.Scalar) -> bytes:
        """So many bytes of every tuple, one behind another."""
        found = self._both(pc.add(self._at, size)).take(self._evens)
        return bytes(found.buffers()[2])

    def _both(self, offsets: pa.Array) -> pa.Array:
        """Every value, and between two of them all that lies there. Of a torn tuple the first may begin behind the
        last, which is no array."""
        buffers = [None, offsets.buffers()[1], self._buffer]
        try:
            return pa.Array.from_buffers(pa.binary(), 2 * self._count - 1, buffers)
        except pa.ArrowInvalid:
            raise Torn from None


def _octets(of: bytes) -> pa.Array:
    return pa.Array.from_buffers(pa.uint8(), len(of), [None, pa.py_buffer(of)])
