"""What charset bytes are in: marks, proofs, and real Chinese text that GB18030 and Big5 both decode."""

from __future__ import annotations

import io
import random
import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.charsets import HEAD_BYTES, WHOLE_BYTES_MAX, detect, of_stream
from tests.servers import SHARED, require_dataset

SEED = 6
BIG5 = {"big5", "cp950", "big5hkscs"}


@cache
def real_lines() -> list[str]:
    """Chinese values of a hospital's dump and of a list of codes."""
    dump = require_dataset(SHARED / "his-cn-zain" / "his.sql").read_text("utf-8")
    codes = require_dataset(SHARED / "codes-cn-xboson-mdm" / "csv" / "sys_mdm002.tsv").read_text("utf-8")
    values = [*re.findall("'([^'\n]+)'", dump), *re.split("[\t\n]", codes)]
    return [value for value in dict.fromkeys(values) if re.search("[\u4e00-\u9fff]{2}", value)]


def encoded(lines: list[str], charset: str) -> list[bytes]:
    """Those that the charset can write."""
    found = []
    for line in lines:
        try:
            found.append(line.encode(charset))
        except UnicodeEncodeError:
            continue
    return found


@pytest.mark.parametrize(
    ("charset", "lines_a_text", "texts", "wrong_max"),
    [
        # Measured of 1,000 texts: 3, 0 and 0 wrong; 8, 0 and 0.
        ("gb18030", 1, 1_000, 7),
        ("gb18030", 3, 300, 0),
        ("gb18030", 20, 50, 0),
        ("big5", 1, 1_000, 15),
        ("big5", 3, 300, 0),
        ("big5", 20, 50, 0),
        ("utf-8", 1, 1_000, 0),
    ],
)
def test_real_chinese_text_is_told_apart(charset: str, lines_a_text: int, texts: int, wrong_max: int) -> None:
    choose = random.Random(SEED)
    lines = encoded(real_lines(), charset)
    expected = BIG5 if charset == "big5" else {charset}
    found = [detect(b"\n".join(choose.choices(lines, k=lines_a_text))).encoding for _ in range(texts)]
    assert sum(encoding not in expected for encoding in found) <= wrong_max


def test_confidence_means_what_it_says() -> None:
    """Of a word or two, of which most answers that are wrong are: one of a hundred at 0.9 and above may be."""
    choose = random.Random(SEED)
    sure = 0
    wrong = 0
    for charset in ("gb18030", "big5"):
        for text in choose.choices(encoded(real_lines(), charset), k=2_000):
            found = detect(text)
            if found.confidence >= 0.9:
                sure += 1
                wrong += found.encoding not in (BIG5 if charset == "big5" else {charset})
    assert sure > 2_000
    assert wrong <= sure / 100


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"\xef\xbb\xbfa", "utf-8"),
        (b"\xff\xfea\0", "utf-16-le"),
        (b"\xfe\xff\0a", "utf-16-be"),
        ("\ufeff张".encode("gb18030"), "gb18030"),
    ],
)
def test_a_byte_order_mark_decides(data: bytes, encoding: str) -> None:
    assert (detect(data).encoding, detect(data).confidence) == (encoding, 1.0)


TABLE = "编号,姓名,诊断\r\n1,张三,高血压\r\n2,李四,急性上呼吸道感染\r\n3,王五,糖尿病\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "gb18030"])
def test_a_table_without_a_mark(encoding: str) -> None:
    found = detect(TABLE.encode(encoding))
    assert (found.encoding, found.confidence >= 0.95) == (encoding, True)


def test_characters_of_four_bytes_are_of_gb18030_in_each_of_its_ranges() -> None:
    for rare in ("\u0080", "㐀", "\u9fb4", "\uffe6", "𠀀", "𪛖", "\U0010ffff"):
        found = detect(f"病人{rare}姓名，医院诊断".encode("gb18030"))
        assert (found.encoding, found.confidence >= 0.9) == ("gb18030", True), ascii(rare)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Patient,Größe\nMüller,180\nJosé Peña,175\n", "latin-1"),
        ("température 38°\nélevée à l'hôpital\n", "latin-1"),
        ("the patient’s “own” words – café\n", "cp1252"),
    ],
)
def test_western_letters_are_no_chinese(text: str, encoding: str) -> None:
    assert detect(text.encode(encoding)).encoding == encoding
    assert detect(text.encode()).encoding == "utf-8"


def test_a_few_bytes_that_do_not_decode_turn_nothing() -> None:
    for encoding in ("utf-8", "gb18030"):
        data = bytearray((TABLE * 5).encode(encoding))
        data[data.index("三".encode(encoding)) + 1] = 0xFF
        found = detect(bytes(data))
        assert (found.encoding, 0.5 < found.confidence <= 0.9) == (encoding, True)


def test_two_everyday_characters_are_no_exotic_utf8() -> None:
    data = "山水".encode("gb18030")
    assert data.decode("utf-8")  # it decodes, as Cyrillic
    assert detect(data).encoding == "gb18030"
    assert detect("Привет, мир".encode()).encoding == "utf-8"
    for name in ("Bjørndalen", "août", "où ça"):  # ø, û and more are such a character in GB18030 each
        assert detect(name.encode()).encoding == "utf-8"


@pytest.mark.parametrize("data", [bytes(range(256)), b"\0\1\2\3" * 9, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_bytes_that_are_no_text_have_no_confidence(data: bytes) -> None:
    assert detect(data).confidence == 0


@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer_that_python_knows(data: bytes) -> None:
    for is_whole in (True, False):
        found = detect(data, is_whole=is_whole)
        assert 0 <= found.confidence <= 1
        data.decode(found.encoding, "replace")


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "big5"])
def test_a_cut_character_at_the_end_of_a_sample_is_no_fault(encoding: str) -> None:
    text = "中山醫院門診病人資料，二零二四年".encode(encoding)
    for end in range(12, len(text)):
        assert detect(text[:end], is_whole=False).encoding == encoding


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "big5"])
def test_a_large_file_is_judged_by_what_stands_behind_its_head(encoding: str) -> None:
    plain = b"1,A,2024-01-01\n" * (WHOLE_BYTES_MAX // 15 + 1)
    data = plain + "2,中山醫院門診病人,男\n".encode(encoding) * 3_000
    stream = io.BytesIO(data)
    stream.seek(7)
    assert of_stream(stream, len(data)).encoding == encoding
    assert stream.tell() == 0
    nothing = of_stream(io.BytesIO(plain), len(plain))
    assert (nothing.encoding, nothing.confidence) == ("utf-8", 0.8)
    assert len(plain) > HEAD_BYTES


def test_a_sample_that_begins_within_a_character_is_no_fault() -> None:
    data = "中山醫院門診病人資料\n".encode() * (WHOLE_BYTES_MAX // 20)
    found = of_stream(io.BytesIO(data), len(data))
    assert (found.encoding, found.why) == ("utf-8", "UTF-8 without a fault")
