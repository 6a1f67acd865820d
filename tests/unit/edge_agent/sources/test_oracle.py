"""Oracle without a server: addresses, errors, and what its driver takes. Its SQL is in test_golden.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import oracledb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from edge_agent.sources.columns import build
from edge_agent.sources.comments import Comments, commented
from edge_agent.sources.dialects.oracle import Oracle, connect_arguments, output_handler
from edge_agent.sources.dialects.oracle_catalogue import CHARSET, read_catalogue, wire_type
from edge_agent.sources.dialects.oracle_errors import trouble_of
from edge_agent.sources.sql import SqlSource
from protocol.errors import Permanent, Transient
from protocol.names import TableName
from protocol.schema import Column, TableSchema
from tests.unit.edge_agent.sources import oracle_answers


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("oracle+cx_oracle://h/s", "it must begin with oracle://"),
        ("oracle://h", "it must name a host and a service"),
        ("oracle:///s", "it must name a host and a service"),
        ("oracle://h/s?sid=x", "it must name a host and a service"),
        ("oracle://h/s?mode=sysdba", "of its options only these are known"),
        ("oracle://h/s?protocol=udp", "its protocol must be tcp or tcps"),
        ("oracle://h/s?charset=zhs16gbk", "its charset is not a known character encoding"),
    ],
)
def test_an_address_that_cannot_be_used(url: str, problem: str) -> None:
    with pytest.raises(Permanent) as caught:
        SqlSource("his", url)
    assert caught.value.code == "GC-1003"
    assert problem in str(caught.value)


def test_the_driver_takes_what_it_connects_with() -> None:
    url = make_url("oracle://u:p@h/his?protocol=tcps&charset=gb18030")
    assert Oracle().check(url) is None
    arguments = connect_arguments(url, {"protocol": "tcps"})
    parameters = oracledb.ConnectParams(**arguments)
    assert (parameters.host, parameters.port, parameters.service_name) == ("h", 1521, "his")
    by_sid = connect_arguments(make_url("oracle://u:p@h:1522/?sid=ORCL"), {"sid": "ORCL"})
    parameters = oracledb.ConnectParams(**by_sid)
    assert (parameters.port, parameters.sid, parameters.service_name) == (1522, "ORCL", None)


def test_nobody_at_home_is_a_transient() -> None:
    source = SqlSource("his", "oracle://u:secret@127.0.0.1:9/his")
    with pytest.raises(Transient) as caught:
        source.inventory()
    source.close()
    assert caught.value.code == "GC-2001"
    assert "secret" not in str(caught.value)


def _error(code: str, dead: bool = False) -> Exception:
    detail = SimpleNamespace(full_code=code, is_session_dead=dead, message="a value that nobody may see")
    error: Exception = oracledb.DatabaseError(detail)
    return error


@pytest.mark.parametrize(
    ("error", "everywhere", "code"),
    [
        (_error("ORA-00942"), False, "GC-2002"),
        (_error("ORA-00904"), False, "GC-2010"),
        (_error("ORA-01466"), False, "GC-2010"),
        (_error("ORA-01555"), False, "GC-2003"),
        (_error("ORA-01031"), False, "GC-2003"),
        (_error("ORA-01017"), True, "GC-2040"),
        (_error("ORA-30006"), False, "GC-2041"),
        (_error("ORA-12514"), True, "GC-2003"),
        (_error("ORA-03113", True), True, "GC-2003"),
        (_error("ORA-00600"), False, "GC-2003"),
        (_error("ORA-00600", True), True, "GC-2003"),
        (_error("DPY-3010"), True, "GC-2003"),
        (_error("DPY-4011", True), True, "GC-2003"),
        (_error("DPY-4024"), False, "GC-2042"),
        (OSError("a value"), True, "GC-2003"),
    ],
)
def test_errors_are_told_in_fixed_words(error: Exception, everywhere: bool, code: str) -> None:
    trouble = trouble_of(error)
    assert (trouble.everywhere, trouble.expired, trouble.code) == (everywhere, False, code)
    assert "value" not in trouble.reason


class _Cursor:
    arraysize = 7

    def var(self, code: Any, size: int, rows: int, **options: Any) -> tuple[Any, ...]:
        return (code, size, rows, options)


@pytest.mark.parametrize(
    ("code", "variable"),
    [
        (oracledb.DB_TYPE_VARCHAR, (oracledb.DB_TYPE_VARCHAR, 40, 7, {"bypass_decode": True})),
        (oracledb.DB_TYPE_NCHAR, (oracledb.DB_TYPE_NCHAR, 40, 7, {"encoding_errors": "surrogatepass"})),
        (oracledb.DB_TYPE_CLOB, (oracledb.DB_TYPE_LONG, 0, 7, {"encoding_errors": "surrogatepass"})),
        (oracledb.DB_TYPE_BLOB, (oracledb.DB_TYPE_LONG_RAW, 0, 7, {})),
        (oracledb.DB_TYPE_BINARY_DOUBLE, None),
        (oracledb.DB_TYPE_RAW, None),
    ],
)
def test_text_is_fetched_as_bytes_and_lobs_whole(code: Any, variable: Any) -> None:
    metadata = SimpleNamespace(type_code=code, internal_size=40)
    assert output_handler()(_Cursor(), metadata) == variable


@pytest.mark.parametrize(
    ("charset", "declared", "wire", "known"),
    [
        ("AL32UTF8", None, pa.string(), None),
        ("ZHS16GBK", None, pa.string(), "gb18030"),
        ("US7ASCII", "gbk", pa.string(), "gbk"),
        ("AR8ASMO708PLUS", None, pa.binary(), None),
    ],
)
def test_text_that_is_not_unicode_comes_as_bytes(
    charset: str, declared: str | None, wire: pa.DataType, known: str | None
) -> None:
    def fetch(sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return [(charset,)] if "nls_database" in sql else oracle_answers.fetch(sql, values)

    kinds = read_catalogue(fetch, None, declared)[0]
    column = next(c for c in kinds.columns if c.name == "V")
    assert (column.wire, column.meta.get(CHARSET)) == (wire, known)
    text = "CAST_TO_RAW" in Oracle().selected(column)
    assert text == (charset != "AL32UTF8")


def test_comments_of_a_wrongly_labelled_database_are_in_what_the_address_names() -> None:
    told = Oracle("gb18030").comments(oracle_answers.fetch, TableName(None, "HIS", "就诊"))
    assert {"": told.table, **told.columns} == oracle_answers.COMMENTS
    assert Oracle("gb18030").comments(oracle_answers.fetch, TableName(None, "HIS", "KINDS")) == Comments()
    ascii_only = Oracle().comments(oracle_answers.fetch, TableName(None, "HIS", "就诊"))
    assert set(ascii_only.table) == {"\ufffd"}
    assert ascii_only.columns["姓名"].startswith("1\ufffd")


def test_comments_of_a_database_in_unicode_are_the_servers_text() -> None:
    odd = "编号".encode("gbk")

    def fetch(sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        assert "CAST_TO_RAW" not in sql
        if "nls_database" in sql:
            return [(b"AL32UTF8",)]
        return [("就诊".encode(),)] if "all_tab_comments" in sql else [("号".encode(), odd), (b"N", b"n")]

    told = Oracle().comments(fetch, TableName(None, "HIS", "就诊"))
    columns = (Column("号", pa.string(), "CLOB"), Column("N", pa.string(), "CLOB"))
    schema = commented(TableSchema(TableName(None, "HIS", "就诊"), columns, (), {}), told)
    assert schema.meta == {"comment": "就诊"}
    assert set(schema.columns[0].meta["comment"]) == {"\ufffd"}
    assert schema.columns[1].meta["comment"] == "n"


@given(st.text("张三ab ", min_size=1, max_size=9))
def test_wide_text_in_hex_digits_is_its_text(text: str) -> None:
    column = next(
        c for c in read_catalogue(oracle_answers.fetch, None, "gbk")[0].columns if c.name == "LONG_V"
    )
    carrier = Oracle().carrier(column)
    assert build(carrier, column.wire, [text.encode("gbk").hex().upper()])[0].to_pylist() == [text]
    assert Oracle().bound(column, text) == text.encode("gbk").hex().upper()


@given(st.integers(1, 38), st.integers(-84, 127))
def test_every_number_has_a_type_that_holds_all_its_digits(precision: int, scale: int) -> None:
    wire = wire_type(f"NUMBER({precision},{scale})")
    largest = f"{(10**precision - 1)}e{-scale}"
    if not pa.types.is_string(wire):
        from decimal import Decimal, localcontext

        with localcontext() as context:
            context.prec = 100
            value = Decimal(largest)
            assert pa.array([value]).cast(wire).to_pylist() == [value]


def test_what_the_server_spells_is_read() -> None:
    texts = [b".5", b"-.05", b"0", b"12345678.9", None]
    dialect = Oracle()
    fee = Column("FEE", pa.decimal128(10, 2), "NUMBER(10,2)")
    array, odd = build(dialect.carrier(fee), fee.wire, texts)
    assert [str(v) for v in array.to_pylist()] == ["0.50", "-0.05", "0.00", "12345678.90", "None"]
    assert odd is None
    day = Column("D", pa.timestamp("us"), "DATE")
    array, odd = build(dialect.carrier(day), day.wire, [b"2024-02-29 23:59:59", b"-0044-03-15 00:00:00"])
    assert odd == {1: ("range", b"-0044-03-15 00:00:00")}
    assert dialect.bound(day, array[0].cast(pa.int64()).as_py()) == "2024-02-29 23:59:59"
