"""A ledger in memory: the real one, over SQLite without a file."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from central_ingest.ledger import tables
from central_ingest.ledger.ledger import Ledger


def memory_ledger() -> Ledger:
    engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    tables.metadata.create_all(engine)
    return Ledger(engine)
