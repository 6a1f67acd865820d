"""What cells PostgreSQL's values must become, by rules of this file's from the server's own `format('%s', …)` of each.

And of every type values that are hard.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

Cell = Callable[[str], bytes]
EPOCH = datetime(1970, 1, 1)

PREPARE = (
    "CREATE TYPE mood AS ENUM('sad', 'ok, then', '好')",
    "CREATE DOMAIN price AS numeric(10,2)",
    "CREATE DOMAIN amount AS price",
    "CREATE DOMAIN padded AS char(4)",
    "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    "CREATE EXTENSION citext",
)
"""What has to stand in a database before."""


def tagged(tag: int, data: bytes) -> bytes:
    return bytes([tag]) + struct.pack(">I", len(data)) + data


def aside(text: str, reason: bytes = b"range") -> bytes:
    return b"\x0d" + tagged(5, reason) + tagged(6, text.encode())


def integer(text: str) -> bytes:
    return b"\x02" + struct.pack(">q", int(text))


def as_it_is(text: str) -> bytes:
    return tagged(5, text.encode())


def boolean(text: str) -> bytes:
    return b"\x01" + bytes([text == "t"])


def double(text: str) -> bytes:
    return b"\x03" + (b"\x7f\xf8" + bytes(6) if text == "NaN" else struct.pack(">d", float(text)))


def single(text: str) -> bytes:
    if text in ("NaN", "Infinity", "-Infinity"):
        return double(text)
    return b"\x03" + struct.pack(">d", struct.unpack(">f", struct.pack(">f", float(text)))[0])


def decimal(text: str) -> bytes:
    if text == "NaN":
        return aside(text)
    plain = format(Decimal(text), "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return tagged(4, (plain if Decimal(text) else "0").encode())


def octets(text: str) -> bytes:
    return tagged(6, bytes.fromhex(text.removeprefix("\\x")))


def day(text: str) -> bytes:
    try:
        days = (date.fromisoformat(text) - EPOCH.date()).days
    except ValueError:
        return aside(text)
    return b"\x07" + struct.pack(">i", days)


def instant(tag: int) -> Cell:
    def cell(text: str) -> bytes:
        try:
            moment = datetime.fromisoformat(text.removesuffix("+00") if tag == 9 else text)
        except ValueError:
            return aside(text)
        return bytes([tag]) + struct.pack(">q", (moment - EPOCH) // timedelta(microseconds=1))

    return cell


CHARACTERS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("张 aAzZß'\"\\%,{}")
)
INTS = {bits: st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1).map(str) for bits in (16, 32, 64)}
DATES = st.dates().map(str) | st.sampled_from(
    ["infinity", "-infinity", "0044-03-15 BC", "0001-12-31 BC", "10000-01-01", "0001-01-01", "9999-12-31"]
)
MOMENTS = st.datetimes().map(str) | st.sampled_from(
    [
        "infinity",
        "-infinity",
        "0044-03-15 12:00:00.5 BC",
        "294276-12-31 23:59:59.999999",
        "1988-04-10 00:30:00",
    ]
)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-(10**30)).map(str)

TYPES: dict[str, tuple[Cell, st.SearchStrategy[str]]] = {
    "smallint": (integer, INTS[16]),
    "integer": (integer, INTS[32]),
    "bigint": (integer, INTS[64]),
    "oid": (integer, st.integers(0, (1 << 32) - 1).map(str)),
    "boolean": (boolean, st.sampled_from(["t", "f"])),
    "real": (single, st.floats(width=32).map(str)),
    "double precision": (double, st.floats().map(str)),
    "numeric(10,2)": (
        decimal,
        st.decimals(-(10**8) + 1, 10**8 - 1, places=2).map(str) | st.just("NaN"),
    ),
    "numeric(38,38)": (decimal, st.integers(0, 10**38 - 1).map(lambda n: f"-0.{n:038d}")),
    "amount": (decimal, st.sampled_from(["NaN", "99999999.99", "-0.00", "1.50"])),
    "numeric(50,3)": (as_it_is, NUMBERS | st.just("NaN")),
    "numeric": (as_it_is, NUMBERS | st.sampled_from(["NaN", "1.000", "-0.0", "1e-400"])),
    "text": (as_it_is, CHARACTERS),
    "varchar(200)": (as_it_is, CHARACTERS.map(lambda s: s[:200])),
    "char(5)": (as_it_is, st.sampled_from(["", "a", "a  ", "张三", "  b"])),
    "padded": (as_it_is, st.sampled_from(["", "a", "x y"])),
    '"char"': (as_it_is, st.sampled_from(["", "q"])),
    "mood": (as_it_is, st.sampled_from(["sad", "ok, then", "好"])),
    "bytea": (octets, st.binary().map(lambda b: "\\x" + b.hex())),
    "date": (day, DATES),
    "timestamp": (instant(8), MOMENTS),
    "timestamp(3)": (instant(8), MOMENTS.filter(lambda s: not s.startswith(("9999-12-31", "294276")))),
    "timestamptz": (instant(9), MOMENTS),
    "time": (as_it_is, st.times().map(str) | st.just("24:00:00")),
    "timetz": (as_it_is, st.sampled_from(["00:00:00+14", "12:34:56.789-05:30"])),
    "interval": (
        as_it_is,
        st.sampled_from(["1 year 2 mons -3 days", "-178000000 years", "838:59:59.1", "0"]),
    ),
    "uuid": (as_it_is, st.uuids().map(str)),
    "json": (as_it_is, st.sampled_from(['{"a":  1, "a": 2}', "null", '"张"', "1.0"])),
    "jsonb": (as_it_is, st.sampled_from(['{"b": 1.00, "a": null}', "[]"])),
    "xml": (as_it_is, st.sampled_from(["<a>张</a>", "x"])),
    "integer[]": (as_it_is, st.sampled_from(["{}", "{1,NULL}", "{{1,2},{3,4}}", "[2:3]={7,8}"])),
    "text[]": (as_it_is, st.sampled_from(['{"a b",NULL,"NULL",""}', "{}", '{"\\"","\\\\"}'])),
    "int4range": (as_it_is, st.sampled_from(["empty", "[1,5)", "(,)"])),
    "inet": (as_it_is, st.sampled_from(["10.0.0.1", "10.1.2.3/8", "::1"])),
    "cidr": (as_it_is, st.just("10.0.0.0/8")),
    "macaddr": (as_it_is, st.just("08:00:2b:01:02:03")),
    "bit(3)": (as_it_is, st.sampled_from(["000", "101"])),
    "varbit": (as_it_is, st.sampled_from(["", "1"])),
    "money": (as_it_is, st.sampled_from(["-92233720368547758.08", "1234.5"])),
    "point": (as_it_is, st.just("(1.1,-0)")),
    "tsvector": (as_it_is, st.just("'a':1 'b'")),
}


def reference(row: Sequence[str | None]) -> bytes:
    """Of a number and a value of each type, in their order."""
    cells = [integer, *(cell for cell, _ in TYPES.values())]
    return b"".join(b"\x00" if v is None else cell(v) for cell, v in zip(cells, row, strict=True))
