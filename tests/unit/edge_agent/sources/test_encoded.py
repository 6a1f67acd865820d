"""Text that arrives in its own character set: exact, or aside with its bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.columns import Encoded, build

CHARSETS = ("gb18030", "gbk", "big5", "cp932", "cp1252", "latin-1", "ascii", "utf-8", "utf-16-le")


@given(st.sampled_from(CHARSETS), st.lists(st.none() | st.binary(max_size=8)))
def test_bytes_become_text_that_leads_back_to_them_or_stand_aside(
    charset: str, values: list[bytes | None]
) -> None:
    array, odd = build(Encoded(charset), pa.string(), values)
    for row, (text, value) in enumerate(zip(array.to_pylist(), values, strict=True)):
        if value is None or text is not None:
            assert (text is None, row in (odd or {})) == (value is None, False)
            assert value is None or text.encode(charset) == value
        else:
            assert odd is not None
            assert odd[row] == ("charset", value)


@given(st.sampled_from(CHARSETS), st.lists(st.text(max_size=5)))
def test_text_of_the_character_set_is_itself(charset: str, texts: list[str]) -> None:
    values = [text.encode(charset, "ignore") for text in texts]
    array, odd = build(Encoded(charset), pa.string(), values)
    assert odd is None
    assert array.to_pylist() == [value.decode(charset) for value in values]


@pytest.mark.parametrize(
    ("charset", "value"), [("cp932", b"\xfa\x4a"), ("gbk", b"\x80"), ("ascii", b"\xd5\xc5")]
)
def test_what_is_read_but_never_written_stands_aside(charset: str, value: bytes) -> None:
    assert build(Encoded(charset), pa.string(), [value])[1] == {0: ("charset", value)}
