"""Kind `fixed`: every byte of a column as it stands, and a line of another length refused with its number."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.fixed import LINE_BYTES_MAX, FixedKind
from edge_agent.sources.kinds.fixedlines import BLOCK_BYTES
from edge_agent.sources.kinds.kind import Opened
from protocol.errors import Rejected


def read(data: bytes, *widths: int, **form: Any) -> tuple[list[str], list[tuple[Any, ...]], list[Any]]:
    """Columns, rows and asides of a file with this content."""
    opened = Opened("f.txt", io.BytesIO(data), len(data))
    (table,) = FixedKind().tables(opened, FileRule(glob="*", kind="fixed", widths=widths, **form))
    rows: list[tuple[Any, ...]] = []
    asides: list[Any] = []
    for piece in table.rows():
        rows += zip(*(column.to_pylist() for column in piece.columns), strict=True)
        asides += piece.asides or [None] * piece.count
    return [column.name for column in table.columns], rows, asides


def refusal(data: bytes, *widths: int, **form: Any) -> dict[str, Any]:
    with pytest.raises(Rejected) as caught:
        read(data, *widths, **form)
    return {"code": caught.value.code, **caught.value.facts}


NAMED = {"names": ("a", "b")}


@pytest.mark.parametrize("line_break", [b"\n", b"\r\n"])
@pytest.mark.parametrize("is_ended", [True, False])
def test_blanks_are_part_of_a_value(line_break: bytes, is_ended: bool) -> None:
    data = line_break.join([b"007 x ", b"    \t\r", b"      "]) + line_break * is_ended
    assert read(data, 4, 2, **NAMED) == (
        ["a", "b"],
        [("007 ", "x "), ("    ", "\t\r"), ("    ", "  ")],
        [None] * 3,
    )


def test_widths_are_bytes_of_the_encoding() -> None:
    data = "张三  男\n李小龙女\n".encode("gb18030")
    assert read(data, 6, 2, encoding="gb18030", **NAMED)[1] == [("张三  ", "男"), ("李小龙", "女")]
    data = "张三  男\r\n".encode("utf-16")
    assert read(data, 8, 2, encoding="utf-16", **NAMED)[1] == [("张三  ", "男")]


def test_half_a_character_stands_aside_with_its_bytes() -> None:
    data = "张三男\n".encode("gb18030")
    columns, rows, asides = read(data, 3, 3, encoding="gb18030", **NAMED)
    assert (columns, rows) == (["a", "b"], [(None, None)])
    assert [(entry["column"], entry["reason"], entry["original"]) for entry in asides[0]] == [
        ("a", "charset", data[:3]),
        ("b", "charset", data[3:6]),
    ]


def test_a_code_of_big5_that_leads_to_other_bytes_stands_aside() -> None:
    _, rows, asides = read(b"\xa4\x51ab\n\xa2\xcccd\n", 2, 2, encoding="big5", **NAMED)
    assert rows == [("十", "ab"), (None, "cd")]
    assert [entry["original"] for entry in asides[1]] == [b"\xa2\xcc"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_line_feed_is_a_unit_of_its_encoding_and_no_byte(encoding: str) -> None:
    text = "\u0a0a\u0a00\u000b\u010a"  # each holds the byte of a line feed
    assert (
        read(f"{text}\n{text}".encode(encoding), 4, 4, encoding=encoding, **NAMED)[1]
        == [(text[:2], text[2:])] * 2
    )
    assert refusal(f"{text[:3]}\n".encode(encoding), 4, 4, encoding=encoding, **NAMED)["line"] == 1


@pytest.mark.parametrize(
    ("data", "form", "expected"),
    [
        (b"id  name\n1   x   \n", {}, ["id", "name"]),
        (b"id  n\r\n1   x   \r\n", {}, ["id", "n"]),
        ("\ufeffid  na\n1   x   \n".encode(), {}, ["id", "na"]),
        (b"1   x   \n", {"header": False}, ["c1", "c2"]),
        (b"1   x   \n", {"names": ("编号", "姓名")}, ["编号", "姓名"]),
        ("\ufeff1   x   \n".encode(), {"names": ("a", "b")}, ["a", "b"]),
    ],
)
def test_names_come_from_a_line_the_rule_or_nowhere(
    data: bytes, form: dict[str, Any], expected: list[str]
) -> None:
    assert read(data, 4, 4, **form)[:2] == (expected, [("1   ", "x   ")])


@pytest.mark.parametrize(
    ("data", "form", "problem", "line"),
    [
        (b"", NAMED, "it is empty", 1),
        (b"1   x   \n2   x  \n", NAMED, "7 bytes instead of 8", 2),
        (b"1   x   \r\n2   x  \r\n", NAMED, "7 bytes instead of 8", 2),
        (b"1   x   \n\n2   x   \n", NAMED, "0 bytes instead of 8", 2),
        (b"1   x   \n2   x", NAMED, "5 bytes instead of 8", 2),
        (
            b"1   x   \n2   x   y\n",
            NAMED,
            "more than 8 bytes, or another line break than the first line has",
            2,
        ),
        (
            b"1   x   \r\n2   x   \n",
            NAMED,
            "more than 8 bytes, or another line break than the first line has",
            2,
        ),
        # A carriage return in a file of line feeds is no value: the line may be a byte short.
        (
            b"1   x   \n2   x   \r\n",
            NAMED,
            "more than 8 bytes, or another line break than the first line has",
            2,
        ),
        (
            b"1   x   \r2   x   \r",
            NAMED,
            "more than 8 bytes, or another line break than the first line has",
            1,
        ),
        (b"id  name\n1   x\n", {}, "5 bytes instead of 8", 2),
        (b"id  names\n1   x   \n", {}, "the header is longer than the widths together", 1),
        (b"id\n1   x   \n", {}, "a column has no name", 1),
        (b"id  id  \n1   x   \n", {}, "two columns have the same name", 1),
    ],
)
def test_another_line_is_refused_with_its_number(
    data: bytes, form: dict[str, Any], problem: str, line: int
) -> None:
    assert refusal(data, 4, 4, **form) == {
        "code": "GC-2008",
        "file": "f.txt",
        "problem": problem,
        "line": line,
    }


def test_a_header_that_is_no_text_is_refused() -> None:
    assert refusal("姓名\n张三\n".encode("gbk"), 4)["code"] == "GC-2011"


def test_widths_beyond_reason_are_refused() -> None:
    found = refusal(b"x\n", LINE_BYTES_MAX, 1, **NAMED)
    assert found["problem"] == "the widths of its rule are more than a line may have"


def test_the_number_counts_over_blocks() -> None:
    good = (b"x" * 1_023 + b"\n") * (BLOCK_BYTES // 1_000)
    assert len(read(good, 23, 1_000, **NAMED)[1]) == BLOCK_BYTES // 1_000
    assert refusal(good + b"1234567\n", 23, 1_000, **NAMED)["line"] == BLOCK_BYTES // 1_000 + 1


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4).flatmap(
        lambda widths: st.tuples(
            st.just(widths),
            st.lists(st.tuples(*[st.binary(min_size=w, max_size=w) for w in widths]), min_size=1, max_size=6),
        )
    ),
    st.sampled_from(["utf-8", "gb18030", "big5", "latin-1"]),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_each_value_is_its_text_or_its_bytes(
    table: tuple[list[int], list[tuple[bytes, ...]]], encoding: str, line_break: bytes
) -> None:
    widths, lines = table
    data = line_break.join(b"".join(line) for line in lines) + line_break
    # A first line that ends in a carriage return of its own cannot be told from one that is a byte short.
    is_ambiguous = line_break == b"\n" and lines[0][-1].endswith(b"\r")
    if is_ambiguous or any(b"\n" in value for line in lines for value in line):
        assert refusal(data, *widths, header=False, encoding=encoding)["code"] == "GC-2008"
        return
    columns, rows, asides = read(data, *widths, header=False, encoding=encoding)
    for line, values, entries in zip(lines, rows, asides, strict=True):
        kept = {entry["column"]: entry["original"] for entry in entries or ()}
        for column, original, value in zip(columns, line, values, strict=True):
            assert (kept[column] if value is None else value.encode(encoding)) == original
