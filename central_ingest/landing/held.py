"""What the lake holds in memory of a table so that an append need not open it: a few kB, no list of files.

Pure: which definition a table has with its next commit, given the columns that come. It knows neither disk nor
deltalake.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from protocol.schema import COMMENT

from . import columns, datafiles, evolution


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

    def or_bare(self, bare: bool) -> Held:
        """This table, or where it is `bare` as it would be without a column."""
        return replace(self, schema=pa.schema([]), stored={}) if bare else self


def following(
    held: Held | None,
    rows: pa.Schema,
    now_ms: int,
    partition: tuple[str, ...],
    settings: Mapping[str, str],
    *,
    sent: bool = True,
) -> Held:
    """What the table will be with the next commit; equal in schema to `held` where no column is new. `settings` are
    properties that every table has by then. `sent`: the rows come from the source (see `evolution`)."""
    if held is None:
        stats = ",".join(name for name in datafiles.STATS if name in rows.names)
        skipping = {"delta.dataSkippingStatsColumns": stats} if stats else {}
        held = Held(-1, str(uuid.uuid4()), now_ms, partition, settings=skipping)
    schema = (evolution.united if sent else evolution.widened)(held.schema, rows)
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


def same(one: pa.Schema, other: pa.Schema) -> bool:
    return one is other or bool(one.equals(other, check_metadata=True))


def told_of(schema: pa.Schema) -> tuple[str | None, dict[str, str]]:
    """What is known of a table as Delta keeps it: its description, and what joins its properties."""
    told = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
    return told.pop(COMMENT, None), told


def known_of(description: str | None, properties: Mapping[str, str | None]) -> dict[str, str] | None:
    """The reverse of `told_of`."""
    told = {k: v for k, v in properties.items() if k in evolution.TABLE_FACTS and v is not None}
    return (told | ({COMMENT: description} if description else {})) or None
