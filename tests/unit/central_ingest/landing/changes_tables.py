"""Rows of `changes` for tests: a line per change, everything that is not said left null."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from protocol.change import LAKE_SYSTEM

SOURCE = pa.schema([("id", pa.int64()), ("姓名", pa.string()), ("fee.total", pa.decimal128(12, 2))])

Line = dict[str, Any]


def change(epoch: int, seq: int, ord_: int, op: str, key: str, **more: Any) -> Line:
    """Source columns by name; `old_key`, `unchanged`, `aside` and the like without their prefix."""
    system = {"op": op, "key": key.encode(), "epoch": epoch, "seq": seq, "ord": ord_}
    system |= {"received": 1_000_000 * seq, "landed": 1_000_000 * seq + 5, "date": epoch}
    if "old_key" in more:
        system["old_key"] = more.pop("old_key").encode()
    for name in ("unchanged", "aside", "mark"):
        if name in more:
            system[name] = more.pop(name)
    return {f"_gc_{name}": value for name, value in system.items()} | more


def mark(epoch: int, seq: int, kind: str, snapshot: str | None = None, rows: Any = None) -> Line:
    document: Line = {"mark": kind, "captured": 0, "table": [None, None, "t"]}
    if snapshot is not None:
        document["snapshot"] = snapshot
    if rows is not None:
        document["facts"] = {"rows": rows, "batches": 1}
    return change(epoch, seq, 0, "m", "mark", mark=json.dumps(document))


def aside(column: str, original: str) -> Line:
    return {
        "column": column,
        "reason": "range",
        "original": original.encode(),
        "sha256": None,
        "bytes": None,
    }


def table(lines: Sequence[Line], source: pa.Schema = SOURCE) -> pa.Table:
    schema = pa.schema([*LAKE_SYSTEM, *source])
    return pa.table({f.name: pa.array([line.get(f.name) for line in lines], f.type) for f in schema})
