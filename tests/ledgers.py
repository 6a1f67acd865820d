"""Where a ledger can stand in tests: a new SQLite file, or a new database of the session's PostgreSQL."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from central_ingest.ledger import tables
from central_ingest.ledger.address import Address, PostgresAddress
from central_ingest.ledger.ledger import Ledger
from tests.databases import PASSWORD, PostgresServer, postgres

KINDS = ("sqlite", "postgresql")


@contextmanager
def new_place(kind: str, folder: Path) -> Iterator[Address]:
    """For one ledger."""
    if kind == "sqlite":
        yield folder / "ledger.sqlite"
        return
    server, name = postgres(), _database()
    others = f"FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    empty = (
        f"SELECT pg_terminate_backend(pid) {others}",
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
        "GRANT USAGE ON SCHEMA public TO PUBLIC",
    )
    server.run(*empty, database=name)
    yield address(server, name)


@functools.cache
def _database() -> str:
    """One for all, emptied for each: to make one takes long. It sorts text as Chinese is sorted, not by code points."""
    name = "a ledger"
    server = postgres()
    server.run(
        f"CREATE DATABASE {server.quoted(name)} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'zh'"
    )
    return name


def address(
    server: PostgresServer, database: str, account: str | None = None, more: str = ""
) -> PostgresAddress:
    """`more`: options of the URL, as `?name=value`."""
    return PostgresAddress(server.url(database, account, password="").replace(":@", "@") + more, PASSWORD)


def copy_catalogue(place: PostgresAddress, to: Path) -> None:
    """What `tests.compare` reads of a ledger, as it finds it in a SQLite one; it knows nothing of ours."""
    ledger = Ledger.open(place)
    tables.metadata.create_all(engine := sa.create_engine(f"sqlite:///{to}"))
    with ledger._engine.connect() as there, engine.begin() as here:
        for table in (tables.lake_table, tables.schema):
            rows = [dict(row._mapping) for row in there.execute(sa.select(table))]
            here.execute(sa.insert(table), rows)
    engine.dispose()
    ledger.close()
