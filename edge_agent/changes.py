"""Changes of one table, as capture found them and batching makes envelopes of them. Knows no envelope and no source."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from protocol.change import Op
from protocol.schema import TableSchema

from .sources.source import Rows


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows of one table with what happened to each: `ops` and `keys` (16 bytes) stand beside `rows`.

    What only a log knows may stand there too: `old_keys` of creations that continue a row under another key, each
    right behind the deletion of that key and never parted from it; `unchanged`, the names of columns that an update did
    not carry (null in `rows`); `times`, when each was committed (change.TIME).
    """

    schema: TableSchema
    rows: Rows
    ops: list[Op]
    keys: list[bytes]
    old_keys: list[bytes | None] | None = None
    unchanged: list[list[str] | None] | None = None
    times: pa.Array | None = None

    @property
    def count(self) -> int:
        return len(self.ops)

    def slice(self, start: int, count: int) -> Changes:
        end = start + count
        return Changes(
            self.schema,
            self.rows.slice(start, count),
            self.ops[start:end],
            self.keys[start:end],
            self.old_keys and self.old_keys[start:end],
            self.unchanged and self.unchanged[start:end],
            None if self.times is None else self.times.slice(start, count),
        )

    def parts_at(self, position: int) -> int:
        """Where the changes may be parted at or just before `position`: never between the two halves of a change of
        key. 0 where they may not."""
        glued = self.old_keys is not None and position < self.count and self.old_keys[position] is not None
        return position - 1 if glued else position

    def halves(self) -> tuple[Changes, Changes] | None:
        """None where they cannot be parted: one change, or one change of key."""
        at = self.parts_at(self.count // 2) or self.parts_at(self.count // 2 + 1)
        if not 0 < at < self.count:
            return None
        return self.slice(0, at), self.slice(at, self.count - at)
