"""A table's `changes` as the lake holds them: every row in version order, its cells in canonical form.

Reads the Delta table with deltalake alone. A row is named by its place in version order; a cell is the
canonical bytes of one value, what stands aside included. It knows nothing of replay or of sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from protocol import canonical
from protocol.names import unescape_column

from .catalogue import ComparisonError

CHUNK_ROWS = 10_000
"""Rows whose cells are in memory at a time."""

ABSENT = b"\xff"
"""The cell of a value that no row carries: no canonical cell begins so, hence it equals none."""

_SYSTEM = re.compile(r"_gc_(?!x_|as_)")
_CLASHING = "_gc_as_"
_SPELT = re.compile(r"\^(?:([a-z])|([0-9]+);)")
_PLAIN_TYPES = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


def source_name(column: str) -> str:
    """The source's name of a column as the lake stores it."""
    if column.startswith(_CLASHING):
        plain = column[len(_CLASHING) :]
        column = _SPELT.sub(lambda m: m[1].upper() if m[1] else chr(int(m[2])), plain)
    return unescape_column(column)


def is_system(column: str) -> bool:
    return _SYSTEM.match(column) is not None


def read(table: Path) -> pa.Table:
    """All rows of the Delta table, whatever their order. Raises ComparisonError where it cannot be read."""
    if not (table / "_delta_log").is_dir():
        raise ComparisonError("nothing has landed")
    try:
        return DeltaTable(str(table)).to_pyarrow_table()
    except (DeltaError, pa.ArrowException, OSError) as error:
        raise ComparisonError(f"the lake cannot be read: {type(error).__name__}") from None


class Changes:
    """`rows`: what the lake's table holds, or what a query gave (then `ordered` is false: as they came)."""

    def __init__(self, rows: pa.Table, *, ordered: bool = True) -> None:
        if ordered:
            order = [(name, "ascending") for name in ("_gc_epoch", "_gc_seq", "_gc_ord")]
            rows = rows.take(pc.sort_indices(rows, sort_keys=order))
        self._rows = rows.combine_chunks()
        self._lake_names = {source_name(n): n for n in rows.column_names if not is_system(n)}
        self._asides, self._aside_columns = self._read_asides()

    @property
    def count(self) -> int:
        return int(self._rows.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The source's columns, by the source's names."""
        return tuple(self._lake_names)

    def kind(self, column: str) -> pa.DataType | None:
        """The Arrow type of a source column; None where the lake has no such column."""
        lake = self._lake_names.get(column)
        if lake is None:
            return None
        kind = self._rows.schema.field(lake).type
        return _PLAIN_TYPES.get(kind, kind)

    def system(self, name: str) -> list[Any]:
        """The values of a system column, a row each."""
        return self._rows.column(name).to_pylist() if name in self._rows.column_names else [None] * self.count

    def asides(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(row, entry) of all that stands aside."""
        for row, entries in self._asides.items():
            for entry in entries.values():
                yield row, entry

    def cells(self, column: str, rows: Sequence[int | None]) -> list[bytes]:
        """The cells of a source column in these rows; ABSENT for None, and where there is no such column."""
        kind = self.kind(column)
        if kind is None:
            return [ABSENT] * len(rows)
        taken = self._rows.column(self._lake_names[column]).take(pa.array(rows, pa.int64())).cast(kind)
        cells = canonical.encode_column(taken)
        if column in self._aside_columns or None in rows:
            for place, row in enumerate(rows):
                if row is None:
                    cells[place] = ABSENT
                elif (entry := self._asides.get(row, {}).get(column)) is not None:
                    # A value beside what stands aside would be two values: no cell can say that.
                    cells[place] = canonical.aside_cell(entry) if cells[place] == canonical.NULL else ABSENT
        return cells

    def digests(self, columns: Sequence[str], rows: Sequence[int]) -> Iterator[bytes]:
        """The digests of the canonical rows of `columns`, in bounded memory."""
        for start in range(0, len(rows), CHUNK_ROWS):
            part = rows[start : start + CHUNK_ROWS]
            by_column = [self.cells(column, part) for column in columns]
            yield from (canonical.digest(b"".join(row)) for row in zip(*by_column, strict=True))

    def _read_asides(self) -> tuple[dict[int, dict[str, dict[str, Any]]], set[str]]:
        if "_gc_aside" not in self._rows.column_names:
            return {}, set()
        column = self._rows.column("_gc_aside")
        rows = pc.indices_nonzero(column.is_valid()).to_pylist()
        entries = column.take(pa.array(rows, pa.int64())).to_pylist()
        asides = {
            row: {one["column"]: one for one in several}
            for row, several in zip(rows, entries, strict=True)
            if several
        }
        return asides, {column for several in asides.values() for column in several}
