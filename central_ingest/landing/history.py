"""A table's `changes` as the materialising of `current` reads them: by version, a piece at a time.

New is what has a later (epoch, seq) than the last envelope taken, whatever file it lies in: compaction moves rows
without changing them, so no file's name or commit says what was seen. Statistics pass old files by. A list of files
is taken once; what lands afterwards is the next step's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from protocol.change import Version

from .current import Floor, Mark, Span, floor
from .lake import Txn
from .merging import as_shown, shown_schema
from .tablestate import LiveFile

Place = tuple[int, int]
"""Epoch and sequence of an envelope."""

_EPOCH, _SEQ = "_gc_epoch", "_gc_seq"
EXPANDS = 5
"""Bytes of rows in memory to bytes of their files, about."""


class Tables(Protocol):
    """What is needed of the lake; `landing.delta` has it."""

    def schema(self, path: str) -> pa.Schema | None: ...

    def version(self, path: str) -> int: ...

    def settings(self, path: str) -> dict[str, str]: ...

    def files(self, path: str) -> list[LiveFile]: ...

    def read_file(
        self, path: str, file: LiveFile, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]: ...

    def make_durable(self, path: str, version: int) -> None: ...

    def rewrite(
        self,
        path: str,
        removed: Sequence[LiveFile],
        parts: Iterator[pa.Table],
        *,
        changes_rows: bool,
        partition: Sequence[str],
        txns: Sequence[Txn] = (),
        settings: dict[str, str] | None = None,
        redefines: bool = False,
    ) -> int | None: ...


@dataclass(frozen=True, slots=True)
class History:
    """`changes` of one table at one moment, all of it durable, with each column in its newest type."""

    lake: Tables
    path: str
    files: tuple[LiveFile, ...]
    version: int
    landed: pa.Schema
    """As the lake has it."""

    @property
    def schema(self) -> pa.Schema:
        return shown_schema(self.landed)

    @classmethod
    def at_present(cls, lake: Tables, path: str) -> History | None:
        """None where nothing has landed."""
        found = cls.as_seen(lake, path)
        if found is not None:
            lake.make_durable(path, found.version)
        return found

    @classmethod
    def as_seen(cls, lake: Tables, path: str) -> History | None:
        """What can be seen, durable or not."""
        files = lake.files(path)
        version, schema = lake.version(path), lake.schema(path)
        if schema is None or not files:
            return None
        return cls(lake, path, tuple(sorted(files, key=_ends)), version, schema)

    @property
    def last(self) -> Place:
        """The last envelope that stands there."""
        top = max((_ends(file) for file in self.files), key=lambda ends: ends[1][0])[1][0]
        last = 0
        for file in self.files:
            (least, _), (most, seq) = _ends(file)
            if most != top:
                continue
            if least == most and seq < _ENDLESS:
                last = max(last, seq)
                continue
            for piece in self.lake.read_file(self.path, file, (_EPOCH, _SEQ)):
                of_top = piece.filter(pc.equal(piece.column(_EPOCH), top))
                last = max(last, pc.max(of_top.column(_SEQ)).as_py() or 0)
        return top, last

    def newer(self, than: Place | None) -> list[LiveFile]:
        """The files that may hold rows of later envelopes."""
        return [file for file in self.files if than is None or _may_hold_later(file, than)]

    def pieces(
        self, after: Place | None, upto: Place, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """Rows of the envelopes after `after` up to `upto`, by rising file; `columns` are system columns."""
        wanted = None if columns is None else list(dict.fromkeys([*columns, _EPOCH, _SEQ]))
        for file in self.newer(after):
            if _ends(file)[0] > upto:
                continue
            whole = _is_inside(file, after, upto)
            for piece in self.lake.read_file(self.path, file, wanted):
                rows = piece if whole else _inside(piece, after, upto)
                if rows.num_rows:
                    yield as_shown(rows, self.landed) if columns is None else rows.select(list(columns))

    def window_end(self, after: Place, upto: Place, bytes_max: int) -> Place:
        """The last envelope of a window that begins behind `after` and takes about `bytes_max` in memory: at least
        one envelope."""
        files = self.newer(after)
        size = sum(file.size for file in files) * EXPANDS
        if size <= bytes_max:
            return upto
        rows = sum(file.rows or 0 for file in files)
        rows_max = max(1, rows * bytes_max // size)
        places = pa.concat_tables(self.pieces(after, upto, (_EPOCH, _SEQ)))
        if places.num_rows <= rows_max:
            return upto
        ordered = places.sort_by([(_EPOCH, "ascending"), (_SEQ, "ascending")])
        epoch, seq = ordered.slice(rows_max - 1, 1).to_pylist()[0].values()
        return epoch, seq

    def marks(self, upto: Place) -> list[Mark]:
        """All of the table's marks. Reads the whole history, if but few columns of it."""
        names = ("_gc_op", _EPOCH, _SEQ, "_gc_ord", "_gc_mark")
        return [
            Mark.read(Version(one[_EPOCH], one[_SEQ], one["_gc_ord"]), one["_gc_mark"])
            for piece in self.pieces(None, upto, names)
            for one in piece.filter(pc.equal(piece.column("_gc_op"), "m")).to_pylist()
        ]

    def floor(self, upto: Place) -> Floor:
        """That of the changes up to an envelope."""
        return floor(self.marks(upto), self.reads)

    def reads(self, span: Span) -> int:
        """The `r` rows that stand in a span; marks have envelopes of their own."""
        begin, end = (span.begin.epoch, span.begin.seq), (span.end.epoch, span.end.seq - 1)
        pieces = self.pieces(begin, end, ("_gc_op",))
        return sum(pc.sum(pc.equal(piece.column("_gc_op"), "r")).as_py() or 0 for piece in pieces)


_ENDLESS = (1 << 63) - 1


def _ends(file: LiveFile) -> tuple[Place, Place]:
    """Least and greatest epoch and sequence, each by itself; all there is where another engine wrote the file."""
    least, most = file.stats.get("minValues") or {}, file.stats.get("maxValues") or {}
    return (least.get(_EPOCH, 0), least.get(_SEQ, 0)), (
        most.get(_EPOCH, _ENDLESS),
        most.get(_SEQ, _ENDLESS),
    )


def _may_hold_later(file: LiveFile, than: Place) -> bool:
    (least, _), (most, seq) = _ends(file)
    return most > than[0] or (most == than[0] and (least < most or seq > than[1]))


def _later(rows: pa.Table, than: Place) -> pa.ChunkedArray:
    epoch, seq = rows.column(_EPOCH), rows.column(_SEQ)
    same = pc.and_(pc.equal(epoch, than[0]), pc.greater(seq, than[1]))
    return pc.or_(pc.greater(epoch, than[0]), same)


def _is_inside(file: LiveFile, after: Place | None, upto: Place) -> bool:
    """Whether its statistics say so of all its rows."""
    (least, first), (most, last) = _ends(file)
    return least == most and (after is None or (least, first) > after) and (most, last) <= upto


def _inside(rows: pa.Table, after: Place | None, upto: Place) -> pa.Table:
    inside = pc.invert(_later(rows, upto))
    return rows.filter(inside if after is None else pc.and_(inside, _later(rows, after)))
