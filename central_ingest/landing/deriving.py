"""Deriving `current` from rows of `changes` in hand: the rule over Arrow tables, and one step further from a state.

`derive` is the rule (see `current`) over a history. `advance` has no history: for keys that changed it takes what
stood there as if a snapshot had just read it, at its own version, and puts the changes behind; that is exact as
long as the floor has not moved and no row is created from what a key held that had died before. Pure over Arrow;
columns have their exact names outside, and names that SQL can tell apart inside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from protocol.change import LAKE_SYSTEM, LAKE_SYSTEM_NAMES, Version

from . import current as rule
from .columns import exact_name, stored_names
from .engine import opened

Standing = Callable[[pa.Array, Sequence[str]], pa.Table]
"""Keys, source columns → what stands under those keys: the columns, then SYSTEM of `current`."""

_TYPES = {field.name: field.type for field in LAKE_SYSTEM} | {rule.UNKNOWN: pa.list_(pa.string())}


def source_columns(changes: pa.Schema) -> list[pa.Field]:
    """What of a table's `changes` is the source's."""
    return [field for field in changes if field.name not in LAKE_SYSTEM_NAMES]


def schema_of(changes: pa.Schema) -> pa.Schema:
    """The columns of `current` over such `changes`: the source's, then SYSTEM."""
    return pa.schema([*source_columns(changes), *(pa.field(n, _TYPES[n]) for n in rule.SYSTEM)])


def derive(
    changes: pa.Table,
    keyed: bool,
    above: rule.Floor,
    unchanged: Collection[str],
    as_of: Version | None = None,
) -> pa.Table:
    """The rule's rows over `changes`, in its types; `unchanged` as `current_sql` says."""
    with opened(threads=1) as engine:
        return _derived(engine, changes, keyed, above, unchanged, as_of)


def advance(window: pa.Table, standing: Standing) -> pa.Table | None:
    """What became of each key that `window` (changes above the floor, no marks) changed and that lives, as `derive`
    gives it; None where only the history can tell."""
    names = unchanged_in(window)
    if not names:
        return _last_images(window)
    with opened(threads=1) as engine:
        engine.register("w", window.select(["_gc_op", "_gc_key", "_gc_old_key", *_VERSION, "_gc_unchanged"]))
        if engine.sql(_ORPHANS).fetchall():
            return None
        keys = engine.sql(_REACH).to_arrow_table().column("k").combine_chunks()
        folded = [one.name for one in source_columns(window.schema) if rule.source_name(one.name) in names]
        before = _as_read(standing(keys, folded), window.schema)
        rows = _derived(engine, pa.concat_tables([before, window]), True, rule.Floor(), names, None)
    return rows.filter(pc.is_in(rows.column("_gc_key"), value_set=distinct(window.column("_gc_key"))))


def _last_images(window: pa.Table) -> pa.Table:
    """The rule where every change carries its whole row and all count: the last of each key, unless it is a delete."""
    numbered = window.select(["_gc_key", *_VERSION])
    numbered = numbered.append_column("at", pa.array(range(window.num_rows), pa.int64()))
    ordered = numbered.sort_by([(name, "ascending") for name in _VERSION])
    last = ordered.group_by("_gc_key", use_threads=False).aggregate([("at", "last")]).column("at_last")
    rows = window.take(last.combine_chunks().sort())
    rows = rows.filter(pc.not_equal(rows.column("_gc_op"), "d"))
    ends = pa.repeat(pa.scalar(0, pa.int32()), rows.num_rows + 1)
    known = pa.ListArray.from_arrays(ends, pa.array([], pa.string())).cast(_TYPES[rule.UNKNOWN])
    return rows.append_column(rule.UNKNOWN, known).select(schema_of(window.schema).names)


def unchanged_in(changes: pa.Table) -> set[str]:
    """The source's names of the columns that some change did not carry."""
    column = changes.column("_gc_unchanged")
    if column.null_count == len(column):
        return set()
    return set(pc.unique(pc.list_flatten(column)).to_pylist())


def distinct(keys: pa.ChunkedArray) -> pa.Array:
    return pc.unique(keys)


_VERSION = ("_gc_epoch", "_gc_seq", "_gc_ord")

# A create by an old key that did not die in the window before it: what that key held is not in hand.
_ORPHANS = """SELECT 1 FROM w AS c WHERE c._gc_op = 'c' AND c._gc_old_key IS NOT NULL AND len(c._gc_unchanged) > 0
AND NOT EXISTS (FROM w AS d WHERE d._gc_op = 'd' AND d._gc_key = c._gc_old_key
  AND row(d._gc_epoch, d._gc_seq, d._gc_ord) < row(c._gc_epoch, c._gc_seq, c._gc_ord)) LIMIT 1"""

_REACH = """WITH RECURSIVE moves AS (
  SELECT DISTINCT _gc_key AS k, _gc_old_key AS old FROM w WHERE _gc_op = 'c' AND _gc_old_key IS NOT NULL),
reach AS (
  SELECT _gc_key AS k FROM w WHERE len(_gc_unchanged) > 0
  UNION SELECT moves.old AS k FROM reach JOIN moves ON moves.k = reach.k)
SELECT DISTINCT k FROM reach"""


def _derived(
    engine: Any,
    changes: pa.Table,
    keyed: bool,
    above: rule.Floor,
    unchanged: Collection[str],
    as_of: Version | None,
) -> pa.Table:
    stored = stored_names(changes.schema.names, {})
    engine.register("t", changes.rename_columns([stored[name] for name in changes.schema.names]))
    columns = [stored[field.name] for field in source_columns(changes.schema)]
    rows = engine.sql(rule.current_sql("t", keyed, columns, above, unchanged, as_of)).to_arrow_table()
    return rows.rename_columns([exact_name(name) for name in rows.schema.names]).cast(
        schema_of(changes.schema)
    )


def _as_read(standing: pa.Table, changes: pa.Schema) -> pa.Table:
    """Rows of `current` as a snapshot would have read them: what is unknown it did not carry."""
    given = {name: standing.column(name) for name in standing.schema.names if name != rule.UNKNOWN}
    given["_gc_op"] = pa.chunked_array([pa.repeat(pa.scalar("r"), standing.num_rows)])
    given["_gc_unchanged"] = standing.column(rule.UNKNOWN)
    columns = [
        given[field.name].cast(field.type) if field.name in given else pa.nulls(standing.num_rows, field.type)
        for field in changes
    ]
    return pa.Table.from_arrays(columns, schema=changes)
