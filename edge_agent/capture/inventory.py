"""The inventory mark: every table and column that exists at a source, captured or not and why (capture.md §1).

It is what tells the centre what is *not* coming. A long inventory goes in numbered parts.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocol.batch import MarkHeader
from protocol.change import MarkKind
from protocol.names import TableName

from ..sources.source import TableInfo

PART_COLUMNS_MAX = 2_000
"""Columns told in one mark, so that its header stays far below its bound."""


def inventory_marks(
    infos: list[TableInfo], included: frozenset[TableName], captured: int
) -> Iterator[MarkHeader]:
    """At least one mark, even for a source without tables."""
    parts = list(_parts(infos)) or [[]]
    for number, part in enumerate(parts, 1):
        yield MarkHeader(
            captured=captured,
            mark=MarkKind.INVENTORY,
            table=None,
            facts={
                "part": number,
                "parts": len(parts),
                "tables": [_line(info, info.name in included) for info in part],
            },
        )


def _line(info: TableInfo, captured: bool) -> dict[str, object]:
    return {
        "table": info.name.as_list(),
        "columns": [list(column) for column in info.columns],
        "key": list(info.key),
        "rows": info.rows_estimate,
        "captured": captured,
        "reason": "" if captured else "not in include",
    }


def _parts(infos: list[TableInfo]) -> Iterator[list[TableInfo]]:
    part: list[TableInfo] = []
    columns = 0
    for info in infos:
        if part and columns + len(info.columns) > PART_COLUMNS_MAX:
            yield part
            part, columns = [], 0
        part.append(info)
        columns += len(info.columns)
    if part:
        yield part
