"""CSV as it stands in a file: records of exact text, or a refusal with the line.

Python's csv module in strict mode reads it. Quoted line breaks, doubled quotes and NULs come out as they
stand; what has no single meaning (text after a closing quote, a quote that never closes, a ragged line) is
refused. pyarrow.csv guesses there instead: it takes `"ab"c` for abc and drops a blank line that is a row of
a one-column file; measured, it is eight times as fast, but a guess is no capture (promise 7).

A blank line is a row of one empty value where there is one column, and no row elsewhere. Error messages of
the csv module are not passed on: they can hold content. Knows no folders and no stability.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, TextIO

from protocol.errors import Rejected
from protocol.limits import COLUMNS_MAX, MIB, NAME_BYTES_MAX

VALUE_CHARS_MAX = 64 * MIB
"""A longer value or line is a quote that never closes, or no text file."""

_BYTE_ORDER_MARK = "\ufeff"

_PROBLEMS = {
    "unexpected end of data": "a quoted value does not end",
    "expected after": "text after a closing quote",
    "field larger than": "a value is too long",
    "new-line character": "a line break within a value without quotes",
}


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How a file is written; `quote` "" means that none is used."""

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    header: bool = True


class CsvRecords:
    """The records of one file. `file` is how it is named in faults; `stream` stays the caller's to close.

    Rejected GC-2008 for what is no table, GC-2011 for bytes that are no text of the encoding.
    """

    def __init__(self, stream: BinaryIO, form: CsvForm, file: str) -> None:
        self._form = form
        self._file = file
        csv.field_size_limit(VALUE_CHARS_MAX)  # of the process; only raises what the default refuses
        # Held, because it closes the stream when it is forgotten.
        self._text = io.TextIOWrapper(stream, form.encoding, newline="")
        self._reader = csv.reader(
            self._lines(self._text),
            delimiter=form.delimiter,
            quotechar=form.quote or None,
            quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
            strict=True,
        )
        self._first: list[str] | None = None
        self.columns = self._columns()

    def _lines(self, text: TextIO) -> Iterator[str]:
        mark = _BYTE_ORDER_MARK
        for line in iter(partial(text.readline, VALUE_CHARS_MAX), ""):
            if len(line) == VALUE_CHARS_MAX:
                raise self._refused("a line is too long")
            yield line.removeprefix(mark) if mark else line
            mark = ""

    def _columns(self) -> tuple[str, ...]:
        first = self._next()
        if first is None:
            raise self._refused("it is empty")
        if len(first) > COLUMNS_MAX:
            raise self._refused("too many columns")
        if not self._form.header:
            self._first = first
            return tuple(f"c{i}" for i in range(1, len(first) + 1))
        if not all(first):
            raise self._refused("a column has no name")
        if any(len(name.encode()) > NAME_BYTES_MAX for name in first):
            raise self._refused("a column name is too long")
        if len(set(first)) != len(first):
            raise self._refused("two columns have the same name")
        return tuple(first)

    def _next(self) -> list[str] | None:
        for record in self._guarded():
            if record or not self._form.header:
                return record or [""]
        return None

    def __iter__(self) -> Iterator[Sequence[str]]:
        """The records behind the header, each as wide as `columns`."""
        width = len(self.columns)
        if self._first is not None:
            yield self._first
            self._first = None
        for record in self._guarded():
            if len(record) == width:
                yield record
            elif record:
                raise self._refused(f"{len(record)} values instead of {width}")
            elif width == 1:
                yield ("",)

    def _guarded(self) -> Iterator[list[str]]:
        try:
            yield from self._reader
        except csv.Error as error:
            known = [words for start, words in _PROBLEMS.items() if start in str(error)]
            raise self._refused(known[0] if known else "not CSV") from None
        except UnicodeError:
            raise Rejected("GC-2011", file=self._file, encoding=self._form.encoding) from None

    def _refused(self, problem: str) -> Rejected:
        return Rejected("GC-2008", file=self._file, problem=problem, line=max(1, self._reader.line_num))
