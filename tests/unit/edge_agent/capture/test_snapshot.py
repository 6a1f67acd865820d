"""Marks: what a snapshot's begin and end, and a table's drop, put into spool and stream."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.capture import snapshot
from edge_agent.capture.facts import Facts
from edge_agent.capture.phases import Phase
from edge_agent.capture.writer import StreamWriter
from edge_agent.spool.records import Shard, TableState
from edge_agent.spool.spool import Spool
from protocol.change import MarkKind
from protocol.envelope import Kind

from ..keys import EPOCH_SECRET, SEAL, STREAM
from ..reading import Mark, Reader
from .tables import VISIT, schema

SCHEMA = schema(VISIT)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool.open(tmp_path, bytes_max=1 << 20, keep_receipted_bytes=0)
    spool.open_epoch(STREAM, 1, b"", EPOCH_SECRET)
    return spool


def read(spool: Spool) -> tuple[list[Kind], list[Mark]]:
    reader = Reader(EPOCH_SECRET)
    events = reader.read(stored.data for stored in spool.window(STREAM, 1, 1 << 20))
    marks = [event for event in events if isinstance(event, Mark)]
    return reader.kinds, marks


def test_a_snapshot_stands_between_two_marks(spool: Spool) -> None:
    writer = StreamWriter(spool, STREAM, SEAL, lambda: 7)
    facts = snapshot.begin(writer, SCHEMA, "first", keep_index=False, confirmed=True, before=9)
    assert facts.progress is not None
    state = spool.table(STREAM, VISIT)
    assert state == TableState(VISIT, Phase.SNAPSHOT, SCHEMA.fingerprint, facts.to_json())
    assert (facts.confirmed, facts.before) == (True, 9)
    progress = facts.progress.plus(b"k", 2, [b"row", b"row"])
    snapshot.end(writer, SCHEMA, progress, Facts())
    assert spool.table(STREAM, VISIT) == TableState(VISIT, Phase.FOLLOW, SCHEMA.fingerprint, {})
    kinds, (begin, end) = read(spool)
    assert kinds == [Kind.SCHEMA, Kind.MARK, Kind.MARK]
    for mark, kind in ((begin, MarkKind.SNAPSHOT_BEGIN), (end, MarkKind.SNAPSHOT_END)):
        header = mark.header
        assert (header.mark, header.table_name, header.snapshot) == (kind, VISIT, progress.id)
        assert header.schema_ == SCHEMA.fingerprint.hex()
        assert (header.captured, header.group_end) == (7, True)
    assert begin.header.facts == {"reason": "first"}
    assert end.header.facts == {"batches": 2, "rows": 2, "set_hash": progress.set_hash_text}
    spool.close()


@pytest.mark.parametrize("keep_index", [False, True])
def test_a_second_begin_is_another_snapshot(spool: Spool, keep_index: bool) -> None:
    writer = StreamWriter(spool, STREAM, SEAL, lambda: 7)
    first = snapshot.begin(writer, SCHEMA, "first", keep_index=False, confirmed=False)
    shard = Shard(b"", b"", "file", 3)
    writer.commit(None, table=writer.table(VISIT), add_shards=[shard])
    second = snapshot.begin(writer, SCHEMA, "asked for", keep_index=keep_index, confirmed=False)
    assert first.progress is not None
    assert second.progress is not None
    assert first.progress.id != second.progress.id
    assert spool.shards(STREAM, VISIT) == ([shard] if keep_index else [])
    kinds, _ = read(spool)
    assert kinds == [Kind.SCHEMA, Kind.MARK, Kind.MARK]
    spool.close()


def test_a_drop_forgets_the_table_but_not_that_it_was(spool: Spool) -> None:
    writer = StreamWriter(spool, STREAM, SEAL, lambda: 7)
    facts = snapshot.begin(writer, SCHEMA, "first", keep_index=False, confirmed=False)
    assert facts.progress is not None
    snapshot.end(writer, SCHEMA, facts.progress, Facts())
    writer.commit(None, table=writer.table(VISIT), add_shards=[Shard(b"", b"", "file", 3)])
    state = writer.table(VISIT)
    assert state is not None
    snapshot.drop(writer, state)
    assert spool.table(STREAM, VISIT) == TableState(VISIT, Phase.GONE, SCHEMA.fingerprint, {})
    assert spool.shards(STREAM, VISIT) == []
    _, marks = read(spool)
    assert (marks[-1].header.mark, marks[-1].header.table_name) == (MarkKind.DROP, VISIT)
    spool.close()


def test_a_drop_in_a_new_epoch_sends_the_schema_that_it_names(spool: Spool) -> None:
    writer = StreamWriter(spool, STREAM, SEAL, lambda: 7)
    snapshot.begin(writer, SCHEMA, "first", keep_index=False, confirmed=False)
    spool.open_epoch(STREAM, 2, b"", EPOCH_SECRET)
    writer = StreamWriter(spool, STREAM, SEAL, lambda: 7)
    snapshot.drop(writer, TableState(VISIT, Phase.FOLLOW, SCHEMA.fingerprint, Facts().to_json()))
    reader = Reader(EPOCH_SECRET)
    reader.begin_epoch(2, EPOCH_SECRET)
    list(reader.read(stored.data for stored in spool.window(STREAM, 1, 1 << 20)))
    assert reader.kinds == [Kind.SCHEMA, Kind.MARK]
    spool.close()
