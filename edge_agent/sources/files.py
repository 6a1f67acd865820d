"""Kind `files`: a folder of CSV files, each a table, or a set of them that reads as one.

Every value is text as it stands in the file; nothing is taken for a number or a date, since 007 is not 7.
A table is read whole and compared by its declared key, else as a multiset. A file that changes while it is
read, or is being written, is read later. Knows nothing of what was read before.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from edge_agent.sources.csvtext import CsvForm, CsvRecords
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.folder import FileState, Folder, FoundFile, VanishLimit, glob_matcher
from edge_agent.sources.kinds.csvfile import CsvTable
from edge_agent.sources.opening import open_shared
from edge_agent.sources.rereading import Rereading
from edge_agent.sources.source import Page, PageLimits, Rows, TableInfo, Way
from protocol.errors import Fault, Permanent, Rejected, Transient
from protocol.names import TableName
from protocol.schema import Column, TableSchema

_SOURCE_TYPE = "text"
DEFAULT_RULES = (FileRule(glob="**/*.csv"),)


@dataclass(frozen=True, slots=True)
class _Table:
    """The files of one table, sorted by name, and how they are read."""

    rule: FileRule
    files: tuple[FoundFile, ...]
    key: tuple[str, ...]

    @property
    def form(self) -> CsvForm:
        return CsvForm(self.rule.encoding, self.rule.delimiter, self.rule.quote, self.rule.header)


class FilesSource:
    """One folder. `identity` is what the same source's `identity` gave in an earlier process, or None.
    `keys` overrides the key of tables by name.

    Raises Permanent GC-1003 where a rule names a table as a file is called.
    """

    def __init__(
        self,
        slug: str,
        folder: Path,
        rules: Sequence[FileRule] = DEFAULT_RULES,
        stable_seconds: float = 2.0,
        identity: str | None = None,
        clock: Callable[[], float] = time.time,
        keys: Mapping[str, tuple[str, ...]] | None = None,
        limit: VanishLimit | None = None,
        reread_hours: float = 168.0,
    ) -> None:
        self._slug = slug
        self._rereading = Rereading(reread_hours, clock)
        self._keys = dict(keys or {})
        self._rules = [(glob_matcher(rule.glob), rule) for rule in rules]
        self._folder = Folder(
            slug, folder, lambda name: self._rule(name) is not None, stable_seconds, identity, clock, limit
        )
        self._columns: dict[tuple[str, FileState], tuple[str, ...]] = {}

    @property
    def identity(self) -> str | None:
        """The folder's identity since files were first seen in it; to be kept across processes."""
        return self._folder.identity

    def accept(self) -> None:
        """The folder is meant as it is now, be it another one than before, or empty. From any thread."""
        self._folder.accept()

    @property
    def alarms(self) -> list[Rejected]:
        """Of parts of the folder, whose files stay as they were. From any thread."""
        return self._folder.alarms

    def hidden(self, table: TableName) -> Rejected | None:
        """Of a table of several files any may lie where nobody can look."""
        of_several = any(rule.table == table.name for _, rule in self._rules)
        alarms = self._folder.alarms
        return alarms[0] if alarms and (of_several or self._folder.is_hidden(table.name)) else None

    def interrupt(self) -> None:
        """A read from a disk cannot be broken off; each is short."""

    def close(self) -> None:
        self._columns.clear()

    def _rule(self, name: str) -> FileRule | None:
        return next((rule for matches, rule in self._rules if matches(name)), None)

    def _tables(self) -> dict[str, _Table]:
        grouped: dict[str, tuple[FileRule, list[FoundFile]]] = {}
        for file in self._folder.scan():
            rule = self._rule(file.name)
            assert rule is not None
            known, files = grouped.setdefault(rule.table or file.name, (rule, []))
            if known is not rule or (files and rule.table is None):
                problem = "it is also the name of a file"
                raise Permanent(
                    "GC-1003", key=f"sources.{self._slug}.rules", path="the configuration", problem=problem
                )
            files.append(file)
        return {name: self._made(name, rule, files) for name, (rule, files) in grouped.items()}

    def _made(self, name: str, rule: FileRule, files: Sequence[FoundFile]) -> _Table:
        return _Table(rule, tuple(files), self._keys.get(name, rule.key))

    def _table(self, table: TableName) -> _Table:
        if (table.database, table.schema) != (None, None):
            raise Rejected("GC-2002", table=str(table), source=self._slug)
        found = self._single(table.name) or self._tables().get(table.name)
        if found is None:
            raise self.hidden(table) or Rejected("GC-2002", table=str(table), source=self._slug)
        if found.rule.table is not None and (fault := self.hidden(table)):
            raise fault
        return found

    def _single(self, name: str) -> _Table | None:
        """The table that is one known file: found without a look at all others."""
        rule = self._rule(name)
        if rule is None or rule.table is not None:
            return None
        file = self._folder.look(name)
        return None if file is None else self._made(name, rule, [file])

    def inventory(self) -> list[TableInfo]:
        return [self._info(name, table) for name, table in sorted(self._tables().items())]

    def _info(self, name: str, table: _Table) -> TableInfo:
        try:
            columns = self._header(table)
        except (Rejected, Transient):
            columns = ()  # it exists, although it cannot be described now
        key = table.key if set(table.key) <= set(columns) else ()
        return TableInfo(TableName(None, None, name), tuple((c, _SOURCE_TYPE) for c in columns), None, key)

    def describe(self, table: TableName) -> TableSchema:
        return self._describe(table, self._table(table))

    def _describe(self, name: TableName, table: _Table) -> TableSchema:
        header = self._header(table)
        columns = tuple(Column(c, pa.string(), _SOURCE_TYPE) for c in header)
        if not set(table.key) <= set(header):
            problem = "a key column is not in the header"
            raise Rejected("GC-2008", file=table.files[0].name, problem=problem, line=1)
        return TableSchema(name, columns, table.key, {"dialect": "csv"})

    def _header(self, table: _Table) -> tuple[str, ...]:
        """The columns, which all files of the table share."""
        first: tuple[str, ...] | None = None
        for file in table.files:
            columns = self._columns.get((file.name, file.state))
            if columns is None:
                with self._records(table, file) as records:
                    columns = records.columns
                self._columns = {k: v for k, v in self._columns.items() if k[0] != file.name}
                self._columns[file.name, file.state] = columns
            first = columns if first is None else first
            if columns != first:
                raise _other_columns(file)
        assert first is not None
        return first

    def way(self, schema: TableSchema) -> Way:
        return Way.WHOLE

    def token(self, table: TableName) -> str | None:
        return f"{_fingerprint(self._table(table).files)}-{self._rereading.turn(table.name)}"

    def page(self, schema: TableSchema, after: bytes, until: bytes, limits: PageLimits) -> Page:
        raise AssertionError("files are read whole")

    def present(self, schema: TableSchema, keys: Sequence[bytes]) -> set[bytes]:
        raise AssertionError("files are read whole")

    def changed(self, schema: TableSchema, column: str, after: bytes, limits: PageLimits) -> Page:
        raise AssertionError("files are read whole")

    def latest(self, schema: TableSchema, column: str) -> bytes:
        raise AssertionError("files are read whole")

    def whole(self, schema: TableSchema) -> Iterator[Rows]:
        table = self._table(schema.table)
        if self._describe(schema.table, table).fingerprint != schema.fingerprint:
            raise Rejected("GC-2010", table=str(schema.table))
        names = tuple(c.name for c in schema.columns)
        for file in table.files:
            with self._records(table, file) as records:
                if records.columns != names:
                    raise _other_columns(file)
                yield from CsvTable(records).rows()
        if _fingerprint(self._table(schema.table).files) != _fingerprint(table.files):
            raise Rejected("GC-2014", file=str(schema.table))

    @contextmanager
    def _records(self, table: _Table, file: FoundFile) -> Iterator[CsvRecords]:
        """The file's records. Rejected GC-2014 unless it rests, from before the first to after the last."""
        if not file.resting:
            raise _being_written(file)
        try:
            with open_shared(file.path) as stream:
                self._compare(file, stream.fileno())
                try:
                    records = CsvRecords(stream, table.form, file.name)
                    yield records
                except Rejected:
                    self._compare(file, stream.fileno())  # half a file may well look like no table
                    raise
                self._compare(file, stream.fileno())
            self._compare(file, file.path)
        except OSError as error:
            raise self._unreadable(file, error) from None

    def _compare(self, file: FoundFile, now: Path | int) -> None:
        if FileState.of(os.stat(now)) != file.state:
            raise _being_written(file)

    def _unreadable(self, file: FoundFile, error: OSError) -> Fault:
        if isinstance(error, FileNotFoundError):
            return _being_written(file)
        if isinstance(error, PermissionError):
            return Rejected("GC-2003", table=file.name, reason="no permission")
        return Transient("GC-2001", source=self._slug, reason="read error")


def _being_written(file: FoundFile) -> Rejected:
    return Rejected("GC-2014", file=file.name)


def _other_columns(file: FoundFile) -> Rejected:
    problem = "other columns than the first file of the table"
    return Rejected("GC-2008", file=file.name, problem=problem, line=1)


def _fingerprint(files: Sequence[FoundFile]) -> str:
    states = [(f.name, f.state.size, f.state.modified_ns, f.state.changed_ns, f.state.inode) for f in files]
    return hashlib.blake2b(repr(states).encode(), digest_size=16).hexdigest()
