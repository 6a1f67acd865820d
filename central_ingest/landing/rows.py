"""From a decoded batch or mark to rows of `changes`: the system columns, in the lake's types and order.

`_gc_landed` is added when the rows are committed. The partition is the UTC date of receipt, which stands in
the journal, so that a rebuild reproduces it.
"""

from __future__ import annotations

import json

import pyarrow as pa

from protocol.batch import Batch, MarkHeader
from protocol.canonical import digest
from protocol.change import LAKE_SYSTEM, TIME, WIRE_SYSTEM, Op, Version
from protocol.limits import BATCH_ROWS_MAX
from protocol.schema import COMMENT, TableSchema

from .evolution import facts_of_rows

_DAY = 86_400 * 1_000_000
_LETTERS = pa.array([chr(i) for i in range(128)])
_TYPES = {f.name: f.type for f in LAKE_SYSTEM}
_ORDINALS = pa.array(range(BATCH_ROWS_MAX), pa.int64())
_LANDED = [f.name for f in LAKE_SYSTEM].index("_gc_landed")


def batch_rows(batch: Batch, epoch: int, seq: int, received: int) -> pa.Table:
    """The rows of a batch as they land, without `_gc_landed`. Ordinals are row numbers from 0."""
    rows, count = batch.rows, batch.rows.num_rows
    names = [*(f.name for f in WIRE_SYSTEM), *batch.header.extras]
    given = dict(zip(names, rows.columns, strict=False))  # by place: a source's column may have such a name
    given["_gc_op"] = _LETTERS.take(given["_gc_op"])
    given["_gc_ord"] = _ORDINALS.slice(0, count)
    constant = {
        "_gc_epoch": epoch,
        "_gc_seq": seq,
        "_gc_captured": batch.header.captured,
        "_gc_received": received,
        "_gc_date": received // _DAY,
    }
    source = [plain(column) for column in rows.columns[len(names) :]]
    return _table(given, constant, count, source, batch.schema)


def mark_row(mark: MarkHeader, schema: TableSchema | None, epoch: int, seq: int, received: int) -> pa.Table:
    """A mark as one row: its facts as JSON in `_gc_mark`, the source's columns null."""
    text = json.dumps(
        mark.model_dump(mode="json", by_alias=True, exclude_none=True), ensure_ascii=False, sort_keys=True
    )
    version = Version(epoch, seq)
    constant = {
        "_gc_epoch": version.epoch,
        "_gc_seq": version.seq,
        "_gc_ord": version.ord,
        "_gc_captured": mark.captured,
        "_gc_received": received,
        "_gc_date": received // _DAY,
    }
    given = {
        "_gc_op": pa.array([Op.MARK.value]),
        "_gc_key": pa.array([digest(text.encode())], pa.binary()),
        "_gc_mark": pa.array([text]),
    }
    source = [] if schema is None else [pa.nulls(1, c.wire) for c in schema.columns]
    return _table(given, constant, 1, source, schema)


def stamp_landed(rows: pa.Table, landed: int) -> pa.Table:
    """The same rows with the time of their commit."""
    column = pa.repeat(pa.scalar(landed, pa.int64()), rows.num_rows).cast(TIME)
    return rows.set_column(_LANDED, "_gc_landed", column)


def plain(array: pa.Array) -> pa.Array:
    """The array without dictionary encoding."""
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _table(
    given: dict[str, pa.Array],
    constant: dict[str, int],
    count: int,
    source: list[pa.Array],
    schema: TableSchema | None,
) -> pa.Table:
    system = []
    for name, kind in _TYPES.items():
        if name in given:
            system.append(given[name] if given[name].type == kind else given[name].cast(kind))
        elif name in constant:
            width = pa.int32() if pa.types.is_date32(kind) else pa.int64()
            system.append(pa.repeat(pa.scalar(constant[name], width).cast(kind), count))
        else:
            system.append(pa.nulls(count, kind))
    fields = () if schema is None else schema.lake_fields
    facts = None
    if schema is not None:
        at = (constant["_gc_epoch"], constant["_gc_seq"])
        facts = facts_of_rows(schema.fingerprint.hex(), schema.key, schema.meta.get(COMMENT, ""), *at)
    return pa.Table.from_arrays([*system, *source], schema=pa.schema([*LAKE_SYSTEM, *fields], metadata=facts))
