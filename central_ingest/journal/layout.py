"""Where the journal lies: archives and segments side by side, as one line of offsets.

A segment ends where the next piece begins. What no piece covers is missing, and is damage like any other, but
for what an archive's manifest says and its file no longer holds: that was given up on purpose, and the journal
begins behind it. A segment that lies within a certified archive is what a crash left of it, and is passed over;
so is an archive without a manifest while its segments stand, and if they do not it is all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from protocol.limits import MIB

from .archive import Archive, covering
from .segments import Segment

ARCHIVE_BYTES_MAX = 256 * MIB
"""Small segments are joined up to this."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Offsets `base` to `stop`. `file` holds them; None: they are missing. `archive`: what vouches for them."""

    base: int
    stop: int
    file: Segment | None
    archive: Archive | None = None

    @property
    def is_given_up(self) -> bool:
        return self.archive is not None and not self.archive.is_kept


def pieces(archives: Sequence[Archive], segments: Sequence[Segment], end: int) -> Iterator[Piece]:
    """All of the journal from offset 0 to `end`, in order."""
    certified = [one for one in archives if one.is_certified]
    alive = [one for one in segments if covering(certified, one.base) is None]
    orphans = [
        one
        for one in archives
        if not one.is_certified and not any(one.base <= segment.base < one.end for segment in alive)
    ]
    whole: list[Archive | Segment] = sorted([*certified, *orphans, *alive], key=lambda one: one.base)
    position = 0
    for one, following in zip(whole, [*(after.base for after in whole), end][1:], strict=True):
        if one.base < position:
            continue
        if one.base > position:
            yield Piece(position, one.base, None)
        if isinstance(one, Archive):
            yield Piece(one.base, one.end, Segment(one.base, one.path), one)
            position = one.end
        else:
            yield Piece(one.base, following, one)
            position = following
    if position < end and whole:
        yield Piece(position, end, None)


def sealed(
    whole: Sequence[Piece], before: int, received_before: int, received_at: Callable[[int], int | None]
) -> tuple[int, int] | None:
    """From where to where the oldest segments may become an archive: they end at or below `before`, and what stands
    behind them (`received_at`, None where nothing does) came before `received_before`."""
    alive = [one for one in whole if one.archive is None and one.file is not None]
    base, end = (alive[0].base, alive[0].base) if alive else (0, 0)
    for _, following in pairwise(alive):
        stop = following.base
        if stop > before or (end > base and stop - base > ARCHIVE_BYTES_MAX):
            break
        received = received_at(stop)
        if received is None or received >= received_before:
            break
        end = stop
    return (base, end) if end > base else None
