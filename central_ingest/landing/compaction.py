"""Which small files of a table are worth joining: a plan, from what the log says of them.

Received dates are the partitions. Today's still grows, so its files join in tiers: when as many of one size stand
there as make a file of the next. A day that is over joins all that is small. Rows stay in the order of their
versions, as far as files know it. A join is made only where every file in it at least doubles: so no row is
rewritten more often than a file can double until it is large enough (12 times from 4 KiB to 16 MiB; twice where
commits of 10 KiB come all day long). Pure: it reads no file and knows no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from .columns import PARTITION
from .tablestate import LiveFile

TARGET_BYTES = 64 << 20
ENOUGH_BYTES = (
    16 << 20
)  # what is as large stays: to read four files instead of one is cheaper than to write them again
FAN_IN = 16
_TIER_BYTES = 64 << 10  # the lowest tier ends here, each next one is FAN_IN times as large


def plan(files: Iterable[LiveFile], today: str) -> list[list[LiveFile]]:
    """Files to join into one each, given the date (ISO) of today. Empty where the table is not partitioned by received
    date alone: then its files belong to whoever writes them."""
    small = [one for one in files if one.size < ENOUGH_BYTES]
    if any(one.partition.keys() != {PARTITION} for one in small):
        return []
    joins = []
    for date, group in groupby(sorted(small, key=_order), key=_date):
        one_day = list(group)
        joins += _tiers(one_day) if date >= today else _bins(one_day)
    return joins


def _tiers(files: Sequence[LiveFile]) -> list[list[LiveFile]]:
    joins = []
    for tier in sorted({_tier(one) for one in files}):
        same = [one for one in files if _tier(one) == tier]
        if len(same) >= FAN_IN:
            joins += _bins(same)
    return joins


def _bins(files: Sequence[LiveFile]) -> list[list[LiveFile]]:
    """Runs of files, each together no larger than the target."""
    bins: list[list[LiveFile]] = [[]]
    total = 0
    for one in files:
        if total + one.size > TARGET_BYTES:
            bins.append([])
            total = 0
        bins[-1].append(one)
        total += one.size
    return [worth for one in bins if len(worth := _doubling(one)) > 1]


def _doubling(files: Sequence[LiveFile]) -> list[LiveFile]:
    """Without those that would be rewritten for the sake of a few bytes more."""
    kept, total = list(files), sum(one.size for one in files)
    for one in sorted(files, key=lambda f: f.size, reverse=True):
        if total >= 2 * one.size:
            break
        kept.remove(one)
        total -= one.size
    return kept


def _tier(file: LiveFile) -> int:
    tier, end = 0, _TIER_BYTES
    while file.size >= end:
        tier, end = tier + 1, end * FAN_IN
    return tier


def _date(file: LiveFile) -> str:
    return file.partition[PARTITION] or ""


def _order(file: LiveFile) -> tuple[str, int, int, str]:
    least = file.stats.get("minValues") or {}
    return _date(file), least.get("_gc_epoch", 0), least.get("_gc_seq", 0), file.path
