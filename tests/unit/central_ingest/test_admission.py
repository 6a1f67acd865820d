"""Every verdict and every refusal of admission; nothing moves before `commit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from central_ingest.admission import Admission
from central_ingest.roster import Roster, Tenure
from protocol.delivery import Head, Verdict
from protocol.envelope import Kind, join, parse
from protocol.errors import Rejected
from protocol.names import Stream
from protocol.sealing import Place
from protocol.signing import SUITES, Ed25519Signer

from .sender import OTHER_STREAM, STREAM, Sender


class Centre:
    """A roster with one agent that holds STREAM in epoch 2, and its admission."""

    def __init__(self) -> None:
        self.sender = Sender(epoch=2)
        self.roster = Roster()
        self.roster.enrol(self.sender.member())
        self.tenure = Tenure(STREAM, self.sender.agent, Head(2))
        self.roster.begin(self.tenure)
        self.admission = Admission(self.roster, SUITES)

    def verdict(self, data: bytes) -> Verdict:
        return self.admission.consider(self.sender.agent, data).verdict

    def refusal(self, data: bytes, agent: str | None = None) -> str:
        with pytest.raises(Rejected) as caught:
            self.admission.consider(agent or self.sender.agent, data)
        assert self.tenure.head == Head(2) or self.tenure.head.seq > 0
        return caught.value.code


@pytest.fixture
def centre() -> Centre:
    return Centre()


def test_what_is_next_is_admitted_and_heads_move_with_the_commit(centre: Centre) -> None:
    first, second = centre.sender.mark(), centre.sender.mark()
    for data in (first, second):
        decision = centre.admission.consider(centre.sender.agent, data)
        assert (decision.stream, decision.verdict, decision.envelope) == (STREAM, Verdict.NEXT, data)
        assert centre.tenure.head == Head(2)
    assert centre.admission.commit(received=77) == {STREAM}
    assert centre.tenure.head == centre.sender.head
    assert centre.tenure.admitted_bytes == len(first) + len(second)
    assert centre.tenure.received == 77
    assert centre.admission.commit(78) == set()


def test_a_rollback_leaves_heads_where_they_were(centre: Centre) -> None:
    first, second = centre.sender.mark(), centre.sender.mark()
    assert [centre.verdict(first), centre.verdict(second)] == [Verdict.NEXT, Verdict.NEXT]
    centre.admission.rollback()
    assert centre.tenure.head == Head(2)
    assert centre.tenure.admitted_bytes == 0
    assert centre.verdict(second) is Verdict.AHEAD
    assert [centre.verdict(first), centre.verdict(second)] == [Verdict.NEXT, Verdict.NEXT]


def test_a_repeat_is_seen_before_and_after_the_commit(centre: Centre) -> None:
    data = [centre.sender.mark() for _ in range(3)]
    assert [centre.verdict(one) for one in data] == [Verdict.NEXT] * 3
    assert [centre.verdict(one) for one in data] == [Verdict.SEEN] * 3
    centre.admission.commit(1)
    assert [centre.verdict(one) for one in data] == [Verdict.SEEN] * 3
    assert centre.admission.commit(2) == set()


def test_what_lies_ahead_is_not_admitted(centre: Centre) -> None:
    centre.sender.mark()
    decision = centre.admission.consider(centre.sender.agent, centre.sender.mark())
    assert (decision.verdict, decision.envelope) == (Verdict.AHEAD, None)
    assert centre.admission.commit(1) == set()


def test_another_history_is_a_fork(centre: Centre) -> None:
    clone = Sender(epoch=2)
    assert centre.verdict(centre.sender.mark(1)) is Verdict.NEXT
    assert centre.verdict(clone.mark(2)) is Verdict.FORK
    assert centre.verdict(clone.mark(3)) is Verdict.FORK
    centre.admission.commit(1)
    assert centre.verdict(clone.sent[1]) is Verdict.FORK
    assert centre.verdict(clone.sent[2]) is Verdict.FORK


def test_an_earlier_epoch_is_fenced_and_a_later_one_not_granted(centre: Centre) -> None:
    assert centre.verdict(Sender(epoch=1).mark()) is Verdict.FENCED
    assert centre.refusal(Sender(epoch=3).mark()) == "GC-5004"


def test_nobody_unknown_or_revoked_or_of_another_site(centre: Centre) -> None:
    stranger = Sender(seed=9, epoch=2)
    assert centre.refusal(stranger.mark(), stranger.agent) == "GC-5003"
    elsewhere = Sender(epoch=2, stream=Stream("h2", "his"))
    assert centre.refusal(elsewhere.mark()) == "GC-5003"
    centre.roster.enrol(centre.sender.member(revoked=True))
    assert centre.refusal(centre.sender.mark()) == "GC-5003"


def test_a_stream_without_tenure_or_of_another_agent_is_not_granted(centre: Centre) -> None:
    assert centre.refusal(Sender(stream=OTHER_STREAM).mark()) == "GC-5004"
    other = Sender(seed=2, epoch=2)
    centre.roster.enrol(other.member())
    assert centre.refusal(other.mark(), other.agent) == "GC-5004"


@pytest.mark.parametrize("stream", [STREAM, OTHER_STREAM], ids=str)
def test_what_another_key_signed_is_refused_whether_or_not_the_stream_is_granted(
    centre: Centre, stream: Stream
) -> None:
    """Only who is authentic hears that he has no grant: anybody can write a header."""
    assert centre.refusal(Sender(seed=9, epoch=2, stream=stream).mark()) == "GC-5002"


def test_another_suite_than_the_pinned_one(centre: Centre) -> None:
    envelope = parse(centre.sender.mark())
    header = replace(envelope.header, suite=2).to_bytes()
    assert centre.refusal(join(header, envelope.cipher, envelope.signature)) == "GC-5001"
    centre.roster.enrol(replace(centre.sender.member(), suite=2))
    assert centre.refusal(centre.sender.sent[1]) == "GC-5001"


@pytest.mark.parametrize(
    "spoil",
    [lambda d: d[:-1], lambda d: d + b"x", lambda d: b"", lambda d: b"GCEV" + d[4:40], lambda d: d[1:]],
)
def test_what_is_no_envelope(centre: Centre, spoil: Callable[[bytes], bytes]) -> None:
    assert centre.refusal(spoil(centre.sender.mark())) == "GC-5001"


def test_every_changed_byte_is_noticed(centre: Centre) -> None:
    data = centre.sender.mark()
    for at in range(0, len(data), 7):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(Rejected):
            centre.admission.consider(centre.sender.agent, changed)
    assert centre.verdict(data) is Verdict.NEXT


def test_a_gap_stands_for_what_is_lost(centre: Centre) -> None:
    lost = Sender(epoch=2)
    kept = [lost.mark(i) for i in range(6)]
    for one in kept[:2]:
        assert centre.verdict(one) is Verdict.NEXT
    centre.sender.head = Head(2, 2, parse_hash(kept[1]))
    gap = centre.sender.gap(4, parse_hash(kept[3]))
    assert centre.verdict(gap) is Verdict.NEXT
    assert centre.verdict(gap) is Verdict.SEEN
    assert centre.verdict(kept[5]) is Verdict.AHEAD
    assert centre.verdict(kept[4]) is Verdict.NEXT
    centre.admission.commit(1)
    assert centre.tenure.head == Head(2, 5, parse_hash(kept[4]))
    assert centre.verdict(gap) is Verdict.SEEN


def test_a_gap_may_begin_in_what_was_admitted(centre: Centre) -> None:
    kept = [centre.sender.mark(i) for i in range(5)]
    for one in kept[:3]:
        assert centre.verdict(one) is Verdict.NEXT
    centre.admission.commit(1)
    centre.sender.head = Head(2, 1, parse_hash(kept[0]))
    assert centre.verdict(centre.sender.gap(4, parse_hash(kept[3]))) is Verdict.NEXT
    assert centre.verdict(kept[4]) is Verdict.NEXT


def test_after_a_rotation_the_new_key_signs(centre: Centre) -> None:
    before, old = centre.sender.mark(), centre.sender.signer
    new = Ed25519Signer(b"n" * 32)
    rotation = centre.sender.rotation(new)
    after = centre.sender.mark()
    assert [centre.verdict(d) for d in (before, rotation, after)] == [Verdict.NEXT] * 3
    assert centre.tenure.public is None
    centre.admission.commit(1)
    assert centre.tenure.public == new.public
    assert [centre.verdict(d) for d in (before, rotation, after)] == [Verdict.SEEN] * 3
    centre.sender.signer = old
    assert centre.refusal(centre.sender.mark()) == "GC-5002"


def test_a_rotation_that_is_rolled_back_leaves_the_old_key(centre: Centre) -> None:
    old = centre.sender.signer
    centre.verdict(centre.sender.rotation(Ed25519Signer(b"n" * 32)))
    centre.admission.rollback()
    again = Sender(epoch=2)
    assert again.signer.public == old.public
    assert centre.verdict(again.mark()) is Verdict.NEXT


def test_nobody_rotates_to_a_key_that_he_does_not_hold(centre: Centre) -> None:
    new = Ed25519Signer(b"n" * 32)
    assert centre.verdict(centre.sender.mark()) is Verdict.NEXT
    rotation = centre.sender.rotation(new, prover=Ed25519Signer(b"m" * 32))
    assert centre.refusal(rotation) == "GC-5002"
    assert centre.refusal(centre.sender.mark()) == "GC-5002"
    centre.admission.commit(1)
    assert (centre.tenure.public, centre.tenure.head.seq) == (None, 1)


def test_a_proof_holds_for_one_place_only(centre: Centre) -> None:
    new = Ed25519Signer(b"n" * 32)
    elsewhere = Sender(epoch=2)
    elsewhere.mark()
    extension = parse(elsewhere.rotation(new)).header.extension
    first = centre.sender.seal(Kind.ROTATION, b"{}", place=Place(STREAM, 2, 1, b""), extension=extension)
    assert centre.refusal(first.data) == "GC-5002"


def parse_hash(data: bytes) -> bytes:
    return parse(data).digest(SUITES[1])
