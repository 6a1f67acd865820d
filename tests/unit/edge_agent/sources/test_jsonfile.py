"""JSON files: three shapes, values as they are spelt, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.sources.kinds import jsonfile, jsonreading
from edge_agent.sources.kinds.jsonfile import JsonKind, NdjsonKind
from edge_agent.sources.kinds.jsonvalues import DECODER, canonical
from edge_agent.sources.kinds.kind import FileTable, TabularKind
from protocol.errors import Rejected
from tests.servers import SHARED, require_dataset
from tests.unit.edge_agent.sources.workbooks import asides, records, tables

FILES = sorted(str(p.relative_to(SHARED)) for p in SHARED.rglob("*.json"))
SMALL = [name for name in FILES if (SHARED / name).stat().st_size < 300_000]


def one(kind: TabularKind, data: bytes | str, **rule: object) -> FileTable:
    (table,) = tables(kind, data.encode() if isinstance(data, str) else data, **rule).values()
    return table


def read(kind: TabularKind, data: bytes | str, **rule: object) -> list[dict[str, Any]]:
    table = one(kind, data, **rule)
    names = [c.name for c in table.columns]
    return [dict(zip(names, row, strict=True)) for row in records(table)]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    return str(caught.value)


def test_a_column_has_the_type_of_all_its_values() -> None:
    table = one(
        NdjsonKind(),
        '{"id": 1, "code": "007", "price": 1.10, "big": 18446744073709551616, "on": true, "any": 1, '
        '"in": {"b": 1.0, "a": []}}\n'
        "\n"
        '{"id": -9223372036854775808, "price": 2, "on": null, "any": "x", "late": "y", "in": [{}]}\r\n'
        '{"any": false, "big": 1e400}',
    )
    assert [(c.name, c.wire, c.source_type) for c in table.columns] == [
        ("id", pa.int64(), "integer"),
        ("code", pa.string(), "text"),
        ("price", pa.string(), "number"),
        ("big", pa.string(), "number"),
        ("on", pa.bool_(), "boolean"),
        ("any", pa.string(), "mixed"),
        ("in", pa.string(), "json"),
        ("late", pa.string(), "text"),
    ]
    assert records(table) == [
        (1, "007", "1.10", "18446744073709551616", True, "1", '{"a":[],"b":1.0}', None),
        (-(2**63), None, "2", None, None, "x", "[{}]", "y"),
        (None, None, None, "1e400", None, "false", None, None),
    ]


def test_the_three_shapes_of_a_document() -> None:
    assert read(JsonKind(), '[{"a": 1}, {"b": 2}]') == [{"a": 1, "b": None}, {"a": None, "b": 2}]
    assert read(JsonKind(), '{"code": 0, "data": [{"a": 1}, {"a": 2}], "more": [1]}') == [
        {"code": 0, "more": "[1]", "a": 1},
        {"code": 0, "more": "[1]", "a": 2},
    ]
    assert read(JsonKind(), '{"a": 1, "tags": [1, 2]}') == [{"a": 1, "tags": "[1,2]"}]
    assert read(JsonKind(), '{"a": [{"x": 1}], "b": [{"y": 1.50}]}') == [
        {"a": '[{"x":1}]', "b": '[{"y":1.50}]'}
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("is_lines", [True, False])
def test_encodings(encoding: str, is_lines: bool) -> None:
    data = ('{"姓名": "张𠮷"}' if is_lines else '[{"姓名": "张𠮷"}]').encode(encoding)
    kind: TabularKind = NdjsonKind() if is_lines else JsonKind()
    assert read(kind, data, encoding=encoding.removesuffix("-sig")) == [{"姓名": "张𠮷"}]


def test_bytes_that_are_no_text_are_a_fault_of_the_encoding() -> None:
    for kind in (JsonKind(), NdjsonKind()):
        assert "GC-2011" in refusal(lambda kind=kind: one(kind, b'{"a": "\xff"}'))  # type: ignore[misc]


def test_half_a_character_stands_aside() -> None:
    table = one(NdjsonKind(), '{"a": "\\ud800x"}\n{"a": "\\ud83d\\ude00"}')
    assert records(table) == [(None,), ("😀",)]
    assert asides(table) == [(0, "a", "charset", b"\xed\xa0\x80x")]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("", "neither an array nor an object"),
        ("1", "neither"),
        ("[]", "no columns"),
        ("[{}]", "no columns"),
        ("{}", "no columns"),
        ("[1]", "a row is no object"),
        ('[{"a": 1}, 2]', "a row is no object"),
        ('{"data": []}', "an empty array"),
        ('{"a": 1, "data": [{"a": 1}]}', "a name stands both"),
        ('[{"a": 1, "a": 1}]', "same name twice"),
        ('{"a": 1, "a": 1}', "same name twice"),
        ('[{"a": {"b": 1, "b": 2}}]', "same name twice"),
        ('[{"a": NaN}]', "NaN"),
        ('[{"a": -Infinity}]', "Infinity"),
        ('[{"": 1}]', "a name is empty"),
        ('[{"\\ud800": 1}]', "no text"),
        ('[{"a": 1}', "it is not JSON"),
        ('[{"a": 1},]', "it is not JSON"),
        ('[{"a": 1}] 1', "more than one value"),
        ('[{"a": 01}]', "not JSON"),
        ("[{'a': 1}]", "not JSON"),
        ("[" * 100_000, "a row is no object"),
        ('[{"a":' + "[" * 100_000, "too deep"),
        ('{"a":' * 100_000, "too deep"),
    ],
)
def test_what_is_no_table_is_refused(data: str, problem: str) -> None:
    text = refusal(lambda: one(JsonKind(), data))
    assert problem in text or (problem == "a row is no object" and "too deep" in text), text


@pytest.mark.parametrize(
    ("data", "problem", "line"),
    [
        ('{"a": 1}\n[1]', "a row is no object", 2),
        ('{"a": 1}\n{"a": 1} {"a": 2}', "more than one value on a line", 2),
        ('{"a": 1}\n\n{"a": ', "not JSON", 3),
        ('{"a": 1}\n{"a": 1, "a": 1}', "same name twice", 2),
        ("\n", "no columns", 1),
    ],
)
def test_a_line_that_is_no_object_is_named(data: str, problem: str, line: int) -> None:
    text = refusal(lambda: one(NdjsonKind(), data))
    assert problem in text
    assert f"line {line})" in text


def test_a_row_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonreading, "VALUE_CHARS_MAX", 1000)
    monkeypatch.setattr(jsonreading, "_PIECE_CHARS", 64)
    monkeypatch.setattr(jsonfile, "VALUE_CHARS_MAX", 1000)
    long = "x" * 3000
    for data in (
        f'[{{"a": "{long}"}}]',
        f'{{"a": "{long}"}}',
        f'{{"a": [{",".join("1" * 2000)}], "b": [{{"c": 1}}]}}',
    ):
        assert "8 million characters" in refusal(lambda data=data: one(JsonKind(), data))  # type: ignore[misc]
    assert "8 million characters" in refusal(lambda: one(NdjsonKind(), f'{{"a": "{long}"}}'))
    members = ",".join(f'"m{i}": "{"x" * 90}"' for i in range(20))
    assert "too many members" in refusal(lambda: one(JsonKind(), f'{{{members}, "z": [{{"c": 1}}]}}'))
    rows = [{"a": i, "b": "y" * (i % 90)} for i in range(300)]
    assert read(JsonKind(), json.dumps(rows)) == rows


def test_a_row_within_one_piece_has_the_same_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonreading, "VALUE_CHARS_MAX", 1000)
    data = f'[{{"a": "{"x" * 3000}"}}]'
    assert "8 million characters" in refusal(lambda: one(JsonKind(), data))


@pytest.mark.parametrize("piece", range(1, 40))
def test_a_number_that_goes_on_in_the_next_piece(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonreading, "_PIECE_CHARS", piece)
    data = '{"n": 123456789, "data": [{"a": 1}], "m": -1.25e3}'
    assert read(JsonKind(), data) == [{"n": 123456789, "m": "-1.25e3", "a": 1}]


@pytest.mark.parametrize("file", SMALL)
def test_every_value_of_a_real_file_is_as_another_reader_has_it(file: str) -> None:
    """Python's own json with other hooks, over the whole text at once."""
    data = require_dataset(SHARED / file).read_bytes()
    document = json.loads(data, parse_float=Decimal)
    try:
        found = read(JsonKind(), data)
    except Rejected:
        assert isinstance(document, list)
        assert not all(isinstance(e, dict) for e in document)
        return
    if isinstance(document, list):
        expected = document
    else:
        lists = [k for k, v in document.items() if v and isinstance(v, list) and isinstance(v[0], dict)]
        rest = {k: v for k, v in document.items() if lists != [k]}
        expected = [rest | element for element in document[lists[0]]] if len(lists) == 1 else [document]
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() >= theirs.keys()
        for name, value in ours.items():
            assert plain(value, theirs.get(name)) == theirs.get(name)


def plain(ours: Any, theirs: Any) -> Any:
    """Our value as the other reader has it: text that is JSON or a number, read again."""
    if isinstance(ours, str) and not isinstance(theirs, str):
        return json.loads(ours, parse_float=Decimal)
    return ours


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(st.characters(codec="utf-8"))
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=5
)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
rows = st.lists(st.dictionaries(names, values, min_size=1, max_size=4), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(rows, st.integers(0, 2), st.integers(1, 40))
def test_rows_come_as_they_were_written(written: list[dict[str, Any]], indent: int, piece: int) -> None:
    """Wherever the pieces in which a file is read end."""
    before, jsonreading._PIECE_CHARS = jsonreading._PIECE_CHARS, piece
    try:
        as_array = read(JsonKind(), json.dumps(written, ensure_ascii=False, indent=indent or None))
    finally:
        jsonreading._PIECE_CHARS = before
    as_lines = read(NdjsonKind(), "\n".join(json.dumps(row) for row in written))
    assert as_array == as_lines
    for found, row in zip(as_array, written, strict=True):
        for name, value in found.items():
            wrote = row.get(name)
            assert value == wrote or json.loads(value) == wrote


@settings(max_examples=50, deadline=None)
@given(values)
def test_the_canonical_text_says_the_same(value: Any) -> None:
    text = canonical(DECODER.decode(json.dumps(value)))
    assert json.loads(text) == value
    assert canonical(DECODER.decode(text)) == text


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damage_gives_rows_or_a_refusal(data: st.DataObject) -> None:
    content = bytearray(
        '{"code":0,"data":[{"a":1.50,"b":"文"},{"a":[{"c":null}]}],"x":true}\n{"a":1}'.encode()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.sampled_from(b'{}[]",:0129eE+-.ntfalse\\u \n\x00\xff'))
    for kind in (JsonKind(), NdjsonKind()):
        with suppress(Rejected):
            read(kind, bytes(content))
