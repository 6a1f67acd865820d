"""CSV as it stands in a file: records of exact text, or a refusal with the line.

Python's csv module in strict mode reads it. Quoted line breaks, doubled quotes and NULs come out as they
stand; what has no single meaning (text after a closing quote, a quote that never closes, a ragged line) is
refused. pyarrow.csv guesses there instead: it takes `"ab"c` for abc and drops a blank line that is a row of
a one-column file; measured, it is eight times as fast, but a guess is no capture (promise 7).

A blank line is a row of one empty value where there is one column, and no row elsewhere. Error messages of
the csv module are not passed on: they can hold content. Bytes that do not decode come out escaped (`escaped`) and
stop nothing but a header. Knows no folders and no stability.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from edge_agent.sources.escaped import Escaped, exact
from protocol.errors import Rejected
from protocol.limits import COLUMNS_MAX, MIB, NAME_BYTES_MAX

RECORD_CHARS_MAX = 16 * MIB
"""A longer record is a quote that never closes, or no text file. The csv module holds four bytes for a character."""

_BYTE_ORDER_MARK = "\ufeff"
_MARK_BYTES_MAX = 4

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


def problem_of_names(names: Sequence[str]) -> str | None:
    """Why they cannot name columns. UnicodeEncodeError where one is no text."""
    sizes = [len(name.encode()) for name in names]
    if not all(sizes):
        return "a column has no name"
    if max(sizes) > NAME_BYTES_MAX:
        return "a column name is too long"
    return "two columns have the same name" if len(set(names)) != len(names) else None


class CsvRecords:
    """The records of one file. `file` is how it is named in faults; `stream`, at its beginning, can seek and stays the
    caller's to close.

    Rejected GC-2008 for what is no table, GC-2011 where the header, or bytes of an encoding without an escape, are no
    text.
    """

    def __init__(self, stream: BinaryIO, form: CsvForm, file: str) -> None:
        self._form = form
        self._file = file
        csv.field_size_limit(RECORD_CHARS_MAX)  # of the process; only raises what the default refuses
        head = stream.read(_MARK_BYTES_MAX)
        stream.seek(0)
        self._text = Escaped(stream, exact(form.encoding, head))
        self._record_chars = 0
        """At most that many were read since the last record."""
        self._reader = csv.reader(
            # A text stream splits lines as files have them; str.splitlines knows more breaks than that.
            chain.from_iterable(io.StringIO(block, newline="") for block in self._whole_lines()),
            delimiter=form.delimiter,
            quotechar=form.quote or None,
            quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
            strict=True,
        )
        self._first: list[str] | None = None
        self.columns = self._columns()
        self.head_lines = self._reader.line_num
        """Lines up to the end of the first record."""

    def original(self, text: str) -> bytes:
        """The bytes of a value as it came out here."""
        return self._text.original(text)

    def _whole_lines(self) -> Iterator[str]:
        mark = _BYTE_ORDER_MARK
        rest: list[str] = []
        for block in self._text.blocks():
            text = block.removeprefix(mark)
            mark = ""
            self._record_chars += len(text)
            if self._record_chars > RECORD_CHARS_MAX:
                raise self._refused("a record is too long")
            # A carriage return at the end may be the first half of a line break.
            end = max(text.rfind("\n"), text.rfind("\r", 0, len(text) - 1)) + 1
            if end:
                rest.append(text[:end])
                yield "".join(rest)
                rest.clear()
            if end < len(text):
                rest.append(text[end:])
        if rest:
            yield "".join(rest)

    def _columns(self) -> tuple[str, ...]:
        first = self._next()
        if first is None:
            raise self._refused("it is empty")
        if len(first) > COLUMNS_MAX:
            raise self._refused("too many columns")
        if not self._form.header:
            self._first = first
            return tuple(f"c{i}" for i in range(1, len(first) + 1))
        try:
            problem = problem_of_names(first)
        except UnicodeEncodeError:
            raise self._no_text() from None
        if problem:
            raise self._refused(problem)
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
            for record in self._reader:
                self._record_chars = 0
                yield record
        except csv.Error as error:
            known = [words for start, words in _PROBLEMS.items() if start in str(error)]
            raise self._refused(known[0] if known else "not CSV") from None
        except UnicodeError:
            raise self._no_text() from None

    def _no_text(self) -> Rejected:
        return Rejected("GC-2011", file=self._file, encoding=self._form.encoding)

    def _refused(self, problem: str) -> Rejected:
        return Rejected("GC-2008", file=self._file, problem=problem, line=max(1, self._reader.line_num))
