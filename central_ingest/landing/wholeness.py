"""From where on the journal holds all of a stream, and what is missing before. Pure.

Within an epoch the sequences tell; between two, and before the first, nothing but that nothing is damaged there:
an epoch says at its beginning, not at its end, where it goes. What was given up is known by its runs and cannot be
read. `head` is where the ledger has the stream: what the journal lacks at its end lacks altogether.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..journal.journal import Damage, Run


@dataclass(frozen=True, slots=True)
class Whole:
    """All of a stream stands in the journal from offset `since` on; `lacks` says what is missing before, "" where it
    is nothing. Where `since` is None not even its end is there."""

    since: int | None
    lacks: str = ""


def whole_from(
    runs: Sequence[Run],
    damage: Collection[Damage],
    *,
    start: int,
    end: int,
    head: tuple[int, int],
    used: Collection[int],
) -> Whole:
    """`runs` are the stream's, in order; `damage` all lost stretches; the journal can be read from `start` to `end`;
    `used` are the stream's epochs that any agent ever began."""
    if not runs:
        return (
            Whole(None, f"nothing of it is there, and it stands at {head[0]}/{head[1]}")
            if head[1]
            else Whole(start)
        )
    lacks = _at_end(runs[-1], damage, end, head)
    if lacks:
        return Whole(None, lacks)
    for before, run in reversed(list(pairwise(runs))):
        lacks = _between(before, run, damage)
        if lacks and run.begin >= start:
            return Whole(run.begin, lacks)
    first = runs[0]
    if first.begin < start:
        return Whole(
            start, f"the journal begins at offset {start}, within or behind {first.epoch}/{first.first}"
        )
    if first.first > 1:
        return Whole(first.begin, f"{first.epoch}/1 to {first.first - 1} are missing")
    earlier = [epoch for epoch in used if epoch < first.epoch]
    lost = _damaged(damage, 0, first.begin)
    if earlier and lost is not None:
        return Whole(first.begin, f"epoch {max(earlier)} may have stood at the damaged offset {lost}")
    return Whole(first.begin)


def _at_end(last: Run, damage: Collection[Damage], end: int, head: tuple[int, int]) -> str:
    if (last.epoch, last.last) >= head:
        return ""
    if last.epoch == head[0]:
        return f"{head[0]}/{last.last + 1} to {head[1]} are missing at its end"
    if head[1] > 0:
        return f"epoch {head[0]} is missing at its end"
    lost = _damaged(damage, last.offset, end)
    return (
        "" if lost is None else f"the end of epoch {last.epoch} may have stood at the damaged offset {lost}"
    )


def _between(before: Run, run: Run, damage: Collection[Damage]) -> str:
    if before.epoch == run.epoch:
        return f"{run.epoch}/{before.last + 1} to {run.first - 1} are missing before offset {run.begin}"
    if run.first > 1:
        return f"{run.epoch}/1 to {run.first - 1} are missing before offset {run.begin}"
    lost = _damaged(damage, before.offset, run.begin)
    return (
        "" if lost is None else f"the end of epoch {before.epoch} may have stood at the damaged offset {lost}"
    )


def _damaged(damage: Collection[Damage], after: int, before: int) -> int | None:
    """The first damaged offset between two."""
    return min((one.offset for one in damage if after <= one.offset and one.end <= before), default=None)
