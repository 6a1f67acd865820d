"""The contract of a source: what capture may ask of a database or a folder.

A source reads and never writes. Its methods block, may run on any thread but never two at a time, and hold
no lock or statement open after they return (an iterator: after it ends or is closed). Rows come back as
Arrow columns of the schema's wire types; what a typed column cannot carry exactly is null there and stands,
in full, in `asides` (promise 7). A source knows nothing of epochs, spools or what was read before.
Implementations: `sql`, `files`, and `memory` for tests; all pass tests/contracts/test_source.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

import pyarrow as pa

from protocol.canonical import Aside
from protocol.errors import Fault
from protocol.names import TableName
from protocol.schema import TableSchema


class Way(Enum):
    """How a table's changes are found (capture.md §1)."""

    RANGES = "ranges"
    """Keyed, read in shards of the key's own order: `page` and `present`."""
    WHOLE = "whole"
    """Read in one statement or file: `whole`. With a key it is matched by key, without as a multiset."""


@dataclass(frozen=True, slots=True)
class TableInfo:
    """One line of the inventory: what exists, whether or not it is captured."""

    name: TableName
    columns: tuple[tuple[str, str], ...]
    """(name, the source's own type)"""
    rows_estimate: int | None
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table: `columns` in the schema's order, equal lengths; `asides[i]` of row i, or None."""

    columns: list[pa.Array]
    asides: list[list[Aside] | None] | None = None

    @property
    def count(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    @property
    def nbytes(self) -> int:
        return sum(c.nbytes for c in self.columns)

    def slice(self, start: int, count: int) -> Rows:
        asides = None if self.asides is None else self.asides[start : start + count]
        return Rows([c.slice(start, count) for c in self.columns], asides)

    def take(self, positions: Sequence[int]) -> Rows:
        """The rows at `positions`, in that order."""
        indices = pa.array(positions, pa.int64())
        asides = None if self.asides is None else [self.asides[i] for i in positions]
        return Rows([c.take(indices) for c in self.columns], asides)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a key range in the database's own key order, read in one statement.

    `last` is the canonical key of the last row (b"" without rows). `full` says that a limit stopped the
    reading: the page then covers only the range up to and including `last`.
    """

    rows: Rows
    last: bytes
    full: bool
    lacking: float = 0.0
    """Rows that were known of what could not be read just now, which is there and is not among `rows`."""


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Where a page stops, whichever comes first; at least one row is read."""

    rows: int
    bytes: int


class PartlySeen(Protocol):
    """A source of which a part may be out of reach while all else can be read."""

    @property
    def alarms(self) -> Sequence[Fault]:
        """One for each such part, as of the last inventory or read. From any thread."""
        ...

    def hidden(self, table: TableName) -> Fault | None:
        """Why nobody can tell whether this table, which is not in the inventory, exists."""
        ...


class Source(Protocol):
    """Faults: Transient GC-2001 (unreachable; retry), Rejected GC-2002 … GC-2014 (this table only)."""

    def inventory(self) -> list[TableInfo]:
        """Every table that exists and that the account can see, sorted by name. Transient GC-2001/2009."""
        ...

    def describe(self, table: TableName) -> TableSchema:
        """The table as it is now. A key is only what tells rows apart for certain: no nullable, floating or
        ambiguous columns; otherwise the schema has none. Rejected GC-2002/2003."""
        ...

    def way(self, schema: TableSchema) -> Way: ...

    def token(self, table: TableName) -> str | None:
        """An opaque word that stays equal while nothing in the table changed; None where nobody can tell.
        Taken before a scan, compared before the next. Good only within one process."""
        ...

    def page(self, schema: TableSchema, after: bytes, until: bytes, limits: PageLimits) -> Page:
        """Rows with `after` < key <= `until`. Both are canonical keys; b"" means unbounded. WAY RANGES only.

        One statement, one consistent state of the range. Rejected GC-2004 where a key value has no
        canonical form, GC-2010 where the columns are no longer those of `schema`.
        """
        ...

    def present(self, schema: TableSchema, keys: Sequence[bytes]) -> set[bytes]:
        """Which of these canonical keys exist now: asked before a deletion is believed. RANGES only."""
        ...

    def changed(self, schema: TableSchema, column: str, after: bytes, limits: PageLimits) -> Page:
        """Rows in the order of `column`, then of the key; RANGES only. Begins behind `after`: the canonical row of
        a value of the column alone (behind all rows that have it), or of it and the rest of the key as the
        page before gave it as its `last`; b"" is the beginning. Rows whose value is null are never among
        them, rows whose value stands aside need not be. Faults as of `page`."""
        ...

    def latest(self, schema: TableSchema, column: str) -> bytes:
        """The canonical row of the greatest value of `column` (of a few rows at its end, where values stand
        aside), b"" where there is none. Faults as of `page`."""
        ...

    def whole(self, schema: TableSchema) -> Iterator[Rows]:
        """All rows, in slices of bounded memory, of one consistent state. WAY WHOLE only. Rejected GC-2007
        where the statement takes longer than the operator allows, GC-2008/2011 for a file that is no table."""
        ...

    def interrupt(self) -> None:
        """From any thread, at any time: a method that runs ends soon, where the system allows it at all, and
        every one from now on but `close` may fail as if the source could not be reached."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class RefusingSource(Source, Protocol):
    """A source in which what should be a table and is none is captured all the same, in another table."""

    def refuge(self, table: TableName) -> TableName | None:
        """That other table, of one that was refused as it is now; None where nothing of it lands elsewhere."""
        ...


@runtime_checkable
class GrowingSource(Source, Protocol):
    """A source that can tell that a table only grew since it was read. A mark is a word that outlives processes."""

    def mark(self, table: TableName) -> str:
        """Up to where the last `whole` or `since` read that came to its end; "" where nothing goes on from there."""
        ...

    def since(self, schema: TableSchema, mark: str) -> Iterator[Rows] | None:
        """The rows that came since, where not one of those before changed; None where that may be: then all must be
        read. WAY WHOLE only. Faults as of `whole`, before and while it is read."""
        ...


class ObjectSource(Source, Protocol):
    """A source whose rows name bytes that they do not hold: an aside `large` with a SHA-256, a size and no original."""

    def read_object(self, sha256: bytes, offset: int, count: int) -> bytes:
        """So many of its bytes. Rejected GC-2014 where they are not to be had, or their file was touched since."""
        ...

    def forget_object(self, sha256: bytes) -> None:
        """Its bytes were others than the row says: what was read of their files counts no more."""
        ...
