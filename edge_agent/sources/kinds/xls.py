"""The cells of .xls workbooks, BIFF 2 to 8, by xlrd.

Read by xlrd and not by python-calamine, for the reasons that `xlsx` has: xlrd gives what stands in a cell, errors and
numbers of days among them, and one sheet at a time. It reads a file that is in memory, so a large one is refused (a
full sheet of 25 columns takes 23 MB), and so is a sheet with more cells than it may hold; both are counted first. What
it warns of is thrown away: it can hold content.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import xlrd
from xlrd.compdoc import SIGNATURE, CompDoc

from edge_agent.sources.kinds.carrying import OddCell
from edge_agent.sources.kinds.cells import Cell, Shown, dated, shown_by
from edge_agent.sources.kinds.kind import Opened
from edge_agent.sources.kinds.sheets import Extras, Merged, Row, Sheet
from protocol.change import ASIDE_TYPE
from protocol.limits import MIB

XLS_BYTES_MAX = 32 * MIB
"""Of a file, which is held in memory while it is read."""
CELLS_MAX = 3_000_000
"""Of a sheet, which xlrd holds at about 50 bytes a cell."""

_HEADER = struct.Struct("<HH")
_CELLS_OF_SIX = 0x00BD
"""MULRK: four bytes, then six a cell, two at the end."""
_CELLS_OF_TWO = 0x00BE
"""MULBLANK: the same with two a cell."""
_BEGINS = (0x0009, 0x0209, 0x0409, 0x0809)
_ENDS = 0x000A
"""Of a sheet, and of a chart within it."""


class _Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


class XlsWorkbook:
    def __init__(self, opened: Opened) -> None:
        if opened.size > XLS_BYTES_MAX:
            raise opened.refused("an .xls workbook of more than 32 MiB: save it as .xlsx")
        data = opened.stream.read(XLS_BYTES_MAX + 1)
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise opened.refused("it is encrypted: remove its password")
        self._opened = opened
        if data.startswith(SIGNATURE) and _has_circle(CompDoc(data, _Nowhere())):
            raise opened.refused("the workbook is damaged")
        try:
            self._book = xlrd.open_workbook(
                file_contents=data, logfile=_Nowhere(), on_demand=True, formatting_info=True, ragged_rows=True
            )
        except xlrd.XLRDError as error:
            if "encrypted" in str(error):
                raise opened.refused("it is encrypted: remove its password") from None
            raise

    def sheets(self) -> list[Sheet]:
        return [
            _XlsSheet(self._opened, self._book, i, name) for i, name in enumerate(self._book.sheet_names())
        ]


def _has_circle(file: Any) -> bool:
    """Whether a short stream of a compound file leads back to itself, which xlrd would follow for ever."""
    for entry in file.dirlist:
        place, left = entry.first_SID, len(file.SSAT)
        if entry.tot_size >= file.min_size_std_stream:
            continue
        while 0 <= place < len(file.SSAT):
            place, left = file.SSAT[place], left - 1
            if left < 0:
                return True
    return False


@dataclass(frozen=True, slots=True)
class _XlsSheet:
    opened: Opened
    book: Any
    index: int
    name: str

    def rows(self, extras: Extras) -> Iterator[Row]:
        if self._cells() > CELLS_MAX:
            raise self.opened.refused("a sheet of an .xls workbook has more than 3 million cells")
        sheet = self.book.sheet_by_index(self.index)
        try:
            extras.merged.extend(Merged(first + 1, last) for first, last, _, _ in sheet.merged_cells)
            shown = self._formats()
            for row in range(sheet.nrows):
                cells = {
                    c: v
                    for c, cell in enumerate(sheet.row(row))
                    if (v := self._value(cell, shown)) is not None
                }
                if cells:
                    yield row + 1, cells
        finally:
            self.book.unload_sheet(self.index)

    def _formats(self) -> list[Shown]:
        codes = {key: found.format_str for key, found in self.book.format_map.items()}
        return [shown_by(xf.format_key, codes.get(xf.format_key)) for xf in self.book.xf_list]

    def _value(self, cell: Any, shown: list[Shown]) -> Cell | None:
        value = cell.value
        match cell.ctype:
            case xlrd.XL_CELL_TEXT:
                return str(value)
            case xlrd.XL_CELL_NUMBER | xlrd.XL_CELL_DATE:
                meant = shown[cell.xf_index] if cell.xf_index < len(shown) else Shown.NUMBER
                return float(value) if meant is Shown.NUMBER else dated(value, meant, self.book.datemode == 1)
            case xlrd.XL_CELL_BOOLEAN:
                return bool(value)
            case xlrd.XL_CELL_ERROR:
                return OddCell(ASIDE_TYPE, xlrd.error_text_from_code.get(value, f"#{value}"))
        return None

    def _cells(self) -> int:
        """How many cells the sheet has at most, by its records."""
        memory, place = self.book.mem, self.book._sh_abs_posn[self.index]
        depth = count = 0
        while 0 <= place <= len(memory) - _HEADER.size:
            code, length = _HEADER.unpack_from(memory, place)
            depth += (code in _BEGINS) - (code == _ENDS)
            if depth == 0:
                break
            count += length // 6 if code == _CELLS_OF_SIX else length // 2 if code == _CELLS_OF_TWO else 1
            place += _HEADER.size + length
        return count
