"""The seam of the kinds of files: bytes of one file in, tables or records out.

A tabular kind makes tables of a file, each with columns of its own, as a database has them. A record kind makes rows of
one table that all its files share: a row a message, a document or an object, with the fields by which people search
beside the whole content. A kind reads what is open before it and nothing else; it knows no folder, no rest of a file
and nothing of what was read before. Content never stands in a fault.

Faults of a kind: Rejected GC-2008 (a file that is not what its rule says; `problem` says why in plain words, `line`
where), GC-2011 (bytes that are no text of the encoding, where there is no value to set aside).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, runtime_checkable

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.source import Rows
from protocol.errors import Rejected
from protocol.schema import Column


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is open: `name` as faults call it, `stream` at its beginning (it can seek, and is the caller's to
    close), `size` in bytes, and by their lower-case suffix (`.fpt`) the files beside it that its kind asked for."""

    name: str
    stream: BinaryIO
    size: int
    companions: Mapping[str, BinaryIO] = field(default_factory=dict)

    def refused(self, problem: str, line: int = 1) -> Rejected:
        return Rejected("GC-2008", file=self.name, problem=problem, line=line)


class FileTable(Protocol):
    """One table of a file, to be read while the file is open."""

    @property
    def part(self) -> str:
        """What tells it from the file's other tables, as a sheet's name; "" where a file of this kind is one table."""
        ...

    @property
    def columns(self) -> tuple[Column, ...]: ...

    def rows(self) -> Iterator[Rows]:
        """All rows once, in slices of bounded memory. What a value's column cannot carry exactly stands aside."""
        ...


class TabularKind(Protocol):
    @property
    def companions(self) -> tuple[str, ...]:
        """Suffixes, in lower case, of files of the same name that belong to one of this kind."""
        ...

    def tables(self, opened: Opened, rule: FileRule) -> Sequence[FileTable]:
        """The tables of a file, at least one. Reads no more than it takes to know their columns."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """Of a file of lines: its encoding, where its first record ends (bytes), and how many rows that is: 0 where it
    names columns."""

    encoding: str
    end: int
    rows: int


@runtime_checkable
class LineKind(TabularKind, Protocol):
    """A kind of which a file is a record a line or more: what is appended behind a line break are further records, and
    changes nothing of those before."""

    def head(self, opened: Opened, rule: FileRule) -> Head | None:
        """None where that is not so: of encodings in which a line break is another byte, or bytes mean what those
        before them say. Faults as `tables`."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a record kind: one Python value a column (None: absent), of the column's wire type. `problem`: why there
    is no more of it, in plain words without content; the bytes land all the same."""

    values: Sequence[Any]
    problem: str | None = None


class RecordKind(Protocol):
    @property
    def columns(self) -> tuple[Column, ...]:
        """Of every file of this kind alike, beside those that all record kinds have (`sources.records`)."""
        ...

    @property
    def version(self) -> int:
        """Another one where the same bytes would give other values than before: files are read again."""
        ...

    def records(self, opened: Opened, rule: FileRule) -> Iterator[Record]:
        """In the order of the file, the same for the same bytes. One that cannot be parsed is a record with a
        `problem`; a file that is none of this kind is a fault."""
        ...
