"""DBF files: which records are rows, what a header may say, code pages, and files that contradict themselves."""

from __future__ import annotations

import codecs
import io
from typing import Any

import pytest
from dbfread.codepages import codepages
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.dbf import SLICE_BYTES, SLICE_ROWS, DbfKind
from edge_agent.sources.kinds.kind import Opened
from protocol.errors import Rejected
from tests.unit.edge_agent.sources.dbf_writer import (
    VISUAL,
    Spec,
    dbf,
    opened,
    read,
    refusal,
    rows_of,
    table,
    values,
)

NAME = Spec("NAME", "C", 12)


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
    assert charset_of(people("张三", language=0x57)) == "gb18030"
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


@given(
    st.binary(max_size=12)
    | st.sampled_from(["a\0b", "hex", "idna", "undefined", "punycode", "utf-16", "0" * 300]).map(str.encode)
)
def test_whatever_a_cpg_file_holds_is_a_code_page_or_a_refusal(cpg: bytes) -> None:
    try:
        found = charset_of(people("a"), {".cpg": cpg})
    except Rejected as refused:
        code = refused.code
    else:
        assert "a".encode(found) == b"a"
        return
    assert code == "GC-2008"


@pytest.mark.parametrize("language", range(256))
def test_every_language_driver_is_a_code_page_or_says_nothing(language: int) -> None:
    found = charset_of(people("a", language=language))
    said = codepages.get(language, ("", ""))[0] if language not in (0, 0x57) else ""
    assert found == {"": "gb18030", "cp936": "gb18030"}.get(said) or codecs.lookup(said).name


def test_an_encoding_that_no_dbf_file_has_is_refused() -> None:
    assert "declare `encoding`" in refusal(lambda: table(people("a"), {".cpg": b"klingon"}))
    assert "rule" in refusal(lambda: table(people("a"), encoding="utf-16"))


def test_without_a_code_page_the_text_itself_tells() -> None:
    assert charset_of(people("a")) == "gb18030"
    assert charset_of(people("张三", "李四")) == "gb18030"
    utf_8 = dbf([NAME], [["张三".encode()], ["王小明明明".encode()[:12]]])
    assert (charset_of(utf_8), names(utf_8)[0]) == ("utf-8", "张三")
    big5 = dbf([NAME], [["醫院門診".encode("big5")]])
    assert (charset_of(big5), names(big5)) == ("big5", ["醫院門診"])
    for other in ("cp1251", "cp866", "cp1252"):
        text = ["Ольга", "Иванова"] if other != "cp1252" else ["José", "Müller"]
        assert charset_of(dbf([NAME], [[one.encode(other)] for one in text])) == "ascii"
    russian = dbf([NAME], [["ОРОШЕЙКО".encode("cp866")], [b"ascii"]])
    assert charset_of(russian) == "ascii"
    assert read(russian) == [
        ([None], {"NAME": ("charset", "ОРОШЕЙКО".encode("cp866").ljust(12))}),
        (["ascii"], {}),
    ]


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
