"""COPY's CSV comes apart into the texts that the server put in: nothing trimmed, nothing taken for null."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.copying import parse

Row = Sequence[bytes | None]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('",\r\n\\. \ufeff')).map(
    str.encode
)
ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(TEXTS | st.none(), min_size=width, max_size=width), max_size=20)
)


def _cell(text: bytes | None, alone: bool) -> bytes:
    """As CopyAttributeOutCSV of PostgreSQL's copyto.c spells it."""
    if text is None:
        return b""
    special = text == b"" or (alone and text == b"\\.") or any(c in text for c in b'",\r\n')
    return b'"%b"' % text.replace(b'"', b'""') if special else text


def _lines(rows: Sequence[Row]) -> list[bytes]:
    return [b",".join(_cell(text, len(row) == 1) for text in row) + b"\n" for row in rows]


@given(ROWS)
def test_every_text_comes_back(rows: list[list[bytes | None]]) -> None:
    width = len(rows[0]) if rows else 3
    columns = parse(_lines(rows), width)
    assert [column.to_pylist() for column in columns] == [[row[i] for row in rows] for i in range(width)]


@pytest.mark.parametrize(
    "text", [None, b"", b"NULL", b"\\N", b"\\.", b"\xef\xbb\xbf", b"\r", b"\n", b" ", b'"', b"\xff\xfe"]
)
def test_a_row_of_one_column_is_never_skipped(text: bytes | None) -> None:
    samples: list[list[Row]] = [[[text]], [[text]] * 3, [[b"x"], [text], [b"y"]]]
    for rows in samples:
        assert parse(_lines(rows), 1)[0].to_pylist() == [row[0] for row in rows]


def test_a_row_is_as_long_as_it_is() -> None:
    rows: list[Row] = [[b"a" * 3_000_000, b'"\n' * 500_000], [b"", None]]
    assert [c.to_pylist() for c in parse(_lines(rows), 2)] == [[r[i] for r in rows] for i in range(2)]
