"""What goes into the spool and comes out of it, as plain frozen records.

They hold values and check nothing: `spool.py` decides what may be stored together. `Work` is the unit of
durability, everything that one transaction makes true at once (promise 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol.names import Stream, TableName
from protocol.sealing import Sealed


@dataclass(frozen=True, slots=True)
class StreamState:
    """Where a stream stands in its newest epoch. `head_offset` counts the bytes of all envelopes of the epoch.

    `secret` (32 bytes) is the epoch's own, for the keys of rows without one. `stopped` is the error code that
    ended the epoch before a newer one was granted.
    """

    stream: Stream
    epoch: int
    grant: bytes
    secret: bytes
    head_seq: int
    head_hash: bytes
    head_offset: int
    receipted_seq: int
    position: str | None
    stopped: str | None


@dataclass(frozen=True, slots=True)
class TableState:
    """How far capture of one table is. `facts` are JSON, small; `facts["files"]` may list index files that no
    shard names."""

    table: TableName
    phase: str
    fingerprint: bytes
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shard:
    """The index of one key range [lo, hi) of a table. Bounds are canonical keys, b"" unbounded; the next shard's
    `lo` is this one's `hi`. `file` is a name in the index directory."""

    lo: bytes
    hi: bytes
    file: str
    rows: int


@dataclass(frozen=True, slots=True)
class Overlaid:
    """What was sent of one row after its shard was written: the digest that overrides the shard's, b"" for a
    deletion. `fresh` says that no shard has the key."""

    key: bytes
    digest: bytes
    fresh: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """Every table of a source was read to its end by a scan that began at `started` or later (microseconds UTC)."""

    started: int


@dataclass(frozen=True, slots=True)
class Work:
    """Everything that becomes durable in one transaction (promise 1).

    `envelopes` follow `after_seq`. `schemas` (fingerprint, content) and `objects` (SHA-256, whole) are those that these
    envelopes carry; `pieces` says of objects whose last piece is still to come how many bytes went (0: they begin
    anew). `drop_shards` (their `lo`), then `add_shards`, concern `table.table`; `tables` are further states.
    """

    stream: Stream
    epoch: int
    after_seq: int
    envelopes: Sequence[Sealed] = ()
    position: str | None = None
    schemas: Sequence[tuple[bytes, bytes]] = ()
    objects: Sequence[bytes] = ()
    pieces: Mapping[bytes, int] = field(default_factory=dict)
    table: TableState | None = None
    tables: Sequence[TableState] = ()
    drop_shards: Sequence[bytes] = ()
    add_shards: Sequence[Shard] = ()
    drop_all_shards: bool = False
    drop_overlaid: Sequence[bytes] = ()
    overlaid: Sequence[Overlaid] = ()
    drop_overlay: bool = False
    scan: Scan | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """An envelope in the spool. `hash` is what the header of `last_seq` + 1 and a receipt for `last_seq` name;
    `end_offset` is the epoch's bytes up to its end."""

    seq: int
    last_seq: int
    hash: bytes
    data: bytes
    end_offset: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for a receipt. `oldest_seq` is None where nothing does."""

    envelopes: int
    bytes: int
    oldest_seq: int | None


@dataclass(frozen=True, slots=True)
class Dropped:
    """What an epoch left without a receipt when the next one began."""

    envelopes: int
    bytes: int
