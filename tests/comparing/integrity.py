"""Faults of a table's `changes` that need no source to be seen: what can only be true of a lake landed well.

No version twice, batches whole and committed in order, `_gc_key` what it says it is, and every large value
there as a file with its own hash and size.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from .changes import Changes

_READ_BYTES = 1 << 20


def faults(
    changes: Changes, table: Path, files: Path, keys: Sequence[tuple[int, tuple[str, ...]]]
) -> list[str]:
    """`files` is the folder of the site's large values, `keys` which key was in force from which row on."""
    found = [*_versions(changes), *_commits(table), *_keys(changes, keys), *_large(changes, files)]
    return [text if times == 1 else f"{text} ({times} times)" for text, times in Counter(found).items()]


def _versions(changes: Changes) -> Iterator[str]:
    """No version twice; ordinals of a batch are 0, 1, 2 … without a hole."""
    columns = [changes.system(name) for name in ("_gc_epoch", "_gc_seq", "_gc_ord")]
    before: tuple[int, int, int] | None = None
    for version in zip(*columns, strict=True):
        if version == before:
            yield "a version stands twice in changes"
        else:
            same_batch = before is not None and before[:2] == version[:2]
            if version[2] != (before[2] + 1 if same_batch and before is not None else 0):
                yield "a batch did not land whole"
        before = version


def _commits(table: Path) -> Iterator[str]:
    """A later commit holds later versions, as far as the log and its statistics still tell."""
    last: tuple[int, int] | None = None
    for entry in sorted((table / "_delta_log").glob("*.json")):
        added = []
        for line in entry.read_text("utf-8").splitlines():
            add = json.loads(line).get("add")
            if add and add.get("dataChange") and add.get("stats"):
                added.append(json.loads(add["stats"]))
        ends = [
            [
                (one[side]["_gc_epoch"], one[side]["_gc_seq"])
                for one in added
                if "_gc_seq" in one.get(side, {})
            ]
            for side in ("minValues", "maxValues")
        ]
        if not all(ends):
            continue
        first, newest = min(ends[0]), max(ends[1])
        if last is not None and first <= last:
            yield "a later commit holds earlier versions"
        last = newest if last is None else max(last, newest)


def _keys(changes: Changes, keys: Sequence[tuple[int, tuple[str, ...]]]) -> Iterator[str]:
    """With a key: `_gc_key` is its digest. Without: one for equal rows, another one for others."""
    starts = [0, *(start for start, _ in keys[1:]), changes.count]
    for (_, key), start, end in zip(keys, starts, starts[1:], strict=False):
        if not key:
            yield from _keys_of_multiset(changes, start, end)
        elif not set(key) <= set(changes.sources):
            yield "a key column is not in the lake"
        else:
            yield from _keys_of_columns(changes, key, start, end)


def _keys_of_columns(changes: Changes, key: tuple[str, ...], start: int, end: int) -> Iterator[str]:
    ops, given = changes.system("_gc_op"), changes.system("_gc_key")
    rows = [row for row in range(start, end) if ops[row] != "m"]
    for row, digest in zip(rows, changes.digests(key, rows), strict=True):
        if given[row] != digest:
            yield "_gc_key is not the digest of the row's key"


def _keys_of_multiset(changes: Changes, start: int, end: int) -> Iterator[str]:
    ops, given, epochs = (changes.system(name) for name in ("_gc_op", "_gc_key", "_gc_epoch"))
    rows = [row for row in range(start, end) if ops[row] in ("r", "c")]
    of_key: dict[tuple[int, bytes], bytes] = {}
    of_row: dict[tuple[int, bytes], bytes] = {}
    for row, digest in zip(rows, changes.digests(changes.sources, rows), strict=True):
        epoch, key = epochs[row], given[row]
        if of_key.setdefault((epoch, key), digest) != digest:
            yield "different rows have one _gc_key"
        if of_row.setdefault((epoch, digest), key) != key:
            yield "equal rows have different _gc_keys"


def _large(changes: Changes, files: Path) -> Iterator[str]:
    known: dict[tuple[bytes, int], bool] = {}
    for _, entry in changes.asides():
        if entry["reason"] != "large":
            continue
        key = (bytes(entry["sha256"]), entry["bytes"])
        if key not in known:
            known[key] = _is_there(files / key[0].hex(), *key)
        if not known[key]:
            yield f"the file of a large value is missing or another one: {key[0].hex()[:16]}…"


def _is_there(path: Path, sha256: bytes, size: int) -> bool:
    if not path.is_file() or path.stat().st_size != size:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.digest() == sha256
