"""Kind `csv`: exact text, values that are none aside with their bytes, and every other value read."""

from __future__ import annotations

import io
import json
from itertools import chain
from typing import Any

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.csvtext import RECORD_CHARS_MAX
from edge_agent.sources.escaped import BLOCK_BYTES
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.csvfile import PIECE_ROWS, SLICE_ROWS, CsvKind
from edge_agent.sources.kinds.kind import Opened
from protocol.errors import Rejected
from tests.servers import SHARED, require_dataset


def read(data: bytes, **form: Any) -> tuple[list[str], list[tuple[str | None, ...]], list[Any]]:
    """Columns, rows and asides of a file with this content."""
    opened = Opened("f.csv", io.BytesIO(data), len(data))
    (table,) = CsvKind().tables(opened, FileRule(glob="*", **form))
    rows: list[tuple[str | None, ...]] = []
    asides: list[Any] = []
    for piece in table.rows():
        rows += zip(*(column.to_pylist() for column in piece.columns), strict=True)
        asides += piece.asides or [None] * piece.count
    return [column.name for column in table.columns], rows, asides


def aside(column: str, original: bytes) -> dict[str, Any]:
    return {
        "column": column,
        "reason": "charset",
        "original": original,
        "sha256": None,
        "bytes": len(original),
    }


def test_a_value_that_is_no_text_stands_aside_and_all_others_are_read() -> None:
    data = (
        "编号,姓名\n1,张\n2,".encode() + "李".encode("gbk") + ",\n3,王\n".encode().replace(b",\n", b"\n", 1)
    )
    columns, rows, asides = read(data)
    assert (columns, rows) == (["编号", "姓名"], [("1", "张"), ("2", None), ("3", "王")])
    assert asides == [None, [aside("姓名", "李".encode("gbk"))], None]


def test_two_values_of_a_row_may_stand_aside() -> None:
    _, rows, asides = read(b'a,b,c\n\xff,x,"y\n\xfe"\n')
    assert rows == [(None, "x", None)]
    assert asides == [[aside("a", b"\xff"), aside("c", b"y\n\xfe")]]


def test_a_header_that_is_no_text_is_refused() -> None:
    with pytest.raises(Rejected) as caught:
        read("姓名\n1\n".encode("gbk"))
    assert caught.value.code == "GC-2011"


def test_without_a_header_the_first_row_is_a_row_like_others() -> None:
    columns, rows, asides = read("李\n1\n".encode("gbk"), header=False)
    assert (columns, rows, asides) == (["c1"], [(None,), ("1",)], [[aside("c1", "李".encode("gbk"))], None])


def test_a_code_of_big5_that_leads_to_other_bytes_stands_aside() -> None:
    _, rows, asides = read(b"a\n\xa4\x51\n\xa2\xcc\n", encoding="big5")
    assert rows == [("十",), (None,)]
    assert asides[1] == [aside("a", b"\xa2\xcc")]


def test_half_a_character_of_utf16_at_the_end_stands_aside() -> None:
    _, rows, asides = read("a,b\n1,张".encode("utf-16") + b"\x5f", encoding="utf-16")
    assert rows == [("1", None)]
    assert asides == [[aside("b", "张".encode("utf-16-le") + b"\x5f")]]


rows_of_bytes = st.lists(
    st.lists(
        st.binary(max_size=5) | st.sampled_from(["张".encode("gbk"), "张".encode()]), min_size=2, max_size=2
    ),
    min_size=1,
    max_size=12,
).filter(lambda rows: not {*b'"\r\n\t'} & {byte for row in rows for value in row for byte in value})


@given(rows_of_bytes, st.sampled_from(["utf-8", "gb18030", "gbk", "big5", "cp1252", "ascii"]))
def test_each_value_is_its_text_or_its_bytes(rows: list[list[bytes]], encoding: str) -> None:
    data = b"a\tb\n" + b"".join(b"\t".join(row) + b"\n" for row in rows)
    _, found, asides = read(data, encoding=encoding, delimiter="\t")
    for row, values, entries in zip(rows, found, asides, strict=True):
        kept = {entry["column"]: entry["original"] for entry in entries or ()}
        assert {name for name, value in zip("ab", values, strict=True) if value is None} == kept.keys()
        for name, original, value in zip("ab", row, values, strict=True):
            # A byte order mark begins a file, never a value.
            assert (kept[name] if value is None else value.encode(encoding)) == original


@pytest.mark.parametrize("count", [PIECE_ROWS - 1, PIECE_ROWS, PIECE_ROWS + 1, 12 * PIECE_ROWS])
def test_every_row_comes_once_and_in_order_however_many(count: int) -> None:
    data = b"a\n" + b"".join(b"%d\r\n" % i for i in range(count))
    (table,) = CsvKind().tables(Opened("f.csv", io.BytesIO(data), len(data)), FileRule(glob="*"))
    pieces = [piece.columns[0].to_pylist() for piece in table.rows()]
    assert list(chain.from_iterable(pieces)) == [str(i) for i in range(count)]
    assert max(map(len, pieces)) <= SLICE_ROWS


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_a_line_break_may_fall_between_two_blocks(line_break: str) -> None:
    for place in range(BLOCK_BYTES - 3, BLOCK_BYTES + 3):
        values = ["x" * (place - 2), "y" * (BLOCK_BYTES - 3), "z\u2028\x85\x0b"]
        data = line_break.join(["a", *values]).encode()
        assert read(data)[1] == [(value,) for value in values]


def test_a_byte_order_mark_is_one_at_the_beginning_alone() -> None:
    value = "x" * (BLOCK_BYTES - 5) + "\ufeffy"  # in the first and the third file at the beginning of a block
    for header in ("\ufeffa", "ab", "abcd", "abc"):
        assert read(f"{header}\n{value}\n".encode())[:2] == ([header.removeprefix("\ufeff")], [(value,)])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "gb18030", "big5"])
def test_an_encoding_is_found_out(encoding: str) -> None:
    text = "姓名,性別,地址\n王大明,男,中山北路\n李小美,女,和平東路二段\n"
    assert read(text.encode(encoding), encoding="auto")[1] == [
        ("王大明", "男", "中山北路"),
        ("李小美", "女", "和平東路二段"),
    ]


def test_what_is_no_text_has_no_encoding() -> None:
    with pytest.raises(Rejected) as caught:
        read(bytes(range(32)) * 9, encoding="auto")
    assert caught.value.facts["problem"] == "it is no text"


class Endless(io.RawIOBase):
    """A hostile file: it begins so, and then the same piece for ever."""

    def __init__(self, begin: bytes, piece: bytes) -> None:
        self._begin = begin
        self._piece = piece
        self._has_begun = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._has_begun = False
        return 0

    def read(self, size: int = -1, /) -> bytes:
        given, self._has_begun = self._piece if self._has_begun else self._begin, True
        return given


@pytest.mark.parametrize(
    ("begin", "piece"),
    [(b"a", b"x" * 100_000), (b'"', b"\n" * 100_000), (b'"a"', b',"\n"' * 20_000)],
    ids=["a line", "a value", "many values over many lines"],
)
def test_a_record_without_end_is_refused_in_bounded_memory(begin: bytes, piece: bytes) -> None:
    stream: Any = Endless(begin, piece)
    with pytest.raises(Rejected) as caught:
        CsvKind().tables(Opened("f.csv", stream, 10 * RECORD_CHARS_MAX), FileRule(glob="*"))
    assert caught.value.facts["problem"] == "a record is too long"


SPECTRUM = [
    "comma_in_quotes", "empty", "empty_crlf", "escaped_quotes", "json", "newlines", "newlines_crlf",
    "quotes_and_newlines", "simple", "simple_crlf", "utf8",
]  # fmt: skip


@pytest.mark.parametrize("name", SPECTRUM)
def test_a_file_of_the_spectrum_reads_as_its_json_says(name: str) -> None:
    data = require_dataset(SHARED / "csv-spectrum" / "csvs" / f"{name}.csv").read_bytes()
    expected = json.loads((SHARED / "csv-spectrum" / "json" / f"{name}.json").read_text("utf-8"))
    columns, rows, asides = read(data)
    if name == "newlines_crlf":  # its JSON was made before its line breaks were converted
        expected = [{k: v.replace("\r\n", "\n") for k, v in row.items()} for row in expected]
    assert [dict(zip(columns, row, strict=True)) for row in rows] == expected
    assert not any(asides)


FIXTURES = "dbf-dbasenet/dBASE.NET.Tests/fixtures"
REAL: dict[str, dict[str, Any]] = {
    "csv-clevercsv/example/airedale.csv": {},
    "csv-clevercsv/example/milk.csv": {"delimiter": "\t", "header": False},
    f"{FIXTURES}/30/dbase_30.csv": {},
    f"{FIXTURES}/31/dbase_31.csv": {},
    f"{FIXTURES}/f5/dbase_f5.csv": {"encoding": "cp1252"},
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_reads_as_polars_reads_it(name: str) -> None:
    form = REAL[name]
    data = require_dataset(SHARED / name).read_bytes()
    columns, rows, asides = read(data, **form)
    text = data.decode(form.get("encoding", "utf-8"), "surrogateescape")
    if "airedale" in name:
        text = text.replace("\r\n\r\n", "\r\n")  # polars takes a blank line for a row
    expected = polars.read_csv(
        text.encode("utf-8", "replace"),
        separator=form.get("delimiter", ","),
        quote_char=form.get("quote", '"') or None,
        infer_schema=False,
        empty_string_is_null=False,
        has_header=form.get("header", True),
    )
    if form.get("header", True):
        assert columns == expected.columns
    for row, other, entries in zip(rows, expected.rows(), asides, strict=True):
        outside = {entry["column"] for entry in entries or ()}
        for column, value, there in zip(columns, row, other, strict=True):
            assert (value is None) == (column in outside)
            assert value is None or value == there


@pytest.mark.parametrize(
    ("name", "delimiter", "problem", "line"),
    [
        # a backslash before a delimiter that is meant; line breaks within values without quotes; no name
        ("csv-clevercsv/example/imdb.csv", ",", "46 values instead of 44", 66),
        ("codes-cn-xboson-mdm/csv/sys_mdm001.tsv", "\t", "10 values instead of 12", 90),
        ("codes-cn-xboson-mdm/csv/sys_mdm002.tsv", "\t", "1 values instead of 7", 7074),
        ("csv-clevercsv/example/milk.csv", "\t", "a column has no name", 1),
    ],
)
def test_a_real_file_that_has_no_single_meaning_is_refused_with_its_line(
    name: str, delimiter: str, problem: str, line: int
) -> None:
    data = require_dataset(SHARED / name).read_bytes()
    with pytest.raises(Rejected) as caught:
        read(data, delimiter=delimiter)
    assert caught.value.facts == {"file": "f.csv", "problem": problem, "line": line}
