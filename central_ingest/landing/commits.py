"""Commits of a Delta log as bytes: the entry of one append or rewrite, and what it says on reading it again.

We write our log entries ourselves (Delta transaction log protocol, sections "Add File and Remove File",
"Transaction Identifiers", "Change Metadata", "Commit Provenance Information"): deltalake 1.6.6 takes 7 ms for
a commit on a fresh table and 50 ms after 300, because it rebuilds the table's file list each time; an append
needs none of that. Every entry holds a digest of itself and of its data files, so that after a power cut
each can be proven whole. Pure: it knows no disk and no clock.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Action = dict[str, Any]

DIGEST = "gcDigest"
_ENTRY = re.compile(r"([0-9]{20})\.json")
_CHECKPOINT = re.compile(r"([0-9]{20})\.checkpoint\b.*\.parquet")


def digest(content: bytes) -> str:
    """BLAKE2b-128, 32 hex digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def entry_name(version: int) -> str:
    return f"{version:020}.json"


def entry_version(name: str) -> int | None:
    """The version whose log entry has this file name, None for any other file."""
    found = _ENTRY.fullmatch(name)
    return int(found[1]) if found else None


def checkpoint_name(version: int) -> str:
    """The file of a checkpoint that is one file, as ours are."""
    return f"{version:020}.checkpoint.parquet"


def checkpoint_version(name: str) -> int | None:
    """The version up to which the checkpoint file of this name goes, None for any other file."""
    found = _CHECKPOINT.fullmatch(name)
    return int(found[1]) if found else None


def txn(app: str, version: int) -> Action:
    return {"txn": {"appId": app, "version": version}}


def protocol(zoneless: bool) -> Action:
    """The lowest that readers must support; timestamps without zone are a feature of their own."""
    if not zoneless:
        return {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}
    features = {"readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"]}
    return {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}}


def metadata(
    table_id: str,
    created_ms: int,
    schema: str,
    settings: dict[str, str],
    partition: Sequence[str],
    comment: str | None = None,
) -> Action:
    """`schema` is Delta's JSON of it; `settings` the table's properties; `partition` its columns as stored."""
    facts: Action = {"id": table_id, "name": None, "description": comment, "schemaString": schema}
    facts |= {"format": {"provider": "parquet", "options": {}}, "partitionColumns": list(partition)}
    return {"metaData": facts | {"configuration": settings, "createdTime": created_ms}}


def add(
    path: str,
    partition: Mapping[str, str | None],
    content: bytes,
    written_ms: int,
    stats: Action,
    changes_rows: bool = True,
) -> Action:
    """`path` is relative to the table, `stats` Delta's per-file statistics. Unless it `changes_rows`, readers that
    follow the table pass the file by: its rows stood elsewhere before."""
    facts: Action = {
        "path": path,
        "partitionValues": dict(partition),
        "size": len(content),
        "dataChange": changes_rows,
    }
    facts |= {"modificationTime": written_ms, "stats": json.dumps(stats, separators=(",", ":"))}
    return {"add": facts | {"tags": {DIGEST: digest(content)}}}


def remove(
    path: str, partition: Mapping[str, str | None], size: int, removed_ms: int, changes_rows: bool
) -> Action:
    """The tombstone of a data file, with `path` and `partition` as its add had them."""
    facts: Action = {"path": path, "deletionTimestamp": removed_ms, "dataChange": changes_rows}
    return {
        "remove": facts | {"extendedFileMetadata": True, "partitionValues": dict(partition), "size": size}
    }


def encode(actions: Sequence[Action], written_ms: int, operation: str = "WRITE") -> bytes:
    """The log entry of one commit: its provenance line with the digest of the rest, then `actions`. `operation` is
    for people: WRITE for an append, OPTIMIZE and MERGE for a rewrite."""
    rest = b"".join(_line(action) for action in actions)
    parameters = {"mode": "Append"} if operation == "WRITE" else {}
    info: Action = {"timestamp": written_ms, "operation": operation, "operationParameters": parameters}
    return _line({"commitInfo": info | {"engineInfo": "guicang", DIGEST: digest(rest)}}) + rest


def decode(entry: bytes) -> list[Action] | None:
    """The actions of a log entry, None where it is not whole.

    An entry without our digest (another engine's, say a compaction) counts as whole when every line parses.
    """
    try:
        actions = [json.loads(line) for line in entry.splitlines() if line]
    except ValueError:
        return None
    if not actions or not all(isinstance(action, dict) for action in actions):
        return None
    info = actions[0].get("commitInfo")
    declared = info.get(DIGEST) if isinstance(info, dict) else None
    if declared is not None and declared != digest(entry.partition(b"\n")[2]):
        return None
    return actions


def data_files(actions: Sequence[Action]) -> list[tuple[str, int, str | None]]:
    """Path, size in bytes and digest (None where another engine wrote it) of every file that a commit adds."""
    adds = [action["add"] for action in actions if "add" in action]
    return [(one["path"], one["size"], (one.get("tags") or {}).get(DIGEST)) for one in adds]


def removed_files(actions: Iterable[Action]) -> set[str]:
    """The path of every file that a commit removes, as the log spells it."""
    return {action["remove"]["path"] for action in actions if "remove" in action}


def _line(action: Action) -> bytes:
    return json.dumps(action, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
