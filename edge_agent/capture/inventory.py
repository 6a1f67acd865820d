"""The inventory mark: every table and column that exists at a source, captured or not and why (capture.md §1).

It is what tells the centre what is *not* coming. A long inventory goes in numbered parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from protocol.batch import MarkHeader
from protocol.change import MarkKind
from protocol.limits import BATCH_HEADER_BYTES_MAX
from protocol.names import TableName
from protocol.schema import canonical_json

from ..sources.source import TableInfo

PART_BYTES_MAX = BATCH_HEADER_BYTES_MAX // 2
"""JSON of the lines in one mark, so that its header stays far below its bound."""


Line = dict[str, Any]


def inventory_marks(
    infos: list[TableInfo], included: frozenset[TableName], captured: int
) -> Iterator[MarkHeader]:
    """At least one mark, even for a source without tables."""
    lines = (line for info in infos for line in _lines(info, info.name in included))
    parts = list(_parts(lines)) or [[]]
    for number, part in enumerate(parts, 1):
        yield MarkHeader(
            captured=captured,
            mark=MarkKind.INVENTORY,
            table=None,
            facts={
                "part": number,
                "parts": len(parts),
                "tables": part,
            },
        )


def _lines(info: TableInfo, captured: bool) -> Iterator[Line]:
    """One line, or several with some of the columns each where one would not fit a mark."""
    for columns in _portions(info.columns) or [()]:
        yield {
            "table": info.name.as_list(),
            "columns": [list(column) for column in columns],
            "key": list(info.key),
            "rows": info.rows_estimate,
            "captured": captured,
            "reason": "" if captured else "not in include",
        }


def _portions(columns: tuple[tuple[str, str], ...]) -> list[tuple[tuple[str, str], ...]]:
    longest = max((len(canonical_json(column)) for column in columns), default=0)
    count = max(1, PART_BYTES_MAX // 2 // (longest + 1))
    return [columns[start : start + count] for start in range(0, len(columns), count)]


def _parts(lines: Iterable[Line]) -> Iterator[list[Line]]:
    part: list[Line] = []
    left = PART_BYTES_MAX
    for line in lines:
        size = len(canonical_json(line)) + 1
        if part and size > left:
            yield part
            part, left = [], PART_BYTES_MAX
        part.append(line)
        left -= size
    if part:
        yield part
