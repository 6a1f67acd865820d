"""The rows of a PostgreSQL table as its chunks give them and as its log does, and what they must be.

The agent's own source, without an agent around it. What a cell must be is computed by the comparison
(`tests.comparing`) from the server's own text of the value, in a session of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edge_agent.sources.log import Changed, Event, Fence, Logged, Unreadable
from edge_agent.sources.pg.source import PostgresSource
from edge_agent.sources.source import PageLimits, Rows
from protocol.canonical import encode_rows
from protocol.change import Op
from protocol.names import TableName
from protocol.schema import TableSchema
from tests.databases import PostgresServer
from tests.integration.held import held

Cells = tuple[bytes, ...]
GULP_BYTES = 1 << 24
SLOT = "guicang_two_ways"


@dataclass(frozen=True)
class Said:
    """One change of the log. `unchanged`: columns that it did not carry."""

    op: Op
    cells: Cells
    unchanged: tuple[str, ...] = ()
    moved: bool = False


def cells_of(schema: TableSchema, rows: Rows) -> list[Cells]:
    """Of each row its canonical cells; of a value that stands aside the column has nothing."""
    columns = []
    for place, (column, array) in enumerate(zip(schema.columns, rows.columns, strict=True)):
        array.validate(full=True)
        assert array.type == column.wire, column.name
        aside = {
            row
            for row, entries in enumerate(rows.asides or ())
            for entry in entries or ()
            if entry["column"] == column.name
        }
        assert not any(array[row].is_valid for row in aside), column.name
        columns.append(encode_rows([rows.columns[place]], [column.name], rows.asides))
    return list(zip(*columns, strict=True))


class TwoWays:
    """Over one database, whose every table is published. Its log begins when it is made."""

    def __init__(self, server: PostgresServer, database: str, account: str | None = None) -> None:
        self.server = server
        self.database = database
        self._account = account
        self.source = PostgresSource("his", lambda: self.url, lambda _: True, SLOT, ["p"])
        self.source.follow(0, "")
        self.lost: list[Unreadable] = []

    @property
    def url(self) -> str:
        return self.server.url(self.database, self._account)

    def close(self) -> None:
        self.source.close()

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.server.rows(query, self.database)

    def name(self, table: str, schema: str = "public") -> TableName:
        return TableName(self.database, schema, table)

    def snapshot(self, table: str, rows: int = 3) -> tuple[TableSchema, list[Cells]]:
        """By chunks of so many rows, in the key's order."""
        schema = self.source.describe(self.name(table))
        found: list[Cells] = []
        after = b""
        while True:
            page = self.source.chunk(schema, after, PageLimits(rows, 1 << 30)).page
            found += cells_of(schema, page.rows)
            if not page.full:
                return schema, found
            after = page.last

    def log(self, table: str) -> list[Said]:
        """What has happened to the table since the last call for any table, in order."""
        return [one for logged in self.logged(table) for one in _said(logged)]

    def logged(self, table: str) -> list[Logged]:
        name = self.name(table)
        self.source.identities([name])
        token = self.source.fence()
        found: list[Logged] = []
        while True:
            for event in self.source.read(GULP_BYTES, 1.0).events:
                found += self._of(event, name)
                if isinstance(event, Fence) and event.token == token:
                    return found

    def _of(self, event: Event, table: TableName) -> Sequence[Logged]:
        if isinstance(event, Unreadable):
            self.lost.append(event)
        if isinstance(event, Changed):
            return [one for one in event.tables if one.schema.table == table]
        return []

    def held(self, schema: TableSchema) -> list[Cells]:
        """What stands in the table."""
        return held(self.server.url(self.database), schema)


def _said(logged: Logged) -> Iterator[Said]:
    rows = cells_of(logged.schema, logged.rows)
    unchanged = logged.unchanged or [None] * len(rows)
    moved = logged.moved or [False] * len(rows)
    for op, cells, left_out, other in zip(logged.ops, rows, unchanged, moved, strict=True):
        yield Said(op, cells, tuple(left_out or ()), other)


@contextmanager
def two_ways(server: PostgresServer, *statements: str) -> Iterator[TwoWays]:
    """Over a new database in which these statements were run."""
    with server.database() as database:
        # A test may be slow to read on; the server of the log's tests is impatient.
        impatience = f"ALTER DATABASE {server.quoted(database)} SET wal_sender_timeout = '60s'"
        server.run(impatience, "CREATE PUBLICATION p FOR ALL TABLES", *statements, database=database)
        ways = TwoWays(server, database)
        try:
            yield ways
        finally:
            ways.close()
            server.drop_slot(SLOT, database)
