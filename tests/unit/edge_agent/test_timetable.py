"""A weekly timetable: what an operator writes is what holds, at each minute of the week."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from edge_agent.timetable import Timetable

MONDAY = datetime(2024, 5, 6)


def open_minutes(*entries: str) -> set[int]:
    table = Timetable.parse(entries)
    return {m for m in range(7 * 24 * 60) if table.is_open(MONDAY + timedelta(minutes=m))}


def span(day: int, hours: tuple[float, float]) -> set[int]:
    return {
        m % (7 * 24 * 60) for m in range(day * 1440 + int(hours[0] * 60), day * 1440 + int(hours[1] * 60))
    }


def test_without_entries_it_is_always_open() -> None:
    assert len(open_minutes()) == 7 * 24 * 60


def test_hours_reach_into_the_next_day_and_the_next_week() -> None:
    nights = open_minutes("Mon-Fri 20:00-06:00")
    assert nights == set().union(*(span(day, (20, 30)) for day in range(5)))
    assert open_minutes("Sun 22:30-01:00") == span(6, (22.5, 25))


def test_days_without_hours_are_whole_and_ranges_wrap() -> None:
    assert open_minutes("Sat-Mon", "Wed 12:00-24:00") == set().union(
        span(5, (0, 24)), span(6, (0, 24)), span(0, (0, 24)), span(2, (12, 24))
    )


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "Mo",
        "Mon 20-06",
        "Mon 20:00",
        "Mon 25:00-26:00",
        "Mon 10:60-11:00",
        "Mon 10:00-10:00",
        "20:00-06:00",
    ],
)
def test_what_is_no_entry_is_said(entry: str) -> None:
    with pytest.raises(ValueError, match=r"no entry|no clock|same time"):
        Timetable.parse([entry])
