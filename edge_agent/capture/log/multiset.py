"""A table without a key, as it stood at a fence: the rows that one statement read, and what it did not see.

Rows are told apart by nothing but what they hold, so a change is a copy more or a copy less (capture.md §3.10). Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from protocol.change import Op
from protocol.errors import Rejected

from ...changes import Changes
from ...sources.columns import join
from ...sources.source import Rows
from ..diff import select
from .unseen import Told


def standing(changes: Changes, told: Iterable[Told]) -> tuple[Rows, list[bytes]]:
    """`changes` are the rows that were read; `told` is everything that their statement did not see, in order. Rows and
    their digests. Raises Rejected GC-2010 where the columns changed meanwhile, GC-2076 where a row is deleted that
    nobody has read: the log spells it differently."""
    lost: Counter[bytes] = Counter()
    came: dict[bytes, list[Told]] = {}
    for one in told:
        if one.changes.schema.shape != changes.schema.shape:
            raise Rejected("GC-2010", table=str(changes.schema.table))
        digest = one.changes.keys[one.at]
        if one.changes.ops[one.at] is not Op.DELETE:
            came.setdefault(digest, []).append(one)
        elif came.get(digest):
            came[digest].pop()
        else:
            lost[digest] += 1
    stayed = _staying(changes.keys, lost)
    if lost.total():
        raise Rejected("GC-2076", table=str(changes.schema.table))
    more = [one for copies in came.values() for one in copies]
    rows = [select(changes.rows, stayed), *(select(one.changes.rows, [one.at]) for one in more)]
    digests = [changes.keys[at] for at in stayed] + [one.changes.keys[one.at] for one in more]
    return join(rows), digests


def _staying(digests: Sequence[bytes], lost: Counter[bytes]) -> list[int]:
    """Places of the copies that are left; `lost` is used up."""
    places = []
    for at, digest in enumerate(digests):
        if lost[digest] > 0:
            lost[digest] -= 1
        else:
            places.append(at)
    return places
