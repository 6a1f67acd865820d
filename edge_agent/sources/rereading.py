"""When a file is read again although nothing tells that it was touched.

The clocks of some shares are coarse, and some programs put times back: a file may be another one while size, times and
inode are what they were. So each is read anew once in so many hours, and not all at the same time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

_SHARES = 1 << 32


class Rereading:
    """`hours` 0: never. `clock` gives seconds since 1970."""

    def __init__(self, hours: float, clock: Callable[[], float]) -> None:
        self._seconds = hours * 3_600
        self._clock = clock

    def turn(self, name: str) -> int:
        """Another number once it is time again."""
        return self._turn(name, self._clock())

    def is_due(self, name: str, read_at: float) -> bool:
        """Whether it is time again since then (seconds since 1970)."""
        return self._turn(name, read_at) != self.turn(name)

    def _turn(self, name: str, when: float) -> int:
        if not self._seconds:
            return 0
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).digest()
        return int(when / self._seconds + int.from_bytes(digest, "big") / _SHARES)
