"""Whose step is next: nobody starves, and only one scan is under way."""

from __future__ import annotations

from collections import Counter

from edge_agent.capture.rhythm import Job, Rhythm, Task
from protocol.names import TableName

BIG, VISIT, WARD = (TableName(None, None, name) for name in ("big", "visit", "ward"))


def rhythm_of(*jobs: Job) -> Rhythm:
    rhythm = Rhythm()
    rhythm.expect(dict.fromkeys(jobs, 0.0))
    return rhythm


def test_polls_go_between_the_steps_of_a_long_scan_and_neither_starves() -> None:
    rhythm = rhythm_of((BIG, Task.SCAN), (VISIT, Task.POLL), (WARD, Task.POLL), (BIG, Task.POLL))
    done: Counter[Job] = Counter()
    now = 0.0
    while now < 100:
        job = rhythm.next(now, scans=True)
        assert job is not None
        done[job] += 1
        now += 1.0  # each step takes a second, so there is always something due
        rhythm.scanning = (BIG, Task.SCAN)
        rhythm.put(job, now + (0.0 if job[1] is Task.SCAN else 5.0))
    polls = [done[name, Task.POLL] for name in (VISIT, WARD, BIG)]
    assert max(polls) - min(polls) <= 1
    assert min(polls) >= 16, "hardly later than every five seconds"
    assert done[BIG, Task.SCAN] >= 30


def test_more_polls_than_there_is_time_for_leave_the_scan_its_turn() -> None:
    polls = [(TableName(None, None, f"t{i}"), Task.POLL) for i in range(20)]
    rhythm = rhythm_of((BIG, Task.SCAN), *polls)
    done: Counter[Job] = Counter()
    now = 0.0
    for _ in range(210):
        job = rhythm.next(now, scans=True)
        assert job is not None
        done[job] += 1
        now += 1.0
        rhythm.put(job, now + (0.0 if job[1] is Task.SCAN else 2.0))
    assert done[BIG, Task.SCAN] >= 9
    assert min(done[job] for job in polls) >= 9


def test_one_scan_after_the_other_and_none_out_of_hours() -> None:
    rhythm = rhythm_of((BIG, Task.SCAN), (VISIT, Task.SCAN), (VISIT, Task.WINDOW))
    assert rhythm.next(0.0, scans=False) == (VISIT, Task.WINDOW)
    rhythm.put((VISIT, Task.WINDOW), 30.0)
    assert rhythm.next(0.0, scans=False) is None
    assert rhythm.wait(10.0, scans=False) == 20.0
    rhythm.scanning = (VISIT, Task.SCAN)
    assert rhythm.next(0.0, scans=True) == (VISIT, Task.SCAN)
    rhythm.expect({(BIG, Task.SCAN): 7.0})
    assert rhythm.scanning is None
    assert rhythm.next(0.0, scans=True) == (BIG, Task.SCAN), "what was due before stays so"


def test_what_is_hastened_while_it_runs_is_done_again() -> None:
    rhythm = rhythm_of((BIG, Task.SCAN))
    rhythm.begin((BIG, Task.SCAN))
    rhythm.hint(5.0)
    rhythm.put((BIG, Task.SCAN), 100.0)
    assert rhythm.is_due((BIG, Task.SCAN), 5.0)
    rhythm.begin((BIG, Task.SCAN))
    rhythm.put((BIG, Task.SCAN), 100.0)
    assert not rhythm.is_due((BIG, Task.SCAN), 99.0)


def test_what_rests_is_woken_by_a_person_and_by_no_hint() -> None:
    job = BIG, Task.SCAN
    rhythm = rhythm_of(job)
    rhythm.rest(job, 50.0)
    rhythm.hint(10.0)
    assert not rhythm.is_due(job, 49.0)
    rhythm.hasten([job], 10.0)
    assert rhythm.is_due(job, 10.0)
