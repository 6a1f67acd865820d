"""INSERT … ON CONFLICT, which SQLite and PostgreSQL spell alike and SQLAlchemy offers for each apart."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def upsert(of: sa.Engine | sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An insert into `table` for the database of `of`, with `on_conflict_do_update` and `on_conflict_do_nothing`."""
    return postgresql.insert(table) if of.dialect.name == "postgresql" else sqlite.insert(table)
