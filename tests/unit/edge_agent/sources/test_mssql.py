"""SQL Server without a server: addresses, errors, batches. Its SQL is in test_golden.py."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pymssql
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from edge_agent.sources.columns import build
from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dialect import Trouble
from edge_agent.sources.dialects.mssql import (
    PARAMETERS_MAX,
    Mssql,
    as_labelled,
    connect_arguments,
    isolation,
    spoken,
)
from edge_agent.sources.dialects.mssql_catalogue import CHARSET, COLLATED, read_catalogue
from edge_agent.sources.dialects.mssql_errors import trouble_of
from edge_agent.sources.sql import SqlSource
from protocol.errors import Permanent, Transient
from protocol.names import TableName
from protocol.schema import Column
from tests.unit.edge_agent.sources import mssql_answers


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mssql+pyodbc://h/d", "it must begin with mssql://"),
        ("mssql://h", "it must name a host and a database"),
        ("mssql:///d", "it must name a host and a database"),
        ("mssql://h/d?trusted_connection=yes", "of its options only these are known"),
        ("mssql://h/d?encryption=yes", "its encryption must be"),
        ("mssql://h/d?charset=cp93600", "its charset is not a known character encoding"),
    ],
)
def test_an_address_that_cannot_be_used(url: str, problem: str) -> None:
    with pytest.raises(Permanent) as caught:
        SqlSource("his", url)
    assert caught.value.code == "GC-1003"
    assert problem in str(caught.value)


@pytest.mark.parametrize("options", ["", "?encryption=require", "?encryption=off&charset=gbk"])
def test_nobody_at_home_is_a_transient(options: str) -> None:
    """Each option is one that the driver takes."""
    source = SqlSource("his", f"mssql://u:secret@127.0.0.1:9/his{options}")
    with pytest.raises(Transient) as caught:
        source.inventory()
    source.close()
    assert caught.value.code == "GC-2001"
    assert "secret" not in str(caught.value)


def test_the_port_has_a_default() -> None:
    assert connect_arguments(make_url("mssql://u@h/d"))["port"] == "1433"


@pytest.mark.parametrize(
    ("number", "everywhere", "code"),
    [
        (208, False, "GC-2002"),
        (207, False, "GC-2010"),
        (3961, False, "GC-2010"),
        (1222, False, "GC-2041"),
        (1205, False, "GC-2041"),
        (229, False, "GC-2003"),
        (102, False, "GC-2003"),
        (18456, True, "GC-2040"),
        (4060, True, "GC-2003"),
        (20003, False, "GC-2042"),
        (20009, True, "GC-2003"),
        (20047, True, "GC-2003"),
    ],
)
def test_errors_are_told_in_fixed_words(number: int, everywhere: bool, code: str) -> None:
    for error in (
        pymssql.OperationalError(number, b"a value"),
        pymssql.OperationalError((number, b"a value")),
    ):
        trouble = trouble_of(error)
        assert (trouble.everywhere, trouble.expired, trouble.code) == (everywhere, False, code)
        assert "value" not in trouble.reason
    assert trouble_of(pymssql.InterfaceError("Connection is closed.")).everywhere


class _Connection:
    """What the dialect touches of the driver's connection."""

    def __init__(self) -> None:
        self._conn = self
        self.query_timeout = 0


def test_the_limit_of_a_statement_that_makes_writers_wait_is_the_drivers_too() -> None:
    connection, dialect = _Connection(), Mssql()
    late = pymssql.OperationalError((20003, b""))
    dialect.arm(connection, lambda: False)
    assert (connection.query_timeout, dialect.trouble(late).expired) == (1, True)
    dialect.arm(connection, None)
    assert dialect.trouble(late) == Trouble("", code="GC-2042")


@pytest.mark.parametrize(
    ("snapshots", "versions", "level"),
    [
        (True, False, "SNAPSHOT"),
        (True, True, "SNAPSHOT"),
        (False, True, "READ COMMITTED"),
        (False, False, "SERIALIZABLE"),
    ],
)
def test_no_level_shows_rows_that_are_not_committed(snapshots: bool, versions: bool, level: str) -> None:
    assert isolation(snapshots, versions) == level


VALUES = st.text() | st.binary(max_size=20) | st.integers(-(2**63), 2**63 - 1)


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_a_batch_holds_its_values_as_literals_and_nothing_else(values: list[Any]) -> None:
    sql = "SELECT t.[a'b%s] FROM [his].[dbo].[v] AS t WHERE t.[a'b%s] > @p1"
    batch = spoken(sql, tuple(values))
    pieces = _literals(batch)
    assert pieces[0] == sql
    assert pieces[2:] == [v for v in values if isinstance(v, str)]
    outside = batch.replace("''", "").split("'")[::2]
    for value in values:
        if isinstance(value, bytes):
            assert f"0x{value.hex().upper()}" in batch
    assert all("--" not in piece for piece in outside if not any(isinstance(v, int) for v in values))


def _literals(batch: str) -> list[str]:
    """The N'…' literals, read character by character."""
    found, at = [], 0
    while (start := batch.find("N'", at)) >= 0:
        at, text = start + 2, ""
        while batch[at] != "'" or batch[at : at + 2] == "''":
            text += batch[at]
            at += 2 if batch[at] == "'" else 1
        found.append(text)
        at += 1
    return found


def test_more_values_than_a_procedure_takes_are_declared() -> None:
    batch = spoken("SELECT 1", tuple(range(PARAMETERS_MAX + 1)))
    assert batch.startswith("DECLARE @p1 bigint = 0, @p2 bigint = 1, ")
    assert batch.endswith(f"@p{PARAMETERS_MAX + 1} bigint = {PARAMETERS_MAX}; SELECT 1")


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_is_one_statement_to_a_parser(count: int) -> None:
    assert len(sqlglot.parse(spoken("SELECT 1 AS a WHERE 1 = @p1", ("x",) * count), read="tsql")) == 1


@given(st.binary(max_size=30))
def test_bytes_under_a_foreign_label_lead_back_to_themselves(original: bytes) -> None:
    text = as_labelled(original)
    assert b"".join(_in_1252(character) for character in text) == original


def _in_1252(character: str) -> bytes:
    return bytes([ord(character)]) if "\x80" <= character <= "\x9f" else character.encode("cp1252")


@pytest.mark.parametrize(
    ("declared", "name", "comparable"),
    [(None, "c", True), (None, "odd", False), ("gbk", "l", True), ("gbk", "c", False), (None, "nc", True)],
)
def test_only_text_that_leads_back_to_its_bytes_is_a_key(
    declared: str | None, name: str, comparable: bool
) -> None:
    facts = read_catalogue(mssql_answers.fetch, None, declared)
    column = next(c for f in facts for c in f.columns if c.name == name)
    assert Mssql(declared).comparable(column) == comparable


VISIT = TableName("his", "dbo", "就诊")


def test_descriptions_are_read_by_their_code_page_or_the_declared_one() -> None:
    assert Mssql().comments(mssql_answers.fetch, VISIT) == Comments(
        "门诊就诊", {"就诊号": "挂号时给出", "姓名": "病人".encode("gbk").decode("cp1252")}
    )
    declared = Mssql("gbk").comments(mssql_answers.fetch, VISIT)
    assert declared == Comments("门诊就诊", {"就诊号": "挂号时给出", "姓名": "病人"})
    assert Mssql().comments(mssql_answers.fetch, TableName("his", "dbo", "kinds")) == Comments()


@pytest.mark.parametrize(
    ("kind", "page", "value", "text"),
    [
        ("nvarchar", 936, b"a\x00\x00\xd8b\x00", "a\ufffdb"),
        ("varchar", 936, b"a\xff", "a\ufffd"),
        ("char", 4711, b"a\xff", "a\ufffd"),
        ("int", None, b"\x00\x00\x00\x07", None),
    ],
)
def test_what_is_no_text_is_described_as_well_as_it_can(
    kind: str, page: int | None, value: bytes, text: str | None
) -> None:
    told = Mssql().comments(lambda sql, values: [("c", kind, page, value)], VISIT)
    assert told == Comments.of(None, {"c": text})


@pytest.mark.parametrize("kind", ["varchar(max)", "nvarchar(max)", "varbinary(max)"])
def test_what_is_longer_than_a_parameter_is_no_key(kind: str) -> None:
    wire = pa.binary() if kind.startswith("varb") else pa.string()
    meta = {CHARSET: "gbk", COLLATED: "936 Chinese_PRC_CI_AS"}
    assert not Mssql().comparable(Column("c", wire, kind, meta))
    assert Mssql().comparable(Column("c", wire, kind.replace("max", "40"), meta))


def test_a_parameter_is_of_its_columns_own_precision() -> None:
    dialect = Mssql()
    moment = 1_700_000_000_123_000
    for kind, text in (
        ("datetime", "2023-11-14 22:13:20.123"),
        ("datetime2(3)", "2023-11-14 22:13:20.123000"),
    ):
        assert dialect.bound(Column("m", pa.timestamp("us"), kind), moment) == text
    version = Column("v", pa.binary(), "timestamp")
    assert dialect.bound(version, b"\x00" * 8) == b"\x00" * 8
    assert build(dialect.carrier(version), version.wire, [b"\x01" * 8])[1] is None
