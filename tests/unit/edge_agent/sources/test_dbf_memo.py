"""Memos of DBF files in their three formats, pointers into nowhere, and memo files that would never end."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds import dbf_memo
from edge_agent.sources.kinds.dbf import SLICE_BYTES, DbfKind
from edge_agent.sources.kinds.kind import FileTable, Opened
from tests.unit.edge_agent.sources.dbf_writer import (
    BINARY,
    VISUAL,
    Spec,
    dbf,
    dbt3,
    dbt4,
    fpt,
    read,
    refusal,
    rows_of,
    table,
    values,
)

NOTE = Spec("NOTE", "M", 10)
MEMOS = ["第一次就诊".encode("gb18030"), b"", b"\x1f" * 600, "三".encode("gb18030") * 5000]


def with_memos(blocks: Sequence[int | bytes], **more: Any) -> bytes:
    return dbf([NOTE], [[b if isinstance(b, bytes) else b"%10d" % b] for b in blocks], **more)


@pytest.mark.parametrize("block_bytes", [1, 33, 64, 512, 16_384])
def test_memos_of_foxpro(block_bytes: int) -> None:
    file, blocks = fpt([(1, memo) for memo in MEMOS], block_bytes)
    expected = [[memo.decode("gb18030")] for memo in MEMOS]
    assert values(with_memos(blocks, version=0xF5), {".fpt": file}) == expected
    visual = dbf([Spec("NOTE", "M", 4)], [[struct.pack("<I", b)] for b in blocks], version=VISUAL)
    assert values(visual, {".fpt": file, ".dbt": b""}) == expected


@pytest.mark.parametrize("block_bytes", [64, 512, 1024])
def test_memos_of_dbase_4(block_bytes: int) -> None:
    file, blocks = dbt4(MEMOS, block_bytes)
    expected = [[memo.decode("gb18030")] for memo in MEMOS]
    assert values(with_memos(blocks, version=0x8B), {".dbt": file, ".fpt": b""}) == expected
    objects = dbf([Spec("O", "B", 10)], [[b"%10d" % b] for b in blocks], version=0x8B)
    assert values(objects, {".dbt": file}) == [[memo] for memo in MEMOS]


def test_memos_of_dbase_3() -> None:
    file, blocks = dbt3(MEMOS)
    for version in (0x83, 0xFB):
        assert values(with_memos(blocks, version=version), {".dbt": file}) == [
            [m.decode("gb18030")] for m in MEMOS
        ]


def test_no_memo_is_null() -> None:
    assert values(with_memos([b"", 0, bytes(10)], version=0x83), {".dbt": dbt3([])[0]}) == [[None]] * 3
    visual = dbf([Spec("NOTE", "M", 4)], [[bytes(4)], [b"    "]], version=VISUAL)
    assert values(visual) == [[None]] * 2


@pytest.mark.parametrize(
    ("version", "companions"),
    [
        (0xF5, {}),
        (0xF5, {".fpt": b""}),
        (0xF5, {".fpt": bytes(600)}),
        (0xF5, {".fpt": fpt([(1, b"x" * 50)])[0][:-1]}),
        (0x8B, {".dbt": b""}),
        (0x8B, {".dbt": dbt4([b"abc"], 64)[0].replace(b"\x0b\0\0\0", b"\x01\0\0\0")}),
        (0x8B, {".dbt": dbt4([b"abc"], 64)[0].replace(b"\xff\xff", b"\xff\xfe")}),
        (0x83, {".dbt": bytes(512 * 20)}),
    ],
)
def test_a_pointer_into_nowhere_stands_aside_and_its_row_goes_on(
    version: int, companions: dict[str, bytes]
) -> None:
    data = with_memos([8, 10**9, b"x" * 10], version=version)
    found = read(data, companions)
    assert [row for row, _ in found] == [[None]] * 3
    originals = [aside["NOTE"] for _, aside in found]
    assert originals == [("type", b"%10d" % 8), ("type", b"1000000000"), ("type", b"x" * 10)]


def test_an_object_in_a_column_of_texts_stands_aside_and_undecodable_text_too() -> None:
    file, blocks = fpt([(0, b"\x89PNG"), (1, b"\xff\xff"), (1, b"ok")])
    found = read(with_memos(blocks, version=0xF5), {".fpt": file})
    assert found == [
        ([None], {"NOTE": ("type", b"\x89PNG")}),
        ([None], {"NOTE": ("charset", b"\xff\xff")}),
        (["ok"], {}),
    ]
    pictures = dbf(
        [Spec("P", "G", 10), Spec("M", "M", 10, flags=BINARY)], [[b"%10d" % blocks[0]] * 2], version=VISUAL
    )
    assert values(pictures, {".fpt": file}) == [[b"\x89PNG", b"\x89PNG"]]


class Counting(io.BytesIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.count += len(found)
        return found


def beside(data: bytes, suffix: str, stream: Counting) -> FileTable:
    source = Opened("f.dbf", io.BytesIO(data), len(data), {suffix: stream})
    (found,) = DbfKind().tables(source, FileRule(glob="*", kind="dbf"))
    return found


def test_memos_come_in_slices_of_bounded_size() -> None:
    file, blocks = fpt([(1, b"%d" % i + b"x" * (MIB_HALF + i)) for i in range(40)])
    one_file = table(with_memos(blocks, version=0xF5), {".fpt": file})
    assert all(rows.nbytes <= SLICE_BYTES for rows in one_file.rows())
    stream = Counting(file)
    next(iter(beside(with_memos(blocks, version=0xF5), ".fpt", stream).rows()))
    assert stream.count < SLICE_BYTES + 2 * MIB_HALF  # of 20 MiB
    found = [row[0] for row, _ in rows_of(one_file)]
    assert [len(text) - len(str(i)) for i, text in enumerate(found)] == [MIB_HALF + i for i in range(40)]
    assert [text[: len(str(i))] for i, text in enumerate(found)] == [str(i) for i in range(40)]


MIB_HALF = 512 * 1024


def test_memos_that_would_fill_the_memory_or_never_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    file, blocks = fpt([(1, b"x" * 3000)])
    shared = with_memos(blocks * 100, version=0xF5)
    assert "over and over" in refusal(lambda: values(shared, {".fpt": file}))
    monkeypatch.setattr(dbf_memo, "MEMO_BYTES_MAX", 2999)
    assert "longer than" in refusal(lambda: values(with_memos(blocks, version=0xF5), {".fpt": file}))
    three, blocks = dbt3([b"x" * 3000])
    assert "longer than" in refusal(lambda: values(with_memos(blocks, version=0x83), {".dbt": three}))
    wide = dbf(
        [NOTE, Spec("N", "M", 10)], [[b"%10d" % b for b in fpt([(1, b"x" * 2000)])[1] * 2]], version=0xF5
    )
    assert "longer than" in refusal(lambda: values(wide, {".fpt": fpt([(1, b"x" * 2000)])[0]}))


def test_a_memo_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbf_memo, "MEMO_BYTES_MAX", 70_000)
    for suffix, version, (file, blocks) in (
        (".fpt", 0xF5, fpt([(1, b"x" * 1_000_000)])),
        (".dbt", 0x8B, dbt4([b"x" * 1_000_000])),
        (".dbt", 0x83, dbt3([b"x" * 1_000_000])),
    ):
        stream = Counting(file)
        table_of = beside(with_memos(blocks, version=version), suffix, stream)
        assert "longer than" in refusal(lambda table_of=table_of: rows_of(table_of))  # type: ignore[misc]
        assert stream.count < 200_000


def test_a_memo_file_without_an_end_is_not_read_for_each_pointer() -> None:
    stream = Counting(bytes(512 * 2000))
    assert len(rows_of(beside(with_memos(range(1, 2000), version=0x83), ".dbt", stream))) == 1999
    assert stream.count < 3 * 512 * 2000
