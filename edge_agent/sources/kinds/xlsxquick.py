"""Rows of a sheet as programs write them, read by one expression; all else goes to the XML parser.

Measured, this makes a sheet of numbers and shared texts some times as fast. A row is read here only while the parser
stands between two rows of a sheet in UTF-8, and only if the whole of it is cells of one plain form: then the parser
need not see it, since it is an element that begins and ends. A row of any other form, and all that stands before,
between and behind, is the parser's, which decides what it means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol

from protocol.limits import MIB

ROW_BYTES_MAX = MIB
"""A longer row is not waited for."""

_ROW_ENDS = b"</row>"
_BOUNDARY = re.compile(rb"</row>|<sheetData>")
_BOUNDARY_BYTES = len(b"<sheetData>")
_UTF8 = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(?!\?xml)|(?:\xef\xbb\xbf)?<\?xml [^>]*encoding=[\"']utf-8[\"']", re.IGNORECASE
)
_UNDECLARED = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml (?:(?!encoding)[^>])*\?>")

_ROW = re.compile(rb'\s*<row((?: (?!xmlns)[A-Za-z][\w:.]*="[^"<&]*")*)>')
_NUMBER = re.compile(rb' r="([1-9]\d{0,6})"')
_CHARACTER = rb"[^<>&\x00-\x08\x0b-\x1f]"
_TEXT = rb"(" + _CHARACTER + rb"*)"
_FORMULA = rb"(?:" + _CHARACTER + rb"|&(?:amp|lt|gt|quot|apos);)*"
CELL = re.compile(
    rb'<c r="([A-Z]{1,3})([1-9]\d{0,6})"(?: s="(\d+)")?(?: t="([A-Za-z]+)")?(?:/>|>'
    rb'(?:<f(?: [A-Za-z0-9]+="[^"<&]*")*(?:/>|>' + _FORMULA + rb"</f>))?"
    rb"(?:<v>" + _TEXT + rb"</v>)?"
    rb'(?:<is><t(?: xml:space="preserve")?>' + _TEXT + rb"</t></is>)?</c>)"
)
_GROUPS = 6

PlainCell = tuple[bytes | None, bytes | None, bytes | None, bytes | None]
"""Style, type, value and inline text."""


class RowReader(Protocol):
    """Who reads what the parser tells, and rows from here."""

    @property
    def boundary(self) -> int:
        """At which of the parser's bytes the tag begins that began the sheet's data or ended a row last; -1: none."""
        ...

    def quick_row(self, number: int, letters: list[bytes], cells: Iterable[PlainCell]) -> bool:
        """Takes a row, its columns by their letters; False: the parser shall have it."""
        ...


class QuickRows:
    """Between the bytes of a sheet and its parser. `feed` is the parser's."""

    def __init__(self, reader: RowReader, feed: Callable[[bytes], None]) -> None:
        self._reader = reader
        self._feed = feed
        self._fed = 0
        self._rest = b""
        self._is_between = False
        self._may_be_quick: bool | None = None

    def take(self, piece: bytes) -> None:
        if self._may_be_quick is None:
            self._may_be_quick = bool(_UTF8.match(piece) or _UNDECLARED.match(piece))
        if not self._may_be_quick:
            self._pass_on(piece)
            return
        rest, place = self._rest + piece, 0
        while place < len(rest):
            behind = self._between(rest, place) if self._is_between else self._elsewhere(rest, place)
            if behind == place:
                break
            place = behind
        self._rest = rest[place:]

    def close(self) -> None:
        self._pass_on(self._rest)
        self._rest = b""

    def _pass_on(self, part: bytes, tag_bytes: int = 0) -> bool:
        """Whether the parser took the last `tag_bytes` for what they look like: in a comment, they are none."""
        self._feed(part)
        self._fed += len(part)
        return tag_bytes > 0 and self._reader.boundary == self._fed - tag_bytes

    def _between(self, rest: bytes, place: int) -> int:
        end = rest.find(_ROW_ENDS, place)
        if end < 0:
            self._is_between = len(rest) - place <= ROW_BYTES_MAX
            return place if self._is_between else self._elsewhere(rest, place)
        end += len(_ROW_ENDS)
        row = rest[place:end]
        if not self._quick(row):
            self._is_between = self._pass_on(row, len(_ROW_ENDS))
        return end

    def _elsewhere(self, rest: bytes, place: int) -> int:
        found = _BOUNDARY.search(rest, place)
        end = found.end() if found else max(place, len(rest) - _BOUNDARY_BYTES)
        if end > place:
            self._is_between = self._pass_on(rest[place:end], len(found[0]) if found else 0)
        return end

    def _quick(self, row: bytes) -> bool:
        opening = _ROW.match(row)
        found = opening and _NUMBER.search(opening[1])
        if not opening or not found:
            return False
        parts = CELL.split(row[opening.end() : -len(_ROW_ENDS)])
        if any(parts[:: _GROUPS + 1]):
            return False
        number = found[1]
        if any(other != number for other in parts[2 :: _GROUPS + 1]):
            return False
        cells = zip(*(parts[i :: _GROUPS + 1] for i in (3, 4, 5, 6)), strict=True)
        return self._reader.quick_row(int(number), parts[1 :: _GROUPS + 1], cells)
