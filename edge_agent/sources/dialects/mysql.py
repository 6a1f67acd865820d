"""MySQL 5.7 and later and MariaDB 10.2 and later, read by SELECT alone.

Every value comes as the server's own text or bytes. FLOAT is printed with six digits, so it is read as the
DOUBLE that it equals. Text is converted by the server to utf8mb4; where that is no way back (an unassigned
GBK code becomes `?`) the column's own bytes come instead, marked, and stand aside. BIT and geometries travel
as the bytes that MySQL gives, BINARY(n) with its padding; time, year, enum, set, json and decimals of more
than 38 digits as text. ENUM and SET sort by number but compare as text, so they are no keys.

A transaction is REPEATABLE READ, READ ONLY and of one snapshot, and its first read keeps the table's
definition from changing. MyISAM and its like know no snapshots: a statement is then as consistent as their
own table lock makes it, which also makes writers wait, so it is held to the operator's limit. Views and
sequences are no tables here. Knows no engine and no retry.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import socket
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

import pyarrow as pa
from sqlalchemy import URL

from edge_agent.sources.columns import Carrier, Layout
from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dialect import (
    CONNECT_SECONDS_MAX,
    REFUSED,
    Dialect,
    Fetch,
    TableFacts,
    Trouble,
    UniqueIndex,
)
from edge_agent.sources.spelt import spell
from edge_agent.sources.streams import Stream
from protocol.names import TableName
from protocol.schema import DECIMAL_DIGITS_MAX, Column

CHARSET = "charset"
"""Column metadata: the character set of text that is not stored as UTF-8."""

_SESSION = (
    "SET SESSION sql_mode = ''",
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION TRANSACTION READ ONLY",
    "SET SESSION lock_wait_timeout = 2",
    "SET SESSION net_write_timeout = 600",
    # A server may cut every result after so many rows without a word.
    "SET SESSION sql_select_limit = 18446744073709551615",
)
_SESSION_EITHER = (
    "SET SESSION max_statement_time = {seconds:f}",
    "SET SESSION max_execution_time = {milliseconds:d}",
)
"""MariaDB knows the one and MySQL the other."""

_COLUMNS = """
SELECT t.table_schema, t.table_name, t.table_rows, c.column_name, c.column_type, c.is_nullable,
    c.character_set_name, t.table_comment, c.column_comment
FROM information_schema.tables t
JOIN information_schema.columns c
    ON BINARY c.table_schema = BINARY t.table_schema AND BINARY c.table_name = BINARY t.table_name
WHERE t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
    AND t.table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
    AND (DATABASE() IS NULL OR t.table_schema = DATABASE())
"""
# Were the names also joined as they are, MariaDB would look through all databases for one table's columns.
_COLUMNS_ORDER = " ORDER BY BINARY t.table_schema, BINARY t.table_name, c.ordinal_position"
_INDEXES = """
SELECT s.table_schema, s.table_name, s.index_name, s.column_name
FROM information_schema.statistics s
WHERE s.non_unique = 0
    AND s.table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
    AND (DATABASE() IS NULL OR s.table_schema = DATABASE())
"""
_ONE = " AND {0}.table_schema = %s AND {0}.table_name = %s"
_INDEXES_ORDER = (
    " ORDER BY BINARY s.table_schema, BINARY s.table_name, s.index_name <> 'PRIMARY', BINARY s.index_name,"
    " s.seq_in_index"
)
_ENGINE = (
    "SELECT t.table_name, t.engine FROM information_schema.tables t"
    " WHERE t.table_schema = %s AND t.table_name = %s"
)
_NEVER_BLOCKING = frozenset({"InnoDB", "ROCKSDB", "TokuDB", "PERFORMANCE_SCHEMA"})

_INTEGERS = {
    "tinyint": (pa.int8(), pa.int16()),
    "smallint": (pa.int16(), pa.int32()),
    "mediumint": (pa.int32(), pa.int32()),
    "int": (pa.int32(), pa.int64()),
    "bigint": (pa.int64(), pa.decimal128(20, 0)),
}
"""(signed, unsigned)"""
_WIRES = {
    "float": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
_BINARY = re.compile(
    r"(?:var)?binary|(?:tiny|medium|long)?blob|bit"
    r"|geometry|(?:multi)?(?:point|linestring|polygon)|geom(?:etry)?collection"
)
_COMPARABLE = re.compile(
    r"(?:tiny|small|medium|big)?int|decimal|date|datetime|timestamp"
    r"|(?:var)?char|(?:var)?binary|(?:tiny|medium|long)?(?:text|blob)"
)
_UNICODE = frozenset({"utf8mb4", "utf8mb3", "utf8"})
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")

_SSL = frozenset({"ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity"})
_DRIVERS = ("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql")

_CODES = {
    1146: "GC-2002",
    1054: "GC-2010",
    1412: "GC-2010",
    1205: "GC-2041",
    1317: "GC-2042",
    1969: "GC-2042",
    3024: "GC-2042",
}
_REASONS = {
    1142: "no permission",
    1143: "no permission",
    1194: "a damaged table",
    1195: "a damaged table",
}
_EVERYWHERE = {
    1040: "the server is short of resources",
    1041: "the server is short of resources",
    1049: "there is no such database",
    1053: "the server is shutting down",
    1203: "the server is short of resources",
    1226: "the server is short of resources",
}
"""By error number (MySQL's and MariaDB's error references)."""

_REFUSED = {
    1044: "no right to the database",
    1045: "login refused",
    1130: "not from this machine",
    1698: "login refused",
    1820: "the password has expired",
    1862: "the password has expired",
    3118: "the account is locked",
    4151: "the account is locked",
}

_LOST = "unreachable, or the connection broke"
_CLIENT_ERRORS = range(2000, 3000)
_KILLED = frozenset({0, 1077, 1152, 1158, 1159, 1160, 1161, 1184, 1927})


def _word(column_type: str) -> str:
    found = re.match(r"\w+", column_type)
    return found[0].lower() if found else ""


def wire_type(column_type: str) -> pa.DataType:
    """The wire type of an information_schema COLUMN_TYPE; text for whatever has none."""
    word = _word(column_type)
    if word in _INTEGERS:
        return _INTEGERS[word]["unsigned" in column_type]
    if digits := _DECIMAL.match(column_type):
        precision, scale = int(digits[1]), int(digits[2])
        return pa.decimal128(precision, scale) if precision <= DECIMAL_DIGITS_MAX else pa.string()
    return pa.binary() if _BINARY.fullmatch(word) else _WIRES.get(word, pa.string())


class Mysql(Dialect):
    """MySQL and MariaDB by pymysql."""

    name = "mysql"
    engine = "mysql+pymysql://"
    row_values = False
    """They compare, but MariaDB and MySQL 5.7 then read the whole index."""
    exact_collation = "utf8mb4_bin"
    begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
    version_sql = None
    token_sql = None

    def check(self, url: URL) -> str | None:
        if url.drivername not in _DRIVERS:
            return "it must begin with mysql:// or mariadb://"
        if importlib.util.find_spec("pymysql") is None:
            return "the driver is not installed (the extra edge-mysql)"
        if set(url.query) - _SSL or not all(isinstance(v, str) for v in url.query.values()):
            return f"of its options only these are known: {', '.join(sorted(_SSL))}"
        return None

    def identity(self, url: URL) -> str | None:
        return None

    def connect(self, url: URL) -> Any:
        import pymysql

        options: dict[str, Any] = dict(url.query)
        for flag in ("ssl_verify_cert", "ssl_verify_identity"):
            if flag in options:
                options[flag] = options[flag].lower() in ("1", "true", "yes")
        named = url.translate_connect_args(username="user", database="database")
        return pymysql.connect(
            **named,
            **options,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=CONNECT_SECONDS_MAX,
            read_timeout=CONNECT_SECONDS_MAX,
        )

    def prepare(self, connection: Any, seconds: float) -> None:
        import pymysql

        connection._read_timeout = None  # a silence is broken off from outside
        with connection.cursor() as cursor:
            for statement in _SESSION:
                cursor.execute(statement)
            for statement in _SESSION_EITHER:
                with contextlib.suppress(pymysql.err.OperationalError):
                    cursor.execute(statement.format(seconds=seconds, milliseconds=round(seconds * 1_000)))

    def break_off(self, connection: Any) -> None:
        with contextlib.suppress(Exception):
            connection._sock.shutdown(socket.SHUT_RDWR)

    def usable(self, connection: Any) -> bool:
        return bool(connection.open)

    def cursor(self, connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
        from edge_agent.sources.dialects.mysql_results import RecordResult

        return RecordResult(connection, self._executed(connection, sql, values))

    def stream(self, connection: Any, sql: str, values: tuple[Any, ...], layout: Layout) -> Stream:
        from edge_agent.sources.dialects.mysql_results import ColumnResult

        return ColumnResult(connection, self._executed(connection, sql, values), layout)

    def _executed(self, connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
        from pymysql.cursors import SSCursor

        from edge_agent.sources.dialects.mysql_results import forget

        cursor = SSCursor(connection)
        before = connection.use_unicode, connection.decoders
        # A result's columns are described while it is executed: this one's stay bytes.
        connection.use_unicode, connection.decoders = False, {}
        try:
            cursor.execute(sql, values)
        except BaseException:
            forget(cursor)
            raise
        finally:
            connection.use_unicode, connection.decoders = before
        return cursor

    def holding(self, table: TableName) -> str | None:
        if table.database is None or table.schema is not None:
            return None
        return f"SELECT 1 FROM {self.table(table)} LIMIT 0".replace("%%", "%")  # noqa: S608 (quoted)

    def blocks_writers(self, fetch: Fetch, table: TableName | None) -> bool:
        if table is None or table.database is None:
            return False
        found: dict[str, str] = dict(fetch(_ENGINE, (table.database, table.name)))
        return found.get(table.name, "InnoDB") not in _NEVER_BLOCKING

    def arm(self, connection: Any, expired: Callable[[], bool] | None) -> None:
        pass

    def trouble(self, error: BaseException) -> Trouble:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else None
        if number in _CODES or number in _REASONS:
            return Trouble(_REASONS.get(number, ""), code=_CODES.get(number, "GC-2003"))
        if number in _REFUSED:
            return Trouble(_REFUSED[number], everywhere=True, code=REFUSED)
        if number in _EVERYWHERE:
            return Trouble(_EVERYWHERE[number], everywhere=True)
        if number is None or number in _KILLED or number in _CLIENT_ERRORS:
            return Trouble(_LOST, everywhere=True)
        return Trouble(f"the statement was refused, error {number}")

    def catalogue(self, fetch: Fetch, table: TableName | None) -> list[TableFacts]:
        if table is not None and (table.database is None or table.schema is not None):
            return []
        only, values = ("", ()) if table is None else (_ONE, (table.database, table.name))
        rows = fetch(_COLUMNS + only.format("t") + only.format("c") + _COLUMNS_ORDER, values * 2)
        if table is not None:
            # The catalogue compares names without regard to case.
            rows = [row for row in rows if tuple(row[:2]) == values]
        if not rows:
            return []
        keys = _indexes(fetch(_INDEXES + only.format("s") + _INDEXES_ORDER, values))
        return [
            _facts(name, list(lines), keys.get(name, ()))
            for name, lines in groupby(rows, key=lambda row: tuple(row[:2]))
        ]

    def carrier(self, column: Column) -> Carrier:
        if pa.types.is_binary(column.wire):
            return Carrier.BINARY
        return Carrier.MARKED if CHARSET in column.meta else Carrier.SPELT

    def comparable(self, column: Column) -> bool:
        return _COMPARABLE.fullmatch(_word(column.source_type)) is not None

    def selected(self, column: Column) -> str:
        name = self.column(column)
        if pa.types.is_floating(column.wire):
            return f"({name} + 0.0E0)"
        charset = column.meta.get(CHARSET)
        if charset is None:
            return name
        text, back = (
            f"CONVERT({name} USING utf8mb4)",
            f"CONVERT(CONVERT({name} USING utf8mb4) USING {charset})",
        )
        same = f"CAST({back} AS BINARY) = CAST({name} AS BINARY)"
        return (
            f"CASE WHEN {same} THEN CAST({text} AS BINARY)"
            f" WHEN {name} IS NOT NULL THEN CONCAT(x'FF', CAST({name} AS BINARY)) END"
        )

    def quote(self, name: str) -> str:
        return "`" + name.replace("`", "``").replace("%", "%%") + "`"

    def placeholder(self, position: int) -> str:
        return "%s"

    def bound(self, column: Column, value: Any) -> Any:
        """Numbers as numbers: MySQL compares an integer with a text as two doubles."""
        if isinstance(value, Decimal) or not pa.types.is_temporal(column.wire):
            return value
        return spell(pa.timestamp("us") if pa.types.is_timestamp(column.wire) else column.wire, value)

    def table(self, table: TableName) -> str:
        return f"{self.quote(table.database or '')}.{self.quote(table.name)} AS t"

    def limited(self, sql: str, rows: int) -> str:
        return f"{sql} LIMIT {int(rows)}"

    def collated(self, expression: str, collation: str) -> str:
        return f"{expression} COLLATE {collation}"


def _indexes(rows: Sequence[Sequence[Any]]) -> dict[tuple[Any, ...], tuple[UniqueIndex, ...]]:
    found: dict[tuple[Any, ...], list[UniqueIndex]] = {}
    for (database, name, index), lines in groupby(rows, key=lambda row: tuple(row[:3])):
        columns = [line[3] for line in lines]
        if None not in columns:  # an expression has no name
            unique = UniqueIndex(tuple(columns), primary=index == "PRIMARY")
            found.setdefault((database, name), []).append(unique)
    return {name: tuple(indexes) for name, indexes in found.items()}


def _facts(
    name: tuple[Any, ...], lines: Sequence[Sequence[Any]], indexes: tuple[UniqueIndex, ...]
) -> TableFacts:
    estimate = lines[0][2]
    return TableFacts(
        TableName(name[0], None, name[1]),
        tuple(_column(line[3], line[4], line[6]) for line in lines),
        frozenset(line[3] for line in lines if line[5] == "NO"),
        indexes,
        None if estimate is None else int(estimate),
        comments=Comments.of(lines[0][7], {line[3]: line[8] for line in lines}),
    )


def _column(name: str, column_type: str, charset: str | None) -> Column:
    meta = {CHARSET: charset} if charset is not None and charset not in _UNICODE else {}
    return Column(name, wire_type(column_type), column_type, meta)
