"""What stands at the centre of one table, replayed from what was sent of it (landing.md §5)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from edge_agent.sources.memory_log import Key, Row
from protocol.canonical import decode
from protocol.change import MarkKind, Op, Version

from ...reading import Change, Mark

UNKNOWN = "?"


@dataclass
class Standing:
    changes: list[Change] = field(default_factory=list)
    floor: Version = field(default_factory=lambda: Version(0, 0))
    begun: Version | None = None
    ended: int = 0

    def mark(self, mark: Mark) -> None:
        match mark.header.mark:
            case MarkKind.SNAPSHOT_BEGIN:
                self.begun = mark.version
            case MarkKind.SNAPSHOT_END:
                assert self.begun is not None
                self.floor, self.begun, self.ended = max(self.floor, self.begun), None, self.ended + 1
            case MarkKind.TRUNCATE:
                self.floor = max(self.floor, mark.version)

    def copies(self) -> Counter[Row]:
        """Of a table without a key."""
        counted: Counter[bytes] = Counter()
        rows: dict[bytes, bytes] = {}
        for one in self.changes:
            if one.version > self.floor:
                counted[one.key] += -1 if one.op is Op.DELETE else 1
                rows.setdefault(one.key, one.row)
        assert not any(count < 0 for count in counted.values())
        return Counter({tuple(decode(rows[key])): count for key, count in counted.items() if count})

    def rows(self) -> dict[Key, list[Any]]:
        images: dict[bytes, list[Any]] = {}
        standing: dict[bytes, list[Any]] = {}
        for one in self.changes:
            counts = one.version > self.floor
            if one.op is Op.DELETE:
                standing.pop(one.key, None)
                continue
            values = decode(one.row)
            base = images.get(one.old_key or one.key)
            for i in one.unchanged:
                values[i] = UNKNOWN if base is None else base[i]
            images[one.key] = values
            if counts:
                standing[one.key] = values
            else:
                standing.pop(one.key, None)
        return {(values[0],): values for values in standing.values()}
