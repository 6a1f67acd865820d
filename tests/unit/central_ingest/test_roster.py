"""What the roster remembers: members, tenures, hashes."""

from __future__ import annotations

import pytest

from central_ingest.roster import HASHES_KEPT, Roster, Tenure
from protocol.delivery import Head

from .sender import OTHER_STREAM, STREAM, Sender


def test_a_member_is_replaced_by_what_is_said_of_it_later() -> None:
    roster, sender = Roster(), Sender()
    assert roster.member(sender.agent) is None
    roster.enrol(sender.member())
    roster.enrol(sender.member(revoked=True))
    assert roster.member(sender.agent) == sender.member(revoked=True)


def test_a_stream_enters_rising_epochs_only() -> None:
    roster = Roster()
    first, second = Tenure(STREAM, "a", Head(1)), Tenure(STREAM, "b", Head(3))
    other = Tenure(OTHER_STREAM, "a", Head(1))
    for one in (first, other, second):
        roster.begin(one)
    assert roster.tenure(STREAM) is second
    assert roster.tenures() == [second, other]
    with pytest.raises(AssertionError):
        roster.begin(Tenure(STREAM, "a", Head(3)))


def test_a_tenure_knows_the_last_hashes_and_no_more() -> None:
    tenure = Tenure(STREAM, "a", Head(1))
    for seq in range(1, HASHES_KEPT + 3):
        tenure.advance(Head(1, seq, seq.to_bytes(4, "big")), 10, 1_000 + seq)
    last = HASHES_KEPT + 2
    assert tenure.hash_at(last) == last.to_bytes(4, "big")
    assert tenure.hash_at(2) == (2).to_bytes(4, "big")
    assert tenure.hash_at(1) is None
    assert tenure.hash_at(last + 1) is None
    assert (tenure.admitted_bytes, tenure.received) == (10 * last, 1_000 + last)


def test_after_a_gap_the_hashes_between_are_unknown() -> None:
    tenure = Tenure(STREAM, "a", Head(1))
    tenure.advance(Head(1, 1, b"one"), 1, 1)
    tenure.advance(Head(1, 5, b"gap", b"five"), 1, 2)
    tenure.advance(Head(1, 6, b"six"), 1, 3)
    assert [tenure.hash_at(seq) for seq in range(1, 7)] == [b"one", None, None, None, b"five", b"six"]
