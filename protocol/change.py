"""A change and a mark: the nouns that travel, and the system columns that carry them.

Column lists of both journeys stand here: as rows travel in a batch, and as they stand in the lake's
`changes` (design.md §5). A row's version is (epoch, sequence, ordinal); nothing else orders anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Op(StrEnum):
    """`_gc_op`. Only a mark is no row of the source."""

    READ = "r"
    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    MARK = "m"


OP_CODES = {op: ord(op.value) for op in Op}
"""On the wire an op is one byte, its ASCII letter."""


class MarkKind(StrEnum):
    """A statement in the stream about a table, or (inventory) about a whole source."""

    SNAPSHOT_BEGIN = "snapshot_begin"
    SNAPSHOT_END = "snapshot_end"
    TRUNCATE = "truncate"
    DROP = "drop"
    INVENTORY = "inventory"


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Where a row stands in its stream. Compares as it orders."""

    epoch: int
    seq: int
    ord: int = 0


TIME = pa.timestamp("us", tz="UTC")
KEY = pa.binary(16)

ASIDE = pa.list_(
    pa.struct(
        [
            pa.field("column", pa.string()),
            pa.field("reason", pa.string()),
            pa.field("original", pa.binary()),
            pa.field("sha256", pa.binary()),
            pa.field("bytes", pa.int64()),
        ]
    )
)
"""What the typed column cannot carry exactly; the column is then null. Reasons are words of ours."""

ASIDE_LARGE = "large"
"""Longer than VALUE_INLINE_BYTES_MAX: it travelled as pieces; `sha256` and `bytes` are set, `original` null."""
ASIDE_TYPE = "type"
"""The source holds a value of another type than the column declares; `original` is its exact text or bytes."""
ASIDE_CHARSET = "charset"
"""Bytes that are no text in the declared charset; `original` holds them."""
ASIDE_RANGE = "range"
"""A value outside what the wire type holds (0000-00-00, NaN in a numeric, more digits than declared)."""

WIRE_SYSTEM: tuple[pa.Field, ...] = (
    pa.field("_gc_op", pa.uint8(), nullable=False),
    pa.field("_gc_key", KEY, nullable=False),
)
"""Columns that open every batch, in this order."""

WIRE_EXTRAS: dict[str, pa.Field] = {
    f.name: f
    for f in (
        pa.field("_gc_old_key", KEY),
        pa.field("_gc_source_time", TIME),
        pa.field("_gc_aside", ASIDE),
        pa.field("_gc_unchanged", pa.list_(pa.string())),
    )
}
"""Columns that follow them where the batch header names them; absent means null in every row."""

LAKE_SYSTEM: tuple[pa.Field, ...] = (
    pa.field("_gc_op", pa.string()),
    pa.field("_gc_key", pa.binary()),
    pa.field("_gc_old_key", pa.binary()),
    pa.field("_gc_epoch", pa.int64()),
    pa.field("_gc_seq", pa.int64()),
    pa.field("_gc_ord", pa.int64()),
    pa.field("_gc_source_time", TIME),
    pa.field("_gc_captured", TIME),
    pa.field("_gc_received", TIME),
    pa.field("_gc_landed", TIME),
    pa.field("_gc_aside", ASIDE),
    pa.field("_gc_unchanged", pa.list_(pa.string())),
    pa.field("_gc_mark", pa.string()),
    pa.field("_gc_date", pa.date32()),
)
"""The system columns of every `changes` table, after which the source's columns follow."""

LAKE_SYSTEM_NAMES = frozenset(f.name for f in LAKE_SYSTEM)
