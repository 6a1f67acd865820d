"""Buckets: ranges of `_gc_key` by which the rows of a large table are kept, and worked on, apart.

A key is a digest, so its first two bytes spread rows evenly, whatever the table's own key looks like. A
*place* is those two bytes as a number; a bucket is a range of places, and halves itself when it has grown.
Pure: it refuses to know what the rows mean and where they lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

_LAST = 0xFFFF
_NAME = re.compile(r"base-([0-9a-f]{4})-([0-9a-f]{4})")


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """The places from `first` to `last`, both included."""

    first: int = 0
    last: int = _LAST

    @property
    def name(self) -> str:
        """As the partition of a base file says it."""
        return f"base-{self.first:04x}-{self.last:04x}"

    @classmethod
    def named(cls, text: str) -> Bucket | None:
        """None for any other text."""
        found = _NAME.fullmatch(text)
        return cls(int(found[1], 16), int(found[2], 16)) if found else None

    def halves(self) -> tuple[Bucket, Bucket] | None:
        """None where one place is left."""
        if self.first == self.last:
            return None
        middle = (self.first + self.last) // 2
        return Bucket(self.first, middle), Bucket(middle + 1, self.last)


def even(count: int) -> list[Bucket]:
    """`count` buckets (1 to 65,536) that hold all places, of about the same width."""
    firsts = [i * (_LAST + 1) // count for i in range(count)]
    return [Bucket(first, after - 1) for first, after in zip(firsts, [*firsts[1:], _LAST + 1], strict=True)]


def covering(found: Iterable[Bucket]) -> list[Bucket]:
    """The same buckets in order, widened upwards so that every place has one: those that hold no row leave gaps."""
    ordered = sorted(set(found)) or [Bucket()]
    firsts = [0, *(one.first for one in ordered[1:])]
    return [
        replace(one, first=first, last=after - 1)
        for one, first, after in zip(ordered, firsts, [*firsts[1:], _LAST + 1], strict=True)
    ]


def places(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    """The place of each key (uint16). Shorter keys than two bytes count as if zeros followed."""
    padded = pc.binary_join_element_wise(keys, pa.scalar(b"\0\0", keys.type), pa.scalar(b"", keys.type))
    heads = pc.binary_slice(padded, 0, 2).cast(pa.binary(2))
    chunks = []
    for chunk in heads.chunks:
        little = chunk.view(pa.uint16())
        eight = pa.scalar(8, pa.uint16())
        chunks.append(pc.bit_wise_or(pc.shift_left(little, eight), pc.shift_right(little, eight)))
    return pa.chunked_array(chunks, pa.uint16())


def within(rows: pa.Table, bucket: Bucket) -> pa.Table:
    """The rows of one bucket."""
    if bucket == Bucket():
        return rows
    at = places(rows.column("_gc_key"))
    above = pc.greater_equal(at, pa.scalar(bucket.first, pa.uint16()))
    return rows.filter(pc.and_(above, pc.less_equal(at, pa.scalar(bucket.last, pa.uint16()))))


class Sorter:
    """Tells rows apart by their buckets, which must hold all places (see `even`, `covering`)."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        widths = [one.last - one.first + 1 for one in buckets]
        numbers = [pa.repeat(pa.scalar(i, pa.int32()), width) for i, width in enumerate(widths)]
        self._numbers = pa.concat_arrays(numbers)
        self._one = len(buckets) == 1

    def sort(self, rows: pa.Table) -> Iterator[tuple[int, pa.Table]]:
        """The number of a bucket and its rows, in their order, for each that has any."""
        if self._one:
            yield 0, rows
            return
        number = pc.take(self._numbers, places(rows.column("_gc_key")))
        order = pc.sort_indices(number)
        sorted_rows, begin = rows.take(order), 0
        counts = {one["values"]: one["counts"] for one in pc.value_counts(number).to_pylist()}
        for at in sorted(counts):
            yield at, sorted_rows.slice(begin, counts[at])
            begin += counts[at]
