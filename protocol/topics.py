"""MQTT topics. They name agents only: no site, no source, no table is ever visible to the broker."""

from __future__ import annotations

from .errors import Rejected
from .names import check_agent

ROOT = "guicang/v1"
CENTRE_STATE = f"{ROOT}/centre/state"
ALL_UP = f"{ROOT}/+/up"
ALL_STATES = f"{ROOT}/+/state"


def up(agent: str) -> str:
    """Agent to centre: envelopes, hello, answers."""
    return f"{ROOT}/{check_agent(agent)}/up"


def down(agent: str) -> str:
    """Centre to agent: receipts, grants, commands."""
    return f"{ROOT}/{check_agent(agent)}/down"


def state(agent: str) -> str:
    """The agent's retained state, sealed to the centre."""
    return f"{ROOT}/{check_agent(agent)}/state"


def agent_of(topic: str) -> tuple[str, str]:
    """(agent id, channel) of a topic that `up`, `down` or `state` made. Raises Rejected GC-4004."""
    match topic.split("/"):
        case ["guicang", "v1", agent, ("up" | "down" | "state") as channel]:
            return check_agent(agent), channel
    raise Rejected("GC-4004", reason="topic")
