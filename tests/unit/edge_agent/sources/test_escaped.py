"""Bytes that are no text survive decoding, wherever a stream is cut and whatever part of the text is asked for."""

from __future__ import annotations

import codecs
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.escaped import Escaped, exact

ESCAPING = [
    "utf-8", "gb18030", "gbk", "gb2312", "big5", "cp950", "big5hkscs", "iso8859-1", "cp1252", "cp1253", "ascii",
    "shift_jis", "cp932", "euc_kr", "utf-16-le", "utf-16-be",
]  # fmt: skip

AWKWARD = [
    b"\x81", b"\x81\x30", b"\x81\x30\x81", b"\x81\x30\x81\x30", b"\xa2\xcc", b"\xa1\xfe", b"\x00\xd8", b"\xd8\x00",
    b"\x00\xdc", b"\xe5\xbc", b"\xef\xbb\xbf", b",", b"\n", b"\r", b"a", "张".encode("gbk"), "張".encode("big5"),
    "张𠀀".encode(), "张𠀀".encode("gb18030"), b"\xff",
]  # fmt: skip

streams = st.lists(st.binary(max_size=4) | st.sampled_from(AWKWARD), max_size=10).map(b"".join)


class Sips(io.BytesIO):
    """Gives a few bytes at a time, as a slow share may."""

    def __init__(self, data: bytes, bytes_max: int) -> None:
        super().__init__(data)
        self._bytes_max = bytes_max

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._bytes_max)


@given(streams, st.sampled_from(ESCAPING), st.integers(1, 7), st.data())
def test_every_part_leads_back_to_its_bytes(
    data: bytes, encoding: str, sip: int, draw: st.DataObject
) -> None:
    escaped = Escaped(Sips(data, sip), encoding)
    text = "".join(escaped.blocks())
    assert escaped.original(text) == data
    # Values end where a delimiter stands, never between the two halves that mark an odd byte.
    places = [i for i in range(len(text) + 1) if not (0 < i == len(text) - 1 and text[i - 1] == "\ud800")]
    cut = draw.draw(st.sampled_from(places))
    assert escaped.original(text[:cut]) + escaped.original(text[cut:]) == data


@pytest.mark.parametrize("encoding", ESCAPING)
def test_an_end_within_a_character_loses_nothing(encoding: str) -> None:
    for tail in AWKWARD:
        escaped = Escaped(io.BytesIO(b"a" + tail), encoding)
        assert escaped.original("".join(escaped.blocks())) == b"a" + tail


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(ESCAPING), st.integers(1, 7))
def test_text_decodes_to_itself(text: str, encoding: str, sip: int) -> None:
    data = text.encode(encoding, "ignore")
    assert "".join(Escaped(Sips(data, sip), encoding).blocks()) == data.decode(encoding)


def test_a_code_that_is_read_but_never_written_is_escaped_alone() -> None:
    data = "十".encode("big5") + b"\xa2\xcc" + "中\n中".encode("big5")
    assert "".join(Escaped(io.BytesIO(data), "big5").blocks()) == "十\udca2\udccc中\n中"


@pytest.mark.parametrize("encoding", ["utf-7", "hz", "iso2022_jp"])
def test_an_encoding_that_shifts_is_strict(encoding: str) -> None:
    with pytest.raises(UnicodeError):
        list(Escaped(io.BytesIO(b"a\xff"), encoding).blocks())


@pytest.mark.parametrize(
    ("encoding", "head", "expected"),
    [
        ("UTF8", b"", "utf-8"),
        ("utf-8-sig", b"", "utf-8"),
        ("utf-16", codecs.BOM_UTF16_BE, "utf-16-be"),
        ("utf-16", codecs.BOM_UTF16_LE, "utf-16-le"),
        ("utf-16", b"a\0", "utf-16-le"),
        ("latin-1", b"", "iso8859-1"),
    ],
)
def test_an_encoding_is_named_with_its_byte_order(encoding: str, head: bytes, expected: str) -> None:
    assert exact(encoding, head) == expected
