"""PostgreSQL without a server: the statements that are sent, the types, the addresses, the errors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import make_url

from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dialect import (
    choose_key,
    select_null_key,
    select_page,
    select_present,
    select_ties,
    select_whole,
)
from edge_agent.sources.dialects.postgres import Postgres, refusal
from edge_agent.sources.dialects.postgres_catalogue import wire_type
from protocol.names import TableName
from protocol.schema import Column

DIALECT = Postgres()
VISIT = TableName("his", "public", 'vi"sit 100%')
ID = Column("id", pa.int64(), "bigint")
DAY = Column("day", pa.date32(), "date")
NAME = Column("姓名", pa.string(), "character varying(20)")


def test_the_first_page() -> None:
    sql, values = select_page(DIALECT, VISIT, [ID, NAME], [ID], [], [], 100)
    assert sql == 'SELECT t."id", t."姓名" FROM "public"."vi""sit 100%%" AS t ORDER BY t."id" LIMIT 100'
    assert values == ()


def test_a_page_between_two_keys_compares_rows_by_untyped_literals() -> None:
    sql, values = select_page(DIALECT, VISIT, [ID, DAY], [DAY, ID], [0, 5], [19_000, -7], 9)
    assert sql == (
        'SELECT t."id", t."day" FROM "public"."vi""sit 100%%" AS t'
        ' WHERE (t."day", t."id") > (%s, %s) AND (t."day", t."id") <= (%s, %s)'
        ' ORDER BY t."day", t."id" LIMIT 9'
    )
    assert values == ("1970-01-01", "5", "2022-01-08", "-7")


def test_the_other_statements() -> None:
    table = 'FROM "public"."vi""sit 100%%" AS t'
    assert select_whole(DIALECT, VISIT, [ID, NAME]) == f'SELECT t."id", t."姓名" {table}'
    assert select_present(DIALECT, VISIT, [ID], [[1], [2]]) == (
        f'SELECT t."id" {table} WHERE t."id" IN (%s, %s)',
        ("1", "2"),
    )
    assert select_present(DIALECT, VISIT, [DAY, NAME], [[1, "张"]]) == (
        f'SELECT t."day", t."姓名" {table} WHERE (t."day" = %s AND t."姓名" = %s)',
        ("1970-01-02", "张"),
    )
    assert select_null_key(DIALECT, VISIT, [ID]) == (
        f'SELECT t."id" {table} WHERE t."id" IS NULL ORDER BY t."id" LIMIT 1'
    )
    assert select_ties(DIALECT, VISIT, [ID], [3]) == (
        f'SELECT t."id" {table} WHERE (t."id" = %s) ORDER BY t."id" LIMIT 2',
        ("3",),
    )
    assert DIALECT.holding(VISIT) == 'LOCK TABLE "public"."vi""sit 100%" IN ACCESS SHARE MODE'


CODE = Column("code", pa.string(), '"Ext 100%".citext')
WARD = Column("ward", pa.string(), "public.code", {"base": "public.citext"})


def test_a_key_of_citext_is_compared_by_the_operators_that_stand_beside_the_type() -> None:
    """By bare names it would be compared as text: no place for such operators is searched."""
    table = 'FROM "public"."vi""sit 100%%" AS t'
    assert select_page(DIALECT, VISIT, [CODE], [CODE], ["a"], [], 9) == (
        f'SELECT t."code" {table} WHERE t."code" OPERATOR("Ext 100%%".>) %s ORDER BY t."code" LIMIT 9',
        ("a",),
    )
    assert select_page(DIALECT, VISIT, [ID], [WARD, ID], ["a", 1], [], 9) == (
        f'SELECT t."id" {table} WHERE t."ward" OPERATOR(public.>=) %s AND ((t."ward" OPERATOR(public.>) %s) OR '
        '(t."ward" OPERATOR(public.=) %s AND t."id" > %s)) ORDER BY t."ward", t."id" LIMIT 9',
        ("a", "a", "a", "1"),
    )
    assert select_present(DIALECT, VISIT, [CODE], [["a"], ["b"]]) == (
        f'SELECT t."code" {table} WHERE (t."code" OPERATOR("Ext 100%%".=) %s)'
        ' OR (t."code" OPERATOR("Ext 100%%".=) %s)',
        ("a", "b"),
    )
    assert DIALECT.comparable(WARD)
    assert not DIALECT.comparable(Column("codes", pa.string(), "public.citext[]"))


@pytest.mark.parametrize(
    ("spelt", "wire"),
    [
        ("smallint", pa.int16()),
        ("oid", pa.int64()),
        ("numeric", pa.string()),
        ("numeric(38,38)", pa.decimal128(38, 38)),
        ("numeric(39,0)", pa.string()),
        ("numeric(3,-2)", pa.string()),
        ("numeric(2,5)", pa.string()),
        ("timestamp(3) without time zone", pa.timestamp("us")),
        ("timestamp with time zone", pa.timestamp("us", tz="UTC")),
        ("time without time zone", pa.string()),
        ("integer[]", pa.string()),
        ("public.integer", pa.string()),
        ("bytea", pa.binary()),
    ],
)
def test_types(spelt: str, wire: pa.DataType) -> None:
    assert wire_type(spelt) == wire


CATALOGUE: list[tuple[Any, ...]] = [
    ("his", "public", "visit", -1, False, "id", "bigint", None, "b", True, "就诊", None),
    ("his", "public", "visit", -1, False, "fee", "public.price", "numeric(10,2)", "b", False, "就诊", "费用"),
    ("his", "public", "visit", -1, False, "state", "public.mood", None, "e", True, "就诊", ""),
    ("his", "public", "weight", 7, False, "kg", "real", None, "b", True, None, None),
]
INDEXES: list[tuple[Any, ...]] = [
    ("public", "visit", 9, True, "state", False),
    ("public", "visit", 9, True, "id", False),
    ("public", "visit", 10, False, "id", False),
    ("public", "weight", 11, True, "kg", False),
]


def test_the_catalogue_becomes_tables_keys_and_types() -> None:
    visit, weight = DIALECT.catalogue(lambda sql, _: INDEXES if "pg_index" in sql else CATALOGUE, None)
    assert visit.name == TableName("his", "public", "visit")
    assert (visit.rows_estimate, weight.rows_estimate) == (None, 7)
    assert visit.columns == (
        Column("id", pa.int64(), "bigint"),
        Column("fee", pa.decimal128(10, 2), "public.price", {"base": "numeric(10,2)"}),
        Column("state", pa.string(), "public.mood", {"kind": "enum"}),
    )
    assert visit.never_null == {"id", "state"}
    assert (visit.comments, weight.comments) == (Comments("就诊", {"fee": "费用"}), Comments())
    keys = [choose_key(facts, None, DIALECT) for facts in (visit, weight)]
    assert [key and key.columns for key in keys] == [("state", "id"), ()]
    configured = choose_key(visit, ("id",), DIALECT)
    assert configured is not None
    assert configured.certain


def test_bounds_are_spelt_as_the_server_spells_values() -> None:
    moment = 1_700_000_000_123_456
    spelt = [
        (pa.timestamp("us"), moment, "2023-11-14 22:13:20.123456"),
        (pa.timestamp("us", tz="UTC"), moment, "2023-11-14 22:13:20.123456+00:00"),
        (pa.timestamp("us"), -62_135_596_800_000_000, "0001-01-01 00:00:00"),
        (pa.bool_(), True, "t"),
        (pa.binary(), b"\x00\xff", "\\x00ff"),
        (pa.decimal128(38, 2), Decimal("1E+3"), "1000"),
        (pa.string(), "a'\\%", "a'\\%"),
    ]
    for wire, value, text in spelt:
        assert DIALECT.bound(Column("c", wire), value) == text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://host",
        "postgresql+asyncpg://host/his",
        "postgresql://host/his?options=-crow_security%3Don",
        "postgresql://host/his?sslmode=require&sslmode=disable",
    ],
)
def test_an_address_that_cannot_be_used(url: str) -> None:
    assert DIALECT.check(make_url(url))


@pytest.mark.parametrize(
    "url", ["postgresql://u:p@host:5432/his?sslmode=verify-full", "postgresql+psycopg2://h/d"]
)
def test_an_address_that_can(url: str) -> None:
    assert DIALECT.check(make_url(url)) is None


class _Error(Exception):
    def __init__(self, pgcode: str | None) -> None:
        super().__init__("a value that nobody may see")
        self.pgcode = pgcode


class OperationalError(_Error):
    pass


@pytest.mark.parametrize(
    ("error", "everywhere", "code"),
    [
        (OperationalError(None), True, "GC-2003"),
        (_Error(None), False, "GC-2003"),
        (_Error("42P01"), False, "GC-2002"),
        (_Error("42703"), False, "GC-2010"),
        (_Error("42501"), False, "GC-2003"),
        (_Error("57P01"), True, "GC-2003"),
        (_Error("28P01"), True, "GC-2040"),
        (_Error("55P03"), False, "GC-2041"),
        (_Error("57014"), False, "GC-2042"),
        (_Error("53300"), True, "GC-2003"),
        (_Error("25006"), False, "GC-2003"),
        (_Error("25P03"), True, "GC-2003"),
    ],
)
def test_errors_are_told_in_fixed_words(error: _Error, everywhere: bool, code: str) -> None:
    trouble = DIALECT.trouble(error)
    assert (trouble.everywhere, trouble.expired, trouble.code) == (everywhere, False, code)
    assert "value" not in trouble.reason


LOGIN = 'connection to server at "10.1.1.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ('FATAL:  password authentication failed for user "zhang"', "28000"),
        ('致命错误:  用户 "zhang" Password 认证失败', "28000"),
        ('FATAL:  role "zhang" does not exist', "28000"),
        ('FATAL:  no pg_hba.conf entry for host "10.1.1.2", user "zhang", database "his"', "28000"),
        ("fe_sendauth: no password supplied", "28000"),
        ('FATAL:  database "his" does not exist', "3D000"),
        ("Connection refused\n\tIs the server running on that host?", None),
        ("FATAL:  the database system is starting up", None),
        ("FATAL:  sorry, too many clients already", None),
    ],
)
def test_a_refused_login_is_told_from_an_outage(words: str, state: str | None) -> None:
    assert refusal(LOGIN + words, "zhang") == state
