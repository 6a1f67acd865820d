"""Healing: whether a table still lacks what was dropped of it. Pure but for the rows that it is given.

A gap is healed once the table's floor (landing.md §5) lies above it: a snapshot that began later ended whole, or
the table was emptied since. Then nothing that the gap could have held counts any more.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from protocol.change import MarkKind, Version

from .current import Floor, Mark, Span, floor

COLUMNS = ("_gc_op", "_gc_epoch", "_gc_seq", "_gc_ord", "_gc_mark")


def floor_of(changes: pa.Table) -> Floor:
    """The floor of a table, from the COLUMNS of all its changes."""
    marks = changes.filter(pc.equal(changes["_gc_op"], "m")).to_pylist()
    reads = changes.filter(pc.equal(changes["_gc_op"], "r"))

    def count(span: Span) -> int:
        inside = pc.and_(_after(reads, span.begin), pc.invert(_after(reads, span.end, or_at=True)))
        return int(pc.sum(inside).as_py() or 0)

    read = (Mark.read(Version(m["_gc_epoch"], m["_gc_seq"], m["_gc_ord"]), m["_gc_mark"]) for m in marks)
    return floor(read, count)


def is_healed(changes: pa.Table, last: tuple[int, int]) -> bool:
    """Whether nothing up to the envelope `last` (epoch, sequence) counts any more."""
    above = floor_of(changes).above
    return above is not None and (above.epoch, above.seq) > last


def is_gone(changes: pa.Table) -> bool:
    """Whether the last word about the table, from the COLUMNS of all its changes, is that it was dropped."""
    marks = changes.filter(pc.equal(changes["_gc_op"], "m")).to_pylist()
    read = (Mark.read(Version(m["_gc_epoch"], m["_gc_seq"], m["_gc_ord"]), m["_gc_mark"]) for m in marks)
    last = max(read, key=lambda mark: mark.version, default=None)
    return (
        last is not None and last.kind == MarkKind.DROP and not pc.any(_after(changes, last.version)).as_py()
    )


def _after(rows: pa.Table, v: Version, *, or_at: bool = False) -> pa.Array:
    ordinal = pc.greater_equal if or_at else pc.greater
    epoch, seq, ord_ = (rows[name] for name in ("_gc_epoch", "_gc_seq", "_gc_ord"))
    same_seq = pc.and_(pc.equal(seq, v.seq), ordinal(ord_, v.ord))
    same_epoch = pc.and_(pc.equal(epoch, v.epoch), pc.or_(pc.greater(seq, v.seq), same_seq))
    return pc.or_(pc.greater(epoch, v.epoch), same_epoch)
