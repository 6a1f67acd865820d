"""The scrub: reads every data file of `changes` and every large value again, slowly and for ever.

After a start the tables that were landed in lately are glanced at: their logs, and the sizes of their files. Then
one step reads one file, past the caches of this machine, and says how long to rest, so that no more than a set rate
is read. A round begins when the set number of days have passed since the last one began; it goes by name, and a
restart goes on from the name that was written down last. What is not what was written is written down with its
code. A large value that is not whole is set aside and taken out of the journal again, if that still has its pieces;
a data file waits for `fsck --repair`, since its table cannot be cut under the lander. Names no value of any record.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from protocol.errors import Permanent, Transient

from ..ledger.ledger import Ledger
from .delta import DeltaLake
from .inspecting import Inspection, content_of, wrong_with
from .objects import Objects, large_in
from .recovery import LOG, log_entry
from .refetching import Refetching
from .soundness import Wrong
from .tablefiles import file_name
from .tablestate import LiveFile

log = logging.getLogger("central.scrub")

FILES = "files/"
DAY_MICROS = 86_400_000_000
IDLE_SECONDS = 60.0
NOTED_BYTES = 64 << 20
"""After so much the place is written down: a restart reads that much twice."""
BUSY_MICROS = 86_400_000_000
GLANCE_SECONDS = 0.1
LOOK_MICROS = 600_000_000
"""What was found is looked at again this often: somebody may have mended it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`bytes_per_second`: 0 for no scrub at all. `days`: from the beginning of a round to that of the next one."""

    bytes_per_second: float
    days: float


@dataclass(frozen=True, slots=True)
class _Item:
    name: str
    path: str = ""
    file: LiveFile | None = None


class Scrub:
    def __init__(
        self,
        *,
        lake: DeltaLake,
        objects: Objects,
        ledger: Ledger,
        refetching: Refetching,
        pace: Pace,
        wall: Callable[[], int],
    ) -> None:
        self._lake = lake
        self._objects = objects
        self._ledger = ledger
        self._book = ledger.damage
        self._refetching = refetching
        self._pace = pace
        self._wall = wall
        self._items: Iterator[_Item] | None = None
        self._looked = 0
        self._busy: deque[str] | None = None
        """Tables that were landed in lately, before each had its first look of this process."""
        self._unnoted = 0

    @property
    def is_late(self) -> bool:
        """Whether a round takes longer than it may: the rate is too low for what there is."""
        begun, after = self._book.cursor()
        return bool(after) and self._wall() - begun > self._pace.days * DAY_MICROS

    def step(self) -> float:
        """Read one file, or glance at one table; returns seconds to rest. Raises Transient GC-6005 where the store
        refuses to say."""
        if not self._pace.bytes_per_second:
            return IDLE_SECONDS
        try:
            read = self._refetching.step()
            if read is None and (path := self._next_busy()):
                self._glance(path)
                return GLANCE_SECONDS
            if read is None:
                self._look_again()
                read = self._next()
        except OSError as error:
            self._items = None  # from the place that was written down
            raise Transient("GC-6005", path="scrub", reason=type(error).__name__) from error
        return IDLE_SECONDS if read is None else read / self._pace.bytes_per_second

    def _next_busy(self) -> str | None:
        if self._busy is None:
            since = self._wall() - BUSY_MICROS
            records = self._ledger.lake_tables()
            self._busy = deque(one.path for one in records if (one.landed or 0) >= since)
        return self._busy.popleft() if self._busy else None

    def _glance(self, path: str) -> None:
        """Soon after a start: the log and the sizes of the files, without reading any."""
        for file in self._files(path):
            wrong = wrong_with(self._lake.store, path, file, deep=False)
            if wrong is not None:
                self._tell_of_file(path, file, wrong)

    def _next(self) -> int | None:
        """Bytes that were read; None while no round is due."""
        begun, after = self._book.cursor()
        if self._items is None:
            if not after and self._wall() - begun < self._pace.days * DAY_MICROS:
                return None
            if not after:
                begun = self._wall()
                self._book.save_cursor(begun, "")
            self._items = self._all(after)
        item = next(self._items, None)
        if item is None:
            self._items = None
            self._book.save_cursor(begun, "")
            return None
        read = self._look(item)
        self._unnoted += read
        if self._unnoted >= NOTED_BYTES or not after:
            self._book.save_cursor(begun, item.name)
            self._unnoted = 0
        return read

    def _all(self, after: str) -> Iterator[_Item]:
        """By name: tables first, since `changes/` comes before `files/`."""
        for path in sorted(record.path for record in self._ledger.lake_tables()):
            if f"{path}0" > after:  # "0" comes right behind "/"
                for file in sorted(self._files(path), key=lambda one: one.path):
                    if (name := file_name(path, file.path)) > after:
                        yield _Item(name, path, file)
        for site, names in sorted(self._objects.all()):
            for sha256 in sorted(names):
                if (name := f"{FILES}{site}/{sha256}") > after:
                    yield _Item(name)

    def _files(self, path: str) -> list[LiveFile]:
        """None of a table whose log is not whole: that is told, and the others go on."""
        try:
            return self._lake.files(path)
        except Transient:
            broken = self._broken(path)
            if not broken:
                raise
            for version, last in broken:
                where = "last" if version == last else "middle"
                fault = Permanent("GC-6095", table=path, version=version, where=where)
                self._tell(log_entry(path, version), fault)
            return []

    def _broken(self, path: str) -> list[tuple[int, int]]:
        """Versions whose entries are missing or not whole, each with the table's last."""
        found = Inspection(self._lake.store, path, deep=False, now=0.0).found()
        return [(version, found.last) for version in found.broken]

    def _look(self, item: _Item) -> int:
        if item.file is not None:
            return self._look_at_file(item, item.file)
        place = item.name.removeprefix(FILES)
        with contextlib.suppress(FileNotFoundError):
            if not self._objects.is_whole(place):
                self._tell_of_object(place, Wrong.CONTENT)
            return self._objects.size(place)
        return 0

    def _look_at_file(self, item: _Item, file: LiveFile) -> int:
        content = content_of(self._lake.store, item.path, file)
        if isinstance(content, bytes):
            self._look_for_objects(item.path, content)
        else:
            self._tell_of_file(item.path, file, content)
        return file.size

    def _tell_of_file(self, path: str, file: LiveFile, wrong: Wrong) -> None:
        """Unless it was joined with others meanwhile."""
        if file.path in {one.path for one in self._lake.files(path)}:
            facts = {"table": path, "file": file.path, "wrong": str(wrong)}
            self._tell(file_name(path, file.path), Permanent("GC-6096", **facts))

    def _look_for_objects(self, path: str, content: bytes) -> None:
        """Large values that rows of a file refer to must be there."""
        site = path.split("/")[1]
        file = pq.ParquetFile(pa.BufferReader(content))
        if "_gc_aside" not in file.schema_arrow.names:
            return
        for sha256 in large_in(file.read(columns=["_gc_aside"]).column("_gc_aside")):
            if not self._objects.has(site, sha256):
                self._tell_of_object(f"{site}/{sha256}", Wrong.MISSING)

    def _tell_of_object(self, place: str, wrong: Wrong) -> None:
        site, _, sha256 = place.partition("/")
        self._tell(f"{FILES}{place}", Permanent("GC-6102", file=place, wrong=str(wrong)))
        self._objects.set_aside(site, sha256)
        self._refetching.want(site, sha256)

    def _tell(self, name: str, fault: Permanent) -> None:
        log.error("%s", fault)
        self._book.add(name, fault, self._wall())

    def _look_again(self) -> None:
        """At what was found: it stands until it is mended, whoever mended it."""
        if self._wall() - self._looked < LOOK_MICROS:
            return
        self._looked = self._wall()
        for one in self._book.all():
            if self._is_mended(one.name):
                log.info("%s is whole again, or needed no more", one.name)
                self._book.remove(one.name)
            elif one.name.startswith(FILES):
                self._refetching.want(*one.name.removeprefix(FILES).split("/"))

    def _is_mended(self, name: str) -> bool:
        if name.startswith(FILES):
            with contextlib.suppress(FileNotFoundError):
                return self._objects.is_whole(name.removeprefix(FILES))
            return False
        for record in self._ledger.lake_tables():
            if name.startswith(f"{record.path}/{LOG}/"):
                return name not in {log_entry(record.path, v) for v, _ in self._broken(record.path)}
            if name.startswith(f"{record.path}/"):
                files = {file_name(record.path, one.path): one for one in self._files(record.path)}
                found = files.get(name)
                return found is None or wrong_with(self._lake.store, record.path, found, deep=True) is None
        return True
