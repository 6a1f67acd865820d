"""When each table commits: hot ones every moment, quiet ones when their first row grows old.

One commit per table and tick does not scale to tens of thousands of tables (landing.md §4), and small commits
cost every reader afterwards. A table is *hot* while its rows keep coming: the oldest pending one came soon
after its last commit. What is pending grows *urgent*: age over the bound of its heat, or bytes over
the most that a commit should hold, whichever is more. At urgency 1 a table is due; the most urgent go first.
When more is due than the disk may commit, all urgencies grow alike, so ages stretch fairly. Pure: time, costs
and what is pending are given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_AGE_SECONDS_MAX = 3_600.0  # no setting, no cost and no other table makes a row wait longer
_BURST_SECONDS = 1.0  # of committing at a stretch, so that an idle hour does not save up for a long one


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What an operator chooses: bounds in seconds and bytes, and the share of time that commits may take."""

    hot_seconds: float = 0.25
    quiet_seconds: float = 2.0
    commit_bytes: int = 8 * 1024 * 1024
    share_max: float = 0.7

    def __post_init__(self) -> None:
        if not (self.hot_seconds > 0 and self.quiet_seconds > 0 and self.commit_bytes > 0):
            raise ValueError("bounds are above zero")
        if not 0 < self.share_max <= 1:
            raise ValueError("a share is above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a table has pending: its rows and bytes, the age of the oldest row in seconds, when the table was
    last committed (None: not yet), and how long a commit of it takes, as measured, in seconds."""

    table: str
    rows: int
    bytes: int
    age_seconds: float
    last_commit: float | None
    commit_seconds: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """Seconds of committing that may be spent now. It fills with time and empties with work; a commit may
    overdraw it, and the next ones then wait until that is made good."""

    at: float
    seconds: float

    @classmethod
    def full(cls, now: float, rhythm: Rhythm) -> Allowance:
        return cls(now, _BURST_SECONDS * rhythm.share_max)

    def filled(self, now: float, rhythm: Rhythm) -> Allowance:
        gained = max(0.0, now - self.at) * rhythm.share_max
        return Allowance(now, min(_BURST_SECONDS * rhythm.share_max, self.seconds + gained))

    def less(self, spent_seconds: float) -> Allowance:
        return Allowance(self.at, self.seconds - spent_seconds)


def due(now: float, waiting: Iterable[Waiting], allowance: Allowance, rhythm: Rhythm) -> list[str]:
    """The tables to commit now, most urgent first; between equals the name decides.

    Takes no more than the allowance, filled up to `now`, but for the last one, which may overdraw it, and for
    rows that are an hour old, which always go. The caller commits them in this order and takes what that
    really cost from the filled allowance.
    """
    ranked = sorted(
        ((urgency(now, one, rhythm), one) for one in waiting if one.rows > 0),
        key=lambda pair: (-pair[0], pair[1].table),
    )
    left = allowance.filled(now, rhythm).seconds
    chosen = []
    for urgent, one in ranked:
        overdue = one.age_seconds >= _AGE_SECONDS_MAX
        if overdue or (urgent >= 1 and left > 0):
            chosen.append(one.table)
            left -= one.commit_seconds
    return chosen


def urgency(now: float, one: Waiting, rhythm: Rhythm) -> float:
    """1 where the table is due; 2 where its rows are twice as old, or twice as many bytes, as they should be."""
    return max(one.age_seconds / _bound_seconds(now, one, rhythm), one.bytes / rhythm.commit_bytes)


def seconds_until_due(now: float, waiting: Iterable[Waiting], rhythm: Rhythm) -> float | None:
    """How long the caller may sleep if nothing comes; None where nothing is pending."""
    pending = [one for one in waiting if one.rows > 0]
    if any(one.bytes >= rhythm.commit_bytes for one in pending):
        return 0.0
    return min(
        (max(0.0, _bound_seconds(now, one, rhythm) - one.age_seconds) for one in pending), default=None
    )


def _bound_seconds(now: float, one: Waiting, rhythm: Rhythm) -> float:
    """Heat does not fall while rows wait: the oldest one came when it came."""
    hot = one.last_commit is not None and now - one.age_seconds - one.last_commit < rhythm.quiet_seconds
    return min(rhythm.hot_seconds if hot else rhythm.quiet_seconds, _AGE_SECONDS_MAX)
