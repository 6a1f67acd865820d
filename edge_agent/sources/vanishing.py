"""How much of a folder may vanish at once, and what has vanished at all.

A file that has another name now has not vanished. Deletions come one by one, or a folder at a time; a share that is
gone, emptied or exchanged takes everything. Where the line is drawn is the operator's; beyond it a person is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.sources.found import FoundFile


@dataclass(frozen=True, slots=True)
class VanishLimit:
    """`share_max` 1: all of it may, an emptied folder is one that was emptied."""

    share_max: float = 0.3
    files_min: int = 20

    def is_exceeded(self, vanished: int, of: int) -> bool:
        return vanished > max(self.files_min, self.share_max * of)

    @property
    def allows_all(self) -> bool:
        return self.share_max >= 1


def without_moved(vanished: Iterable[FoundFile], new: Iterable[FoundFile]) -> list[FoundFile]:
    """Those of `vanished` that are not among `new` under another name: a rename leaves inode, size and time alone."""
    moved = {_nature(file) for file in new}
    return [file for file in vanished if _nature(file) not in moved]


def _nature(file: FoundFile) -> tuple[int, int, int, int]:
    return file.mount.device, file.state.inode, file.state.size, file.state.modified_ns
