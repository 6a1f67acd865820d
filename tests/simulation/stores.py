"""What the centre stands on, with moments: the disk of its journal and shelves, its lake, and what cannot land there.

*Poison* is content that is authentic and cannot land: a table that the lake refuses, one envelope that it refuses
for ever, one that cannot be opened. Once mended all of it lands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from central_ingest.journal.files import FileJournal
from central_ingest.journal.journal import Journal
from central_ingest.landing.lake import Recovery, Txn
from central_ingest.quarantine import FileShelves
from protocol.errors import Permanent, Rejected
from protocol.signing import Opener
from tests.unit.central_ingest.journal.faulty_disk import FaultyDisk
from tests.unit.central_ingest.landing.ground import FaultyLake

SHELF_BYTES = 16 << 10
Sent = tuple[int, int]
"""Epoch and sequence of an envelope."""


class Disk(FaultyDisk):
    """With a moment before and after whatever reaches the platter."""

    def __init__(self, moment: Callable[[], None]) -> None:
        super().__init__()
        self._moment = moment

    def write(self, fd: int, content: memoryview, position: int) -> int:
        self._moment()
        taken = super().write(fd, content, position)
        self._moment()
        return taken

    def sync(self, fd: int) -> None:
        self._moment()
        super().sync(fd)
        self._moment()

    def truncate(self, fd: int, length: int) -> None:
        self._moment()
        super().truncate(fd, length)

    def rename(self, old: Path, new: Path) -> None:
        self._moment()
        super().rename(old, new)

    def sync_directory(self, directory: Path) -> None:
        self._moment()
        super().sync_directory(directory)

    def forget_what_is_gone(self) -> None:
        """Directories were removed or renamed as a whole."""
        for names in (self._seen, self._durable):
            for path in [path for path in names if not path.exists()]:
                del names[path]

    def close(self, fd: int) -> None:
        """What a process had open that is gone is closed already when the last of it is collected."""
        if fd in self._opened:
            super().close(fd)

    def close_all(self) -> None:
        """As the system does for a process that is gone."""
        for fd in list(self._opened):
            self.close(fd)


class Lake(FaultyLake):
    """With a moment before and after each call that writes."""

    def __init__(self, moment: Callable[[], None]) -> None:
        super().__init__()
        self._moment = moment
        self.poisoned: dict[str, set[Sent]] = {}
        """By path: envelopes that it never takes; an empty set waits for the next one."""

    def append(self, path: str, rows: pa.Table, txns: Sequence[Txn]) -> int:
        self._moment()
        self._refuse_poison(path, rows)
        version = super().append(path, rows, txns)
        self._moment()
        return version

    def make_durable(self, path: str, version: int) -> None:
        self._moment()
        super().make_durable(path, version)
        self._moment()

    def recover(self, path: str, synced_version: int) -> Recovery:
        self._moment()
        return super().recover(path, synced_version)

    def mend(self) -> None:
        self.refused.clear()
        self.poisoned.clear()

    def _refuse_poison(self, path: str, rows: pa.Table) -> None:
        if path not in self.poisoned:
            return
        here = list(zip(rows["_gc_epoch"].to_pylist(), rows["_gc_seq"].to_pylist(), strict=True))
        bad = self.poisoned[path]
        if not bad:
            bad.add(here[-1])
        if not bad.isdisjoint(here):
            raise Permanent("GC-6004", table=path)

    def copy(self) -> Lake:
        kept = Lake(self._moment)
        kept.commits = {path: [replace(one) for one in commits] for path, commits in self.commits.items()}
        kept._schemas = dict(self._schemas)
        kept.refused, kept.poisoned = self.refused, self.poisoned
        return kept


class Shelves(FileShelves):
    """The quarantine's, over a disk that fails by order."""

    def __init__(self, root: Path, disk: Disk) -> None:
        super().__init__(root)
        self._disk = disk

    def open(self, number: int) -> Journal:
        return FileJournal.open(self._root / f"{number:08d}", segment_bytes_max=SHELF_BYTES, disk=self._disk)

    def remove(self, number: int) -> None:
        super().remove(number)
        self._disk.forget_what_is_gone()

    def set_aside_unknown(self, known: set[int]) -> None:
        super().set_aside_unknown(known)
        self._disk.forget_what_is_gone()


class Locks:
    """Envelopes that the lander cannot open, by their capsules."""

    def __init__(self) -> None:
        self._shut: set[bytes] = set()
        self.shut_next = False

    def mend(self) -> None:
        self._shut.clear()
        self.shut_next = False

    def check(self, capsule: bytes) -> None:
        if self.shut_next:
            self._shut.add(capsule)
            self.shut_next = False
        if capsule in self._shut:
            raise Rejected("GC-5005", reason="ordered")


class LockedOpener:
    def __init__(self, opener: Opener, locks: Locks) -> None:
        self._opener = opener
        self._locks = locks

    def open_capsule(self, key_id: bytes, capsule: bytes) -> bytes:
        self._locks.check(capsule)
        return self._opener.open_capsule(key_id, capsule)
