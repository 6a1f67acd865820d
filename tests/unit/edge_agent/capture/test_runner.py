"""The runner, case by case: what a round does after faults, requests, epochs and mass deletions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from edge_agent.capture.runner import Runner, retry_seconds
from edge_agent.sources.included import is_included
from edge_agent.sources.memory import MemorySource
from edge_agent.sources.settings import SqlSettings
from edge_agent.sources.source import Source, TableInfo
from protocol.change import MarkKind, Op
from protocol.errors import Permanent, Rejected, Transient
from protocol.names import TableName

from ..keys import SEAL, STREAM
from ..reading import Change, Mark
from . import tables
from .replay import TableLog
from .stage import Stage, crash
from .tables import LOG, VISIT, row


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, page_rows=2)
    made.replay.tables |= {name: TableLog(keyed) for name, keyed in tables.KEYED.items()}
    made.source.create(tables.schema(VISIT), [row(VISIT, k, 0) for k in range(10)])
    yield made
    made.close()


def standing(stage: Stage, name: TableName = VISIT) -> int:
    stage.read()
    return stage.replay.tables[name].standing().total()


def marks(stage: Stage) -> list[tuple[MarkKind, str | None]]:
    events = [event.header for event in stage.read() if isinstance(event, Mark)]
    return [(h.mark, None if h.table_name is None else h.table_name.name) for h in events]


BEGIN, END = (MarkKind.SNAPSHOT_BEGIN, VISIT.name), (MarkKind.SNAPSHOT_END, VISIT.name)
INVENTORY = (MarkKind.INVENTORY, None)


def test_the_first_round_is_inventory_and_snapshot(stage: Stage) -> None:
    assert stage.go_round() is None
    assert marks(stage) == [INVENTORY, BEGIN, END]
    assert stage.go_round() is None
    assert marks(stage) == []
    report = stage.runner.report.tables[VISIT]
    assert (report.phase, report.rows, report.rows_estimate, report.fault) == ("follow", 10, 10, None)


def test_include_and_exclude_are_patterns_over_the_whole_name() -> None:
    settings = SqlSettings(url_env="X", include=("his.*", "lab"), exclude=("*.tmp_*",))
    names = {
        TableName("his", "dbo", "visit"): True,
        TableName("his", "dbo", "tmp_1"): False,
        TableName(None, None, "lab"): True,
        TableName(None, None, "LAB"): False,
        TableName(None, None, "labs"): False,
    }
    assert {name: is_included(settings, name) for name in names} == names


def test_a_source_without_included_tables_says_so_and_tells_its_inventory(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(update={"include": ()})
    stage.reopen()
    fault = stage.go_round()
    assert isinstance(fault, Rejected)
    assert fault.code == "GC-2012"
    assert marks(stage) == [INVENTORY]


def test_a_new_table_tells_the_inventory_again(stage: Stage) -> None:
    stage.settle()
    stage.read()
    stage.source.create(tables.schema(LOG))
    stage.settle()
    assert marks(stage) == [INVENTORY, (BEGIN[0], LOG.name), (END[0], LOG.name)]


# mass deletions (promise 8)


def test_a_table_does_not_vanish_bit_by_bit(stage: Stage) -> None:
    """Each interrupted pass began to count anew, and sent another share of what was left."""
    stage.settle()
    stage.source.delete(VISIT, *stage.source.rows(VISIT))
    for _ in range(6):
        stage.go_round()
        assert stage.faults() == {VISIT: "GC-2006"}
        stage.reopen()
    fault = stage.go_round() or stage.runner.report.tables[VISIT].fault
    assert fault is not None
    assert fault.facts["rows"] == 10
    assert standing(stage) >= 7
    stage.runner.confirm(VISIT)
    stage.go_round()
    assert (stage.faults(), standing(stage)) == ({}, 0)


def test_deletions_below_the_bound_are_counted_anew_after_each_complete_pass(stage: Stage) -> None:
    stage.settle()
    for k in range(10):
        stage.source.delete(VISIT, row(VISIT, k, 0))
        assert stage.go_round() is None
        assert stage.faults() == {}
        assert standing(stage) == 9 - k


def test_a_confirmation_covers_one_pass(stage: Stage) -> None:
    stage.source.create(tables.schema(LOG), [row(LOG, k, 0) for k in range(10)])
    for name in (VISIT, LOG):
        stage.settle()
        stage.source.delete(name, *stage.source.rows(name))
        stage.go_round()
        assert stage.faults() == {name: "GC-2006"}
        stage.runner.confirm(name)
        stage.go_round()
        assert stage.faults() == {}
        stage.source.put(name, *(row(name, k, 1) for k in range(10)))
        stage.settle()
        stage.source.delete(name, *stage.source.rows(name))
        stage.go_round()
        assert stage.faults() == {name: "GC-2006"}
        stage.settle()


def test_a_confirmed_deletion_goes_on_after_a_crash(stage: Stage) -> None:
    stage.settle()
    stage.source.delete(VISIT, *stage.source.rows(VISIT))
    stage.go_round()
    moment = 0
    while "confirmed" not in _facts(stage):  # until it dies behind a commit
        moment += 1
        stage.runner.confirm(VISIT)
        stage.go_round({moment: crash})
    stage.go_round()
    assert (stage.faults(), standing(stage), _facts(stage)) == ({}, 0, {})


def _facts(stage: Stage) -> dict[str, object]:
    state = stage.spool.table(STREAM, VISIT)
    assert state is not None
    return state.facts


def test_a_share_below_the_bound_ends_a_snapshot_without_asking(stage: Stage) -> None:
    """With the index at hand the end mark needs no guard of its own."""
    stage.settings = stage.settings.model_copy(update={"deletion_rows_min": 0, "deletion_share_max": 0.5})
    stage.reopen()
    stage.settle()
    stage.source.delete(VISIT, *(row(VISIT, k, 0) for k in range(4)))
    stage.runner.want_snapshot(VISIT)
    stage.read()
    stage.go_round()
    assert stage.faults() == {}
    assert marks(stage) == [BEGIN, END]


@pytest.mark.parametrize("keyed", [True, False])
def test_new_columns_do_not_hide_a_mass_deletion(stage: Stage, keyed: bool) -> None:
    name = VISIT if keyed else LOG
    stage.source.create(tables.schema(name), [row(name, k, 0) for k in range(10)])
    stage.settle()
    stage.source.create(tables.schema(name, True), [row(name, 0, 0, True)])
    stage.read()
    for _ in range(3):
        stage.go_round()
        assert stage.faults() == {name: "GC-2006"}
        stage.reopen()
    events = stage.read()
    assert [e.op for e in events if isinstance(e, Change) and e.table == name] == [Op.READ], "read once"
    assert MarkKind.SNAPSHOT_END not in [e.header.mark for e in events if isinstance(e, Mark)]
    stage.source.create(tables.schema(name), [row(name, 0, 0)])  # a second begin hides it no better
    stage.go_round()
    assert stage.faults() == {name: "GC-2006"}
    stage.settle()
    stage.check()


def test_a_damaged_index_does_not_hide_a_mass_deletion(stage: Stage) -> None:
    stage.settle()
    stage.source.delete(VISIT, *stage.source.rows(VISIT)[1:])
    for name in stage.index_names():
        stage.index_path(name).write_bytes(b"")
    stage.go_round()
    stage.go_round()
    assert stage.faults() == {VISIT: "GC-2006"}
    stage.settle()
    stage.check()


# interruptions


@pytest.mark.parametrize("moment", [7, 9, 11, 13, 15, 18, 22])
@pytest.mark.parametrize("name", [VISIT, LOG])
def test_what_changed_before_an_interrupted_pass_goes_on_is_found_at_once(
    stage: Stage, name: TableName, moment: int
) -> None:
    """What was read before the interruption is older than the token that the table has now."""
    stage.source.create(tables.schema(name), [row(name, k, 0) for k in range(10)])
    stage.go_round({moment: crash})
    stage.source.put(name, row(name, 0, 1))
    stage.settle()
    stage.check()


@pytest.mark.parametrize("moment", range(5, 40, 3))
def test_a_snapshot_reads_no_row_twice_however_it_is_interrupted(stage: Stage, moment: int) -> None:
    stage.go_round({moment: crash})
    stage.settle()
    assert sum(e.op is Op.READ for e in stage.read() if isinstance(e, Change)) == 10


def test_a_full_spool_ends_the_round_and_leaves_no_files(stage: Stage) -> None:
    stage.reopen(bytes_max=4_000)
    for _ in range(4):
        fault = stage.go_round()
        assert isinstance(fault, Transient)
        assert fault.code == "GC-3001"
        assert stage.index_names() <= stage.spool.files()
    stage.reopen()
    stage.settle()
    stage.check()


# epochs


@pytest.mark.parametrize("stopped", [False, True])
def test_a_new_epoch_begins_with_everything(stage: Stage, stopped: bool) -> None:
    stage.settle()
    stage.read()
    stage.new_epoch(stopped=stopped)
    stage.settle()
    assert marks(stage) == [INVENTORY, BEGIN, END]
    stage.check()


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("moment", [1, 2, 6, 9, 12, 15, 16, 17])
def test_an_epoch_that_ends_within_a_round_is_an_outage(stage: Stage, moment: int, stopped: bool) -> None:
    fault = stage.go_round({moment: partial(_end_epoch, stage, stopped)})
    if stopped or fault is not None:  # a new epoch that is there between two steps is simply followed
        assert isinstance(fault, Transient)
        assert fault.code == ("GC-3006" if stopped else "GC-3007")
    if stopped:
        stage.new_epoch()
    stage.settle()
    stage.check()


def _end_epoch(stage: Stage, stopped: bool) -> None:
    if stopped:
        stage.spool.stop(STREAM, 1, "GC-3006")
    else:
        stage.new_epoch(stopped=False)


# requests


def test_a_wanted_snapshot_is_read_even_if_nothing_changed(stage: Stage) -> None:
    stage.source.create(tables.schema(LOG), [row(LOG, 1, 0)])
    stage.settle()
    stage.read()
    stage.runner.want_snapshot(VISIT)
    stage.settle()
    assert marks(stage) == [BEGIN, END]
    stage.runner.want_snapshot(None)
    stage.settle()
    assert sorted(marks(stage)) == sorted([BEGIN, END, (BEGIN[0], LOG.name), (END[0], LOG.name)])
    stage.settle()
    assert marks(stage) == []
    stage.check()


def test_a_table_that_is_gone_is_dropped_only_when_confirmed(stage: Stage) -> None:
    stage.settle()
    stage.source.drop(VISIT)
    stage.source.create(tables.schema(LOG))
    stage.go_round()
    assert stage.faults() == {VISIT: "GC-2002"}
    assert standing(stage) == 10
    stage.runner.confirm(VISIT)
    stage.go_round()
    assert (stage.faults(), standing(stage)) == ({}, 0)
    stage.source.create(tables.schema(VISIT), [row(VISIT, 1, 0)])
    stage.settle()
    stage.check()


def test_of_a_table_that_is_gone_a_snapshot_says_that_it_was_dropped(stage: Stage) -> None:
    """The centre asks for one where it dropped what it had heard, the drop perhaps among it."""
    stage.settle()
    stage.source.drop(VISIT)
    stage.source.create(tables.schema(LOG))
    stage.go_round()
    stage.runner.confirm(VISIT)
    stage.go_round()
    stage.read()
    said = stage.replay.tables[VISIT].floor
    stage.runner.want_snapshot(VISIT)
    stage.go_round()
    stage.read()
    again = stage.replay.tables[VISIT].floor
    assert again > said
    assert stage.orders.wanted(stage.runner.slug, VISIT) is None
    stage.go_round()
    stage.read()
    assert stage.replay.tables[VISIT].floor == again, "once"


def test_a_table_that_went_while_the_epoch_changed_is_missed_all_the_same(stage: Stage) -> None:
    stage.settle()
    stage.source.drop(VISIT)
    stage.source.create(tables.schema(LOG))
    stage.new_epoch()
    stage.go_round()
    assert stage.faults() == {VISIT: "GC-2002"}
    stage.runner.confirm(VISIT)
    stage.go_round()
    assert (stage.faults(), standing(stage)) == ({}, 0)


def test_a_table_that_was_emptied_while_the_epoch_changed_waits_for_a_person(stage: Stage) -> None:
    stage.settle()
    stage.source.drop(VISIT)
    stage.source.create(tables.schema(VISIT))
    stage.new_epoch()
    stage.go_round()
    assert stage.faults() == {VISIT: "GC-2006"}
    stage.runner.confirm(VISIT)
    stage.settle()
    stage.check()


def test_one_table_s_fault_is_its_own(stage: Stage) -> None:
    stage.source.create(tables.schema(LOG), [row(LOG, 1, 0)])

    def refuse(call: str, table: TableName | None) -> None:
        if (call, table) == ("page", VISIT):
            raise Rejected("GC-2005", table=str(table))

    stage.source.before = refuse
    assert stage.go_round() is None
    assert stage.faults() == {VISIT: "GC-2005"}
    assert standing(stage, LOG) == 1
    assert stage.runner.report.last_pass is None
    stage.source.before = None
    stage.settle()
    stage.check()


# the loop


def runner_of(stage: Stage, opening: list[Exception]) -> Runner:
    def open_source() -> Source:
        if opening:
            raise opening.pop(0)
        return stage.source

    settings = stage.settings.model_copy(update={"scan_interval_seconds": 0.001})
    return Runner(
        slug=STREAM.source,
        settings=settings,
        open_source=open_source,
        spool=stage.spool,
        stream=STREAM,
        seal=SEAL,
        files=stage.files,
        wall=lambda: 1,
    )


async def until_captured(runner: Runner) -> None:
    while runner.report.last_pass is None:  # noqa: ASYNC110 (nothing tells of a pass)
        await asyncio.sleep(0.005)


async def test_the_loop_tries_a_source_again_that_could_not_be_opened(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.capture.runner.RETRY_SECONDS_MAX", 0.001)
    address = Permanent("GC-1004", key="sources.his.url_file", origin="missing")
    runner = runner_of(stage, [Transient("GC-2001", source="his", reason="away"), address])
    task = asyncio.create_task(runner.run())
    await asyncio.wait_for(until_captured(runner), 5)
    assert runner.report.fault is None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_snapshot_waits_while_much_is_unsent(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.capture.runner.BACKFILL_BACKLOG_BYTES", 0)
    runner = runner_of(stage, [])
    task = asyncio.create_task(runner.run())
    await asyncio.sleep(0.2)
    assert runner.report.last_pass is None
    while runner.report.last_pass is None:
        now = stage.spool.stream(STREAM)
        assert now is not None
        stage.spool.receipt(STREAM, 1, now.head_seq, now.head_hash, b"")
        await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_an_outage_of_days_is_still_retried() -> None:
    assert [retry_seconds(n) for n in (1, 2, 3, 10, 5_000)] == [2.0, 4.0, 8.0, 60.0, 60.0]


def test_a_pattern_that_fits_nothing_is_said(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(update={"include": (str(VISIT), "*.vsit")})
    stage.reopen()
    stage.settle()
    assert [str(fault.facts["pattern"]) for fault in stage.runner.report.unmatched] == ["*.vsit"]
    stage.source.drop(VISIT)
    stage.settle()
    assert len(stage.runner.report.unmatched) == 1, "a table that was captured is spoken of by itself"


async def test_a_source_that_hangs_holds_up_neither_the_loop_nor_its_end(stage: Stage) -> None:
    """One thread a source: the loop's own few were all taken by as many sources that hung."""
    hanging, freed = threading.Event(), threading.Event()

    class Hanging(MemorySource):
        def inventory(self) -> list[TableInfo]:
            hanging.set()
            freed.wait()
            return super().inventory()

        def interrupt(self) -> None:
            freed.set()

    source = Hanging()
    runner = runner_of(stage, [])
    runner.source = source
    task = asyncio.create_task(runner.run())
    assert await asyncio.to_thread(hanging.wait, 5)
    names = [thread.name for thread in threading.enumerate()]
    assert f"source {STREAM.source}_0" in names
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await asyncio.wait_for(runner.close(), 5)
    assert freed.is_set()
