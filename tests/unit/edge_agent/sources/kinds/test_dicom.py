"""DICOM files that are made here: values, character sets, damage of every kind, and bounds."""

from __future__ import annotations

import base64
import io
import json
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds import dicombytes, dicomelements, dicomjson
from edge_agent.sources.kinds.dicom import DicomKind
from edge_agent.sources.kinds.kind import Opened, Record
from protocol.errors import Rejected
from protocol.limits import MIB

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED, JPEG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"
LONG = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
UNDEFINED = 0xFFFFFFFF
NAMES = [column.name for column in DicomKind.columns]


def element(tag: int, vr: str, value: bytes, syntax: str = EXPLICIT, length: int | None = None) -> bytes:
    """By PS3.5 §7.1; `length` other than the value's where the file lies."""
    order = ">" if syntax == BIG else "<"
    size = len(value) if length is None else length
    place = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return place + struct.pack("<L", size) + value
    if vr in LONG:
        return place + vr.encode() + b"\0\0" + struct.pack(f"{order}L", size) + value
    return place + vr.encode() + struct.pack(f"{order}H", size) + value


def item(*elements: bytes, length: int | None = None) -> bytes:
    body = b"".join(elements)
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(body) if length is None else length) + body


ITEM_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def file(*elements: bytes, syntax: str = EXPLICIT) -> bytes:
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    header = element(0x00020010, "UI", uid)
    body = b"".join(elements)
    if syntax == DEFLATED:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = deflater.compress(body) + deflater.flush()
    return b"\0" * 128 + b"DICM" + element(0x00020000, "UL", struct.pack("<L", len(header))) + header + body


def read(data: bytes, charset: str | None = None) -> Record:
    rule = FileRule(glob="*", kind="dicom", dicom_charset=charset)
    (record,) = DicomKind().records(Opened("f.dcm", io.BytesIO(data), len(data)), rule)
    return record


def column(record: Record, name: str) -> Any:
    return dict(zip(NAMES, record.values, strict=True))[name]


def dataset(record: Record) -> dict[str, Any]:
    """The data set without the header; a repeated name of a member would be a fault of ours."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    found = json.loads(column(record, "dataset"), object_pairs_hook=once)
    return {tag: member for tag, member in found.items() if not tag.startswith("0002")}


def charset(declared: str) -> bytes:
    return element(0x00080005, "CS", declared.encode() + b" " * (len(declared) % 2))


NAME = element(0x00100010, "PN", b"A^B ")
ROWS = element(0x00280010, "US", struct.pack("<H", 512))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED, JPEG, "1.2.3.4"])
def test_every_transfer_syntax_gives_the_same(syntax: str) -> None:
    order = ">" if syntax == BIG else "<"
    elements = [
        element(0x00080060, "CS", b"CT", syntax),
        element(0x00080090, "PN", b"", syntax),
        element(0x00100020, "LO", b"007 ", syntax),
        element(0x00180050, "DS", b"1.50", syntax),
        element(0x00280010, "US", struct.pack(f"{order}H", 512), syntax),
    ]
    record = read(file(*elements, syntax=syntax))
    assert record.problem is None
    assert column(record, "transfer_syntax_uid") == syntax
    assert [column(record, n) for n in ("modality", "patient_id", "rows", "columns")] == [
        "CT",
        "007",
        512,
        None,
    ]
    assert dataset(record) == {
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00080090": {"vr": "PN"},
        "00100020": {"vr": "LO", "Value": ["007"]},
        "00180050": {"vr": "DS", "Value": ["1.50"]},
        "00280010": {"vr": "US", "Value": [512]},
    }


@pytest.mark.parametrize("begin", [0, 128, 132])
def test_the_preamble_and_the_header_may_be_missing(begin: int) -> None:
    data = file(NAME, ROWS)[begin:] if begin else element(0x00080060, "CS", b"CT") + NAME + ROWS
    record = read(data)
    assert (column(record, "patient_name"), column(record, "rows"), record.problem) == ("A^B", 512, None)


LONG_FIRST = b"\x08\0\x05\0" + struct.pack("<L", 5_000) + b"a" * 6_000


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 200, b"%PDF-1.4\n" * 30, b"\x08\0", b"PK\x03\x04" + b"a" * 300, LONG_FIRST]
)
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        read(data)
    assert caught.value.code == "GC-2008"


@pytest.mark.parametrize(
    ("vr", "raw", "member"),
    [
        ("IS", b"007 ", {"Value": ["007"]}),
        ("DS", b"1.50\\-0 ", {"Value": ["1.50", "-0"]}),
        ("LO", b"", {}),
        ("LO", b"a\\\\b ", {"Value": ["a", None, "b"]}),
        ("LT", b" a\\b\r\n", {"Value": [" a\\b\r\n"]}),
        ("UI", b"1.2.3\0", {"Value": ["1.2.3"]}),
        ("AT", b"\x10\0\x20\0", {"Value": ["00100020"]}),
        ("SS", struct.pack("<hh", -1, 7), {"Value": [-1, 7]}),
        ("UV", struct.pack("<Q", 2**64 - 1), {"Value": [str(2**64 - 1)]}),
        ("FL", struct.pack("<f", 0.1), {"Value": [0.10000000149011612]}),
        ("FD", struct.pack("<dd", 0.1, -0.0), {"Value": [0.1, -0.0]}),
        (
            "FD",
            struct.pack("<d", float("nan")),
            {"InlineBinary": base64.b64encode(struct.pack("<d", float("nan"))).decode()},
        ),
        ("OB", b"\0\xff", {"InlineBinary": "AP8="}),
        ("UN", b"\0\xff", {"InlineBinary": "AP8="}),
        ("ZZ", b"\0\xff", {"InlineBinary": "AP8="}),
        ("PN", b"A^B==C", {"Value": [{"Alphabetic": "A^B", "Ideographic": "", "Phonetic": "C"}]}),
        ("PN", b"A\\=B", {"Value": [{"Alphabetic": "A"}, {"Alphabetic": "", "Ideographic": "B"}]}),
    ],
)
def test_a_value_is_exact(vr: str, raw: bytes, member: dict[str, Any]) -> None:
    record = read(file(element(0x00091001, vr, raw)))
    assert record.problem is None
    assert dataset(record) == {"00091001": {"vr": vr} | member}


@pytest.mark.parametrize(
    ("vr", "raw", "problem"),
    [
        ("US", b"abc", "numbers of an odd length: (0009,1001)"),
        ("AT", b"ab", "numbers of an odd length: (0009,1001)"),
        ("PN", b"A=B=C=D", "a name of more than three groups: (0009,1001)"),
        ("CS", "头".encode("gbk"), "text that is not of its character set"),
        ("LO", "头".encode("gbk"), "text that is not of its character set"),
    ],
)
def test_a_value_that_has_no_exact_form_is_its_bytes(vr: str, raw: bytes, problem: str) -> None:
    record = read(file(element(0x00091001, vr, raw), ROWS))
    assert (record.problem or "").startswith(problem)
    assert dataset(record)["00091001"] == {"vr": vr, "InlineBinary": base64.b64encode(raw).decode()}
    assert column(record, "rows") == 512


def test_a_representation_that_the_dictionary_leaves_open_is_the_data_set_s() -> None:
    smallest = element(0x00280106, "", b"\xff\xff", IMPLICIT)
    signed = element(0x00280103, "", b"\x01\0", IMPLICIT)
    unsigned = element(0x00280103, "", b"\0\0", IMPLICIT)
    found = [
        dataset(read(file(*e, smallest, syntax=IMPLICIT)))["00280106"] for e in ([signed], [unsigned], [])
    ]
    assert found == [
        {"vr": "SS", "Value": [-1]},
        {"vr": "US", "Value": [65535]},
        {"vr": "UN", "InlineBinary": "//8="},
    ]


def test_private_elements_are_known_by_their_creator() -> None:
    """pydicom's private dictionary has (0009,xx01) of GEMS_IDEN_01 as LO."""
    creator = element(0x00090010, "", b"GEMS_IDEN_01", IMPLICIT)
    value = element(0x00091001, "", b"GE_GENESIS_FF ", IMPLICIT)
    found = dataset(read(file(creator, value, element(0x00111001, "", b"x ", IMPLICIT), syntax=IMPLICIT)))
    assert found["00091001"] == {"vr": "LO", "Value": ["GE_GENESIS_FF"]}
    assert found["00111001"] == {"vr": "UN", "InlineBinary": "eCA="}
    long = element(0x00090010, "", b"GEMS_IDEN_01".ljust(100), IMPLICIT)  # longer than a creator can be
    assert dataset(read(file(long, value, syntax=IMPLICIT)))["00091001"]["vr"] == "UN"


def test_sequences_of_every_spelling() -> None:
    """Defined and undefined lengths, an unknown representation, a delimiter that is not needed."""
    named, inner = item(NAME), item(NAME, ITEM_END, length=UNDEFINED)
    elements = [
        element(0x00081115, "SQ", named + inner),
        element(0x00081140, "SQ", inner + named + SEQUENCE_END, length=UNDEFINED),
        element(
            0x00091010,
            "UN",
            item(element(0x00100010, "", b"A^B ", IMPLICIT)) + SEQUENCE_END,
            length=UNDEFINED,
        ),
        element(0x00091011, "SQ", named) + SEQUENCE_END,
        element(0x00091012, "SQ", b""),
        ROWS,
    ]
    record = read(file(*elements))
    assert record.problem is None
    name = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}}
    found = dataset(record)
    assert [found[tag]["Value"] for tag in ("00081115", "00081140", "00091010", "00091011", "00091012")] == [
        [name, name],
        [name, name],
        [name],
        [name],
        [],
    ]
    assert (column(record, "patient_name"), column(record, "rows")) == (None, 512)
    assert "FFFEE0DD" not in found


def test_an_item_has_its_own_character_set_or_inherits_it() -> None:
    wang = element(0x00100010, "PN", "王".encode("gbk"))
    items = element(
        0x00081115, "SQ", item(wang) + item(charset("ISO_IR 192"), element(0x00100010, "PN", "王 ".encode()))
    )
    record = read(file(charset("GB18030"), items, wang))
    assert record.problem is None
    found = [i["00100010"]["Value"][0]["Alphabetic"] for i in dataset(record)["00081115"]["Value"]]
    assert [*found, column(record, "patient_name")] == ["王"] * 3
    assert column(record, "charset") == "GB18030"


@pytest.mark.parametrize("declared", ["", "ISO_IR 6", "ISO_IR 192", "KOI8"])
def test_a_device_that_lies_is_told_by_its_rule(declared: str) -> None:
    raw = "王^小东".encode("gbk") + b" "
    part = element(0x00180015, "CS", "头部".encode("gbk"))
    data = file(charset(declared), element(0x00100010, "PN", raw), part, ROWS)
    record = read(data)
    assert column(record, "patient_name") is None
    assert "(0010,0010), (0018,0015)" in (record.problem or "")
    assert dataset(record)["00100010"]["InlineBinary"] == base64.b64encode(raw).decode()
    assert (column(record, "charset"), column(record, "rows")) == (declared, 512)
    record = read(data, "GB18030")
    assert record.problem is None
    assert [column(record, n) for n in ("patient_name", "body_part", "charset")] == [
        "王^小东",
        "头部",
        declared,
    ]


def test_a_delimiter_within_a_character_parts_nothing() -> None:
    """The second bytes of these characters are those of a backslash and of a caret."""
    text = "廫\\誢^"
    record = read(file(charset("GBK"), element(0x00081030, "LO", text.encode("gbk"))))
    assert dataset(record)["00081030"]["Value"] == ["廫", "誢^"]
    assert column(record, "study_description") == text


def test_of_an_element_that_stands_twice_the_first_counts() -> None:
    again = element(0x00100010, "PN", b"C^D ")
    record = read(
        file(NAME, again, element(0x00081115, "SQ", item()), element(0x00081115, "SQ", item(ROWS)), ROWS)
    )
    assert record.problem == "an element that stands twice (the first counts): (0010,0010), (0008,1115)"
    assert (column(record, "patient_name"), column(record, "rows")) == ("A^B", 512)
    assert dataset(record)["00081115"]["Value"] == [{}]


def test_a_directory_is_found_by_the_class_in_its_header() -> None:
    directory = element(0x00020002, "UI", b"1.2.840.10008.1.3.10")
    data = b"\0" * 128 + b"DICM" + directory + element(0x00041130, "CS", b"SET ")
    assert column(read(data), "sop_class_uid") == "1.2.840.10008.1.3.10"


SAMPLE = [
    element(0x00080060, "CS", b"CT"),
    element(0x00081115, "SQ", item(NAME, element(0x00081140, "SQ", item(ROWS)))),
    element(0x00081140, "SQ", item(NAME, ITEM_END, length=UNDEFINED) + SEQUENCE_END, length=UNDEFINED),
    NAME,
    ROWS,
    element(0x7FE00010, "OW", b"\0" * 8),
]


def is_part(part: Any, whole: Any) -> bool:
    """Whether all of `part` stands in `whole`, unchanged."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and is_part(v, whole[key]) for key, v in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) <= len(whole) and all(map(is_part, part, whole))
    return bool(part == whole)


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED])
def test_what_stands_before_a_cut_is_kept_and_nothing_else(syntax: str) -> None:
    """Cut at every byte."""
    data = file(*SAMPLE, syntax=syntax)
    whole = json.loads(column(read(data), "dataset"))
    body = len(file())
    ends = {body + sum(map(len, SAMPLE[:count])) for count in range(len(SAMPLE) + 1)}
    seen = 0
    for cut in range(132, len(data)):
        record = read(data[:cut])
        found = json.loads(column(record, "dataset"))
        assert is_part(found, whole)
        if cut >= body:
            assert (record.problem is None) == (syntax == EXPLICIT and cut in ends)
            assert len(found) >= seen
        seen = len(found)


def test_what_is_broken_within_a_length_ends_with_it() -> None:
    broken = element(0x00081115, "SQ", item(NAME) + b"what is no item!")
    beyond = element(0x00081140, "SQ", item(element(0x00100010, "PN", b"A^B ", length=400)))
    record = read(file(broken, beyond, NAME, ROWS))
    assert record.problem == (
        "something else than an item stands in a sequence; the lengths of elements do not fit into each other"
    )
    assert (column(record, "patient_name"), column(record, "rows")) == ("A^B", 512)
    assert len(dataset(record)["00081115"]["Value"]) == 1


def test_what_is_broken_and_ends_among_other_things_ends_all() -> None:
    """The length leads into the midst of a text, and what stands there is no element."""
    text = item(element(0x00081030, "LO", b"x" * 200))
    record = read(file(NAME, element(0x00081115, "SQ", text, length=40), ROWS))
    assert record.problem == "the lengths of elements do not fit into each other"
    assert list(dataset(record)) == ["00100010", "00081115"]


def test_zeros_at_the_end_are_padding() -> None:
    record = read(file(NAME, ROWS) + b"\0" * 700)
    assert (column(record, "rows"), record.problem) == (512, None)


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED])
def test_a_long_value_is_named_by_its_place(syntax: str) -> None:
    long, fragments = b"\x01" * 4097, item(b"ab", b"cd") + item(b"ef")
    elements = [
        element(0x00091001, "OB", b"\x02" * 4096),
        element(0x00091002, "OB", long),
        element(0x7FE00010, "OB", fragments + SEQUENCE_END, length=UNDEFINED),
        element(0xFFFCFFFC, "OB", b"\0\0"),
    ]
    data = file(*elements, syntax=syntax)
    record = read(data)
    assert record.problem is None
    found = dataset(record)
    assert "InlineBinary" in found["00091001"]
    bytes_of = data if syntax == EXPLICIT else b"".join(elements)
    flag = "&deflated=1" if syntax == DEFLATED else ""
    for tag, value in (("00091002", long), ("7FE00010", fragments)):
        place = f"?offset={bytes_of.index(value)}&length={len(value)}{flag}"
        assert found[tag] == {"vr": "OB", "BulkDataURI": place}
    assert found["FFFCFFFC"] == {"vr": "OB", "InlineBinary": "AAA="}


class Counting(io.BufferedReader):
    """How many bytes were read of a file."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


@pytest.mark.parametrize("is_encapsulated", [False, True])
def test_of_two_gigabytes_next_to_nothing_is_read(tmp_path: Path, is_encapsulated: bool) -> None:
    """A sparse multi-frame file, and a value of 1 GiB within a sequence, which pydicom would load."""
    size = 1 << 30
    bulk = element(0x00420011, "OB", b"", length=size)
    frame = struct.pack("<HHL", 0xFFFE, 0xE000, size - 2)
    path = tmp_path / "large.dcm"
    with path.open("wb") as out:
        out.write(file(NAME, element(0x0040A730, "SQ", item(length=UNDEFINED), length=UNDEFINED) + bulk))
        out.seek(size, io.SEEK_CUR)
        out.write(
            ITEM_END
            + SEQUENCE_END
            + element(
                0x7FE00010,
                "OB" if is_encapsulated else "OW",
                b"",
                length=UNDEFINED if is_encapsulated else size,
            )
        )
        if is_encapsulated:
            out.write(frame)
            out.seek(size - 2, io.SEEK_CUR)
            out.write(SEQUENCE_END)
        else:
            out.seek(size, io.SEEK_CUR)
        out.write(element(0xFFFCFFFC, "OB", b"\0\0"))
    with Counting(path.open("rb", buffering=0)) as stream:
        tracemalloc.start()
        (record,) = DicomKind().records(
            Opened("large.dcm", stream, path.stat().st_size), FileRule(glob="*", kind="dicom")
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert record.problem is None
    assert (column(record, "patient_name"), list(dataset(record))[-1]) == ("A^B", "FFFCFFFC")
    assert stream.taken < 10_000
    assert peak < 2 * MIB


def test_sequences_without_end_are_a_problem() -> None:
    opening = element(0x00081115, "SQ", b"", length=UNDEFINED) + item(length=UNDEFINED)
    record = read(file(opening * 5_000))
    assert record.problem == "sequences stand more than 32 deep in each other"


def test_elements_without_end_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomelements, "ELEMENTS_MAX", 1_000)
    record = read(file(NAME, element(0x00081115, "SQ", item() * 5_000)))
    assert record.problem == "more than 1000 elements; those behind stand in the file alone"
    assert column(record, "patient_name") == "A^B"
    assert len(dataset(record)["00081115"]["Value"]) < 1_000


def test_a_text_without_end_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomjson, "JSON_BYTES_MAX", MIB)
    contours = [element(0x00091000 + i, "UT", b"1.5\\" * 50_000) for i in range(20)]
    record = read(file(NAME, *contours))
    assert (record.problem or "").startswith("longer than")
    assert len(column(record, "dataset")) < 2 * MIB


def test_values_that_leave_no_text_behind_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomelements, "VALUES_BYTES_MAX", MIB)
    texts = [element(0x00091000 + i, "UT", b"\x1b(B" * 10_000) for i in range(50)]
    record = read(file(charset("\\ISO 2022 IR 87"), NAME, *texts))
    assert record.problem == "more than 1 MiB of values; the rest stands in the file alone"
    assert len(dataset(record)) == 2 + MIB // 30_000


def test_a_deflated_bomb_is_a_problem_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicombytes, "INFLATED_BYTES_MAX", 4 * MIB)
    data = file(NAME, element(0x7FE00010, "OW", b"\0" * (5 * MIB)), syntax=DEFLATED)
    tracemalloc.start()
    record = read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert record.problem == "the deflated data set is longer than 4 MiB, in element (7FE0,0010)"
    assert column(record, "patient_name") == "A^B"
    assert peak < MIB


@given(st.data())
def test_a_mutated_file_is_a_record_or_refused(data: st.DataObject) -> None:
    syntax = data.draw(st.sampled_from([EXPLICIT, IMPLICIT, BIG, DEFLATED]))
    mutated = bytearray(file(charset("GB18030"), *SAMPLE, syntax=syntax))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        piece = data.draw(
            st.binary(max_size=4) | st.sampled_from([ITEM_END, SEQUENCE_END, b"\xff" * 4, b"SQ", b"\x1b"])
        )
        mutated[at : at + data.draw(st.integers(0, 8))] = piece
    try:
        record = read(bytes(mutated))
    except Rejected:
        return
    assert len(record.values) == len(NAMES)
    json.loads(column(record, "dataset"))
    for value, made in zip(record.values, DicomKind.columns, strict=True):
        assert value is None or isinstance(value, int if str(made.wire) == "int64" else str)


@given(st.binary(max_size=400))
def test_any_bytes_behind_a_preamble_are_a_record(noise: bytes) -> None:
    dataset(read(b"\0" * 128 + b"DICM" + noise))
