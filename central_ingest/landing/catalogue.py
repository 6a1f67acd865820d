"""Which lake path belongs to which table, and what of it is waiting for its next commit.

A path is made from the table's exact name (landing.md §1a); should two names of one stream share their first
eight hex digits, the later one takes sixteen. The ledger remembers the answer for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from protocol.names import Stream, TableName
from protocol.schema import TableSchema

from ..ledger.ledger import Ledger, TableRecord
from .lake import Txn


def app_of(stream: Stream, epoch: int) -> str:
    """The app id under which a table remembers what it holds of an epoch."""
    return f"{stream}/{epoch}"


@dataclass(slots=True)
class Landing:
    """One table: its line in the catalogue, what it holds, and its rows that wait for a commit."""

    record: TableRecord
    held: dict[str, int] = field(default_factory=dict)
    """App → last sequence in the lake, asked once per app."""
    fingerprint: bytes = b""
    """Schema of the waiting rows."""
    chunks: list[pa.Table] = field(default_factory=list)
    txns: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    bytes: int = 0
    first_offset: int | None = None
    """Journal offset of the oldest waiting or parked envelope: the low-water mark stays below it."""
    since: float = 0.0
    last_commit: float | None = None
    commit_seconds: float = 0.01
    parked: bool = False
    uncertain: bool = False
    """A commit was begun and not seen to end: whether it landed must be looked up."""

    def add(self, rows: pa.Table, app: str, seq: int, offset: int, now: float) -> None:
        if self.first_offset is None:
            self.first_offset, self.since = offset, now
        self.chunks.append(rows)
        self.txns[app] = seq
        self.rows += rows.num_rows
        self.bytes += rows.nbytes

    def take(self) -> tuple[pa.Table, list[Txn]]:
        """What waits, as one table, and the transactions that its commit completes."""
        rows = pa.concat_tables(self.chunks, promote_options="default")
        return rows, [Txn(app, seq) for app, seq in sorted(self.txns.items())]

    def clear(self) -> None:
        """What waited has landed."""
        self.held |= self.txns
        self.chunks, self.txns, self.rows, self.bytes, self.first_offset = [], {}, 0, 0, None
        self.uncertain = False

    def park(self) -> None:
        """What waited is left to the journal, from `first_offset` on, and so is all that follows."""
        self.parked = True
        self.chunks, self.txns, self.rows, self.bytes = [], {}, 0, 0


class Catalogue:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tables: dict[tuple[Stream, TableName], Landing] = {
            (record.stream, record.table): Landing(record) for record in ledger.lake_tables()
        }
        self._paths = {one.record.path for one in self._tables.values()}

    def find(self, stream: Stream, table: TableName, schema: TableSchema | None) -> Landing:
        """The table's landing; a new one is entered under a path of its own."""
        key = (stream, table)
        if key not in self._tables:
            path = self._new_path(stream, table)
            record = TableRecord(
                path,
                stream,
                table,
                schema.key if schema else (),
                schema.fingerprint if schema else b"",
                -1,
                None,
                0,
            )
            self._ledger.save_table(record)
            self._paths.add(path)
            self._tables[key] = Landing(record)
        return self._tables[key]

    def all(self) -> list[Landing]:
        return list(self._tables.values())

    def _new_path(self, stream: Stream, table: TableName) -> str:
        base = f"changes/{stream.site}/{stream.source}"
        short = f"{base}/{table.directory()}"
        return f"{base}/{table.directory(16)}" if short in self._paths else short
