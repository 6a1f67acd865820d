"""Real DICOM files against pydicom's own full reading, element by element, and names that the world knows."""

from __future__ import annotations

import base64
import io
import json
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.dicom import DicomKind
from edge_agent.sources.kinds.kind import Opened, Record
from protocol.errors import Rejected
from tests.servers import SHARED, require_dataset

ROOT = SHARED / "dicom-pydicom"
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.dcm"))
DIRECTORIES = sorted(Path(pydicom.__file__).parent.glob("data/test_files/dicomdirtests/**/DICOMDIR*"))
NAMES = [column.name for column in DicomKind.columns]

NO_DICOM = {"test_files/no_meta.dcm"}
"""A blank stands before its first element; pydicom takes all of it for one value of an unknown element."""
PROBLEMS = {
    "palettes/winter.dcm": "an element that stands twice (the first counts): (0008,0018)",
    "test_files/MR_truncated.dcm": "the file ends in the middle, in element (7FE0,0010)",
    "test_files/rtplan_truncated.dcm": "the file ends in the middle, in element (300A,012C)",
}
OTHERWISE = {
    "test_files/MR_truncated.dcm": ["7FE00010"],
    "test_files/rtplan_truncated.dcm": ["300A00B0[0]/300A0111[0]/300A012C"],
}
"""Where a file is cut off pydicom gives what there is of a value as if it were all of it."""


def read(path: Path, charset: str | None = None) -> Record:
    rule = FileRule(glob="*", kind="dicom", dicom_charset=charset)
    with path.open("rb") as stream:
        (record,) = DicomKind().records(Opened(path.name, stream, path.stat().st_size), rule)
    return record


def fields(record: Record) -> dict[str, Any]:
    return dict(zip(NAMES, record.values, strict=True))


def dataset(record: Record) -> dict[str, Any]:
    found = json.loads(fields(record)["dataset"])
    assert isinstance(found, dict)
    return found


def whole(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pydicom.dcmread(path, force=True)
        for element in found.iterall():
            assert element is not None
    return found


def body(path: Path, theirs: Dataset) -> bytes:
    """What offsets of the data set count in: the file, or its inflated part."""
    data = path.read_bytes()
    syntax = theirs.file_meta.get("TransferSyntaxUID")
    if syntax is None or not syntax.is_deflated:
        return data
    start = data.index(b"DICM") + 4 + 12 + theirs.file_meta.FileMetaInformationGroupLength
    return zlib.decompress(data[start:], -zlib.MAX_WBITS)


def differences(ours: dict[str, Any], theirs: Dataset, data: bytes, where: str = "") -> Iterator[str]:
    their_tags = {f"{element.tag:08X}" for element in theirs}
    if not where:
        their_tags |= {f"{element.tag:08X}" for element in theirs.file_meta}
    yield from (f"{where}{tag}" for tag in sorted(set(ours) ^ their_tags))
    for tag in sorted(set(ours) & their_tags):
        element = theirs.file_meta[Tag(tag)] if tag.startswith("0002") else theirs[Tag(tag)]
        member = ours[tag]
        if member["vr"] != element.VR:
            yield f"{where}{tag}: {member['vr']} and {element.VR}"
        elif element.VR == "SQ":
            items = member["Value"]
            if len(items) != len(element.value):
                yield f"{where}{tag}: {len(items)} items"
                continue
            for number, (item, their_item) in enumerate(zip(items, element.value, strict=True)):
                yield from differences(item, their_item, data, f"{where}{tag}[{number}]/")
        elif plain(member, data) != their_plain(element):
            yield f"{where}{tag}: {plain(member, data)!r:.80} and {their_plain(element)!r:.80}"


def plain(member: dict[str, Any], data: bytes) -> Any:
    if "InlineBinary" in member:
        return base64.b64decode(member["InlineBinary"])
    if "BulkDataURI" in member:
        place = parse_qs(member["BulkDataURI"].removeprefix("?"))
        offset, length = int(place["offset"][0]), int(place["length"][0])
        return data[offset : offset + length]
    values = member.get("Value", [])
    if member["vr"] == "PN":
        return ["=".join(value.values()).rstrip("=") if value else "" for value in values]
    return [
        value.strip() if isinstance(value, str) else value or (0 if value == 0 else "") for value in values
    ]


def their_plain(element: Any) -> Any:
    value = element.value
    if isinstance(value, bytes):
        return value
    if value is None or value == "":
        return []
    values = list(value) if element.VM > 1 else [value]
    if element.VR in ("DS", "IS"):
        return [str(getattr(v, "original_string", v)).strip() for v in values]
    if element.VR == "AT":
        return [f"{v:08X}" for v in values]
    if element.VR == "PN":
        return [str(v).rstrip("=") for v in values]
    if element.VR in ("SV", "UV"):
        return [str(v) for v in values]
    return [str(v).strip() if isinstance(v, str) else v for v in values]


def columns(record: Record, theirs: Dataset) -> Iterator[str]:
    """The columns that differ from pydicom's values of their elements."""
    for column in DicomKind.columns[:-1]:
        tag = Tag(column.source_type[1:10].replace(",", ""))
        there = theirs.file_meta if tag >> 16 == 2 else theirs
        value = fields(record)[column.name]
        if tag in there:
            expected = "\\".join(map(str, their_plain(there[tag])))
            if value is None or str(value).strip().rstrip("=") != expected:
                yield column.name
        elif value is not None and column.name not in ("sop_class_uid", "sop_instance_uid"):
            yield column.name


@pytest.mark.parametrize("name", FILES or ["test_files/CT_small.dcm"])
def test_a_real_file_is_what_pydicom_reads_in_full(name: str) -> None:
    path = require_dataset(ROOT / name)
    if name in NO_DICOM:
        with pytest.raises(Rejected):
            read(path)
        return
    record, theirs = read(path), whole(path)
    assert record.problem == PROBLEMS.get(name)
    assert list(differences(dataset(record), theirs, body(path, theirs))) == OTHERWISE.get(name, [])
    assert list(columns(record, theirs)) == []


@pytest.mark.parametrize("path", DIRECTORIES, ids=lambda path: str(path.name))
def test_a_directory_is_one_record_with_all_its_records(path: Path) -> None:
    record, theirs = read(path), whole(path)
    found = dataset(record)
    if path.name == "DICOMDIR-nooffset":  # its last item reaches beyond the end that its sequence has
        assert record.problem == "the lengths of elements do not fit into each other"
        theirs.DirectoryRecordSequence.pop()
    else:
        assert record.problem is None
    assert list(differences(found, theirs, path.read_bytes())) == []
    assert fields(record)["sop_class_uid"] == "1.2.840.10008.1.3.10"


KNOWN_NAMES = {
    "chrArab.dcm": "قباني^لنزار",
    "chrFren.dcm": "Buc^Jérôme",
    "chrFrenMulti.dcm": "Buc^Jérôme",
    "chrGerm.dcm": "Äneas^Rüdiger",
    "chrGreek.dcm": "Διονυσιος",
    "chrH31.dcm": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "chrH32.dcm": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "chrHbrw.dcm": "שרון^דבורה",
    "chrI2.dcm": "Hong^Gildong=洪^吉洞=홍^길동",
    "chrJapMulti.dcm": "やまだ^たろう",
    "chrJapMultiExplicitIR6.dcm": "やまだ^たろう",
    "chrKoreanMulti.dcm": "김희중",
    "chrRuss.dcm": "Люкceмбypг",
    "chrX1.dcm": "Wang^XiaoDong=王^小東=",
    "chrX2.dcm": "Wang^XiaoDong=王^小东=",
}
"""As pydicom's documentation and tests know the patients of its files."""


@pytest.mark.parametrize("name", sorted(KNOWN_NAMES))
def test_a_known_name_in_its_character_set(name: str) -> None:
    record = read(require_dataset(ROOT / "charset_files" / name))
    assert fields(record)["patient_name"] == KNOWN_NAMES[name]


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("chrSQEncoding.dcm", {"ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"}),
        ("chrSQEncoding1.dcm", {"ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"}),
    ],
)
def test_a_known_name_within_a_sequence(name: str, names: set[str]) -> None:
    """By the set that the item declares, or inherits."""
    items = dataset(read(require_dataset(ROOT / "charset_files" / name)))["00321064"]["Value"]
    assert {"=".join(item["00100010"]["Value"][0].values()) for item in items} == names


@settings(max_examples=60)
@given(st.sampled_from(FILES or ["test_files/CT_small.dcm"]), st.data())
def test_a_mutated_real_file_is_a_record_or_refused(name: str, data: st.DataObject) -> None:
    mutated = bytearray(require_dataset(ROOT / name).read_bytes()[:20_000])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(mutated), 4_000)))
        mutated[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    try:
        (record,) = DicomKind().records(Opened(name, io.BytesIO(mutated), len(mutated)), FileRule(glob="*"))
    except Rejected:
        return
    dataset(record)
