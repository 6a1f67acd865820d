"""The seam of the lake: append-only tables that remember which transactions they hold.

A path names a table below the lake's root (`changes/<site>/<source>/<slug>-<hash8>`). A `Txn` says "this
table holds everything of this app up to this version"; the lake records it with the rows, atomically, but
does not enforce it: the caller asks `txn` before it appends (Delta lands the same txn twice, measured).
An append is *durable* only after `make_durable`. Implementations: `delta` and `memory`; both pass
tests/contracts/test_lake.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Txn:
    """App id (`site/source/epoch`) and the last sequence of it that the table holds with this commit."""

    app: str
    version: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """What `recover` found: the commit the table stands at now (-1: none), and the commits that were cut."""

    version: int
    cut: tuple[int, ...]


class Lake(Protocol):
    """One writer per table. Methods block; the caller keeps them off the event loop."""

    def append(self, path: str, rows: pa.Table, txns: Sequence[Txn]) -> int:
        """Append `rows` (column `_gc_date` date32 is the partition) in one commit, and return its version.

        Creates the table where there is none. Columns of `rows` that the table lacks are added to it (null
        in older rows), one that it has with another type as a further generation (see `evolution`); columns of the
        table that `rows` lacks become null. What the metadata of `rows` says of columns and table is kept. Raises
        Permanent GC-6004 for a type that no column can have, Transient GC-6005 when the store fails.
        """
        ...

    def make_durable(self, path: str, version: int) -> None:
        """Return once every commit of the table up to `version`, its data files and their directories, would
        survive a power cut."""
        ...

    def recover(self, path: str, synced_version: int) -> Recovery:
        """After an unclean stop: check the commits above `synced_version` (log entry whole, every data file
        there with its size, readable), cut at the first bad one and everything after it, make the rest
        durable."""
        ...

    def recover_all(self, synced: Mapping[str, int]) -> Mapping[str, Recovery]:
        """`recover` for many tables, each with its synced version. What was done before a fault need not be done
        again."""
        ...

    def txn(self, path: str, app: str) -> int | None:
        """The version of the last transaction of `app` in the table, None where there is none."""
        ...

    def schema(self, path: str) -> pa.Schema | None:
        """The table's columns, with what is known of them and of the table as metadata; None where there is none."""
        ...

    def tables(self) -> Mapping[str, int]:
        """Path and version of every table in the lake."""
        ...

    def keep_schema(self, fingerprint: bytes, content: bytes) -> None:
        """Keep a copy of a schema in the lake's `_system/`, durably, so that the lake explains itself."""
        ...

    def kept_schema(self, fingerprint: bytes) -> bytes | None:
        """The copy, None where there is none."""
        ...

    def read(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of the table, for tests and repair; queries go through `landing.query`."""
        ...
