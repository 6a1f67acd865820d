"""Writes DBF files and their memos byte by byte, after the documents of their makers, and reads them, for tests."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.dbf import DbfKind
from edge_agent.sources.kinds.kind import FileTable, Opened
from protocol.errors import Rejected

VISUAL = 0x30
NULLABLE, BINARY = 2, 4


@dataclass(frozen=True)
class Spec:
    """A field as its descriptor has it."""

    name: str | bytes
    letter: str
    length: int
    decimals: int = 0
    flags: int = 0

    @property
    def descriptor(self) -> bytes:
        name = self.name if isinstance(self.name, bytes) else self.name.encode("gb18030")
        low, high = self.length & 255, self.length >> 8
        return struct.pack(
            "<11sc4xBBB13x",
            name,
            self.letter.encode(),
            low,
            high if self.letter == "C" else self.decimals,
            self.flags,
        )


def dbf(
    specs: Sequence[Spec],
    records: Sequence[Sequence[bytes]],
    *,
    version: int = 0x03,
    language: int = 0,
    deleted: Sequence[int] = (),
    count: int | None = None,
    end: bytes = b"\x1a",
) -> bytes:
    """The file. A value shorter than its field is padded with spaces, on the left if it is a number."""
    visual = version in (0x30, 0x31, 0x32)
    header = b"".join(spec.descriptor for spec in specs) + b"\r" + (bytes(263) if visual else b"")
    size = 1 + sum(spec.length for spec in specs)
    number = len(records) if count is None else count
    head = struct.pack("<B3sIHH17xB2x", version, b"\x7e\x0b\x1b", number, 32 + len(header), size, language)
    body = bytearray()
    for place, record in enumerate(records):
        body += b"*" if place in deleted else b" "
        for spec, value in zip(specs, record, strict=True):
            body += value.rjust(spec.length) if spec.letter in "NF" else value.ljust(spec.length)
    return head + header + bytes(body) + end


def fpt(memos: Sequence[tuple[int, bytes]], block_bytes: int = 64) -> tuple[bytes, list[int]]:
    """A FoxPro memo file of (type, content), and the block of each."""
    body, blocks = bytearray(512), []
    for kind, content in memos:
        body += bytes(-len(body) % block_bytes)
        blocks.append(len(body) // block_bytes)
        body += struct.pack(">II", kind, len(content)) + content
    body[:8] = struct.pack(">IHH", len(body) // block_bytes + 1, 0, block_bytes)
    return bytes(body), blocks


def dbt4(memos: Sequence[bytes], block_bytes: int = 512) -> tuple[bytes, list[int]]:
    """A memo file of dBase IV."""
    body, blocks = bytearray(512), []
    body[20:22] = block_bytes.to_bytes(2, "little")
    for content in memos:
        body += bytes(-len(body) % block_bytes)
        blocks.append(len(body) // block_bytes)
        body += b"\xff\xff\x08\x00" + struct.pack("<I", len(content) + 8) + content
    return bytes(body), blocks


def dbt3(memos: Sequence[bytes]) -> tuple[bytes, list[int]]:
    """A memo file of dBase III."""
    body, blocks = bytearray(512), []
    for content in memos:
        body += bytes(-len(body) % 512)
        blocks.append(len(body) // 512)
        body += content + b"\x1a\x1a"
    return bytes(body), blocks


def opened(data: bytes, beside: Mapping[str, bytes] | None = None) -> Opened:
    companions = {suffix: io.BytesIO(content) for suffix, content in (beside or {}).items()}
    return Opened("f.dbf", io.BytesIO(data), len(data), companions)


def table(data: bytes, beside: Mapping[str, bytes] | None = None, **rule: Any) -> FileTable:
    (found,) = DbfKind().tables(opened(data, beside), FileRule(glob="*", kind="dbf", **rule))
    return found


Row = tuple[list[Any], dict[str, tuple[str, bytes]]]
"""The values of a row, and by column what stands aside: reason and original."""


def rows_of(one: FileTable) -> list[Row]:
    """All rows; each array is checked to be sound, and of its column's type."""
    found: list[Row] = []
    for rows in one.rows():
        for array, column in zip(rows.columns, one.columns, strict=True):
            array.validate(full=True)
            assert array.type == column.wire
            assert len(array) == rows.count
        assert rows.asides is None or len(rows.asides) == rows.count
        columns = [array.to_pylist() for array in rows.columns]
        for place in range(rows.count):
            entries = (rows.asides[place] if rows.asides else None) or []
            aside = {e["column"]: (e["reason"], e["original"] or b"") for e in entries}
            found.append(([column[place] for column in columns], aside))
    return found


def read(data: bytes, beside: Mapping[str, bytes] | None = None, **rule: Any) -> list[Row]:
    return rows_of(table(data, beside, **rule))


def values(data: bytes, beside: Mapping[str, bytes] | None = None, **rule: Any) -> list[list[Any]]:
    """The rows, none of which has anything aside."""
    found = read(data, beside, **rule)
    assert not any(aside for _, aside in found)
    return [row for row, _ in found]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    assert caught.value.code == "GC-2008"
    return str(caught.value.facts["problem"])


def one(spec: Spec, value: bytes, **more: Any) -> tuple[Any, tuple[str, bytes] | None]:
    """A value and its aside, of a file that has nothing else."""
    ((row, aside),) = read(dbf([spec], [[value]], **more))
    return row[0], aside.get(str(spec.name))
