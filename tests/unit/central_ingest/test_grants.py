"""Epochs rise; a grant is for one agent, one key, one stream."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central_ingest.grants import Grants, give
from central_ingest.ledger.ledger import Ledger
from central_ingest.roster import Member, Roster, Tenure
from protocol import messages
from protocol.delivery import Head
from protocol.errors import Rejected
from protocol.keys import to_base64
from protocol.limits import SEQ_MAX
from protocol.messages import Grant, StreamHead
from protocol.signing import SUITE_1

from .ledgers import memory_ledger
from .sender import CENTRE, OTHER_STREAM, STREAM, Sender

MINE, OTHER = Sender(seed=1), Sender(seed=2)


class Office:
    def __init__(self) -> None:
        self.ledger: Ledger = memory_ledger()
        self.roster = Roster()
        for one in (MINE, OTHER):
            self.roster.enrol(one.member())
        self.grants = Grants(self.ledger, self.roster, CENTRE, SUITE_1)

    def issue(self, member: Member = MINE.member(), said: int = 0) -> int | None:
        data = self.grants.issue(STREAM, member, said, 5)
        return None if data is None else read(data).epoch

    def use(self, epoch: int, agent: str) -> None:
        self.ledger.begin_epoch(STREAM, epoch, agent, 5, 0)
        self.roster.begin(Tenure(STREAM, agent, Head(epoch)))


@pytest.fixture
def office() -> Office:
    return Office()


def read(data: bytes) -> Grant:
    message = messages.parse(data)
    messages.verify(message, SUITE_1, CENTRE.public)
    return messages.read(message, Grant)


def test_a_grant_names_agent_stream_epoch_and_key(office: Office) -> None:
    data = office.grants.issue(STREAM, MINE.member(), 0, 5)
    assert data is not None
    key = SUITE_1.key_id(MINE.signer.public).hex()
    expected = Grant(agent=MINE.agent, site="h1", source="his", epoch=1, key_id=key, issued=5)
    assert read(data) == expected


def test_an_unused_grant_is_given_again(office: Office) -> None:
    assert [office.issue(), office.issue()] == [1, 1]
    office.use(1, MINE.agent)
    assert [office.issue(), office.issue()] == [2, 2]


def test_epochs_are_above_all_that_anybody_said(office: Office) -> None:
    assert office.issue(said=41) == 42
    assert office.issue(said=41) == 42
    assert office.issue(said=42) == 43
    assert office.issue(OTHER.member()) == 44


def test_a_held_stream_is_not_given_away_until_its_agent_is_ended(office: Office) -> None:
    office.use(3, OTHER.agent)
    assert office.issue() is None
    office.roster.enrol(OTHER.member(revoked=True))
    assert office.issue() == 4


def said(grant: bytes | str, **changes: object) -> StreamHead:
    text = grant if isinstance(grant, str) else to_base64(grant)
    head = StreamHead(site="h1", source="his", epoch=1, seq=0, hash="", grant=text)
    return head.model_copy(update=changes)


def test_the_grant_in_a_hello_fits_or_is_none(office: Office) -> None:
    data = office.grants.issue(STREAM, MINE.member(), 0, 5)
    assert data is not None
    assert office.grants.check(said(data), MINE.member()) == 1
    forged = messages.write(read(data), OTHER.signer)
    state = messages.write(messages.CentreState(online=True, instance="0" * 32, time=1), CENTRE)
    wrong = [
        (said(data, epoch=2), MINE.member()),
        (said(data, epoch=SEQ_MAX), MINE.member()),
        (said(data, source="lis"), MINE.member()),
        (said(data, site="h2"), MINE.member()),
        (said(data), OTHER.member()),
        (said(data), replace(MINE.member(), public=OTHER.signer.public)),
        (said(data), replace(MINE.member(), site="h2")),
        (said(forged), MINE.member()),
        (said(state), MINE.member()),
        (said(data[:-1]), MINE.member()),
        (said(b""), MINE.member()),
    ]
    for head, member in wrong:
        with pytest.raises(Rejected) as caught:
            office.grants.check(head, member)
        assert caught.value.code == "GC-5004"


def test_streams_are_apart(office: Office) -> None:
    assert office.issue(said=9) == 10
    data = office.grants.issue(OTHER_STREAM, MINE.member(), 0, 5)
    assert data is not None
    assert read(data).epoch == 1


def test_a_stream_that_was_moved_is_the_other_agent_s_next_and_its_holder_gets_nothing_above(
    office: Office,
) -> None:
    mine, other = MINE.member(), OTHER.member()
    for epoch in (1, 2):
        assert office.issue(mine) == epoch
        office.use(epoch, MINE.agent) if epoch == 1 else None
    assert office.issue(other) is None, "it is held"
    assert give(office.ledger, STREAM, OTHER.agent, 5) == 3
    assert give(office.ledger, STREAM, OTHER.agent, 5) == 3, "asked twice it is the same"
    assert office.issue(other) == 3
    assert office.issue(mine) == 2, "the holder may go on, below"
    office.use(2, MINE.agent)
    assert office.issue(mine) is None, "and never above"
    office.use(3, OTHER.agent)
    assert office.issue(mine) is None
    assert give(office.ledger, STREAM, MINE.agent, 5) == 4
    assert office.issue(mine) == 4
    assert office.issue(other) is None
