"""Whole reads, case by case: multisets and keyed files, interrupted at every moment, and their deletions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.capture import whole
from edge_agent.capture.facts import Facts, Progress
from edge_agent.capture.scan import Pass, ScanSettings
from edge_agent.capture.snapshot import begin
from edge_agent.capture.whole import WholeScan
from edge_agent.capture.writer import StreamWriter
from edge_agent.sources import memory
from protocol.change import Op
from protocol.errors import Rejected, Transient
from protocol.names import TableName

from ..keys import SEAL, STREAM
from ..reading import Change
from . import tables
from .replay import TableLog
from .stage import Stage, crash
from .tables import LOG, VISIT, row


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SLICE_ROWS", 2)
    monkeypatch.setattr(whole, "DELETES_PER_STEP", 2)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, deletion_rows_min=100)
    made.replay.tables |= {LOG: TableLog(False), VISIT: TableLog(True)}
    yield made
    made.close()


def sent(stage: Stage) -> Counter[Op]:
    return Counter(event.op for event in stage.read() if isinstance(event, Change))


def test_equal_rows_count_as_often_as_they_stand(stage: Stage) -> None:
    stage.source.create(tables.schema(LOG), [row(LOG, 1, 0)] * 3 + [row(LOG, 2, 0)])
    stage.settle()
    assert sent(stage) == {Op.READ: 4}
    stage.source.delete(LOG, row(LOG, 1, 0), row(LOG, 1, 0))
    stage.source.put(LOG, row(LOG, 2, 0))
    stage.settle()
    assert sent(stage) == {Op.CREATE: 1, Op.DELETE: 2}
    stage.check()


@pytest.mark.parametrize("moment", range(1, 40))
def test_a_pass_that_dies_goes_on_without_counting_twice(stage: Stage, moment: int) -> None:
    stage.source.create(tables.schema(LOG), [row(LOG, k % 3, 0) for k in range(5)])
    stage.settle()
    sent(stage)
    stage.source.delete(LOG, *(row(LOG, k % 3, 0) for k in range(5)))
    stage.source.put(LOG, *(row(LOG, 3 + k % 2, 0) for k in range(5)))
    assert stage.go_round({moment: crash}) is None
    stage.source.put(LOG, row(LOG, 9, 1))  # after the statement: found by the next pass
    stage.settle()
    stage.settle()
    assert sent(stage) == {Op.CREATE: 6, Op.DELETE: 5}
    stage.check()
    assert stage.index_names() == stage.spool.files()


def test_what_is_unchanged_leaves_nothing_behind(stage: Stage) -> None:
    stage.source.create(tables.schema(LOG), [row(LOG, 1, 0)])
    stage.settle()
    before, files = stage.spool.stream(STREAM), stage.index_names()
    stage.reopen()
    stage.settle()
    after = stage.spool.stream(STREAM)
    assert before is not None
    assert after is not None
    # a new process tells its inventory again, and nothing else
    assert after.head_seq == before.head_seq + 1
    assert stage.index_names() == files


# A file with a key is read whole and matched by key.


def run(stage: Stage, facts: Facts) -> Pass:
    writer = StreamWriter(stage.spool, STREAM, SEAL, lambda: 1)
    one = Pass("his", stage.source, writer, stage.files, ScanSettings(), tables.schema(VISIT), facts)
    scan = WholeScan(one)
    while not scan.step():
        pass
    return one


def begun(stage: Stage, *, keep_index: bool = False) -> Facts:
    writer = StreamWriter(stage.spool, STREAM, SEAL, lambda: 1)
    return begin(writer, tables.schema(VISIT), "test", keep_index=keep_index, confirmed=False)


def test_a_keyed_whole_is_matched_by_key(stage: Stage) -> None:
    stage.source.create(tables.schema(VISIT), [row(VISIT, k, 0) for k in range(5)])
    done = run(stage, begun(stage))
    assert done.facts.progress is not None
    assert (done.facts.progress.rows, done.facts.progress.complete, done.facts.reading) == (5, True, None)
    assert sent(stage) == {Op.READ: 5}
    stage.source.delete(VISIT, *(row(VISIT, k, 0) for k in range(3)))
    stage.source.put(VISIT, row(VISIT, 3, 1), row(VISIT, 9, 0))
    done = run(stage, Facts(confirmed=True))
    assert done.facts == Facts(), "a confirmation ends with the pass"
    assert sent(stage) == {Op.CREATE: 1, Op.UPDATE: 1, Op.DELETE: 3}
    state = stage.spool.table(STREAM, VISIT)
    assert state is not None
    assert state.facts == {}
    assert stage.replay.tables[VISIT].standing() == stage.expected(VISIT)


def test_a_snapshot_of_a_keyed_whole_deletes_what_vanished(stage: Stage) -> None:
    stage.source.create(tables.schema(VISIT), [row(VISIT, k, 0) for k in range(5)])
    run(stage, begun(stage))
    sent(stage)
    stage.source.delete(VISIT, *(row(VISIT, k, 0) for k in range(3)))
    done = run(stage, begun(stage, keep_index=True))
    assert sent(stage) == {Op.READ: 2, Op.DELETE: 3}
    assert isinstance(done.facts.progress, Progress)
    assert (done.facts.progress.rows, done.facts.progress.batches) == (2, 3)


def test_a_key_that_stands_twice_stops_the_table_and_leaves_no_file(stage: Stage) -> None:
    stage.source.create(tables.schema(VISIT), [row(VISIT, 1, 0), row(VISIT, 1, 1)])
    with pytest.raises(Rejected, match="GC-2005"):
        run(stage, begun(stage))
    assert stage.index_names() == set()


def test_a_fault_of_the_source_leaves_no_file(stage: Stage) -> None:
    stage.source.create(tables.schema(VISIT), [row(VISIT, 1, 0)])

    def fail(call: str, _: TableName | None) -> None:
        raise Transient("GC-2001", source="his", reason=call)

    facts = begun(stage)
    stage.source.before = fail
    with pytest.raises(Transient, match="GC-2001"):
        run(stage, facts)
    assert stage.index_names() == set()
