"""What capture says of a table, to whoever looks meanwhile."""

from __future__ import annotations

from edge_agent.capture.reports import TableReport
from edge_agent.capture.rhythm import Task
from protocol.errors import Rejected

MASS = Rejected("GC-2006", deletes=2, rows=2, table="t", source="his")
SLOW = Rejected("GC-2007", table="t", seconds="1")


def test_the_faults_of_the_kinds_of_work_stand_side_by_side() -> None:
    report = TableReport()
    assert report.note(Task.WINDOW, SLOW)
    assert report.note(Task.SCAN, MASS)
    assert not report.note(Task.SCAN, MASS), "no news"
    assert report.fault is MASS
    assert not report.note(Task.SCAN, None)
    assert report.fault is SLOW


def test_who_looks_from_another_thread_never_sees_a_fault_half_told() -> None:
    """Status is written while capture works: a fault that stays must not be gone for a moment."""
    report = TableReport()
    report.note(Task.SCAN, MASS)
    seen = report.faults
    report.note(Task.SCAN, SLOW)
    report.note(Task.SCAN, None)
    assert (seen, report.faults) == ({Task.SCAN: MASS}, {})
