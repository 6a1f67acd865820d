"""DM8 without a server and without its driver: addresses, errors, values. Its SQL is in test_golden.py."""

from __future__ import annotations

import importlib.util
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import make_url

from edge_agent.sources.columns import build
from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dm import Dm, connect_arguments, wire_type
from edge_agent.sources.sql import SqlSource
from protocol.errors import Permanent
from protocol.names import TableName
from protocol.schema import Column
from tests.unit.edge_agent.sources import dm_answers


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("dm+other://h", "it must begin with dm://"),
        ("dm://h/HIS", "it must name a host and no database"),
        ("dm://", "it must name a host and no database"),
        ("dm://h?charset=gbk", "of its options only these are known"),
    ],
)
def test_an_address_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, url: str, problem: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    found = Dm().check(make_url(url))
    assert found is not None
    assert problem in found
    assert Dm().check(make_url("dm://u:p@h:5236?ssl_path=/etc/dm")) is None


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Permanent) as caught:
        SqlSource("his", "dm://u:secret@h")
    assert "edge-dm" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_the_driver_connects_with() -> None:
    arguments = connect_arguments(make_url("dm://u:p@h?ssl_path=/etc/dm"))
    assert (arguments["server"], arguments["port"], arguments["ssl_path"]) == ("h", 5236, "/etc/dm")
    assert arguments["autoCommit"] is False


@pytest.mark.parametrize(
    ("number", "everywhere", "code"),
    [
        (-2106, False, "GC-2002"),
        (-2111, False, "GC-2010"),
        (-5504, False, "GC-2003"),
        (-6407, False, "GC-2041"),
        (-2007, False, "GC-2003"),
        (-2501, True, "GC-2040"),
        (-70028, True, "GC-2003"),
        (None, True, "GC-2003"),
    ],
)
def test_errors_are_told_in_fixed_words(number: int | None, everywhere: bool, code: str) -> None:
    detail: Any = "a value" if number is None else SimpleNamespace(code=number, message="a value")
    trouble = Dm().trouble(Exception(detail))
    assert (trouble.everywhere, trouble.expired, trouble.code) == (everywhere, False, code)
    assert "value" not in trouble.reason


def test_comments_are_the_dictionarys() -> None:
    told = Dm().comments(dm_answers.fetch, TableName(None, "HIS", "就诊"))
    assert told == Comments("门诊就诊", {"就诊号": "挂号时给出"})
    assert Dm().comments(dm_answers.fetch, TableName(None, "HIS", "KINDS")) == Comments()


def test_values_are_read_and_bound_exactly() -> None:
    dialect = Dm()
    fee = Column("FEE", wire_type("DECIMAL(10,2)"), "DECIMAL(10,2)")
    assert build(dialect.carrier(fee), fee.wire, ["1.5", ".5", None])[0].to_pylist() == [
        Decimal("1.50"),
        Decimal("0.50"),
        None,
    ]
    assert dialect.bound(fee, Decimal("1.50")) == "1.5"
    day = Column("D", wire_type("DATE"), "DATE")
    assert build(dialect.carrier(day), day.wire, ["2024-02-29 23:59:59"])[1] is None
    assert dialect.bound(day, 0) == "1970-01-01 00:00:00"
    assert dialect.bound(Column("I", pa.int64(), "BIGINT"), 7) == 7
    assert dialect.bound(Column("V", pa.string(), "VARCHAR(9)"), "张") == "张"
    assert dialect.bound(Column("B", pa.binary(), "RAW(9)"), b"\xff") == "FF"
