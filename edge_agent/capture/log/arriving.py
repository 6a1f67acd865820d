"""A log's changes as they travel: with keys, and with the times of their commits. Pure."""

from __future__ import annotations

import pyarrow as pa

from protocol import canonical
from protocol.change import TIME

from ...changes import Changes
from ...sources.log import Logged
from ..diff import encode_keys, encode_lines, select


def changes_of(logged: Logged, secret: bytes, times: list[int]) -> Changes:
    """With keys as they travel (landing.md §1a). Raises Rejected GC-2004 where one has no canonical form."""
    schema, rows = logged.schema, logged.rows
    if schema.key:
        keys = canonical.digests(encode_keys(schema, rows))
    else:
        keys = canonical.digests(encode_lines(schema, rows), secret)
    old_keys: list[bytes | None] | None = None
    if logged.moved is not None and any(logged.moved):
        old_keys = [keys[i - 1] if moved else None for i, moved in enumerate(logged.moved)]
    stamps = pa.array(times, TIME).take(pa.array(logged.transaction, pa.int32()))
    return Changes(schema, rows, logged.ops, keys, old_keys, logged.unchanged, stamps)


def selected(changes: Changes, positions: list[int]) -> Changes:
    """Some of the changes; both halves of a change of key, or neither."""
    return Changes(
        changes.schema,
        select(changes.rows, positions),
        [changes.ops[i] for i in positions],
        [changes.keys[i] for i in positions],
        changes.old_keys and [changes.old_keys[i] for i in positions],
        changes.unchanged and [changes.unchanged[i] for i in positions],
        None if changes.times is None else changes.times.take(pa.array(positions, pa.int64())),
    )
