"""MQTT topics, and who may do what on them. They name agents only: no site, no source, no table is ever visible
to the broker.

The access rules stand here, beside the topics, so that a broker's configuration is written from what both ends
use and cannot drift from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .errors import Rejected
from .names import check_agent

ROOT = "guicang/v1"
CENTRE = "centre"
"""The centre's name at the broker. An agent's is its id, which is never this word."""
CENTRE_STATE = f"{ROOT}/{CENTRE}/state"
ALL = f"{ROOT}/#"
ALL_UP = f"{ROOT}/+/up"
ALL_DOWN = f"{ROOT}/+/down"
ALL_STATES = f"{ROOT}/+/state"

Access = Literal["read", "write"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Whoever has it may publish to (write) or receive from (read) what `topic`, a topic or filter, matches."""

    access: Access
    topic: str


def up(agent: str) -> str:
    """Agent to centre: envelopes, hello, answers."""
    return f"{ROOT}/{check_agent(agent)}/up"


def down(agent: str) -> str:
    """Centre to agent: receipts, grants, commands."""
    return f"{ROOT}/{check_agent(agent)}/down"


def state(agent: str) -> str:
    """The agent's retained state, sealed to the centre."""
    return f"{ROOT}/{check_agent(agent)}/state"


def centre_rules() -> tuple[Rule, ...]:
    """All that the centre may do; what is not listed is denied."""
    return (
        Rule("read", ALL_UP),
        Rule("read", ALL_STATES),
        Rule("write", ALL_DOWN),
        Rule("write", CENTRE_STATE),
    )


def agent_rules(agent: str) -> tuple[Rule, ...]:
    """All that one agent may do; what is not listed is denied.

    `agent` is an id, or the placeholder that a broker replaces by the proven name of whoever is connected
    (mosquitto: `%u`), so that one rule serves every agent and none can be written for the wrong one.
    """
    return (
        Rule("write", f"{ROOT}/{agent}/up"),
        Rule("write", f"{ROOT}/{agent}/state"),
        Rule("read", f"{ROOT}/{agent}/down"),
        Rule("read", CENTRE_STATE),
    )


def agent_of(topic: str) -> tuple[str, str]:
    """(agent id, channel) of a topic that `up`, `down` or `state` made. Raises Rejected GC-4004."""
    match topic.split("/"):
        case ["guicang", "v1", agent, ("up" | "down" | "state") as channel]:
            return check_agent(agent), channel
    raise Rejected("GC-4004", reason="topic")
