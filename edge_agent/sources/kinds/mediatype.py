"""The media type of a file by its first bytes.

A table of the marks that formats begin with, and no library: what hospitals keep is a short list, and a type that is
found wrong would be worse than none. Names of files do not count. What has no mark is text if nothing in it speaks
against that, in whatever character set, and else unknown. Pure.
"""

from __future__ import annotations

import re

HEAD_BYTES = 4096
"""What is looked at of a file."""

UNKNOWN = "application/octet-stream"
EMPTY = "application/x-empty"
TEXT = "text/plain"
PDF = "application/pdf"

_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", "application/dicom"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"II+\0\x08\0", "image/tiff"),
    (0, b"MM\0+\0\x08", "image/tiff"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (0, b"\xff\x4f\xff\x51", "image/x-j2c"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (4, b"ftypqt  ", "video/quicktime"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypM4A ", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/x-matroska"),
    (0, b"OggS", "application/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"%!PS", "application/postscript"),
)
_RIFF = frozenset({"image/webp", "audio/wav", "video/x-msvideo"})

_BMP = re.compile(rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)
"""Two letters are no mark: the reserved bytes and the size of the second header belong to it."""
_PDF = re.compile(rb"%PDF-(\d\.\d)?")
_PDF_WITHIN_BYTES = 1024
"""Where readers of PDF look for its header, whatever stands before it."""
_XML = re.compile(rb"\s*<\?xml[\s?\-]")
_HTML = re.compile(
    rb"\s*(?:<!--(?>.*?-->)\s*)*<(?:!doctype\s+html|html[\s>]|head[\s>])", re.IGNORECASE | re.DOTALL
)

_UTF_8_MARK = b"\xef\xbb\xbf"
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_NOT_IN_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def media_type(head: bytes) -> str:
    """Of a file that begins with `head`: HEAD_BYTES, or all of a shorter one."""
    if not head:
        return EMPTY
    for offset, mark, name in _MARKS:
        if head.startswith(mark, offset) and (name not in _RIFF or head.startswith(b"RIFF")):
            return name
    if _BMP.match(head):
        return "image/bmp"
    text = _of_text(head)
    found = _PDF.search(head, 0, _PDF_WITHIN_BYTES)
    # A text may well speak of PDF.
    return text if found is None or (text != UNKNOWN and head[: found.start()].strip()) else PDF


def pdf_version(head: bytes) -> str | None:
    """As its header has it; the document itself can name a later one. None of anything else."""
    found = _PDF.search(head, 0, _PDF_WITHIN_BYTES) if media_type(head) == PDF else None
    return found[1].decode("ascii") if found and found[1] else None


def _of_text(head: bytes) -> str:
    codec = _UTF_16.get(head[:2])
    text = head[2:].decode(codec, "replace").encode() if codec else head.removeprefix(_UTF_8_MARK)
    if _NOT_IN_TEXT.search(text):
        return UNKNOWN
    if _XML.match(text):
        return "application/xml"
    return "text/html" if _HTML.match(text) else TEXT
