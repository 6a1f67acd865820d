"""The row changes of one relation in one segment, from the bytes of their messages to columns.

    insert = "I" ‖ u32 relation ‖ "N" tuple
    update = "U" ‖ u32 relation ‖ [ "K" tuple | "O" tuple ] ‖ "N" tuple
    delete = "D" ‖ u32 relation ‖ ( "K" tuple | "O" tuple )

("K": of the old row the replica identity, "O": all of it, "N": the new row.) Pure.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from protocol.change import Op

from . import tuples
from .events import OldKind, Relation, TableChanges
from .messages import Messages, Torn, numbers
from .tuples import Tuples

HEAD_BYTES = 6
"""Of every row's message: its kind, the relation, and what tuple comes first."""

_INSERT, _UPDATE, _DELETE = b"IUD"
_KEY, _FULL, _NEW = b"KON"


class Gathering:
    """Messages of one relation, run by run."""

    def __init__(self, relation: Relation, messages: Messages) -> None:
        self._relation = relation
        self._messages = messages
        self._starts, self._ends = array("q"), array("q")
        self._acts, self._olds = bytearray(), bytearray()
        self._transaction: list[int] = []
        self._ordinal: list[int] = []

    def add(self, first: int, end: int, transaction: int, ordinal: int) -> None:
        """So many messages of one transaction, beginning with the change of that ordinal."""
        self._starts += self._messages.starts[first:end]
        self._ends += self._messages.ends[first:end]
        self._acts += self._messages.first_octets[first:end]
        self._olds += self._messages.sixth_octets[first:end]
        self._transaction += [transaction] * (end - first)
        self._ordinal += range(ordinal, ordinal + end - first)

    def changes(self) -> TableChanges:
        """Raises Torn."""
        acts, olds = bytes(self._acts), bytes(self._olds)
        _check(acts, olds)
        width, data = len(self._relation.columns), self._messages.octets
        ops, kinds = _each(acts, _OPS), _each(olds, _OLD_KINDS)
        behind = pc.add(numbers(self._starts), pa.scalar(HEAD_BYTES, pa.int64()))
        ends = numbers(self._ends)
        old_at = _places(olds, _NEW)
        old = tuples.read(data, _at(behind, old_at), _at(ends, old_at), width)
        if any(marks is not None for marks in old.unchanged):
            raise Torn
        new_at = _places(acts, _DELETE)
        if old_at and new_at:
            behind = self._behind_old(behind, old_at, old.ends)
        elif old_at and not old.ends.equals(ends):
            raise Torn
        limits = _at(ends, new_at)
        new = tuples.read(data, _at(behind, new_at), limits, width)
        if not new.ends.equals(limits):
            raise Torn
        _refuse_unchanged_of_creations(new.unchanged, ops, new_at)
        if any(marks is not None for marks in new.unchanged):
            new = _filled(self._relation, new, new_at, old, old_at, kinds)
        return TableChanges(
            self._relation,
            ops,
            self._transaction,
            self._ordinal,
            kinds,
            new.columns,
            new.unchanged,
            old.columns,
        )

    def _behind_old(self, behind: pa.Array, old_at: Sequence[int], old_ends: pa.Array) -> pa.Array:
        """Where the new tuples begin, behind old ones that end there; nothing more may stand behind a deleted row."""
        data, found = self._messages.data, behind.to_pylist()
        for i, end in zip(old_at, old_ends.to_pylist(), strict=True):
            if self._acts[i] == _DELETE:
                if end != self._ends[i]:
                    raise Torn
            elif end >= self._ends[i] or data[end] != _NEW:
                raise Torn
            found[i] = end + 1
        return pa.array(found, pa.int64())


T = TypeVar("T")

_OPS = {_INSERT: Op.CREATE, _UPDATE: Op.UPDATE, _DELETE: Op.DELETE}
_OLD_KINDS = {_NEW: OldKind.NONE, _KEY: OldKind.KEY, _FULL: OldKind.FULL}
_ALLOWED = frozenset(zip(b"IUUUDD", b"NNKOKO", strict=True))


def _check(acts: bytes, olds: bytes) -> None:
    """What may follow what: an insert has no old row, a delete nothing new."""
    pairs = {(acts[0], olds[0])} if _same(acts) and _same(olds) else set(zip(acts, olds, strict=True))
    if not pairs <= _ALLOWED:
        raise Torn


def _same(of: bytes) -> bool:
    return of.count(of[0]) == len(of)


def _each(of: bytes, meaning: Mapping[int, T]) -> list[T]:
    return [meaning[of[0]]] * len(of) if _same(of) else [meaning[one] for one in of]


def _places(of: bytes, other: int) -> Sequence[int]:
    """Where something else stands than `other`."""
    count = of.count(other)
    if count in (0, len(of)):
        return range(0 if count else len(of))
    return [i for i, one in enumerate(of) if one != other]


def _at(of: pa.Array, places: Sequence[int]) -> pa.Array:
    return of if len(places) == len(of) else of.take(pa.array(places, pa.int64()))


def _refuse_unchanged_of_creations(
    unchanged: Sequence[pa.Array | None], ops: Sequence[Op], new_at: Sequence[int]
) -> None:
    marked = [marks for marks in unchanged if marks is not None]
    if not marked or Op.CREATE not in ops:
        return
    created = pa.array([ops[i] is Op.CREATE for i in new_at])
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
