"""Where the ledger is: in a SQLite file, or in a PostgreSQL database. Its password is never printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """`url` as libpq and SQLAlchemy write it, without a password: postgresql://user@host:port/database?sslmode=…"""

    url: str
    password: str = field(default="", repr=False)


Address = Path | PostgresAddress
