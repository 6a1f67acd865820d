"""The row changes of one relation in one segment, from the bytes of their messages to columns.

    insert = "I" ‖ u32 relation ‖ "N" tuple
    update = "U" ‖ u32 relation ‖ [ "K" tuple | "O" tuple ] ‖ "N" tuple
    delete = "D" ‖ u32 relation ‖ ( "K" tuple | "O" tuple )

("K": of the old row the replica identity, "O": all of it, "N": the new row.) Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from protocol.change import Op

from . import tuples
from .events import OldKind, Relation, TableChanges
from .tuples import PADDING, Torn, Tuples

HEAD_BYTES = 6
"""Of every row's message: its kind, the relation, and what tuple comes first."""

_KEY, _FULL, _NEW = ord("K"), ord("O"), ord("N")
_OLD_KINDS = {_KEY: OldKind.KEY, _FULL: OldKind.FULL}


@dataclass(slots=True)
class Gathering:
    """Messages of one relation; one entry a list for each."""

    relation: Relation
    messages: list[bytes] = field(default_factory=list)
    transaction: list[int] = field(default_factory=list)
    ordinal: list[int] = field(default_factory=list)

    def changes(self) -> TableChanges:
        """Raises Torn."""
        width = len(self.relation.columns)
        data = b"".join((*self.messages, PADDING))
        ends = list(accumulate(map(len, self.messages)))
        starts = [end - len(message) for end, message in zip(ends, self.messages, strict=True)]
        ops = [_OPS[message[0]] for message in self.messages]
        kinds = [_old_kind(message) for message in self.messages]
        old_at = [i for i, kind in enumerate(kinds) if kind is not OldKind.NONE]
        old = tuples.read(data, [starts[i] + HEAD_BYTES for i in old_at], [ends[i] for i in old_at], width)
        if any(marks is not None for marks in old.unchanged):
            raise Torn
        new_starts = [start + HEAD_BYTES for start in starts]
        for i, end in zip(old_at, old.ends, strict=True):
            new_starts[i] = _behind_old(data, ops[i], end, ends[i])
        new_at = [i for i, op in enumerate(ops) if op is not Op.DELETE] if old_at else range(len(ops))
        limits = [ends[i] for i in new_at]
        new = tuples.read(data, [new_starts[i] for i in new_at], limits, width)
        if new.ends != limits:
            raise Torn
        _refuse_unchanged_of_creations(new.unchanged, [ops[i] for i in new_at])
        if any(marks is not None for marks in new.unchanged):
            new = _filled(self.relation, new, new_at, old, old_at, kinds)
        return TableChanges(
            self.relation, ops, self.transaction, self.ordinal, kinds, new.columns, new.unchanged, old.columns
        )


_OPS = {ord("I"): Op.CREATE, ord("U"): Op.UPDATE, ord("D"): Op.DELETE}


def _old_kind(message: bytes) -> OldKind:
    if len(message) < HEAD_BYTES:
        raise Torn
    kind = message[HEAD_BYTES - 1]
    if kind == _NEW and message[0] != ord("D"):
        return OldKind.NONE
    if kind not in _OLD_KINDS or message[0] == ord("I"):
        raise Torn
    return _OLD_KINDS[kind]


def _behind_old(data: bytes, op: Op, end: int, limit: int) -> int:
    """Where the new tuple begins, behind an old one that ends at `end`."""
    if op is Op.DELETE:
        if end != limit:
            raise Torn
        return end
    if end >= limit or data[end] != _NEW:
        raise Torn
    return end + 1


def _refuse_unchanged_of_creations(unchanged: Sequence[pa.Array | None], ops: Sequence[Op]) -> None:
    marked = [marks for marks in unchanged if marks is not None]
    if not marked or Op.CREATE not in ops:
        return
    created = pa.array([op is Op.CREATE for op in ops])
    if any(pc.any(pc.and_(marks, created)).as_py() for marks in marked):
        raise Torn


def _filled(
    relation: Relation,
    new: Tuples,
    new_at: Sequence[int],
    old: Tuples,
    old_at: Sequence[int],
    kinds: Sequence[OldKind],
) -> Tuples:
    """Values that were left alone, from the old row: all where that came in full, else those of its key, which comes
    along whenever it is too large for its row."""
    keyed = {change: row for row, change in enumerate(old_at)}
    full = {change: row for change, row in keyed.items() if kinds[change] is OldKind.FULL}
    columns, unchanged = list(new.columns), list(new.unchanged)
    for column, (marks, said) in enumerate(zip(new.unchanged, relation.columns, strict=True)):
        place = keyed if said.key else full
        if marks is None or not place:
            continue
        rows = pa.array([place.get(change) for change in new_at], pa.int32())
        columns[column] = pc.if_else(marks, old.columns[column].take(rows), new.columns[column])
        left = pc.and_(marks, rows.is_null())
        unchanged[column] = left if pc.any(left).as_py() else None
    return Tuples(columns, unchanged, new.ends)
