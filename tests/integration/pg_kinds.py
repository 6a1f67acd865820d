"""PostgreSQL's types for tests, and values of each that lie at its edges, as a person would write them in SQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from hypothesis import strategies as st

Texts = st.SearchStrategy[str]

PREPARE = (
    "CREATE EXTENSION citext",
    "CREATE EXTENSION hstore",
    "CREATE EXTENSION ltree",
    "CREATE EXTENSION cube",
    "CREATE EXTENSION seg",
    "CREATE EXTENSION isn",
    "CREATE TYPE mood AS ENUM('sad', 'ok, then', '好 \"x\"')",
    'CREATE TYPE pair AS (a text, "B b" numeric(6,2), at timestamptz, moods mood[])',
    "CREATE TYPE span AS RANGE (subtype = double precision)",
    "CREATE TABLE named(n int)",
)
"""What has to stand in a database before."""


def among(*texts: str) -> Texts:
    return st.sampled_from(texts)


CHARACTERS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    | st.sampled_from("张 aAzZß'\"\\%,{}()\t\n"),
    max_size=30,
)
WORDS = st.text("aAbß张\"' ", max_size=3)
BYTES = st.binary(max_size=40).map(lambda b: "\\x" + b.hex())
DIGITS = st.text("0123456789", min_size=1, max_size=40)
LONG_DIGITS = st.integers(1, 10**1000).map(str)
FLOATS = {width: st.floats(width=width).map(str) for width in (32, 64)}
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32).map(str)
NUMERICS = st.tuples(among("", "-"), DIGITS | LONG_DIGITS, DIGITS).map(
    lambda p: f"{p[0]}{p[1]}.{p[2]}"
) | among("NaN", "Infinity", "-Infinity", "0", "-0.00", "1e-400", "1e300", "1.50")
DATES = st.dates().map(str) | among(
    "infinity", "-infinity", "4713-11-24 BC", "0044-03-15 BC", "0001-12-31 BC", "0001-01-01", "9999-12-31",
    "10000-01-01", "5874897-12-31",
)  # fmt: skip
MOMENTS = st.datetimes().map(str) | among(
    "infinity", "-infinity", "4713-11-24 00:00:00 BC", "0044-03-15 12:00:00.5 BC", "0001-12-31 23:59:59 BC",
    "1883-11-18 12:00:00", "1900-12-31 23:54:17", "1988-04-10 00:30:00", "294276-12-31 12:59:59.999999",
)  # fmt: skip
POINTS = st.tuples(FINITE, FINITE).map(lambda p: f"({p[0]},{p[1]})")
TIMES = st.times().map(str)


def bits(least: int, most: int) -> Texts:
    return st.text("01", min_size=least, max_size=most)


def integers(width: int) -> Texts:
    return st.integers(-(1 << (width - 1)), (1 << (width - 1)) - 1).map(str)


KINDS: dict[str, Texts] = {
    "smallint": integers(16),
    "integer": integers(32),
    "bigint": integers(64),
    "oid": st.integers(0, (1 << 32) - 1).map(str),
    "boolean": among("t", "f"),
    "real": FLOATS[32] | among("1e-45", "3.4028235e38", "-0", "0.1", "16777216"),
    "double precision": FLOATS[64] | among("5e-324", "1.7976931348623157e308", "-0", "0.1", "1e22"),
    "numeric": NUMERICS,
    "numeric(10,2)": st.decimals(-(10**8) + 1, 10**8 - 1, places=2).map(str) | among("NaN", "-0.00"),
    "numeric(38,38)": st.integers(0, 10**38 - 1).map(lambda n: f"-0.{n:038d}"),
    "numeric(38,0)": st.integers(-(10**38) + 1, 10**38 - 1).map(str),
    "numeric(50,3)": st.integers(-(10**49), 10**49).map(lambda n: f"{n // 1000}.5") | among("NaN"),
    "numeric(3,-2)": among("12345", "-99949", "0", "NaN"),
    "numeric(2,4)": among("0.0012", "-0.0099", "0"),
    "money": integers(64).map(lambda n: str(Decimal(n).scaleb(-2))),
    "text": CHARACTERS,
    "varchar(30)": CHARACTERS,
    "char(5)": WORDS,
    "char": among("a", ""),
    '"char"': among("", "q", "\\", '"'),
    "name": WORDS,
    "citext": CHARACTERS,
    "bytea": BYTES,
    "bit(5)": bits(5, 5),
    "varbit": bits(0, 70),
    "date": DATES,
    "time": TIMES | among("24:00:00"),
    "time(2)": TIMES,
    "timetz": among("00:00:00+14", "12:34:56.789-05:30", "24:00:00-15:59", "00:00:00+08:05:43"),
    "timestamp": MOMENTS,
    "timestamp(3)": MOMENTS,
    "timestamptz": MOMENTS,
    "interval": among(
        "1 year 2 mons -3 days",
        "-178000000 years",
        "838:59:59.1",
        "0",
        "-00:00:00.000001",
        "1 mon -1 day 1 us",
    ),
    "interval(2)": among("1.239 s", "-1 day"),
    "interval year to month": among("14 months"),
    "uuid": st.uuids().map(str),
    "json": among('{"a":  1, "a": 2}', "null", '"张\\u0000"', "1.0", " [ 1e400 ] "),
    "jsonb": among('{"b": 1.00, "a": null}', "[]", '"a\\"b"', "1e400"),
    "jsonpath": among('$."a b"[*] ? (@ > 1)', "strict $"),
    "xml": among("<a>张</a>", "x", "<?xml version='1.0' encoding='UTF-8'?>\n<a/>", "<!-- ' \" -->"),
    "inet": among("10.0.0.1", "10.1.2.3/8", "::1", "::ffff:1.2.3.4/96"),
    "cidr": among("10.0.0.0/8", "::/0"),
    "macaddr": among("08:00:2b:01:02:03"),
    "macaddr8": among("08:00:2b:01:02:03:04:05"),
    "xid": among("4294967295"),
    "xid8": among("18446744073709551615"),
    "cid": among("7"),
    "tid": among("(4294967295,65535)"),
    "pg_lsn": among("FFFFFFFF/FFFFFFFF", "0/0"),
    "txid_snapshot": among("10:20:10,14,15"),
    "pg_snapshot": among("10:20:"),
    "regclass": among("named", "pg_class", "-", "4294967295"),
    "regtype": among("mood", "text[]", "pair"),
    "regproc": among("citext_eq", "now"),
    "regprocedure": among("citext_eq(citext,citext)"),
    "regoper": among("pg_catalog.||/"),
    "regoperator": among("=(citext,citext)"),
    "regnamespace": among("public"),
    "regrole": among("administrator"),
    "regcollation": among('"C"'),
    "regconfig": among("english"),
    "regdictionary": among("simple"),
    "int2vector": among("1 2 3", ""),
    "oidvector": among("1 4294967295"),
    "aclitem": among("administrator=r/administrator"),
    "refcursor": WORDS,
    "tsvector": among("'a':1A 'b c':2,16383 '张''s':7", ""),
    "tsquery": among("'a' & !( 'b' <2> 'c':*A )", ""),
    "point": POINTS,
    "line": among("{1,-1,0.1}"),
    "lseg": st.tuples(POINTS, POINTS).map(lambda p: f"[{p[0]},{p[1]}]"),
    "box": st.tuples(POINTS, POINTS).map(lambda p: f"{p[0]},{p[1]}"),
    "path": st.tuples(POINTS, POINTS).map(lambda p: f"[{p[0]},{p[1]}]") | among("((0,0),(1,1))"),
    "polygon": st.tuples(POINTS, POINTS, POINTS).map(lambda p: f"({','.join(p)})"),
    "circle": POINTS.map(lambda p: f"<{p},0.1>"),
    "int4range": among("empty", "[1,5)", "(,)", "[-2147483648,]"),
    "int8range": among("(1,5]"),
    "numrange": among("[1.50,)", "(NaN,]", "empty"),
    "tsrange": among('["1883-01-01 00:00","infinity")'),
    "tstzrange": among('["0044-03-15 12:00 BC","2024-01-01 00:00:00.5+08")'),
    "daterange": among("[0044-03-15 BC,infinity]", "(,5874897-01-01)"),
    "int4multirange": among("{}", "{[1,2),[4,6)}"),
    "nummultirange": among("{[1.0,1.10]}"),
    "tstzmultirange": among("{[2024-01-01 00:00+08,2025-01-01 00:00+08)}"),
    "span": among("[0.1,1e22]", "empty"),
    "spans": among("{[0.1,0.2]}"),
    "hstore": among('"a b"=>"1", c=>NULL', '"\\"张"=>""', ""),
    "ltree": among("Top.Science.a_b", ""),
    "lquery": among("Top.*{2,}.!a"),
    "cube": among("(0.1,2),(3,4)"),
    "seg": among("6.25(+-)0.5e-1", "1..2"),
    "isbn13": among("978-0-393-04002-9"),
    "mood": among("sad", "ok, then", '好 "x"'),
    "pair": among('("x, ""y""",1.5,"2024-01-01 00:00:00+08","{sad,NULL}")', "(,,,)", '("",,infinity,{})'),
}
"""By their spelling; each to be CAST to it."""

AS_ARRAYS = sorted(set(KINDS) - {"aclitem", "spans"})
DELIMITERS = {"box": ";"}

KEYS: dict[str, Texts] = {
    **{
        kind: KINDS[kind]
        for kind in ("smallint", "integer", "bigint", "oid", "boolean", "uuid", "inet", "cidr")
    },
    **{kind: KINDS[kind] for kind in ("macaddr", "macaddr8", "mood", "time", "bytea", '"char"')},
    **dict.fromkeys(("text", "varchar(30)", "char(3)", "name", "citext", 'text COLLATE "C"'), WORDS),
    "numeric": among("1.0", "1.00", "2", "-1e30", "0.1", "NaN", "Infinity"),
    "numeric(10,2)": st.decimals(-1000, 1000, places=2).map(str),
    "date": st.dates().map(str),
    "timestamp": st.datetimes().map(str),
    "timestamptz": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(str),
}
"""What may be a table's key, and values whose columns carry them."""


@dataclass(frozen=True)
class Made:
    """A column's type, spelt as in CREATE TABLE and CAST, and its values."""

    spelt: str
    cast: str
    values: Texts


@st.composite
def arrays(draw: st.DrawFn, kind: str) -> str:
    """The text of an array of up to two dimensions, perhaps with lower bounds."""
    delimiter = DELIMITERS.get(kind, ",")
    length = draw(st.integers(0, 3))
    if not length:
        return "{}"
    elements = KINDS[kind].map(quoted) | st.just("NULL")
    lists = st.lists(elements, min_size=length, max_size=length).map(lambda e: f"{{{delimiter.join(e)}}}")
    lower = draw(st.integers(-2, 2))
    if draw(st.booleans()):
        bounds = f"[{lower}:{lower + length - 1}]="
        return draw(st.just(bounds) | st.just("")) + draw(lists)
    parts = draw(st.lists(lists, min_size=1, max_size=2))
    bounds = f"[{lower}:{lower + len(parts) - 1}][3:{length + 2}]="
    return draw(st.just(bounds) | st.just("")) + f"{{{delimiter.join(parts)}}}"


def quoted(element: str) -> str:
    return '"' + element.replace("\\", "\\\\").replace('"', '\\"') + '"'


def domain(kind: str) -> str:
    """The name of the domain over this type (`domains` makes them)."""
    return f'"域 {list(KINDS).index(kind)}"'


def domains() -> Iterator[str]:
    for kind in KINDS:
        yield f"CREATE DOMAIN {domain(kind)} AS {_base(kind)}"


def _base(kind: str) -> str:
    return "span_multirange" if kind == "spans" else kind


def plain(kind: str) -> Made:
    return Made(_base(kind), _base(kind), KINDS[kind])


def over(kind: str) -> Made:
    """Its domain."""
    return Made(domain(kind), domain(kind), KINDS[kind])


def array_of(kind: str) -> Made:
    return Made(f"{kind}[]", f"{kind}[]", arrays(kind))


def array_of_domain(kind: str) -> Made:
    return Made(f"{domain(kind)}[]", f"{domain(kind)}[]", arrays(kind))


def columns() -> st.SearchStrategy[Made]:
    """A type as it is, a domain over it, or an array of either."""
    arrayed = st.sampled_from(AS_ARRAYS)
    plainly = st.sampled_from(sorted(KINDS))
    return plainly.map(plain) | plainly.map(over) | arrayed.map(array_of) | arrayed.map(array_of_domain)


def keys() -> st.SearchStrategy[Made]:
    return st.sampled_from(sorted(KEYS)).map(lambda k: Made(k, k.split(" COLLATE")[0], KEYS[k]))
