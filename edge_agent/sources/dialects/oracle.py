"""Oracle 11g and later by oracledb, read by SELECT alone. It has not met a server.

Numbers, dates and intervals come as text that the server spells in formats of ours, binary floats as the
driver's own, RAW and LOBs as bytes and text. NUMBER without digits, FLOAT, moments with more than six digits
or with a zone of their own travel as text; object types as the XML of Oracle's. Text of a database that is
not in Unicode comes as its bytes and is decoded here, by the character set that the database or the address
(`?charset=`) names, so that Chinese in US7ASCII is Chinese. The empty string is null, as Oracle has it.

A transaction is READ ONLY and sees one state; readers neither wait nor make wait. Row values do not compare
and 11g knows no FETCH FIRST, so key ranges are expanded and pages cut by ROWNUM. Views, temporary, nested
and external tables are no tables here. Knows no engine and no retry.
"""

from __future__ import annotations

import codecs
import importlib.util
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from sqlalchemy import URL

from edge_agent.sources.columns import Carrier, Encoded
from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dialect import Dialect, Fetch, TableFacts, Trouble
from edge_agent.sources.dialects.dictionary_comments import read_comments
from edge_agent.sources.dialects.oracle_catalogue import (
    CHARSET,
    PIECE_CHARS,
    PIECES,
    SPOKEN,
    charset_of,
    read_catalogue,
    word,
)
from edge_agent.sources.dialects.oracle_errors import trouble_of
from edge_agent.sources.dialects.plain import PlainEngine, register
from edge_agent.sources.spelt import spell
from protocol.names import TableName
from protocol.schema import Column

PORT = 1521
ARRAY_ROWS = 500

_DAY = "SYYYY-MM-DD HH24:MI:SS"
SESSION = (
    f"ALTER SESSION SET NLS_DATE_FORMAT = '{_DAY}' NLS_TIMESTAMP_FORMAT = '{_DAY}.FF9'"
    f" NLS_TIMESTAMP_TZ_FORMAT = '{_DAY}.FF9 TZH:TZM TZR' NLS_NUMERIC_CHARACTERS = '.,'"
    " NLS_CALENDAR = 'GREGORIAN' NLS_DATE_LANGUAGE = 'AMERICAN' NLS_SORT = 'BINARY' NLS_COMP = 'BINARY'",
    "ALTER SESSION SET TIME_ZONE = '+00:00'",
    "ALTER SESSION DISABLE PARALLEL QUERY",
)
_NUMBER = "TO_CHAR({0}, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')"
_SELECTED = {
    "NUMBER": _NUMBER,
    "FLOAT": _NUMBER,
    "DATE": f"LTRIM(TO_CHAR({{0}}, '{_DAY}'))",
    "TIMESTAMP WITH TIME ZONE": f"LTRIM(TO_CHAR({{0}}, '{_DAY}.FF9 TZH:TZM TZR'))",
    "INTERVAL YEAR TO MONTH": "TO_CHAR({0})",
    "INTERVAL DAY TO SECOND": "TO_CHAR({0})",
    "ROWID": "CAST({0} AS VARCHAR2(4000))",
    "UROWID": "CAST({0} AS VARCHAR2(4000))",
    "XMLTYPE": "XMLSERIALIZE(CONTENT {0} AS CLOB)",
    "JSON": "JSON_SERIALIZE({0} RETURNING CLOB)",
    "BOOLEAN": "CASE WHEN {0} THEN 't' WHEN NOT {0} THEN 'f' END",
}
_OBJECT = "CASE WHEN {0} IS NOT NULL THEN XMLSERIALIZE(CONTENT XMLTYPE({0}) AS CLOB) END"
_MOMENTS = frozenset({"TIMESTAMP", "TIMESTAMP WITH LOCAL TIME ZONE"})
_PARAMETERS = {
    "DATE": f"TO_DATE({{0}}, '{_DAY}')",
    "TIMESTAMP": f"TO_TIMESTAMP({{0}}, '{_DAY}.FF9')",
    "TIMESTAMP WITH LOCAL TIME ZONE": (
        f"CAST(TO_TIMESTAMP({{0}}, '{_DAY}.FF9') AS TIMESTAMP(9) WITH LOCAL TIME ZONE)"
    ),
    "NUMBER": "TO_NUMBER({0})",
    "FLOAT": "TO_NUMBER({0})",
    "RAW": "HEXTORAW({0})",
    "NCHAR": "UTL_I18N.RAW_TO_NCHAR(HEXTORAW({0}), 'AL16UTF16')",
    "NVARCHAR2": "UTL_I18N.RAW_TO_NCHAR(HEXTORAW({0}), 'AL16UTF16')",
}
_COMPARABLE = frozenset({*_PARAMETERS, "CHAR", "VARCHAR2"})
"""Of equal values the spellings are equal. A moment with a zone of its own has many."""

_OPTIONS = frozenset({"charset", "client_dir", "protocol", "sid", "wallet_location"})
_DRIVERS = ("oracle", "oracle+oracledb")


class Engine(PlainEngine):
    driver = "oracledb"

    @classmethod
    def import_dbapi(cls) -> Any:
        import oracledb

        return oracledb


class Oracle(Dialect):
    """Oracle by oracledb: thin from 12.1 on; 11g needs Oracle's client library (`client_dir`)."""

    name = "oracle"
    engine = register("oracle", __name__)
    row_values = False
    exact_collation = "BINARY"
    begin = "SET TRANSACTION READ ONLY"
    version_sql = None
    token_sql = None

    def __init__(self, charset: str | None = None) -> None:
        self._charset = charset
        """Of text, whatever the database says; the address names it."""

    def check(self, url: URL) -> str | None:
        if url.drivername not in _DRIVERS:
            return "it must begin with oracle://"
        if importlib.util.find_spec("oracledb") is None:
            return "the driver is not installed (the extra edge-oracle)"
        if set(url.query) - _OPTIONS or not all(isinstance(v, str) for v in url.query.values()):
            return f"of its options only these are known: {', '.join(sorted(_OPTIONS))}"
        if not url.host or bool(url.database) == ("sid" in url.query):
            return "it must name a host and a service, as in oracle://account@host:1521/service, or ?sid="
        if url.query.get("protocol", "tcp") not in ("tcp", "tcps"):
            return "its protocol must be tcp or tcps"
        return charset_problem(url)

    def identity(self, url: URL) -> str | None:
        return None

    def connect(self, url: URL) -> Any:
        import oracledb

        options = {name: str(value) for name, value in url.query.items()}
        declared = options.pop("charset", None)
        if client_dir := options.pop("client_dir", None):
            oracledb.init_oracle_client(lib_dir=client_dir)
        connection = oracledb.connect(**connect_arguments(url, options))
        self._charset = declared
        return connection

    def prepare(self, connection: Any, seconds: float) -> None:
        # The driver itself breaks off a call, and then a connection, that stays silent for so long.
        connection.call_timeout = round(seconds * 1_000)
        with connection.cursor() as cursor:
            for statement in SESSION:
                cursor.execute(statement)

    def usable(self, connection: Any) -> bool:
        return bool(connection.is_healthy())

    def cursor(self, connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
        cursor = connection.cursor()
        cursor.arraysize = ARRAY_ROWS
        cursor.prefetchrows = ARRAY_ROWS
        cursor.outputtypehandler = output_handler()
        cursor.execute(sql, values)
        return cursor

    def blocks_writers(self, fetch: Fetch, table: TableName | None) -> bool:
        return False

    def arm(self, connection: Any, expired: Callable[[], bool] | None) -> None:
        pass

    def trouble(self, error: BaseException) -> Trouble:
        return trouble_of(error)

    def catalogue(self, fetch: Fetch, table: TableName | None) -> list[TableFacts]:
        return read_catalogue(fetch, table, self._charset)

    def comments(self, fetch: Fetch, table: TableName) -> Comments:
        return read_comments(fetch, table, (":1", ":2"), charset_of(fetch, self._charset))

    def carrier(self, column: Column) -> Carrier | Encoded:
        kind = word(column)
        if pa.types.is_floating(column.wire):
            return Carrier.FLOAT
        if pa.types.is_binary(column.wire):
            return Carrier.BINARY
        if CHARSET in column.meta:
            return Encoded(column.meta[CHARSET])
        if kind in ("CLOB", "NCLOB", "NCHAR", "NVARCHAR2", "XMLTYPE", "JSON") or kind not in SPOKEN:
            return Carrier.TEXT
        return Carrier.SPELT

    def comparable(self, column: Column) -> bool:
        return word(column) in _COMPARABLE

    def selected(self, column: Column) -> str:
        name, kind = self.column(column), word(column)
        text = self._read(column, name, kind)
        # A page is a query around this one, where each column needs a name.
        return name if text == name else f"{text} AS {self.quote(column.name)}"

    def _read(self, column: Column, name: str, kind: str) -> str:
        if kind in _MOMENTS:
            digits = 6 if pa.types.is_timestamp(column.wire) else 9
            return f"LTRIM(TO_CHAR({name}, '{_DAY}.FF{digits}'))"
        if self._in_bytes(column):
            return _in_bytes(name, int(column.meta.get(PIECES, "1")))
        if kind not in SPOKEN:
            return _OBJECT.format(name)
        return _SELECTED.get(kind, "{0}").format(name)

    def quote(self, name: str) -> str:
        return f'"{name}"'  # no name of Oracle's holds a quotation mark

    def placeholder(self, position: int) -> str:
        return f":{position + 1}"

    def parameter(self, column: Column, position: int) -> str:
        place, kind = self.placeholder(position), word(column)
        if self._in_bytes(column):
            return f"UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW({place}))"
        return _PARAMETERS.get(kind, "{0}").format(place)

    def _in_bytes(self, column: Column) -> bool:
        if word(column) not in ("CHAR", "VARCHAR2"):
            return False
        return CHARSET in column.meta or pa.types.is_binary(column.wire)

    def bound(self, column: Column, value: Any) -> str:
        """Text, of which `parameter` makes the column's own type."""
        kind = word(column)
        if isinstance(value, bytes):
            return value.hex().upper()
        if kind in ("NCHAR", "NVARCHAR2"):
            return str(value).encode("utf-16-be").hex().upper()
        if CHARSET in column.meta:
            return str(value).encode(column.meta[CHARSET]).hex().upper()
        if pa.types.is_timestamp(column.wire):
            return spell(pa.timestamp("us"), value)
        return spell(column.wire, value)

    def table(self, table: TableName) -> str:
        return f"{self.quote(table.schema or '')}.{self.quote(table.name)} t"

    def limited(self, sql: str, rows: int) -> str:
        return f"SELECT * FROM ({sql}) WHERE ROWNUM <= {int(rows)}"  # noqa: S608 (quoted names, bound values)

    def collated(self, expression: str, collation: str) -> str:
        return f"NLSSORT({expression}, 'NLS_SORT={collation}')"


def _in_bytes(name: str, pieces: int) -> str:
    if pieces == 1:
        return f"UTL_RAW.CAST_TO_RAW({name})"
    parts = [
        f"RAWTOHEX(UTL_RAW.CAST_TO_RAW(SUBSTR({name}, {i * PIECE_CHARS + 1}, {PIECE_CHARS})))"
        for i in range(pieces)
    ]
    return f"CASE WHEN {name} IS NOT NULL THEN TO_CLOB({parts[0]}) || {' || '.join(parts[1:])} END"


def charset_problem(url: URL) -> str | None:
    """What is wrong with the `charset` of an address."""
    charset = str(url.query.get("charset", "utf-8"))
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", charset):
        return "its charset is not a known character encoding"
    try:
        b"".decode(codecs.lookup(charset).name)
    except LookupError:
        return "its charset is not a known character encoding, as gb18030 is"
    return None


def connect_arguments(url: URL, options: dict[str, str]) -> dict[str, Any]:
    """What oracledb connects with; `options` are those that it knows too."""
    return {
        "user": url.username,
        "password": url.password,
        "host": url.host,
        "port": url.port or PORT,
        "service_name": url.database or None,
        "tcp_connect_timeout": 10,
        "expire_time": 2,
        **options,
    }


def output_handler() -> Callable[[Any, Any], Any]:
    """The driver's own variables, but text as its bytes and LOBs whole."""
    import oracledb

    texts = {oracledb.DB_TYPE_VARCHAR, oracledb.DB_TYPE_CHAR, oracledb.DB_TYPE_LONG}
    nationals = {oracledb.DB_TYPE_NVARCHAR, oracledb.DB_TYPE_NCHAR}
    wholes = {
        oracledb.DB_TYPE_CLOB: oracledb.DB_TYPE_LONG,
        oracledb.DB_TYPE_NCLOB: oracledb.DB_TYPE_LONG_NVARCHAR,
        oracledb.DB_TYPE_BLOB: oracledb.DB_TYPE_LONG_RAW,
    }

    def handle(cursor: Any, metadata: Any) -> Any:
        code, rows = metadata.type_code, cursor.arraysize
        size = metadata.internal_size or 0
        if code in texts:
            return cursor.var(code, size, rows, bypass_decode=True)
        if code in nationals:
            return cursor.var(code, size, rows, encoding_errors="surrogatepass")
        if code is oracledb.DB_TYPE_BLOB:
            return cursor.var(wholes[code], 0, rows)
        if code in wholes:
            return cursor.var(wholes[code], 0, rows, encoding_errors="surrogatepass")
        return None

    return handle
