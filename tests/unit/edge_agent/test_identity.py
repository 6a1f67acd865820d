"""Identity: keys that nobody else can read, what enrolment taught, and spare grants that are ours."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.identity import Grants, StateDir
from protocol import messages
from protocol.enrolment import Token
from protocol.errors import Permanent, Rejected
from protocol.keys import KeyKind, PrivateKey, to_base64
from protocol.messages import CentreState

from .centre import grant
from .keys import AGENT_KEY, CENTRE, CENTRE_KEY, IDENTITY, STREAM

TOKEN = Token(
    broker="mqtts://centre:8883",
    ca="-----BEGIN CERTIFICATE-----\n",
    site=STREAM.site,
    centre_signing=to_base64(CENTRE.signing_public),
    centre_sealing=to_base64(CENTRE.sealing_public),
    site_sealing=to_base64(CENTRE.site_sealing_public),
    secret="0" * 64,
)


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    made = state.make_identity()
    assert state.make_identity().agent == state.identity().agent == made.agent
    assert state.key_path.stat().st_mode & 0o777 == 0o600
    assert StateDir(tmp_path / "other").make_identity().agent != made.agent


@pytest.mark.parametrize(
    "text",
    [None, "", "guicang-seal-1:" + "A" * 43, "guicang-sign-1:short", "密钥"],
    ids=["missing", "empty", "another kind", "short", "not ASCII"],
)
def test_a_key_that_is_none_needs_a_person(tmp_path: Path, text: str | None) -> None:
    state = StateDir(tmp_path)
    if text is not None:
        state.key_path.parent.mkdir()
        state.key_path.write_text(text, "utf-8")
        state.key_path.chmod(0o600)
    with pytest.raises(Permanent, match="GC-1007"):
        state.identity()


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights on the folder")
def test_a_key_open_to_others_is_refused(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.make_identity()
    state.key_path.chmod(0o640)
    with pytest.raises(Permanent, match="GC-1007"):
        state.identity()


def test_what_the_token_said_is_kept_without_its_secret(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    assert state.centre() is None
    draft = state.draft_centre(TOKEN)
    assert draft == replace(CENTRE, broker=TOKEN.broker, ca=TOKEN.ca)
    assert state.ca_path.read_text() == TOKEN.ca
    assert state.centre() is None, "a draft is no enrolment"
    state.save_centre(draft)
    assert state.centre() == draft
    assert TOKEN.secret not in state.centre_path.read_text()
    assert draft.for_envelopes.public == CENTRE.site_sealing_public
    assert draft.for_messages.public == CENTRE.sealing_public


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"broker": 1}', "{", "\udcff"])
def test_a_file_that_is_no_centre_needs_a_person(tmp_path: Path, text: str) -> None:
    state = StateDir(tmp_path)
    state.save_centre(CENTRE)
    state.centre_path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(Permanent, match="GC-1007"):
        state.centre()


def test_each_field_of_a_centre_matters(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.save_centre(CENTRE)
    said = json.loads(state.centre_path.read_text())
    for name in said:
        for value in (None, 7, "not base64!"):
            if name.endswith("_public"):
                state.centre_path.write_text(json.dumps(said | {name: value}))
                with pytest.raises(Permanent, match="GC-1007"):
                    state.centre()
        state.centre_path.write_text(json.dumps({k: v for k, v in said.items() if k != name}))
        with pytest.raises(Permanent, match="GC-1007"):
            state.centre()


def test_a_folder_s_identity_is_remembered(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    assert state.folder_identity("his") is None
    state.save_folder_identity("his", "盘符 1")
    assert (state.folder_identity("his"), state.folder_identity("lis")) == ("盘符 1", None)


# grants


@pytest.fixture
def grants(tmp_path: Path) -> Grants:
    return Grants(tmp_path, IDENTITY, CENTRE)


def test_the_highest_grant_is_the_spare(grants: Grants) -> None:
    assert grants.spare("his") is None
    for epoch in (4, 6, 5):
        assert grants.keep(grant(epoch)).epoch == epoch
    assert grants.spare("his") == (6, grant(6))
    assert grants.spare("lis") is None
    grants.spend("his")
    grants.spend("his")
    assert grants.spare("his") is None
    assert grants.stream("his") == STREAM


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (grant(1, agent="f" * 32), "GC-5004"),
        (grant(1, site="H2"), "GC-5004"),
        (messages.write(CentreState(online=True, instance="1" * 32, time=1), CENTRE_KEY.signer()), "GC-4004"),
        (b"", "GC-4004"),
    ],
    ids=["another agent", "another site", "no grant", "nothing"],
)
def test_what_is_no_grant_of_ours_is_refused(grants: Grants, data: bytes, code: str) -> None:
    with pytest.raises(Rejected, match=code):
        grants.keep(data)
    assert grants.spare("his") is None


def test_a_grant_that_another_centre_signed_is_refused(tmp_path: Path) -> None:
    stranger = PrivateKey(KeyKind.SIGNING, b"x" * 32)
    grants = Grants(tmp_path, IDENTITY, replace(CENTRE, signing_public=stranger.public))
    with pytest.raises(Rejected, match="GC-5002"):
        grants.keep(grant(1))


def test_a_grant_for_another_key_is_refused(tmp_path: Path) -> None:
    other = replace(IDENTITY, signer=PrivateKey(KeyKind.SIGNING, b"x" * 32).signer())
    with pytest.raises(Rejected, match="GC-5004"):
        Grants(tmp_path, other, CENTRE).keep(grant(1))
    assert AGENT_KEY.public == IDENTITY.signer.public


def test_a_damaged_spare_counts_as_none(grants: Grants, tmp_path: Path) -> None:
    grants.keep(grant(9))
    (path,) = (tmp_path / "grants").iterdir()
    data = path.read_bytes()
    for damaged in (b"", data[:-1], data.replace(b'"epoch":9', b'"epoch":8')):
        path.write_bytes(damaged)
        assert grants.spare("his") is None
    grants.keep(grant(2))
    assert grants.spare("his") == (2, grant(2))
