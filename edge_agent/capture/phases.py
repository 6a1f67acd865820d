"""The phases of a table's capture, and everything that can move it between them.

The phase is durable (it stands in the spool beside the table's shards); faults are not, they are found again.
"""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    NEW = "new"
    SNAPSHOT = "snapshot"
    FOLLOW = "follow"
    GONE = "gone"


class Event(StrEnum):
    BEGIN = "a snapshot begins (first, asked for, or healing)"
    END = "its end mark is in the spool"
    DROP = "the table is gone, and a person confirmed it"


TRANSITIONS: dict[tuple[Phase, Event], Phase] = {
    (Phase.NEW, Event.BEGIN): Phase.SNAPSHOT,
    (Phase.NEW, Event.DROP): Phase.GONE,
    (Phase.SNAPSHOT, Event.BEGIN): Phase.SNAPSHOT,
    (Phase.SNAPSHOT, Event.END): Phase.FOLLOW,
    (Phase.SNAPSHOT, Event.DROP): Phase.GONE,
    (Phase.FOLLOW, Event.BEGIN): Phase.SNAPSHOT,
    (Phase.FOLLOW, Event.DROP): Phase.GONE,
    (Phase.GONE, Event.BEGIN): Phase.SNAPSHOT,
    (Phase.GONE, Event.DROP): Phase.GONE,
}
"""A second BEGIN voids the first (landing.md §5). Whatever is not listed is a mistake of ours: KeyError."""


def after(phase: Phase, event: Event) -> Phase:
    return TRANSITIONS[phase, event]
