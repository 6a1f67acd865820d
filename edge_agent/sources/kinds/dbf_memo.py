"""Memos: the long texts and objects of a DBF file, in the blocks of a file beside it.

    .fpt (FoxPro)       block size u16 BE at 6; a memo: u32 BE type (1: text), u32 BE length, content
    .dbt (dBase IV, 5)  block size u16 LE at 20; a memo: FF FF 08 00, u32 LE length with these eight bytes, content
    .dbt (III, FoxBase) blocks of 512 bytes; a memo: content, 1A

dbfread's readers are not used. They open files by name; take the block size of every .dbt for 512; read eight bytes too
many of each memo of dBase IV and cut it at the first 1F, which a picture may well have; take a dBase III memo whose end
was lost for whole; and read whatever length a damaged block claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from edge_agent.sources.kinds.dbf_header import Header
from edge_agent.sources.kinds.kind import Opened
from protocol.limits import KIB, MIB

MEMO_BYTES_MAX = 64 * MIB
"""Of one record together: they stand in memory several times on their way, and front-end machines are small."""
SHARED_MAX = 16
"""Every memo has its own blocks. Where all together are so many times their file, a damaged or hostile table points to
the same ones over and over, and 1 GB of it would become terabytes."""

_PIECE_BYTES = 64 * KIB
_BLOCK_BYTES = 512
_TEXT = 1
_TOO_LONG = f"the memos of one record are longer than {MEMO_BYTES_MAX // MIB} MiB"
_SHARED = "its memos lead to the same blocks over and over"
_OF_DBASE_3 = frozenset({0x03, 0x83, 0xFB})
_LEAD_BYTES = 8
_END = b"\x1a"


class MemoFault(Exception):
    """A memo that would take more memory or time than a file of ours may; `problem` says which."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Memo:
    content: bytes
    is_text: bool = True


class Memos(Protocol):
    def get(self, block: int) -> Memo | None:
        """The memo that begins in this block; None where none does. Raises MemoFault."""
        ...


def memos_of(opened: Opened, header: Header) -> Memos | None:
    """The memos beside a file, None where they are missing. Where both kinds are there, that of its version counts."""
    fpt, dbt = (opened.companions.get(suffix) for suffix in (".fpt", ".dbt"))
    if fpt is not None and (header.is_foxpro or dbt is None):
        return FoxProMemos(fpt)
    if dbt is None:
        return None
    return DBase3Memos(dbt) if header.version in _OF_DBASE_3 else DBase4Memos(dbt)


def gathered(
    memos: Memos | None, blocks: Sequence[Sequence[int | None]], bytes_max: int
) -> list[list[Memo | None]]:
    """The memos of some records: a column of them for each of `blocks`, as long as together they have at most
    `bytes_max`, but at least one record. None where a block is None, or none begins there. Raises MemoFault."""
    columns: list[list[Memo | None]] = [[] for _ in blocks]
    total = 0
    for row in zip(*blocks, strict=True):
        of_row = 0
        for column, block in zip(columns, row, strict=True):
            memo = memos.get(block) if memos is not None and block is not None else None
            column.append(memo)
            of_row += 0 if memo is None else len(memo.content)
            if of_row > MEMO_BYTES_MAX:
                raise MemoFault(_TOO_LONG)
        total += of_row
        if total >= bytes_max:
            break
    return columns


class _Blocks:
    """A memo file by its bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = stream.seek(0, 2)
        self._left = SHARED_MAX * self._size

    def _given(self, content: bytes, is_text: bool = True) -> Memo:
        self._left -= len(content)
        if self._left < 0:
            raise MemoFault(_SHARED)
        return Memo(content, is_text)

    def _at(self, start: int, count: int) -> bytes | None:
        """`count` bytes from `start`; None where the file has not so many."""
        if start + count > self._size:
            return None
        if count > MEMO_BYTES_MAX:
            raise MemoFault(_TOO_LONG)
        self._stream.seek(start)
        found = self._stream.read(count)
        return found if len(found) == count else None


class FoxProMemos(_Blocks):
    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._block_bytes = int.from_bytes(self._at(6, 2) or b"", "big")

    def get(self, block: int) -> Memo | None:
        start = block * self._block_bytes
        lead = self._at(start, _LEAD_BYTES) if start >= _LEAD_BYTES else None
        if lead is None:
            return None
        content = self._at(start + _LEAD_BYTES, int.from_bytes(lead[4:], "big"))
        return None if content is None else self._given(content, int.from_bytes(lead[:4], "big") == _TEXT)


class DBase4Memos(_Blocks):
    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._block_bytes = int.from_bytes(self._at(20, 2) or b"", "little") or _BLOCK_BYTES

    def get(self, block: int) -> Memo | None:
        start = block * self._block_bytes
        lead = self._at(start, _LEAD_BYTES) if block else None
        if lead is None or lead[:4] != b"\xff\xff\x08\x00":
            return None
        length = int.from_bytes(lead[4:], "little") - _LEAD_BYTES
        content = self._at(start + _LEAD_BYTES, length) if length >= 0 else None
        return None if content is None else self._given(content)


class DBase3Memos(_Blocks):
    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._endless = self._size
        """From here on no memo ends: else each pointer into a damaged file would read it whole."""

    def get(self, block: int) -> Memo | None:
        start = place = block * _BLOCK_BYTES
        content = bytearray()
        while block and place < self._endless:
            self._stream.seek(place)
            piece = self._stream.read(min(_PIECE_BYTES if content else _BLOCK_BYTES, self._endless - place))
            end = piece.find(_END)
            if end >= 0:
                return self._given(bytes(content + piece[:end]))
            if not piece:
                break
            content += piece
            place += len(piece)
            if len(content) > MEMO_BYTES_MAX:
                raise MemoFault(_TOO_LONG)
        if block:
            self._endless = min(self._endless, start)
        return None
