"""The cuts that the lander passes: kept until they are noted, once a second with the low-water marks.

What was not noted when the daemon dies is met again where it is read again, and missing otherwise: a past time is then
answered by the cut before.
"""

from __future__ import annotations

from collections.abc import Callable

from protocol.batch import Header as Inner
from protocol.envelope import Header

from ..ledger.cuts import Cut, CutBook

_THINNING_MICROS = 3_600 * 1_000_000


class Cuts:
    def __init__(self, book: CutBook, wall: Callable[[], int]) -> None:
        self._book = book
        self._wall = wall
        self._met: dict[tuple[str, int], Cut] = {}
        self._thinned = 0

    def pass_by(self, header: Header, inner: Inner, received: int) -> None:
        """Of the cuts of a stream and a minute the last one is kept."""
        if inner.cut:
            minute = received // 60_000_000
            self._met[str(header.stream), minute] = Cut(
                header.stream, header.epoch, header.last_seq, received
            )

    def note(self) -> None:
        """Raises LedgerDown; what is kept is noted the next time then."""
        if not self._met:
            return
        self._book.note(self._met.values())
        self._met.clear()
        now = self._wall()
        if now - self._thinned >= _THINNING_MICROS:
            self._book.thin(now)
            self._thinned = now
