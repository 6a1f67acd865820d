"""Cuts a stream of rows into pieces of bounded size, however wide a row turns out to be.

How many rows the next fetch asks for follows from the weight of those before, beginning with one where none
are known, so a table of megabyte images is not fetched by the thousand. Knows neither databases nor files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge_agent.sources.columns import weight
from edge_agent.sources.source import Rows

Fetch = Callable[[int], Rows]
"""At most that many further rows; none at the end."""

_GROWTH = 8


def slices(fetch: Fetch, rows_max: int, bytes_max: int, row_bytes: int | None = None) -> Iterator[Rows]:
    """Every row once, in order. A slice of more than one row has at most `rows_max` and `bytes_max`. `row_bytes`:
    what a row of this table weighed that was read before."""
    count = 1 if row_bytes is None else max(1, min(bytes_max // max(row_bytes, 1), rows_max))
    while (piece := fetch(count)).count:
        size = weight(piece)
        yield from _cut(piece, bytes_max)
        by_weight = bytes_max * piece.count // max(size, 1)
        count = max(1, min(count * _GROWTH, by_weight, rows_max))


def _cut(piece: Rows, bytes_max: int) -> Iterator[Rows]:
    while piece.count:
        count = max(1, prefix(piece, bytes_max))
        yield piece.slice(0, count)
        piece = piece.slice(count, piece.count - count)


def prefix(piece: Rows, bytes_max: int) -> int:
    """How many of the first rows fit `bytes_max`."""
    if weight(piece) <= bytes_max:
        return piece.count
    low, high = 0, piece.count
    while high - low > 1:
        middle = (low + high) // 2
        if weight(piece.slice(0, middle)) <= bytes_max:
            low = middle
        else:
            high = middle
    return low
