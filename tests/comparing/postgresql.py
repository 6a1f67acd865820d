"""PostgreSQL as it stands, each value in the server's own text; nothing of the agent's reading is used.

One transaction from the first question on. `format('%s', …)` runs a type's output function on the server,
which unlike a cast to text keeps the padding of char(n).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg2
import psycopg2.extensions
import pyarrow as pa
from sqlalchemy import URL

from .catalogue import Name
from .spelt import cells

BATCH_ROWS = 5_000

_SESSION = """
SET row_security = off; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres';
SET bytea_output = 'hex'; SET extra_float_digits = 3; SET lc_monetary = 'C'; SET client_encoding = 'UTF8';
SET search_path = ''; SET quote_all_identifiers = off
"""
_TABLES = """
SELECT current_database(), schemaname, tablename FROM pg_catalog.pg_tables t
WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND schemaname !~ '^pg_temp'
AND NOT (SELECT relispartition FROM pg_catalog.pg_class
         WHERE oid = format('%%I.%%I', schemaname, tablename)::regclass)
ORDER BY 2, 3
"""
_COLUMNS = """
SELECT attname FROM pg_catalog.pg_attribute
WHERE attrelid = format('%%I.%%I', %s, %s)::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


class PostgresDatabase:
    """One database of a server."""

    def __init__(self, url: URL) -> None:
        connected = url.translate_connect_args(username="user", database="dbname")
        self._connection = psycopg2.connect(**connected, **url.query)
        self._connection.autocommit = True
        self._ask(_SESSION)
        self._connection.set_session("REPEATABLE READ", readonly=True, autocommit=False)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or {"": ""})
            return cursor.fetchall() if cursor.description else []

    def tables(self) -> list[Name]:
        return [(database, schema, name) for database, schema, name in self._ask(_TABLES)]

    def columns(self, table: Name) -> tuple[str, ...]:
        return tuple(name for (name,) in self._ask(_COLUMNS, table[1] or "", table[2]))

    def rows(self, table: Name, wires: Mapping[str, pa.DataType | None]) -> Iterator[list[list[bytes]]]:
        """Batches of the table's rows: for every column of `columns` its cells. `wires` are the lake's types."""
        columns = self.columns(table)
        quoted = [f"t.{_quoted(column)}" for column in columns]
        texts = ", ".join(f"CASE WHEN {c} IS DISTINCT FROM NULL THEN format('%s', {c}) END" for c in quoted)
        with self._connection.cursor("rows") as cursor:
            psycopg2.extensions.register_type(psycopg2.extensions.BYTES, cursor)
            cursor.string_types[25] = psycopg2.extensions.BYTES
            cursor.execute(f"SELECT {texts} FROM {_quoted(table[1] or '')}.{_quoted(table[2])} AS t")
            while records := cursor.fetchmany(BATCH_ROWS):
                by_column = zip(*records, strict=True)
                yield [
                    cells(values, wires.get(name)) for name, values in zip(columns, by_column, strict=True)
                ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
