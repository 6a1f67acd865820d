"""What a materialised `current` states of itself: up to which change it is true, since when, and below which floor.

It stands in the table's properties, so that one commit moves rows and statement together. The floor is followed
from window to window: of the marks those are kept that a later floor may rest on, and of the snapshot begun last
how many rows it has read. Pure: bytes and tables in, the next statement out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from protocol.change import MarkKind, Version

from .current import Floor, Mark, Span, floor

PROPERTY = "guicang.current"
"""The table property that holds the statement, as JSON."""
_FORMAT = 1
_CLEARS = (MarkKind.TRUNCATE, MarkKind.DROP)


@dataclass(frozen=True, slots=True)
class Track:
    """What of a table's marks a floor can still rest on: ends only of snapshots that were whole. `reads` counts the
    `r` rows of the snapshot begun last, up to where the statement goes."""

    marks: tuple[Mark, ...] = ()
    reads: int = 0

    @classmethod
    def of(cls, marks: Sequence[Mark], reads: Callable[[Span], int], upto: Version) -> Track:
        """Of a whole history up to the envelope of `upto`; `reads` as `current.floor` asks it."""
        ordered = sorted(marks, key=lambda mark: mark.version)
        whole: list[Span] = []

        def noted(span: Span) -> int:
            count = reads(span)
            if count == span.rows:
                whole.append(span)
            return count

        floor(ordered, noted)
        ends = {span.end for span in whole}
        kept = [mark for mark in ordered if mark.kind != MarkKind.SNAPSHOT_END or mark.version in ends]
        begun = _begun(kept)
        since = 0
        if begun is not None and begun.version.epoch == upto.epoch:
            since = reads(Span(begun.version, Version(upto.epoch, upto.seq + 1), None))
        return cls(_needed(kept), since)

    @property
    def floor(self) -> Floor:
        return floor(self.marks, lambda span: -1 if span.rows is None else span.rows)

    def followed(self, window: pa.Table) -> Track:
        """With the changes of `window`, all of which are later."""
        is_mark = pc.equal(window.column("_gc_op"), "m")
        lines = window.select([*_VERSION, "_gc_mark"]).filter(is_mark).to_pylist()
        marks = [Mark.read(Version(*(one[name] for name in _VERSION)), one["_gc_mark"]) for one in lines]
        rows = window.select(["_gc_epoch", "_gc_seq"]).filter(pc.equal(window.column("_gc_op"), "r"))
        kept, begun, count, after = list(self.marks), _begun(self.marks), self.reads, 0
        for mark in sorted(marks, key=lambda mark: mark.version):
            if mark.kind == MarkKind.SNAPSHOT_BEGIN:
                kept.append(mark)
                begun, count, after = mark, 0, mark.version.seq
            elif mark.kind in _CLEARS:
                kept.append(mark)
            elif mark.kind == MarkKind.SNAPSHOT_END and _ends(mark, begun):
                count += _reads(rows, mark.version.epoch, after, mark.version.seq)
                after = mark.version.seq
                if mark.rows == count:
                    kept.append(mark)
        if begun is not None:
            count += _reads(rows, begun.version.epoch, after, None)
        return Track(_needed(kept), count)


@dataclass(frozen=True, slots=True)
class Statement:
    """True for the changes up to the envelope (`epoch`, `seq`), that included; all that was durable in `changes` at
    `time` (UTC microseconds) is among them unless `more` says that the next step goes on. `changes_version` is the
    commit of `changes` that was read, `step` numbers the commits that moved it."""

    changes: str
    changes_version: int
    epoch: int
    seq: int
    time: int
    step: int
    keyed: bool
    track: Track
    more: bool = False

    @property
    def place(self) -> tuple[int, int]:
        return self.epoch, self.seq

    @property
    def upto(self) -> Version:
        """The last version that is in."""
        return Version(self.epoch, self.seq, (1 << 63) - 1)

    def to_json(self) -> str:
        marks = [
            [
                *(getattr(one.version, name) for name in ("epoch", "seq", "ord")),
                one.kind,
                one.snapshot,
                one.rows,
            ]
            for one in self.track.marks
        ]
        facts = {
            "format": _FORMAT,
            "changes": self.changes,
            "changes_version": self.changes_version,
            "epoch": self.epoch,
            "seq": self.seq,
            "time": self.time,
            "step": self.step,
            "keyed": self.keyed,
            "more": self.more,
            "marks": marks,
            "reads": self.track.reads,
        }
        return json.dumps(facts, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Statement | None:
        """None for what another version of ours wrote, or nobody."""
        try:
            facts = json.loads(text)
            if facts["format"] != _FORMAT:
                return None
            marks = tuple(Mark(Version(e, s, o), *rest) for e, s, o, *rest in facts["marks"])
            return cls(
                changes=facts["changes"],
                changes_version=facts["changes_version"],
                epoch=facts["epoch"],
                seq=facts["seq"],
                time=facts["time"],
                step=facts["step"],
                keyed=facts["keyed"],
                more=facts["more"],
                track=Track(marks, facts["reads"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


_VERSION = ("_gc_epoch", "_gc_seq", "_gc_ord")


def _begun(marks: Sequence[Mark]) -> Mark | None:
    return next((one for one in reversed(marks) if one.kind == MarkKind.SNAPSHOT_BEGIN), None)


def _ends(end: Mark, begun: Mark | None) -> bool:
    named = begun is not None and end.snapshot is not None and end.snapshot == begun.snapshot
    return named and begun is not None and end.version.epoch == begun.version.epoch


def _needed(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """Without what no later floor asks for: all below the last whole snapshot, all clears but the last, and the
    begins before that one but the last of them."""
    ends = [one for one in marks if one.kind == MarkKind.SNAPSHOT_END]
    clears = [one.version for one in marks if one.kind in _CLEARS]
    begins = [one.version for one in marks if one.kind == MarkKind.SNAPSHOT_BEGIN]
    lowest = max((v for v in begins if ends and v < ends[-1].version), default=None)
    if lowest is None and clears:
        lowest = max((v for v in begins if v < clears[-1]), default=clears[-1])
    elif lowest is None:
        lowest = max(begins, default=None)
    return tuple(
        one
        for one in marks
        if (lowest is None or one.version >= lowest)
        and (one.kind not in _CLEARS or one.version == clears[-1])
        and (one.kind != MarkKind.SNAPSHOT_END or one is ends[-1])
    )


def _reads(rows: pa.Table, epoch: int, after: int, before: int | None) -> int:
    seq = rows.column("_gc_seq")
    inside = pc.and_(pc.equal(rows.column("_gc_epoch"), epoch), pc.greater(seq, after))
    if before is not None:
        inside = pc.and_(inside, pc.less(seq, before))
    return pc.sum(inside).as_py() or 0
