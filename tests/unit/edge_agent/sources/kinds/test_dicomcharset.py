"""Texts in the character sets of DICOM, by a writer of ISO 2022 of these tests' own, and what is none."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.dicomcharset import Charset

ALONE = {"ISO_IR 192": "utf-8", "GB18030": "gb18030", "GBK": "gbk"}
HALVES = {
    "100": ("-A", "iso8859_1"),
    "101": ("-B", "iso8859_2"),
    "109": ("-C", "iso8859_3"),
    "110": ("-D", "iso8859_4"),
    "126": ("-F", "iso8859_7"),
    "127": ("-G", "iso8859_6"),
    "138": ("-H", "iso8859_8"),
    "144": ("-L", "iso8859_5"),
    "148": ("-M", "iso8859_9"),
    "149": ("$)C", "euc_kr"),
    "166": ("-T", "tis_620"),
    "203": ("-b", "iso8859_15"),
    "58": ("$)A", "gb2312"),
}
plain = st.text("Aa1 .-~()$", max_size=6)


@cache
def graphic(codec: str) -> st.SearchStrategy[str]:
    """Characters of the right half of a set, so that each piece begins where the left half ends."""
    known = []
    for point in [*range(0xA0, 0x3000), *range(0x3000, 0xD7A4, 7), *range(0xFF61, 0xFFA0)]:
        try:
            code = chr(point).encode(codec)
        except UnicodeEncodeError:
            continue
        if all(byte >= 0xA0 for byte in code) and len(code) <= 2:
            known.append(chr(point))
    return st.text(st.sampled_from(known), min_size=1, max_size=4)


@given(st.sampled_from(sorted(ALONE)), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_text_of_a_set_that_stands_alone(term: str, text: str) -> None:
    codec = ALONE[term]
    text = text.encode(codec, "ignore").decode(codec)
    assert Charset.of(term).decoded(text.encode(codec)) == text


def in_pieces(number: str) -> st.SearchStrategy[tuple[str, list[tuple[str, str, str]]]]:
    pieces = st.tuples(plain, graphic(HALVES[number][1]), st.sampled_from(["^", "=", "\\", ""]))
    return st.tuples(st.just(number), st.lists(pieces, max_size=5))


@given(st.one_of([in_pieces(number) for number in sorted(HALVES)]))
def test_a_text_with_escape_sequences(drawn: tuple[str, list[tuple[str, str, str]]]) -> None:
    """A set is called anew behind each delimiter of a name; without delimiter it stays."""
    number, pieces = drawn
    call, codec = HALVES[number]
    raw, text, is_called = b"", "", False
    for left, right, delimiter in pieces:
        raw += (
            left.encode()
            + (b"" if is_called else b"\x1b" + call.encode())
            + right.encode(codec)
            + delimiter.encode()
        )
        text += left + right + delimiter
        is_called = delimiter == ""
    assert Charset.of(f"\\ISO 2022 IR {number}").decoded(raw, b"\\^=") == text
    alone = "".join(left + right for left, right, _ in pieces)
    assert Charset.of(f"ISO_IR {number}").decoded(alone.encode(codec)) == alone


@pytest.mark.parametrize(
    ("declared", "raw", "text"),
    [
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        (
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        ),
        ("ISO_IR 13", b"\x7e1\\2", "‾1\\2"),
        ("\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x1b(B1", "丂1"),
        (
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            "Hong^Gildong=洪^吉洞",
        ),
        (
            "\\ISO 2022 IR 58",
            b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
            "Zhang^XiaoDong=张^小东=",
        ),
        ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
        ("GBK", b"\x8f\x5c^\xd5\x5e", "廫^誢"),
        ("ISO-IR 100", b"J\xe9r\xf4me", "Jérôme"),
        ("iso 2022 ir 100", b"J\xe9r\xf4me", "Jérôme"),
        ("ISO_IR 100", b"\x1b$)A\xd5\xc5", "张"),
    ],
)
def test_a_known_text(declared: str, raw: bytes, text: str) -> None:
    assert Charset.of(declared).decoded(raw, b"\\^=") == text


@pytest.mark.parametrize(
    ("declared", "raw"),
    [
        ("", "王".encode("gbk")),
        ("ISO_IR 6", b"J\xe9r\xf4me"),
        ("ISO_IR 192", "王".encode("gbk")),
        ("GB18030", b"\xcd"),
        ("ISO_IR 100", b"\x8f\x5c"),
        ("\\ISO 2022 IR 58", b"\xd5\xc5"),
        ("\\ISO 2022 IR 58", b"\x1b$)A\xd5\xc5^\xd0\xa1"),
        ("\\ISO 2022 IR 58", b"\x1b$)A\xd5"),
        ("\\ISO 2022 IR 87", b"\x1b$B;3E"),
        ("\\ISO 2022 IR 87", b"\x1b$@;3"),
        ("\\ISO 2022 IR 87", b"\x1b"),
        ("KOI8", b"\xd5\xc5"),
    ],
)
def test_what_is_no_text_of_its_set_is_none(declared: str, raw: bytes) -> None:
    assert Charset.of(declared).decoded(raw, b"\\^=") is None


@given(
    st.sampled_from(["", "\\ISO 2022 IR 87", "ISO 2022 IR 13", "\\ISO 2022 IR 58", "GBK", "ISO_IR 166"]),
    st.binary(),
)
def test_any_bytes_are_a_text_or_none(declared: str, raw: bytes) -> None:
    text = Charset.of(declared).decoded(raw, b"\\^=")
    if text is not None and b"\x1b" not in raw and raw.isascii() and "13" not in declared:
        assert text == raw.decode()


def test_a_rule_names_only_a_set_that_is_known() -> None:
    assert (
        FileRule(glob="*", kind="dicom", dicom_charset="\\ISO 2022 IR 58").dicom_charset == "\\ISO 2022 IR 58"
    )
    with pytest.raises(ValidationError):
        FileRule(glob="*", kind="dicom", dicom_charset="KOI8")
