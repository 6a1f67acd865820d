"""Range scans, case by case: shards that split, rows that move while they are read, limits met at a bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.capture.facts import Facts
from edge_agent.capture.ranges import RangeScan
from edge_agent.capture.scan import Pass, ScanSettings
from edge_agent.capture.writer import StreamWriter
from edge_agent.sources.source import Page, PageLimits
from edge_agent.spool.records import Shard
from protocol.change import MarkKind, Op
from protocol.names import TableName
from protocol.schema import TableSchema

from ..keys import SEAL, STREAM
from ..reading import Mark
from . import tables
from .replay import TableLog
from .stage import Stage
from .tables import VISIT, row


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, page_rows=2, deletion_rows_min=100)
    made.replay.tables[VISIT] = TableLog(True)
    made.source.create(tables.schema(VISIT))
    yield made
    made.close()


def shards(stage: Stage) -> list[Shard]:
    return stage.spool.shards(STREAM, VISIT)


def ops(stage: Stage) -> list[Op]:
    return [event.op for event in stage.read() if hasattr(event, "op")]


def test_shards_are_chained_and_at_most_two_pages_long(stage: Stage) -> None:
    stage.source.put(VISIT, *(row(VISIT, k, 0) for k in range(5)))
    stage.settle()
    assert sum(s.rows for s in shards(stage)) == 5
    stage.source.put(VISIT, *(row(VISIT, k, 1) for k in range(12)))
    stage.settle()
    found = shards(stage)
    assert all(s.rows <= 4 for s in found)
    assert (found[0].lo, found[-1].hi) == (b"", b"")
    stage.check()


def test_an_empty_table_has_one_empty_shard(stage: Stage) -> None:
    stage.settle()
    assert [(s.lo, s.hi, s.rows) for s in shards(stage)] == [(b"", b"", 0)]
    stage.check()


def test_a_scan_without_changes_writes_nothing(stage: Stage) -> None:
    stage.source.put(VISIT, *(row(VISIT, k, 0) for k in range(7)))
    stage.settle()
    stage.read()
    before = shards(stage)
    stage.reopen()  # a new process knows no token: it reads
    stage.settle()
    assert ops(stage) == []
    assert shards(stage) == before


def test_a_row_deleted_from_a_shard_that_splits_is_found(stage: Stage) -> None:
    stage.source.put(VISIT, *(row(VISIT, k, 0) for k in (0, 1, 10)))
    stage.settle()
    stage.read()
    stage.source.delete(VISIT, row(VISIT, 1, 0))
    stage.source.put(VISIT, *(row(VISIT, k, 0) for k in (3, 4, 5, 6, 7)))
    stage.settle()
    assert sorted(ops(stage)) == [Op.CREATE] * 5 + [Op.DELETE]
    stage.check()


def test_a_row_that_comes_back_while_its_shard_is_read_is_not_deleted(stage: Stage) -> None:
    stage.source.put(VISIT, row(VISIT, 0, 0), row(VISIT, 1, 0))
    stage.settle()
    stage.read()
    stage.source.delete(VISIT, row(VISIT, 1, 0))

    def back(call: str, _: TableName | None) -> None:
        if call == "present":
            stage.source.put(VISIT, row(VISIT, 1, 1))

    stage.source.before = back
    stage.settle()
    stage.source.before = None
    assert ops(stage) == []
    stage.settle()
    assert ops(stage) == [Op.UPDATE]
    stage.check()


def test_a_row_that_comes_back_while_a_snapshot_reads_is_created_afterwards(stage: Stage) -> None:
    """The snapshot did not read it, so its end sweeps it at the centre: the index must not hold it."""
    stage.source.put(VISIT, row(VISIT, 0, 0), row(VISIT, 1, 0))
    stage.settle()
    stage.source.delete(VISIT, row(VISIT, 1, 0))
    stage.runner.want_snapshot(VISIT)

    def back(call: str, _: TableName | None) -> None:
        if call == "present":
            stage.source.put(VISIT, row(VISIT, 1, 0))

    stage.source.before = back
    stage.settle()
    stage.source.before = None
    stage.reopen()
    stage.settle()
    stage.check()


class Hasty:
    """A source whose pages may say that a limit was met (time, bytes) even where no row was left."""

    def __init__(self, stage: Stage) -> None:
        self._source = stage.source
        self.present = stage.source.present

    def page(self, schema: TableSchema, after: bytes, until: bytes, limits: PageLimits) -> Page:
        page = self._source.page(schema, after, until, limits)
        return Page(page.rows, page.last, page.full or bool(page.last))


def test_a_limit_met_at_the_bound_of_a_shard_loses_no_deletion(stage: Stage) -> None:
    stage.source.put(VISIT, *(row(VISIT, k, 0) for k in range(8)))
    stage.settle()
    stage.read()
    first = shards(stage)[0]
    assert first.hi
    gone = min(stage.source.rows(VISIT))
    stage.source.delete(VISIT, gone)
    writer = StreamWriter(stage.spool, STREAM, SEAL, lambda: 1)
    one = Pass(
        "his",
        Hasty(stage),  # type: ignore[arg-type]
        writer,
        stage.files,
        ScanSettings(page_rows=2),
        tables.schema(VISIT),
        Facts(),
    )
    assert not RangeScan(one).step()
    assert ops(stage) == [Op.DELETE]


@pytest.mark.parametrize(("lacking", "waits"), [(51.0, True), (50.0, False)])
def test_a_snapshot_waits_for_what_cannot_be_read_just_now(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, lacking: float, waits: bool
) -> None:
    """Its end would sweep them; a few come back with the next diff."""
    stage.source.put(VISIT, *(row(VISIT, k, 0) for k in range(3)))
    stage.settle()
    whole = stage.source.page

    def page(schema: TableSchema, after: bytes, until: bytes, limits: PageLimits) -> Page:
        return replace(whole(schema, after, until, limits), lacking=lacking)

    monkeypatch.setattr(stage.source, "page", page)
    stage.runner.want_snapshot(VISIT)
    stage.go_round()
    assert stage.faults() == ({VISIT: "GC-2014"} if waits else {})
    marks = [event.header.mark for event in stage.read() if isinstance(event, Mark)]
    assert marks[-1] is (MarkKind.SNAPSHOT_BEGIN if waits else MarkKind.SNAPSHOT_END)
    monkeypatch.undo()
    stage.seconds += 10_000
    stage.settle()
    stage.check()
