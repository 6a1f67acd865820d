"""What a file is by its first bytes: marks, real files, any bytes."""

from __future__ import annotations

import gzip
import io
import sqlite3
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.kind import Opened
from edge_agent.sources.kinds.mediatype import HEAD_BYTES
from edge_agent.sources.kinds.opaque import OpaqueKind
from tests.servers import SHARED, require_dataset

RULE = FileRule(glob="*", kind="file")
PDFS = sorted((SHARED / "pdf").glob("*.pdf"))
FILES = [path for path in sorted(SHARED.rglob("*")) if path.is_file()]

TYPES = {
    ".pdf": {"application/pdf"},
    ".dcm": {"application/dicom"},
    ".xlsx": {"application/zip"},
    ".xls": {"application/x-ole-storage"},
    ".zip": {"application/zip"},
    ".sqlite": {"application/vnd.sqlite3"},
    ".ccda": {"application/xml"},
    ".dbf": {"application/octet-stream"},
    ".dbt": {"application/octet-stream"},
    ".fpt": {"application/octet-stream"},
}
"""By suffix; all others are text."""
OTHERWISE = {
    "ExplVR_BigEndNoMeta.dcm": "application/octet-stream",  # these four have no preamble
    "ExplVR_LitEndNoMeta.dcm": "application/octet-stream",
    "no_meta.dcm": "application/octet-stream",
    "rtstruct.dcm": "application/octet-stream",
    "pass_protected.xlsx": "application/x-ole-storage",  # as Office encrypts them
    "too_small.xls": "text/plain",
}


def read(data: bytes) -> tuple[str, str | None]:
    (record,) = OpaqueKind().records(Opened("f", io.BytesIO(data), len(data)), RULE)
    assert record.problem is None
    media_type, version = record.values
    return media_type, version


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("a.pdf", b"%PDF-1.7\n")
    return out.getvalue()


def database(folder: Path) -> bytes:
    connection = sqlite3.connect(folder / "f.db")
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    return (folder / "f.db").read_bytes()


BMP = (
    b"BM"
    + (70).to_bytes(4, "little")
    + bytes(4)
    + (54).to_bytes(4, "little")
    + (40).to_bytes(4, "little")
    + bytes(40)
)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"", "application/x-empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"GIF89a\1\0\1\0", "image/gif"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
        (BMP, "image/bmp"),
        (b"BMI of the patients", "text/plain"),
        (archive(), "application/zip"),
        (gzip.compress(b"a", mtime=0), "application/gzip"),
        (b"<?xml version='1.0'?><a/>", "application/xml"),
        (b"\xef\xbb\xbf\n<?xml version='1.0'?><a/>", "application/xml"),
        ("\ufeff<?xml version='1.0'?><a/>".encode("utf-16-le"), "application/xml"),
        (b"\n<!-- a -->\n<!DOCTYPE html>\n<p>", "text/html"),
        (b"<HTML><body>", "text/html"),
        (b"{\\rtf1\\ansi", "application/rtf"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "application/x-ole-storage"),
        (b"\0\0\0\x18ftypisom\0\0\2\0", "video/mp4"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"noteWEB WEBP is text", "text/plain"),
        (bytes(128) + b"DICM\2\0\0\0", "application/dicom"),
        ("姓名,张三\r\n".encode("gb18030"), "text/plain"),
        ("姓名,張三\r\n".encode("big5"), "text/plain"),
        (b"MSH|^~\\&|", "text/plain"),
        (b"\x0bMSH|^~\\&|\r\x1c\r", "application/octet-stream"),
        (bytes(10), "application/octet-stream"),
    ],
)
def test_a_mark(data: bytes, media_type: str) -> None:
    assert read(data) == (media_type, None)


def test_a_database(tmp_path: Path) -> None:
    assert read(database(tmp_path)) == ("application/vnd.sqlite3", None)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"%PDF-1.4\n", ("application/pdf", "1.4")),
        (b"\r\n%PDF-2.0\n", ("application/pdf", "2.0")),
        (b"%PDF-\n", ("application/pdf", None)),
        (b"\0junk" * 100 + b"%PDF-1.5\n", ("application/pdf", "1.5")),
        (b"\0junk" * 300 + b"%PDF-1.5\n", ("application/octet-stream", None)),
        (b"They begin with %PDF-1.4, all of them.", ("text/plain", None)),
    ],
)
def test_a_pdf_by_its_header(data: bytes, found: tuple[str, str | None]) -> None:
    assert read(data) == found


@pytest.mark.parametrize("path", PDFS or [SHARED / "pdf" / "alphatrans.pdf"], ids=lambda path: path.name)
def test_a_real_pdf(path: Path) -> None:
    """The version as the first line has it: these begin with nothing else."""
    data = require_dataset(path).read_bytes()
    assert read(data) == ("application/pdf", data[5:8].decode())


def test_every_real_file_has_its_type() -> None:
    require_dataset(SHARED)
    wrong = {}
    for path in FILES:
        with path.open("rb") as stream:
            found, _ = read(stream.read(HEAD_BYTES))
        expected = TYPES.get(path.suffix.lower(), {"text/plain"})
        if found not in ({OTHERWISE[path.name]} if path.name in OTHERWISE else expected):
            wrong[path.name] = found
    assert wrong == {}


def test_only_the_head_is_read() -> None:
    stream = io.BytesIO(bytes(1_000_000))
    list(OpaqueKind().records(Opened("f", stream, 1_000_000), RULE))
    assert stream.tell() == HEAD_BYTES


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1), st.sampled_from(["utf-8", "gb18030"])
)
def test_any_text_is_text(text: str, codec: str) -> None:
    assert read(("\t" + text).encode(codec))[0] == "text/plain"


@settings(max_examples=50)
@given(
    st.binary(max_size=300) | st.sampled_from([b"<!---->" * 600, b"<" * HEAD_BYTES, b"\xff\xfe" + b"<" * 999])
)
def test_any_bytes_have_a_type(data: bytes) -> None:
    media_type, version = read(data)
    assert media_type.count("/") == 1
    assert version is None or media_type == "application/pdf"


@settings(max_examples=50)
@given(st.sampled_from(FILES or [SHARED / "pdf" / "alphatrans.pdf"]), st.data())
def test_a_mutated_real_file_has_a_type(path: Path, data: st.DataObject) -> None:
    with require_dataset(path).open("rb") as stream:
        mutated = bytearray(stream.read(HEAD_BYTES))
    at = data.draw(st.integers(0, min(len(mutated), 200)))
    mutated[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    assert read(bytes(mutated))[0].count("/") == 1
