"""The side of a PostgreSQL source that reads tables while its log is followed: chunks that say what they saw.

A chunk is one short transaction: the table is locked in ACCESS SHARE before anything takes a snapshot, then come the
definition, the snapshot's own words and the rows, all of one state (capture.md §3.2). It reads no log.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from edge_agent.sources.columns import Layout
from edge_agent.sources.dialects import dialect as statements
from edge_agent.sources.log import ADDED, Chunk, Snapshot
from edge_agent.sources.pg import statements as asked
from edge_agent.sources.reading import Reading
from edge_agent.sources.source import Page, PageLimits
from edge_agent.sources.sql import SqlSource
from protocol.canonical import decode
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import TableSchema

_IDENTITY_DIGITS, _LABEL_DIGITS = 32, 8


class ChunkSource(SqlSource):
    """A `SqlSource` of PostgreSQL with the statements of `LogSource` that need no log. Faults as theirs."""

    def visible(self) -> Snapshot:
        with self._reading(None) as reading:
            return self._snapshot(reading)

    def _snapshot(self, reading: Reading) -> Snapshot:
        ((text,),) = reading.fetch(asked.SNAPSHOT, ())
        return Snapshot.parse(text)

    def identity(self, table: TableName) -> str | None:
        with self._reading(None) as reading:
            return self._identify(reading, table)

    def _identify(self, reading: Reading, table: TableName) -> str | None:
        """None where there is no such table. A label that an enum has won stands behind what it had before."""
        name = (table.schema, table.name)
        rows = reading.fetch(asked.IDENTITY, name)
        if not rows:
            return None
        made_of = reading.fetch(asked.MADE_OF, name)
        attributes = [one for one in made_of if one[0] == "attribute"]
        labels = [one for one in made_of if one[0] == "label"]
        first = _short([*rows, *attributes], _IDENTITY_DIGITS)
        return ADDED.join([first, *(_short(one, _LABEL_DIGITS) for one in labels)])

    def chunk(self, schema: TableSchema, after: bytes, limits: PageLimits) -> Chunk:
        key = [schema.columns[i] for i in schema.key_positions]
        statement = statements.select_page(
            self._dialect, schema.table, schema.columns, key, decode(after), decode(b""), limits.rows
        )
        return self._read_chunk(schema, statement, limits)

    def rows_of(self, schema: TableSchema, keys: Sequence[bytes]) -> Chunk:
        key = [schema.columns[i] for i in schema.key_positions]
        wanted = [decode(one) for one in keys]
        statement = statements.select_present(self._dialect, schema.table, key, wanted, schema.columns)
        return self._read_chunk(schema, statement, PageLimits(len(keys), 1 << 40))

    def whole_chunk(self, schema: TableSchema, limits: PageLimits) -> Chunk:
        statement = statements.select_whole(self._dialect, schema.table, schema.columns)
        return self._read_chunk(schema, (statement, ()), limits)

    def _read_chunk(self, schema: TableSchema, statement: statements.Statement, limits: PageLimits) -> Chunk:
        with self._reading(schema.table) as reading:
            self._check_definition(reading, schema)
            snapshot = self._snapshot(reading)
            identity = self._identify(reading, schema.table)
            if identity is None:
                raise Rejected("GC-2002", table=str(schema.table), source=self._slug)
            rows, full = self._read_page(reading, schema, statement, limits)
        keys = self._keys_of(schema, rows) if schema.key else []
        return Chunk(Page(rows, keys[-1] if keys else b"", full), snapshot, identity)

    def fence(self) -> str:
        """Behind all that committed before; on the server's disk when this returns."""
        token = secrets.token_hex(8)
        with self._reading(None) as reading:
            reading.fetch(asked.LOCALLY, ())
            reading.fetch(asked.FENCES, (asked.FENCE, token))
            reading.commit()
        return token

    def layout_of(self, schema: TableSchema) -> Layout:
        """How the log's texts of this table become values: as COPY's do."""
        return self._layout(schema)


def _short(facts: object, digits: int) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:digits]
