"""Which lake path belongs to which table, and what of it is waiting for its next commit.

A path is made from the table's exact name (landing.md §1a); should two names of one stream share their first
eight hex digits, the later one takes sixteen. The ledger remembers the answer for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from protocol.names import Stream, TableName
from protocol.schema import TableSchema

from ..journal.journal import Entry
from ..ledger.ledger import Ledger, TableRecord
from .lake import Txn


def app_of(stream: Stream, epoch: int) -> str:
    """The app id under which a table remembers what it holds of an epoch."""
    return f"{stream}/{epoch}"


@dataclass(frozen=True, slots=True)
class Portion:
    """What one envelope brought, waiting for a commit. `offset`: where the envelope stands in the journal; one that
    came out of the quarantine brings its `entry` along instead."""

    app: str
    seq: int
    offset: int
    rows: pa.Table
    entry: Entry | None = None


@dataclass(slots=True)
class Landing:
    """One table: its line in the catalogue, what it holds, and its rows that wait for a commit."""

    record: TableRecord
    held: dict[str, int] = field(default_factory=dict)
    """App → last sequence in the lake, asked once per app."""
    fingerprint: bytes = b""
    """Schema of the waiting rows."""
    waiting: list[Portion] = field(default_factory=list)
    txns: dict[str, int] = field(default_factory=dict)
    """App → last sequence that waits."""
    rows: int = 0
    bytes: int = 0
    since: float = 0.0
    last_commit: float | None = None
    commit_seconds: float = 0.01
    settles: bool = False
    """Among what waits is a mark that may lay a new floor."""
    looked: bool = False
    """Whether the table was seen, since the start, to hold what the ledger says."""
    uncertain: bool = False
    """A commit was begun and not seen to end: what of it landed must be looked up."""

    @property
    def place(self) -> tuple[Stream, str]:
        """Its name in the quarantine."""
        return self.record.stream, self.record.path

    @property
    def first_offset(self) -> int | None:
        """Journal offset of the oldest waiting envelope: the low-water mark stays below it."""
        return min((one.offset for one in self.waiting if one.entry is None), default=None)

    def add(self, portion: Portion, now: float) -> None:
        if not self.waiting:
            self.since = now
        self.waiting.append(portion)
        self.txns[portion.app] = portion.seq
        self.rows += portion.rows.num_rows
        self.bytes += portion.rows.nbytes

    def take(self) -> tuple[pa.Table, list[Txn]]:
        """What waits, as one table, and the transactions that its commit completes."""
        rows = pa.concat_tables([one.rows for one in self.waiting], promote_options="default")
        facts = (one.rows.schema.metadata for one in self.waiting)  # those of the first that has any count
        rows = rows.replace_schema_metadata(next(filter(None, facts), None))
        return rows, [Txn(app, seq) for app, seq in sorted(self.txns.items())]

    def settle(self, held: Mapping[str, int]) -> int:
        """The table holds these transactions for certain: what waited of them has landed. Returns its rows."""
        before, kept = self.rows, [one for one in self.waiting if one.seq > held.get(one.app, 0)]
        self._keep(kept)
        self.held |= held
        self.uncertain = False
        return before - self.rows

    def give_up(self) -> list[Portion]:
        """Nothing waits any more; what did is the caller's."""
        waiting = self.waiting
        self._keep([])
        return waiting

    def _keep(self, waiting: list[Portion]) -> None:
        self.waiting = waiting
        self.txns = {one.app: one.seq for one in waiting}
        self.rows = sum(one.rows.num_rows for one in waiting)
        self.bytes = sum(one.rows.nbytes for one in waiting)


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

    def of(self, stream: Stream) -> list[Landing]:
        return [one for (of, _), one in self._tables.items() if of == stream]

    def all(self) -> list[Landing]:
        return list(self._tables.values())

    def _new_path(self, stream: Stream, table: TableName) -> str:
        base = f"changes/{stream.site}/{stream.source}"
        short = f"{base}/{table.directory()}"
        return f"{base}/{table.directory(16)}" if short in self._paths else short
