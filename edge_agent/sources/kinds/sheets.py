"""What a workbook of any format gives: sheets, each a stream of rows of cells.

Rows and columns count from 1 and 0 as people and programs do: row 1 is the first, column 0 is A.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from edge_agent.sources.kinds.cells import Cell

Row: TypeAlias = tuple[int, dict[int, Cell]]
"""A row that has a value: its number, and its values by column."""

ROWS_MAX = 1_048_576
COLUMNS_MAX = 16_384
"""Excel's own: no sheet has more."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Cells that are shown as one; only the first of them has a value."""

    first_row: int
    last_row: int


@dataclass(slots=True)
class Extras:
    """What a sheet says beside its rows; complete when they are read."""

    merged: list[Merged] = field(default_factory=list)


class Sheet(Protocol):
    @property
    def name(self) -> str: ...

    def rows(self, extras: Extras) -> Iterator[Row]:
        """Rows with values in their order, every time from the first; fills `extras` on the way."""
        ...


class Workbook(Protocol):
    def sheets(self) -> list[Sheet]:
        """In their order, hidden ones too."""
        ...
