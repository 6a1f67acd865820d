"""A table that files are: one file, a sheet of one, or a set of files that reads as one.

It is read whole, and compared by its declared key, else as a multiset. All its files have the same columns. A file that
changes while it is read, or is being written, is read later. Knows nothing of what was read before.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.folder import FileState, FoundFile
from edge_agent.sources.kinds.kind import FileTable, Opened, TabularKind
from edge_agent.sources.opening import open_shared
from edge_agent.sources.source import Rows
from edge_agent.sources.spliced import spliced
from protocol.errors import Fault, Rejected, Transient
from protocol.limits import KIB
from protocol.names import TableName
from protocol.schema import Column, TableSchema

NO_TABLE = frozenset({"GC-2008", "GC-2011"})
"""Faults that a file has until it is touched, or read by another rule."""

_BLOCK_BYTES = 256 * KIB

States = tuple[tuple[str, FileState], ...]

Shape = dict[str, tuple[Column, ...] | Rejected]
"""The tables of a file by what tells them apart: their columns, or why one of them is no table."""


@dataclass(frozen=True, slots=True)
class TabularTable:
    """The files of one table, sorted by name, and how they are read. `part`: which table of each file."""

    rule: FileRule
    kind: TabularKind
    files: tuple[FoundFile, ...]
    key: tuple[str, ...]
    part: str


class Reading:
    """Reads files of tabular kinds, each only while it rests, from before its first byte to after its last."""

    def __init__(self, slug: str) -> None:
        self._slug = slug
        self._shapes: dict[str, tuple[States, FileRule, Shape | Rejected]] = {}

    def forget(self) -> None:
        self._shapes.clear()

    def shape(self, file: FoundFile, rule: FileRule, kind: TabularKind) -> Shape:
        """Faults as `opened`, and what its kind raises. A file is opened for it once, unless it was touched."""
        before, by, shape = self._shapes.get(file.name, ((), None, {}))
        states = states_of(file, kind)
        if before != states or by is not rule:
            shape = self._shape(file, rule, kind)
            self._shapes[file.name] = (states, rule, shape)
        if isinstance(shape, Rejected):
            raise _again(shape)
        return shape

    def _shape(self, file: FoundFile, rule: FileRule, kind: TabularKind) -> Shape | Rejected:
        try:
            with self.opened(file, rule, kind) as opened:
                return {one.part: _columns(one) for one in kind.tables(opened, rule)}
        except Rejected as fault:
            if fault.code not in NO_TABLE:
                raise
            return fault

    def columns(self, table: TabularTable) -> tuple[Column, ...]:
        """Which all files of the table share."""
        first: tuple[Column, ...] | None = None
        for file in table.files:
            columns = self.shape(file, table.rule, table.kind).get(table.part)
            if columns is None:
                raise Rejected("GC-2008", file=file.name, problem="this part of it is gone", line=1)
            if isinstance(columns, Rejected):
                raise _again(columns)
            first = columns if first is None else first
            if columns != first:
                raise other_columns(file)
        assert first is not None
        return first

    def describe(self, name: TableName, table: TabularTable) -> TableSchema:
        columns = self.columns(table)
        if not set(table.key) <= {column.name for column in columns}:
            problem = "a key column is not in the header"
            raise Rejected("GC-2008", file=table.files[0].name, problem=problem, line=1)
        return TableSchema(name, columns, table.key, {"dialect": table.rule.kind})

    def rows(self, table: TabularTable, schema: TableSchema) -> Iterator[Rows]:
        for file in table.files:
            yield from self.rows_of(file, table, schema)

    def rows_of(self, file: FoundFile, table: TabularTable, schema: TableSchema) -> Iterator[Rows]:
        """Of one file of the table."""
        with self.opened(file, table.rule, table.kind) as opened:
            tables = table.kind.tables(opened, table.rule)
            one = next((found for found in tables if found.part == table.part), None)
            if one is None or _columns(one) != tuple(schema.columns):
                self._shapes.pop(file.name, None)  # it is another one although nothing else tells
                raise other_columns(file)
            yield from one.rows()

    @contextmanager
    def opened(self, file: FoundFile, rule: FileRule, kind: TabularKind) -> Iterator[Opened]:
        """For its kind. Rejected GC-2014 unless it rests for as long (or, as its rule says, only grows), GC-2003 where
        it may not be read; Transient GC-2001 where the disk fails."""
        if not file.resting:
            raise being_written(file)
        compare = _compare_grown if rule.append_only else _compare
        try:
            with ExitStack() as opened:
                stream = opened.enter_context(open_shared(file.path))
                compare(file, stream.fileno())
                beside = {
                    suffix: opened.enter_context(open_shared(path))
                    for suffix, path in companions(file.path, kind.companions).items()
                }
                before = {suffix: _state(one) for suffix, one in beside.items()}
                try:
                    whole = Opened(file.name, stream, file.state.size, beside)
                    yield _whole_lines(file, whole) if rule.append_only else whole
                except Rejected:
                    _compare(file, stream.fileno())  # half a file may well look like no table
                    raise
                compare(file, stream.fileno())
                if {suffix: _state(one) for suffix, one in beside.items()} != before:
                    raise being_written(file)
            compare(file, file.path)
        except OSError as error:
            raise self._unreadable(file, error) from None

    def _unreadable(self, file: FoundFile, error: OSError) -> Fault:
        if isinstance(error, FileNotFoundError):
            return being_written(file)
        if isinstance(error, PermissionError):
            return Rejected("GC-2003", table=file.name, reason="no permission")
        return Transient("GC-2001", source=self._slug, reason="read error")


def _again(fault: Rejected) -> Rejected:
    return Rejected(fault.code, **fault.facts)


def _columns(table: FileTable) -> tuple[Column, ...] | Rejected:
    try:
        return tuple(table.columns)
    except Rejected as fault:
        return fault


def companions(path: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """The files beside it of the same name but for the suffix, in small or capital letters."""
    beside = {suffix: (path.with_suffix(suffix), path.with_suffix(suffix.upper())) for suffix in suffixes}
    found = {suffix: next(filter(_is_there, both), None) for suffix, both in beside.items()}
    return {suffix: one for suffix, one in found.items() if one is not None}


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # whoever opens the file meets it


def states_of(file: FoundFile, kind: TabularKind) -> States:
    """Of the file, and of those beside it."""
    found: list[tuple[str, FileState]] = [(file.name, file.state)]
    for suffix, path in sorted(companions(file.path, kind.companions).items()):
        with suppress(OSError):
            found.append((suffix, FileState.of(path.stat())))
    return tuple(found)


def fingerprint(table: TabularTable) -> str:
    """Another one once any of its files, or of those beside them, was touched."""
    states = [(states_of(file, table.kind), file.resting) for file in table.files]
    return hashlib.blake2b(repr(states).encode(), digest_size=16).hexdigest()


def being_written(file: FoundFile) -> Rejected:
    return Rejected("GC-2014", file=file.name)


def other_columns(file: FoundFile) -> Rejected:
    problem = "other columns than the first file of the table"
    return Rejected("GC-2008", file=file.name, problem=problem, line=1)


def _compare(file: FoundFile, now: Path | int) -> None:
    if FileState.of(os.stat(now)) != file.state:
        raise being_written(file)


def _compare_grown(file: FoundFile, now: Path | int) -> None:
    status = os.stat(now)
    if status.st_ino != file.state.inode or status.st_size < file.state.size:
        raise being_written(file)


def _whole_lines(file: FoundFile, opened: Opened) -> Opened:
    """Of a file that grows, up to its last line break."""
    place = opened.size
    while place:
        start = max(0, place - _BLOCK_BYTES)
        opened.stream.seek(start)
        end = opened.stream.read(place - start).rfind(b"\n") + 1
        if end:
            stream = spliced(opened.stream, 0, 0, start + end)
            return Opened(opened.name, stream, start + end, opened.companions)
        place = start
    raise being_written(file)


def _state(stream: BinaryIO) -> FileState:
    return FileState.of(os.fstat(stream.fileno()))
