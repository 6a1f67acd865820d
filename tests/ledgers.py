"""Where a ledger can stand in tests: a new SQLite file, or a new database of the session's PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from central_ingest.ledger.address import Address, PostgresAddress
from tests.databases import PASSWORD, PostgresServer, postgres

_numbers = itertools.count(1)
KINDS = ("sqlite", "postgresql")


@contextmanager
def new_place(kind: str, folder: Path) -> Iterator[Address]:
    """For one ledger."""
    if kind == "sqlite":
        yield folder / "ledger.sqlite"
        return
    server = postgres()
    name = f"ledger {next(_numbers)}"
    server.run(
        f"CREATE DATABASE {server.quoted(name)} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'zh'"
    )
    try:
        yield address(server, name)
    finally:
        server.run(server.drop_database(name))


def address(
    server: PostgresServer, database: str, account: str | None = None, more: str = ""
) -> PostgresAddress:
    """`more`: options of the URL, as `?name=value`."""
    return PostgresAddress(server.url(database, account, password="").replace(":@", "@") + more, PASSWORD)
