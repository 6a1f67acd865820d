"""The table of phases: what it allows, and that everything else is a mistake."""

from __future__ import annotations

import itertools

import pytest

from edge_agent.capture.phases import TRANSITIONS, Event, Phase, after

ALLOWED = {
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


@pytest.mark.parametrize(("phase", "event"), list(itertools.product(Phase, Event)))
def test_each_event_in_each_phase(phase: Phase, event: Event) -> None:
    if (phase, event) in ALLOWED:
        assert after(phase, event) is ALLOWED[phase, event]
    else:
        with pytest.raises(KeyError):
            after(phase, event)


def test_every_phase_can_be_reached_and_left_for_a_snapshot() -> None:
    assert {Phase.NEW, *TRANSITIONS.values()} == set(Phase)
    for phase in Phase:
        assert after(phase, Event.BEGIN) is Phase.SNAPSHOT
