"""MySQL and MariaDB as they stand, values in the server's own text; nothing of the agent's reading is used.

Bytes come as hex digits. Text in a character set other than UTF-8 is converted by the server; what it cannot
convert there and back must stand aside with its own bytes. Floating columns are read as DOUBLE, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pymysql
from pymysql.cursors import SSCursor
from sqlalchemy import URL

from protocol import canonical

from .catalogue import Name
from .spelt import cells

BATCH_ROWS = 5_000

_SESSION = (
    "SET SESSION time_zone = '+00:00', sql_mode = ''",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
_TABLES = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema NOT IN ('mysql', 'performance_schema', 'sys')
AND (DATABASE() IS NULL OR table_schema = DATABASE()) ORDER BY 1, 2
"""
_COLUMNS = """
SELECT column_name, data_type, character_set_name FROM information_schema.columns
WHERE BINARY table_schema = %s AND BINARY table_name = %s ORDER BY ordinal_position
"""


class MysqlDatabase:
    """A server, or one database of it where the address names one."""

    def __init__(self, url: URL) -> None:
        connected = url.translate_connect_args(username="user", database="database")
        self._connection = pymysql.connect(**connected, charset="utf8mb4", autocommit=True)
        for statement in _SESSION:
            self._ask(statement)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    def tables(self) -> list[Name]:
        return [(database, None, name) for database, name in self._ask(_TABLES)]

    def columns(self, table: Name) -> tuple[str, ...]:
        return tuple(name for name, _, _ in self._ask(_COLUMNS, table[0] or "", table[2]))

    def rows(self, table: Name, wires: Mapping[str, pa.DataType | None]) -> Iterator[list[list[bytes]]]:
        """Batches of the table's rows: for every column of `columns` its cells. `wires` are the lake's types."""
        columns = self._ask(_COLUMNS, table[0] or "", table[2])
        asked = ", ".join(_hex(name, kind, charset) for name, kind, charset in columns)
        with self._connection.cursor(SSCursor) as cursor:
            cursor.execute(f"SELECT {asked} FROM {_quoted(table[0] or '')}.{_quoted(table[2])}", ())
            while records := cursor.fetchmany(BATCH_ROWS):
                by_column = list(zip(*records, strict=True))
                yield [
                    _cells(by_column[2 * i], by_column[2 * i + 1], wires.get(name))
                    for i, (name, _, _) in enumerate(columns)
                ]


def _hex(name: str, kind: str, charset: str | None) -> str:
    """Two expressions: the hex digits of what the server shows in UTF-8, and of what it stores if not the same."""
    column = _quoted(name)
    if charset is not None:
        utf8 = f"CONVERT({column} USING utf8mb4)"
        lossy = f"HEX(CONVERT({utf8} USING {charset})) <> HEX({column})"
        return f"HEX({utf8}), IF({lossy}, HEX({column}), NULL)"
    if kind in ("float", "double"):
        return f"HEX(CAST(CAST({column} AS DOUBLE) AS CHAR)), NULL"
    if kind in ("binary", "varbinary", "bit", "geometry", "point", "polygon", "linestring") or "blob" in kind:
        return f"HEX(CAST({column} AS BINARY)), NULL" if kind != "bit" else _bits(column)
    return f"HEX(CAST({column} AS CHAR)), NULL"


def _bits(column: str) -> str:
    # HEX of a BIT is that of a number, without its leading zeros.
    return f"HEX(CAST(CONCAT({column}, '') AS BINARY)), NULL"


def _cells(shown: tuple[Any, ...], stored: tuple[Any, ...], wire: pa.DataType | None) -> list[bytes]:
    texts = [None if digits is None else bytes.fromhex(digits) for digits in shown]
    if wire is not None and pa.types.is_binary(wire):
        return canonical.encode_column(pa.array(texts, pa.binary()))
    found = cells(texts, wire)
    for place, digits in enumerate(stored):
        if digits is not None and wire is not None:
            found[place] = _aside(bytes.fromhex(digits))
    return found


def _aside(original: bytes) -> bytes:
    return canonical.aside_cell(
        {"column": "", "reason": "charset", "original": original, "sha256": None, "bytes": len(original)}
    )


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"
