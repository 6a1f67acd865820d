"""Rows of MySQL's text protocol, taken out of the bytes of the line as whole columns.

    packet  = u24 length ‖ u8 sequence ‖ payload      little endian; a length of 2^24 - 1 goes on in the next packet
    row     = one value a column: FB (null), or length ‖ bytes
    length  = u8 below FB, or FC u16, or FD u24, or FE u64
    the end = a payload of FE and fewer than nine bytes in all, or FF and an error

(MySQL's internals manual, "MySQL Packets" and "Text Resultset".) Only packets are walked one by one. Where the
values of a column lie follows for all rows at once, and one `take` gathers them from the line's own bytes. Pure:
bytes come from `receive`; it knows no driver and no meaning of a value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

_HEADER = struct.Struct("<I")
_LENGTH = 0xFFFFFF
_CONTINUED = 0xFFFFFF
_NULL, _TWO_BYTES, _THREE_BYTES, _EIGHT_BYTES = 0xFB, 0xFC, 0xFD, 0xFE
_END, _ERROR = 0xFE, 0xFF
_END_BYTES_MAX = 8
_NUMBER = pa.int64()
_PLACES = [pa.scalar(1 << (8 * place), _NUMBER) for place in range(5)]
_NOUGHT, _ONE, _OF_END, _OF_NULL = pa.scalar(0, _NUMBER), _PLACES[0], _PLACES[4], pa.scalar(_NULL, pa.uint8())
_NO_INDEX = pa.scalar(None, pa.int32())
_LONG = [
    (width, pa.scalar(mark, pa.uint8()), pa.scalar(1 + width, _NUMBER))
    for width, mark in ((2, _TWO_BYTES), (3, _THREE_BYTES), (8, _EIGHT_BYTES))
]
"""Numbers as Arrow's: of a Python number it would find out the type each time, which takes longer than the sum."""

TAKE_BYTES_MAX = 4 * 1024 * 1024
"""What is taken at once has no further row behind so much: rows may become a thousand times as long as those before,
and an array of bytes ends at 2 GiB."""

_PADDING = bytes(8)
"""Behind the last row, so that lengths of any width can be read of every value."""


class Torn(Exception):
    """The bytes are no result: their connection is of no use any more."""


class Packets:
    """The rows of one result. `receive` gives further bytes, none if there are no more; `sequence` is the number
    of the next packet."""

    def __init__(self, receive: Callable[[], bytes], columns: int, sequence: int) -> None:
        self._receive = receive
        self._columns = columns
        self._sequence = sequence
        self._buffer = bytearray()
        self.ended = False
        self.error: bytes | None = None
        """The payload that ended the result, if that was an error."""

    def take(self, count: int) -> list[pa.Array]:
        """The values of at most `count` further rows, of fewer where they are long: a binary array a column; empty
        ones at the end."""
        starts: list[int] = []
        ends: list[int] = []
        end = 0
        while len(starts) < count and end < TAKE_BYTES_MAX and not self.ended:
            start, following, length = self._packet(end)
            if length == _CONTINUED:
                if not starts:
                    return self._long_row()
                break
            self._sequence = (self._sequence + 1) & 0xFF
            end = following
            if self._buffer[start] >= _END and self._is_last(start, end):
                break
            starts.append(start)
            ends.append(end)
        with memoryview(self._buffer) as view:
            data = b"".join((view[:end], _PADDING))
        del self._buffer[:end]
        return columns_of(data, starts, ends, self._columns)

    def _packet(self, at: int) -> tuple[int, int, int]:
        """Where the payload begins and ends of the packet that begins there, and its length."""
        start = at + _HEADER.size
        if len(self._buffer) < start:
            self._fill(start)
        (header,) = _HEADER.unpack_from(self._buffer, at)
        length = header & _LENGTH
        if header >> 24 != self._sequence or not length:
            raise Torn
        if len(self._buffer) < start + length:
            self._fill(start + length)
        return start, start + length, length

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            received = self._receive()
            if not received:
                raise Torn
            self._buffer += received

    def _is_last(self, start: int, end: int) -> bool:
        if self._buffer[start] == _ERROR:
            self.error = bytes(self._buffer[start:end])
        elif end - start > _END_BYTES_MAX:
            return False
        if len(self._buffer) > end:
            raise Torn
        self.ended = True
        return True

    def _long_row(self) -> list[pa.Array]:
        """The next row, whose payload goes on from packet to packet; the last may be empty."""
        row = bytearray()
        length = _CONTINUED
        while length == _CONTINUED:
            self._fill(_HEADER.size)
            (header,) = _HEADER.unpack_from(self._buffer)
            length = header & _LENGTH
            if header >> 24 != self._sequence:
                raise Torn
            self._fill(_HEADER.size + length)
            row += memoryview(self._buffer)[_HEADER.size : _HEADER.size + length]
            del self._buffer[: _HEADER.size + length]
            self._sequence = (self._sequence + 1) & 0xFF
        end = len(row)
        row += _PADDING
        return columns_of(bytes(row), [0], [end], self._columns)


def columns_of(data: bytes, starts: Sequence[int], ends: Sequence[int], columns: int) -> list[pa.Array]:
    """The values of the rows that lie in `data` between `starts` and `ends`, eight bytes of padding behind them."""
    if not starts:
        return [pa.nulls(0, pa.binary())] * columns
    octets = pa.Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(data)])
    at = pa.array(starts, pa.int64())
    found = []
    try:
        for _ in range(columns):
            null, start, at = _value(octets, at)
            found.append((null, start, at))
    except IndexError:
        raise Torn from None
    # No length is negative, so whatever ends where its row ends lies within it.
    if not at.equals(pa.array(ends, pa.int64())):
        raise Torn
    evens = pa.array(range(0, 2 * len(starts), 2), pa.int32())
    return [_gathered(octets.buffers()[1], evens, *value) for value in found]


def _value(octets: pa.Array, at: pa.Array) -> tuple[pa.Array | None, pa.Array, pa.Array]:
    """Of the values whose lengths begin `at`: which are null (None: none), where they begin, where they end."""
    first = octets.take(at)
    most = pc.max(first).as_py()
    length = first.cast(_NUMBER)
    start = pc.add(at, _ONE)
    if most < _NULL:
        return None, start, pc.add(start, length)
    null = pc.equal(first, _OF_NULL)
    length = pc.if_else(null, _NOUGHT, length)
    if most > _EIGHT_BYTES:
        raise Torn
    if most > _NULL:
        behind = start
        for width, mark, size in _LONG:
            marked = pc.equal(first, mark)
            length = pc.if_else(marked, _number(octets, behind, width), length)
            start = pc.if_else(marked, pc.add(at, size), start)
    return null, start, pc.add(start, length)


def _number(octets: pa.Array, at: pa.Array, width: int) -> pa.Array:
    """The little-endian numbers that begin `at`; of eight bytes four, more than a row can be long."""
    number = octets.take(at).cast(_NUMBER)
    for place in _PLACES[1 : min(width, 4)]:
        at = pc.add(at, _ONE)
        number = pc.add(number, pc.multiply(octets.take(at).cast(_NUMBER), place))
    return number


def _gathered(
    buffer: pa.Buffer, evens: pa.Array, null: pa.Array | None, start: pa.Array, end: pa.Array
) -> pa.Array:
    # Both ends of a value as two halves of one number are the offsets of an array that holds every value and,
    # between two, all that lies there; every second element is a value.
    offsets = pc.add(start, pc.multiply(end, _OF_END)).buffers()[1]
    both = pa.Array.from_buffers(pa.binary(), 2 * len(evens) - 1, [None, offsets, buffer])
    return both.take(evens if null is None else pc.if_else(null, _NO_INDEX, evens))
