"""Values whose columns follow from all of them: a column says what it carries, and the rest stands aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from edge_agent.sources.columns import aside
from edge_agent.sources.source import Rows
from protocol.canonical import Aside
from protocol.limits import MIB

SLICE_ROWS = 5_000
SLICE_BYTES = 4 * MIB


@dataclass(frozen=True, slots=True)
class OddCell:
    """What no column carries: the reason of its aside, and its text."""

    reason: str
    text: str

    @property
    def original(self) -> bytes:
        return self.text.encode("utf-8", "surrogatepass")


class Carrying(Protocol):
    def build(self, values: Sequence[Any]) -> tuple[pa.Array, dict[int, OddCell]]:
        """Null where a value is absent or aside; the asides by row."""
        ...


def rows_of(names: Sequence[str], columns: Sequence[Carrying], records: Sequence[Sequence[Any]]) -> Rows:
    """Records, each one value a column, as rows."""
    by_column = list(zip(*records, strict=True)) or [()] * len(names)
    arrays = []
    asides: list[list[Aside] | None] | None = None
    for name, column, values in zip(names, columns, by_column, strict=True):
        array, odd = column.build(values)
        arrays.append(array)
        for row, cell in odd.items():
            asides = [None] * len(values) if asides is None else asides
            asides[row] = [*(asides[row] or ()), aside(name, cell.reason, cell.original)]
    return Rows(arrays, asides)
