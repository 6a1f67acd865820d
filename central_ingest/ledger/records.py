"""What the ledger holds, as plain frozen records. They check nothing; times are UTC microseconds."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.delivery import Head
from protocol.names import Stream, TableName


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """Where a stream stands. `admitted_bytes`: envelope bytes of the epoch so far; `public`: its key if rotated."""

    stream: Stream
    agent: str
    head: Head
    admitted_bytes: int
    public: bytes | None = None
    received: int | None = None
    low_water: int = 0


@dataclass(frozen=True, slots=True)
class AgentRecord:
    id: str
    site: str
    suite: int
    public: bytes
    version: str
    enrolled: int
    revoked: int | None


@dataclass(frozen=True, slots=True)
class GrantRecord:
    stream: Stream
    epoch: int
    agent: str
    used: int | None


@dataclass(frozen=True, slots=True)
class TableRecord:
    """One line of the catalogue; `path` is below the lake's root."""

    path: str
    stream: Stream
    table: TableName
    key: tuple[str, ...]
    fingerprint: bytes
    synced_version: int
    landed: int | None
    rows: int


@dataclass(frozen=True, slots=True)
class Parked:
    """`path` is empty where the stream's whole landing is parked."""

    stream: Stream
    path: str
    code: str
    reason: str
    epoch: int
    seq: int
    since: int


@dataclass(frozen=True, slots=True)
class InventoryLine:
    stream: Stream
    name: str
    columns: int
    rows_estimate: int | None
    captured: bool
    reason: str
