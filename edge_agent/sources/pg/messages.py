"""Messages of the log, one behind another in the memory into which they were read.

Whoever looks at all of them at once finds where each lies, and of all the byte at some place; as a sequence they are
the bytes of each. Pure.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cached_property
from typing import overload

import pyarrow as pa
import pyarrow.compute as pc

PADDING_BYTES = 8
"""Behind the last message, so that a number can be read wherever a value may begin."""

_NUMBER = pa.int64()
_THREE = pa.scalar(3, _NUMBER)
UP_8, UP_16, UP_24 = (pa.scalar(1 << bits, _NUMBER) for bits in (8, 16, 24))
"""A byte times one of them stands so many bits higher."""


class Torn(Exception):
    """The bytes are no message, or no tuple."""


class Messages(Sequence[bytes]):
    """The i-th lies in `data` from `starts[i]` to `ends[i]`; PADDING_BYTES at least lie behind the last. `data` may be
    used for others once whoever gave it is asked for more."""

    def __init__(self, data: bytes | bytearray, starts: array[int], ends: array[int]) -> None:
        self.data = data
        self.starts = starts
        self.ends = ends
        self.octets = pa.Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(data)])

    @classmethod
    def of(cls, messages: Sequence[bytes]) -> Messages:
        if isinstance(messages, cls):
            return messages
        ends = array("q")
        end = 0
        for message in messages:
            end += len(message)
            ends.append(end)
        return cls(
            b"".join((*messages, bytes(PADDING_BYTES))), array("q", [0, *ends[:-1]] if ends else ()), ends
        )

    @classmethod
    def behind_heads(cls, data: bytearray, ends: array[int], head_bytes: int) -> Messages:
        """Each behind a head of so many bytes, the first of which begins the data."""
        if not ends:
            return cls.of(())
        starts = array("q", (0, *ends[:-1]))
        behind = pc.add(numbers(starts), pa.scalar(head_bytes, _NUMBER))
        return cls(data, array_of(behind), ends)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return bytes(self.data[self.starts[index] : self.ends[index]])

    def shortest(self) -> int:
        """The bytes of the shortest."""
        return int(pc.min(pc.subtract(numbers(self.ends), numbers(self.starts))).as_py())

    @cached_property
    def relations(self) -> array[int]:
        """Of every message the number that stands behind its first byte."""
        at = pc.add(numbers(self.starts), pa.scalar(1, _NUMBER))
        return array_of(number_at(self.octets, at))

    @cached_property
    def first_octets(self) -> bytes:
        """The first byte of each."""
        return self._each(0)

    @cached_property
    def sixth_octets(self) -> bytes:
        """The sixth byte of each."""
        return self._each(5)

    def _each(self, place: int) -> bytes:
        """Of every message the byte at this place, which may lie behind a short one's end."""
        at = pc.add(numbers(self.starts), pa.scalar(place, _NUMBER))
        return bytes(self.octets.take(at).buffers()[1])[: len(self)]


def number_at(octets: pa.Array, at: pa.Array) -> pa.Array:
    """The numbers of four bytes, the greatest first, that begin there."""
    found = pc.multiply(octet_at(octets, at), UP_24)
    for place, factor in ((1, UP_16), (2, UP_8)):
        one = octet_at(octets, pc.add(at, pa.scalar(place, _NUMBER)))
        found = pc.add(found, pc.multiply(one, factor))
    return pc.add(found, octet_at(octets, pc.add(at, _THREE)))


def octet_at(octets: pa.Array, at: pa.Array) -> pa.Array:
    return octets.take(at).cast(_NUMBER)


def numbers(of: array[int] | Sequence[int]) -> pa.Array:
    """As Arrow's, of an `array` without a copy."""
    if isinstance(of, array):
        return pa.Array.from_buffers(_NUMBER, len(of), [None, pa.py_buffer(of)])
    return pa.array(of, _NUMBER)


def array_of(found: pa.Array) -> array[int]:
    """Of numbers without nulls."""
    made = array("q")
    made.frombytes(memoryview(found.buffers()[1])[found.offset * 8 : (found.offset + len(found)) * 8])
    return made
