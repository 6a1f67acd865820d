"""Kind `dbf`: tables of dBase III, IV and 5, FoxPro and Visual FoxPro, with their memos.

A row is a record that is not marked as deleted. The header's count is what the program that writes stands for: a file
with fewer whole records is refused, because it was cut off or copied while it grew, and a table that suddenly lacked
the rest would read as deletions. Whole records behind the count are rows too (a DOS program counts when it closes the
file), up to the mark of the end, to a byte that begins no record, or to a rest that is no whole record yet.

dbfread, the library of the field, gives its table of code pages (`dbf_charset`). Its reading is not exact (see
`dbf_values`, `dbf_memo`), takes a path where we are given streams, and skips a record that begins with neither mark
without a word. Knows no folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from edge_agent.sources.columns import aside
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.dbf_charset import charset
from edge_agent.sources.kinds.dbf_fields import column_of, planned
from edge_agent.sources.kinds.dbf_header import Header, read_header
from edge_agent.sources.kinds.dbf_memo import Memo, MemoFault, Memos, gathered, memos_of
from edge_agent.sources.kinds.dbf_values import Reading, cut, pointers
from edge_agent.sources.kinds.kind import FileTable, Opened
from edge_agent.sources.slicing import slices
from edge_agent.sources.source import Rows
from protocol.canonical import Aside
from protocol.limits import MIB
from protocol.schema import Column

SLICE_ROWS = 5_000
SLICE_BYTES = 4 * MIB

_LIVE, _DELETED = (pa.scalar(mark, pa.binary(1)) for mark in (b" ", b"*"))
_TOO_SHORT = (
    "it ends before the last record that its header counts: it was cut off, or copied while it was written"
)
_NO_RECORD = "a record begins with the mark neither of a row nor of a deleted one"


class DbfKind:
    companions = (".fpt", ".dbt", ".cpg")

    def tables(self, opened: Opened, rule: FileRule) -> Sequence[FileTable]:
        header = read_header(opened)
        if header.length + header.records * header.record_bytes > opened.size:
            raise opened.refused(_TOO_SHORT)
        return [DbfTable(opened, header, charset(opened, rule, header))]


class DbfTable:
    """The rows of one DBF file, which is one table."""

    part = ""

    def __init__(self, opened: Opened, header: Header, encoding: str) -> None:
        self._opened = opened
        self._header = header
        self._plans = planned(opened, header, encoding)
        self.columns: tuple[Column, ...] = tuple(plan.column for plan in self._plans)

    def rows(self) -> Iterator[Rows]:
        records = _Records(self._opened, self._header)
        memos = memos_of(self._opened, self._header)
        fetch = partial(self._fetch, records, memos)
        yield from slices(fetch, SLICE_ROWS, SLICE_BYTES, self._header.record_bytes)

    def _fetch(self, records: _Records, memos: Memos | None, count: int) -> Rows:
        block = records.next(count)
        lead = [pointers(plan.raw(block)) for plan in self._plans if plan.is_memo]
        try:
            found = gathered(memos, lead, SLICE_BYTES) if lead else []
        except MemoFault as fault:
            raise self._opened.refused(fault.problem) from None
        if lead:
            block = block.slice(0, len(found[0]))
        records.skip(len(block))
        return self._rows(block, found)

    def _rows(self, block: pa.Array, found: Sequence[Sequence[Memo | None]]) -> Rows:
        nulls = self._header.nulls
        flags = None if nulls is None else cut(block, nulls.start, nulls.stop)
        memos = iter(found)
        readings = [column_of(p, block, flags, next(memos) if p.is_memo else ()) for p in self._plans]
        return Rows([array for array, _ in readings], self._asides(readings, len(block)))

    def _asides(self, readings: Sequence[Reading], count: int) -> list[list[Aside] | None] | None:
        if not any(odd for _, odd in readings):
            return None
        asides: list[list[Aside] | None] = [None] * count
        for column, (_, odd) in zip(self.columns, readings, strict=True):
            for row, (reason, original) in (odd or {}).items():
                asides[row] = [*(asides[row] or []), aside(column.name, reason, original)]
        return asides


class _Records:
    """The records of a file that are rows, one after another, as values of `pa.binary(record_bytes)`."""

    def __init__(self, opened: Opened, header: Header) -> None:
        self._opened = opened
        self._header = header
        self._wire = pa.binary(header.record_bytes)
        self._block = pa.array([], self._wire)
        self._place = header.length
        self._read = 0
        self._is_over = False

    def next(self, count: int) -> pa.Array:
        """At most so many of those that are not skipped, none at the end. Rejected GC-2008 for what is no record
        where the header counts one."""
        while not len(self._block) and not self._is_over:
            self._block = self._following()
        return self._block.slice(0, count)

    def skip(self, count: int) -> None:
        self._block = self._block.slice(count)

    def _following(self) -> pa.Array:
        size = self._header.record_bytes
        count = max(1, min(SLICE_ROWS, SLICE_BYTES // size))
        self._opened.stream.seek(self._place)
        data = self._opened.stream.read(count * size)
        records = pa.Array.from_buffers(self._wire, len(data) // size, [None, pa.py_buffer(data)])
        self._place += len(records) * size
        marks = cut(records, 0, 1)
        live = pc.equal(marks, _LIVE)
        strange = pc.index(pc.or_(live, pc.equal(marks, _DELETED)), False).as_py()
        if strange >= 0:
            records, live = records.slice(0, strange), live.slice(0, strange)
        self._read += len(records)
        if len(records) < count:
            self._is_over = True
            if self._read < self._header.records:
                is_end = strange < 0 or marks[strange].as_py() == b"\x1a"
                raise self._opened.refused(_TOO_SHORT if is_end else _NO_RECORD, self._read + 1)
        return records.filter(live)
