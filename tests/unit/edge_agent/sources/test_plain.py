"""An engine that asks nothing of its own accord, over a driver that tells what it is asked."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.pool import StaticPool

from edge_agent.sources.dialects.plain import PlainEngine, register


class Engine(PlainEngine):
    driver = "sqlite3"

    @classmethod
    def import_dbapi(cls) -> Any:
        return sqlite3


@pytest.mark.parametrize("paramstyle", ["qmark", "named", "pyformat", "numeric"])
def test_only_what_was_asked_reaches_the_driver(paramstyle: str) -> None:
    asked: list[str] = []

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.set_trace_callback(asked.append)
        return connection

    engine = sqlalchemy.create_engine(
        register("told", __name__), creator=connect, poolclass=StaticPool, paramstyle=paramstyle
    )
    with engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT ?1, ?2", ("a", 5)).fetchone()
        bare = connection.exec_driver_sql("SELECT '%% :p ?'", ()).fetchone()
    engine.dispose()
    assert row is not None
    assert tuple(row) == ("a", 5)
    assert bare is not None
    assert tuple(bare) == ("%% :p ?",)
    assert len(asked) == 2
