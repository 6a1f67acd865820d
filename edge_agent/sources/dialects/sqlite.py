"""SQLite: dynamic types, so a declared type is a wish; what each value really is decides (promise 7).

Affinities follow https://sqlite.org/datatype3.html §3.1. Read-only by `mode=ro` and `query_only`, never
`immutable`, which would skip the locks and read a database under change. Text is delivered as a bytearray
and blobs as bytes: the driver then neither decodes nor confuses them. Views, virtual tables (and the shadow
tables behind them) and sqlite_… tables are no tables here. It knows nothing of engines and retries.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
from sqlalchemy import URL

from edge_agent.sources.columns import Carrier
from edge_agent.sources.dialects.dialect import Dialect, Fetch, TableFacts, Trouble, UniqueIndex
from protocol.names import TableName
from protocol.schema import DECIMAL_DIGITS_MAX, Column

BUSY_SECONDS = 0.2
"""How long a read waits for a writer; the scan is simply tried again later."""

VERSION_MIN = (3, 37, 0)
"""Older libraries have no `PRAGMA table_list`: they would show no tables, which looks like a mass drop."""

_PROGRESS_OPS = 20_000
"""Virtual machine steps between two looks at the clock, about a millisecond."""

_HEADER_BYTES = 20
_READ_VERSION_WAL = 2

_DECIMAL = re.compile(r"\s*(?:DECIMAL|NUMERIC|DEC|NUMBER)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*", re.I)
_BOOLEAN = re.compile(r"\s*BOOL(?:EAN)?\s*", re.I)
_BUILT_IN_COLLATIONS = frozenset({"BINARY", "NOCASE", "RTRIM"})

_TABLES = """
SELECT l.name, l.wr, m.sql LIKE '%collate%' FROM pragma_table_list l
JOIN main.sqlite_master m ON m.type = 'table' AND m.name = l.name
WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE 'sqlite!_%' ESCAPE '!'
"""
_COLUMNS = "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?, 'main') ORDER BY cid"
_INDEXES = """
SELECT l.name, l.origin, l.partial, x.cid, x.name, x.coll
FROM pragma_index_list(?, 'main') l JOIN pragma_index_xinfo(l.name, 'main') x
WHERE l."unique" AND x.key ORDER BY l.seq, x.seqno
"""

_EVERYWHERE = {
    "SQLITE_BUSY": "database is locked",
    "SQLITE_LOCKED": "database is locked",
    "SQLITE_PROTOCOL": "database is locked",
    "SQLITE_CANTOPEN": "cannot be opened",
    "SQLITE_PERM": "no permission",
    "SQLITE_AUTH": "no permission",
    "SQLITE_IOERR": "read error",
    "SQLITE_NOMEM": "out of memory",
    "SQLITE_NOTADB": "not a database",
    "SQLITE_READONLY": "waits for its own application to recover it",
}


def wire_type(declared: str) -> pa.DataType:
    """The wire type of a declared type."""
    match _carrier(declared):
        case Carrier.INTEGER:
            return pa.int64()
        case Carrier.FLOAT:
            return pa.float64()
        case Carrier.BINARY:
            return pa.binary()
        case Carrier.DECIMAL:
            precision, scale = _digits(declared) or (0, 0)
            return pa.decimal128(precision, scale)
    return pa.string()


def _carrier(declared: str) -> Carrier:
    upper = declared.upper()
    if not upper.strip():
        return Carrier.TEXT
    if "INT" in upper:
        return Carrier.INTEGER
    if any(word in upper for word in ("CHAR", "CLOB", "TEXT")):
        return Carrier.TEXT
    if "BLOB" in upper:
        return Carrier.BINARY
    if any(word in upper for word in ("REAL", "FLOA", "DOUB")):
        return Carrier.FLOAT
    if _BOOLEAN.fullmatch(declared):
        return Carrier.INTEGER
    if _DECIMAL.fullmatch(declared):
        return Carrier.DECIMAL if _digits(declared) else Carrier.NUMBER_TEXT
    return Carrier.TEXT


def _digits(declared: str) -> tuple[int, int] | None:
    """(precision, scale) that decimal128 holds."""
    found = _DECIMAL.fullmatch(declared)
    if found is None or found[1] is None:
        return None
    precision, scale = int(found[1]), int(found[2] or 0)
    return (precision, scale) if 1 <= precision <= DECIMAL_DIGITS_MAX and scale <= precision else None


def creates_foreign_files(header: bytes, owner: int, user: int | None, beside: tuple[bool, bool]) -> bool:
    """Whether opening would leave -wal and -shm files of ours, which the owner's program then cannot write.

    In WAL mode any reader creates the files that are missing `beside` the database. SQLite gives them to
    the database's owner only where we run as root; `user` is None on Windows, where folders hand rights down.
    """
    wal = len(header) == _HEADER_BYTES and header[19] == _READ_VERSION_WAL
    return wal and not all(beside) and user is not None and user not in (0, owner)


class Sqlite(Dialect):
    """SQLite 3 files, in rollback-journal or WAL mode."""

    name = "sqlite"
    engine = "sqlite://"
    row_values = True
    exact_collation = "BINARY"
    begin = "BEGIN"
    version_sql = "PRAGMA main.schema_version"
    token_sql = "PRAGMA main.data_version"  # noqa: S105 (no password)

    def check(self, url: URL) -> str | None:
        if sqlite3.sqlite_version_info < VERSION_MIN:
            return "this Python has an SQLite library older than 3.37"
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            return "it must name a file, as in sqlite:////folder/file.db"
        if url.query or url.host or url.username:
            return "it must hold nothing but the path of the file"
        return None

    def identity(self, url: URL) -> str | None:
        found = os.stat(url.database or "")
        return f"{found.st_dev}:{found.st_ino}"

    def connect(self, url: URL) -> sqlite3.Connection:
        path = Path(url.database or "").absolute()
        self._refuse_foreign_files(path)
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = bytearray
        connection.execute("PRAGMA query_only = 1").close()
        return connection

    def _refuse_foreign_files(self, path: Path) -> None:
        # Safe only because we hold no connection now: closing any descriptor of a database drops the
        # POSIX locks that this process has on it.
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError
            header = file.read(_HEADER_BYTES)
        user = os.geteuid() if hasattr(os, "geteuid") else None
        beside = (path.with_name(f"{path.name}-wal").exists(), path.with_name(f"{path.name}-shm").exists())
        if creates_foreign_files(header, status.st_uid, user, beside):
            error = sqlite3.OperationalError()
            error.sqlite_errorname = "SQLITE_READONLY"
            raise error

    def blocks_writers(self, fetch: Fetch, table: TableName | None) -> bool:
        return str(fetch("PRAGMA main.journal_mode", ())[0][0]) != "wal"

    def arm(self, connection: sqlite3.Connection, expired: Callable[[], bool] | None) -> None:
        connection.set_progress_handler(expired, _PROGRESS_OPS)

    def break_off(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            connection.interrupt()

    def trouble(self, error: BaseException) -> Trouble:
        if isinstance(error, OSError):
            return Trouble("cannot be opened", everywhere=True)
        name = "_".join(str(getattr(error, "sqlite_errorname", "")).split("_")[:2])
        if name == "SQLITE_INTERRUPT":
            return Trouble("interrupted", expired=True)
        if name in _EVERYWHERE:
            return Trouble(_EVERYWHERE[name], everywhere=True)
        return Trouble("damaged database" if name == "SQLITE_CORRUPT" else "the statement was refused")

    def catalogue(self, fetch: Fetch, table: TableName | None) -> list[TableFacts]:
        if table is not None and (table.database, table.schema) != (None, None):
            return []
        only, name = ("", ()) if table is None else (" AND l.name = ?", (table.name,))
        statistics = self._statistics(fetch)
        return [
            self._facts(fetch, str(name), bool(without_rowid), bool(collates), statistics)
            for name, without_rowid, collates in fetch(f"{_TABLES}{only} ORDER BY l.name", name)
        ]

    def _statistics(self, fetch: Fetch) -> dict[str, int]:
        """Rows by table as the last ANALYZE counted them."""
        if not fetch("SELECT 1 FROM main.sqlite_master WHERE name = 'sqlite_stat1'", ()):
            return {}
        rows = fetch("SELECT tbl, stat FROM main.sqlite_stat1", ())
        firsts = ((str(tbl), str(text).split(" ")[0]) for tbl, text in rows)
        return {tbl: int(first) for tbl, first in firsts if first.isdecimal()}

    def _facts(
        self, fetch: Fetch, name: str, without_rowid: bool, collates: bool, statistics: dict[str, int]
    ) -> TableFacts:
        raw = fetch(_COLUMNS, (name,))
        columns = tuple(Column(c, wire_type(t), t) for c, t, _, _, hidden in raw if hidden != 1)
        keys = [c for c, _, _, pk, _ in sorted((r for r in raw if r[3]), key=lambda r: int(r[3]))]
        never_null = {c for c, _, notnull, pk, _ in raw if notnull or (pk and without_rowid)}
        indexes = self._indexes(fetch, name, columns, collates)
        if len(keys) == 1 and not without_rowid and not any(i.primary for i in indexes):
            # Only the rowid's own alias is a primary key without an index. (INTEGER PRIMARY KEY DESC is
            # none, has an index, and holds nulls.)
            indexes.insert(0, UniqueIndex((keys[0],), primary=True))
            never_null.add(keys[0])
        estimate = statistics.get(name)
        if estimate is None and not without_rowid:
            estimate = self._rowid_span(fetch, name, {c.name.lower() for c in columns})
        return TableFacts(
            TableName(None, None, name),
            columns,
            frozenset(never_null),
            tuple(indexes),
            estimate,
            collates,
        )

    def _indexes(
        self, fetch: Fetch, table: str, columns: tuple[Column, ...], collates: bool
    ) -> list[UniqueIndex]:
        found: dict[str, tuple[bool, list[tuple[str, str]]]] = {}
        unusable = set()
        for index, origin, partial, cid, column, collation in fetch(_INDEXES, (table,)):
            if partial or cid < 0:
                unusable.add(index)
                continue
            found.setdefault(index, (origin == "pk", []))[1].append((column, collation.upper()))
        texts = {c.name for c in columns if pa.types.is_string(c.wire)}
        return [
            UniqueIndex(
                tuple(c for c, _ in parts),
                # Spelt out only where the table speaks of collations at all: without, all is BINARY.
                {c: _built_in(collation) for c, collation in parts if collates and c in texts},
                primary,
            )
            for index, (primary, parts) in found.items()
            if index not in unusable
        ]

    def _rowid_span(self, fetch: Fetch, table: str, columns: set[str]) -> int | None:
        free = [alias for alias in ("rowid", "_rowid_", "oid") if alias not in columns]
        if not free:
            return None
        # Each end of the tree is one look at it; asked for both at once, SQLite reads the whole tree.
        first, last = (
            f"(SELECT {end}({free[0]}) FROM main.{self.quote(table)})"  # noqa: S608 (quoted)
            for end in ("min", "max")
        )
        rows = fetch(f"SELECT {last} - {first} + 1", ())
        return int(rows[0][0] or 0)

    def carrier(self, column: Column) -> Carrier:
        return _carrier(column.source_type)

    def comparable(self, column: Column) -> bool:
        return self.carrier(column) in (Carrier.INTEGER, Carrier.TEXT, Carrier.BINARY)

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def placeholder(self, position: int) -> str:
        return "?"

    def table(self, table: TableName) -> str:
        return f"main.{self.quote(table.name)} AS t"

    def limited(self, sql: str, rows: int) -> str:
        return f"{sql} LIMIT {int(rows)}"

    def collated(self, expression: str, collation: str) -> str:
        return f"{expression} COLLATE {self.quote(collation)}"


def _built_in(collation: str) -> str:
    """A collation that we have: an application's own is unknown here, and equal bytes are equal in any."""
    return collation if collation in _BUILT_IN_COLLATIONS else "BINARY"
