"""That the benches still run: one site, few rows, no rival. What the figures are is nobody's concern here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import current, latency, report, visits
from bench.databases import GENERATORS
from bench.delta_log import DeltaLog
from bench.landed import Run
from bench.pg import fresh, log, snapshot
from bench.pg import report as pg_report
from bench.processes import Usage, cpu_of_server, run_to_end, usage_of
from tests.databases import logical_postgres
from tests.servers import require_dataset, require_server


def test_a_bench_runs_to_its_table() -> None:
    require_server("mosquitto")
    require_server("openssl")
    found = latency.run(0.25)
    assert found.rows == 500
    assert len(found.receipted) == len(found.queryable) == 5
    assert set(found.usages) == {"centre", "agent", "broker"}
    assert all(use.peak_bytes > 1_000_000 for use in found.usages.values())
    assert "| receipted |" in report.latency(found)


def test_changes_of_a_postgresql_are_dated_by_its_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    require_server("mosquitto")
    require_server("openssl")
    require_dataset(GENERATORS / "gen_pg.sql")
    monkeypatch.setattr(fresh, "WARM_UP_SECONDS", 0.1)
    found = fresh.run(0.3, logical_postgres())
    assert found.rate > 0
    assert 0 < len(found.waits) <= 40 * 20
    assert all(0 < wait < 60 for wait in found.waits)
    assert set(found.usages) == {"centre", "agent", "broker"}
    assert "| changes | p50 ms |" in pg_report.fresh(found)


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


def test_a_program_that_ended_told_its_cpu_and_its_peak() -> None:
    busy = [
        sys.executable,
        "-c",
        "held = bytearray(b'x' * 60_000_000); sum(range(3_000_000)); raise SystemExit(3)",
    ]
    before = cpu_of_server(os.getpid())
    ended = run_to_end(busy, subprocess.DEVNULL, os.environ)
    assert ended.code == 3
    assert ended.usage.cpu_seconds > 0
    assert ended.usage.peak_bytes > 60_000_000
    assert cpu_of_server(os.getpid()).since(before).cpu_seconds > ended.usage.cpu_seconds / 2


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
    assert log.files == [entries.parent / "p"] * 2


def test_a_table_tells_medians_ratios_and_whether_the_goal_is_met() -> None:
    def runs(*seconds: float) -> list[Run]:
        return [Run(1_000_000, one, {"centre": Usage(2, 2**20), "agent": Usage(1, 2**21)}) for one in seconds]

    text = report.landed([("one core", "ours", runs(4, 1, 8)), ("one core", "plain", runs(2, 2, 2))])
    assert "| one core | ours | 250,000 | 1 | 3.0 (centre 2.0, agent 1.0) | centre 1, agent 2 |" in text
    assert "| one core | plain | 500,000 | 2.00 |" in text
    assert "- met: 200,000 rows/s on one core (250,000 rows/s)" in text


def _once(who: str, seconds: float, mib: int = 100) -> list[Run]:
    return [Run(1_000_000, seconds, {who: Usage(seconds, mib << 20), "server": Usage(1, 0)})]


def test_a_snapshot_is_compared_with_dlt_and_two_ways_to_read() -> None:
    found = snapshot.Figures(
        {snapshot.OURS: _once("agent", 4, 200), snapshot.DLT.format("connectorx"): _once("dlt", 2, 1_000)},
        {snapshot.COPY: _once("reader", 1), snapshot.ADBC: _once("reader", 2)},
        {"date": "date32[day]", "inet": "bytes", "timetz": "bytes", "uuid": "text"},
    )
    text = pg_report.snapshot(found)
    assert "| ours → landed | 250,000 |  | 5.0 (agent 4.0, server 1.0) | 200 |" in text
    assert "| dlt, connectorx → Parquet | 500,000 | 0.50 × | 3.0 (dlt 2.0, server 1.0) | 1000 |" in text
    assert "- **not met**: the rate of dlt with connectorx (0.50 ×)" in text
    assert "- met: in a quarter of its memory (0.20)" in text
    assert "`infinity` of date as date32[day]; `10.0.0.1` of inet, `08:00:00+08` of timetz as bytes" in text


def test_changes_are_compared_with_pg_recvlogical() -> None:
    found = {
        (kind, who): _once("pg_recvlogical" if who == log.RIVAL else "agent", seconds)
        for kind in log.KINDS
        for who, seconds in ((log.RIVAL, 4), (log.SPOOL, 5), (log.LANDED, 10))
    }
    text = pg_report.log(found)
    assert "| updates | ours → spool | 200,000 | 0.80 | 6.0 (agent 5.0, server 1.0) | 100 |" in text
    assert "- met: inserts, ours → spool: 0.75 of pg_recvlogical (0.80)" in text
    assert "- **not met**: deletes, ours → spool: 0.85 of pg_recvlogical (0.80)" in text
    assert "- met: agent under 250 MB (100 MiB)" in text


def test_figures_replace_what_stands_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    said = "above\n{}\n{}\n{}\nbetween\n{}\n{}\n{}\nbelow\n"
    marks = [mark.format(of) for of in ("", " of logs") for mark in (report.BEGIN, report.END)]
    page.write_text(said.format(marks[0], "old", *marks[1:3], "old", marks[3]))
    report.write(page, "new")
    assert page.read_text() == said.format(marks[0], "new", *marks[1:3], "old", marks[3])
    report.write(page, "newer", " of logs")
    assert page.read_text() == said.format(marks[0], "new", *marks[1:3], "newer", marks[3])
    page.write_text("no marks\n")
    with pytest.raises(ValueError, match="no lines"):
        report.write(page, "new")


def test_a_materialised_current_is_compared_with_merge() -> None:
    found = current.Contest(
        1_000, 60, Usage(7, 2**29), [0.5, 0.5], [2.0], 3 * 2**27, [9.0, 11.0], 2**30, True
    )
    found.reading = {"exact": (0.5, 0.25, 2**28)}
    text = current.report(found)
    assert "| ours | 1.00 | 0.50 in each of 2 minutes, 2.00 in the one that merged | 384 |" in text
    assert "| delta-rs MERGE | 10.00 |  | 1024 |" in text
    assert "| exact | 0.50 | 0.25 | 256 |" in text
    assert "- met: a tenth of MERGE's CPU (0.100)" in text
    assert "- met: under 600 MB (403 MB)" in text
