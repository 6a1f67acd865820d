"""Opening the ledger's database: SQLite in a file, or PostgreSQL. What differs between them stands here.

Both commit durably, wait a bounded time, and turn what fails into faults that name no password (see `faults`).
At opening the tables are brought to this program's version, by one process at a time; a ledger of a newer program
is refused. Alembic is imported only where there is something to migrate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from protocol.errors import Permanent

from . import tables
from .address import Address, PostgresAddress
from .faults import FOR_A_PERSON, LedgerDown, judged
from .migrations import NEWEST

LOCK_SECONDS = 30
STATEMENT_SECONDS = 60
CONNECT_SECONDS = 10
UNHEARD_MS = 30_000
"""A PostgreSQL that acknowledges nothing for so long is gone."""
MIGRATION_LOCK = 0x67635F6C65646765
"""PostgreSQL's advisory lock of whoever changes the tables ("gc_ledge")."""

_version = sa.Table(
    "alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True)
)
"""As Alembic makes it."""


def open_engine(where: Address, *, as_it_is: bool = False) -> sa.Engine:
    """`as_it_is`: nothing is made or migrated; Permanent GC-6106 where the tables are an older program's, GC-6101 where
    there are none. Raises LedgerDown GC-6090; Permanent GC-6091 (no access), 6092 (newer), 6093 (no driver), 6094
    (damaged)."""
    if as_it_is and isinstance(where, Path) and not where.exists():
        raise Permanent("GC-6101")
    engine = _sqlite(where) if isinstance(where, Path) else _postgres(where)
    try:
        if engine.dialect.name == "postgresql":
            _check_encoding(engine)
        _require_up_to_date(engine) if as_it_is else bring_up_to_date(engine)
    except BaseException as error:
        engine.dispose()
        if isinstance(error, LedgerDown) and error.code in FOR_A_PERSON:
            raise Permanent(error.code, **error.facts) from error
        raise
    return engine


def empty_engine() -> sa.Engine:
    """Of a ledger in memory, which knows nothing."""
    engine = sa.create_engine(
        "sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False}
    )
    tables.metadata.create_all(engine)
    return engine


def _sqlite(path: Path) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        hide_parameters=True,
        connect_args={"timeout": LOCK_SECONDS},
    )
    sa.event.listen(engine, "connect", _pragmas)
    _translate(engine, "")
    return engine


def _pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={LOCK_SECONDS * 1_000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _postgres(where: PostgresAddress) -> sa.Engine:
    url = _url(where)
    settings = {
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS}s",
        "synchronous_commit": "on",
    }
    connecting: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "guicang-centre",
        "tcp_user_timeout": UNHEARD_MS,
        "client_encoding": "utf8",
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
    }
    asked = {name: value for name, value in connecting.items() if name not in url.query}
    try:
        engine = sa.create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=asked)
    except ModuleNotFoundError as missing:
        raise Permanent("GC-6093", package=str(missing.name)) from None
    _translate(engine, str(url.password or ""))
    return engine


def _url(where: PostgresAddress) -> sa.URL:
    try:
        url = sa.make_url(where.url).set(drivername="postgresql+psycopg2")
    except (sa.exc.ArgumentError, ValueError):
        raise Permanent("GC-6091", reason="its URL cannot be read") from None
    if url.password:  # one with an @ in it would be taken for the name of a host, and printed
        raise Permanent(
            "GC-6091", reason="its URL holds a password, which belongs into `ledger.password_file`"
        )
    return url.set(password=where.password) if where.password else url


def _check_encoding(engine: sa.Engine) -> None:
    with engine.connect() as c:
        encoding = str(c.exec_driver_sql("SHOW server_encoding").scalar_one())
    if encoding != "UTF8":
        raise Permanent("GC-6091", reason=f"the database's encoding is {encoding}, not UTF8")


def _translate(engine: sa.Engine, secret: str) -> None:
    def told(context: sa.engine.ExceptionContext) -> None:
        if context.is_pre_ping:  # the pool connects anew
            return
        fault = judged(
            context.original_exception,
            is_connecting=context.connection is None,
            is_disconnect=context.is_disconnect,
            secret=secret,
        )
        if fault is not None:
            raise fault

    sa.event.listen(engine, "handle_error", told)


def bring_up_to_date(engine: sa.Engine) -> None:
    """Give the database this program's tables. Raises Permanent GC-6092 where they are a newer one's."""
    with engine.connect() as c:
        if _is_up_to_date(c):
            return
    with engine.begin() as c:
        _lock(c)
        if _is_up_to_date(c):  # by another process, meanwhile
            return
        if not set(sa.inspect(c).get_table_names()) & set(tables.metadata.tables):
            tables.metadata.create_all(c)
            _version.create(c)
            c.execute(sa.insert(_version).values(version_num=NEWEST))
            return
        from .migrating import migrate

        migrate(c)


def _require_up_to_date(engine: sa.Engine) -> None:
    with engine.connect() as c:
        if not _is_up_to_date(c):
            raise Permanent("GC-6106" if sa.inspect(c).has_table("stream") else "GC-6101")


def _is_up_to_date(c: sa.Connection) -> bool:
    if not sa.inspect(c).has_table(_version.name):
        return False
    found = c.execute(sa.select(_version.c.version_num)).scalar_one_or_none()
    if found is not None and (not found.isdecimal() or int(found) > int(NEWEST)):
        raise Permanent("GC-6092", found=found, known=NEWEST)
    return found == NEWEST


def _lock(c: sa.Connection) -> None:
    """Until the end of this transaction nobody else changes the tables."""
    if c.dialect.name != "postgresql":
        c.exec_driver_sql("BEGIN IMMEDIATE")
        return
    for timeout in ("lock_timeout", "statement_timeout"):  # another process may be rewriting a large table
        c.exec_driver_sql(f"SET LOCAL {timeout} = 0")
    c.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
