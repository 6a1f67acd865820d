"""Random lives of a database, its log and its follower: what stands at the centre is what was committed.

Transactions commit, become visible later or much later, move keys with long values left out, truncate and rewrite
tables, while snapshots are read in chunks of two rows (of a table without a key by one statement) and the follower dies
anywhere. Checked by key at every cut behind the snapshot's end, against what was committed up to the cut's position;
and nothing is sent twice.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.capture.phases import Phase

from ...keys import STREAM
from .life import LABS, NOTES, TABLES, VISITS, Life


def live(seed: int, directory: Path, steps: int) -> Life:
    one = Life(seed, directory)
    one.included = [VISITS, NOTES]
    rng = one.rng
    for step in range(steps):
        one.happen()
        action = rng.random()
        if action < 0.04:
            one.orders.take(lambda book: book.wanting("his", [rng.choice(TABLES)]))
        elif action < 0.12:
            one.calls_until_crash = rng.randrange(8)
        one.work()
        if step % 5 == 0:
            one.check()
    one.quiet = True
    one.log.join(LABS)
    one.included = TABLES
    one.calls_until_crash = None
    while one.open:
        one.commit()
    while one.log.hidden:
        one.show()
    for _ in range(60):
        one.work()
    one.check()
    one.each_change_once()
    assert one.spool.table(STREAM, VISITS).phase == Phase.FOLLOW  # type: ignore[union-attr]
    assert one.spool.table(STREAM, LABS).phase == Phase.FOLLOW  # type: ignore[union-attr]
    assert one.spool.table(STREAM, NOTES).phase == Phase.FOLLOW  # type: ignore[union-attr]
    assert {fault.code for fault in one.faults} <= {"GC-2078"}, "but for who holds a snapshot up"
    return one


@pytest.mark.parametrize("seed", range(16))
def test_what_was_committed_stands_at_the_centre(seed: int, tmp_path: Path) -> None:
    live(seed, tmp_path, 200)
