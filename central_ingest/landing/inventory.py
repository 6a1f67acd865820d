"""The lines of an inventory mark (docs/protocol.md §4.3), as the ledger keeps them."""

from __future__ import annotations

from protocol.batch import MarkHeader
from protocol.errors import Rejected
from protocol.names import Stream, TableName

from ..ledger.ledger import InventoryLine


def inventory(stream: Stream, mark: MarkHeader) -> tuple[list[InventoryLine], bool]:
    """The lines, and whether it is the first part."""
    try:
        lines = [
            InventoryLine(
                stream,
                str(TableName.from_list(one["table"])),
                len(one["columns"]),
                _count(one["rows"]),
                bool(one["captured"]),
                str(one["reason"]),
            )
            for one in mark.facts["tables"]
        ]
        return lines, mark.facts["part"] == 1
    except (KeyError, TypeError):
        raise Rejected("GC-5006", reason="inventory") from None


def _count(rows: object) -> int | None:
    """An estimate that the ledger can hold."""
    if rows is not None and not (isinstance(rows, int) and 0 <= rows < 2**63):
        raise TypeError
    return rows
