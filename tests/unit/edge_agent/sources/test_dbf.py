"""DBF files: every type as it was written, what no column carries aside, and files that contradict themselves."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds import dbf_memo
from edge_agent.sources.kinds.dbf import SLICE_BYTES, SLICE_ROWS, DbfKind
from edge_agent.sources.kinds.kind import Opened
from protocol.errors import Rejected
from tests.unit.edge_agent.sources.dbf_writer import (
    BINARY,
    NULLABLE,
    VISUAL,
    Spec,
    dbf,
    dbt3,
    dbt4,
    fpt,
    opened,
    read,
    rows_of,
    table,
    values,
)

NAME = Spec("NAME", "C", 12)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    assert caught.value.code == "GC-2008"
    return str(caught.value.facts["problem"])


def one(spec: Spec, value: bytes, **more: Any) -> tuple[Any, tuple[str, bytes] | None]:
    """A value and its aside, of a file that has nothing else."""
    ((row, aside),) = read(dbf([spec], [[value]], **more))
    return row[0], aside.get(str(spec.name))


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
        (Spec("X", "N", 5), b"1e+-1", "type"),
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


# Records: which are rows.


def names(data: bytes, **rule: Any) -> list[str]:
    return [row[0] for row in values(data, **rule)]


def people(*given: str, **more: Any) -> bytes:
    return dbf([NAME], [[name.encode("gb18030")] for name in given], **more)


def test_deleted_records_are_no_rows() -> None:
    assert names(people("a", "b", "c", deleted=[1])) == ["a", "c"]
    assert names(people(*"abc" * 4000, deleted=range(12_000))) == []


@pytest.mark.parametrize("end", [b"\x1a", b"", b"\0" * 600, b"\x1a" * 200, b"\x1a deleted long", b" half"])
def test_what_follows_the_last_record_is_no_row(end: bytes) -> None:
    assert names(people("a", "b", end=end)) == ["a", "b"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_records_behind_the_count_are_rows_until_the_end_is_marked(count: int) -> None:
    assert names(people("a", "b", "c", count=count)) == ["a", "b", "c"]
    assert names(people("a", "b", count=count, end=b"\x1a" + b" stale".ljust(13))) == ["a", "b"]


def test_a_file_that_ends_before_its_count_is_refused() -> None:
    whole = people("a", "b")
    for data in (
        people("a", "b", count=3),
        whole[:-2],
        whole[: len(whole) - 13],
        people("a", count=2**32 - 1),
    ):
        assert "cut off" in refusal(lambda data=data: table(data))  # type: ignore[misc]
    marked = people("a", "b", count=1) + people("c")[-14:]
    assert "cut off" in refusal(lambda: values(marked[:4] + b"\x04\0\0\0" + marked[8:]))


def test_a_record_with_neither_mark_is_refused_with_its_number() -> None:
    data = bytearray(people("a", "b", "c"))
    data[-14 - 13] = ord("x")
    with pytest.raises(Rejected) as caught:
        values(bytes(data))
    assert (caught.value.facts["line"], caught.value.code) == (2, "GC-2008")


def test_a_file_grows_by_what_a_program_appends() -> None:
    assert names(people("a", "b", count=1, end=b"")) == ["a", "b"]
    assert names(people("a", "b", count=1, end=b"")[:-1]) == ["a"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "does not begin"),
        (b"NAME,AGE\r\n", "does not begin"),
        (people("a")[:40], "ends within its header"),
        (b"\x02" + people("a")[1:], "does not begin"),
        (people("a")[:15] + b"\1" + people("a")[16:], "encrypted"),
        (people("a")[:10] + b"\x0e\0" + people("a")[12:], "do not make up"),
        (people("a")[:8] + b"\x30\0" + people("a")[10:], "do not make up"),
        (b"\x04" + people("a")[1:43] + b"\0" + people("a")[44:], "dBase 7"),
        (dbf([], []), "no fields"),
        (dbf([Spec("", "C", 1)], []), "no name"),
        (dbf([Spec("A", "C", 0)], []), "do not make up"),
        (
            dbf(
                [
                    Spec("V", "V", 2, 0, 2),
                    Spec("W", "V", 2),
                    *[Spec(f"V{i}", "V", 1) for i in range(9)],
                    Spec("_NullFlags", "0", 1),
                ],
                [],
                version=VISUAL,
            ),
            "null flags",
        ),
    ],
)
def test_what_is_no_table_is_refused(data: bytes, problem: str) -> None:
    assert problem in refusal(lambda: table(data))


def test_a_header_that_is_longer_than_its_fields_must_lead_to_the_records() -> None:
    data = people("a", "b")
    longer = data[:8] + b"\x45\0" + data[10:65] + b"junk" + data[65:]
    assert names(longer) == ["a", "b"]
    assert names(longer[:65] + bytes(4) + longer[69:-1] + b" c".ljust(13)) == ["a", "b", "c"]
    assert "behind it" in refusal(lambda: table(longer + b"more"))
    shifted = people("a", "b", count=1)
    assert "behind it" in refusal(lambda: table(shifted[:8] + b"\x45\0" + shifted[10:]))


def test_a_header_without_its_end_is_read_by_its_length() -> None:
    data = people("a")
    assert names(data[:8] + b"\x40\0" + data[10:64] + data[65:]) == ["a"]


def test_the_byte_that_lengthens_a_text_may_be_a_leftover() -> None:
    data = bytearray(people("a"))
    data[32 + 17] = 9
    assert names(bytes(data)) == ["a"]


def test_names_are_text_of_the_code_page_and_tell_fields_apart() -> None:
    specs = [
        Spec("姓名", "C", 4),
        Spec("姓名", "N", 3),
        Spec("姓名_2", "C", 1),
        Spec(b"\xd0\xd5\xc3", "C", 1),
        Spec(b"A\0B", "C", 1),
    ]
    columns = table(dbf(specs, [])).columns
    assert [c.name for c in columns] == ["姓名", "姓名_3", "姓名_2", "姓\\xc3", "A"]
    assert columns[1].meta == {"name_in_file": "姓名"}
    assert [c.source_type for c in columns] == ["C(4)", "N(3)", "C(1)", "C(1)", "C(1)"]


def test_columns_are_of_the_types_that_carry_every_value() -> None:
    specs = [Spec("A", "N", 10, 2), Spec("B", "N", 20, 18), Spec("C", "N", 20, 19), Spec("D", "N", 3)]
    wires = [c.wire for c in table(dbf(specs, [])).columns]
    assert wires == [pa.decimal128(12, 2), pa.decimal128(38, 18), pa.string(), pa.decimal128(3, 0)]


# Code pages.


def charset_of(data: bytes, beside: dict[str, bytes] | None = None, **rule: Any) -> str:
    return table(data, beside, **rule).columns[0].meta["charset"]


def test_who_says_the_code_page() -> None:
    data = people("张三", language=0x03)
    assert charset_of(data) == "cp1252"
    assert charset_of(data, {".cpg": b"GBK"}) == "gb18030"
    assert charset_of(data, {".cpg": b"GBK"}, encoding="big5") == "big5"
    assert charset_of(data, {".cpg": b"GBK"}, encoding="auto") == "gb18030"
    assert charset_of(data, {".cpg": b" \r\n"}) == "cp1252"
    assert charset_of(people("张三", language=0xEE)) == "gb18030"
    assert charset_of(people("张三", language=0x4D)) == "gb18030"


@pytest.mark.parametrize(
    ("cpg", "charset"),
    [
        (b"UTF-8", "utf-8"),
        (b"65001\n", "utf-8"),
        (b"936", "gb18030"),
        (b"ANSI 1251", "cp1251"),
        (b"OEM 866", "cp866"),
        (b"88591", "iso8859-1"),
        (b"ISO 8859-15", "iso8859-15"),
        (b"gb2312", "gb18030"),
        (b"CP950", "cp950"),
        (b"windows-1252", "cp1252"),
    ],
)
def test_code_pages_of_a_cpg_file(cpg: bytes, charset: str) -> None:
    assert charset_of(people("a"), {".cpg": cpg}) == charset


def test_an_encoding_that_no_dbf_file_has_is_refused() -> None:
    assert "declare `encoding`" in refusal(lambda: table(people("a"), {".cpg": b"klingon"}))
    assert "rule" in refusal(lambda: table(people("a"), encoding="utf-16"))


def test_without_a_code_page_the_text_itself_tells() -> None:
    assert charset_of(people("a")) == "gb18030"
    assert charset_of(people("张三", "李四")) == "gb18030"
    utf_8 = dbf([NAME], [["张三".encode()], ["王小明明明".encode()[:12]]])
    assert (charset_of(utf_8), names(utf_8)[0]) == ("utf-8", "张三")
    russian = dbf([NAME], [["ОРОШЕЙКО".encode("cp866")], [b"ascii"]])
    assert charset_of(russian) == "ascii"
    assert read(russian) == [
        ([None], {"NAME": ("charset", "ОРОШЕЙКО".encode("cp866").ljust(12))}),
        (["ascii"], {}),
    ]


# Memos.

NOTE = Spec("NOTE", "M", 10)
MEMOS = ["第一次就诊".encode("gb18030"), b"", b"\x1f" * 600, "三".encode("gb18030") * 5000]


def with_memos(blocks: Sequence[int | bytes], **more: Any) -> bytes:
    return dbf([NOTE], [[b if isinstance(b, bytes) else b"%10d" % b] for b in blocks], **more)


@pytest.mark.parametrize("block_bytes", [1, 33, 64, 512, 16_384])
def test_memos_of_foxpro(block_bytes: int) -> None:
    file, blocks = fpt([(1, memo) for memo in MEMOS], block_bytes)
    expected = [[memo.decode("gb18030")] for memo in MEMOS]
    assert values(with_memos(blocks, version=0xF5), {".fpt": file}) == expected
    visual = dbf([Spec("NOTE", "M", 4)], [[struct.pack("<I", b)] for b in blocks], version=VISUAL)
    assert values(visual, {".fpt": file, ".dbt": b""}) == expected


@pytest.mark.parametrize("block_bytes", [64, 512, 1024])
def test_memos_of_dbase_4(block_bytes: int) -> None:
    file, blocks = dbt4(MEMOS, block_bytes)
    expected = [[memo.decode("gb18030")] for memo in MEMOS]
    assert values(with_memos(blocks, version=0x8B), {".dbt": file, ".fpt": b""}) == expected
    objects = dbf([Spec("O", "B", 10)], [[b"%10d" % b] for b in blocks], version=0x8B)
    assert values(objects, {".dbt": file}) == [[memo] for memo in MEMOS]


def test_memos_of_dbase_3() -> None:
    file, blocks = dbt3(MEMOS)
    assert values(with_memos(blocks, version=0x83), {".dbt": file}) == [[m.decode("gb18030")] for m in MEMOS]


def test_no_memo_is_null() -> None:
    assert values(with_memos([b"", 0, bytes(10)], version=0x83), {".dbt": dbt3([])[0]}) == [[None]] * 3
    visual = dbf([Spec("NOTE", "M", 4)], [[bytes(4)], [b"    "]], version=VISUAL)
    assert values(visual) == [[None]] * 2


@pytest.mark.parametrize(
    ("version", "beside"),
    [
        (0xF5, {}),
        (0xF5, {".fpt": b""}),
        (0xF5, {".fpt": bytes(600)}),
        (0xF5, {".fpt": fpt([(1, b"x" * 50)])[0][:-1]}),
        (0x8B, {".dbt": b""}),
        (0x8B, {".dbt": dbt4([b"abc"], 64)[0].replace(b"\x0b\0\0\0", b"\x01\0\0\0")}),
        (0x8B, {".dbt": dbt4([b"abc"], 64)[0].replace(b"\xff\xff", b"\xff\xfe")}),
        (0x83, {".dbt": bytes(512 * 20)}),
    ],
)
def test_a_pointer_into_nowhere_stands_aside_and_its_row_goes_on(
    version: int, beside: dict[str, bytes]
) -> None:
    data = with_memos([8, 10**9, b"x" * 10], version=version)
    found = read(data, beside)
    assert [row for row, _ in found] == [[None]] * 3
    originals = [aside["NOTE"] for _, aside in found]
    assert originals == [("type", b"%10d" % 8), ("type", b"1000000000"), ("type", b"x" * 10)]


def test_an_object_in_a_column_of_texts_stands_aside_and_undecodable_text_too() -> None:
    file, blocks = fpt([(0, b"\x89PNG"), (1, b"\xff\xff"), (1, b"ok")])
    found = read(with_memos(blocks, version=0xF5), {".fpt": file})
    assert found == [
        ([None], {"NOTE": ("type", b"\x89PNG")}),
        ([None], {"NOTE": ("charset", b"\xff\xff")}),
        (["ok"], {}),
    ]
    pictures = dbf(
        [Spec("P", "G", 10), Spec("M", "M", 10, flags=BINARY)], [[b"%10d" % blocks[0]] * 2], version=VISUAL
    )
    assert values(pictures, {".fpt": file}) == [[b"\x89PNG", b"\x89PNG"]]


def test_memos_come_in_slices_of_bounded_size() -> None:
    file, blocks = fpt([(1, b"%d" % i + b"x" * (MIB_HALF + i)) for i in range(40)])
    one_file = table(with_memos(blocks, version=0xF5), {".fpt": file})
    slices = list(one_file.rows())
    assert all(rows.nbytes <= SLICE_BYTES for rows in slices)
    found = [row[0] for row, _ in rows_of(one_file)]
    assert [len(text) - len(str(i)) for i, text in enumerate(found)] == [MIB_HALF + i for i in range(40)]
    assert [text[: len(str(i))] for i, text in enumerate(found)] == [str(i) for i in range(40)]


MIB_HALF = 512 * 1024


def test_memos_that_would_fill_the_memory_or_never_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    file, blocks = fpt([(1, b"x" * 3000)])
    shared = with_memos(blocks * 100, version=0xF5)
    assert "over and over" in refusal(lambda: values(shared, {".fpt": file}))
    monkeypatch.setattr(dbf_memo, "MEMO_BYTES_MAX", 2999)
    assert "longer than" in refusal(lambda: values(with_memos(blocks, version=0xF5), {".fpt": file}))
    three, blocks = dbt3([b"x" * 3000])
    assert "longer than" in refusal(lambda: values(with_memos(blocks, version=0x83), {".dbt": three}))
    wide = dbf(
        [NOTE, Spec("N", "M", 10)], [[b"%10d" % b for b in fpt([(1, b"x" * 2000)])[1] * 2]], version=0xF5
    )
    assert "longer than" in refusal(lambda: values(wide, {".fpt": fpt([(1, b"x" * 2000)])[0]}))


class Counting(io.BytesIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.count += len(found)
        return found


def test_a_memo_file_without_an_end_is_not_read_for_each_pointer() -> None:
    stream = Counting(bytes(512 * 2000))
    data = with_memos(range(1, 2000), version=0x83)
    source = Opened("f.dbf", io.BytesIO(data), len(data), {".dbt": stream})
    (found,) = DbfKind().tables(source, FileRule(glob="*", kind="dbf"))
    assert len(rows_of(found)) == 1999
    assert stream.count < 3 * 512 * 2000


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


# How it is read.


def test_slices_are_bounded_and_the_file_is_read_in_pieces() -> None:
    wide = dbf([Spec("A", "C", 60_000), Spec("N", "N", 6)], [[b"%d" % i, b"%d" % i] for i in range(300)])
    sizes: list[int] = []

    class Noting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(len(wide) if size is None or size < 0 else size)
            return super().read(size)

    (found,) = DbfKind().tables(Opened("f", Noting(wide), len(wide)), FileRule(glob="*", kind="dbf"))
    assert [row for row, _ in rows_of(found)] == [[str(i), i] for i in range(300)]
    assert max(sizes) <= SLICE_BYTES
    many = table(people(*map(str, range(20_001))))
    slices = list(many.rows())
    assert max(rows.count for rows in slices) <= SLICE_ROWS
    assert [row[0] for row, _ in rows_of(many)] == [str(i) for i in range(20_001)]


def test_it_can_be_read_again() -> None:
    found = table(people("a", "b"))
    assert rows_of(found) == rows_of(found)
    assert DbfKind().tables(opened(people("a")), FileRule(glob="*"))[0].part == ""
