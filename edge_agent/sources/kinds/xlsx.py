"""The cells of .xlsx and .xlsm workbooks, streamed (ECMA-376 part 1, 18.3.1).

Read here and not by python-calamine, which was measured and looked at (0.9.1): it gives an error cell as an empty text,
a negative date as midnight, and serial 60 as the day of serial 59, so that what stands in the file is gone without a
word; and it lays a sheet out whole in memory, so that one cell in the last corner of a sheet asks for 400 GB. openpyxl
streams, but is many times slower, and reads errors as texts. Both are what the tests compare with.

A formula's value is the one that was saved with it. Text stands as in the file, white space included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time
from itertools import pairwise
from pyexpat import XMLParserType

from edge_agent.sources.kinds.carrying import OddCell
from edge_agent.sources.kinds.cells import Cell, Shown, dated, number
from edge_agent.sources.kinds.kind import Opened
from edge_agent.sources.kinds.sheets import COLUMNS_MAX, ROWS_MAX, Extras, Merged, Row, Sheet
from edge_agent.sources.kinds.xlsxpackage import (
    DEPTH_MAX,
    TEXT_CHARS_MAX,
    Attributes,
    Package,
    SheetPart,
    Texts,
    unescaped,
)
from edge_agent.sources.kinds.xlsxquick import PlainCell, QuickRows
from protocol.change import ASIDE_TYPE

_DIGITS = "0123456789"
_BOOLEANS: dict[str, Cell] = {"0": False, "1": True, "false": False, "true": True}
MERGED_MAX = 100_000
_KNOWN_TEXTS_MAX = 50_000
"""Shared texts of a sheet that are held as strings of their own: most sheets say the same again and again."""
_CLOCK = r"\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?"
_ISO_TIME = re.compile(_CLOCK, re.ASCII)
_ISO_MOMENT = re.compile(rf"\d{{4}}-\d\d-\d\d(?:T{_CLOCK})?", re.ASCII)


class XlsxWorkbook:
    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._package = Package(opened)
        self._shared = _Shared(self._package.formats(), self._package.texts(), self._package.is_1904)

    def sheets(self) -> list[Sheet]:
        return [
            _XlsxSheet(self._opened, self._package, part, self._shared) for part in self._package.sheets()
        ]


@dataclass(frozen=True, slots=True)
class _Shared:
    """What cells refer to."""

    formats: list[Shown]
    texts: Texts
    is_1904: bool

    def number(self, text: str, style: str | bytes | None) -> Cell:
        value = number(text)
        if value is None:
            return OddCell(ASIDE_TYPE, text)
        if not style or isinstance(value, OddCell):
            return value
        index = int(style)
        shown = self.formats[index] if index < len(self.formats) else Shown.NUMBER
        return value if shown is Shown.NUMBER else dated(value, shown, self.is_1904)


@dataclass(frozen=True, slots=True)
class _XlsxSheet:
    opened: Opened
    package: Package
    part: SheetPart
    shared: _Shared

    @property
    def name(self) -> str:
        return self.part.name

    def rows(self, extras: Extras) -> Iterator[Row]:
        reader = _Reader(self.opened, self.package, self.shared, extras)
        parsing = self.package.parser(reader.prepare)
        quick = QuickRows(reader, parsing.feed)
        for piece in self.package.pieces(self.part.member):
            quick.take(piece)
            yield from reader.taken()
        quick.close()
        parsing.close()
        yield from reader.taken()


class _Reader:
    """Handlers of the parser of one sheet. `rows`: those that have ended, to be taken away."""

    def __init__(self, opened: Opened, package: Package, shared: _Shared, extras: Extras) -> None:
        self.rows: list[Row] = []
        self._opened = opened
        self._package = package
        self._shared = shared
        self._extras = extras
        self._space: str | None = None
        self._columns: dict[str, int] = {}
        self._quick_letters: list[bytes] = []
        self._quick_places: list[int] = []
        self._quick_texts: dict[bytes, str] = {}
        self._row = 0
        self._row_text = "0"
        self._cells: dict[int, Cell] | None = None
        self._column = -1
        self._is_cell = self._is_phonetic = False
        self._type: str | None = None
        self._style: str | None = None
        self._value: str | None = None
        self._inline: str | None = None
        self._runs: list[str] | None = None
        self._chars = 0
        self._depth = 0
        self.boundary = -1

    def taken(self) -> list[Row]:
        """The rows that have ended since the last call."""
        done, self.rows = self.rows, []
        return done

    def quick_row(self, number: int, letters: list[bytes], cells: Iterable[PlainCell]) -> bool:
        if not self._row < number <= ROWS_MAX or not self._know(letters):
            return False
        found: dict[int, Cell] = {}
        known = self._quick_texts
        for column, (style, kind, text, inline) in zip(self._quick_places, cells, strict=True):
            value: Cell | None
            if kind == b"s" and text is not None:
                value = known.get(text)
                if value is None:
                    value = self._shared.texts[int(text)]
                    if len(known) < _KNOWN_TEXTS_MAX:
                        known[text] = value
            else:
                value = self._read(
                    None if kind is None else kind.decode(),
                    style,
                    None if text is None else text.decode(),
                    None if inline is None else inline.decode(),
                )
            if value is not None:
                found[column] = value
        self._row = number
        if found:
            self.rows.append((number, found))
        return True

    def _know(self, letters: list[bytes]) -> bool:
        """Finds the columns of a row, which are mostly those of the row before; False where they do not ascend."""
        if letters != self._quick_letters:
            places = [self._columns.get(word) or self._column_of(word) for word in map(bytes.decode, letters)]
            if any(a >= b for a, b in pairwise(places)) or (places and places[-1] >= COLUMNS_MAX):
                return False
            self._quick_letters, self._quick_places = letters, places
        return True

    def prepare(self, parser: XMLParserType) -> None:
        parser.StartElementHandler = self._root
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        self._parser = parser

    def _root(self, full: str, _: Attributes) -> None:
        """The namespace of the sheet is that of its first element, of which there are two."""
        space, local = full.rpartition(" ")[::2]
        if local != "worksheet":
            raise self._opened.refused("a sheet of the workbook is none")
        space = f"{space} " if space else ""
        self._c, self._v, self._t = f"{space}c", f"{space}v", f"{space}t"
        self._data_name = f"{space}sheetData"
        self._r, self._rph, self._merge = f"{space}row", f"{space}rPh", f"{space}mergeCell"
        self._parser.StartElementHandler = self._start

    def _start(self, name: str, attributes: Attributes) -> None:
        if name == self._c:
            self._open_cell(attributes)
        elif name == self._v:
            if self._runs is not None:
                raise self._package.too_deep()
            self._runs = []
        elif name == self._r:
            self._open_row(attributes)
        else:
            self._depth += 1
            if self._depth > DEPTH_MAX:
                raise self._package.too_deep()
            if name == self._t:
                self._runs = None if self._is_phonetic or not self._is_cell else []
            elif name == self._rph:
                self._is_phonetic = True
            elif name == self._merge:
                self._note_merged(attributes)
            elif name == self._data_name:
                self.boundary = self._parser.CurrentByteIndex

    def _data(self, text: str) -> None:
        if self._runs is not None:
            self._runs.append(text)
            self._chars += len(text)
            if self._chars > TEXT_CHARS_MAX:
                raise self._opened.refused("a cell has more than a million characters", max(1, self._row))

    def _end(self, name: str) -> None:
        if name == self._v:
            if self._runs is not None:
                self._value = "".join(self._runs)
                self._runs = None
        elif name == self._c:
            self._close_cell()
        elif name == self._r:
            if self._cells:
                self.rows.append((self._row, self._cells))
            self._cells = None
            self.boundary = self._parser.CurrentByteIndex
        else:
            self._depth -= 1
            if name == self._t and self._runs is not None:
                self._inline = (self._inline or "") + "".join(self._runs)
                self._runs = None
            elif name == self._rph:
                self._is_phonetic = False

    def _open_row(self, attributes: Attributes) -> None:
        text = attributes.get("r")
        row = self._row + 1 if text is None else int(text)
        if self._cells is not None or not self._row < row <= ROWS_MAX:
            raise self._opened.refused("rows of a sheet are out of order", max(1, self._row))
        self._row, self._row_text = row, str(row)
        self._cells, self._column = {}, -1

    def _open_cell(self, attributes: Attributes) -> None:
        if self._cells is None or self._is_cell:
            raise self._opened.refused("a cell stands outside a row", max(1, self._row))
        place = attributes.get("r")
        if place is None:
            self._column += 1
        else:
            letters = place.rstrip(_DIGITS)
            if place[len(letters) :] != self._row_text:
                raise self._opened.refused("a cell stands in another row than it says", self._row)
            column = self._columns.get(letters)
            self._column = self._column_of(letters) if column is None else column
        if self._column >= COLUMNS_MAX or self._column in self._cells:
            raise self._opened.refused("a cell stands twice, or beyond the last column", self._row)
        self._is_cell = True
        self._type = attributes.get("t")
        self._style = attributes.get("s")
        self._value = self._inline = None
        self._chars = 0

    def _column_of(self, letters: str) -> int:
        if not (letters.isascii() and letters.isalpha() and len(letters) <= 3):
            raise self._opened.refused("a cell has no column", max(1, self._row))
        column = 0
        for letter in letters.upper():
            column = column * 26 + ord(letter) - ord("A") + 1
        self._columns[letters] = column - 1
        return column - 1

    def _close_cell(self) -> None:
        self._is_cell = False
        value = self._read(self._type, self._style, self._value, self._inline)
        if value is not None:
            assert self._cells is not None
            self._cells[self._column] = value

    def _read(
        self, kind: str | None, style: str | bytes | None, text: str | None, inline: str | None
    ) -> Cell | None:
        """The value of a cell; None where it is empty."""
        if kind == "inlineStr":
            text = text if inline is None else inline
            return None if text is None else unescaped(text)
        if text is None:
            return None if inline is None else unescaped(inline)
        match kind:
            case "s":
                return self._shared.texts[int(text)]
            case "str":
                return unescaped(text)
            case None | "n":
                return self._shared.number(text, style) if text else None
            case "b":
                return _BOOLEANS.get(text, OddCell(ASIDE_TYPE, text))
            case "d":
                return _iso(text)
        return OddCell(ASIDE_TYPE, text)

    def _note_merged(self, attributes: Attributes) -> None:
        first, _, last = attributes.get("ref", "").partition(":")
        rows = [int("".join(c for c in place if c in _DIGITS)) for place in (first, last or first)]
        self._extras.merged.append(Merged(rows[0], rows[1]))
        if len(self._extras.merged) > MERGED_MAX:
            raise self._opened.refused("too many merged cells")


def _iso(text: str) -> Cell:
    """A date, a time or both in ISO 8601 without a zone, as they stand."""
    try:
        if _ISO_TIME.fullmatch(text):
            return time.fromisoformat(text)
        if _ISO_MOMENT.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    return OddCell(ASIDE_TYPE, text)
