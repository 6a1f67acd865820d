"""Another comment at the source: told, and no reason to read a table anew."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from edge_agent.sources.comments import Comments, commented
from protocol.envelope import Kind
from protocol.names import TableName
from protocol.schema import Column, TableSchema

from ..keys import EPOCH_SECRET, STREAM
from ..reading import Change, Mark, Reader
from .stage import Stage

VISIT = TableName(None, None, "visit")
COLUMNS = (Column("id", pa.int64()), Column("n", pa.int64()))
ROWS = [(i, i) for i in range(7)]


def sent(stage: Stage) -> tuple[list[Kind], list[str]]:
    """Kinds of all envelopes, and what their changes and marks are."""
    reader = Reader(EPOCH_SECRET)
    events = reader.read(stored.data for stored in stage.spool.window(STREAM, 1, 1 << 20))
    words = [
        str(event.header.mark) if isinstance(event, Mark) else str(event.op)
        for event in events
        if isinstance(event, Mark | Change)
    ]
    return reader.kinds, words


@pytest.mark.parametrize("key", [("id",), ()], ids=["by ranges", "whole"])
def test_another_comment_is_told_and_reads_nothing_anew(tmp_path: Path, key: tuple[str, ...]) -> None:
    stage = Stage(tmp_path)
    plain = TableSchema(VISIT, COLUMNS, key)
    stage.source.create(plain, ROWS)
    assert stage.go_round() is None
    kinds, words = sent(stage)
    told = commented(plain, Comments("就诊", {"n": "次数"}))
    stage.source.create(told, ROWS)
    for _ in range(2):
        assert stage.go_round() is None
    assert sent(stage) == ([*kinds, Kind.SCHEMA], words)
    stage.reopen()
    stage.source.put(VISIT, (9, 9))
    assert stage.go_round() is None
    assert sent(stage) == ([*kinds, Kind.SCHEMA, Kind.MARK, Kind.BATCH], [*words, "inventory", "c"])
    state = stage.spool.table(STREAM, VISIT)
    assert state is not None
    assert state.fingerprint == told.fingerprint
    stage.source.create(TableSchema(VISIT, COLUMNS[::-1], key), ROWS)
    assert stage.go_round() is None
    assert sent(stage)[1].count("snapshot_begin") == 2
    stage.close()
