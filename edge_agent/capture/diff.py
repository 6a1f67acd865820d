"""What changed between an index and what was read now. Pure.

A keyed index maps canonical key → keyed digest of the row; a multiset index maps keyed digest → count. The
key of the digest is a secret of the epoch: bare hashes of ID numbers can be guessed (capture.md §5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from protocol import canonical
from protocol.change import Op
from protocol.errors import Rejected
from protocol.schema import TableSchema

from ..sources.source import Rows

KeyedIndex = dict[bytes, bytes]
CountIndex = Counter[bytes]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows with their canonical forms: `keys` (empty without a key), `rows`, and the keyed `digests` of rows."""

    keys: list[bytes]
    rows: list[bytes]
    digests: list[bytes]


def encode(schema: TableSchema, rows: Rows, secret: bytes) -> Encoded:
    """Raises Rejected GC-2004 where a key column's value went aside or is null: no key then."""
    lines = encode_lines(schema, rows)
    keys = encode_keys(schema, rows) if schema.key else []
    return Encoded(keys, lines, canonical.digests(lines, secret))


def encode_lines(schema: TableSchema, rows: Rows) -> list[bytes]:
    """The canonical rows."""
    return canonical.encode_rows(rows.columns, [c.name for c in schema.columns], rows.asides)


def encode_keys(schema: TableSchema, rows: Rows) -> list[bytes]:
    """The canonical keys, of a table with a key. Raises as `encode`."""
    _check_key(schema, rows)
    return canonical.encode_rows([rows.columns[i] for i in schema.key_positions])


def _check_key(schema: TableSchema, rows: Rows) -> None:
    key = set(schema.key)
    aside = any(entry["column"] in key for entries in rows.asides or () for entry in entries or ())
    if aside or any(rows.columns[i].null_count for i in schema.key_positions):
        raise Rejected("GC-2004", table=str(schema.table))


def index_of(schema: TableSchema, encoded: Encoded) -> KeyedIndex:
    """The keyed index of these rows. Raises Rejected GC-2005 where a key stands twice."""
    index = dict(zip(encoded.keys, encoded.digests, strict=True))
    if len(index) != len(encoded.keys):
        raise Rejected("GC-2005", table=str(schema.table))
    return index


def keyed_ops(old: Mapping[bytes, bytes], encoded: Encoded, *, snapshot: bool) -> list[Op | None]:
    """What happened to each row since `old`; None for nothing. A snapshot reads every row."""
    if snapshot:
        return [Op.READ] * len(encoded.keys)
    return [
        None if (before := old.get(key)) == digest else Op.CREATE if before is None else Op.UPDATE
        for key, digest in zip(encoded.keys, encoded.digests, strict=True)
    ]


def count_ops(remaining: CountIndex, digests: Sequence[bytes], *, snapshot: bool) -> list[Op | None]:
    """The same for rows without a key. `remaining` starts as the old index and is used up row by row: what is
    left of it after the last row was deleted."""
    ops: list[Op | None] = []
    for digest in digests:
        if snapshot:
            ops.append(Op.READ)
        elif remaining[digest] > 0:
            remaining[digest] -= 1
            ops.append(None)
        else:
            ops.append(Op.CREATE)
    return ops


def key_rows(schema: TableSchema, keys: Sequence[bytes]) -> Rows:
    """Rows for keyed deletions: typed key columns, all others null."""
    columns: list[pa.Array] = [pa.nulls(len(keys), c.wire) for c in schema.columns]
    values = list(zip(*(canonical.decode(k) for k in keys), strict=True)) if keys else []
    for position, column in zip(schema.key_positions, values, strict=False):
        columns[position] = _typed(list(column), schema.columns[position].wire)
    return Rows(columns)


def _typed(values: list[object], wire: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(wire):
        return pa.array(values, pa.int64()).cast(wire)
    if pa.types.is_date32(wire):
        return pa.array(values, pa.int32()).cast(wire)
    return pa.array(values, wire)


def select(rows: Rows, positions: Sequence[int]) -> Rows:
    """The rows at `positions`, which rise."""
    return rows if len(positions) == rows.count else rows.take(positions)
