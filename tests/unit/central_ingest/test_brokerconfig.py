"""What the broker is told: whose rules stand where, and that the files say as little as they must."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from central_ingest import brokerconfig
from protocol import topics
from protocol.errors import Rejected
from protocol.limits import ENVELOPE_BYTES_MAX

AGENT, OTHER = "a" * 32, "b" * 32
DIRECTORY = PurePosixPath("/etc/mosquitto/归仓 guicang")


def options(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {key: value for key, _, value in (line.partition(" ") for line in lines) if key != "log_type"}


def sections(text: str) -> dict[str, list[str]]:
    """The rules under each user; those for everybody under the empty name."""
    found: dict[str, list[str]] = {"": []}
    user = ""
    for line in text.splitlines():
        if line.startswith("user "):
            user = line.removeprefix("user ")
            found[user] = []
        elif line and not line.startswith("#"):
            found["" if line.startswith("pattern ") else user].append(line)
    return found


def written(*revoked: str) -> dict[str, str]:
    return brokerconfig.files(port=8884, directory=DIRECTORY, credit_bytes=1 << 20, revoked=revoked)


def test_the_certificate_alone_says_who_somebody_is() -> None:
    said = options(written()["mosquitto.conf"])
    assert said["listener"] == "8884"
    assert said["allow_anonymous"] == said["allow_zero_length_clientid"] == "false"
    for key in ("require_certificate", "use_identity_as_username", "use_username_as_clientid"):
        assert said[key] == "true"
    assert "password_file" not in said
    for key, name in (("cafile", "ca.pem"), ("certfile", "server.pem"), ("keyfile", "server.key")):
        assert said[key] == f"{DIRECTORY}/{name}"
    assert said["acl_file"] == f"{DIRECTORY}/acl"


def test_every_bound_is_stated() -> None:
    said = options(written()["mosquitto.conf"])
    assert int(said["max_packet_size"]) > ENVELOPE_BYTES_MAX + len(topics.up(AGENT))
    assert int(said["max_queued_bytes"]) == 2 << 20
    assert int(said["max_queued_messages"]) == 2048
    assert said["persistence"] == "false"
    assert said["retain_available"] == "true"


def test_the_rules_are_those_of_the_topics() -> None:
    rules = sections(written()["acl"])
    assert rules == {
        "": [f"pattern {r.access} {r.topic}" for r in topics.agent_rules("%u")],
        "centre": [f"topic {r.access} {r.topic}" for r in topics.centre_rules()],
    }


def test_the_revoked_are_denied_everything() -> None:
    rules = sections(written(OTHER, AGENT)["acl"])
    assert list(rules) == ["", "centre", AGENT, OTHER]
    assert rules[AGENT] == rules[OTHER] == ["topic deny guicang/v1/#"]


def test_only_an_agent_s_id_gets_into_a_rule() -> None:
    with pytest.raises(Rejected):
        written("x\ntopic readwrite #")
