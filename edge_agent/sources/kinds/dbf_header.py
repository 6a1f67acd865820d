"""The header of a DBF file: how many records, how long, of which fields.

    0   u8   version: 03 dBase III to 5, 83 with memo, 8B dBase IV with memo, F5 FoxPro with memo, 30-32 Visual FoxPro …
    4   u32  records   8  u16  bytes of the header   10  u16  bytes of a record, of which the first marks a deleted one
    15  u8   1: encrypted (dBase IV)                 29  u8   language driver, which names the code page
    32       32 bytes a field: name (11, up to a NUL), letter of the type, 4, length, decimals, flags (Visual FoxPro),
             13; then 0D; Visual FoxPro has 263 bytes more

Numbers are little-endian. Where a field stands follows from the lengths before it: what the descriptor says of that is
often rubbish. dbfread reads the same header, but opens files by name, reads on into the records where the 0D is
missing, and compares no length with another. Knows no value.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edge_agent.sources.kinds.kind import Opened

_HEAD = struct.Struct("<B3xIHH")
_FIELD = struct.Struct("<11sc4xBBB13x")
_END = 0x0D
_ENCRYPTED_AT, _LANGUAGE_AT = 15, 29

_VISUAL = frozenset({0x30, 0x31, 0x32})
_FOXPRO = _VISUAL | {0xF5}
_DBASE_7 = frozenset({0x04, 0x8C})
_VERSIONS = _FOXPRO | _DBASE_7 | {0x03, 0x05, 0x43, 0x63, 0x7B, 0x83, 0x87, 0x8B, 0x8E, 0xCB, 0xFB}

_SYSTEM_NULLS = "0"
_BACKLINK_BYTES = 263


@dataclass(frozen=True, slots=True)
class Field:
    """One field of every record: `length` bytes from `start`. Flags stand only in Visual FoxPro's tables."""

    name: bytes
    letter: str
    start: int
    length: int
    decimals: int
    is_nullable: bool = False
    is_binary: bool = False

    @property
    def stop(self) -> int:
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Header:
    version: int
    records: int
    """As the header counts them; a program that runs may have appended more."""
    length: int
    """Bytes before the first record."""
    record_bytes: int
    language: int
    fields: tuple[Field, ...]
    nulls: Field | None
    """The hidden field of Visual FoxPro that tells which values are null and which are shorter than their field."""

    @property
    def is_visual(self) -> bool:
        return self.version in _VISUAL

    @property
    def is_foxpro(self) -> bool:
        return self.version in _FOXPRO


def read_header(opened: Opened) -> Header:
    """Rejected GC-2008 for what is no DBF file, or one whose header contradicts itself."""
    opened.stream.seek(0)
    head = opened.stream.read(32)
    if len(head) < 32 or head[0] not in _VERSIONS:
        raise opened.refused("it does not begin as a dBase or FoxPro table")
    version, records, length, record_bytes = _HEAD.unpack_from(head)
    is_visual = version in _VISUAL
    if head[_ENCRYPTED_AT] == 1 and not is_visual:
        raise opened.refused("it is encrypted")
    descriptors = opened.stream.read(max(0, length - 32))
    if length < 32 or len(descriptors) < length - 32:
        raise opened.refused("it ends within its header")
    fields = _fields(descriptors, is_visual, wide=True)
    if fields is not None and _span(fields) != record_bytes:
        # The byte that lengthens a text beyond 255 is a leftover in some files of dBase.
        fields = _fields(descriptors, is_visual, wide=False)
    if fields is None or _span(fields) != record_bytes:
        if version in _DBASE_7:
            raise opened.refused("it is a table of dBase 7, which is not read; save it as dBase IV or 5")
        raise opened.refused("the fields of its header do not make up its records")
    rest = descriptors[len(fields) * _FIELD.size + 1 :]
    is_usual = not rest.strip(b"\0") or (is_visual and len(rest) == _BACKLINK_BYTES)
    if not is_usual and opened.size - length - records * record_bytes not in (0, 1):
        raise opened.refused("its header is longer than its fields, and its records do not begin behind it")
    nulls = [f for f in fields if f.letter == _SYSTEM_NULLS] if is_visual else []
    shown = tuple(f for f in fields if f not in nulls)
    if not shown or len(nulls) > 1:
        raise opened.refused("its header names no fields" if not shown else "it has two fields of null flags")
    return Header(
        version, records, length, record_bytes, head[_LANGUAGE_AT], shown, nulls[0] if nulls else None
    )


def _span(fields: list[Field]) -> int:
    return fields[-1].stop if fields else 1


def _fields(descriptors: bytes, is_visual: bool, wide: bool) -> list[Field] | None:
    """The fields up to the 0D, or to the end where a program left it out; None where they are none."""
    fields: list[Field] = []
    start = 1
    for at in range(0, len(descriptors), _FIELD.size):
        if descriptors[at] == _END:
            break
        if len(descriptors) - at < _FIELD.size:
            return None
        name, letter, length, decimals, flags = _FIELD.unpack_from(descriptors, at)
        if wide and letter == b"C":
            length, decimals = length | decimals << 8, 0
        if not length or not (letter.isalnum() or letter in b"+@"):
            return None
        flags = flags if is_visual else 0
        fields.append(
            Field(
                name.split(b"\0", 1)[0].rstrip(b" "),
                letter.decode("ascii"),
                start,
                length,
                decimals,
                is_nullable=bool(flags & 2),
                is_binary=bool(flags & 4),
            )
        )
        start += length
    return fields
