"""KingbaseES V8R6 and later (人大金仓), which began as PostgreSQL 12: its dialect with what differs.

psycopg2 speaks to it where the account's password is stored as scram-sha-256 or md5 (its own sm3 only its
own driver knows). Its version numbers follow no scheme of PostgreSQL's, so the catalogue itself is asked
whether it is young enough. In its Oracle mode a DATE holds a time, and is read as a moment. Types of its own
travel as the server's text. Proven on PostgreSQL alone: it has not met a KingbaseES server.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import pyarrow as pa
from sqlalchemy import URL

from edge_agent.sources.columns import Layout
from edge_agent.sources.dialects.dialect import Dialect, Fetch, TableFacts, Trouble
from edge_agent.sources.dialects.plain import PlainEngine, register
from edge_agent.sources.dialects.postgres import Postgres
from edge_agent.sources.dialects.postgres_catalogue import BASE
from edge_agent.sources.streams import Stream
from protocol.names import TableName
from protocol.schema import Column

PORT = 54321
_YOUNG_ENOUGH = (
    "SELECT c.relispartition, i.indnkeyatts FROM pg_catalog.pg_class c, pg_catalog.pg_index i WHERE false"
)
_MODE = "SELECT current_setting('database_mode', true)"
_SYSTEM = frozenset(
    [
        "anon",
        "dbms_job",
        "dbms_scheduler",
        "dbms_sql",
        "kdb_schedule",
        "perf",
        "src_restrict",
        "sys",
        "sys_catalog",
        "sys_hm",
        "sysaudit",
        "sysmac",
        "wmsys",
        "xlog_record_read",
    ]
)
_INTEGERS = {"tinyint": pa.int16(), "mediumint": pa.int32()}
"""Its own; PostgreSQL's are the same here."""
_DATES = frozenset(["date", "sys.date", "pg_catalog.date"])


class Engine(PlainEngine):
    driver = "psycopg2"

    @classmethod
    def import_dbapi(cls) -> Any:
        from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

        return PGDialect_psycopg2.import_dbapi()  # type: ignore[no-untyped-call]

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        # Empty values halve the doubled per cent signs of `quote`; none at all would leave them.
        cursor.execute(statement, parameters)


class Kingbase(Postgres):
    """KingbaseES by psycopg2."""

    name = "kingbase"
    engine = register("kingbase", __name__)
    engine_options = {}  # noqa: RUF012 (never changed)

    def __init__(self) -> None:
        super().__init__()
        self._oracle_mode = False

    def check(self, url: URL) -> str | None:
        if url.drivername != "kingbase":
            return "it must begin with kingbase://"
        if importlib.util.find_spec("psycopg2") is None:
            return "the driver is not installed (the extra edge-kingbase)"
        if not url.database:
            return "it must name a database, as in kingbase://account@host:54321/database"
        return self.check_options(url)

    def connect(self, url: URL) -> Any:
        return super().connect(url if url.port else url.set(port=PORT))

    def refuse_older(self, cursor: Any) -> None:
        cursor.execute(_YOUNG_ENOUGH)
        cursor.execute(_MODE)
        self._oracle_mode = cursor.fetchone()[0] == "oracle"

    def stream(self, connection: Any, sql: str, values: tuple[Any, ...], layout: Layout) -> Stream:
        # In its Oracle mode empty text is null; what its COPY says of that, no test here can tell.
        return Dialect.stream(self, connection, sql, values, layout)

    def trouble(self, error: BaseException) -> Trouble:
        if type(error).__name__ == "NotSupportedError" and getattr(error, "pgcode", None) is None:
            return Trouble("the server is older than KingbaseES V8R6", everywhere=True)
        return super().trouble(error)

    def catalogue(self, fetch: Fetch, table: TableName | None) -> list[TableFacts]:
        return [
            replace(facts, columns=tuple(map(self._column, facts.columns)))
            for facts in super().catalogue(fetch, table)
            if facts.name.schema not in _SYSTEM
        ]

    def _column(self, column: Column) -> Column:
        spelt = column.meta.get(BASE, column.source_type)
        if self._oracle_mode and spelt in _DATES:
            return replace(column, wire=pa.timestamp("us"))
        return replace(column, wire=_INTEGERS.get(spelt, column.wire))

    def comparable(self, column: Column) -> bool:
        return column.source_type in _INTEGERS or column.source_type in _DATES or super().comparable(column)
