"""What of a folder is an outage, by what stood there before and what a walk found now.

The whole folder, where it is another one, empty, or lacks too many of its files at once: that is raised. A part of it,
where that is a file system of its own with the same trouble, or closed to us: there the files stay as they were known,
and an alarm says so. Where a process has seen nothing yet, what an earlier one remembered is compared (`footing`).
Pure: no disk, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.sources.foldernames import covered_by
from edge_agent.sources.footing import Footing, footing, hashes_of
from edge_agent.sources.found import FoundFile, Mount
from edge_agent.sources.vanishing import VanishLimit, without_moved
from edge_agent.sources.walking import Walk
from protocol.errors import Rejected, Transient

ROOT = ""


@dataclass(frozen=True, slots=True)
class Before:
    """What was there: `footings` and `mounts` by the names of mounts, `files` that counted. `is_recalled`: an earlier
    process knew of files, and this one has seen none yet."""

    footings: dict[str, Footing]
    files: dict[str, FoundFile] = field(default_factory=dict)
    mounts: dict[str, Mount] = field(default_factory=dict)
    is_recalled: bool = False

    def followed_by(self, walk: Walk, outages: Outages, counted: dict[str, FoundFile]) -> Before:
        """After a walk that was believed. Where nothing ever counted there is nothing to be missed."""
        if not (counted or self.footings):
            return Before({}, counted, dict(walk.mounts))
        same_names = counted.keys() == self.files.keys()
        footings, mounts = {}, {}
        for name in {**self.footings, **walk.mounts}:
            known, mount = self.footings.get(name), walk.mounts.get(name)
            if mount is None or name in outages.faults:
                if known is not None:
                    footings[name] = known
                continue
            mounts[name] = mount
            if known is None or not same_names or not known.is_at(mount.device, mount.inode):
                names = [file.name for file in counted.values() if file.mount.name == name]
                known = footing(mount.device, mount.inode, names)
            footings[name] = known
        return Before(footings, counted, mounts)


@dataclass(frozen=True, slots=True)
class Outages:
    """By the name of the part, which ends in `/` if it is a folder. `exchanged`: those parts in whose place something
    else may stand now."""

    faults: dict[str, Rejected] = field(default_factory=dict)
    exchanged: frozenset[str] = frozenset()

    def is_hidden(self, name: str) -> bool:
        return bool(self.faults) and covered_by(self.faults)(name)

    def kept(self, before: Before, found: dict[str, FoundFile]) -> dict[str, FoundFile]:
        """`found`, with the files of these parts as they were."""
        if not self.faults:
            return found
        is_hidden, is_exchanged = covered_by(self.faults), covered_by(self.exchanged)
        kept = {name: file for name, file in found.items() if not is_exchanged(name)}
        return kept | {n: f for n, f in before.files.items() if n not in kept and is_hidden(n)}


def judged(
    source: str, limit: VanishLimit, before: Before, walk: Walk, found: dict[str, FoundFile]
) -> Outages:
    """Raises Transient GC-2009, GC-2045, GC-2141 where the folder as a whole is an outage."""
    return _Judge(source, limit, before, walk, found).outages()


@dataclass(frozen=True, slots=True)
class _Judge:
    source: str
    limit: VanishLimit
    before: Before
    walk: Walk
    found: dict[str, FoundFile]

    def outages(self) -> Outages:
        faults = {
            name: Rejected("GC-2142", source=self.source, folder=name, reason=reason)
            for name, reason in self.walk.closed.items()
        }
        is_closed = covered_by(self.walk.closed)
        exchanged = {}
        for name in {**self.before.footings, **self.walk.mounts}:
            if name != ROOT and not is_closed(name):
                fault = self._of_part(name)
                if fault is not None:
                    exchanged[name] = fault
        outages = Outages(faults | exchanged, frozenset(exchanged))
        self._check_root(outages)
        return outages

    def _of_part(self, name: str) -> Rejected | None:
        known, mount = self.before.footings.get(name), self.walk.mounts.get(name)
        if known is None:
            return None
        gone = Rejected("GC-2140", source=self.source, folder=name)
        if mount is None:
            return gone
        names = [file.name for file in self.found.values() if file.mount.name == name]
        if not self._is_same(known, mount, names) or (
            known.count and not names and not self.limit.allows_all
        ):
            return gone
        vanished, of = self._vanished(known, name, names, Outages())
        if self.limit.is_exceeded(vanished, of):
            return Rejected("GC-2141", source=self.source, folder=name, vanished=vanished, files=of)
        return None

    def _check_root(self, outages: Outages) -> None:
        known = self.before.footings.get(ROOT)
        if known is None:
            return
        left = outages.kept(self.before, self.found)
        names = [file.name for file in left.values() if file.mount.name == ROOT]
        if not self._is_same(known, self.walk.mounts[ROOT], names):
            raise Transient("GC-2045", source=self.source)
        if not left and not self.limit.allows_all:
            raise Transient("GC-2009", source=self.source)
        vanished, of = self._vanished(known, ROOT, names, outages)
        if self.limit.is_exceeded(vanished, of):
            raise Transient("GC-2141", source=self.source, folder="/", vanished=vanished, files=of)

    def _is_same(self, known: Footing, mount: Mount, names: list[str]) -> bool:
        """Mounted anew it may have other numbers: over a network both, on a disk that of its device. The files tell."""
        if known.is_at(mount.device, mount.inode):
            return True
        return (mount.on_network is True or known.inode == mount.inode) and known.is_alike(hashes_of(names))

    def _vanished(self, known: Footing, mount: str, names: list[str], outages: Outages) -> tuple[int, int]:
        """(how many files of this mount are not there any more, of how many)"""
        if self.before.is_recalled:
            return known.vanished(hashes_of(names)), known.count or 0
        there = [file for file in self.before.files.values() if file.mount.name == mount]
        is_hidden = covered_by(outages.faults)
        gone = [f for f in there if f.name not in self.found and not is_hidden(f.name)]
        if self.limit.is_exceeded(len(gone), len(there)):
            new = (file for name, file in self.found.items() if name not in self.before.files)
            gone = without_moved(gone, new)
        return len(gone), len(there)
