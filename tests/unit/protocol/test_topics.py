"""Topics name agents only, and read back what they were made from."""

from __future__ import annotations

import pytest

from protocol import topics
from protocol.errors import Rejected

AGENT = "0123456789abcdef" * 2


def test_round_trip() -> None:
    assert topics.agent_of(topics.up(AGENT)) == (AGENT, "up")
    assert topics.agent_of(topics.down(AGENT)) == (AGENT, "down")
    assert topics.agent_of(topics.state(AGENT)) == (AGENT, "state")


def test_exact_spelling() -> None:
    assert topics.up(AGENT) == f"guicang/v1/{AGENT}/up"
    assert topics.CENTRE_STATE == "guicang/v1/centre/state"
    assert (topics.ALL_UP, topics.ALL_STATES) == ("guicang/v1/+/up", "guicang/v1/+/state")


@pytest.mark.parametrize("agent", ["", "+", "#", "centre", AGENT.upper(), AGENT + "/x", AGENT[:-1]])
def test_what_is_no_agent_has_no_topic(agent: str) -> None:
    for make in (topics.up, topics.down, topics.state):
        with pytest.raises(Rejected):
            make(agent)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "guicang",
        topics.CENTRE_STATE,
        f"guicang/v2/{AGENT}/up",
        f"guicang/v1/{AGENT}/x",
        f"/guicang/v1/{AGENT}/up",
    ],
)
def test_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(Rejected) as refused:
        topics.agent_of(topic)
    assert refused.value.code == "GC-4004"


def test_an_agent_may_use_its_own_topics_and_hear_the_centre() -> None:
    assert {(rule.access, rule.topic) for rule in topics.agent_rules(AGENT)} == {
        ("write", topics.up(AGENT)),
        ("write", topics.state(AGENT)),
        ("read", topics.down(AGENT)),
        ("read", topics.CENTRE_STATE),
    }


def test_the_centre_hears_and_answers_every_agent() -> None:
    assert {(rule.access, rule.topic) for rule in topics.centre_rules()} == {
        ("read", topics.ALL_UP),
        ("read", topics.ALL_STATES),
        ("write", topics.ALL_DOWN),
        ("write", topics.CENTRE_STATE),
    }


def test_the_centre_s_name_is_no_agent_s() -> None:
    with pytest.raises(Rejected):
        topics.up(topics.CENTRE)
