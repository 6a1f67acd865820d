"""Kill -9 while groups enter the spool: what was reported is there, and a group is there whole or not at all.

The child commits groups of envelopes, each with a position that names its last sequence, and prints that
sequence only after `commit` has returned. It is killed at a random moment, again and again on one spool.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_agent.spool.records import Scan, Shard, TableState, Work
from edge_agent.spool.spool import Spool
from protocol.errors import Permanent
from protocol.limits import MIB
from protocol.names import TableName
from tests.unit.edge_agent.spool.envelopes import SECRET, STREAM, envelope

GROUP = 3
SIZE = 40_000
KILLS = 8
TABLE = TableName(None, None, "visits")


def open_spool(directory: Path) -> Spool:
    return Spool.open(directory, bytes_max=256 * MIB, keep_receipted_bytes=2 * MIB)


def group_ending(last_seq: int) -> Work:
    """The one piece of work that may end at `last_seq`."""
    after = last_seq - GROUP
    return Work(
        STREAM,
        1,
        after,
        [envelope(seq, SIZE) for seq in range(after + 1, last_seq + 1)],
        position=str(last_seq),
        objects=[last_seq.to_bytes(32, "big")],
        table=TableState(TABLE, "following", b"f", {"last": last_seq}),
        drop_all_shards=True,
        add_shards=[Shard(b"", b"", f"{last_seq}.index", last_seq)],
        scan=Scan(last_seq),
    )


def work_until_killed(directory: Path) -> None:
    """The child."""
    spool = open_spool(directory)
    state = spool.stream(STREAM)
    head = 0 if state is None else state.head_seq
    if state is None:
        spool.open_epoch(STREAM, 1, b"", SECRET)
    while True:
        head += GROUP
        spool.commit(group_ending(head))
        print("committed", head, flush=True)
        if head % 4 == 0:
            seq = head - GROUP
            spool.receipt(STREAM, 1, seq, envelope(seq).hash, b"")
            print("receipted", seq, flush=True)


def check(spool: Spool, committed: int, receipted: int) -> int:
    """Compare all that one group made durable with what must be there; returns the head."""
    state = spool.stream(STREAM)
    assert state is not None
    head = state.head_seq
    assert head % GROUP == 0
    assert head >= committed
    assert head <= committed + GROUP  # at most the group that was under way
    assert receipted <= state.receipted_seq <= head
    if head == 0:
        return head
    assert state.position == str(head)
    assert state.head_hash == envelope(head, SIZE).hash
    assert state.head_offset == head * SIZE
    assert spool.table(STREAM, TABLE) == TableState(TABLE, "following", b"f", {"last": head})
    assert spool.shards(STREAM, TABLE) == [Shard(b"", b"", f"{head}.index", head)]
    assert spool.object_sent(STREAM, head.to_bytes(32, "big"))
    assert not spool.object_sent(STREAM, (head + GROUP).to_bytes(32, "big"))
    for seq in range(state.receipted_seq + 1, head + 1):
        stored = spool.peek(STREAM, seq)
        assert stored is not None, seq
        expected = envelope(seq, SIZE)
        assert (stored.seq, stored.hash, stored.data) == (seq, expected.hash, expected.data)
        assert stored.end_offset == seq * SIZE
    assert spool.peek(STREAM, head + 1) is None
    return head


def kill_at_random(directory: Path, moment: random.Random, committed: int, receipted: int) -> tuple[int, int]:
    """Let a child work and kill it; what it has reported: (committed, receipted)."""
    script = f"from tests.crash.test_spool_kill import *; work_until_killed(Path({str(directory)!r}))"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        with pytest.raises(Permanent, match="GC-1006"):
            open_spool(directory)
        threading.Timer(moment.uniform(0, 0.12), child.kill).start()
        for line in [first, *child.stdout]:
            if not line.endswith("\n"):
                break  # killed while it wrote: nothing was reported
            what, seq = line.split()
            if what == "committed":
                committed = int(seq)
            else:
                receipted = int(seq)
    return committed, receipted


def test_what_was_reported_survives_every_kill(tmp_path: Path) -> None:
    moment = random.Random(20240229)
    committed = receipted = 0
    for _ in range(KILLS):
        reported, receipted = kill_at_random(tmp_path, moment, committed, receipted)
        assert reported > committed
        spool = open_spool(tmp_path)
        assert spool.recovered is None
        committed = check(spool, reported, receipted)
        spool.close()
    assert committed >= KILLS * GROUP
