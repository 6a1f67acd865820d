"""The pen of a stream: groups continue at its head, and an epoch that is over takes nothing more."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.capture.writer import StreamWriter
from edge_agent.spool.records import Scan, TableState
from edge_agent.spool.spool import Spool
from protocol.batch import MarkHeader
from protocol.change import MarkKind
from protocol.errors import Transient

from ..keys import EPOCH_SECRET, SEAL, STREAM
from ..reading import Mark, Reader
from .tables import LOG, schema


def mark() -> MarkHeader:
    return MarkHeader(captured=1, mark=MarkKind.INVENTORY, table=None)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.open(tmp_path, bytes_max=10_000, keep_receipted_bytes=0)


def test_without_an_epoch_nothing_is_written(spool: Spool) -> None:
    with pytest.raises(Transient, match="GC-3005"):
        StreamWriter(spool, STREAM, SEAL, lambda: 1)
    spool.close()


def test_groups_follow_each_other_and_carry_their_state(spool: Spool) -> None:
    spool.open_epoch(STREAM, 1, b"", EPOCH_SECRET)
    writer = StreamWriter(spool, STREAM, SEAL, lambda: 7)
    assert writer.secret == EPOCH_SECRET
    for _ in range(2):
        group = writer.group()
        group.schema(schema(LOG))
        group.mark(mark())
        writer.commit(group, table=TableState(LOG, "snapshot", schema(LOG).fingerprint, {"n": 1}))
    writer.commit(None, scan=Scan(9))
    assert writer.table(LOG) == TableState(LOG, "snapshot", schema(LOG).fingerprint, {"n": 1})
    reader = Reader(EPOCH_SECRET)
    events = list(reader.read(stored.data for stored in spool.window(STREAM, 1, 1 << 20)))
    assert [e.version.seq for e in events if isinstance(e, Mark)] == [2, 3]
    assert reader.group_ends == {2, 3}
    spool.close()


def test_a_full_spool_takes_nothing_of_it(spool: Spool) -> None:
    spool.open_epoch(STREAM, 1, b"", EPOCH_SECRET)
    writer = StreamWriter(spool, STREAM, SEAL, lambda: 1)
    group = writer.group()
    for _ in range(100):
        group.mark(mark())
    with pytest.raises(Transient, match="GC-3001"):
        writer.commit(group, table=TableState(LOG, "snapshot", b""))
    assert writer.state().head_seq == 0
    assert writer.table(LOG) is None
    spool.close()


@pytest.mark.parametrize("reopened", [False, True])
def test_an_epoch_that_is_over_takes_nothing_more(spool: Spool, reopened: bool) -> None:
    spool.open_epoch(STREAM, 1, b"", EPOCH_SECRET)
    writer = StreamWriter(spool, STREAM, SEAL, lambda: 1)
    group = writer.group()
    group.mark(mark())
    if reopened:
        spool.open_epoch(STREAM, 2, b"", EPOCH_SECRET)
    else:
        spool.stop(STREAM, 1, "GC-3006")
    with pytest.raises(Transient, match="GC-3007" if reopened else "GC-3006"):
        writer.commit(group)
    with pytest.raises(Transient):
        writer.group()
    state = spool.stream(STREAM)
    assert state is not None
    assert state.head_seq == 0
    spool.close()
