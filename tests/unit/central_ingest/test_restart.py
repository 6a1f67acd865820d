"""Heads after a crash are those before it, from whatever checkpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.admission import Admission
from central_ingest.journal.memory import MemoryJournal
from central_ingest.ledger.ledger import AgentRecord, StreamRecord
from central_ingest.restart import heads_of, refresh_members, restore
from central_ingest.roster import Roster, Tenure
from protocol.delivery import Head, Verdict
from protocol.envelope import parse
from protocol.signing import SUITES, Ed25519Signer

from .ledgers import memory_ledger
from .sender import OTHER_STREAM, STREAM, Sender


class Centre:
    """Admits and journals; `checkpoint` writes heads down; `check` compares a restored roster with the living."""

    def __init__(self) -> None:
        self.journal = MemoryJournal.open()
        self.ledger = memory_ledger()
        self.roster = Roster()
        self.senders = [Sender(1, STREAM), Sender(2, OTHER_STREAM)]
        for one in self.senders:
            record = AgentRecord(one.agent, "h1", 1, one.signer.public, "1", 0, None)
            self.ledger.invite(one.agent.encode(), "h1", 10)
            assert self.ledger.use_invitation(one.agent.encode(), "h1", record, 1)
            self.begin(one)
        refresh_members(self.roster, self.ledger)
        self.admission = Admission(self.roster, SUITES)
        self._received = 100

    def begin(self, sender: Sender) -> None:
        self.ledger.begin_epoch(sender.stream, sender.epoch, sender.agent, 1, self.journal.end)
        self.roster.begin(Tenure(sender.stream, sender.agent, Head(sender.epoch)))

    def admit(self, sender: Sender, data: bytes) -> None:
        decision = self.admission.consider(sender.agent, data)
        assert decision.verdict is Verdict.NEXT
        self._received += 1
        self.journal.append(self._received, [data])
        self.admission.commit(self._received)

    def checkpoint(self) -> None:
        self.ledger.save_heads(heads_of(self.roster), self.journal.end)

    def check(self) -> Roster:
        restored = restore(self.ledger, self.journal, SUITES)
        assert by_stream(restored) == by_stream(self.roster)
        return restored


def by_stream(roster: Roster) -> dict[object, StreamRecord]:
    """All that is known of each stream, less when it was received in an epoch before."""
    return {r.stream: r if r.head.seq else replace(r, received=None) for r in heads_of(roster)}


@pytest.mark.parametrize("checkpoint_after", range(8))
def test_rotation_and_gaps_are_read_from_the_tail(checkpoint_after: int) -> None:
    centre = Centre()
    sender = centre.senders[0]
    for step in range(8):
        match step:
            case 2:
                data = sender.rotation(Ed25519Signer(b"n" * 32))
            case 4:
                data = sender.gap(sender.head.seq + 3, b"r" * 32)
            case 6:  # a gap that begins in what was admitted
                lost, before = sender.sent[sender.head.seq], sender.head
                previous = parse(lost).header.previous
                sender.head = Head(1, before.seq - 1, previous)
                data = sender.gap(before.seq + 2, b"q" * 32)
            case _:
                data = sender.mark(step)
        centre.admit(sender, data)
        if step == checkpoint_after:
            centre.checkpoint()
    restored = centre.check()
    tenure = restored.tenure(STREAM)
    assert tenure is not None
    assert tenure.public == Ed25519Signer(b"n" * 32).public
    following = Admission(restored, SUITES).consider(sender.agent, sender.mark())
    assert following.verdict is Verdict.NEXT


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.sampled_from(["mark", "gap", "rotate", "epoch", "checkpoint", "check"])
        ),
        max_size=25,
    )
)
def test_a_crash_at_any_point_forgets_nothing(steps: list[tuple[int, str]]) -> None:
    centre = Centre()
    keys = iter(range(100, 200))
    for i, step in steps:
        sender = centre.senders[i]
        match step:
            case "mark":
                centre.admit(sender, sender.mark())
            case "gap":
                centre.admit(sender, sender.gap(sender.head.seq + 2, b"r" * 32))
            case "rotate":
                centre.admit(sender, sender.rotation(Ed25519Signer(bytes([next(keys)]) * 32)))
            case "epoch":
                sender.begin(sender.epoch + 1)
                sender.signer = sender.first_key
                centre.begin(sender)
            case "checkpoint":
                centre.checkpoint()
            case "check":
                centre.check()
    centre.check()


def test_a_checkpoint_beyond_the_journal_reads_all_of_it() -> None:
    centre = Centre()
    sender = centre.senders[0]
    centre.admit(sender, sender.mark())
    centre.ledger.save_heads([], centre.journal.end + 10_000)
    centre.check()


@pytest.mark.parametrize("given_up", range(9))
def test_what_the_journal_gave_up_is_known_by_its_runs(given_up: int) -> None:
    centre = Centre()
    one, other = centre.senders
    for sender in (one, other, one):
        centre.admit(sender, sender.mark())
    centre.admit(other, other.rotation(Ed25519Signer(b"k" * 32)))
    for sender in (one, other):
        centre.admit(sender, sender.mark())
    one.begin(2)
    one.signer = one.first_key
    centre.begin(one)
    centre.admit(one, one.mark())
    centre.admit(other, other.gap(other.head.seq + 2, b"r" * 32))
    offsets = [entry.offset for entry in centre.journal.read()]
    centre.journal._store.give_up([*offsets, centre.journal.end][given_up])
    centre.ledger.save_heads([], centre.journal.end + 10_000)
    centre.check()


def test_a_head_goes_on_behind_what_is_damaged() -> None:
    """What stands there was admitted, and is asked for by its hash: the head does not fall back to it."""
    centre = Centre()
    sender = centre.senders[0]
    for _ in range(4):
        centre.admit(sender, sender.mark())
    entries = list(centre.journal.read())
    centre.journal._store.rot(entries[1].offset, entries[3].offset)
    tenure = restore(centre.ledger, centre.journal, SUITES).tenure(STREAM)
    assert tenure is not None
    assert tenure.head == sender.head
    assert tenure.admitted_bytes >= sum(map(len, sender.sent.values()))
    assert centre.ledger.checkpoint() == centre.journal.end


def test_what_does_not_follow_is_passed_over() -> None:
    """Nothing is damaged, so it was never admitted there."""
    centre = Centre()
    sender = centre.senders[0]
    data = [sender.mark(i) for i in range(3)]
    centre.journal.append(1, [data[0], data[2]])
    centre.journal.append(2, [Sender(9, STREAM, epoch=7).mark()])
    tenure = restore(centre.ledger, centre.journal, SUITES).tenure(STREAM)
    assert tenure is not None
    assert (tenure.head.seq, tenure.admitted_bytes) == (1, len(data[0]))


def test_members_follow_the_ledger() -> None:
    centre = Centre()
    agent = centre.senders[0].agent
    centre.ledger.revoke(agent, 5)
    member = centre.roster.member(agent)
    assert member is not None
    assert not member.revoked
    refresh_members(centre.roster, centre.ledger)
    member = centre.roster.member(agent)
    assert member is not None
    assert member.revoked
    assert member.public == centre.senders[0].first_key.public
