"""What binary formats begin with, as far as a kind reads them, and those that are known to be none of ours.

Sources: DICOM PS3.10 §7.1; the DBF structure of dBase III to Visual FoxPro; PKWARE's APPNOTE §4.3.7 (a member's
header); [MS-CFB] §2.6 (a directory entry); Parquet's file format. A name decides only where the sign of a format leaves
open what it holds and the part of the file that would tell lies behind the first bytes. Pure.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

_FILES = {
    b"%PDF-": "PDF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\x1f\x8b": "gzip",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "RAR",
    b"SQLite format 3\0": "SQLite",
    b"{\\rtf": "RTF",
}
_WORKBOOK_SUFFIXES = (".xls", ".xlsx", ".xlsm", ".xlsb", ".et")


@dataclass(frozen=True, slots=True)
class Sign:
    kind: str
    confidence: float
    why: str


def of(head: bytes, suffix: str) -> Sign | None:
    """`suffix`: of its name, in lower case, with the dot."""
    if head[128:132] == b"DICM":
        return Sign("dicom", 1.0, "DICM behind a preamble")
    if head.startswith((b"PAR1", b"PARE")):
        return Sign("parquet", 1.0, "PAR1, or PARE where it is encrypted")
    if head.startswith(b"PK\x03\x04"):
        return _zip(head, suffix)
    if head.startswith(_COMPOUND):
        return _compound(head, suffix)
    for begin, name in _FILES.items():
        if head.startswith(begin):
            return Sign("file", 1.0, name)
    if _is_dbf(head):
        return Sign("dbf", 0.99, "a DBF header whose fields make up its records")
    if _is_data_set(head):
        return Sign("dicom", 0.9, "a DICOM data set without a preamble")
    return None


_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENTRY_BYTES = 128


def _zip(head: bytes, suffix: str) -> Sign:
    members = [
        head[at.end() + 26 : at.end() + 26 + int.from_bytes(head[at.end() + 22 : at.end() + 24], "little")]
        for at in re.finditer(b"PK\x03\x04", head)
    ]
    if any(member.replace(b"\\", b"/").lstrip(b"/").lower().startswith(b"xl/") for member in members):
        return Sign("excel", 0.99, "a ZIP archive with xl/ in it")
    if suffix in _WORKBOOK_SUFFIXES:
        return Sign("excel", 0.6, "a ZIP archive that is named as a workbook")
    return Sign("file", 0.95, "a ZIP archive that begins with no part of a workbook")


def _compound(head: bytes, suffix: str) -> Sign:
    names = set()
    for place in range(512, len(head) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        length = int.from_bytes(head[place + 64 : place + 66], "little")
        if 2 <= length <= 64 and length % 2 == 0:
            names.add(head[place : place + length - 2].decode("utf-16-le", "replace").lower())
    if names & {"workbook", "book"}:
        return Sign("excel", 0.99, "an OLE2 file with the stream of a workbook")
    if "encryptedpackage" in names and suffix in _WORKBOOK_SUFFIXES:
        return Sign("excel", 0.8, "an OLE2 file that is encrypted, and named as a workbook")
    if "root entry" not in names and suffix in _WORKBOOK_SUFFIXES:
        return Sign("excel", 0.6, "an OLE2 file that is named as a workbook")
    return Sign("file", 0.9, "an OLE2 file without the stream of a workbook")


_DBF_VERSIONS = frozenset(
    {0x03, 0x04, 0x05, 0x30, 0x31, 0x32, 0x43, 0x63, 0x7B, 0x83, 0x8B, 0x8E, 0xCB, 0xE5, 0xF5, 0xFB}
)
_DBF_TYPES = frozenset(b"CNDLFMBGPWIYTOVQ@+0")
_DBF_FIELD_BYTES = 32


def _is_dbf(head: bytes) -> bool:
    if len(head) < 2 * _DBF_FIELD_BYTES + 1 or head[0] not in _DBF_VERSIONS or head[2] > 12 or head[3] > 31:
        return False
    header, record = struct.unpack_from("<HH", head, 8)
    width = 1
    for place in range(_DBF_FIELD_BYTES, min(header, len(head)) - 1, _DBF_FIELD_BYTES):
        if head[place] == 0x0D:
            break
        field = head[place : place + _DBF_FIELD_BYTES]
        if len(field) < _DBF_FIELD_BYTES:
            return True  # as many fields as 64 KiB hold
        if field[11] not in _DBF_TYPES or field[0] <= 0x20:
            return False
        # Long fields of characters have the upper byte of their length where others have decimals.
        width += field[16] + (field[17] << 8 if field[11] == ord("C") else 0)
    return bool(width == record > 1)


_VR = re.compile(b"AE|AS|AT|CS|DA|DS|DT|FD|FL|IS|LO|LT|OB|OD|OF|OW|PN|SH|SL|SQ|SS|ST|TM|UC|UI|UL|UN|UR|US|UT")
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"})
_FIRST_GROUPS = (0x0002, 0x0008)
_GROUP_MAX = 0x0040


def _is_data_set(head: bytes) -> bool:
    """Whether two elements stand one behind the other, the first of group 0002 or 0008."""
    return any(_are_elements(head, order) for order in "<>")


def _are_elements(head: bytes, order: str) -> bool:
    if len(head) < 16:
        return False
    group, element = struct.unpack_from(f"{order}HH", head)
    if group not in _FIRST_GROUPS or element > 0x0100:
        return False
    if not _VR.fullmatch(head[4:6]):
        (length,) = struct.unpack_from(f"{order}L", head, 4)
        place = 8 + length
        # A value without a length, or of a group's length that is none, is another format's number.
        if order == ">" or not length or (element == 0 and length != 4):
            return False
    elif head[4:6] in _LONG_VRS:
        place = 12 + struct.unpack_from(f"{order}L", head, 8)[0]
    else:
        place = 8 + struct.unpack_from(f"{order}H", head, 6)[0]
    if place + 4 > len(head):
        return False
    next_group, next_element = struct.unpack_from(f"{order}HH", head, place)
    is_behind = (group, element) < (next_group, next_element)
    return bool(is_behind and next_group <= _GROUP_MAX and next_group % 2 == 0)
