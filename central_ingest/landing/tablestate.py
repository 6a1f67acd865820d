"""The state of a Delta table at one version, from its log as bytes: live files, tombstones, transactions.

A checkpoint and the entries above it are replayed as the protocol says ("Action Reconciliation"). deltalake
answers most questions about a table, but not what its own checkpoint really holds, nor which files were
removed when: maintenance asks that before it lets anything go. Pure: it knows no disk and no store.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from . import commits

_KINDS = ("add", "remove", "txn", "metaData", "protocol")


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A data file. `path` as the log spells it, relative to the table; `partition` by stored column name, as
    Delta's text; `stats` Delta's statistics (`minValues`, `maxValues`, `nullCount` by stored name)."""

    path: str
    size: int
    rows: int | None
    partition: Mapping[str, str | None]
    stats: Mapping[str, Any]
    modified_ms: int

    @classmethod
    def of(cls, add: commits.Action) -> LiveFile:
        stats = json.loads(add.get("stats") or "{}")
        partition = dict(add["partitionValues"])
        return cls(
            add["path"], add["size"], stats.get("numRecords"), partition, stats, add["modificationTime"]
        )


@dataclass(slots=True)
class TableState:
    """What stands at `version`. A removed file's tombstone says when it was removed, in milliseconds."""

    version: int = -1
    live: dict[str, LiveFile] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    txns: dict[str, int] = field(default_factory=dict)
    metadata: commits.Action | None = None
    protocol: commits.Action | None = None

    def take(self, version: int, actions: Iterable[commits.Action]) -> None:
        """One commit more. Removes come first: their order inside a commit says nothing."""
        actions = list(actions)
        for one in (action["remove"] for action in actions if "remove" in action):
            self.live.pop(one["path"], None)
            self.removed[one["path"]] = one.get("deletionTimestamp") or 0
        for action in actions:
            match action:
                case {"add": add}:
                    self.live[add["path"]] = LiveFile.of(add)
                    self.removed.pop(add["path"], None)
                case {"txn": txn}:
                    self.txns[txn["appId"]] = txn["version"]
                case {"metaData": facts}:
                    self.metadata = facts
                case {"protocol": facts}:
                    self.protocol = facts
        self.version = version


def from_checkpoint(version: int, content: bytes) -> TableState:
    """The state that a checkpoint of one Parquet file holds. Raises ArrowException or ValueError where it is none."""
    held = pq.ParquetFile(pa.BufferReader(content))
    state = TableState()
    for batch in held.iter_batches(columns=list(_KINDS)):
        rows = ({name: one for name, one in row.items() if one is not None} for row in batch.to_pylist())
        state.take(version, list(rows))
    if state.metadata is None or state.protocol is None:
        raise ValueError("a checkpoint names its table's definition")
    state.version = version
    return state
