"""A weekly timetable, as an operator writes it: `["Mon-Fri 20:00-06:00", "Sat-Sun"]`. Pure.

An entry is a day or a range of days, then hours; without hours it is the whole day. Hours that end before they
begin end on the next day. Times are the source's wall clock, as `timezone` has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES
_NAME = "|".join(DAYS)
_ENTRY = re.compile(rf"({_NAME})(?:-({_NAME}))?(?: +(\d\d):(\d\d)-(\d\d):(\d\d))?")


@dataclass(frozen=True, slots=True)
class Timetable:
    """Spans of the week in minutes from Monday 00:00; a span may reach into the next week. None: always."""

    spans: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Timetable:
        """Raises ValueError with a sentence for the operator."""
        return cls(tuple(span for entry in entries for span in _spans(entry)))

    def is_open(self, local: datetime) -> bool:
        if not self.spans:
            return True
        minute = local.weekday() * _DAY_MINUTES + local.hour * 60 + local.minute
        return any(start <= at < end for start, end in self.spans for at in (minute, minute + _WEEK_MINUTES))


def _spans(entry: str) -> list[tuple[int, int]]:
    found = _ENTRY.fullmatch(entry.strip())
    if found is None:
        raise ValueError(f'{entry!r} is no entry like "Mon-Fri 20:00-06:00" or "Sat-Sun"')
    first = DAYS.index(found[1])
    count = (DAYS.index(found[2] or found[1]) - first) % 7 + 1
    start, end = 0, _DAY_MINUTES
    if found[3] is not None:
        start, end = _minutes(entry, found[3], found[4]), _minutes(entry, found[5], found[6])
        if start == end:
            raise ValueError(f"{entry!r} begins and ends at the same time")
        if end < start:
            end += _DAY_MINUTES
    days = [(first + i) % 7 * _DAY_MINUTES for i in range(count)]
    return [(day + start, day + end) for day in days]


def _minutes(entry: str, hours: str, minutes: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > _DAY_MINUTES:
        raise ValueError(f"{entry!r} has a time that no clock shows")
    return total
