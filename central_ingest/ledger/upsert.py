"""INSERT … ON CONFLICT, which SQLite and PostgreSQL spell alike and SQLAlchemy offers for each apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


def upsert(of: sa.Engine | sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An insert into `table` for the database of `of`, with `on_conflict_do_update` and `on_conflict_do_nothing`."""
    if of.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # takes a while, and few have it

    return postgresql.insert(table)
