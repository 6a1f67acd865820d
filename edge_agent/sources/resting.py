"""Whether files rest: nobody wrote to them for so long that they are taken for whole.

By a file's own times, where its clock is ours; where another machine's is, or it runs ahead, by our own watching.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from edge_agent.sources.found import FileState

FOREIGN_CLOCK_SECONDS = 86_400.0
"""How far another machine's clock may be off, its time zone taken wrongly among it."""


class Resting:
    def __init__(self, stable_seconds: float, clock: Callable[[], float]) -> None:
        self._stable_seconds = stable_seconds
        self._clock = clock
        self._since: dict[str, tuple[FileState, float]] = {}

    def rests(self, name: str, state: FileState, known: FileState | None, *, own_clock: bool) -> bool:
        """`known`: its state when it rested last, None of a new file. `own_clock`: its times are this machine's."""
        now = self._clock()
        before, since = self._since.get(name, (known, now))
        if name not in self._since or before != state:
            # Some shares tell a size long before the time of its change: such a time says nothing.
            is_dated = before is None or before.touched_seconds != state.touched_seconds
            touched = state.touched_seconds
            if not is_dated or (not own_clock and touched > now - FOREIGN_CLOCK_SECONDS):
                touched = now
            since = min(now, touched)
            self._since[name] = (state, since)
        return now - since >= self._stable_seconds

    def watch_only(self, names: Collection[str]) -> None:
        """All others are gone, or were found to rest."""
        self._since = {name: seen for name, seen in self._since.items() if name in names}
