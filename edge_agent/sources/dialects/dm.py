"""DM8 (达梦) by dmPython, read by SELECT alone. It has not met a server.

Decimals, dates and intervals come as text that the server spells, integers, binary floats, text and LOBs as
the driver's own. A DATE may hold a time (by the server's mode) and is read as a moment. Decimals without
digits, moments beyond microseconds or with a zone, TIME and intervals travel as text. The server converts its
text to UTF-8 itself. Types of a class (XMLTYPE, geometries) are not read: such a table is refused.

A transaction is SERIALIZABLE, which in DM sees one state by row versions, so that readers neither wait nor
make wait; the connection is opened for reading only. Views and temporary tables are no tables here.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
from sqlalchemy import URL

from edge_agent.sources.columns import Carrier
from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dialect import REFUSED, Dialect, Fetch, TableFacts, Trouble, UniqueIndex
from edge_agent.sources.dialects.dictionary_comments import read_comments
from edge_agent.sources.dialects.plain import PlainEngine, register
from edge_agent.sources.spelt import spell
from protocol.names import TableName
from protocol.schema import DECIMAL_DIGITS_MAX, Column

PORT = 5236
ANSWER_SECONDS_MAX = 600
"""The driver takes its time limit when it connects."""

SESSION = ("SET TIME ZONE '+00:00'",)
_OWNERS = "'SYS', 'SYSAUDITOR', 'SYSSSO', 'SYSJOB', 'CTISYS'"
_COLUMNS = f"""
SELECT c.owner, c.table_name, t.num_rows, c.column_name, c.data_type, c.data_length, c.data_precision,
    c.data_scale, c.nullable
FROM all_tables t
JOIN all_tab_columns c ON c.owner = t.owner AND c.table_name = t.table_name
WHERE t.temporary = 'N' AND t.owner NOT IN ({_OWNERS})
"""  # noqa: S608 (our own text)
_COLUMNS_ORDER = " ORDER BY c.owner, c.table_name, c.column_id"
_KEYS = f"""
SELECT k.owner, k.table_name, k.constraint_name, k.constraint_type, c.column_name
FROM all_constraints k
JOIN all_cons_columns c ON c.owner = k.owner AND c.constraint_name = k.constraint_name
    AND c.table_name = k.table_name
WHERE k.constraint_type IN ('P', 'U') AND k.status = 'ENABLED' AND k.owner NOT IN ({_OWNERS})
"""  # noqa: S608 (our own text)
_KEYS_ORDER = " ORDER BY k.owner, k.table_name, k.constraint_type, k.constraint_name, c.position"
_ONE = " AND {0}.owner = ? AND {0}.table_name = ?"

_LOCAL_ZONE = 4_096
"""DM adds it to the scale of a moment WITH LOCAL TIME ZONE."""

_WIRES = {
    "BIT": pa.bool_(),
    "TINYINT": pa.int8(),
    "BYTE": pa.int8(),
    "SMALLINT": pa.int16(),
    "INT": pa.int32(),
    "INTEGER": pa.int32(),
    "PLS_INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "REAL": pa.float32(),
    "FLOAT": pa.float64(),
    "DOUBLE": pa.float64(),
    "DOUBLE PRECISION": pa.float64(),
    "DATE": pa.timestamp("us"),
} | dict.fromkeys(("BINARY", "VARBINARY", "RAW", "BLOB", "IMAGE", "LONGVARBINARY"), pa.binary())
_DECIMALS = frozenset({"NUMBER", "NUMERIC", "DECIMAL", "DEC"})
_MOMENTS = frozenset({"TIMESTAMP", "DATETIME"})
_TEXTS = frozenset({"CHAR", "CHARACTER", "VARCHAR", "VARCHAR2", "NCHAR", "NVARCHAR", "NVARCHAR2"})
_LONG_TEXTS = frozenset({"TEXT", "CLOB", "NCLOB", "LONG", "LONGVARCHAR"})
_CAST = frozenset({"TIME", "ROWID"})
"""Besides all with a zone, and intervals."""

_BYTES = frozenset({"BINARY", "VARBINARY", "RAW"})
_COMPARABLE = (_DECIMALS | _MOMENTS | _TEXTS | _BYTES | _WIRES.keys()) - {
    *("REAL", "FLOAT", "DOUBLE", "DOUBLE PRECISION", "BIT", "BLOB", "IMAGE", "LONGVARBINARY")
}

_OPTIONS = frozenset({"ssl_path"})

_CODES = {-2106: "GC-2002", -2103: "GC-2002", -2111: "GC-2010", -6403: "GC-2041", -6407: "GC-2041"}
_REASONS = {-5504: "no permission"}
_REFUSED = {-2501: "login refused", -2508: "the account is locked"}
_EVERYWHERE = {
    -503: "the server is short of resources",
    -523: "the server is short of resources",
    -6007: "unreachable, or the connection broke",
    -70025: "unreachable, or the connection broke",
    -70028: "unreachable, or the connection broke",
}
"""By DM's error numbers."""


def spelt_type(kind: str, length: Any, precision: Any, scale: Any) -> str:
    """A type as it is declared."""
    digits = int(scale or 0)
    if kind in _DECIMALS:
        return f"{kind}({int(precision)},{digits})" if precision else kind
    if kind in _TEXTS or kind in _BYTES:
        return f"{kind}({length})"
    if kind in _MOMENTS and digits >= _LOCAL_ZONE:
        return f"{kind}({digits - _LOCAL_ZONE}) WITH LOCAL TIME ZONE"
    return f"{kind}({digits})" if kind in _MOMENTS or kind == "TIME" else kind


def wire_type(spelt: str) -> pa.DataType:
    """The wire type of a type as `spelt_type` spells it; text for whatever has none."""
    if digits := re.fullmatch(r"\w+\((\d+),(\d+)\)", spelt):
        precision, scale = int(digits[1]), int(digits[2])
        fits = precision <= DECIMAL_DIGITS_MAX and scale <= precision
        return pa.decimal128(precision, scale) if fits else pa.string()
    if moment := re.fullmatch(r"(?:TIMESTAMP|DATETIME)\((\d)\)", spelt):
        return pa.timestamp("us") if int(moment[1]) <= 6 else pa.string()
    return _WIRES.get(spelt.split("(", maxsplit=1)[0], pa.string())


def word(column: Column) -> str:
    """The type without its sizes."""
    return re.sub(r"\([^)]*\)", "", column.source_type)


def _is_cast(kind: str) -> bool:
    return kind in _CAST or kind.startswith("INTERVAL") or kind.endswith("TIME ZONE")


def _is_read(kind: str) -> bool:
    return _is_cast(kind) or kind in _WIRES or kind in _DECIMALS | _MOMENTS | _TEXTS | _LONG_TEXTS


class Engine(PlainEngine):
    driver = "dmPython"

    @classmethod
    def import_dbapi(cls) -> Any:
        import dmPython

        return dmPython


class _Cursor:
    """The driver's, but large values whole."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def fetchmany(self, count: int) -> list[tuple[Any, ...]]:
        return [tuple(map(_whole, row)) for row in self._cursor.fetchmany(count)]

    def close(self) -> None:
        self._cursor.close()


def _whole(value: Any) -> Any:
    return value.read() if hasattr(value, "read") else value


class Dm(Dialect):
    """DM8 by dmPython."""

    name = "dm"
    engine = register("dm", __name__)
    row_values = False
    exact_collation = ""
    begin = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"
    version_sql = None
    token_sql = None

    def check(self, url: URL) -> str | None:
        if url.drivername not in ("dm", "dm+dmPython"):
            return "it must begin with dm://"
        if importlib.util.find_spec("dmPython") is None:
            return "the driver is not installed (the extra edge-dm)"
        if not url.host or url.database:
            return "it must name a host and no database, as in dm://account@host:5236"
        if set(url.query) - _OPTIONS or not all(isinstance(v, str) for v in url.query.values()):
            return f"of its options only these are known: {', '.join(sorted(_OPTIONS))}"
        return None

    def identity(self, url: URL) -> str | None:
        return None

    def connect(self, url: URL) -> Any:
        import dmPython

        return dmPython.connect(
            **connect_arguments(url),
            local_code=dmPython.PG_UTF8,
            lang_id=dmPython.LANGUAGE_EN,
            access_mode=dmPython.DSQL_MODE_READ_ONLY,
            txn_isolation=dmPython.ISO_LEVEL_SERIALIZABLE,
        )

    def prepare(self, connection: Any, seconds: float) -> None:
        cursor = connection.cursor()
        for statement in SESSION:
            cursor.execute(statement)
        cursor.close()

    def usable(self, connection: Any) -> bool:
        try:
            return bool(not connection.connection_dead)
        except Exception:
            return False  # it was closed

    def cursor(self, connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
        cursor = connection.cursor()
        cursor.execute(sql, values) if values else cursor.execute(sql)
        return _Cursor(cursor)

    def blocks_writers(self, fetch: Fetch, table: TableName | None) -> bool:
        return False

    def arm(self, connection: Any, expired: Callable[[], bool] | None) -> None:
        pass

    def trouble(self, error: BaseException) -> Trouble:
        code: Any = getattr(error.args[0] if error.args else None, "code", None)
        if code in _CODES or code in _REASONS:
            return Trouble(_REASONS.get(code, ""), code=_CODES.get(code, "GC-2003"))
        if code in _REFUSED:
            return Trouble(_REFUSED[code], everywhere=True, code=REFUSED)
        if not isinstance(code, int) or code in _EVERYWHERE:
            return Trouble(_EVERYWHERE.get(code, "unreachable, or the connection broke"), everywhere=True)
        return Trouble(f"the statement was refused, error {code}")

    def catalogue(self, fetch: Fetch, table: TableName | None) -> list[TableFacts]:
        if table is not None and (table.database is not None or table.schema is None):
            return []
        only, values = ("", ()) if table is None else (_ONE, (table.schema, table.name))
        rows = fetch(f"{_COLUMNS}{only.format('c')}{_COLUMNS_ORDER}", values)
        if table is not None:
            # A server may compare names without regard to case.
            rows = [row for row in rows if tuple(row[:2]) == values]
        if not rows:
            return []
        keys = _keys(fetch(f"{_KEYS}{only.format('k')}{_KEYS_ORDER}", values))
        return [
            _facts(name, list(lines), keys.get(name, ()))
            for name, lines in groupby(rows, key=lambda row: tuple(row[:2]))
        ]

    def comments(self, fetch: Fetch, table: TableName) -> Comments:
        return read_comments(fetch, table, ("?", "?"), None)

    def carrier(self, column: Column) -> Carrier:
        if pa.types.is_integer(column.wire):
            return Carrier.INTEGER
        if pa.types.is_floating(column.wire):
            return Carrier.FLOAT
        if pa.types.is_binary(column.wire):
            return Carrier.BINARY
        return Carrier.TEXT if word(column) in _TEXTS | _LONG_TEXTS else Carrier.SPELT

    def comparable(self, column: Column) -> bool:
        return word(column) in _COMPARABLE

    def selected(self, column: Column) -> str:
        name, kind = self.column(column), word(column)
        if kind == "BIT":
            return f"CASE {name} WHEN 1 THEN 't' WHEN 0 THEN 'f' END"
        if kind == "DATE":
            return f"TO_CHAR({name}, 'YYYY-MM-DD HH24:MI:SS')"
        if kind in _MOMENTS:
            digits = 6 if pa.types.is_timestamp(column.wire) else 9
            return f"TO_CHAR({name}, 'YYYY-MM-DD HH24:MI:SS.FF{digits}')"
        return f"CAST({name} AS VARCHAR(128))" if kind in _DECIMALS or _is_cast(kind) else name

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def placeholder(self, position: int) -> str:
        return "?"

    def parameter(self, column: Column, position: int) -> str:
        kind = word(column)
        if kind in _BYTES:
            return "HEXTORAW(?)"
        if kind in _DECIMALS or kind in _MOMENTS or kind == "DATE":
            return f"CAST(? AS {column.source_type})"
        return "?"

    def bound(self, column: Column, value: Any) -> Any:
        """Integers and text as they are; else text, of which `parameter` makes the column's own type."""
        if isinstance(value, bytes):
            return value.hex().upper()
        return value if isinstance(value, int | str) and self._is_plain(column) else spell(column.wire, value)

    def _is_plain(self, column: Column) -> bool:
        return bool(pa.types.is_integer(column.wire) or pa.types.is_string(column.wire))

    def table(self, table: TableName) -> str:
        return f"{self.quote(table.schema or '')}.{self.quote(table.name)} t"

    def limited(self, sql: str, rows: int) -> str:
        return f"{sql} LIMIT {int(rows)}"

    def collated(self, expression: str, collation: str) -> str:
        return expression


def connect_arguments(url: URL) -> dict[str, Any]:
    """What dmPython connects with, besides its own constants."""
    arguments: dict[str, Any] = {
        "user": url.username or "",
        "password": url.password or "",
        "server": url.host,
        "port": url.port or PORT,
        "autoCommit": False,
        "login_timeout": 10,
        "connection_timeout": ANSWER_SECONDS_MAX,
        "app_name": "guicang edge-agent",
    }
    return {**arguments, **url.query}


def _keys(rows: Sequence[Sequence[Any]]) -> dict[tuple[Any, ...], tuple[UniqueIndex, ...]]:
    found: dict[tuple[Any, ...], tuple[UniqueIndex, ...]] = {}
    for (owner, table, _, kind), lines in groupby(rows, key=lambda row: tuple(row[:4])):
        index = UniqueIndex(tuple(line[4] for line in lines), primary=kind == "P")
        found[owner, table] = (*found.get((owner, table), ()), index)
    return found


def _facts(
    name: tuple[Any, ...], lines: Sequence[Sequence[Any]], indexes: tuple[UniqueIndex, ...]
) -> TableFacts:
    spelt = [(line[3], spelt_type(*line[4:8])) for line in lines]
    columns = tuple(Column(column, wire_type(kind), kind) for column, kind in spelt)
    mute = [c.source_type for c in columns if not _is_read(word(c))]
    estimate = lines[0][2]
    return TableFacts(
        TableName(None, *name),
        columns,
        frozenset(line[3] for line in lines if line[8] == "N"),
        indexes,
        None if estimate is None else int(estimate),
        refused=f"a column is of type {mute[0]}" if mute else None,
    )
