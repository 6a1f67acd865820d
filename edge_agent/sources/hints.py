"""Hints that something in a folder has changed: they wake the scan early, and decide nothing.

inotify drops events under load and sees nothing on network shares (capture.md §6), so the periodic scan goes on as if
there were no hints, and a watcher that cannot start or dies costs only promptness. It is begun anew when it can be,
also when something else is mounted there. However much happens, a hint comes no more often than twice a second; of a
storm of changes nobody wants to hear each: the watcher is taken down until it is over.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from edge_agent.sources.mounts import lies_on_network

log = logging.getLogger("edge.hints")

warnings.filterwarnings("ignore", "Callback with id ", RuntimeWarning)
"""watchdog's, of a second folder that it may not watch: it would write names of folders where logs go."""

REST_SECONDS = 0.5
"""Between two hints."""
STORM_EVENTS = 2_000
"""So many between two hints are a storm: each costs tens of microseconds, and they wait in memory."""
LOOK_SECONDS = 10.0
"""How often a watcher is looked after, one that failed is begun anew, and a storm is given to pass."""

_CHANGES: list[type[FileSystemEvent]] = [
    *(DirCreatedEvent, DirDeletedEvent, DirModifiedEvent, DirMovedEvent, FileClosedEvent),
    *(FileCreatedEvent, FileDeletedEvent, FileModifiedEvent, FileMovedEvent),
]
"""All but that a file was opened and closed: our own reading does that."""


class FolderHints:
    """Calls `hint` from a thread of its own whenever something below `folder` was written, moved or removed."""

    def __init__(self, folder: Path, hint: Callable[[], None], look_seconds: float = LOOK_SECONDS) -> None:
        self._folder = folder
        self._hint = hint
        self._look_seconds = look_seconds
        self._touched = Event()
        self._ended = Event()
        self._told: str | None = None
        """Why there is no watcher, as it was logged last."""
        self.watcher = self._begun()
        """None while there is none."""
        self._thread = Thread(target=self._run, name="folder hints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._touched.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._ended.is_set():
            if self._touched.wait(self._look_seconds):
                self._touched.clear()
                self._hint()
                self._ended.wait(REST_SECONDS)
                if self.watcher is not None and self.watcher.take_count() > STORM_EVENTS:
                    self._end_watcher()
                    self._ended.wait(self._look_seconds)
            elif self.watcher is not None and not self.watcher.is_well():
                self._end_watcher()
                self._touched.set()
            if self.watcher is None and not self._ended.is_set():
                self.watcher = self._begun()
                if self.watcher is not None:
                    self._touched.set()  # what happened meanwhile was not seen
        self._end_watcher()

    def _begun(self) -> _Watcher | None:
        try:
            status = os.stat(self._folder)
            if lies_on_network(str(self._folder), status.st_dev):
                self._say_without("it lies on a network")
                return None
            watcher = _Watcher(self._folder, (status.st_dev, status.st_ino), self._touched)
        except (OSError, RuntimeError) as error:
            self._say_without(type(error).__name__)
            return None
        self._told = None
        return watcher

    def _say_without(self, reason: str) -> None:
        if reason != self._told:
            self._told = reason
            log.info("no hints from a folder (%s): the periodic scan finds changes all the same", reason)

    def _end_watcher(self) -> None:
        if self.watcher is not None:
            self.watcher.end()
        self.watcher = None


class _Watcher(FileSystemEventHandler):
    """One observer. Sets `touched` and counts; it may not wait for anything, since events wait for it."""

    def __init__(self, folder: Path, place: tuple[int, int], touched: Event) -> None:
        self._folder = folder
        self._place = place
        self._touched = touched
        self._count = 0
        self._observer = Observer()
        try:
            self._observer.schedule(self, str(folder), recursive=True, event_filter=_CHANGES)
            self._observer.start()
        except BaseException:
            self._observer.stop()
            raise

    def dispatch(self, event: FileSystemEvent) -> None:
        self._count += 1
        self._touched.set()

    def take_count(self) -> int:
        """Events since it was asked last."""
        count, self._count = self._count, 0
        return count

    def is_well(self) -> bool:
        """Whether it still tells of what lies there now."""
        emitters = self._observer.emitters
        if not (self._observer.is_alive() and emitters and all(one.is_alive() for one in emitters)):
            return False
        try:
            status = os.stat(self._folder)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._place

    def end(self) -> None:
        self._observer.stop()
        if self._observer.is_alive():
            self._observer.join(timeout=5)
