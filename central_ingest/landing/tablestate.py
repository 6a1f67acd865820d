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
import pyarrow.compute as pc
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
    digest: str | None = None
    """Ours, of the content; None where another engine wrote it."""

    @classmethod
    def of(cls, add: commits.Action) -> LiveFile:
        stats = json.loads(add.get("stats") or "{}")
        partition = dict(add["partitionValues"])
        digest = dict(add.get("tags") or {}).get(commits.DIGEST)
        rows, modified = stats.get("numRecords"), add["modificationTime"]
        return cls(add["path"], add["size"], rows, partition, stats, modified, digest)


@dataclass(slots=True)
class TableState:
    """What stands at `version`. A removed file's tombstone says when it was removed, in milliseconds."""

    version: int = -1
    live: dict[str, LiveFile] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    txns: dict[str, int] = field(default_factory=dict)
    metadata: commits.Action | None = None
    protocol: commits.Action | None = None
    cuts: int = 0
    """How often the lake had cut commits of the table when it read this: since then versions may stand for others."""

    @property
    def weight(self) -> int:
        """How much there is to read and to carry into the next checkpoint."""
        return len(self.live) + len(self.removed) + len(self.txns)

    def differs(self, other: TableState) -> str | None:
        """What of two accounts of one version is not the same; None where all is that a reader or we rely on."""
        mine, theirs = self.metadata or {}, other.metadata or {}
        for name in ("id", "schemaString", "partitionColumns", "configuration"):
            if mine.get(name) != theirs.get(name):
                return "definition"
        if self.txns != other.txns:
            return "transactions"
        sizes = [{one.path: one.size for one in state.live.values()} for state in (self, other)]
        return "files" if sizes[0] != sizes[1] else None

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
        tombs = _of(batch, "remove")
        times = tombs.field("deletionTimestamp").to_pylist()
        state.removed |= {
            path: at or 0 for path, at in zip(tombs.field("path").to_pylist(), times, strict=True)
        }
        for kind in ("add", "txn", "metaData", "protocol"):
            state.take(version, [{kind: _plain(one)} for one in _of(batch, kind).to_pylist()])
    if state.metadata is None or state.protocol is None:
        raise ValueError("a checkpoint names its table's definition")
    state.version = version
    return state


def _of(batch: pa.RecordBatch, kind: str) -> pa.StructArray:
    """The actions of one kind; most rows of a checkpoint are of another."""
    column = batch.column(kind)
    return column.filter(pc.is_valid(column))


def _plain(action: commits.Action) -> commits.Action:
    """As an entry has it: maps are objects, what is null is left out."""
    maps = ("partitionValues", "tags", "configuration", "options")
    return {k: dict(v) if k in maps else v for k, v in action.items() if v is not None}
