"""Hints that something in a folder has changed: they wake the scan early, and decide nothing.

inotify drops events under load and sees nothing on network shares (capture.md §6), so the periodic scan goes
on as if there were no hints, and a watcher that cannot start or dies costs only promptness.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileClosedNoWriteEvent, FileOpenedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

log = logging.getLogger("edge.hints")


class _Handler(FileSystemEventHandler):
    def __init__(self, hint: Callable[[], None]) -> None:
        self._hint = hint

    def on_any_event(self, event: FileSystemEvent) -> None:
        if not isinstance(event, FileOpenedEvent | FileClosedNoWriteEvent):  # our own reading makes these
            self._hint()


class FolderHints:
    """Calls `hint` from a thread of its own whenever something below `folder` was written, moved or removed."""

    def __init__(self, folder: Path, hint: Callable[[], None]) -> None:
        self._observer = Observer()
        try:
            self._observer.schedule(_Handler(hint), str(folder), recursive=True)
            self._observer.start()
        except (OSError, RuntimeError) as e:
            log.info(
                "no hints from a folder (%s): the periodic scan finds changes all the same", type(e).__name__
            )

    def close(self) -> None:
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(timeout=5)
