"""Kinds `json` and `ndjson`: objects as rows, their members as columns.

A file is an array of objects; or an object with one such array, whose other members then stand in every row, since they
are the file's and have no row of their own; or any other object, which is one row. `ndjson` has an object a line. The
columns are the names of all objects in the order in which they are met; a first pass over the file finds them and what
they carry, a second reads. JSON's null and an absent member are both null. A nested value is its canonical JSON text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, TextIO, TypeAlias

from edge_agent.sources.filerule import AUTO, FileRule
from edge_agent.sources.kinds.carrying import SLICE_BYTES, SLICE_ROWS, rows_of
from edge_agent.sources.kinds.guarding import damage_is_refused
from edge_agent.sources.kinds.jsonreading import VALUE_CHARS_MAX, JsonReader, decoded
from edge_agent.sources.kinds.jsonvalues import JsonColumn, JsonValue, column_of, has_half
from edge_agent.sources.kinds.kind import FileTable, Opened
from edge_agent.sources.slicing import slices
from edge_agent.sources.source import Rows
from protocol.errors import Rejected
from protocol.limits import COLUMNS_MAX, NAME_BYTES_MAX
from protocol.schema import Column

JsonObject: TypeAlias = dict[str, Any]
Reading: TypeAlias = Callable[[], Iterator[JsonObject]]
"""The file's rows from the first on, every time."""

_MARK = "\ufeff"
_NO_COLUMNS = "it has no object with a name, and so no columns"


class JsonKind:
    companions: tuple[str, ...] = ()

    def tables(self, opened: Opened, rule: FileRule) -> Sequence[FileTable]:
        document = _Document(opened, rule.encoding)
        return [JsonTable(opened, document.learn(), document.rows)]


class NdjsonKind:
    companions: tuple[str, ...] = ()

    def tables(self, opened: Opened, rule: FileRule) -> Sequence[FileTable]:
        lines = partial(_lines, opened, rule.encoding)
        learnt = _Learnt(opened)
        for row in lines():
            learnt.add(row)
        return [JsonTable(opened, learnt, lines)]


class _Learnt:
    """The columns of the rows that were seen."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self.types: dict[str, set[type]] = {}

    def add(self, row: JsonObject) -> None:
        for name, value in row.items():
            types = self.types.get(name)
            if types is None:
                types = self._new(name)
            if value is not None:
                types.add(type(value))

    def _new(self, name: str) -> set[type]:
        if not name or has_half(name) or len(name.encode()) > NAME_BYTES_MAX:
            raise self._opened.refused("a name is empty, too long, or no text")
        if len(self.types) == COLUMNS_MAX:
            raise self._opened.refused("too many columns")
        return self.types.setdefault(name, set())

    @property
    def columns(self) -> dict[str, JsonColumn]:
        if not self.types:
            raise self._opened.refused(_NO_COLUMNS)
        return {name: column_of(frozenset(types)) for name, types in self.types.items()}


class JsonTable:
    part = ""

    def __init__(self, opened: Opened, learnt: _Learnt, reading: Reading) -> None:
        self._opened = opened
        self._reading = reading
        self._found = learnt.columns
        self.columns = tuple(Column(n, c.wire, c.source_type) for n, c in self._found.items())

    def rows(self) -> Iterator[Rows]:
        names, columns = tuple(self._found), tuple(self._found.values())
        records = ([row.get(name) for name in names] for row in self._reading())
        with damage_is_refused(self._opened, "it is not JSON"):
            yield from slices(
                lambda count: rows_of(names, columns, list(islice(records, count))), SLICE_ROWS, SLICE_BYTES
            )


@contextmanager
def _text(opened: Opened, encoding: str) -> Iterator[TextIO]:
    """The file's text from its beginning, without a byte order mark."""
    opened.stream.seek(0)
    if encoding == AUTO:
        encoding = json.detect_encoding(opened.stream.read(4))
        opened.stream.seek(0)
    text = io.TextIOWrapper(opened.stream, encoding, newline="\n")
    try:
        with damage_is_refused(opened, "it is not JSON"):
            try:
                if text.read(1) != _MARK:
                    text.seek(0)
                yield text
            except UnicodeError:
                raise Rejected("GC-2011", file=opened.name, encoding=encoding) from None
    finally:
        text.detach()  # it would close the stream


def _lines(opened: Opened, encoding: str) -> Iterator[JsonObject]:
    with _text(opened, encoding) as text:
        for number, line in enumerate(iter(partial(text.readline, VALUE_CHARS_MAX), ""), 1):
            if len(line) == VALUE_CHARS_MAX:
                raise opened.refused("a line has more than 8 million characters", number)
            if line.strip():
                yield _object(opened, decoded(opened, line, number), number)


def _object(opened: Opened, value: JsonValue, line: int = 1) -> JsonObject:
    if not isinstance(value, dict):
        raise opened.refused("a row is no object", line)
    return value


class _Document:
    """A file of kind `json`. `learn` finds out which of the three shapes it has."""

    def __init__(self, opened: Opened, encoding: str) -> None:
        self._opened = opened
        self._encoding = encoding
        self._beside: JsonObject = {}
        self._is_one_row = False

    def learn(self) -> _Learnt:
        learnt = _Learnt(self._opened)
        arrays: set[str | None] = set()
        for array, element in self._elements(self._beside):
            arrays.add(array)
            if len(arrays) > 1:
                break
            learnt.add(_object(self._opened, element))
        if len(arrays) == 1:
            return self._with_beside(learnt)
        if not arrays and [] in self._beside.values():
            raise self._opened.refused(
                "an empty array, which may be that of the rows: nothing tells their columns"
            )
        self._is_one_row, self._beside = True, {}
        for row in self.rows():
            learnt = _Learnt(self._opened)
            learnt.add(row)
        return learnt

    def _with_beside(self, learnt: _Learnt) -> _Learnt:
        if self._beside.keys() & learnt.types.keys():
            raise self._opened.refused("a name stands both beside the array and in its objects")
        both = _Learnt(self._opened)
        both.add(self._beside)
        both.types.update(learnt.types)
        return both

    def rows(self) -> Iterator[JsonObject]:
        if self._is_one_row:
            with _text(self._opened, self._encoding) as text:
                reader = JsonReader(self._opened, text)
                row = reader.value()
                reader.end()
                if row == []:
                    raise self._opened.refused(_NO_COLUMNS)
                yield _object(self._opened, row)
            return
        for _, element in self._elements({}):
            yield self._beside | _object(self._opened, element)

    def _elements(self, beside: JsonObject) -> Iterator[tuple[str | None, JsonValue]]:
        """Every element of an array of objects, with the array's name; `beside` gets the other members."""
        with _text(self._opened, self._encoding) as text:
            reader = JsonReader(self._opened, text)
            match reader.next():
                case "[":
                    reader.take("[")
                    for element in reader.elements():
                        yield None, element
                case "{":
                    reader.take("{")
                    yield from self._members(reader, beside)
                case _:
                    raise reader.refused("it is neither an array nor an object of JSON")
            reader.end()

    def _members(self, reader: JsonReader, beside: JsonObject) -> Iterator[tuple[str | None, JsonValue]]:
        names: set[str] = set()
        weight = 0
        while reader.next() != "}" or names:
            name = self._name(reader)
            if name in names:
                raise reader.refused("an object has the same name twice")
            names.add(name)
            first = reader.passed
            if reader.next() != "[":
                beside[name] = reader.value()
            else:
                reader.take("[")
                if reader.next() == "{":
                    for element in reader.elements():
                        yield name, element
                    first = reader.passed
                else:
                    beside[name] = reader.rest()
            weight += reader.passed - first
            if weight > VALUE_CHARS_MAX or len(names) > COLUMNS_MAX:
                raise reader.refused("an object has too many members, or too long ones, beside its array")
            if reader.next() == "}":
                break
            reader.take(",")
        reader.take("}")

    def _name(self, reader: JsonReader) -> str:
        name = reader.value() if reader.next() == '"' else None
        if not isinstance(name, str):
            raise reader.refused("it is not JSON")
        reader.take(":")
        return name
