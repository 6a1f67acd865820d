"""MySQL and MariaDB without a server: the statements that are sent, the types, the addresses, the errors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import make_url

from edge_agent.sources.columns import Carrier, build
from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dialect import choose_key, select_page, select_present, select_whole
from edge_agent.sources.dialects.mysql import Mysql, wire_type
from protocol.names import TableName
from protocol.schema import Column

DIALECT = Mysql()
VISIT = TableName("his", None, "vi`sit 100%")
FROM = "FROM `his`.`vi``sit 100%%` AS t"
ID = Column("id", pa.int64(), "bigint(20)")
NAME = Column("姓名", pa.string(), "varchar(20)")
OLD = Column("old", pa.string(), "varchar(20)", {"charset": "gbk"})
WEIGHT = Column("w", pa.float32(), "float(7,2)")


def test_the_first_page() -> None:
    sql, values = select_page(DIALECT, VISIT, [ID, NAME], [ID], [], [], 100)
    assert (sql, values) == (f"SELECT t.`id`, t.`姓名` {FROM} ORDER BY t.`id` LIMIT 100", ())


def test_a_page_between_two_keys_is_spelt_out() -> None:
    sql, values = select_page(DIALECT, VISIT, [ID, NAME], [NAME, ID], ["张", 5], [], 9)
    assert sql == (
        f"SELECT t.`id`, t.`姓名` {FROM} WHERE t.`姓名` >= %s"
        " AND ((t.`姓名` > %s) OR (t.`姓名` = %s AND t.`id` > %s)) ORDER BY t.`姓名`, t.`id` LIMIT 9"
    )
    assert values == ("张", "张", "张", 5)


def test_what_the_server_would_print_inexactly_is_asked_for_otherwise() -> None:
    assert select_whole(DIALECT, VISIT, [WEIGHT]) == f"SELECT (t.`w` + 0.0E0) {FROM}"
    text = "CONVERT(t.`old` USING utf8mb4)"
    assert select_present(DIALECT, VISIT, [OLD], [["张"]]) == (
        f"SELECT CASE WHEN CAST(CONVERT({text} USING gbk) AS BINARY) = CAST(t.`old` AS BINARY)"
        f" THEN CAST({text} AS BINARY)"
        f" WHEN t.`old` IS NOT NULL THEN CONCAT(x'FF', CAST(t.`old` AS BINARY)) END"
        f" {FROM} WHERE t.`old` IN (%s)",
        ("张",),
    )


def test_marked_bytes_stand_aside_without_their_mark() -> None:
    array, odd = build(Carrier.MARKED, pa.string(), ["张".encode(), b"\xff\xfe\xfe", b"\xffabc", None])
    assert array.to_pylist() == ["张", None, None, None]
    assert odd == {1: ("charset", b"\xfe\xfe"), 2: ("charset", b"abc")}


@pytest.mark.parametrize(
    ("column_type", "wire"),
    [
        ("tinyint(1)", pa.int8()),
        ("tinyint(3) unsigned", pa.int16()),
        ("int unsigned", pa.int64()),
        ("bigint(20) unsigned zerofill", pa.decimal128(20, 0)),
        ("decimal(38,30) unsigned", pa.decimal128(38, 30)),
        ("decimal(39,0)", pa.string()),
        ("double(8,3)", pa.float64()),
        ("datetime(6)", pa.timestamp("us")),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("time(6)", pa.string()),
        ("year(4)", pa.string()),
        ("bit(9)", pa.binary()),
        ("mediumblob", pa.binary()),
        ("multipolygon", pa.binary()),
        ("enum('unsigned','b')", pa.string()),
        ("json", pa.string()),
    ],
)
def test_types(column_type: str, wire: pa.DataType) -> None:
    assert wire_type(column_type) == wire


COLUMNS: list[tuple[Any, ...]] = [
    ("his", "visit", None, "id", "bigint(20)", "NO", None, "就诊", ""),
    ("his", "visit", None, "name", "varchar(9)", "YES", "gbk", "", "姓名"),
    ("his", "weight", 7, "kg", "float", "NO", None, "", ""),
    ("his", "state", 7, "s", "enum('b','a')", "NO", "utf8mb4", "", ""),
]
INDEXES: list[tuple[Any, ...]] = [
    ("his", "visit", "PRIMARY", "id"),
    ("his", "visit", "by_expression", "id"),
    ("his", "visit", "by_expression", None),
    ("his", "visit", "by_name", "name"),
    ("his", "weight", "PRIMARY", "kg"),
    ("his", "state", "PRIMARY", "s"),
]


def test_the_catalogue_becomes_tables_keys_and_types() -> None:
    visit, weight, state = DIALECT.catalogue(lambda sql, _: INDEXES if "statistics" in sql else COLUMNS, None)
    assert visit.name == TableName("his", None, "visit")
    assert (visit.rows_estimate, weight.rows_estimate) == (None, 7)
    assert visit.columns == (ID, Column("name", pa.string(), "varchar(9)", {"charset": "gbk"}))
    assert (visit.comments, weight.comments) == (Comments("就诊", {"name": "姓名"}), Comments())
    assert [i.columns for i in visit.indexes] == [("id",), ("name",)]
    keys = [choose_key(facts, None, DIALECT) for facts in (visit, weight, state)]
    assert [key and key.columns for key in keys] == [("id",), (), ()]


def test_bounds_compare_as_their_columns_do() -> None:
    moment = Column("m", pa.timestamp("us", tz="UTC"), "timestamp")
    assert DIALECT.bound(moment, 1_700_000_000_123_456) == "2023-11-14 22:13:20.123456"
    assert DIALECT.bound(Column("d", pa.date32(), "date"), 0) == "1970-01-01"
    for column, value in ((ID, 5), (NAME, "5"), (Column("b", pa.binary(), "binary(1)"), b"5")):
        assert DIALECT.bound(column, value) == value
    unsigned = Column("u", pa.decimal128(20, 0), "bigint unsigned")
    assert DIALECT.bound(unsigned, Decimal(18446744073709551615)) == 18446744073709551615


@pytest.mark.parametrize(
    "url", ["mysql+aiomysql://h/d", "mysql://h/d?charset=latin1", "mysql://h/d?ssl_ca=a&ssl_ca=b"]
)
def test_an_address_that_cannot_be_used(url: str) -> None:
    assert DIALECT.check(make_url(url))


@pytest.mark.parametrize(
    "url", ["mysql://u:p@h:3306/his?ssl_ca=ca.pem", "mariadb://h", "mysql+pymysql://h/d"]
)
def test_an_address_that_can(url: str) -> None:
    assert DIALECT.check(make_url(url)) is None


@pytest.mark.parametrize(
    ("error", "everywhere", "code"),
    [
        (Exception(2013, "a value"), True, "GC-2003"),
        (Exception(0, ""), True, "GC-2003"),
        (Exception("Packet sequence number wrong"), True, "GC-2003"),
        (Exception(1045, "a value"), True, "GC-2040"),
        (Exception(1862, "a value"), True, "GC-2040"),
        (Exception(1040, "a value"), True, "GC-2003"),
        (Exception(1205, "a value"), False, "GC-2041"),
        (Exception(1969, "a value"), False, "GC-2042"),
        (Exception(1146, "a value"), False, "GC-2002"),
        (Exception(1412, "a value"), False, "GC-2010"),
        (Exception(1142, "a value"), False, "GC-2003"),
        (Exception(1064, "a value"), False, "GC-2003"),
    ],
)
def test_errors_are_told_in_fixed_words(error: Exception, everywhere: bool, code: str) -> None:
    trouble = DIALECT.trouble(error)
    assert (trouble.everywhere, trouble.expired, trouble.code) == (everywhere, False, code)
    assert "value" not in trouble.reason
