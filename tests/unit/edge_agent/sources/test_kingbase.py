"""KingbaseES without a server: what differs from PostgreSQL's dialect."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import make_url

from edge_agent.sources.dialects.kingbase import Kingbase
from edge_agent.sources.sql import SqlSource
from protocol.errors import Permanent, Transient

CATALOGUE: list[tuple[Any, ...]] = [
    ("his", "public", "visit", 9, False, "day", "date", None, "b", True, None, None),
    ("his", "public", "visit", 9, False, "state", "tinyint", None, "b", True, None, None),
    ("his", "public", "visit", 9, False, "name", "character varying(10 char)", None, "b", True, None, None),
    ("his", "public", "visit", 9, False, "fee", "number", None, "b", True, None, None),
    ("his", "sysaudit", "log", 9, False, "id", "integer", None, "b", True, None, None),
]


@pytest.mark.parametrize(("mode", "day"), [("oracle", pa.timestamp("us")), ("pg", pa.date32())])
def test_a_date_of_its_oracle_mode_has_a_time(mode: str, day: pa.DataType) -> None:
    class Cursor:
        def execute(self, sql: str) -> None:
            pass

        def fetchone(self) -> tuple[str]:
            return (mode,)

    dialect = Kingbase()
    dialect.refuse_older(Cursor())
    (visit,) = dialect.catalogue(lambda sql, _: [] if "pg_index" in sql else CATALOGUE, None)
    assert [c.wire for c in visit.columns] == [day, pa.int16(), pa.string(), pa.string()]
    assert [dialect.comparable(c) for c in visit.columns] == [True, True, True, False]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("kingbase+psycopg2://h/d", "it must begin with kingbase://"),
        ("kingbase://h", "it must name a database"),
        ("kingbase://h/d?options=-c", "of its options only these are known"),
    ],
)
def test_an_address_that_cannot_be_used(url: str, problem: str) -> None:
    with pytest.raises(Permanent) as caught:
        SqlSource("his", url)
    assert caught.value.code == "GC-1003"
    assert problem in str(caught.value)


def test_nobody_at_home_is_a_transient() -> None:
    assert Kingbase().check(make_url("kingbase://u@h:54321/d?sslmode=require")) is None
    source = SqlSource("his", "kingbase://u:secret@127.0.0.1:9/his")
    with pytest.raises(Transient) as caught:
        source.inventory()
    source.close()
    assert caught.value.code == "GC-2001"
    assert "secret" not in str(caught.value)
