"""What was asked of capture: done once, whatever dies in between; a paused source is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_agent.capture.runner import Runner
from edge_agent.orders import Pause
from protocol.change import MarkKind
from protocol.names import TableName

from ..keys import SEAL, STREAM
from ..reading import Mark
from . import tables
from .replay import TableLog
from .stage import Stage, crash
from .tables import LOG, VISIT, row

HIS = STREAM.source
LOCAL = Pause(7, "local")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, page_rows=2)
    made.replay.tables |= {name: TableLog(keyed) for name, keyed in tables.KEYED.items()}
    made.source.create(tables.schema(VISIT), [row(VISIT, k, 0) for k in range(10)])
    yield made
    made.close()


def begun(stage: Stage) -> list[str | None]:
    """The ids of the snapshots that began since it was read last."""
    marks = [event.header for event in stage.read() if isinstance(event, Mark)]
    return [m.snapshot for m in marks if m.mark is MarkKind.SNAPSHOT_BEGIN]


def pause(stage: Stage) -> None:
    stage.orders.take(lambda book: book.pausing(HIS, LOCAL))


def resume(stage: Stage) -> None:
    stage.orders.take(lambda book: book.resuming(HIS, "local"))


def test_a_wanted_snapshot_begins_once_wherever_the_agent_dies(stage: Stage) -> None:
    stage.settle()
    moment = 0
    dead = True
    while dead:
        moment += 1
        stage.read()
        stage.runner.want_snapshot(VISIT)
        wanted = stage.orders.wanted(HIS, VISIT)
        before = stage.runner
        assert stage.go_round({moment: crash}) is None
        dead = stage.runner is not before
        stage.settle()
        assert begun(stage) == [wanted], f"died at moment {moment}"
        assert stage.orders.wanted(HIS, VISIT) is None
    assert moment > 10
    stage.check()


def test_one_killed_between_the_begin_mark_and_its_note_does_not_begin_again(stage: Stage) -> None:
    stage.settle()
    stage.read()
    stage.runner.want_snapshot(VISIT)
    book = stage.orders.book
    for moment in range(2, 20):
        stage.go_round({moment: crash})
        if stage.orders.wanted(HIS, VISIT) is None:
            break
    stage.orders.take(lambda _: book)  # as if the note had not reached the disk
    stage.settle()
    assert begun(stage) == [book.snapshots[HIS, VISIT]]


def test_a_confirmation_is_not_lost_wherever_the_agent_dies(stage: Stage) -> None:
    stage.settle()
    for moment in range(1, 12):
        stage.source.delete(VISIT, *stage.source.rows(VISIT))
        stage.go_round()
        assert stage.faults() == {VISIT: "GC-2006"}
        stage.runner.confirm(VISIT)
        stage.go_round({moment: crash})
        for _ in range(3):
            assert stage.go_round() is None
        assert stage.faults() == {}, f"died at moment {moment}"
        assert not stage.orders.is_confirmed(HIS, VISIT)
        stage.source.put(VISIT, *(row(VISIT, k, 0) for k in range(10)))
        stage.settle()
        stage.check()


def test_a_new_epoch_s_snapshot_is_the_one_that_was_wanted(stage: Stage) -> None:
    stage.settle()
    stage.runner.want_snapshot(VISIT)
    stage.new_epoch()
    stage.settle()
    assert len(begun(stage)) == 1
    assert stage.orders.book.snapshots == {}


def test_a_paused_source_is_not_read(stage: Stage) -> None:
    stage.settle()
    stage.read()
    pause(stage)
    read: list[object] = []
    stage.source.before = lambda *what: read.append(what)
    stage.source.put(VISIT, row(VISIT, 0, 1))
    stage.reopen()
    for _ in range(2):
        assert stage.go_round() is None
    assert (read, stage.read()) == ([], [])
    resume(stage)
    stage.source.before = None
    stage.settle()
    stage.check()


@pytest.mark.parametrize("name", [VISIT, LOG])
def test_a_pause_ends_a_snapshot_between_two_steps_and_it_goes_on_from_there(
    stage: Stage, name: TableName
) -> None:
    stage.source.create(tables.schema(name), [row(name, k, 0) for k in range(10)])
    stage.settle()
    stage.read()
    stage.runner.want_snapshot(name)
    for moment in range(2, 20):
        stage.go_round({moment: lambda: pause(stage)})
        state = stage.spool.table(STREAM, name)
        if state is not None and state.facts.get("progress", {}).get("rows"):
            break
        resume(stage)
    assert len(begun(stage)) == 1
    paused_at = stage.spool.stream(STREAM)
    for _ in range(2):
        stage.reopen()
        stage.go_round()
    assert stage.spool.stream(STREAM) == paused_at
    assert paused_at is not None
    state = stage.spool.table(STREAM, name)
    assert state is not None
    assert "progress" in state.facts, "in the middle of it"
    resume(stage)
    stage.settle()
    assert begun(stage) == []
    stage.check()


async def test_the_loop_rests_while_paused_and_goes_on_when_resumed(stage: Stage) -> None:
    runner = Runner(
        slug=HIS,
        settings=stage.settings.model_copy(update={"scan_interval_seconds": 60.0}),
        open_source=lambda: stage.source,
        spool=stage.spool,
        stream=STREAM,
        seal=SEAL,
        files=stage.files,
        wall=lambda: 1,
        orders=stage.orders,
    )
    stage.orders._changed = runner.hint
    pause(stage)
    task = asyncio.create_task(runner.run())
    await asyncio.sleep(0.05)
    assert (runner.source, runner.report.last_pass, runner.report.fault) == (None, None, None)
    resume(stage)
    async with asyncio.timeout(5):
        while runner.report.last_pass is None:  # noqa: ASYNC110 (nothing tells of a pass)
            await asyncio.sleep(0.005)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
