"""From a log's texts to changes of typed rows: the same columns, read by the same rules, as a table's COPY gives.

An update whose key stayed is one change; one that moved its row to another key is a deletion of the old and a creation
of the new, side by side. Pure; what a column is was said by whoever gives the schema and its layout.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from edge_agent.sources.columns import Layout, join
from edge_agent.sources.log import Logged
from edge_agent.sources.pg.events import OldKind, TableChanges
from edge_agent.sources.source import Rows
from edge_agent.sources.spelt import in_utf8
from protocol.canonical import encode_rows
from protocol.change import Op
from protocol.errors import Rejected
from protocol.schema import TableSchema


def logged(schema: TableSchema, layout: Layout, said: TableChanges, charset: str | None = None) -> Logged:
    """`schema` has the columns of the relation, in its order, and a key that its replica identity carries, or none.
    Texts are in `charset` (None: UTF-8). Raises Rejected GC-2070 where it has no key, and an old row is not said in
    full."""
    if not schema.key and not all(map(_says_all, said.ops, said.old_kinds)):
        raise Rejected("GC-2070", table=str(schema.table))
    if not _count(said.new):
        return Logged(schema, _old(schema, layout, said, charset), said.ops, said.transaction, said.ordinal)
    new = layout.columns([in_utf8(texts, charset) for texts in said.new], _count(said.new))
    unchanged = _unchanged(said)
    if not _count(said.old):
        return Logged(schema, new, said.ops, said.transaction, said.ordinal, None, unchanged)
    return _Weaving(schema, said, new, _old(schema, layout, said, charset)).woven(unchanged)


def _says_all(op: Op, old: OldKind) -> bool:
    """Of a row without a key the log must say what it was."""
    return op is Op.CREATE or old is OldKind.FULL


def _count(columns: Sequence[pa.Array]) -> int:
    return len(columns[0]) if columns else 0


def _unchanged(said: TableChanges) -> list[list[str] | None] | None:
    """Of each new row the names of columns without a value."""
    named = [
        (column.name, left_out.to_pylist())
        for column, left_out in zip(said.relation.columns, said.unchanged, strict=True)
        if left_out is not None
    ]
    if not named:
        return None
    count = _count(said.new)
    return [[name for name, left_out in named if left_out[row]] or None for row in range(count)]


def _old(schema: TableSchema, layout: Layout, said: TableChanges, charset: str | None) -> Rows:
    """A deletion carries its typed key (landing.md §1a); of a row without one, all."""
    count = _count(said.old)
    if not schema.key:
        return layout.columns([in_utf8(texts, charset) for texts in said.old], count)
    texts = [in_utf8(said.old[i], charset) for i in schema.key_positions]
    key = layout.some(schema.key_positions).columns(texts, count)
    columns = [pa.nulls(count, column.wire) for column in schema.columns]
    for i, array in zip(schema.key_positions, key.columns, strict=True):
        columns[i] = array
    return Rows(columns, key.asides)


class _Weaving:
    """Changes in their order, from new rows and old ones."""

    def __init__(self, schema: TableSchema, said: TableChanges, new: Rows, old: Rows) -> None:
        self._schema = schema
        self._said = said
        self._new = new
        self._old = old
        self._rows: list[int] = []
        """Places in the new rows followed by the old ones."""
        self._ops: list[Op] = []
        self._from: list[int] = []
        """Which of the changes that were said."""
        self._moved: list[bool] = []

    def woven(self, unchanged: list[list[str] | None] | None) -> Logged:
        new = old = 0
        moved = self._moves()
        for place, (op, kind) in enumerate(zip(self._said.ops, self._said.old_kinds, strict=True)):
            if op is Op.DELETE:
                self._add(place, Op.DELETE, self._new.count + old)
            elif kind is not OldKind.NONE and moved[old]:
                self._add(place, Op.DELETE, self._new.count + old)
                self._add(place, Op.CREATE, new, moved=True)
            else:
                self._add(place, op, new)
            new += op is not Op.DELETE
            old += kind is not OldKind.NONE
        rows = join([self._new, self._old]).take(self._rows)
        left_out = unchanged and [unchanged[row] if row < len(unchanged) else None for row in self._rows]
        return Logged(
            self._schema,
            rows,
            self._ops,
            [self._said.transaction[place] for place in self._from],
            [self._said.ordinal[place] for place in self._from],
            self._moved if any(self._moved) else None,
            left_out if left_out and any(left_out) else None,
        )

    def _add(self, place: int, op: Op, row: int, *, moved: bool = False) -> None:
        self._rows.append(row)
        self._ops.append(op)
        self._from.append(place)
        self._moved.append(moved and bool(self._schema.key))

    def _moves(self) -> list[bool]:
        """Of each old row whether its update gave it another key; a row without a key is always another."""
        if not self._schema.key:
            return [True] * self._old.count
        news: list[int] = []
        new = 0
        for op, kind in zip(self._said.ops, self._said.old_kinds, strict=True):
            if kind is not OldKind.NONE:
                news.append(-1 if op is Op.DELETE else new)
            new += op is not Op.DELETE
        before = _keys(self._schema, self._old)
        after = _keys(self._schema, self._new)
        return [at >= 0 and after[at] != key for at, key in zip(news, before, strict=True)]


def _keys(schema: TableSchema, rows: Rows) -> list[bytes]:
    return encode_rows([rows.columns[i] for i in schema.key_positions])
