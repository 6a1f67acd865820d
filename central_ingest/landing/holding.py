"""What the lake remembers of its tables between two commits, and whose turn it is with each.

A lake of 40,000 tables holds the definition of those that were touched last, and opens none until it is. Appends and
rewrites of one table may come from two threads: each takes its turn for a commit. What a sync that failed leaves
behind, and versions that were cut and stand for others since, are remembered here too. Knows no engine of Delta:
whoever can open a table says what it found.
"""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from protocol.errors import Fault, Transient

from . import checkpoints, commits, recovery, tablefiles
from .held import Held
from .lake import Recovery
from .localstore import LocalStore
from .store import Store

READER_HOURS = 3.0
_TABLES_HELD_MAX = 4_096  # what is held of a table is its schema and txns, a few kB
_LOCKS = 256  # tables that share one wait for each other now and then; 40,000 locks would be kept for nothing
_MARGIN_SECONDS = 600  # for which a checkpoint still tells of a file that may be deleted
_TOMBSTONES = "delta.deletedFileRetentionDuration"


class Holding(ABC):
    def __init__(
        self,
        store: Store | Path,
        *,
        reader_hours: float = READER_HOURS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = LocalStore(store) if isinstance(store, Path) else store
        self._settings = {_TOMBSTONES: f"interval {round(reader_hours * 3600) + _MARGIN_SECONDS} seconds"}
        self._clock = clock
        self._lock = threading.Lock()
        self._turns = [threading.RLock() for _ in range(_LOCKS)]
        self._tables: OrderedDict[str, Held] = OrderedDict()
        self._durable: dict[str, int] = {}  # of tables that this process synced or recovered
        self._cuts: dict[str, int] = {}  # how often commits were cut: versions then stand for others
        self._unsure: set[str] = set()
        self._commits: Counter[str] = Counter()
        with self._faults("."):
            self.store.establish()

    @abstractmethod
    def _look_up(self, path: str, version: int) -> Held:
        """Open a table that is there, at its newest version."""

    @abstractmethod
    def _definition(self, held: Held | None, coming: Held) -> list[commits.Action]:
        """The actions that define the table, where it is new or changes."""

    def make_durable(self, path: str, version: int) -> None:
        """As the seam says. After a sync that failed it refuses until `recover` has proven the table: the
        kernel reports a failed write once and then calls the page clean."""
        with self._faults(path), self._turn(path):
            self._refuse_unsure(path)
            if path not in self._durable:
                self._durable[path] = max(checkpoints.sound(self.store, tablefiles.folder(path)), default=-1)
            span = range(self._durable[path] + 1, version + 1)
            if not span:
                return
            try:
                recovery.sync(self.store, tablefiles.folder(path), span)
            except (OSError, recovery.Damaged):
                self._unsure.add(path)
                raise
            self._durable[path] = version

    def commits_since(self) -> dict[str, int]:
        """Tables that committed since this was asked last, and how often."""
        with self._lock:
            counted, self._commits = self._commits, Counter()
        return dict(counted)

    def is_recovered(self, path: str) -> bool:
        """Whether this process knows the table's commits to be whole."""
        return path in self._durable

    def _note_commit(self, path: str) -> None:
        with self._lock:
            self._commits[path] += 1

    def _refuse_unsure(self, path: str) -> None:
        if path in self._unsure:
            raise Transient("GC-6005", path=path, reason="an earlier sync failed")

    def recover(self, path: str, synced_version: int) -> Recovery:
        with self._faults(path), self._turn(path):
            self._forget(path)
            version, cut = recovery.cut_after_damage(self.store, tablefiles.folder(path), synced_version)
            self._durable[path] = version
            self._unsure.discard(path)
            if cut:
                self._cuts[path] = self._cuts.get(path, 0) + 1
            return Recovery(version, cut)

    def recover_all(self, synced: Mapping[str, int]) -> Mapping[str, Recovery]:
        with tablefiles.asking(self.store) as each:
            return dict(zip(synced, each(self.recover, synced.keys(), synced.values()), strict=True))

    def _turn(self, path: str) -> threading.RLock:
        """Whose turn it is with a table: entered for as long as a commit takes, never while files are read."""
        return self._turns[hash(path) % _LOCKS]

    @contextlib.contextmanager
    def _faults(self, path: str) -> Iterator[None]:
        """Whatever fails below becomes a Transient, and what we held of the table is looked up anew."""
        try:
            yield
        except BaseException as error:
            misuse = isinstance(error, ValueError | KeyError) and not isinstance(error, pa.ArrowException)
            if misuse or isinstance(error, Fault):
                raise
            self._forget(path)
            # A panic inside deltalake is no Exception, and its class cannot be imported.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise Transient("GC-6005", path=path, reason=type(error).__name__) from error

    def _held(self, path: str) -> Held | None:
        with self._turn(path):
            with self._lock:
                if path in self._tables:
                    self._tables.move_to_end(path)
                    return self._tables[path]
            if not (found := recovery.versions(self.store, tablefiles.folder(path))):
                return None
            held = self._look_up(path, found[-1])
            self._hold(path, held)
            return held

    def _hold(self, path: str, held: Held) -> None:
        with self._lock:
            self._tables[path] = held
            self._tables.move_to_end(path)
            while len(self._tables) > _TABLES_HELD_MAX:
                self._tables.popitem(last=False)

    def _forget(self, path: str) -> None:
        with self._lock:
            self._tables.pop(path, None)
