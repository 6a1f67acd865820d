"""A source in memory, for tests and the simulation: tables that change between, or within, calls.

It keeps rows as Python values of the wire types and orders keys as Python does. `before` is called first in
every call with its name and table, and may change rows or raise a fault. Same contract as the real ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from edge_agent.sources.columns import aside, join, named, weight
from edge_agent.sources.ordered import order_of, page_of
from edge_agent.sources.slicing import prefix
from edge_agent.sources.source import Page, PageLimits, Rows, TableInfo, Way
from protocol.canonical import Aside, decode, encode_rows
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import TableSchema

SLICE_ROWS = 100


@dataclass(frozen=True, slots=True)
class Wild:
    """A value that its typed column does not carry."""

    reason: str
    original: bytes


@dataclass(frozen=True, slots=True)
class Named:
    """A value whose bytes its row names and does not hold."""

    sha256: bytes
    size: int


Row = tuple[Any, ...]
Before = Callable[[str, TableName | None], None]


@dataclass
class _Table:
    schema: TableSchema
    rows: list[Row] = field(default_factory=list)
    changes: int = 0


class MemorySource:
    """Tables by name. Rows are tuples in the schema's order; a `Wild` stands for what goes aside."""

    def __init__(self, slug: str = "memory", before: Before | None = None) -> None:
        self._slug = slug
        self._tables: dict[TableName, _Table] = {}
        self._changes = 0
        self._objects: dict[bytes, bytes] = {}
        self.forgotten: list[bytes] = []
        self.before = before

    # What happens in the source.

    def create(self, schema: TableSchema, rows: Iterable[Row] = ()) -> None:
        """Add a table, or replace it with all its rows."""
        self._tables[schema.table] = _Table(schema, list(rows))
        self._changed(schema.table)

    def drop(self, table: TableName) -> None:
        del self._tables[table]

    def put(self, table: TableName, *rows: Row) -> None:
        """Add rows; in a keyed table each takes the place of the row with its key."""
        stored = self._tables[table]
        if stored.schema.key:
            fresh = {self._key(stored.schema, row) for row in rows}
            stored.rows = [row for row in stored.rows if self._key(stored.schema, row) not in fresh]
        stored.rows.extend(rows)
        self._changed(table)

    def delete(self, table: TableName, *rows: Row) -> None:
        """Take these rows away; of equal rows one each."""
        for row in rows:
            self._tables[table].rows.remove(row)
        self._changed(table)

    def keep(self, content: bytes, other: bytes | None = None) -> Named:
        """What a row may name. `other`: the bytes that are really there."""
        sha256 = hashlib.sha256(content).digest()
        self._objects[sha256] = content if other is None else other
        return Named(sha256, len(content))

    def lose(self, named: Named) -> None:
        del self._objects[named.sha256]

    def rows(self, table: TableName) -> list[Row]:
        return list(self._tables[table].rows)

    def _changed(self, table: TableName) -> None:
        self._changes += 1
        self._tables[table].changes = self._changes

    @staticmethod
    def _key(schema: TableSchema, row: Row) -> Row:
        return tuple(row[i] for i in schema.key_positions)

    # What a source does.

    def _enter(self, call: str, table: TableName | None) -> None:
        if self.before is not None:
            self.before(call, table)

    def _stored(self, table: TableName) -> _Table:
        if table not in self._tables:
            raise Rejected("GC-2002", table=str(table), source=self._slug)
        return self._tables[table]

    def _unchanged(self, schema: TableSchema) -> _Table:
        stored = self._stored(schema.table)
        if stored.schema.fingerprint != schema.fingerprint:
            raise Rejected("GC-2010", table=str(schema.table))
        return stored

    def inventory(self) -> list[TableInfo]:
        self._enter("inventory", None)
        infos = [
            TableInfo(
                name, tuple((c.name, c.source_type) for c in t.schema.columns), len(t.rows), t.schema.key
            )
            for name, t in self._tables.items()
        ]
        return sorted(infos, key=lambda info: str(info.name))

    def describe(self, table: TableName) -> TableSchema:
        self._enter("describe", table)
        return self._stored(table).schema

    def way(self, schema: TableSchema) -> Way:
        return Way.RANGES if schema.key else Way.WHOLE

    def token(self, table: TableName) -> str | None:
        self._enter("token", table)
        return str(self._stored(table).changes)

    def page(self, schema: TableSchema, after: bytes, until: bytes, limits: PageLimits) -> Page:
        self._enter("page", schema.table)
        keyed = self._keyed(schema)
        low, high = decode(after), decode(until)
        within = [
            (key, row)
            for order, key, row in keyed
            if (not low or order > low) and (not high or order <= high)
        ]
        taken: list[Rows] = []
        left = limits.bytes
        for _, row in within[: limits.rows]:
            piece = _as_rows(schema, [row])
            left -= weight(piece)
            if taken and left < 0:
                break
            taken.append(piece)
        full = len(taken) < len(within) or len(taken) == limits.rows
        last = within[len(taken) - 1][0] if taken else b""
        return Page(join(taken) if taken else _as_rows(schema, []), last, full)

    def _keyed(self, schema: TableSchema) -> list[tuple[list[Any], bytes, Row]]:
        """(values of the key, canonical key, row), in key order."""
        rows = self._unchanged(schema).rows
        keys = [self._key(schema, row) for row in rows]
        if any(isinstance(value, Wild) for key in keys for value in key):
            raise Rejected("GC-2004", table=str(schema.table))
        if any(value is None for key in keys for value in key):
            raise Rejected("GC-2005", table=str(schema.table))
        columns = _as_rows(schema, rows).columns
        canonical = encode_rows([columns[i] for i in schema.key_positions])
        keyed = [(decode(key), key, row) for key, row in zip(canonical, rows, strict=True)]
        return sorted(keyed, key=lambda entry: entry[0])

    def present(self, schema: TableSchema, keys: Sequence[bytes]) -> set[bytes]:
        self._enter("present", schema.table)
        return {key for _, key, _ in self._keyed(schema)}.intersection(keys)

    def changed(self, schema: TableSchema, column: str, after: bytes, limits: PageLimits) -> Page:
        self._enter("changed", schema.table)
        behind = decode(after)
        ordered = [
            (order, row)
            for order, row in self._ordered(schema, column)
            if not behind or order[: len(behind)] > behind
        ]
        rows = _as_rows(schema, [row for _, row in ordered[: limits.rows]])
        count = max(1, prefix(rows, limits.bytes)) if rows.count else 0
        full = count < len(ordered) or count == limits.rows
        return page_of(schema, column, rows.slice(0, count), full)

    def latest(self, schema: TableSchema, column: str) -> bytes:
        self._enter("latest", schema.table)
        ordered = self._ordered(schema, column)
        if not ordered:
            return b""
        row = _as_rows(schema, [ordered[-1][1]])
        return encode_rows([row.columns[[c.name for c in schema.columns].index(column)]])[0]

    def _ordered(self, schema: TableSchema, column: str) -> list[tuple[list[Any], Row]]:
        """(values of the column and of the rest of the key, row), in their order."""
        names = [c.name for c in schema.columns]
        places = [names.index(c.name) for c in order_of(schema, column)]
        rows = [row for _, _, row in self._keyed(schema)]
        rows = [row for row in rows if row[places[0]] is not None and not isinstance(row[places[0]], Wild)]
        columns = _as_rows(schema, rows).columns
        lines = encode_rows([columns[place] for place in places])
        return sorted(zip(map(decode, lines), rows, strict=True), key=lambda entry: entry[0])

    def whole(self, schema: TableSchema) -> Iterator[Rows]:
        self._enter("whole", schema.table)
        rows = list(self._unchanged(schema).rows)
        for start in range(0, len(rows), SLICE_ROWS):
            yield _as_rows(schema, rows[start : start + SLICE_ROWS])

    def read_object(self, sha256: bytes, offset: int, count: int) -> bytes:
        self._enter("read_object", None)
        if sha256 not in self._objects:
            raise Rejected("GC-2014", file=self._slug)
        return self._objects[sha256][offset : offset + count]

    def forget_object(self, sha256: bytes) -> None:
        self.forgotten.append(sha256)

    def interrupt(self) -> None:
        """Nothing here takes long."""

    def close(self) -> None:
        self._tables.clear()


def _as_rows(schema: TableSchema, rows: Sequence[Row]) -> Rows:
    columns = [
        pa.array([None if isinstance(row[i], Wild | Named) else row[i] for row in rows], column.wire)
        for i, column in enumerate(schema.columns)
    ]
    asides = [_asides(schema, row) for row in rows]
    return Rows(columns, asides if any(asides) else None)


def _asides(schema: TableSchema, row: Row) -> list[Aside] | None:
    return [
        named(column.name, value.sha256, value.size)
        if isinstance(value, Named)
        else aside(column.name, value.reason, value.original)
        for column, value in zip(schema.columns, row, strict=True)
        if isinstance(value, Wild | Named)
    ] or None
