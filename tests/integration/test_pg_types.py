"""What is promised of PostgreSQL's values, type by type: by chunk and by log alike.

`Value`: the column has it. `Text`: the column is text, and this is it. `Aside`: the column has nothing, and the text
stands beside it. Texts are what `SELECT column::text` prints under our session, but for the types of `OWN_WORDS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

import pytest

from edge_agent.sources.dialects.postgres import SESSION
from edge_agent.sources.source import PageLimits, Rows
from tests.databases import logical_postgres
from tests.integration import pg_kinds
from tests.integration.two_ways import TwoWays, two_ways


@dataclass(frozen=True)
class Value:
    of: Any


@dataclass(frozen=True)
class Text:
    of: str


@dataclass(frozen=True)
class Aside:
    of: str


def at(*parts: int) -> Value:
    return Value(datetime(*parts))  # type: ignore[arg-type]


def utc(*parts: int) -> Value:
    return Value(datetime(*parts, tzinfo=UTC))  # type: ignore[arg-type, misc]


OWN_WORDS = frozenset(["char(5)", "padded", "boolean", "xml", "inet"])
"""A cast to text takes the padding of char(n) away, spells booleans out, keeps an XML declaration and says /32; the
types' own output, which COPY, the log and any client's SELECT give, does not."""

DIGITS = "1234567890" * 100

EDGES: list[tuple[str, str, Value | Text | Aside]] = [
    ("smallint", "-32768", Value(-32768)),
    ("integer", "2147483647", Value(2147483647)),
    ("bigint", "-9223372036854775808", Value(-9223372036854775808)),
    ("oid", "4294967295", Value(4294967295)),
    ("boolean", "yes", Value(True)),
    ("boolean", "off", Value(False)),
    # Floats: the shortest text that leads back to the same bits.
    ("real", "0.1", Value(0.10000000149011612)),
    ("real", "16777217", Value(16777216.0)),
    ("real", "1e-45", Value(1.401298464324817e-45)),
    ("real", "3.4028235e38", Value(3.4028234663852886e38)),
    ("real", "NaN", Value(float("nan"))),
    ("real", "-Infinity", Value(float("-inf"))),
    ("double precision", "0.30000000000000004", Value(0.30000000000000004)),
    ("double precision", "5e-324", Value(5e-324)),
    ("double precision", "1.7976931348623157e308", Value(1.7976931348623157e308)),
    ("double precision", "-0", Value(-0.0)),
    ("double precision", "NaN", Value(float("nan"))),
    ("double precision", "Infinity", Value(float("inf"))),
    # Numerics: a decimal where it has at most 38 digits and no more places than digits, else text.
    ("numeric(10,2)", "99999999.99", Value(Decimal("99999999.99"))),
    ("numeric(10,2)", "-0.00", Value(Decimal("0.00"))),
    ("numeric(10,2)", "NaN", Aside("NaN")),
    ("numeric(38,38)", "0." + "9" * 38, Value(Decimal("0." + "9" * 38))),
    ("numeric(38,0)", "-" + "9" * 38, Value(Decimal("-" + "9" * 38))),
    ("numeric(39,0)", "9" * 39, Text("9" * 39)),
    ("numeric(3,-2)", "12345", Text("12300")),
    ("numeric(2,4)", "0.0099", Text("0.0099")),
    ("numeric", "1.500", Text("1.500")),
    ("numeric", "-0.0", Text("0.0")),
    ("numeric", "NaN", Text("NaN")),
    ("numeric", "Infinity", Text("Infinity")),
    ("numeric", "-Infinity", Text("-Infinity")),
    ("numeric", DIGITS, Text(DIGITS)),
    ("numeric", f"-0.{DIGITS}", Text(f"-0.{DIGITS}")),
    ("money", "-92233720368547758.08", Text("-$92,233,720,368,547,758.08")),
    # Dates and moments: years 1 to 9999; a moment with a zone in UTC, whatever zone it was written in.
    ("date", "0001-01-01", Value(date(1, 1, 1))),
    ("date", "9999-12-31", Value(date(9999, 12, 31))),
    ("date", "10000-01-01", Aside("10000-01-01")),
    ("date", "5874897-12-31", Aside("5874897-12-31")),
    ("date", "0001-12-31 BC", Aside("0001-12-31 BC")),
    ("date", "4713-01-01 BC", Aside("4713-01-01 BC")),
    ("date", "infinity", Aside("infinity")),
    ("date", "-infinity", Aside("-infinity")),
    ("timestamp", "0001-01-01 00:00:00.000001", at(1, 1, 1, 0, 0, 0, 1)),
    ("timestamp", "1900-12-31 23:59:59.9", at(1900, 12, 31, 23, 59, 59, 900000)),
    ("timestamp", "1988-04-10 00:30:00", at(1988, 4, 10, 0, 30)),
    ("timestamp", "9999-12-31 23:59:59.999999", at(9999, 12, 31, 23, 59, 59, 999999)),
    ("timestamp", "294276-12-31 23:59:59.999999", Aside("294276-12-31 23:59:59.999999")),
    ("timestamp", "4713-01-01 00:00:00 BC", Aside("4713-01-01 00:00:00 BC")),
    ("timestamp", "infinity", Aside("infinity")),
    ("timestamp(3)", "2024-02-29 12:00:00.0005", at(2024, 2, 29, 12, 0, 0, 1000)),
    ("timestamptz", "1800-01-01 00:00:00 Asia/Shanghai", utc(1799, 12, 31, 15, 54, 17)),
    ("timestamptz", "1900-12-31 23:59:59+08:05:43", utc(1900, 12, 31, 15, 54, 16)),
    ("timestamptz", "1988-07-01 00:00:00 Asia/Shanghai", utc(1988, 6, 30, 15)),
    ("timestamptz", "9999-12-31 23:59:59.999999+00", utc(9999, 12, 31, 23, 59, 59, 999999)),
    ("timestamptz", "9999-12-31 23:59:59-01", Aside("10000-01-01 00:59:59+00")),
    ("timestamptz", "0001-01-01 00:00:00+08", Aside("0001-12-31 16:00:00+00 BC")),
    ("timestamptz", "-infinity", Aside("-infinity")),
    ("time", "24:00:00", Text("24:00:00")),
    ("time", "00:00:00.000001", Text("00:00:00.000001")),
    ("timetz", "00:00:00+08:05:43", Text("00:00:00+08:05:43")),
    ("timetz", "24:00:00-15:59", Text("24:00:00-15:59")),
    ("interval", "1 year -3 days 04:05:06.7", Text("1 year -3 days +04:05:06.7")),
    ("interval", "-178000000 years", Text("-178000000 years")),
    ("interval", "0", Text("00:00:00")),
    # Text.
    ("text", "", Text("")),
    ("text", "张\t\"',\\N\r\n", Text("张\t\"',\\N\r\n")),
    ("text", "\ufeffx", Text("\ufeffx")),
    ("text", "\\.", Text("\\.")),
    ("char(5)", "ab", Text("ab   ")),
    ("char(5)", "张三", Text("张三   ")),
    ('"char"', "", Text("")),
    ("name", "Zhang 张", Text("Zhang 张")),
    ("citext", "Ab", Text("Ab")),
    ("bytea", "\\x00ff5c", Value(b"\x00\xff\\")),
    ("bytea", "", Value(b"")),
    ("bit(5)", "10101", Text("10101")),
    ("varbit", "", Text("")),
    ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", Text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
    ("json", '{"a":  1, "a": 1e400}', Text('{"a":  1, "a": 1e400}')),
    ("jsonb", '{"b":  1.00, "a": 1, "a": 2}', Text('{"a": 2, "b": 1.00}')),
    ("jsonpath", "$.a[*]?(@>1)", Text('$."a"[*]?(@ > 1)')),
    ("xml", "<a>张 &amp;</a>", Text("<a>张 &amp;</a>")),
    ("xml", "<?xml version='1.0' encoding='UTF-8'?>\n<a/>", Text("<a/>")),
    # Addresses of networks.
    ("inet", "10.0.0.1", Text("10.0.0.1")),
    ("inet", "10.1.2.3/8", Text("10.1.2.3/8")),
    ("inet", "::FFFF:1.2.3.4", Text("::ffff:1.2.3.4")),
    ("cidr", "10", Text("10.0.0.0/8")),
    ("macaddr", "08-00-2B-01-02-03", Text("08:00:2b:01:02:03")),
    ("macaddr8", "08002b0102030405", Text("08:00:2b:01:02:03:04:05")),
    # What names things of the database: with their schema, by the name that they have when it is read.
    ("regclass", "named", Text("public.named")),
    ("regclass", "pg_class", Text("pg_class")),
    ("regclass", "4294967294", Text("4294967294")),
    ("regtype", "mood[]", Text("public.mood[]")),
    ("regprocedure", "citext_eq(citext,citext)", Text("public.citext_eq(public.citext,public.citext)")),
    ("regnamespace", "public", Text("public")),
    ("xid", "4294967295", Text("4294967295")),
    ("xid8", "18446744073709551615", Text("18446744073709551615")),
    ("tid", "(4294967295,65535)", Text("(4294967295,65535)")),
    ("pg_lsn", "FFFFFFFF/FFFFFFFF", Text("FFFFFFFF/FFFFFFFF")),
    ("txid_snapshot", "10:20:10,14,15", Text("10:20:10,14,15")),
    ("tsvector", "the 'fat' rats:2A", Text("'fat' 'rats':2A 'the'")),
    ("tsquery", "a & !(b <-> c:*)", Text("'a' & !( 'b' <-> 'c':* )")),
    # Geometry is text.
    ("point", "(0.1,-0)", Text("(0.1,-0)")),
    ("line", "{1,-1,0}", Text("{1,-1,0}")),
    ("lseg", "[(0,0),(1,1e300)]", Text("[(0,0),(1,1e+300)]")),
    ("box", "(0,0),(1,1)", Text("(1,1),(0,0)")),
    ("path", "[(0,0),(1,1)]", Text("[(0,0),(1,1)]")),
    ("polygon", "((0,0),(1,1),(2,0))", Text("((0,0),(1,1),(2,0))")),
    ("circle", "<(0,0),0.1>", Text("<(0,0),0.1>")),
    # Ranges, and several of them.
    ("int4range", "[1,5]", Text("[1,6)")),
    ("numrange", "[1.50,)", Text("[1.50,)")),
    ("numrange", "empty", Text("empty")),
    ("tstzrange", "[1800-01-01 00:00:00 Asia/Shanghai,infinity]", Text('["1799-12-31 15:54:17+00",infinity]')),
    ("daterange", "[0044-03-15 BC,infinity)", Text('["0044-03-15 BC",infinity)')),
    ("int4multirange", "{[4,6),[1,2)}", Text("{[1,2),[4,6)}")),
    ("span", "[0.1,1e22]", Text("[0.1,1e+22]")),
    # Arrays: nulls, quotes, dimensions, lower bounds; of what else.
    ("integer[]", "{1,NULL,3}", Text("{1,NULL,3}")),
    ("integer[]", "{}", Text("{}")),
    ("integer[]", "[-1:0][2:3]={{1,2},{3,4}}", Text("[-1:0][2:3]={{1,2},{3,4}}")),
    ("text[]", '{"a b",NULL,"NULL","","\\"","\\\\",张}', Text('{"a b",NULL,"NULL","","\\"","\\\\",张}')),
    ("box[]", "{(1,1),(0,0);(2,2),(1,1)}", Text("{(1,1),(0,0);(2,2),(1,1)}")),
    ("char(5)[]", "{ab}", Text('{"ab   "}')),
    ("timestamptz[]", '{"1800-01-01 00:00:00 Asia/Shanghai"}', Text('{"1799-12-31 15:54:17+00"}')),
    ("bytea[]", '{"\\\\x00ff"}', Text('{"\\\\x00ff"}')),
    # Types that somebody made.
    ("mood", '好 "x"', Text('好 "x"')),
    ("mood[]", '{sad,"ok, then"}', Text('{sad,"ok, then"}')),
    ("pair", '("x, ""y""",1.5,,{sad})', Text('("x, ""y""",1.50,,{sad})')),
    ("pair", '(,,"2024-01-01 00:00:00+08",{})', Text('(,,"2023-12-31 16:00:00+00",{})')),
    ("pair", "(,,,)", Text("(,,,)")),
    ("price", "1.5", Value(Decimal("1.50"))),
    ("price", "NaN", Aside("NaN")),
    ("birthday", "infinity", Aside("infinity")),
    ("padded", "a", Text("a   ")),
    ("prices", "{1.5,NULL}", Text("{1.50,NULL}")),
    # Extensions.
    ("hstore", 'b=>NULL, "a a"=>"\\""', Text('"b"=>NULL, "a a"=>"\\""')),
    ("ltree", "Top.Science", Text("Top.Science")),
    ("cube", "(0.1,2),(3,4)", Text("(0.1, 2),(3, 4)")),
    ("isbn13", "978-0-393-04002-9", Text("978-0-393-04002-9")),
]  # fmt: skip
MADE = (
    "CREATE DOMAIN price AS numeric(10,2)",
    "CREATE DOMAIN birthday AS date",
    "CREATE DOMAIN padded AS char(4)",
    "CREATE DOMAIN prices AS price[]",
)
BY_TYPE = {
    kind: list(edges) for kind, edges in groupby(sorted(EDGES, key=lambda e: e[0]), key=lambda e: e[0])
}


@pytest.fixture(scope="module")
def ways() -> Iterator[TwoWays]:
    with two_ways(logical_postgres(), *pg_kinds.PREPARE, *MADE) as one:
        fill(one)
        yield one


def fill(ways: TwoWays) -> None:
    """One column a type, one row for each place among its edges."""
    columns = ", ".join(f'"{place}" {kind}' for place, kind in enumerate(BY_TYPE))
    ways.run(f"CREATE TABLE edges(id int PRIMARY KEY, {columns})")
    with closing(ways.server.connect(ways.database)) as connection, connection.cursor() as cursor:
        for row in range(max(map(len, BY_TYPE.values()))):
            texts = [edges[row][1] if row < len(edges) else None for edges in BY_TYPE.values()]
            marks = ", ".join(f"CAST(%s AS {kind})" for kind in BY_TYPE)
            cursor.execute(f"INSERT INTO edges VALUES({row}, {marks})", texts)


@pytest.fixture(scope="module")
def chunk(ways: TwoWays) -> Rows:
    schema = ways.source.describe(ways.name("edges"))
    return ways.source.chunk(schema, b"", PageLimits(1_000, 1 << 30)).page.rows


@pytest.fixture(scope="module")
def logged(ways: TwoWays) -> Rows:
    (one,) = ways.logged("edges")
    return one.rows


@pytest.fixture(scope="module")
def cast(ways: TwoWays) -> list[tuple[str | None, ...]]:
    """By `::text`, in a session of ours."""
    with closing(ways.server.connect(ways.database)) as connection, connection.cursor() as cursor:
        cursor.execute(SESSION)
        columns = ", ".join(f'"{place}"::text' for place in range(len(BY_TYPE)))
        cursor.execute(f"SELECT {columns} FROM public.edges ORDER BY id")
        return [tuple(row) for row in cursor.fetchall()]


def found(rows: Rows, row: int, place: int) -> Value | Text | Aside:
    array, column = rows.columns[place + 1], str(place)
    asides = [e for e in (rows.asides and rows.asides[row]) or () if e["column"] == column]
    if asides:
        (one,) = asides
        assert array[row].as_py() is None
        assert one["reason"] == "range"
        return Aside(bytes(one["original"]).decode())
    value = array[row].as_py()
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
    return Text(value) if isinstance(value, str) else Value(value)


@pytest.mark.parametrize(("kind", "written", "promised"), EDGES)
def test_an_edge(
    chunk: Rows, logged: Rows, cast: list[tuple[str | None, ...]], kind: str, written: str, promised: Any
) -> None:
    place = list(BY_TYPE).index(kind)
    row = [edge[1] for edge in BY_TYPE[kind]].index(written)
    # repr, so that a NaN is one and -0.0 is not 0.0
    assert repr(found(chunk, row, place)) == repr(promised)
    assert repr(found(logged, row, place)) == repr(promised)
    if not isinstance(promised, Value) and kind not in OWN_WORDS:
        assert cast[row][place] == promised.of
