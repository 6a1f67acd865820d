"""What is remembered of a folder, so that the next process, too, notices another one in its place, and how many of its
files are gone.

For each file system within it: the numbers of its first folder, how many files it had, and a sample of their names:
the 256 with the least hashes (a bottom-k sketch, Cohen & Kaplan, PODC 2007), which is a fair sample of all of them, and
all of them where there are no more. A hash has 32 bits: enough to recognise a name, too few to find an unknown one by
trying. It decides nothing of what follows from that.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SAMPLE_NAMES = 256
ALIKE_SHARE_MIN = 0.5
"""Of the names of a sample that are still there, if it is to be the same file system mounted anew."""
_FORMAT = 2
_NOWHERE = (-1, -1)


@dataclass(frozen=True, slots=True)
class Footing:
    """Of one file system. `sample`: hashes of names, ascending. `count` is rounded where there are more than those;
    None (an older agent wrote it): not known."""

    device: int
    inode: int
    count: int | None = None
    sample: tuple[int, ...] = ()

    def is_at(self, device: int, inode: int) -> bool:
        return (self.device, self.inode) == (device, inode)

    def is_alike(self, hashes: Collection[int]) -> bool:
        """Whether whoever has these names looks like it."""
        there = sum(one in hashes for one in self.sample)
        return there > 0 and there >= ALIKE_SHARE_MIN * len(self.sample)

    def vanished(self, hashes: Collection[int]) -> int:
        """About how many of its files are not among these; exactly, where the sample has all."""
        gone = sum(one not in hashes for one in self.sample)
        return round((self.count or 0) * gone / len(self.sample)) if gone else 0


def name_hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big")


def footing(device: int, inode: int, names: Collection[str]) -> Footing:
    sample = heapq.nsmallest(SAMPLE_NAMES, {name_hash(name) for name in names})
    return Footing(device, inode, rounded(len(names)), tuple(sample))


def rounded(count: int) -> int:
    """To two digits beyond the sample's size: a busy folder is not written down anew for each of its files."""
    if count <= SAMPLE_NAMES:
        return count
    unit = int(10 ** (len(str(count)) - 2))
    return (count + unit // 2) // unit * unit


def hashes_of(names: Iterable[str]) -> set[int]:
    return {name_hash(name) for name in names}


def to_text(footings: Mapping[str, Footing]) -> str:
    """By the names of the mounts ("": the folder itself)."""
    mounts = {
        name: [one.device, one.inode, one.count, "".join(f"{h:08x}" for h in one.sample)]
        for name, one in sorted(footings.items())
    }
    return json.dumps({"format": _FORMAT, "mounts": mounts}, separators=(",", ":"))


def from_text(text: str | None) -> dict[str, Footing]:
    """What `to_text` wrote, or an older agent (`device:inode`). What nobody can read is like no folder at all."""
    if text is None:
        return {}
    try:
        return {name: _footing(*said) for name, said in json.loads(text)["mounts"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    device, _, inode = text.partition(":")
    if device.isdecimal() and inode.isdecimal():
        return {"": Footing(int(device), int(inode))}
    return {"": Footing(*_NOWHERE)}


def _footing(device: int, inode: int, count: int | None, hashes: Any) -> Footing:
    sample = tuple(int(hashes[i : i + 8], 16) for i in range(0, len(hashes), 8))
    return Footing(int(device), int(inode), None if count is None else int(count), sample)
