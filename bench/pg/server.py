"""A PostgreSQL whose log can be followed, with a table of visits that a publication carries.

The table of visits is made by the generator beside the repository. Where it is to be written by the bench itself, that
table is the `SEED`, and `visits.TABLE` stands beside it, empty at first and of the same kind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.databases import PostgresServer

from .. import visits
from ..databases import Made, fill_postgres, postgres_server
from ..processes import Usage, cpu_of_server

DATABASE = "bench"
SEED = "seed"
PUBLICATION = "guicang_his"
END = "the end"
"""The prefix of a message that stands behind everything in the log."""

_SETTINGS = {"max_wal_size": "8GB", "wal_sender_timeout": "0", "autovacuum": "off"}


class Hospital:
    """One connection is kept for looking."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server = server
        self.database = database
        self.made = Made("PostgreSQL", server.url(database), _driven(server.url(database)), server, database)
        self._connection = server.connect(database)

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    def look(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def publish(self) -> None:
        self.run(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE ONLY {visits.TABLE}")

    def create_slot(self, name: str) -> None:
        self.look("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", name)

    def drop_slot(self, name: str) -> None:
        """Once nobody reads it."""
        self.look("SELECT pg_drop_replication_slot(%s)", name)

    def is_read(self, slot: str) -> bool:
        found = self.look("SELECT active FROM pg_replication_slots WHERE slot_name = %s", slot)
        return found == [(True,)]

    def end(self) -> str:
        """Put the message END into the log; up to where a reader of everything must come."""
        self.look("SELECT pg_logical_emit_message(false, %s, '')", END)
        return str(self.look("SELECT pg_current_wal_flush_lsn()")[0][0])

    def usage(self) -> Usage:
        assert self.server._process is not None
        return cpu_of_server(self.server._process.pid)

    def close(self) -> None:
        self._connection.close()


def _driven(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg2:", 1)


@contextlib.contextmanager
def hospital(rows: int, table: str, server: PostgresServer | None = None) -> Iterator[Hospital]:
    """With `table` of so many visits. Raises Missing where there is no PostgreSQL or generator. A `server` that is
    given goes on running, without the database."""
    ours = server or postgres_server(lambda: PostgresServer(wal_level="logical", **_SETTINGS))
    try:
        ours.run(f"CREATE DATABASE {DATABASE}")
        fill_postgres(ours, DATABASE, table, rows)
        one = Hospital(ours, DATABASE)
        if table == SEED:
            one.run(f"CREATE TABLE {visits.TABLE} (LIKE {SEED} INCLUDING ALL)")
        one.publish()
        yield one
        one.close()
    finally:
        if server is None:
            ours.stop()
        else:
            ours.run(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
