"""A message of HL7 v2 as text: what is built by its delimiters reads back, value by value, in any spelling."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.sources.kinds.hl7charset import decoded
from edge_agent.sources.kinds.hl7text import Segment, Syntax

PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
USUAL = Syntax("|", "^", "~", "\\", "&")

# Small alphabets: drawing from all of Unicode takes most of a test's time, and little of it means anything here.
syntaxes = st.lists(st.sampled_from(PUNCTUATION), min_size=2, max_size=6, unique=True).map(
    lambda marks: Syntax(*marks)
)
texts = st.text(st.sampled_from(PUNCTUATION + "aXF0 \t\x01\x05\x0b\x0c\x1c\x7f\x85\u2028é张𠮷"), max_size=8)


def escaped(syntax: Syntax, value: str) -> str:
    """The value as a sender writes it: every delimiter in it by its escape sequence."""
    letters = zip("FSRETP", _marks(syntax), strict=True)
    table = {mark: f"{syntax.escape}{letter}{syntax.escape}" for letter, mark in letters if mark}
    return "".join(table.get(character, character) for character in value)


def _marks(syntax: Syntax) -> tuple[str, ...]:
    return (
        syntax.separator,
        syntax.component,
        syntax.repetition,
        syntax.escape,
        syntax.subcomponent,
        syntax.truncation,
    )


def nested(parts: Sequence[tuple[str, int]], depth: int) -> list[Any]:
    """Values, each with the depth of the delimiter behind it, as lists within lists: none where there is no text."""
    groups: list[list[tuple[str, int]]] = [[]]
    for value, behind in parts:
        groups[-1].append((value, behind))
        if behind == depth:
            groups.append([])
    if depth == 0:
        return [] if [value for value, _ in parts] == [""] else [group[0][0] for group in groups]
    levels = [nested([*group[:-1], (group[-1][0], -1)], depth - 1) for group in groups]
    return levels if depth == 3 or levels != [[]] else []


@given(
    syntaxes.filter(lambda syntax: bool(syntax.escape)),
    st.lists(st.tuples(texts, st.integers(0, 4)), max_size=20),
    st.sampled_from(["\r", "\n", "\r\n"]),
)
def test_what_was_written_by_any_delimiters_reads_back(
    syntax: Syntax, values: list[tuple[str, int]], end: str
) -> None:
    delimiters = (
        syntax.subcomponent or syntax.component,
        syntax.component,
        syntax.repetition,
        syntax.separator,
        f"{end}ZZ1{syntax.separator}",
    )
    values = [(value, behind or 1 - bool(syntax.subcomponent)) for value, behind in values]
    others = "".join(_marks(syntax)[1:])
    text = f"MSH{syntax.separator}{others}{syntax.separator}x{end}PID{syntax.separator}"
    text += "".join(escaped(syntax, value) + delimiters[behind] for value, behind in [*values, ("z", 4)])
    expected: list[list[Any]] = [[]]
    for part in [*values, ("z", 4)]:
        expected[-1].append(part)
        if part[1] == 4:
            expected.append([])
    fields = [nested([*parts[:-1], (parts[-1][0], -1)], 3) for parts in expected[:-1]] + [[[]]]
    found = Syntax.declared(text)
    assert found == syntax
    head, *segments = found.segments(text)
    assert [list(map(found.parsed, segment.fields)) for segment in segments] == fields
    assert [json.loads(found.spelt(segment))[1:] for segment in segments] == fields
    assert json.loads(found.spelt(head)) == ["MSH", [[[syntax.separator]]], [[[others]]], [[["x"]]]]


noise = st.text(st.sampled_from('|^~\\&#aXF0."{[]}, \t\x01\x05\x07\x0c\x7f\u2028张'), max_size=30)


@example("\\a|\\F\\", USUAL)
@given(noise, st.just(USUAL) | syntaxes)
def test_fast_and_plain_spelling_are_one(text: str, syntax: Syntax) -> None:
    fields = text.split(syntax.separator)
    assert json.loads(f"[{syntax.spelt_fields(text)}]") == list(map(syntax.parsed, fields))


@given(noise)
def test_values_and_delimiters_are_the_field(text: str) -> None:
    syntax = Syntax("|", "^", "~", "", "&")
    text = text.replace("|", "")
    parsed = syntax.parsed(text)
    assert "~".join("^".join(map("&".join, repetition)) for repetition in parsed) == text
    assert syntax.value(text) == next((c[0] for r in parsed[:1] for c in r[:1] if c), "")


@given(st.lists(texts, min_size=1, max_size=4), st.sampled_from(["\r", "\n", "\r\n"]))
def test_other_line_breaks_than_the_ends_of_segments_stay_in_their_value(parts: list[str], end: str) -> None:
    other = {"\r": "\n", "\n": "\r", "\r\n": "\n"}[end]
    note = other.join(part.replace("|", "") or "x" for part in parts)
    text = end.join(["MSH|^~", "OBX|1", f"NTE|{note}|y", "ZZZ|z", ""])
    assert [(s.name, *s.fields) for s in USUAL.segments(text)[1:]] == [
        ("OBX", "1"),
        ("NTE", note, "y"),
        ("ZZZ", "z"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MSH|^~\r\rPID|1\r\r\rPV1|2\r", [("PID", ["1"]), ("PV1", ["2"])]),
        ("MSH|^~\n  PID|1\n\tPV1|2", [("PID", ["1"]), ("PV1", ["2"])]),
        ("MSH|^~\rPID|1\nPV1|2\r\nAL1|3", [("PID", ["1"]), ("PV1", ["2"]), ("AL1", ["3"])]),
        ("MSH|^~\nPID|1\nand more|of it\nPV1", [("PID", ["1"]), ("", ["and more|of it"]), ("PV1", [])]),
        ("MSH|^~\rNTE|a\n\n\rZZZ|", [("NTE", ["a\n\n"]), ("ZZZ", [""])]),
        ("MSH|^~\rNTE|a\nCT1\nb\rZZZ||", [("NTE", ["a\nCT1\nb"]), ("ZZZ", ["", ""])]),
        ("MSH|^~\rpid|1", [("", ["pid|1"])]),
    ],
)
def test_a_line_is_a_segment_where_it_says_so(text: str, expected: list[tuple[str, list[str]]]) -> None:
    assert [(s.name, list(s.fields)) for s in USUAL.segments(text)[1:]] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f"),
        (r"\X0D0A\x\X41\ ", "\r\nxA "),
        (r"\XE5BCA0\\XE5BC\ ", "张\\XE5BC\\ "),
        (r"\X\ \X4\ \X4G\ \x41\ ", r"\X\ \X4\ \X4G\ \x41\ "),
        (r"\.br\ \.sp+3\ \H\x\N\ \C2842\ \M2442\ \Zlocal\ \P\ \f\ ", None),
        (r"C:\temp\F\ ", None),
        ("\\", None),
        ('""', None),
        ("\\\\", None),
        (r"\\F\|", None),
    ],
)
def test_only_escape_sequences_of_characters_are_resolved(value: str, expected: str | None) -> None:
    assert USUAL.plain(value) == (value if expected is None else expected)


def test_bytes_in_an_escape_sequence_are_of_the_encoding_of_the_message() -> None:
    assert Syntax("|", "^", "~", "\\", encoding="gb18030").plain(r"\XD5C5\ ") == "张 "


def test_an_escape_sequence_of_what_is_not_declared_stays() -> None:
    assert Syntax("|", "^", "~", "\\").plain(r"\T\ \S\ \P\ ") == r"\T\ ^ \P\ "


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("MSH|^~\\&|x", USUAL),
        ("MSH|^~\\&", USUAL),
        ("MSH|^~\\&#|x", Syntax("|", "^", "~", "\\", "&", "#")),
        ("BHS$%\rMSH", Syntax("$", "%")),
        ("MSH|^^\\&|", None),
        ("MSH|^~\\|\\&", Syntax("|", "^", "~", "\\")),
        ("MSH||x", None),
        ("MSH|ab|x", None),
        ("MSH|^~\\&amp;|", None),
        ("MSH|", None),
        ("MSH", None),
        ("MSHx^~|", None),
        ("MSH张^~张", None),
    ],
)
def test_delimiters_are_those_that_are_declared(head: str, expected: Syntax | None) -> None:
    assert Syntax.declared(head) == expected


def test_a_field_that_is_not_there_is_empty() -> None:
    segment = Segment("MSH", ["|", "^~\\&", "", "x"])
    assert [segment.field(n) for n in (1, 2, 3, 4, 5)] == ["|", "^~\\&", "", "x", ""]
    assert USUAL.spelt(segment) == r'["MSH",[[["|"]]],[[["^~\\&"]]],[],[[["x"]]]]'


@pytest.mark.parametrize(
    ("field", "component", "expected"),
    [("1&2^3~4", 1, "1"), ("1&2^3~4", 2, "3"), ("1", 2, ""), ("~4", 1, ""), ("", 1, ""), (r"\T\&1", 1, "&")],
)
def test_a_value_is_of_the_first_repetition(field: str, component: int, expected: str) -> None:
    assert USUAL.value(field, component) == expected


CHINESE = "姓名：张三，男，门诊号００１"


@pytest.mark.parametrize(
    ("text", "written_in", "declared", "rule", "expected"),
    [
        (CHINESE, "utf-8", [""], "utf-8", "utf-8"),
        (CHINESE, "gb18030", [""], "utf-8", "gb18030"),
        (CHINESE + "𠮷㐀", "gb18030", [""], "auto", "gb18030"),
        (CHINESE, "gb18030", ["ASCII"], "auto", "gb18030"),
        (CHINESE, "gb18030", ["UNICODE UTF-8"], "auto", "gb18030"),
        (CHINESE, "gb18030", ["UNICODE"], "gbk", "gbk"),
        (CHINESE, "gb18030", ["GB 18030-2000"], "utf-8", "gb18030"),
        (CHINESE, "gb18030", ["", "GBK"], "latin-1", "gb18030"),
        (CHINESE, "utf-8", ["8859/1"], "utf-8", "utf-8"),
        (CHINESE, "gb18030", ["8859/1"], "gb18030", "gb18030"),
        ("Müller", "latin-1", ["8859/1"], "auto", "iso8859_1"),
        ("Müller", "latin-1", ["ISO-8859-1"], "utf-8", "iso8859_1"),
        ("Žižek", "iso8859_2", ["8859/2"], "utf-8", "iso8859_2"),
        ("臺灣病歷", "big5", ["BIG-5"], "utf-8", "cp950"),
        ("臺灣病歷", "big5", ["CNS 11643-1992"], "big5", "big5"),
        ("山田太郎", "iso2022_jp", ["ASCII", "ISO IR87"], "utf-8", "iso2022_jp_ext"),
        ("한국", "cp949", ["KS X 1001"], "utf-8", "cp949"),
        ("x", "ascii", ["ASCII"], "utf-8", "ascii"),
    ],
)
def test_the_encoding_is_what_is_declared_if_the_bytes_agree(
    text: str, written_in: str, declared: list[str], rule: str, expected: str
) -> None:
    assert decoded(text.encode(written_in), declared, rule) == (text, expected)


def test_the_mark_of_utf_8_counts_more_than_a_word() -> None:
    assert decoded("张".encode(), ["GBK"], "gbk", marked=True) == ("张", "utf-8")
    assert decoded("张".encode("gbk"), ["GBK"], "gbk", marked=True) == ("张", "gb18030")


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (CHINESE.encode()[:-1], "utf-8"),
        ("姓名：张三".encode()[1:], "auto"),
        ("诊断：肺炎".encode().replace(b"\x96", b""), "utf-8"),
        (CHINESE.encode("gb18030") + b"\xff", "auto"),
        (CHINESE.encode("gb18030"), "ascii"),
        (b"MSH|+AGE", "utf-16"),
        (b"MSH|+2AA-", "utf-7"),
    ],
)
def test_what_is_no_text_is_not_taken_for_any(data: bytes, rule: str) -> None:
    assert decoded(data, [""], rule) is None
