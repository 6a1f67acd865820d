"""A table's `changes` as the lake holds them: every row in version order, its cells in canonical form.

Reads the Delta table with deltalake alone. A row is named by its place in version order; a cell is the
canonical bytes of one value, what stands aside included. It knows nothing of replay or of sources.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from protocol import canonical

from .catalogue import ComparisonError
from .generations import answered, converted, of_label, plain, shown

CHUNK_ROWS = 10_000
"""Rows whose cells are in memory at a time."""

ABSENT = b"\xff"
"""The cell of a value that no row carries: no canonical cell begins so, hence it equals none."""

_SYSTEM = re.compile(r"_gc_(?!x_|as_|gen[0-9])")


def is_system(column: str) -> bool:
    return _SYSTEM.match(column) is not None


def read(table: Path) -> pa.Table:
    """All rows of the Delta table, whatever their order. Raises ComparisonError where it cannot be read."""
    if not (table / "_delta_log").is_dir():
        raise ComparisonError("nothing has landed")
    try:
        opened = DeltaTable(str(table))
        facts = {name: value for name, value in opened.metadata().configuration.items() if value is not None}
        return opened.to_pyarrow_table().replace_schema_metadata(facts)
    except (DeltaError, pa.ArrowException, OSError) as error:
        raise ComparisonError(f"the lake cannot be read: {type(error).__name__}") from None


class Changes:
    """`rows`: what the lake's table holds, or what a query gave (then `ordered` is false: as they came)."""

    def __init__(self, rows: pa.Table, *, ordered: bool = True) -> None:
        if ordered:
            order = [(name, "ascending") for name in ("_gc_epoch", "_gc_seq", "_gc_ord")]
            rows = rows.take(pc.sort_indices(rows, sort_keys=order))
        self._rows = rows.combine_chunks()
        of_source = [field for field in rows.schema if not is_system(field.name)]
        self._shown = shown(of_source) if ordered else answered((f.name, f.type) for f in of_source)
        self._sent: dict[str, list[str]] = {name: [] for name in map(of_label, self._shown)}
        for label, one in self._shown.items():
            self._sent[of_label(label)] += one.stored
        self._asides, self._aside_columns = self._read_asides()

    @property
    def count(self) -> int:
        return int(self._rows.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The labels of what `current` shows: the source's columns, by the source's names, and what stands beside."""
        return tuple(self._shown)

    @property
    def sources(self) -> tuple[str, ...]:
        """The source's columns, by the source's names."""
        return tuple(self._sent)

    @property
    def keys(self) -> list[tuple[tuple[int, int], tuple[str, ...]]]:
        """From which (epoch, sequence) on which key was in force, as the lake noted it."""
        lines = json.loads((self._rows.schema.metadata or {}).get(b"guicang.history", b"[]"))
        told = [((one["epoch"], one["seq"]), tuple(one["key"])) for one in lines]
        return [one for at, one in enumerate(told) if at == 0 or one[1] != told[at - 1][1]]

    def kind(self, column: str) -> pa.DataType | None:
        """The Arrow type in which a label is shown; None where the lake has no such column."""
        one = self._shown.get(column)
        return None if one is None else one.kind

    def system(self, name: str) -> list[Any]:
        """The values of a system column, a row each."""
        return self._rows.column(name).to_pylist() if name in self._rows.column_names else [None] * self.count

    def asides(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(row, entry) of all that stands aside."""
        for row, entries in self._asides.items():
            for entry in entries.values():
                yield row, entry

    def cells(self, column: str, rows: Sequence[int | None]) -> list[bytes]:
        """The cells of a label in these rows, as it is shown; ABSENT for None, and where there is no such column."""
        one = self._shown.get(column)
        if one is None:
            return [ABSENT] * len(rows)
        places = pa.array(rows, pa.int64())
        cells = [canonical.NULL] * len(rows)
        for stored in one.stored:
            taken = self._rows.column(stored).take(places)
            if taken.null_count < len(rows):
                same = plain(taken.type) == one.kind
                values = taken.cast(one.kind) if same else pa.array(converted(taken, one.kind), one.kind)
                cells = _beside(cells, canonical.encode_column(values))
        return self._with_asides(column, rows, cells)

    def _sent_cells(self, column: str, rows: Sequence[int]) -> list[bytes]:
        """The cells of a source column in these rows, in the types in which they were sent."""
        if column not in self._sent:
            return [ABSENT] * len(rows)
        cells = [canonical.NULL] * len(rows)
        for stored in self._sent[column]:
            taken = self._rows.column(stored).take(pa.array(rows, pa.int64()))
            if taken.null_count < len(rows):
                cells = _beside(cells, canonical.encode_column(taken.cast(plain(taken.type))))
        return self._with_asides(column, rows, cells)

    def _with_asides(self, column: str, rows: Sequence[int | None], cells: list[bytes]) -> list[bytes]:
        if column in self._aside_columns or None in rows:
            for place, row in enumerate(rows):
                if row is None:
                    cells[place] = ABSENT
                elif (entry := self._asides.get(row, {}).get(column)) is not None:
                    # A value beside what stands aside would be two values: no cell can say that.
                    cells[place] = canonical.aside_cell(entry) if cells[place] == canonical.NULL else ABSENT
        return cells

    def digests(self, columns: Sequence[str], rows: Sequence[int], *, sent: bool = True) -> Iterator[bytes]:
        """The digests of the canonical rows of `columns`, in bounded memory: as they were sent, or as shown."""
        cells = self._sent_cells if sent else self.cells
        for start in range(0, len(rows), CHUNK_ROWS):
            part = rows[start : start + CHUNK_ROWS]
            by_column = [cells(column, part) for column in columns]
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


def _beside(cells: list[bytes], others: list[bytes]) -> list[bytes]:
    """Of two generations, in each row that which has a value; two values are none that a cell can say."""
    null = canonical.NULL
    return [
        other if cell == null else cell if other == null else ABSENT
        for cell, other in zip(cells, others, strict=True)
    ]
