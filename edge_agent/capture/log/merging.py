"""A chunk of a snapshot meets the log (capture.md §3.4): what its statement did not see has the last word.

The log up to the chunk's fence stands in the stream before the chunk. A row of the chunk whose key was touched by a
transaction that the statement did not see is older than what the log said, and leaves. Only where the log
said it incompletely (an update that left out long values) is it still needed: the row is completed with what the
log said last, and enters as it then is. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from protocol.canonical import Aside
from protocol.change import Op

from ...sources.source import Rows
from ..diff import select
from .unseen import Told

Images = dict[str, Told]
"""Of one key, by column: the change that carried it last."""


@dataclass(frozen=True, slots=True)
class Merged:
    """`rows` that enter the stream; `positions` where each stood in the chunk."""

    rows: Rows
    positions: list[int]


def merge(rows: Rows, keys: Sequence[bytes], columns: Sequence[str], told: Iterable[Told]) -> Merged:
    """`keys` are the rows' 16-byte keys, `columns` the names of their columns; `told` everything that the chunk's
    statement did not see of this table, in order."""
    leaving: set[bytes] = set()
    carried: dict[bytes, Images] = {}
    present = frozenset(keys)
    for one in told:
        key = one.changes.keys[one.at]
        if key not in present:
            continue
        left_out = (one.changes.unchanged and one.changes.unchanged[one.at]) or ()
        # A creation leaves values out only where it continues another key: that one is read once more.
        if key in leaving or not left_out or one.changes.ops[one.at] is not Op.UPDATE:
            leaving.add(key)
            carried.pop(key, None)
        else:
            carried.setdefault(key, {}).update({name: one for name in columns if name not in left_out})
    positions = [at for at, key in enumerate(keys) if key not in leaving]
    completing = {i: carried[keys[at]] for i, at in enumerate(positions) if keys[at] in carried}
    return Merged(_completed(select(rows, positions), columns, completing), positions)


def _completed(rows: Rows, columns: Sequence[str], completing: Mapping[int, Images]) -> Rows:
    """With the values that the log carried, row by row."""
    if not completing:
        return rows
    arrays = list(rows.columns)
    asides: list[list[Aside] | None] = list(rows.asides or [None] * rows.count)
    for place, name in enumerate(columns):
        carrying = {i: images[name] for i, images in completing.items() if name in images}
        for i, one in carrying.items():
            value = one.changes.rows.columns[place].slice(one.at, 1)
            array = arrays[place]
            arrays[place] = pa.concat_arrays([array.slice(0, i), value, array.slice(i + 1)])
            asides[i] = _instead(asides[i], one, name)
    return Rows(arrays, asides if any(asides) else None)


def _instead(entries: list[Aside] | None, one: Told, column: str) -> list[Aside] | None:
    """What stands aside in a row whose `column` comes from the log."""
    theirs = (one.changes.rows.asides and one.changes.rows.asides[one.at]) or []
    mine = [entry for entry in entries or [] if entry["column"] != column]
    return [*mine, *(entry for entry in theirs if entry["column"] == column)] or None
