"""Points in time as HL7 v2, v3 and FHIR write them, where they are exact: to the second at least, and no finer than
a microsecond. What is coarser (a day, a minute) is a stretch of time, and stays text alone: nothing is added to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_HL7 = re.compile(
    r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d+))?(?:([+-])(\d\d)(\d\d))?", re.ASCII
)  # the type TS of HL7 v3, DTM of v2: YYYYMMDDHHMMSS.UUUU[+|-ZZzz]
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))?", re.ASCII
)  # `dateTime` and `instant` of FHIR

_PLACES = 6
_OFFSET_HOURS_MAX = 14


@dataclass(frozen=True, slots=True)
class Moment:
    """`local`: the wall clock as it is written, without zone. `offset` from UTC; None: not said."""

    local: datetime
    offset: timedelta | None

    @property
    def instant(self) -> datetime | None:
        """In UTC; None where no offset is said."""
        if self.offset is None:
            return None
        try:
            return (self.local - self.offset).replace(tzinfo=UTC)
        except OverflowError:
            return None


def of_hl7(text: str | None) -> Moment | None:
    found = _HL7.fullmatch(text or "")
    return None if found is None else _moment(found, None)


def of_fhir(text: str | None) -> Moment | None:
    found = _ISO.fullmatch(text or "")
    return None if found is None else _moment(found, timedelta() if found[0].endswith("Z") else None)


def _moment(found: re.Match[str], offset: timedelta | None) -> Moment | None:
    *clock, fraction, sign, hours, minutes = found.groups()
    fraction = fraction or ""
    if fraction[_PLACES:].strip("0"):
        return None
    if sign is not None:
        if int(hours) > _OFFSET_HOURS_MAX or int(minutes) >= 60:
            return None
        offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    year, month, day, hour, minute, second = map(int, clock)
    try:
        micros = int(fraction[:_PLACES].ljust(_PLACES, "0"))
        local = datetime(year, month, day, hour, minute, second, micros)
    except ValueError:
        return None
    return Moment(local, offset)
