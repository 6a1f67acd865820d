"""PostgreSQL 11 and later, read by SELECT alone: any account with SELECT will do, on a standby too.

Every value comes as the server's own text, the same that its log would carry, so nothing is cast and nothing
rounded; types without a wire type (numeric without digits, uuid, json, interval, ranges, arrays …) travel as
that text. A transaction is REPEATABLE READ and READ ONLY and locks the table in ACCESS SHARE before it sees
anything, for an ALTER between the two would otherwise make it read an emptied table. Row-level security fails
(`row_security = off`) instead of hiding rows. What is a table
and what its key is `postgres_catalogue` says. Knows no engine and no retry.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from sqlalchemy import URL

from edge_agent.sources.columns import Carrier, Layout
from edge_agent.sources.copying import CopyStream, cut
from edge_agent.sources.dialects.dialect import (
    CONNECT_SECONDS_MAX,
    REFUSED,
    Dialect,
    Fetch,
    TableFacts,
    Trouble,
)
from edge_agent.sources.dialects.postgres_catalogue import BASE, KIND, tables
from edge_agent.sources.spelt import spell
from edge_agent.sources.streams import Stream
from protocol.names import TableName
from protocol.schema import Column

VERSION_MIN = 110_000
"""Older servers have neither `relispartition` nor `indnkeyatts`."""

SESSION = """
SET default_transaction_read_only = on;
SET row_security = off;
SET lock_timeout = '2s';
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET bytea_output = 'hex';
SET extra_float_digits = 3;
SET lc_monetary = 'C';
SET search_path = '';
SET quote_all_identifiers = off;
"""
"""Of whoever reads values, by SELECT, COPY or the log: they are then spelt alike, whatever was set for the account or
the database. All settings that change how a value is spelt are here, the last two where it names a table or a type."""

_ONE_CORE = """
SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings
WHERE name IN ('jit', 'max_parallel_workers_per_gather')
"""
"""A statement of ours takes one core of the hospital's, and no second of it to compile a question to the catalogue,
of which the planner expects a million rows. By a query, for a compatible server may lack one of them."""

STORED: dict[str, str | None] = {"SQL_ASCII": None, "EUC_CN": "gb2312"}
"""Encodings of a database in which bytes may stand that are no text: they come as they are stored, for the server
refuses to convert them, and with them every other row. Python's name of it, which reads it as the server does; None:
UTF-8, where it is text at all."""

_CITEXT = re.compile(r"(.+)\.citext")
"""The extension's type, whose operators stand beside it: by their bare names it would compare as text, yet sort as
citext."""

_COMPARABLE = frozenset(
    [
        "smallint",
        "integer",
        "bigint",
        "oid",
        "boolean",
        "bytea",
        "date",
        "numeric",
        "text",
        "name",
        "uuid",
        "inet",
        "cidr",
        "macaddr",
        "macaddr8",
        "citext",
    ]
) | {
    "character varying",
    '"char"',
    "time without time zone",
    "timestamp without time zone",
    "timestamp with time zone",
}
"""Equal values are spelt alike or, being equal, never stand under one key together."""

_OPTIONS = frozenset(
    [
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslcrl",
        "connect_timeout",
        "target_session_attrs",
        "application_name",
    ]
)
_DRIVERS = ("postgresql", "postgresql+psycopg2")

_CODES = {
    "42P01": "GC-2002",
    "3F000": "GC-2002",
    "42703": "GC-2010",
    "55P03": "GC-2041",
    "57014": "GC-2042",
}
_REASONS = {
    "42501": "no permission, or row-level security would hide rows",
    "22P05": "a character has no equivalent in UTF-8",
}
_REFUSED, _NO_DATABASE = "28000", "3D000"
_AT_LOGIN = {"InvalidAuthorizationSpecification": _REFUSED, "InvalidCatalogName": _NO_DATABASE}
"""By the class of an error that has no code of its own: `connect` raises these."""
_EVERYWHERE = {
    "08": "the connection broke",
    "25P03": "the connection broke",
    "25P04": "the connection broke",
    "3D": "there is no such database",
    "40": "the server is busy with its own work",
    "53": "the server is short of resources",
    "57": "the server is shutting down",
    "58": "the server has an input or output error",
}
"""By SQLSTATE or its class (PostgreSQL's manual, appendix A)."""


def refusal(words: str, account: str) -> str | None:
    """The SQLSTATE of a login that the server refused: the driver brings none, and the words are in the server's
    language. But whatever speaks of an account names it in quotes, or speaks of the server's own list."""
    if 'database "' in words and "does not exist" in words:
        return _NO_DATABASE
    said = ("pg_hba.conf", "no password supplied", "requires a password", "permission denied for database")
    named = account != "" and f'"{account}"' in words
    return _REFUSED if named or any(one in words for one in said) else None


def connected(url: URL, factory: Any = None) -> Any:
    """A connection of the driver's, or of the `factory`'s class. A refused login has its SQLSTATE."""
    import psycopg2
    from psycopg2 import errors

    named = {
        "connect_timeout": str(CONNECT_SECONDS_MAX),
        "application_name": "guicang edge-agent",
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        **url.query,
        **url.translate_connect_args(username="user", database="dbname"),
    }
    try:
        connection = psycopg2.connect(connection_factory=factory, **named)
    except psycopg2.OperationalError as error:
        if (state := refusal(str(error), url.username or "")) is not None:
            raise errors.lookup(state) from None
        raise
    return connection


class Postgres(Dialect):
    """PostgreSQL by psycopg2. Tables come by COPY; the cursors of small queries live in the server."""

    name = "postgresql"
    engine = "postgresql+psycopg2://"
    engine_options = {"use_native_hstore": False}  # noqa: RUF012 (never changed)
    row_values = True
    exact_collation = "C"
    begin = "SET LOCAL row_security = off"
    version_sql = None
    token_sql = None

    def __init__(self) -> None:
        self._types: list[int] = []
        self._seconds = 0.0
        self._encoding = "UTF8"

    def check(self, url: URL) -> str | None:
        if url.drivername not in _DRIVERS:
            return "it must begin with postgresql://"
        if importlib.util.find_spec("psycopg2") is None:
            return "the driver is not installed (the extra edge-postgres)"
        if not url.database:
            return "it must name a database, as in postgresql://account@host/database"
        return self.check_options(url)

    def check_options(self, url: URL) -> str | None:
        if set(url.query) - _OPTIONS or not all(isinstance(v, str) for v in url.query.values()):
            return f"of its options only these are known: {', '.join(sorted(_OPTIONS))}"
        return None

    def identity(self, url: URL) -> str | None:
        return None

    def connect(self, url: URL) -> Any:
        return connected(url)

    def prepare(self, connection: Any, seconds: float) -> None:
        self._seconds = seconds
        connection.autocommit = True
        # By SET alone psycopg2 would go on in the server's default, GBK perhaps, with parameters and with names.
        connection.set_client_encoding("UTF8")
        self._encoding = connection.get_parameter_status("server_encoding")
        with connection.cursor() as cursor:
            self.refuse_older(cursor)
            cursor.execute(f"{SESSION}SET statement_timeout = {round(seconds * 1_000)}")
            cursor.execute(_ONE_CORE)
            cursor.execute("SELECT oid FROM pg_catalog.pg_type")
            self._types = [oid for (oid,) in cursor.fetchall()]
        # psycopg2 itself opens such a transaction before the first statement.
        connection.set_session("REPEATABLE READ", readonly=True, autocommit=False)

    def refuse_older(self, cursor: Any) -> None:
        """Raise NotSupportedError for a server that is too old."""
        import psycopg2

        if cursor.connection.server_version < VERSION_MIN:
            raise psycopg2.NotSupportedError

    def break_off(self, connection: Any) -> None:
        cut(connection)

    def usable(self, connection: Any) -> bool:
        return bool(connection.closed == 0)

    def cursor(self, connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
        from psycopg2.extensions import BYTES, register_type

        cursor = connection.cursor("guicang")
        register_type(BYTES, cursor)
        # A type made after we connected comes as str, which is the same text.
        cursor.string_types.update(dict.fromkeys(self._types, BYTES))
        # Without values psycopg2 leaves the doubled per cent signs of `quote` as they are.
        cursor.execute(sql, values) if values else cursor.execute(sql.replace("%%", "%"))
        return cursor

    def stream(self, connection: Any, sql: str, values: tuple[Any, ...], layout: Layout) -> Stream:
        with connection.cursor() as cursor:
            query: bytes = cursor.mogrify(sql, values) if values else sql.replace("%%", "%").encode()
        charset, raw = STORED.get(self._encoding), self._encoding in STORED
        return CopyStream(connection, query, layout, self._seconds, charset, raw=raw)

    def holding(self, table: TableName) -> str | None:
        if table.database is None or table.schema is None:
            return None
        return f"LOCK TABLE {self._qualified(table)} IN ACCESS SHARE MODE".replace("%%", "%")

    def blocks_writers(self, fetch: Fetch, table: TableName | None) -> bool:
        return False

    def arm(self, connection: Any, expired: Callable[[], bool] | None) -> None:
        pass

    def trouble(self, error: BaseException) -> Trouble:
        kind = type(error).__name__
        state = getattr(error, "pgcode", None) or _AT_LOGIN.get(kind)
        if state is None:
            if kind == "NotSupportedError":
                return Trouble("the server is older than PostgreSQL 11", everywhere=True)
            lost = kind in ("OperationalError", "InterfaceError", "DatabaseError")
            return Trouble("unreachable, or the connection broke", everywhere=lost)
        if state in _CODES or state in _REASONS:
            return Trouble(_REASONS.get(state, ""), code=_CODES.get(state, "GC-2003"))
        if state.startswith("28"):
            return Trouble("login refused", everywhere=True, code=REFUSED)
        everywhere = _EVERYWHERE.get(state, _EVERYWHERE.get(state[:2]))
        if everywhere is not None:
            return Trouble(everywhere, everywhere=True)
        return Trouble(f"the statement was refused, SQLSTATE {state}")

    def catalogue(self, fetch: Fetch, table: TableName | None) -> list[TableFacts]:
        return tables(fetch, table)

    def carrier(self, column: Column) -> Carrier:
        recoded = STORED.get(self._encoding) is not None and pa.types.is_string(column.wire)
        return Carrier.MARKED if recoded else Carrier.SPELT

    def comparable(self, column: Column) -> bool:
        spelt = column.meta.get(BASE, column.source_type)
        # char(n) is padded to n, so equal values are spelt alike; without n they are not padded.
        if column.meta.get(KIND) == "enum" or spelt.startswith("character(") or _CITEXT.fullmatch(spelt):
            return True
        return re.sub(r"\([^)]*\)", "", spelt) in _COMPARABLE

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""').replace("%", "%%") + '"'

    def operator(self, column: Column, sign: str) -> str:
        citext = _CITEXT.fullmatch(column.meta.get(BASE, column.source_type))
        if citext is None or column.meta.get(KIND) == "enum":
            return sign
        return f"OPERATOR({citext[1].replace('%', '%%')}.{sign})"

    def placeholder(self, position: int) -> str:
        return "%s"

    def bound(self, column: Column, value: Any) -> str:
        """Text: a literal without a type takes the column's own, and with it the column's index."""
        return spell(column.wire, value)

    def table(self, table: TableName) -> str:
        return f"{self._qualified(table)} AS t"

    def _qualified(self, table: TableName) -> str:
        return f"{self.quote(table.schema or '')}.{self.quote(table.name)}"

    def limited(self, sql: str, rows: int) -> str:
        return f"{sql} LIMIT {int(rows)}"

    def collated(self, expression: str, collation: str) -> str:
        return f"{expression} COLLATE {self.quote(collation)}"
