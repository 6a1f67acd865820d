"""Polls and windows, rule by rule (capture.md section 5), over a source in memory.

| rule | test |
|---|---|
| rows that commit out of order are found within the overlap | test_a_poll_finds_what_committed_within_the_overlap |
| a poll is never complete: nulls, cursors that did not move, deletions | test_what_a_poll_misses_the_next_scan_finds |
| a poll never tells a deletion | test_what_a_poll_misses_the_next_scan_finds |
| what a poll found is in the index at once | test_nothing_is_sent_twice_by_poll_window_and_scan, test_ways.py |
| a deletion is believed only after a point re-read | test_a_row_that_left_the_window_is_not_deleted |
| a share of deletions waits for a person | test_a_recent_range_that_vanishes_waits_for_a_person |
| rows that move between shards during a scan | test_ways.py |
| a value of the year 9999 must not end polling | test_a_cursor_from_the_far_future_does_not_end_polling |
| tables without a usable key, unknown or unordered columns | test_what_cannot_be_followed_says_so_and_is_scanned |
| scans keep to their hours | test_outside_its_hours_nothing_is_scanned_and_polls_go_on |
| freshness is told from scans alone | test_freshness_is_that_of_the_table_whose_scan_is_oldest |
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from edge_agent.capture.reports import TableReport
from edge_agent.capture.rhythm import Task
from edge_agent.sources.settings import TableSettings
from protocol.canonical import decode
from protocol.change import Op
from protocol.names import TableName
from protocol.schema import Column, TableSchema

from ..keys import STREAM
from ..reading import Change
from .replay import TableLog
from .stage import Stage, crash

VISIT, WARD = TableName(None, None, "visit"), TableName(None, None, "ward")
COLUMNS = (
    Column("id", pa.string()),
    Column("moved", pa.timestamp("us")),
    Column("day", pa.date32()),
    Column("v", pa.string()),
    Column("ratio", pa.float64()),
)
SCHEMA = TableSchema(VISIT, COLUMNS, ("id",))
NOW = datetime(2024, 5, 6, 12, 0)  # a Monday noon in Shanghai
DAY = timedelta(days=1)
BOTH: dict[str, Any] = {
    "scan_interval_seconds": 1_000.0,
    "cursor": "moved",
    "poll_seconds": 5.0,
    "overlap_seconds": 60.0,
    "window": "day",
    "window_days": 3.0,
    "window_seconds": 30.0,
}


def row(key: str, minutes: float = 0, days: int = 0, value: str = "x") -> tuple[Any, ...]:
    return key, NOW + timedelta(minutes=minutes), NOW.date() + days * DAY, value, 0.5


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, page_rows=3, deletion_rows_min=3)
    made.begin_at(NOW.replace(tzinfo=UTC) - timedelta(hours=8))
    made.replay.tables |= {name: TableLog(keyed=True) for name in (VISIT, WARD)}
    made.source.create(SCHEMA, [row(f"k{i:02d}", minutes=-100 + i, days=-i // 2) for i in range(10)])
    yield made
    made.close()


def follow(stage: Stage, **settings: Any) -> None:
    """These settings for the table, and one complete scan."""
    tables = {"visit": TableSettings(**settings)}
    stage.settings = stage.settings.model_copy(update={"tables": tables})
    stage.reopen()
    stage.settle()
    stage.keys_ever(VISIT)
    stage.read()


def sent(stage: Stage, seconds: float = 0) -> list[tuple[str, str]]:
    """What is sent of all that is due after so many seconds: operation and key."""
    stage.seconds += seconds
    assert stage.work() is None
    return seen(stage)


def seen(stage: Stage) -> list[tuple[str, str]]:
    keys = {digest: key for key, digest in stage.keys_ever(VISIT).items()}
    return [(e.op.value, decode(keys[e.key])[0]) for e in stage.read() if isinstance(e, Change)]


def poll_only(**more: Any) -> dict[str, Any]:
    return {k: v for k, v in BOTH.items() if not k.startswith("window")} | more


def window_only(**more: Any) -> dict[str, Any]:
    names = ("cursor", "poll_seconds", "overlap_seconds")
    return {k: v for k, v in BOTH.items() if k not in names} | more


def report(stage: Stage) -> TableReport:
    return stage.runner.report.tables[VISIT]


# polls


def test_a_poll_tells_a_new_row_from_a_changed_one(stage: Stage) -> None:
    follow(stage, **poll_only())
    stage.source.put(VISIT, row("new", 1), row("k03", 2, value="y"), row("k04", 3, days=-2))
    assert sent(stage, 5) == [("c", "new"), ("u", "k03"), ("u", "k04")]
    assert sent(stage, 5) == []
    stage.source.put(VISIT, row("new", 4, value="z"))
    assert sent(stage, 5) == [("u", "new")]
    assert report(stage).done[Task.POLL] > report(stage).done[Task.SCAN]


def test_a_poll_finds_what_committed_within_the_overlap(stage: Stage) -> None:
    """A transaction that took its time stamp before others, and committed after them."""
    follow(stage, **poll_only())
    stage.source.put(VISIT, row("late", 10))
    sent(stage, 5)
    stage.source.put(VISIT, row("within", 9), row("beyond", 8.9))
    assert sent(stage, 5) == [("c", "within")]
    stage.settle()
    assert seen(stage) == [("c", "beyond")]


def test_what_a_poll_misses_the_next_scan_finds(stage: Stage) -> None:
    follow(stage, **poll_only())
    null = ("null", None, NOW.date(), "x", 0.5)
    stage.source.put(VISIT, null, row("k05", -95, value="unmoved"))
    stage.source.delete(VISIT, stage.source.rows(VISIT)[0])
    assert sent(stage, 5) == []
    stage.seconds += 1_000
    assert sorted(sent(stage)) == [("c", "null"), ("d", "k00"), ("u", "k05")]
    stage.check()


def test_a_poll_goes_on_after_a_kill_where_it_was(stage: Stage) -> None:
    follow(stage, **poll_only())
    for moment in range(1, 25):
        stage.source.put(VISIT, *(row(f"k{i:02d}", moment + i / 100, value=f"{moment}") for i in range(10)))
        stage.seconds += 5
        stage.work({moment: crash})
        for _ in range(3):
            stage.seconds += 5
            stage.work()
        assert sorted(seen(stage)) == [("u", f"k{i:02d}") for i in range(10)], moment


def test_a_cursor_from_the_far_future_does_not_end_polling(stage: Stage) -> None:
    wrong = ("wrong", datetime(9999, 12, 31), NOW.date(), "x", 0.5)
    stage.source.put(VISIT, wrong)
    follow(stage, **poll_only())
    stage.source.put(VISIT, row("new", 1), ("wrong2", datetime(2300, 1, 1), NOW.date(), "x", 0.5))
    assert sent(stage, 5) == [("c", "new"), ("c", "wrong2")]
    stage.source.put(VISIT, row("newer", 2))
    assert sent(stage, 5) == [("c", "newer")]


def test_polling_begins_before_the_snapshot_is_read(stage: Stage) -> None:
    """What changed while the first snapshot was read is in the first poll, though it was behind its cursor."""
    tables = {"visit": TableSettings(**poll_only())}
    stage.settings = stage.settings.model_copy(update={"tables": tables})
    stage.reopen()
    while stage.spool.rows_indexed(STREAM, VISIT) < 6:
        stage.work(turns=1)
    stage.source.put(VISIT, row("k00", 1, value="changed"))
    while Task.SCAN not in report(stage).done:
        stage.work(turns=1)
    stage.read()
    assert sent(stage, 5) == [("u", "k00")]


# windows


def test_a_window_finds_creations_updates_and_deletions_in_it(stage: Stage) -> None:
    follow(stage, **window_only())
    sent(stage, 30)
    stage.source.put(
        VISIT, row("new", days=-1), row("k01", value="y"), row("old", days=-9), row("k09", value="y", days=-5)
    )
    stage.source.delete(VISIT, *(r for r in stage.source.rows(VISIT) if r[0] in ("k02", "k08")))
    assert sorted(sent(stage, 30)) == [("c", "new"), ("d", "k02"), ("u", "k01")]
    assert sent(stage, 30) == []
    stage.source.put(VISIT, row("k02", days=-1))
    assert sent(stage, 30) == [("c", "k02")], "deleted, and back"
    stage.settle()
    assert sorted(seen(stage)) == [("c", "old"), ("d", "k08"), ("u", "k09")]
    stage.check()


def test_a_row_that_left_the_window_is_not_deleted(stage: Stage) -> None:
    follow(stage, **window_only())
    sent(stage, 30)
    stage.source.put(VISIT, row("k01", days=-30, value="moved out"))
    assert sent(stage, 30) == [], "the old row left; the new one is no longer in the window"
    stage.later(timedelta(days=10))
    assert sent(stage, 30) == [], "all of them left by age"
    stage.settle()
    assert seen(stage) == [("u", "k01")]
    stage.check()


def test_a_recent_range_that_vanishes_waits_for_a_person(stage: Stage) -> None:
    follow(stage, **window_only())
    sent(stage, 30)
    recent = [r for r in stage.source.rows(VISIT) if r[2] > NOW.date() - 4 * DAY]
    stage.source.delete(VISIT, *recent)
    stage.source.put(VISIT, row("new"))
    for _ in range(2):
        assert sent(stage, 30) in ([("c", "new")], [])
        assert report(stage).faults[Task.WINDOW].code == "GC-2006"
        assert Task.SCAN not in report(stage).faults
        stage.reopen()
        stage.work(turns=2)
    stage.work()
    assert report(stage).faults[Task.WINDOW].code == "GC-2006"
    stage.runner.confirm(VISIT)
    assert sorted(sent(stage)) == [("d", r[0]) for r in sorted(recent)]
    assert report(stage).faults == {}
    stage.check()


def test_a_window_remembers_over_a_restart_what_it_saw(stage: Stage) -> None:
    follow(stage, **window_only(scan_interval_seconds=1_000_000.0))
    sent(stage, 30)
    stage.source.delete(VISIT, stage.source.rows(VISIT)[1])
    stage.reopen()
    assert sent(stage) == [("d", "k01")]
    stage.check_files()


@pytest.mark.parametrize("rows_max", [2, 3])
def test_a_window_that_holds_too_much_says_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    monkeypatch.setattr("edge_agent.capture.window.WINDOW_ROWS_MAX", rows_max)
    follow(stage, **window_only(window_days=1.0))
    sent(stage, 30)
    codes = [fault.code for fault in report(stage).faults.values()]
    assert codes == (["GC-2025"] if rows_max == 2 else [])


# both, with scans


def test_nothing_is_sent_twice_by_poll_window_and_scan(stage: Stage) -> None:
    follow(stage, **BOTH)
    sent(stage, 30)
    stage.source.put(VISIT, row("new", 1), row("k01", 2, value="y"))
    assert sorted(sent(stage, 30)) == [("c", "new"), ("u", "k01")]
    stage.source.delete(VISIT, row("new", 1))
    assert sent(stage, 30) == [("d", "new")]
    stage.seconds += 1_000
    assert sent(stage) == []
    stage.check()


def test_a_poll_goes_on_while_a_scan_of_the_table_is_under_way(stage: Stage) -> None:
    follow(stage, **poll_only())
    stage.source.put(VISIT, row("k00", -99, value="unmoved"))
    stage.seconds += 1_000
    stage.work(turns=3)
    before = report(stage).done[Task.SCAN]
    stage.source.put(VISIT, row("k01", 1, value="polled"), row("k09", 2, value="polled"))
    stage.seconds += 5
    found: list[tuple[str, str]] = []
    while ("u", "k09") not in found:
        stage.work(turns=1)
        found += seen(stage)
    assert report(stage).done[Task.SCAN] == before, "found by the poll"
    stage.work()
    assert sorted(found + seen(stage)) == [("u", "k00"), ("u", "k01"), ("u", "k09")]
    stage.settle()
    stage.check()


def test_a_table_does_not_wait_for_the_snapshot_of_another(stage: Stage) -> None:
    follow(stage, **poll_only())
    big = TableSchema(WARD, COLUMNS, ("id",))
    stage.source.create(big, [row(f"w{i:03d}") for i in range(100)])
    stage.runner.hint()
    stage.work(turns=5)
    stage.source.put(VISIT, row("new", 1))
    stage.seconds += 5
    stage.work(turns=2)
    assert stage.runner.report.tables[WARD].phase == "snapshot"
    assert [e.key for e in stage.read() if isinstance(e, Change) and e.table == VISIT and e.op is Op.CREATE]


# what cannot be followed


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("GC-2020", {"cursor": "nowhere"}),
        ("GC-2021", {"cursor": "ratio"}),
        ("GC-2024", {"cursor": "v"}),
        ("GC-2020", {"window": "nowhere", "window_days": 1.0}),
        ("GC-2021", {"window": "ratio", "window_days": 1.0}),
        ("GC-2023", {"window": "day", "window_span": 10}),
        ("GC-2024", {"window": "v", "window_days": 1.0}),
    ],
)
def test_what_cannot_be_followed_says_so_and_is_scanned(
    stage: Stage, code: str, settings: dict[str, Any]
) -> None:
    follow(stage, **settings)
    sent(stage, 30)
    assert [fault.code for fault in report(stage).faults.values()] == [code]
    stage.source.put(VISIT, row("new", 1))
    assert sent(stage, 10) == [("c", "new")]
    stage.check()


def test_a_table_without_a_key_says_so(stage: Stage) -> None:
    stage.source.create(TableSchema(VISIT, COLUMNS, ()), [row("a")])
    stage.replay.tables[VISIT] = TableLog(keyed=False)
    follow(stage, cursor="moved")
    stage.seconds += 5
    stage.work()
    assert report(stage).faults[Task.POLL].code == "GC-2022"


# hours and freshness


def test_outside_its_hours_nothing_is_scanned_and_polls_go_on(stage: Stage) -> None:
    follow(stage, **poll_only(scan_interval_seconds=10.0))
    stage.settings = stage.settings.model_copy(update={"scan_hours": ("Mon-Fri 20:00-06:00",)})
    stage.reopen()
    stage.work()
    stage.source.put(VISIT, row("moved", 1), row("k05", -95, value="unmoved"))
    assert sent(stage, 60) == [("c", "moved")]
    assert stage.runner.report.closed
    stage.later(timedelta(hours=9))
    assert sent(stage, 60) == [("u", "k05")]
    assert not stage.runner.report.closed


def test_a_scan_pauses_where_its_hours_end(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(update={"scan_hours": ("Mon 11:00-13:00",)})
    stage.reopen()
    stage.work(turns=3)
    rows = stage.spool.rows_indexed(STREAM, VISIT)
    assert 0 < rows < 10
    stage.later(timedelta(hours=2))
    stage.work()
    assert stage.spool.rows_indexed(STREAM, VISIT) == rows
    stage.later(timedelta(days=7) - timedelta(minutes=90))
    stage.work()
    assert stage.spool.rows_indexed(STREAM, VISIT) == 10


def test_freshness_is_that_of_the_table_whose_scan_is_oldest(stage: Stage) -> None:
    stage.source.create(TableSchema(WARD, COLUMNS, ("id",)), [row("w")])
    follow(stage, **poll_only(scan_interval_seconds=100.0))
    times: list[int | None] = []
    for _ in range(4):
        stage.later(timedelta(seconds=30))
        stage.source.put(VISIT, row("new", len(times)))
        sent(stage, 30)
        times.append(stage.runner.report.last_pass)
    done = {name: t.done[Task.SCAN] for name, t in stage.runner.report.tables.items()}
    assert times[0] == times[1] == times[2], (
        "the poll of a table advances nothing, nor does the scan of another"
    )
    assert times[3] is not None
    assert times[2] is not None
    assert times[3] > times[2]
    assert times[3] <= min(done.values())


def test_a_table_that_is_scanned_rarely_is_not_scanned_because_of_a_restart(stage: Stage) -> None:
    follow(stage, scan_interval_seconds=3_600.0)
    stage.source.put(VISIT, row("new"))
    stage.reopen()
    stage.later(timedelta(minutes=50))
    assert sent(stage) == []
    fresh = stage.runner.report.last_pass
    stage.later(timedelta(minutes=11))
    assert sent(stage, 660) == [("c", "new")]
    assert stage.runner.report.last_pass is not None
    assert fresh is not None
    assert stage.runner.report.last_pass > fresh
