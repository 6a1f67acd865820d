"""Kind `excel`: every sheet of a workbook that has a value is a table, hidden ones too.

The rule's `header_row` names the columns; what stands above it is no data. A row without any value is no row, and a
column without name and value no column. Names that a person reads off merged cells are refused, since the file does
not say them. A sheet that is no table is refused by itself: the others of its file go on, so `columns` and `rows` of a
sheet raise what `tables` does of a file. Types are those of all cells of a column (see `cells`): a sheet is read once
for them, and again for its rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.carrying import SLICE_BYTES, SLICE_ROWS, OddCell, rows_of
from edge_agent.sources.kinds.cells import Cell, CellColumn, cell_type, column_of, spelt
from edge_agent.sources.kinds.guarding import damage_is_refused
from edge_agent.sources.kinds.kind import FileTable, Opened
from edge_agent.sources.kinds.sheets import Extras, Sheet, Workbook
from edge_agent.sources.kinds.xls import XlsWorkbook
from edge_agent.sources.kinds.xlsx import XlsxWorkbook
from edge_agent.sources.slicing import slices
from edge_agent.sources.source import Rows
from protocol.errors import Rejected
from protocol.limits import COLUMNS_MAX, NAME_BYTES_MAX
from protocol.schema import Column

_DAMAGED = "the workbook is damaged"
_ZIP = b"PK\x03\x04"
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BIFF = (b"\x09\x00", b"\x09\x02", b"\x09\x04", b"\x09\x08")


class ExcelKind:
    companions: tuple[str, ...] = ()

    def tables(self, opened: Opened, rule: FileRule) -> Sequence[FileTable]:
        with damage_is_refused(opened, _DAMAGED):
            sheets = [sheet for sheet in _workbook(opened).sheets() if _has_value(opened, sheet)]
            if len({sheet.name for sheet in sheets}) != len(sheets):
                raise opened.refused("two sheets have the same name")
            if not sheets:
                raise opened.refused("no sheet of the workbook has a value")
            return [SheetTable(opened, rule, sheet) for sheet in sheets]


def _workbook(opened: Opened) -> Workbook:
    start = opened.stream.read(8)
    opened.stream.seek(0)
    if start.startswith(_ZIP):
        return XlsxWorkbook(opened)
    if start == _COMPOUND or start[:2] in _BIFF:
        return XlsWorkbook(opened)
    raise opened.refused("it is neither an .xlsx nor an .xls workbook, whatever its name says")


def _has_value(opened: Opened, sheet: Sheet) -> bool:
    """A sheet that cannot be read has something to say."""
    try:
        with damage_is_refused(opened, _DAMAGED):
            return next(sheet.rows(Extras()), None) is not None
    except Rejected:
        return True


@dataclass(frozen=True, slots=True)
class _Form:
    """The columns that are read: where each stands, its name, and what carries its cells."""

    places: tuple[int, ...]
    names: tuple[str, ...]
    columns: tuple[CellColumn, ...]


class SheetTable:
    """`line` of a fault is a row of the sheet."""

    def __init__(self, opened: Opened, rule: FileRule, sheet: Sheet) -> None:
        self._opened = opened
        self._header_row = rule.header_row
        self._sheet = sheet

    @property
    def part(self) -> str:
        return self._sheet.name

    @property
    def columns(self) -> tuple[Column, ...]:
        form = self._form
        return tuple(Column(n, c.wire, c.source_type) for n, c in zip(form.names, form.columns, strict=True))

    def rows(self) -> Iterator[Rows]:
        form = self._form
        records = self._records(form)
        yield from slices(
            lambda count: rows_of(form.names, form.columns, list(islice(records, count))),
            SLICE_ROWS,
            SLICE_BYTES,
        )

    def _records(self, form: _Form) -> Iterator[list[Cell | None]]:
        with damage_is_refused(self._opened, _DAMAGED):
            for number, cells in self._sheet.rows(Extras()):
                if number > self._header_row:
                    yield [cells.get(place) for place in form.places]

    @cached_property
    def _form(self) -> _Form:
        with damage_is_refused(self._opened, _DAMAGED):
            return self._read_form()

    def _read_form(self) -> _Form:
        header: dict[int, Cell] = {}
        seen: defaultdict[int, set[type]] = defaultdict(set)
        extras = Extras()
        for number, cells in self._sheet.rows(extras):
            if number == self._header_row:
                header = cells
            elif number > self._header_row:
                for place, value in cells.items():
                    seen[place].add(cell_type(value))
        if any(merged.first_row <= self._header_row for merged in extras.merged):
            raise self._refused("merged headers: cells are merged in or above the row that names the columns")
        if not header:
            raise self._refused("the row that names the columns is empty: say `header_row` in a rule")
        if not seen.keys() <= header.keys():
            raise self._refused("a column without a name has values")
        places = tuple(sorted(header))
        names = tuple(self._name(header[place]) for place in places)
        if len(names) > COLUMNS_MAX:
            raise self._refused("too many columns")
        if len(set(names)) != len(names):
            raise self._refused("two columns have the same name")
        return _Form(places, names, tuple(column_of(seen[place]) for place in places))

    def _name(self, cell: Cell) -> str:
        if isinstance(cell, OddCell):
            raise self._refused("an error stands where a column is named")
        name = spelt(cell)
        if not name:
            raise self._refused("a column has no name")
        if len(name.encode()) > NAME_BYTES_MAX:
            raise self._refused("a column name is too long")
        return name

    def _refused(self, problem: str) -> Rejected:
        return self._opened.refused(problem, self._header_row)
