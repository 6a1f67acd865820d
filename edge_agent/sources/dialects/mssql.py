"""SQL Server 2012 and later by pymssql, read by SELECT alone. It has not met a server.

pymssql needs no driver of the system's, which front-end machines rarely have. All text comes as its bytes,
by the code page of its collation (or `?charset=`, where a hospital's Latin columns hold GBK), decoded here;
numbers, dates and money as text that the server spells, integers and floats as the driver's own. Moments
with seven digits or an offset, time, sql_variant and the like travel as text; rowversion as its eight bytes,
which order as it does.

Where the database allows snapshots a transaction is one, and nobody waits. Where it has row versions only,
a statement sees one state. Else reads lock as SERIALIZABLE does, for nothing less shows one state without
dirty reads, and are held to the operator's limit; we are then the victim of any deadlock.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
from sqlalchemy import URL

from edge_agent.sources.columns import Carrier, Encoded
from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dialect import Dialect, Fetch, TableFacts, Trouble
from edge_agent.sources.dialects.mssql_catalogue import (
    CHARSET,
    COLLATED,
    read_catalogue,
    read_comments,
    word,
)
from edge_agent.sources.dialects.mssql_errors import QUERY_TIMEOUT, number_of, trouble_of
from edge_agent.sources.dialects.oracle import charset_problem
from edge_agent.sources.dialects.plain import PlainEngine, register
from edge_agent.sources.spelt import spell
from protocol.names import TableName
from protocol.schema import Column

PORT = 1433
PARAMETERS_MAX = 2_000
"""SQL Server's own limit is 2,100."""

SESSION = """
SET NOCOUNT ON;
SET TEXTSIZE 2147483647;
SET ROWCOUNT 0;
SET QUOTED_IDENTIFIER ON;
SET ANSI_NULLS ON;
SET ANSI_PADDING ON;
SET ANSI_WARNINGS ON;
SET ARITHABORT ON;
SET CONCAT_NULL_YIELDS_NULL ON;
SET NUMERIC_ROUNDABORT OFF;
SET IMPLICIT_TRANSACTIONS OFF;
SET XACT_ABORT ON;
SET DATEFORMAT ymd;
SET LOCK_TIMEOUT 2000;
SET DEADLOCK_PRIORITY LOW
"""
_VERSIONS = """
SELECT d.snapshot_isolation_state, CAST(d.is_read_committed_snapshot_on AS int)
FROM sys.databases d WHERE d.database_id = DB_ID()
"""
_BYTES = "CONVERT(varbinary(max), {0})"
_SELECTED = {
    "bit": "CASE {0} WHEN 1 THEN 't' WHEN 0 THEN 'f' END",
    "decimal": "CONVERT(varchar(41), {0})",
    "numeric": "CONVERT(varchar(41), {0})",
    "money": "CONVERT(varchar(40), {0}, 2)",
    "smallmoney": "CONVERT(varchar(40), {0}, 2)",
    "date": "CONVERT(char(10), {0}, 23)",
    "time": "CONVERT(varchar(16), {0}, 121)",
    "datetime": "CONVERT(char(23), {0}, 121)",
    "smalldatetime": "CONVERT(char(19), {0}, 120)",
    "datetime2": "CONVERT(varchar(27), {0}, 121)",
    "datetimeoffset": "CONVERT(varchar(34), {0}, 121)",
    "uniqueidentifier": "CONVERT(char(36), {0})",
    "char": "CONVERT(varbinary({1}), {0})",
    "varchar": "CONVERT(varbinary({1}), {0})",
    "nchar": "CONVERT(varbinary({1}), {0})",
    "nvarchar": "CONVERT(varbinary({1}), {0})",
    "text": "CONVERT(varbinary(max), CONVERT(varchar(max), {0}))",
    "ntext": "CONVERT(varbinary(max), CONVERT(nvarchar(max), {0}))",
    "xml": "CONVERT(varbinary(max), CONVERT(nvarchar(max), {0}))",
    "json": "CONVERT(varbinary(max), CONVERT(nvarchar(max), {0}))",
    "hierarchyid": "CONVERT(varbinary(max), {0}.ToString())",
    "sql_variant": (
        "CONVERT(varbinary(max), CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY({0}, 'BaseType'))"
        " + N':' + CONVERT(nvarchar(max), CONVERT(varbinary(8000), {0}), 1))"
    ),
    "image": _BYTES,
    "geography": _BYTES,
    "geometry": _BYTES,
    "timestamp": "CONVERT(binary(8), {0})",
}
_PARAMETERS = {
    "bit": "CONVERT(bit, {0})",
    "tinyint": "CONVERT(tinyint, {0})",
    "smallint": "CONVERT(smallint, {0})",
    "int": "CONVERT(int, {0})",
    "bigint": "CONVERT(bigint, {0})",
    "money": "CONVERT(money, {0})",
    "smallmoney": "CONVERT(smallmoney, {0})",
    "date": "CONVERT(date, {0}, 23)",
    "datetime": "CONVERT(datetime, {0}, 121)",
    "smalldatetime": "CONVERT(smalldatetime, {0}, 120)",
    "time": "CONVERT({1}, {0}, 121)",
    "datetime2": "CONVERT({1}, {0}, 121)",
    "uniqueidentifier": "CONVERT(uniqueidentifier, {0})",
    "decimal": "CONVERT({1}, {0})",
    "numeric": "CONVERT({1}, {0})",
    "binary": "CONVERT(varbinary(8000), {0})",
    "varbinary": "CONVERT(varbinary(8000), {0})",
    "timestamp": "CONVERT(binary(8), {0})",
    "nchar": "{0}",
    "nvarchar": "{0}",
}
_TEXTS = frozenset({"char", "varchar"})

_OPTIONS = frozenset({"charset", "encryption"})
_DRIVERS = ("mssql", "mssql+pymssql")


class Engine(PlainEngine):
    driver = "pymssql"

    @classmethod
    def import_dbapi(cls) -> Any:
        import pymssql

        return pymssql

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        cursor.execute(spoken(statement, tuple(parameters or ())))

    def do_rollback(self, dbapi_connection: Any) -> None:
        # In autocommit pymssql rolls nothing back; an error may have ended the transaction already.
        cursor = dbapi_connection.cursor()
        cursor.execute("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
        cursor.close()


class Mssql(Dialect):
    """SQL Server by pymssql."""

    name = "mssql"
    engine = register("mssql", __name__)
    row_values = False
    exact_collation = "Latin1_General_BIN2"
    begin = "BEGIN TRANSACTION"
    version_sql = None
    token_sql = None

    def __init__(self, charset: str | None = None) -> None:
        self._charset = charset
        """Of char and varchar, whatever their collation says; the address names it."""
        self._locks = True
        self._seconds = 1
        self._armed = False

    def check(self, url: URL) -> str | None:
        if url.drivername not in _DRIVERS:
            return "it must begin with mssql://"
        if importlib.util.find_spec("pymssql") is None:
            return "the driver is not installed (the extra edge-mssql)"
        if not url.host or not url.database:
            return "it must name a host and a database, as in mssql://account@host:1433/database"
        if set(url.query) - _OPTIONS or not all(isinstance(v, str) for v in url.query.values()):
            return f"of its options only these are known: {', '.join(sorted(_OPTIONS))}"
        if url.query.get("encryption", "request") not in ("off", "request", "require"):
            return "its encryption must be off, request or require"
        return charset_problem(url)

    def identity(self, url: URL) -> str | None:
        return None

    def connect(self, url: URL) -> Any:
        import pymssql

        declared = url.query.get("charset")
        connection = pymssql.connect(**connect_arguments(url))
        self._charset = None if declared is None else str(declared)
        return connection

    def prepare(self, connection: Any, seconds: float) -> None:
        # Whole seconds, and for all connections of the process: the driver knows no other way.
        self._seconds = max(1, round(seconds))
        connection._conn.query_timeout = self._seconds
        with connection.cursor() as cursor:
            cursor.execute(SESSION)
            cursor.execute(_VERSIONS)
            snapshots, versions = cursor.fetchall()[0]
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation(snapshots == 1, versions == 1)}")
        self._locks = not (snapshots == 1 or versions == 1)

    def usable(self, connection: Any) -> bool:
        try:
            return bool(connection._conn.connected)
        except Exception:
            return False  # it was closed

    def cursor(self, connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
        cursor = connection.cursor()
        cursor.execute(spoken(sql, values))
        return cursor

    def blocks_writers(self, fetch: Fetch, table: TableName | None) -> bool:
        return self._locks and table is not None

    def arm(self, connection: Any, expired: Callable[[], bool] | None) -> None:
        """A statement that gives no rows is broken off after a second; between rows the limit is looked at."""
        self._armed = expired is not None
        connection._conn.query_timeout = 1 if self._armed else self._seconds

    def trouble(self, error: BaseException) -> Trouble:
        if self._armed and number_of(error) == QUERY_TIMEOUT:
            return Trouble("interrupted", expired=True)
        return trouble_of(error)

    def catalogue(self, fetch: Fetch, table: TableName | None) -> list[TableFacts]:
        return read_catalogue(fetch, table, self._charset)

    def comments(self, fetch: Fetch, table: TableName) -> Comments:
        return read_comments(fetch, table, self._charset)

    def carrier(self, column: Column) -> Carrier | Encoded:
        if CHARSET in column.meta:
            return Encoded(column.meta[CHARSET])
        if pa.types.is_integer(column.wire):
            return Carrier.INTEGER
        if pa.types.is_floating(column.wire):
            return Carrier.FLOAT
        return Carrier.BINARY if pa.types.is_binary(column.wire) else Carrier.SPELT

    def comparable(self, column: Column) -> bool:
        kind = word(column)
        if column.source_type.endswith("(max)"):
            return False  # a value may be longer than a parameter, which would be cut
        if kind in _TEXTS:
            # Of text under a foreign label only the label's own code page leads back to the bytes.
            ours = self._charset is None or column.meta[COLLATED].startswith("1252 ")
            return CHARSET in column.meta and ours
        return kind in _PARAMETERS

    def selected(self, column: Column) -> str:
        size = "max" if column.source_type.endswith("(max)") else "8000"
        return _SELECTED.get(word(column), "{0}").format(self.column(column), size)

    def quote(self, name: str) -> str:
        return "[" + name.replace("]", "]]") + "]"

    def placeholder(self, position: int) -> str:
        return f"@p{position + 1}"

    def parameter(self, column: Column, position: int) -> str:
        place, kind = self.placeholder(position), word(column)
        if kind in _TEXTS:
            # As nvarchar it would be compared by other rules than the index has.
            collation = column.meta[COLLATED].split(" ")[1]
            return f"CONVERT(varchar(8000), {place} COLLATE {collation})"
        return _PARAMETERS.get(kind, "{0}").format(place, column.source_type)

    def bound(self, column: Column, value: Any) -> Any:
        kind = word(column)
        if kind == "datetime":
            return spell(column.wire, value)[:23]  # it has three digits, and takes no more
        if kind in _TEXTS and self._charset is not None:
            return as_labelled(str(value).encode(self._charset))
        if isinstance(value, bytes) or (isinstance(value, int) and pa.types.is_integer(column.wire)):
            return value
        if isinstance(value, bool):
            return int(value)
        return spell(column.wire, value)

    def table(self, table: TableName) -> str:
        parts = (table.database or "", table.schema or "", table.name)
        return f"{'.'.join(map(self.quote, parts))} AS t"

    def limited(self, sql: str, rows: int) -> str:
        return f"SELECT TOP ({int(rows)}){sql.removeprefix('SELECT')}"

    def collated(self, expression: str, collation: str) -> str:
        return f"{expression} COLLATE {collation}"


def isolation(snapshots: bool, versions: bool) -> str:
    """The mildest level at which a statement sees one state."""
    return "SNAPSHOT" if snapshots else "READ COMMITTED" if versions else "SERIALIZABLE"


def as_labelled(original: bytes) -> str:
    """Bytes as code page 1252 reads them, its five unassigned codes included."""
    return "".join(
        chr(code) if code in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes([code]).decode("cp1252")
        for code in original
    )


def connect_arguments(url: URL) -> dict[str, Any]:
    """What pymssql connects with."""
    arguments: dict[str, Any] = {
        "server": url.host,
        "port": str(url.port or PORT),
        "user": url.username,
        "password": url.password,
        "database": url.database,
        "login_timeout": 10,
        "charset": "UTF-8",
        "appname": "guicang edge-agent",
        "autocommit": True,
        "tds_version": "7.3",
    }
    if "encryption" in url.query:
        arguments["encryption"] = url.query["encryption"]
    return arguments


def spoken(sql: str, values: tuple[Any, ...]) -> str:
    """The batch that runs `sql` with typed parameters: pymssql would put them into the text, and would take
    part of a name for a place."""
    if not values:
        return sql
    typed = [(f"@p{i + 1} {_declared(v)}", f"@p{i + 1} = {_literal(v)}") for i, v in enumerate(values)]
    if len(values) > PARAMETERS_MAX:
        declared = ", ".join(
            f"{declaration} = {_literal(v)}" for (declaration, _), v in zip(typed, values, strict=True)
        )
        return f"DECLARE {declared}; {sql}"
    return (
        f"EXEC sp_executesql {_literal(sql)}, {_literal(', '.join(d for d, _ in typed))}, "
        f"{', '.join(given for _, given in typed)}"
    )


def _declared(value: Any) -> str:
    if isinstance(value, bytes):
        return "varbinary(8000)"
    return "bigint" if isinstance(value, int) else "nvarchar(4000)"


def _literal(value: Any) -> str:
    if isinstance(value, bytes):
        return f"0x{value.hex().upper()}"
    if isinstance(value, int | Decimal):
        return str(value)
    return "N'" + str(value).replace("'", "''") + "'"
