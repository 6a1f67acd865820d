"""Alembic's room: it runs the migrations that a ledger lacks, in its caller's transaction, so all of them or none.

A ledger that was made before there were migrations has no number: the first one makes what it lacks of that
time's tables.
"""

from __future__ import annotations

import threading

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from .migrations import PLACE

_one_at_a_time = threading.Lock()
"""What Alembic is working on is a global of its own."""


def configuration(c: sa.Connection | None = None) -> Config:
    config = Config(attributes={"connection": c})
    config.set_main_option("script_location", str(PLACE).replace("%", "%%"))
    return config


def migrate(c: sa.Connection) -> None:
    """Bring the tables to the newest version."""
    with _one_at_a_time:
        command.upgrade(configuration(c), "head")
