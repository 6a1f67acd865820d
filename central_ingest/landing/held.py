"""What the lake holds in memory of a table so that an append need not open it: a few kB, no list of files.

Pure: which definition a table has with its next commit, given the columns that come. It knows neither disk nor
deltalake.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from . import columns, datafiles


@dataclass(slots=True)
class Held:
    """`opened` (deltalake's table at this version, or None) answers for txns until we commit ourselves."""

    version: int
    table_id: str
    created_ms: int
    partition: tuple[str, ...] = (columns.PARTITION,)
    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    stored: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    zoneless: bool = False
    txns: dict[str, int | None] = field(default_factory=dict)
    opened: Any = None


def following(
    held: Held | None, rows: pa.Schema, now_ms: int, partition: tuple[str, ...], settings: Mapping[str, str]
) -> Held:
    """What the table will be with the next commit; equal in schema to `held` where no column is new. `settings` are
    properties that every table has by then."""
    if held is None:
        stats = ",".join(name for name in datafiles.STATS if name in rows.names)
        skipping = {"delta.dataSkippingStatsColumns": stats} if stats else {}
        held = Held(-1, str(uuid.uuid4()), now_ms, partition, settings=skipping)
    schema = columns.united(held.schema, rows)
    return Held(
        version=held.version + 1,
        table_id=held.table_id,
        created_ms=held.created_ms,
        partition=held.partition,
        schema=schema,
        stored=columns.stored_names(schema.names, held.stored),
        settings={**held.settings, **settings},
        zoneless=held.zoneless or any(_has_zoneless(one.type) for one in schema),
        txns=dict(held.txns),
    )


def _has_zoneless(kind: pa.DataType) -> bool:
    if pa.types.is_timestamp(kind):
        return kind.tz is None
    return any(_has_zoneless(kind.field(i).type) for i in range(kind.num_fields))
