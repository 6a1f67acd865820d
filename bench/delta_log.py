"""A Delta table watched from outside: its log as any reader finds it, entry by entry.

A row is landed, and visible to whoever queries, from the moment when the entry that adds its file has its name.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote


class DeltaLog:
    """Of the one table whose log lies somewhere below `root`; it need not be there yet. With `name` in its path."""

    def __init__(self, root: Path, name: str = "") -> None:
        self._root = root
        self._name = name
        self._log: Path | None = None
        self._next = 0
        self.rows = 0
        self.files: list[Path] = []
        """In the order of the entries that added them."""
        self.last_seq = 0
        """The highest `_gc_seq` that a file of ours holds."""

    def has(self, rows: int) -> bool:
        """Whether so many rows have landed by now."""
        self.poll()
        return self.rows >= rows

    def poll(self) -> bool:
        """Read what came since the last time; True where something did."""
        if self._log is None:
            self._log = next((p for p in self._root.rglob("_delta_log") if self._name in str(p)), None)
        if self._log is None:
            return False
        before = self._next
        while (entry := self._log / f"{self._next:020}.json").exists():
            for line in entry.read_text("utf-8").splitlines():
                self._take(json.loads(line).get("add"))
            self._next += 1
        return self._next > before

    def _take(self, add: dict[str, str] | None) -> None:
        if add is not None:
            assert self._log is not None
            self.files.append(self._log.parent / unquote(add["path"]))
            stats = json.loads(add["stats"])
            self.rows += stats["numRecords"]
            self.last_seq = max(self.last_seq, stats["maxValues"].get("_gc_seq", 0))
