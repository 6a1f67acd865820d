"""How long an answer may take: a connection that stays silent is broken off, from a thread of its own.

Neither driver bounds every wait: a server behind a line that carries nothing, yet keeps its connections up,
would hold a thread until someone stops the process. Breaking the socket makes the call that waits there fail
as if the server had gone. The thread looks at a clock now and then and costs nothing between; it knows no
statement, no driver and no fault.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOKS = 8
"""How often within the allowed time it is looked: a silence ends at most an eighth late."""


class Silent(Exception):
    """No answer came in time, or none is wanted any more."""


class Patience:
    """`seconds` is the longest silence; `clock` gives seconds that only rise."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.seconds = seconds
        self.ended = False
        """Nothing is waited for any more: the source is being closed."""
        self._clock = clock
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._since = 0.0
        self._break_off: Callable[[], None] | None = None
        self._given_up = False
        self._watcher: threading.Thread | None = None

    @contextmanager
    def with_(self, break_off: Callable[[], None]) -> Iterator[None]:
        """While one answer is waited for; `break_off` makes the waiting fail, and is called from another thread.
        Raises Silent instead of that failure, and when nothing is waited for any more."""
        with self._lock:
            self._since, self._given_up, self._break_off = self._clock(), False, break_off
            ended = self.ended
            if self._watcher is None and not ended:
                self._watcher = threading.Thread(target=self._watch, name="patience", daemon=True)
                self._watcher.start()
        try:
            if ended:
                break_off()
                raise Silent
            yield
        except Exception:
            if self._given_up:
                raise Silent from None
            raise
        finally:
            with self._lock:
                self._break_off = None

    def end(self) -> None:
        """Break off what is waited for, and whatever will be."""
        with self._lock:
            self.ended = True
            break_off = self._break_off
        self._over.set()
        if break_off is not None:
            break_off()

    def _watch(self) -> None:
        while not self._over.wait(self.seconds / _LOOKS):
            with self._lock:
                silent = self._clock() - self._since > self.seconds
                if self._break_off is None or self._given_up or not silent:
                    continue
                self._given_up = True
                break_off = self._break_off
            break_off()
