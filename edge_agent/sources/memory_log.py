"""A database with a log in memory, for tests and the simulation: transactions, snapshots, and a slot.

It keeps rows as Python values of the wire types and orders keys as Python does; a row of a table without a key is named
by whoever writes it. A commit stands in the log at once and
becomes visible only when `show` is called, as behind a synchronous standby; columns in `large` are left out of an
update that did not change them. Same contract as the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from protocol.canonical import decode, encode_rows
from protocol.change import Op
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import TableSchema

from .log import (
    XID_BITS,
    Changed,
    Chunk,
    Event,
    Fence,
    Gulp,
    KeyOf,
    Logged,
    LogLost,
    Snapshot,
    Transaction,
    Truncated,
    nothing_known,
)
from .source import Page, PageLimits, Rows

STEP = 16
"""LSNs from one record to the next."""

Row = tuple[Any, ...]
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Did:
    """One row change of a transaction; `row` None for a deletion, `old` the key that an update changed, `before` the
    row as it was where the table has no key."""

    table: TableName
    op: Op
    key: Key
    row: Row | None
    old: Key | None = None
    unchanged: tuple[str, ...] = ()
    logged: bool = True
    before: Row | None = None


@dataclass
class _Record:
    lsn: int
    xid: int = 0
    did: list[Did | TableName] = field(default_factory=list)
    """A table's name stands for its truncation."""
    token: str = ""


@dataclass
class _Table:
    schema: TableSchema
    large: frozenset[str]
    first: dict[Key, Row]
    """What was there before the log began."""
    joined: bool
    hinted: bool
    rewritten: int = 0
    rows: dict[Key, Row] = field(default_factory=dict)
    """As the newest transaction, committed or not, left them."""


class MemoryLog:
    """`rows_at_once` bounds how many row changes a gulp brings. `before` is called first in every call of a reader.
    Transactions are numbered from `first_xid` on."""

    def __init__(self, rows_at_once: Callable[[], int] = lambda: 1_000, first_xid: int = 1) -> None:
        self.before: Callable[[str], None] = lambda _name: None
        self._rows_at_once = rows_at_once
        self._tables: dict[TableName, _Table] = {}
        self._wal: list[_Record] = []
        self._lsn = STEP
        self._next_xid = first_xid
        self._hidden: dict[int, list[Did | TableName] | None] = {}
        self.confirmed = 0
        self._fences = 0
        self.origin = "here"
        self._reading = (0, 0)
        """The record that is next, and how many of its row changes were given."""

    # What happens in the database.

    def create(
        self,
        schema: TableSchema,
        rows: Sequence[Row] = (),
        *,
        large: Sequence[str] = (),
        joined: bool = True,
        hinted: bool = False,
    ) -> None:
        """With rows that no log tells of. Until it has `joined` none tells what is written, where it is `hinted` only
        that something is."""
        first = {self._key(schema, row) or (place,): row for place, row in enumerate(rows)}
        self._tables[schema.table] = _Table(schema, frozenset(large), first, joined, hinted, rows=dict(first))

    def join(self, table: TableName) -> None:
        """The log tells of what is written to the table from now on."""
        self._tables[table].joined = True

    def begin(self) -> int:
        """A transaction number."""
        self._next_xid += 1
        self._hidden[self._next_xid - 1] = None
        return self._next_xid - 1

    def write(self, did: list[Did | TableName], table: TableName, key: Key, row: Row | None) -> None:
        """Add to a transaction's work that the row of `key` becomes `row` (None: is deleted; another key: is moved).
        Nobody may write a row that a transaction wrote which is not visible yet: it is locked."""
        stored = self._tables[table]
        before = stored.rows.pop(key, None)
        if row is None:
            if before is not None:
                told = None if stored.schema.key else before
                did.append(Did(table, Op.DELETE, key, None, logged=stored.joined, before=told))
            return
        new = self._key(stored.schema, row) or key
        overwritten = stored.rows.pop(new, None)
        if overwritten is not None:
            did.append(Did(table, Op.DELETE, new, None, logged=stored.joined))
        stored.rows[new] = row
        if before is None:
            did.append(Did(table, Op.CREATE, new, row, logged=stored.joined))
            return
        if not stored.schema.key:
            did.append(Did(table, Op.UPDATE, key, row, logged=stored.joined, before=before))
            return
        names = [c.name for c in stored.schema.columns]
        same = tuple(
            n
            for n, a, b in zip(names, before, row, strict=True)
            if n in stored.large and a is not None and a == b
        )
        old = key if new != key else None
        did.append(Did(table, Op.UPDATE, new, row, old, same, logged=stored.joined))

    def truncate(self, did: list[Did | TableName], table: TableName) -> None:
        self._tables[table].rows.clear()
        self._tables[table].rewritten += 1
        did.append(table)

    def commit(self, xid: int, did: list[Did | TableName]) -> None:
        """Into the log. Statements see it when `show` is called."""
        self._lsn += STEP
        self._wal.append(_Record(self._lsn, xid, did))
        self._hidden[xid] = did

    def show(self, xid: int) -> None:
        del self._hidden[xid]

    def rewrite(self, table: TableName) -> None:
        """As VACUUM FULL does: nothing changed, and nothing of it is logged."""
        self._tables[table].rewritten += 1

    def rows(self, table: TableName) -> dict[Key, Row]:
        """As everything that was committed, visible or not, left them."""
        return dict(self._tables[table].rows)

    def describe(self, table: TableName) -> TableSchema:
        return self._tables[table].schema

    @property
    def newest(self) -> int:
        """Where the last record begins."""
        return self._lsn

    def record_of(self, xid: int) -> int:
        """Where the transaction's commit record begins."""
        return next(record.lsn for record in self._wal if record.xid == xid)

    def told(self) -> list[tuple[int, Did]]:
        """Every row change in the log, with where its transaction's commit record begins."""
        return [
            (record.lsn, did)
            for record in self._wal
            for did in record.did
            if isinstance(did, Did) and did.logged
        ]

    @property
    def hidden(self) -> list[int]:
        """Committed, and not visible yet."""
        return [xid for xid, did in self._hidden.items() if did is not None]

    @staticmethod
    def _key(schema: TableSchema, row: Row) -> Key:
        return tuple(row[i] for i in schema.key_positions)

    # What its reader asks.

    def follow(self, after: int, origin: str) -> str:
        self.before("follow")
        if origin and (origin != self.origin or self.confirmed > after):
            raise LogLost("another server" if origin != self.origin else "slot has moved on")
        self._reading = (
            next((i for i, r in enumerate(self._wal) if r.lsn >= self.confirmed), len(self._wal)),
            0,
        )
        return self.origin

    def read(self, bytes_max: int, seconds: float) -> Gulp:
        self.before("read")
        events: list[Event] = []
        written: set[TableName] = set()
        left = self._rows_at_once()
        at, given = self._reading
        while left > 0 and at < len(self._wal):
            record = self._wal[at]
            if record.token:
                events.append(Fence(record.token))
                at, given = at + 1, 0
            else:
                count = min(left, len(record.did) - given)
                events += self._events(record, given, count)
                written |= self._hinted(record.did[given : given + count])
                left -= max(1, count)
                given += count
                if given == len(record.did):
                    at, given = at + 1, 0
        self._reading = (at, given)
        whole = at == len(self._wal)
        reached = self._lsn + 1 if whole else self._wal[at].lsn
        return Gulp(events, reached, reached, whole, frozenset(written))

    def _hinted(self, did: list[Did | TableName]) -> set[TableName]:
        return {
            one.table
            for one in did
            if isinstance(one, Did) and not one.logged and self._tables[one.table].hinted
        }

    def _events(self, record: _Record, first: int, count: int) -> list[Event]:
        events: list[Event] = []
        ends = first + count == len(record.did)
        part: list[tuple[int, Did]] = []

        since = first

        def whole(rows: int, end: bool) -> Transaction:
            xid = record.xid % (1 << XID_BITS)
            return Transaction(xid, record.lsn, record.lsn + 1 if end else None, record.lsn, rows)

        def close(until: int, end: bool) -> None:
            nonlocal since
            if until > since or end:
                events.append(Changed([whole(until - since, end)], self._logged(part)))
                part.clear()
            since = until + 1

        for ordinal in range(first, first + count):
            did = record.did[ordinal]
            if isinstance(did, Did):
                if did.logged:
                    part.append((ordinal, did))
            else:
                close(ordinal, False)
                events.append(Truncated(whole(0, False), ordinal, [did]))
        close(first + count, ends)
        return events

    def _logged(self, part: list[tuple[int, Did]]) -> list[Logged]:
        return [
            self._of_table(self._tables[table].schema, [(o, d) for o, d in part if d.table == table])
            for table in dict.fromkeys(did.table for _, did in part)
        ]

    def _of_table(self, schema: TableSchema, part: list[tuple[int, Did]]) -> Logged:
        rows: list[Row] = []
        ops: list[Op] = []
        ordinals: list[int] = []
        moved: list[bool] = []
        unchanged: list[list[str] | None] = []

        def add(
            ordinal: int, op: Op, row: Row, *, came: bool = False, left_out: tuple[str, ...] = ()
        ) -> None:
            rows.append(
                tuple(None if c.name in left_out else v for c, v in zip(schema.columns, row, strict=True))
            )
            ops.append(op)
            ordinals.append(ordinal)
            moved.append(came)
            unchanged.append(list(left_out) or None)

        for ordinal, did in part:
            if did.op is Op.DELETE:
                add(ordinal, Op.DELETE, did.before or self._bare(schema, did.key))
                continue
            assert did.row is not None
            if did.before is not None:
                add(ordinal, Op.DELETE, did.before)
                add(ordinal, Op.CREATE, did.row)
                continue
            if did.old is not None:
                add(ordinal, Op.DELETE, self._bare(schema, did.old))
                add(ordinal, Op.CREATE, did.row, came=True, left_out=did.unchanged)
            else:
                add(ordinal, did.op, did.row, left_out=did.unchanged)
        return Logged(schema, _rows(schema, rows), ops, [0] * len(rows), ordinals, moved, unchanged)

    @staticmethod
    def _bare(schema: TableSchema, key: Key) -> Row:
        values = dict(zip(schema.key, key, strict=True))
        return tuple(values.get(c.name) for c in schema.columns)

    def tells_more(self) -> bool:
        return False

    def confirm(self, lsn: int) -> None:
        assert lsn <= self._lsn + 1
        self.confirmed = max(self.confirmed, lsn)

    def kept(self) -> tuple[int, int]:
        return max(0, self._lsn - self.confirmed), self._lsn

    def give_up(self) -> None:
        self.confirmed, self.origin = self._lsn + 1, f"after {self._lsn}"

    def spare(self) -> dict[TableName, Rejected]:
        return {}

    def visible(self) -> Snapshot:
        self.before("visible")
        return self._snapshot()

    def _snapshot(self) -> Snapshot:
        return Snapshot(min([self._next_xid, *self._hidden]), self._next_xid, frozenset(self._hidden))

    def identity(self, table: TableName) -> str | None:
        self.before("identity")
        return str(self._tables[table].rewritten) if table in self._tables else None

    def identities(self, tables: Sequence[TableName], key_of: KeyOf = nothing_known) -> dict[TableName, str]:
        self.before("identities")
        joined = [name for name in tables if name in self._tables and self._tables[name].joined]
        return {name: str(self._tables[name].rewritten) for name in joined}

    def _seen(self, table: TableName) -> dict[Key, Row]:
        """The rows as a statement of now sees them: without what is committed and hidden, or not committed."""
        rows = dict(self._tables[table].first)
        for record in self._wal:
            if record.token or record.xid in self._hidden:
                continue
            for did in record.did:
                if isinstance(did, TableName):
                    if did == table:
                        rows.clear()
                elif did.table == table:
                    rows.pop(did.key if did.old is None else did.old, None)
                    if did.row is not None:
                        rows[did.key] = did.row
        return rows

    def chunk(self, schema: TableSchema, after: bytes, limits: PageLimits) -> Chunk:
        self.before("chunk")
        self._check(schema)
        beyond = tuple(decode(after)) if after else None
        seen = sorted(self._seen(schema.table).items())
        found = [row for key, row in seen if beyond is None or key > beyond]
        return self._chunk(schema, found[: limits.rows], len(found) > limits.rows)

    def rows_of(self, schema: TableSchema, keys: Sequence[bytes]) -> Chunk:
        self.before("rows_of")
        self._check(schema)
        seen = self._seen(schema.table)
        wanted = (tuple(decode(key)) for key in keys)
        return self._chunk(schema, [seen[key] for key in wanted if key in seen], False)

    def holding(self) -> int | None:
        return min(self._hidden, default=None)

    def whole_chunk(self, schema: TableSchema, limits: PageLimits) -> Chunk:
        self.before("chunk")
        self._check(schema)
        found = list(self._seen(schema.table).values())
        return self._chunk(schema, found[: limits.rows], len(found) > limits.rows)

    def _check(self, schema: TableSchema) -> None:
        if self._tables[schema.table].schema.fingerprint != schema.fingerprint:
            raise Rejected("GC-2010", table=str(schema.table))

    def _chunk(self, schema: TableSchema, found: list[Row], full: bool) -> Chunk:
        rows = _rows(schema, found)
        has_keys = found and schema.key
        keys = encode_rows([rows.columns[i] for i in schema.key_positions]) if has_keys else [b""]
        identity = str(self._tables[schema.table].rewritten)
        return Chunk(Page(rows, keys[-1], full), self._snapshot(), identity)

    def fence(self) -> str:
        self.before("fence")
        self._fences += 1
        self._lsn += STEP
        self._wal.append(_Record(self._lsn, token=f"fence {self._fences}"))
        return f"fence {self._fences}"


def _rows(schema: TableSchema, rows: list[Row]) -> Rows:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema.columns)
    return Rows([pa.array(v, c.wire) for v, c in zip(columns, schema.columns, strict=True)])
