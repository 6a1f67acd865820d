"""Enrolment: who brings the secret comes in, once; all others learn nothing."""

from __future__ import annotations

import pytest

from central_ingest.enrolment import Enrolment, secret_hash
from central_ingest.grants import Grants
from central_ingest.restart import refresh_members
from central_ingest.roster import Roster
from protocol import messages
from protocol.errors import Rejected
from protocol.keys import from_base64, opener
from protocol.messages import Enrol, Enrolled, Grant
from protocol.sealing import Recipient, entropy_bytes
from protocol.signing import SUITE_1, Ed25519Signer

from .ledgers import memory_ledger
from .sender import CENTRE, CENTRE_KEY, LOST_KEY, Sender

SECRET = b"one-time secret!" * 2
MINE, OTHER = Sender(seed=1), Sender(seed=2)


class Office:
    def __init__(self) -> None:
        self.ledger = memory_ledger()
        self.ledger.invite(secret_hash(SECRET), "h1", expires=100)
        self.roster = Roster()
        grants = Grants(self.ledger, self.roster, CENTRE, SUITE_1)
        self.enrolment = Enrolment(self.ledger, self.roster, grants, CENTRE, opener(CENTRE_KEY), SUITE_1)

    def answer(self, data: bytes, agent: str = MINE.agent, now: int = 50) -> Enrolled:
        message = messages.parse(self.enrolment.answer(agent, messages.parse(data), now))
        messages.verify(message, SUITE_1, CENTRE.public)
        return messages.read(message, Enrolled)


@pytest.fixture
def office() -> Office:
    return Office()


def request(
    sender: Sender = MINE,
    *,
    secret: bytes = SECRET,
    site: str = "h1",
    signer: Ed25519Signer | None = None,
    to: bytes = CENTRE_KEY.public,
    agent: str = "",
) -> bytes:
    enrol = Enrol(
        agent=agent or sender.agent,
        site=site,
        secret=secret.hex(),
        signing_public=sender.signer.public.hex(),
        sources=("his", "lis"),
        version="1.0",
        time=1,
    )
    entropy = b"e" * entropy_bytes(SUITE_1)
    return messages.write_sealed(enrol, signer or sender.signer, Recipient(to), entropy)


def epochs(answer: Enrolled) -> dict[str, int]:
    grants = [messages.read(messages.parse(from_base64(g)), Grant) for g in answer.grants]
    return {one.source: one.epoch for one in grants}


def test_who_has_the_secret_comes_in_with_grants(office: Office) -> None:
    answer = office.answer(request())
    assert (answer.agent, answer.site, answer.accepted) == (MINE.agent, "h1", True)
    assert epochs(answer) == {"his": 1, "lis": 1}
    assert office.roster.member(MINE.agent) == MINE.member()
    (record,) = office.ledger.agents()
    assert (record.id, record.site, record.public) == (MINE.agent, "h1", MINE.signer.public)


def test_the_same_agent_may_ask_again_and_hears_the_same(office: Office) -> None:
    assert office.answer(request()) == office.answer(request())
    assert office.answer(request(), now=1_000).accepted


def test_used_expired_unknown_and_for_another_site_look_alike(office: Office) -> None:
    wrong = [
        (request(OTHER, secret=b"x" * 32), OTHER.agent, 50),
        (request(OTHER), OTHER.agent, 101),
        (request(OTHER, site="h2"), OTHER.agent, 50),
    ]
    for data, agent, now in wrong:
        answer = office.answer(data, agent, now)
        assert (answer.accepted, answer.grants) == (False, ())
    assert office.answer(request()).accepted
    answer = office.answer(request(OTHER), OTHER.agent)
    assert (answer.accepted, answer.grants) == (False, ())
    assert office.roster.member(OTHER.agent) is None


def test_a_revoked_agent_does_not_come_back_by_asking_again(office: Office) -> None:
    office.answer(request())
    office.ledger.revoke(MINE.agent, 60)
    refresh_members(office.roster, office.ledger)
    answer = office.answer(request())
    assert (answer.accepted, answer.grants) == (False, ())
    assert office.roster.member(MINE.agent) == MINE.member(revoked=True)


def test_what_is_not_what_it_claims_is_refused_and_spends_nothing(office: Office) -> None:
    wrong = {
        "another signer": (request(signer=OTHER.signer), MINE.agent, "GC-5002"),
        "another topic": (request(), OTHER.agent, "GC-5003"),
        "another agent's name": (request(agent=OTHER.agent), OTHER.agent, "GC-5003"),
        "sealed to another": (request(to=LOST_KEY.public), MINE.agent, "GC-5005"),
    }
    for name, (data, agent, code) in wrong.items():
        with pytest.raises(Rejected) as caught:
            office.answer(data, agent)
        assert caught.value.code == code, name
    assert office.ledger.agents() == []
    assert office.answer(request()).accepted


def test_the_ledger_keeps_no_secret(office: Office) -> None:
    assert SECRET not in secret_hash(SECRET)
    assert secret_hash(SECRET) == secret_hash(SECRET)
    assert secret_hash(SECRET) != secret_hash(SECRET[:-1])
