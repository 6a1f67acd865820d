"""Files of HL7 v2: however messages stand in one, each is a row with what it says, and what is amiss is told."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds import hl7framing, hl7message
from edge_agent.sources.kinds.hl7 import Hl7Kind
from edge_agent.sources.kinds.kind import Opened, Record, RecordKind
from protocol.errors import Rejected
from protocol.limits import KIB, MIB
from protocol.names import TableName
from protocol.schema import TableSchema

ROOT = Path(__file__).parents[5]
KIND: RecordKind = Hl7Kind()
NAMES = [column.name for column in KIND.columns]

HEAD = "MSH|^~\\&|LIS^1.2^ISO|检验科|HIS|H|20240105083000.5+0800||ORU^R01^ORU_R01|M{}|P|2.5^CHN|||||CHN|"
BODY = (
    "PID|1|P2|10001^^^H^MR~32&x^^^B||张^三||19700101|M||||||||||V1^^^H",
    "PV1|1|I|||||||||||||||||VN1^^^H",
    "ORC|RE|O1^H|F1",
    "OBR|1|O1|F2|7^血糖",
    'OBX|1|TX|7||""|a\\T\\b\\.br\\c||""',
    "ZXX|自定义",
)


def message(number: int = 1, charset: str = "UNICODE UTF-8", body: Sequence[str] = BODY) -> str:
    return "\r".join([HEAD.format(number) + charset, *body]) + "\r"


def read(data: bytes, rule: str = "utf-8", size: int | None = None) -> list[Record]:
    opened = Opened("f.hl7", io.BytesIO(data), len(data) if size is None else size)
    return list(KIND.records(opened, FileRule(glob="*", kind="hl7", encoding=rule)))


def rows(data: bytes, rule: str = "utf-8") -> list[dict[str, Any]]:
    """By name of the column, without what is null; `problem` beside."""
    found = []
    for record in read(data, rule):
        values = dict(zip(NAMES, record.values, strict=True)) | {"problem": record.problem}
        found.append({name: value for name, value in values.items() if value is not None})
    return found


def problems(data: bytes, rule: str = "utf-8") -> list[tuple[str | None, str | None]]:
    return [(row.get("control_id"), row.get("problem")) for row in rows(data, rule)]


def test_the_columns_of_a_message() -> None:
    text = message().rstrip("\r")
    (row,) = rows(message().encode())
    content = json.loads(row.pop("message"))
    assert row == {
        "message_type": "ORU^R01^ORU_R01",
        "trigger_event": "R01",
        "message_time": "20240105083000.5+0800",
        "message_at": datetime(2024, 1, 5, 0, 30, 0, 500_000, UTC),
        "message_local": datetime(2024, 1, 5, 8, 30, 0, 500_000),
        "sending_application": "LIS^1.2^ISO",
        "sending_facility": "检验科",
        "receiving_application": "HIS",
        "receiving_facility": "H",
        "control_id": "M1",
        "processing_id": "P",
        "version": "2.5^CHN",
        "charset": "UNICODE UTF-8",
        "patient_id": "10001",
        "patient_ids": '[[["10001"],[],[],["H"],["MR"]],[["32","x"],[],[],["B"]]]',
        "patient_name": "张^三",
        "birth_date": "19700101",
        "sex": "M",
        "account_number": "V1",
        "visit_number": "VN1",
        "placer_orders": '["O1"]',
        "filler_orders": '["F1","F2"]',
        "encoding": "utf-8",
        "segments": 7,
        "text": text,
    }
    assert [segment[0] for segment in content] == ["MSH", "PID", "PV1", "ORC", "OBR", "OBX", "ZXX"]
    assert content[0][:4] == ["MSH", [[["|"]]], [[["^~\\&"]]], [[["LIS"], ["1.2"], ["ISO"]]]]
    assert content[5][5:] == [[[['""']]], [[["a&b\\.br\\c"]]], [], [[['""']]]]
    assert content[6] == ["ZXX", [[["自定义"]]]]


def test_the_columns_make_a_schema_and_hold_their_values() -> None:
    schema = TableSchema(TableName(None, None, "hl7"), KIND.columns)
    assert TableSchema.from_bytes(schema.content) == schema
    (record,) = read(message().encode())
    for column, value in zip(KIND.columns, record.values, strict=True):
        assert pa.array([value], column.wire).to_pylist() == [value], column.name
        assert column.meta["comment"]


@pytest.mark.parametrize("page", ["docs/files.md", "docs/zh/files.md"])
def test_the_page_names_every_column_and_limit(page: str) -> None:
    section = re.split(r"^## ", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith("hl7\n")]
    table = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    assert [name for cell in table for name in re.findall(r"`(\w+)`", cell)][: len(NAMES)] == NAMES
    assert f"{hl7framing.MESSAGE_BYTES_MAX // MIB} MiB" in text
    assert f"{hl7framing.HEAD_BYTES_MAX // KIB} KiB" in text
    assert f"{hl7message.DELIMITERS_MAX:,}" in text
    assert f"{hl7message.LINES_MAX:,}" in text


@pytest.mark.parametrize(
    ("text", "local", "at"),
    [
        ("20240229235959", "2024-02-29T23:59:59", None),
        ("20240229235959.1^S", "2024-02-29T23:59:59.100000", None),
        ("20240101000000-0930", "2024-01-01T00:00:00", "2024-01-01T09:30:00+00:00"),
        ("202402292359", None, None),
        ("20240229", None, None),
        ("20230229000000", None, None),
        ("20240229235960", None, None),
        ("00010101000000+0800", "0001-01-01T00:00:00", None),
        ('""', None, None),
        ("", None, None),
    ],
)
def test_a_time_is_one_where_it_is_exact(text: str, local: str | None, at: str | None) -> None:
    (row,) = rows(f"MSH|^~\\&|||||{text}|\r".encode())
    assert row.get("message_time") == (text or None)
    found = [row.get(name) for name in ("message_local", "message_at")]
    assert [time and time.isoformat() for time in found] == [local, at]


def test_patients_that_are_swapped_or_merged_are_all_found() -> None:
    body = ["PID|1||A^^^H", "PV1|1", "PID|2||B^^^H~C", "MRG|D^^^H", "MRG|"]
    (row,) = rows(message(body=body).encode())
    assert row["patient_id"] == "A"
    assert row["patient_ids"] == '[[["A"],[],[],["H"]],[["B"],[],[],["H"]],[["C"]]]'
    assert row["prior_patient_ids"] == '[[["D"],[],[],["H"]]]'


# where messages begin and end

framings = st.sampled_from(["", "\r", "\r\n", "\n\n", " \r\n"])


@given(
    st.lists(st.tuples(st.booleans(), framings), min_size=1, max_size=6),
    st.sampled_from(["\r", "\n", "\r\n"]),
    st.sampled_from(["utf-8", "gb18030", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"]),
    st.integers(1, 300),
    framings,
)
def test_every_message_is_found_as_it_stands(
    parts: list[tuple[bool, str]], end: str, encoding: str, read_bytes: int, before: str
) -> None:
    texts = [message(n, "").replace("\r", end).rstrip("\r\n") for n in range(len(parts))]
    file = before
    for text, (is_mllp, between) in zip(texts, parts, strict=True):
        file += f"\x0b{text}{end}\x1c\r{between}" if is_mllp else f"{text}{end}{between}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hl7framing, "_READ_BYTES", read_bytes)
        patch.setattr(hl7framing, "HEAD_BYTES_MAX", 64 + 4 * len(before) + read_bytes)
        found = rows(file.encode(encoding))
    assert [row["text"] for row in found] == texts
    assert [row["control_id"] for row in found] == [f"M{n}" for n in range(len(parts))]
    assert not any("problem" in row for row in found)
    assert {row["encoding"] for row in found} <= {encoding.removesuffix("-sig"), f"{encoding}-le"}


CHARSETS = {
    "": ("utf-8", "张𠮷é"),
    "UNICODE UTF-8": ("utf-8", "张𠮷é"),
    "GB 18030-2000": ("gb18030", "张𠮷é㐀"),
    "BIG-5": ("cp950", "臺灣功"),  # the last one ends with the byte of a backslash
    "KS X 1001": ("cp949", "한국"),
    "ISO IR87": ("iso2022_jp", "山田テ"),
    "8859/1": ("latin-1", "éü"),
    "ASCII": ("ascii", "aX"),
}


@given(
    st.lists(st.sampled_from("|^~\\&!#$%'()*+:;<=>?@[]_`{}\""), min_size=5, max_size=5, unique=True),
    st.sampled_from(sorted(CHARSETS)).flatmap(
        lambda name: st.tuples(
            st.just(name),
            st.lists(st.text(st.sampled_from(CHARSETS[name][1] + "|^~\\&#ab1"), max_size=5), max_size=6),
        )
    ),
)
def test_any_delimiters_in_any_charset_read_back(marks: list[str], written: tuple[str, list[str]]) -> None:
    separator, component, repetition, escape, subcomponent = marks
    charset, values = written
    letters = zip("FSRET", marks, strict=True)
    table = str.maketrans({mark: f"{escape}{letter}{escape}" for letter, mark in letters})
    head = separator.join(["MSH", component + repetition + escape + subcomponent, *[""] * 15, charset])
    file = f"{head}\rZZ1{separator}{subcomponent.join(value.translate(table) for value in [*values, 'z'])}\r"
    (row,) = rows((file * 2).encode(CHARSETS[charset][0]))[1:]
    assert "problem" not in row
    assert json.loads(row["message"])[1] == ["ZZ1", [[[*values, "z"]]]]
    assert row["text"] == file.rstrip("\r")
    assert row.get("charset", "") == charset


@pytest.mark.parametrize(
    "before",
    ["\x0b", "\r\n\r\n", "\ufeff", "\x0b\x1c\r\x0b", " \t", "\0\0\r"],
)
def test_framing_is_no_content(before: str) -> None:
    assert [row["text"] for row in rows((before + message() + "\x1c\r\x1a\0\0").encode())] == [
        message().rstrip("\r")
    ]


def test_text_that_only_begins_like_a_header_is_text() -> None:
    note = "NTE|1||first\nMSH - mental state\nMSH1\nBTS:\nFTS-3\nBHS/x\nlast"
    (row,) = rows(message(body=[note, "ZZZ|"]).encode())
    assert json.loads(row["message"])[1] == ["NTE", [[["1"]]], [], [[[note[7:]]]]]


def test_other_delimiters_than_the_usual_ones() -> None:
    other = message(2, "").translate(str.maketrans("|^~\\&", "#*!$%"))
    found = rows((message() + other + "BTS#x\r" + message(3)).encode())
    assert [row.get("control_id") for row in found] == ["M1", "M2", None, "M3"]
    assert [row.get("problem") for row in found] == [None, None, "a batch ends that has not begun", None]
    assert found[0]["patient_ids"] == found[1]["patient_ids"]
    plain = [json.loads(row["message"].replace("%b$.br$c", "&b\\\\.br\\\\c")) for row in found[:2]]
    assert plain[0][1:] == plain[1][1:]


# batches

BATCH = "BHS|^~\\&|LIS||||||||B{}\r"


def test_a_batch_file() -> None:
    file = [
        "FHS|^~\\&|LIS||||20240105||日报||F1\r",
        BATCH.format(1),
        message(1),
        message(2),
        "BTS|2|ok\r",
        BATCH.format(2),
        message(3),
        "BTS|1\r",
        "FTS|2\r",
    ]
    found = rows("".join(file).encode())
    assert [(row["control_id"], row["batch_control_id"]) for row in found] == [
        ("M1", "B1"),
        ("M2", "B1"),
        ("M3", "B2"),
    ]
    assert {row["file_control_id"] for row in found} == {"F1"}
    header = '["FHS",[[["|"]]],[[["^~\\\\&"]]],[[["LIS"]]],[],[],[],[[["20240105"]]],[],[[["日报"]]],[],[[["F1"]]]]'
    assert {row["file_header"] for row in found} == {header}
    assert not any("problem" in row for row in found)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            ["BHS|^~\\&\r", 1, "BTS|2\r"],
            [("M1", None), (None, "the batch does not hold as many messages as it says")],
        ),
        (["BHS|^~\\&\r", 1, "BTS\r", 2], [("M1", None), ("M2", None)]),
        (["BHS|^~\\&\r", 1], [("M1", None), (None, "a batch does not end")]),
        (["BHS|^~\\&\r", 1, "BHS|^~\\&\r", "BTS||none\r"], [("M1", None), (None, "a batch does not end")]),
        (["FHS|^~\\&\r", 1, 2, "FTS|1\r"], [("M1", None), ("M2", None)]),
        (
            ["FHS|^~\\&\r", "BHS|^~\\&\r", 1, "BTS|1\r", "FTS|3\r"],
            [("M1", None), (None, "the batch file does not hold as many batches as it says")],
        ),
        (["FHS|^~\\&\r", 1], [("M1", None), (None, "a batch file does not end")]),
        ([1, "FTS|0\r"], [("M1", None), (None, "a batch file ends that has not begun")]),
        (["FHS|^~\\&\r", "FTS|0\r"], [(None, "it holds no message")]),
        (
            ["BHS|^~\\&\rNTE|1\r", 1, "BTS|1\r"],
            [(None, "what stands here belongs to no message"), ("M1", None)],
        ),
        (["BHS|^~\\&\r", 1, "BTS|99999999999999999999\r"], [("M1", None)]),
    ],
)
def test_a_batch_that_is_not_what_it_says_is_told(file: list[str | int], expected: list[Any]) -> None:
    text = "".join(message(part) if isinstance(part, int) else part for part in file)
    assert problems(text.encode()) == expected


# what is amiss

STRAY = "what stands here belongs to no message"


def test_what_belongs_to_no_message_is_told_and_others_go_on() -> None:
    file = f"LOG 1\r\x0b{message(1)}\x1c\rLOG 2\r\x0b{message(2)}\x1c\r"
    found = rows(file.encode())
    assert [row.get("problem") for row in found] == [STRAY, None, STRAY, None]
    assert [row["text"] for row in found if "problem" in row] == ["\nLOG 1", "\rLOG 2"]


def test_a_line_that_names_no_segment_is_kept_and_told() -> None:
    (row,) = rows(message(body=["PID|1||7", "and|more", "PV1|1"]).encode())
    assert (row["problem"], row["patient_id"], row["segments"]) == ("a line in it names no segment", "7", 3)
    assert json.loads(row["message"])[1:] == [
        ["PID", [[["1"]]], [], [[["7"]]]],
        ["", [[["and|more"]]]],
        ["PV1", [[["1"]]]],
    ]


def test_delimiters_that_are_none_are_told() -> None:
    found = rows((message(1) + "MSH|^^\\&|x\rPID|1\r" + message(2)).encode())
    assert [row.get("problem") for row in found] == [None, "MSH-1 and MSH-2 declare no delimiters", None]
    assert found[1]["text"] == "MSH|^^\\&|x\rPID|1"


UNDECODED = "it is no text of the encoding that MSH-18 or its rule names"


def test_what_does_not_decode_gives_what_is_certain() -> None:
    body = [
        "PID|1|P2|10001||张^三||19700101|M",
        "PV1|1|I" + "|" * 17 + "VN1",
        "ORC|RE|O1|F1",
        "NTE|1||\ud800",
    ]
    broken = message(1, body=body).replace("检验科", "LAB").encode("utf-8", "surrogatepass")
    found = rows(broken + message(2).encode())
    assert [row.get("problem") for row in found] == [UNDECODED, None]
    assert found[0] == {
        name: value
        for name, value in (
            found[1] | {"problem": UNDECODED, "control_id": "M1", "sending_facility": "LAB"}
        ).items()
        if name
        not in {
            "encoding",
            "segments",
            "message",
            "text",
            "patient_name",
            "birth_date",
            "sex",
            "account_number",
        }
    } | {"patient_ids": '[[["10001"]]]', "filler_orders": '["F1"]'}


def test_a_value_is_certain_only_if_it_surely_ends() -> None:
    body = [b"PID|1||10001", b"\xff goes on", b"MRG|1", b"", b"\xff", b"ORC|RE|O\xff1|F1", b"OBR|1|O2"]
    broken = b"\r".join([b"MSH|^~\\&|A|B\x1b$B|C", *body])
    (row,) = rows(broken)
    assert row == {"sending_application": "A", "placer_orders": '["O2"]', "problem": UNDECODED}
    assert rows(b"MSH|^~\xff&|A|B") == [{"problem": UNDECODED}]
    assert rows(b"MSH|\xff~|A|B") == [{"problem": UNDECODED}]


@pytest.mark.parametrize("charset", ["GBK", "BIG-5"])
@pytest.mark.parametrize("second", list(b"|^~\\"))
def test_the_second_byte_of_a_character_is_no_delimiter(charset: str, second: int) -> None:
    """In MSH it would even move the field that says what it is."""
    encoding = {"GBK": "gb18030", "BIG-5": "cp950"}[charset]
    name = bytes([0xA5, second]).decode(encoding)
    head = HEAD.format(1).replace("检验科", name) + charset
    (row,) = rows(f"{head}\rPID|1||{name}^1\r".encode(encoding))
    assert (row["sending_facility"], row["charset"], row["encoding"]) == (name, charset, encoding)
    assert row["patient_id"] == name


def test_wide_characters_that_are_none_spoil_their_message_alone() -> None:
    texts = [message(number, body=BODY[:1]).replace("检验科", "LAB") for number in (1, 2, 3)]
    wide = [text.encode("utf-16-le") for text in texts]
    wide[1] = wide[1].replace("三".encode("utf-16-le"), b"\0\xd8")
    found = rows(codecs.BOM_UTF16_LE + b"".join(wide) + b"x")
    assert [(row["control_id"], row["patient_id"], row.get("problem")) for row in found] == [
        ("M1", "10001", None),
        ("M2", "10001", UNDECODED),
        ("M3", "10001", UNDECODED),
    ]
    assert found[0]["encoding"] == "utf-16-le"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it is empty"),
        (b"\r\n \r\n", "no HL7 message begins in it"),
        (b"PID|1||7\r", "no HL7 message begins in it"),
        (b"MSH;1;2\rx", "no HL7 message begins in it"),
        (b"a,MSH|^~\\&|x", "no HL7 message begins in it"),
        (b"x" * hl7framing.HEAD_BYTES_MAX + b"\r" + message().encode(), "no HL7 message begins in it"),
        ("BTS|1\r".encode("utf-16"), "no HL7 message begins in it"),
        (b"%PDF-1.4\r\nFTS|\r\n", "no HL7 message begins in it"),
    ],
)
def test_a_file_without_a_message_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(Rejected) as caught:
        read(data)
    assert (caught.value.code, caught.value.facts) == (
        "GC-2008",
        {"file": "f.hl7", "problem": problem, "line": 1},
    )


# limits


def test_a_message_that_is_too_long_gives_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hl7framing, "_READ_BYTES", 500)
    monkeypatch.setattr(hl7framing, "MESSAGE_BYTES_MAX", 3_000)
    monkeypatch.setattr(hl7framing, "KEPT_BYTES", 700)
    long = message(1, body=[*BODY[:2], "OBX|1|ED|" + "x" * 5_000, "PV1|2"])
    found = rows((message(0) + long + message(2)).encode())
    assert [(row["control_id"], row.get("problem")) for row in found] == [
        ("M0", None),
        ("M1", "it is longer than 8 MiB"),
        ("M2", None),
    ]
    assert found[1]["patient_id"] == "10001"
    assert "visit_number" not in found[1], "the last line that was kept may go on"
    assert not {"message", "text", "segments"} & set(found[1])
    assert problems(("x" * 5_000 + "\r" + message(1)).encode()) == [(None, STRAY), ("M1", None)]
    assert problems(("MSH|^~\\&|" + "x" * 5_000 + "\r" + message(1)).encode())[1] == ("M1", None)


@pytest.mark.parametrize("body", ["|" * 600, "a^" * 600, "\\E" * 600, "\r" * 600 + "x", "\n" * 600 + "x"])
@pytest.mark.parametrize("tail", [b"", b"\xff"])
def test_a_message_that_is_too_full_is_told(monkeypatch: pytest.MonkeyPatch, body: str, tail: bytes) -> None:
    monkeypatch.setattr(hl7message, "DELIMITERS_MAX", 500)
    monkeypatch.setattr(hl7message, "LINES_MAX", 500)
    data = b"MSH|^~\\&|A|B\rNTE|" + body.encode() + tail + b"\r"
    found = rows(data + message(2).encode())
    assert [row.get("control_id") for row in found] == [None, "M2"]
    assert ("it has more than" in found[0]["problem"]) == (not tail)
    assert "message" not in found[0]


def test_of_a_message_that_is_too_full_and_does_not_decode_nothing_is_certain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hl7message, "DELIMITERS_MAX", 500)
    found = rows(b"MSH|^~\\&|A|B\rNTE" + b"|" * 600 + b"\rNTE|\xff\r")
    assert found == [{"problem": UNDECODED}]
