"""A folder as a source sees it: which files count, and whether it is still the same folder.

A share that dropped looks like an empty folder, and an empty folder looks like a mass deletion. So a folder that is
missing or has lost all its files (GC-2009), is another one than before (GC-2045), or has lost too many of them at once
(GC-2141) is an outage, never a change, until a person accepts it as it is. Of a file system mounted below it, and of a
folder that cannot be read, the outage is that part's alone (`alarms`): its files stay as they were. A file counts
once it has rested; one that counted before stays in the list while it is rewritten. Nothing is written, locked,
renamed or deleted here, and no file is opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_agent.sources.foldernames import covered_by, glob_matcher
from edge_agent.sources.footing import from_text, to_text
from edge_agent.sources.found import FileState, FoundFile, Mount
from edge_agent.sources.outages import Before, Outages, judged
from edge_agent.sources.resting import Resting
from edge_agent.sources.vanishing import VanishLimit
from edge_agent.sources.walking import NOTHING_THERE, Walk
from protocol.errors import Rejected, Transient

__all__ = ["FileState", "Folder", "FoundFile", "VanishLimit", "glob_matcher"]


class Folder:
    """The files below `root` that `wanted` accepts by name.

    `identity` is None until files were seen for the first time; kept by the caller, it makes the next
    process notice another folder in this one's place, and how much of it is gone. `clock` gives seconds since 1970.
    Files that `grows` accepts by name need not rest: whoever reads them knows how far they are whole.
    """

    def __init__(
        self,
        slug: str,
        root: Path,
        wanted: Callable[[str], bool],
        stable_seconds: float,
        identity: str | None,
        clock: Callable[[], float],
        limit: VanishLimit | None = None,
        grows: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._slug = slug
        self._grows = grows
        self._root = os.fspath(root)
        self._wanted = wanted
        self._resting = Resting(stable_seconds, clock)
        self._limit = limit or VanishLimit()
        self.identity = identity
        self._before = Before(from_text(identity), is_recalled=identity is not None)
        self._outages = Outages()
        self._doubted: set[str] = set()
        """What the last scan's listing lacked although it was there."""
        self._never_seen: set[str] = set()
        """Parts that are an outage since this process began."""
        self._asked = self._answered = 0
        """How often a person accepted the folder as it is, and how much of that a scan has heeded."""

    def scan(self) -> list[FoundFile]:
        """The files that count, sorted by name. Transient GC-2001 (unreadable), GC-2009, GC-2045 (not the folder),
        GC-2141 (too many gone at once). Files of a part that could not be looked at are as they were; those that this
        process never saw it cannot list (`is_hidden`)."""
        asked, before = self._asked, self._before
        if asked != self._answered:
            before = replace(before, footings={})  # a person says that it is meant so
        walk = Walk(self._root, before.mounts)
        found = self._found_by(walk)
        doubted = self._look_again(walk, found)
        outages = judged(self._slug, self._limit, before, walk, found)
        found = outages.kept(before, found)
        counted = {
            name: file
            for name, file in found.items()
            if file.resting or name in before.files or before.is_recalled
        }
        self._before = before.followed_by(walk, outages, counted)
        self._never_seen = {part for part in outages.faults if before.is_recalled or part in self._never_seen}
        self._outages, self._doubted, self._answered = outages, doubted, asked
        self._resting.watch_only({name for name, file in found.items() if not file.resting})
        if self._before.footings and asked == self._asked:
            self.identity = to_text(self._before.footings)
        return sorted(counted.values(), key=lambda file: file.name)

    def look(self, name: str) -> FoundFile | None:
        """One file that counted at the last scan, as it is now; None if it is not there. Faults as `scan`."""
        known = self._before.files.get(name)
        if known is None or self.is_hidden(name):
            return known
        if all(self._stands(mount) for mount in {"", known.mount.name}):
            try:
                status = os.stat(known.where)
            except OSError as error:
                if error.errno in NOTHING_THERE:
                    return None
            else:
                regular = stat.S_ISREG(status.st_mode)
                return self._found(name, known.where, known.mount, status) if regular else None
        self.scan()  # which alone can tell
        return self._before.files.get(name)

    def accept(self) -> None:
        """The folder is meant as it is now, be it another one, or empty. From any thread."""
        self._asked += 1
        self.identity = None

    def is_hidden(self, name: str) -> bool:
        """It lies in a part that was an outage at the last scan: nobody can tell whether there is such a file."""
        return self._outages.is_hidden(name)

    @property
    def is_complete(self) -> bool:
        """The last scan gave every file that counts or ever counted: this process has seen all parts at least once."""
        return not self._never_seen

    @property
    def alarms(self) -> list[Rejected]:
        """One for each part of the folder that the last scan found to be an outage."""
        return [Rejected(fault.code, **fault.facts) for fault in self._outages.faults.values()]

    def _found_by(self, walk: Walk) -> dict[str, FoundFile]:
        try:
            if not stat.S_ISDIR(os.stat(self._root).st_mode):
                raise NotADirectoryError
        except OSError:
            raise Transient("GC-2009", source=self._slug) from None
        try:
            files = (self._found(*one) for one in walk.files(self._wanted))
            return {file.name: file for file in files}
        except OSError as error:
            if error.errno in NOTHING_THERE:
                raise Transient("GC-2009", source=self._slug) from None
            raise Transient("GC-2001", source=self._slug, reason="the folder cannot be read") from None

    def _found(self, name: str, where: str, mount: Mount, status: os.stat_result) -> FoundFile:
        known = self._before.files.get(name)
        if known is not None and known.resting and known.mount is mount:
            was = known.state
            if (
                was.modified_ns == status.st_mtime_ns
                and was.size == status.st_size
                and was.changed_ns == status.st_ctime_ns
                and was.inode == status.st_ino
            ):
                return known
        state = FileState.of(status)
        before = known.state if known is not None and known.resting else None
        resting = (
            before == state
            or self._grows(name)
            or self._resting.rests(name, state, before, own_clock=mount.on_network is False)
        )
        return FoundFile.at(name, where, state, resting, mount)

    def _look_again(self, walk: Walk, found: dict[str, FoundFile]) -> set[str]:
        """A listing may lack what was renamed over, or replaced, while it was read: what it lacks is looked for once.
        Where case means nothing, a file is there under its old name too: that is no other file than the new one's."""
        missing = [file for name, file in self._before.files.items() if name not in found]
        if not missing:
            return set()
        new = {(f.mount.device, f.state.inode) for name, f in found.items() if name not in self._before.files}
        doubted = set()
        is_closed = covered_by(walk.closed)
        for file in missing:
            mount = walk.mounts.get(file.mount.name)
            if file.name in self._doubted or mount is not file.mount or is_closed(file.name):
                continue
            try:
                status = os.stat(file.where)
            except OSError as error:
                if error.errno not in NOTHING_THERE:
                    walk.close(file.name, error)
                continue
            if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in new:
                found[file.name] = self._found(file.name, file.where, mount, status)
                doubted.add(file.name)
        return doubted

    def _stands(self, mount: str) -> bool:
        """Whether that is mounted as the last scan found it."""
        known = self._before.mounts.get(mount)
        if known is None:
            return False
        try:
            status = os.stat(known.where)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == (known.device, known.inode)
