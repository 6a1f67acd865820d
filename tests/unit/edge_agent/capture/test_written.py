"""When a table is scanned of which a log has told that something was written to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.capture.rhythm import Task
from edge_agent.capture.steps import VISIBLE_SECONDS, WRITTEN_FACTOR
from protocol.names import TableName

from . import tables
from .replay import TableLog
from .stage import Stage
from .tables import LOG, VISIT, row

IN_THE_SCAN = 7
"""A moment of a round, between two pages."""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, page_rows=2)
    made.replay.tables |= {name: TableLog(keyed) for name, keyed in tables.KEYED.items()}
    made.source.create(tables.schema(VISIT), [row(VISIT, k, 0) for k in range(10)])
    made.settle()
    yield made
    made.close()


def due(stage: Stage, table: TableName = VISIT) -> float:
    """In so many seconds it is scanned."""
    return stage.runner._rhythm._due[table, Task.SCAN] - stage.seconds


def written(stage: Stage, *names: TableName) -> None:
    stage.runner._steps.written(names or (VISIT,))


def test_it_is_scanned_as_soon_as_statements_see_it(stage: Stage) -> None:
    assert due(stage) > 1
    written(stage)
    assert due(stage) == VISIBLE_SECONDS


def test_one_whose_scans_take_long_is_scanned_some_times_as_long_after(stage: Stage) -> None:
    def slow() -> None:
        stage.seconds += 1

    stage.source.put(VISIT, row(VISIT, 3, 1))
    stage.seconds += 60
    stage.go_round({IN_THE_SCAN: slow})
    written(stage)
    assert due(stage) == WRITTEN_FACTOR * 1.0


def test_what_is_written_during_a_scan_counts_from_its_end(stage: Stage) -> None:
    def busy() -> None:
        written(stage)
        stage.seconds += 1

    stage.source.put(VISIT, row(VISIT, 3, 1))
    stage.seconds += 60
    stage.go_round({IN_THE_SCAN: busy})
    assert due(stage) == WRITTEN_FACTOR * 1.0
    stage.seconds += 60
    stage.go_round()
    assert due(stage) > WRITTEN_FACTOR, "that was seen to"


def test_one_that_cannot_be_scanned_is_tried_no_sooner_for_it(stage: Stage) -> None:
    stage.source.delete(VISIT, *stage.source.rows(VISIT))
    stage.seconds += 60
    stage.go_round()
    assert stage.faults() == {VISIT: "GC-2006"}
    before = due(stage)
    written(stage)
    assert due(stage) == before > VISIBLE_SECONDS


def test_one_that_rests_goes_on_resting(stage: Stage) -> None:
    stage.runner._rhythm.rest((VISIT, Task.SCAN), stage.seconds + 100)
    written(stage)
    assert due(stage) == 100


def test_a_table_that_is_not_scanned_becomes_no_job(stage: Stage) -> None:
    written(stage, LOG)
    assert (LOG, Task.SCAN) not in stage.runner._rhythm.jobs
    assert (LOG, Task.SCAN) not in stage.runner._rhythm._asked


async def test_what_rests_in_one_turn_has_each_its_rest(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.seconds = 10.0
    await stage.runner._rest(2.0, follows=True)
    await stage.runner._rest(0.5, follows=True)
    assert stage.runner._rests_until == 12.5
    stage.close()
