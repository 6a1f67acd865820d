"""That the benches still run: one site, few rows, no rival. What the figures are is nobody's concern here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import latency, report, visits
from bench.delta_log import DeltaLog
from bench.landed import Run
from bench.processes import Usage, usage_of
from tests.servers import require_server


def test_a_bench_runs_to_its_table() -> None:
    require_server("mosquitto")
    require_server("openssl")
    found = latency.run(0.25)
    assert found.rows == 500
    assert len(found.receipted) == len(found.queryable) == 5
    assert set(found.usages) == {"centre", "agent", "broker"}
    assert all(use.peak_bytes > 1_000_000 for use in found.usages.values())
    assert "| receipted |" in report.latency(found)


def test_rows_are_the_same_every_time_and_their_visits_are_distinct() -> None:
    distinct, rows = visits.SLICE_ROWS, 2 * visits.SLICE_ROWS
    first, again = list(visits.slices(rows, distinct)), list(visits.slices(rows, distinct))
    assert first == again
    numbers = [number for part in first for number in part.column(0).to_pylist()]
    assert numbers == list(range(1, rows + 1))
    assert len({key for part in first for key in part.column(25).to_pylist()}) == rows


def test_usage_is_what_the_kernel_counts() -> None:
    before = usage_of(os.getpid())
    sum(i * i for i in range(2_000_000))
    assert usage_of(os.getpid()).since(before).cpu_seconds > 0


def test_a_watched_log_counts_what_its_entries_add(tmp_path: Path) -> None:
    log = DeltaLog(tmp_path, "visit")
    assert not log.poll()
    entries = tmp_path / "changes" / "visit-1" / "_delta_log"
    entries.mkdir(parents=True)
    add = '{"add":{"path":"p","stats":"{\\"numRecords\\":3,\\"maxValues\\":{\\"_gc_seq\\":7}}"}}\n'
    (entries / f"{0:020}.json").write_text('{"commitInfo":{}}\n' + add)
    assert log.has(3)
    assert not log.has(4)
    (entries / f"{1:020}.json").write_text(add)
    assert log.has(6)
    assert log.last_seq == 7


def test_a_table_tells_medians_ratios_and_whether_the_goal_is_met() -> None:
    def runs(*seconds: float) -> list[Run]:
        return [Run(1_000_000, one, {"centre": Usage(2, 2**20), "agent": Usage(1, 2**21)}) for one in seconds]

    text = report.landed([("one core", "ours", runs(4, 1, 8)), ("one core", "plain", runs(2, 2, 2))])
    assert "| one core | ours | 250,000 | 1 | 3.0 (centre 2.0, agent 1.0) | centre 1, agent 2 |" in text
    assert "| one core | plain | 500,000 | 2.00 |" in text
    assert "- met: 200,000 rows/s on one core (250,000 rows/s)" in text


def test_figures_replace_what_stands_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n{report.BEGIN}\nold\n{report.END}\nbelow\n")
    report.write(page, "new")
    assert page.read_text() == f"above\n{report.BEGIN}\nnew\n{report.END}\nbelow\n"
    page.write_text("no marks\n")
    with pytest.raises(ValueError, match="no lines"):
        report.write(page, "new")
