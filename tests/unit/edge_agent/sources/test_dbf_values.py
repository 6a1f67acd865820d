"""Values of DBF files: every type as it was written, and what no column carries aside."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.edge_agent.sources.dbf_writer import (
    BINARY,
    NULLABLE,
    VISUAL,
    Spec,
    dbf,
    one,
    read,
    table,
    values,
)

# Values of every type, as (spec, value, bytes).

_CHINESE = "张三李四王五病历号门诊科室㐀𠮷·—々"
_ANY = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(_CHINESE), max_size=12)


def encoded(text: str, charset: str, width: int) -> tuple[str, bytes]:
    """The start of `text` that is exact in `charset` and fits `width`, without padding of its own."""
    kept, data = "", b""
    for char in text:
        try:
            more = char.encode(charset)
        except UnicodeError:
            continue
        if more.decode(charset) == char and len(data + more) <= width:
            kept, data = kept + char, data + more
    kept = kept.rstrip(" \0")
    return kept, kept.encode(charset)


@st.composite
def texts(draw: st.DrawFn) -> tuple[Spec, Any, bytes]:
    width = draw(st.sampled_from([1, 2, 10, 254, 300, 1000]))
    text, data = encoded(draw(_ANY), "gb18030", width)
    return Spec("X", "C", width), text, data


@st.composite
def numbers(draw: st.DrawFn) -> tuple[Spec, Any, bytes]:
    length, letter = draw(st.integers(1, 20)), draw(st.sampled_from("NF"))
    decimals = draw(st.integers(0, max(0, length - 2)))
    digits = draw(st.integers(0, 10 ** (length - bool(decimals)) - 1))
    if draw(st.booleans()):
        digits = -(digits // 10)
    number = Decimal(digits).scaleb(-decimals)
    spelt = f"{number:.{decimals}f}"
    if len(spelt) > length:
        return Spec("X", letter, length, decimals), None, b""
    return Spec("X", letter, length, decimals), number, spelt.encode()


def _bytes(
    form: str, letter: str, length: int, of: st.SearchStrategy[Any], value: Callable[[Any], Any] = lambda v: v
) -> st.SearchStrategy[tuple[Spec, Any, bytes]]:
    return of.map(lambda raw: (Spec("X", letter, length), value(raw), struct.pack(form, raw)))


def _moment(at: datetime) -> tuple[Spec, Any, bytes]:
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    ms = (at - datetime(at.year, at.month, at.day)) // timedelta(milliseconds=1)
    return Spec("X", "T", 8), at, struct.pack("<II", at.toordinal() + 1_721_425, ms)


CELLS = st.one_of(
    texts(),
    numbers(),
    st.dates().map(lambda d: (Spec("X", "D", 8), d, f"{d.year:04}{d.month:02}{d.day:02}".encode())),
    st.sampled_from(
        [(b"T", True), (b"y", True), (b"f", False), (b"N", False), (b"?", None), (b" ", None)]
    ).map(lambda pair: (Spec("X", "L", 1), pair[1], pair[0])),
    st.datetimes().map(_moment),
    _bytes("<i", "I", 4, st.integers(-(2**31), 2**31 - 1)),
    _bytes("<i", "+", 4, st.integers(-(2**31), 2**31 - 1)),
    _bytes("<d", "B", 8, st.floats(allow_nan=False)),
    _bytes("<d", "O", 8, st.floats(allow_nan=False)),
    _bytes("<q", "Y", 8, st.integers(-(2**63), 2**63 - 1), lambda raw: Decimal(raw) / 10_000),
    st.binary(min_size=7, max_size=7).map(lambda raw: (Spec("X", "X", 7), raw, raw)),
    st.binary(min_size=9, max_size=9).map(lambda raw: (Spec("X", "C", 9, flags=BINARY), raw, raw)),
)


@given(
    st.lists(CELLS, min_size=1, max_size=6),
    st.integers(1, 4),
    st.sets(st.integers(0, 3)),
    st.sampled_from([b"\x1a", b"", b"\x1a*"]),
)
def test_every_value_is_read_as_it_was_written(
    cells: list[tuple[Spec, Any, bytes]], count: int, deleted: set[int], end: bytes
) -> None:
    specs = [Spec(f"F{i}", s.letter, s.length, s.decimals, s.flags) for i, (s, _, _) in enumerate(cells)]
    record = [data for _, _, data in cells]
    file = dbf(specs, [record] * count, version=VISUAL, language=0x7A, deleted=tuple(deleted), end=end)
    expected = [[value for _, value, _ in cells]] * (count - len(deleted & set(range(count))))
    assert values(file) == expected


@given(
    st.lists(st.binary(max_size=8) | _ANY.map(lambda t: t.encode("gb18030")[:8]), max_size=6),
    st.sampled_from(["gb18030", "utf-8", "big5", "cp932", "cp866", "hz"]),
)
@example([b"a", b"\xfa\x4a", b"b"], "cp932")
@example([b"a\n", "张".encode("gb18030")], "gb18030")
@example(["张".encode("gb18030"), b"\xd5"], "gb18030")
def test_text_is_exact_or_stands_aside_with_its_bytes(contents: list[bytes], charset: str) -> None:
    found = read(dbf([Spec("T", "C", 8)], [[c] for c in contents]), encoding=charset)
    for content, ((text,), aside) in zip(contents, found, strict=True):
        data = content.rstrip(b" \0")
        try:
            exact = data.decode(charset).encode(charset) == data
        except UnicodeError:
            exact = False
        if exact:
            assert (text, aside) == (data.decode(charset), {})
        else:
            assert (text, aside) == (None, {"T": ("charset", content.ljust(8))})


@given(st.text("0123456789.+-eE* ,", max_size=12), st.integers(0, 4))
def test_a_number_is_exact_or_stands_aside(text: str, decimals: int) -> None:
    spec = Spec("N", "N", 12, decimals)
    value, aside = one(spec, text.encode())
    try:
        number = Decimal(text.strip(" "))
        fits = number == 0 or (number == round(number, decimals) and abs(number) < 10**12)
    except ArithmeticError:
        fits = False
    if not text.strip(" "):
        assert (value, aside) == (None, None)
    elif fits:
        assert aside is None
        assert value == number
    else:
        assert value is None
        assert aside is not None
        assert aside[1] == text.encode().rjust(12)


@pytest.mark.parametrize(
    ("spec", "data", "reason"),
    [
        (Spec("X", "N", 5), b"*****", "range"),
        (Spec("X", "N", 5, 1), b"1.25", "range"),
        (Spec("X", "N", 5), b"1,5", "type"),
        (Spec("X", "N", 20, 12), b"52909000e+-8", "type"),
        (Spec("X", "N", 5), b"\xd6\xd0", "type"),
        (Spec("X", "F", 20, 2), b"1e-30", "range"),
        (Spec("X", "F", 20, 2), b"1e999999999999", "range"),
        (Spec("X", "N", 40), b"*" * 40, "range"),
        (Spec("X", "N", 40), b"x", "type"),
        (Spec("X", "D", 8), b"00000000", "range"),
        (Spec("X", "D", 8), b"20230229", "range"),
        (Spec("X", "D", 8), b"2023 1 1", "range"),
        (Spec("X", "D", 8), b"00000101", "range"),
        (Spec("X", "L", 1), b"X", "type"),
        (Spec("X", "T", 8), struct.pack("<II", 0, 5), "range"),
        (Spec("X", "T", 8), struct.pack("<II", 2_440_588, 86_400_000), "range"),
        (Spec("X", "T", 8), b"\xff" * 8, "range"),
    ],
)
def test_what_no_column_carries_stands_aside_with_the_bytes_of_its_field(
    spec: Spec, data: bytes, reason: str
) -> None:
    field = data.rjust(spec.length) if spec.letter in "NF" else data.ljust(spec.length)
    assert one(spec, data, version=VISUAL) == (None, (reason, field))


@pytest.mark.parametrize(
    ("spec", "data", "value"),
    [
        (Spec("X", "N", 5), b"", None),
        (Spec("X", "N", 5), b"12\0\0\0", 12),
        (Spec("X", "N", 5), b"007", 7),
        (Spec("X", "N", 5, 2), b"12345", Decimal(12345)),
        (Spec("X", "F", 20, 2), b"1.5E+003", Decimal(1500)),
        (Spec("X", "N", 40), b"0012.50", "0012.50"),
        (Spec("X", "N", 40), b"1e5", "1e5"),
        (Spec("X", "D", 8), b"", None),
        (Spec("X", "D", 8), bytes(8), None),
        (Spec("X", "T", 8), bytes(8), None),
        (Spec("X", "T", 8), b"", None),
        (Spec("X", "C", 5), b" a b ", " a b"),
        (Spec("X", "C", 5), b"a\0\0", "a"),
        (Spec("X", "C", 5), b"", ""),
        (Spec("X", "I", 3), b"abc", b"abc"),
        (Spec("X", "D", 4), b"2023", b"2023"),
        (Spec("X", "B", 8), b"12345678", b"12345678"),
    ],
)
def test_what_a_field_may_hold(spec: Spec, data: bytes, value: Any) -> None:
    assert one(spec, data) == (value, None)


def test_columns_are_of_the_types_that_carry_every_value() -> None:
    specs = [Spec("A", "N", 10, 2), Spec("B", "N", 20, 18), Spec("C", "N", 20, 19), Spec("D", "N", 3)]
    wires = [c.wire for c in table(dbf(specs, [])).columns]
    assert wires == [pa.decimal128(12, 2), pa.decimal128(38, 18), pa.string(), pa.decimal128(3, 0)]


# Visual FoxPro's null flags.


def test_null_flags_tell_nulls_and_lengths() -> None:
    specs = [
        Spec("ID", "I", 4),
        Spec("V", "V", 5, 0, NULLABLE),
        Spec("C", "C", 3, 0, NULLABLE),
        Spec("Q", "Q", 4),
        Spec("D", "D", 8, 0, NULLABLE),
        Spec("B", "V", 2, 0, BINARY),
        Spec("N", "N", 3, 0, NULLABLE),
        Spec("L", "L", 1, 0, NULLABLE),
        Spec("M", "M", 4, 0, NULLABLE),
        Spec("_NullFlags", "0", 2, 0, 5),
    ]
    # Bits: 0 V is shorter, 1 V is null, 2 C, 3 Q is shorter, 4 D, 5 B is shorter, 6 N, 7 L, 8 M.
    i = struct.pack("<i", 7)
    rest = [b"20240229", b"ab", b"1", b"T", struct.pack("<I", 99)]
    records = [
        [i, b"ab \0\2", b"x", b"\0\1\2\3", *rest[:1], b"\0\1", *rest[2:], struct.pack("<H", 1 | 32 | 256)],
        [i, b"abcd ", b"x", b"\0\1\2\2", *rest, struct.pack("<H", 8 | 256)],
        [i, b"*****", b"?", b"\0\1\2\0", b"notadate", b"ab", b"***", b"?", rest[4], struct.pack("<H", 0x1DE)],
        [i, b"ab \0\5", b"x", b"\0\1\2\3", *rest, struct.pack("<H", 1 | 256)],
    ]
    found = read(dbf(specs, records, version=0x32, language=0x7A))
    day = date(2024, 2, 29)
    assert [row for row, _ in found] == [
        [7, "ab", "x", b"\0\1\2\3", day, b"\0", 1, True, None],
        [7, "abcd ", "x", b"\0\1", day, b"ab", 1, True, None],
        [7, None, None, b"", None, b"ab", None, None, None],
        [7, None, "x", b"\0\1\2\3", day, b"ab", 1, True, None],
    ]
    assert [aside for _, aside in found] == [{}, {}, {}, {"V": ("type", b"ab \0\5")}]
    assert "_NullFlags" not in [c.name for c in table(dbf(specs, [], version=0x32)).columns]


def test_nulls_of_no_visual_foxpro_are_what_they_are() -> None:
    assert one(Spec("_N", "0", 1, 0, 5), b"x") == (b"x", None)
    assert one(Spec("V", "V", 3), b"a\0\1") == (b"a\0\1", None)
