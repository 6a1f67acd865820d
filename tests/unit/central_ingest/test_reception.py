"""One tick after another over a journal in memory: what the centre answers, and what moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.admission import Admission
from central_ingest.control import Control
from central_ingest.enrolment import Enrolment, secret_hash
from central_ingest.grants import SOURCES_MAX, Grants
from central_ingest.journal.memory import MemoryJournal, MemoryStore
from central_ingest.lags import Lags
from central_ingest.ledger.broken import break_epoch
from central_ingest.ledger.ledger import AgentRecord
from central_ingest.metrics import Metrics
from central_ingest.receipts import Credit, Receipts
from central_ingest.reception import ABSENT_MICROS, STREAMS_TOLD_MAX, Reception
from central_ingest.restart import restore
from protocol import messages, topics
from protocol.keys import from_base64, opener, to_base64
from protocol.limits import SEQ_MAX
from protocol.messages import (
    AgentState,
    Command,
    Enrol,
    Enrolled,
    Expected,
    Grant,
    Hello,
    MessageType,
    Payload,
    Receipt,
    Refusal,
    StreamHead,
)
from protocol.names import Stream
from protocol.sealing import Recipient, entropy_bytes
from protocol.signing import SUITE_1, SUITES

from .ledgers import memory_ledger
from .sender import CENTRE, CENTRE_KEY, OTHER_STREAM, SESSION, STREAM, Sender

MODELS: dict[MessageType, type[Payload]] = {
    m.type: m for m in (Receipt, Expected, Grant, Refusal, Enrolled, Command)
}
AGAIN = "6" * 32


class Centre:
    """A reception with two enrolled agents, A (seed 1) for STREAM and B (seed 2)."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.ledger = memory_ledger()
        self.clock = 1_000
        self.a, self.b = Sender(1, STREAM), Sender(2, OTHER_STREAM)
        for one in (self.a, self.b):
            record = AgentRecord(one.agent, "h1", 1, one.signer.public, "1", 0, None)
            self.ledger.invite(one.agent.encode(), "h1", 10)
            assert self.ledger.use_invitation(one.agent.encode(), "h1", record, 1)
        self.start()

    def start(self) -> None:
        self.store.release()
        self.journal = MemoryJournal.open(self.store)
        self.roster = restore(self.ledger, self.journal, SUITES)
        self.metrics = Metrics(Lags(lambda: 0.0))
        self.grants = Grants(self.ledger, self.roster, CENTRE, SUITE_1)
        centre = opener(CENTRE_KEY)
        self.reception = Reception(
            roster=self.roster,
            admission=Admission(self.roster, SUITES),
            journal=self.journal,
            ledger=self.ledger,
            receipts=Receipts(CENTRE, Credit(1 << 30)),
            grants=self.grants,
            enrolment=Enrolment(self.ledger, self.roster, self.grants, CENTRE, centre, SUITE_1),
            opener=centre,
            suite=SUITE_1,
            metrics=self.metrics,
            wall=lambda: self.clock,
        )

    def control(self) -> None:
        """From now on commands are sent."""
        self.reception._control = Control(self.ledger.commands, CENTRE)

    def tick(self, *arrivals: tuple[Sender, bytes]) -> list[Any]:
        return self.raw([(topics.up(sender.agent), data) for sender, data in arrivals])

    def raw(self, arrivals: Sequence[tuple[str, bytes]]) -> list[Any]:
        """What was answered, verified and read; each to the agent whom it names."""
        heard = []
        for out in self.reception.process(arrivals):
            message = messages.parse(out.payload)
            messages.verify(message, SUITE_1, CENTRE.public)
            said: Any = messages.read(message, MODELS[message.type])
            assert out.topic == topics.down(said.agent)
            heard.append(said)
        return heard

    def greet(self, sender: Sender, session: str = SESSION) -> list[Any]:
        """A hello with a grant for the sender's stream, asked for if there is none."""
        return self.tick((sender, hello(sender, self.grant(sender), session)))

    def grant(self, sender: Sender) -> bytes:
        known = self.ledger.grants(sender.stream)
        if not any(g.epoch == sender.epoch for g in known):
            self.ledger.add_grant(sender.stream, sender.epoch, sender.agent, 1)
        return self.grants._write(sender.stream, sender.member(), sender.epoch, 1)

    def head(self, stream: Stream = STREAM) -> tuple[int, int]:
        tenure = self.roster.tenure(stream)
        return (tenure.head.epoch, tenure.head.seq) if tenure else (0, 0)


@pytest.fixture
def centre() -> Centre:
    return Centre()


def hello(sender: Sender, grant: bytes | None, session: str = SESSION, wants: tuple[str, ...] = ()) -> bytes:
    head = StreamHead(
        site=sender.stream.site,
        source=sender.stream.source,
        epoch=sender.epoch,
        seq=sender.head.seq,
        hash=sender.head.hash.hex(),
        grant=to_base64(grant or b""),
    )
    said = Hello(
        agent=sender.agent,
        session=session,
        version="1",
        time=1,
        streams=() if grant is None else (head,),
        wants=wants,
    )
    return messages.write(said, sender.first_key)


def brief(answers: list[Any]) -> list[tuple[str, str, int, object]]:
    """(kind, source, epoch, sequence or code)."""
    return [
        (type(one).__name__, one.source, one.epoch, getattr(one, "seq", getattr(one, "code", None)))
        for one in answers
    ]


# hello and grants


def test_the_first_use_of_a_grant_begins_its_epoch_durably(centre: Centre) -> None:
    (receipt,) = centre.greet(centre.a)
    assert (receipt.seq, receipt.hash, receipt.session, receipt.agent) == (0, "", SESSION, centre.a.agent)
    assert receipt.credit > 0
    assert [g.used for g in centre.ledger.grants(STREAM)] == [1_000]
    centre.start()
    assert centre.head() == (1, 0)


def test_credit_is_shared_among_the_streams_whose_agents_are_there(centre: Centre) -> None:
    (alone,) = centre.greet(centre.a)
    second = Sender(1, Stream(STREAM.site, "lis"))
    (shared,) = centre.greet(second)
    assert (alone.credit, shared.credit) == (1 << 30, 1 << 29)


def test_a_used_grant_fences_the_epochs_below(centre: Centre) -> None:
    old, new = Sender(1), Sender(1, epoch=3)
    centre.greet(old)
    before = old.mark()
    centre.tick((old, before))
    assert brief(centre.greet(new)) == [("Receipt", "his", 3, 0)]
    assert brief(centre.tick((old, old.mark()))) == [("Refusal", "his", 3, "GC-3007")]
    assert brief(centre.greet(old, AGAIN)) == [("Refusal", "his", 3, "GC-3007")]
    assert brief(centre.tick((new, new.mark()))) == [("Receipt", "his", 3, 1)]
    assert centre.head() == (3, 1)


def test_a_grant_is_not_fenced_by_one_that_was_only_issued(centre: Centre) -> None:
    centre.greet(centre.a)
    centre.ledger.add_grant(STREAM, 2, centre.a.agent, 1)
    assert brief(centre.tick((centre.a, centre.a.mark()))) == [("Receipt", "his", 1, 1)]


def test_the_grant_of_another_agent_is_none(centre: Centre) -> None:
    thief = replace_stream(centre.b, STREAM)
    data = hello(thief, centre.grant(centre.a))
    assert brief(centre.tick((thief, data))) == [("Refusal", "his", 0, "GC-5004")]
    assert centre.roster.tenure(STREAM) is None
    centre.greet(centre.a)
    (refusal,) = centre.tick((thief, hello(thief, centre.grant(centre.a), AGAIN)))
    assert (refusal.agent, refusal.code) == (centre.b.agent, "GC-5004")
    assert brief(centre.tick((thief, thief.mark()))) == []  # told already in this session


def replace_stream(sender: Sender, stream: Stream) -> Sender:
    return Sender(sender.seed, stream)


def test_wants_are_answered_with_grants_and_an_unused_one_is_given_again(centre: Centre) -> None:
    data = hello(centre.a, None, wants=("his", "pacs"))
    assert brief(centre.tick((centre.a, data))) == [("Grant", "his", 1, None), ("Grant", "pacs", 1, None)]
    assert brief(centre.tick((centre.a, data))) == [("Grant", "his", 1, None), ("Grant", "pacs", 1, None)]
    centre.greet(centre.a)
    spare = hello(centre.a, centre.grant(centre.a), wants=("his",))
    assert brief(centre.tick((centre.a, spare))) == [("Receipt", "his", 1, 0), ("Grant", "his", 2, None)]


def test_a_held_stream_is_not_granted_to_another(centre: Centre) -> None:
    centre.greet(centre.a)
    data = hello(centre.b, None, wants=("his", "lis"))
    answers = centre.tick((centre.b, data))
    assert brief(answers) == [("Refusal", "his", 1, "GC-5004"), ("Grant", "lis", 1, None)]
    assert {one.agent for one in answers} == {centre.b.agent}


def test_an_epoch_counts_as_said_only_where_our_own_grant_proves_it(centre: Centre) -> None:
    """Otherwise one hello could use up all epochs of a stream, or bring a number that no ledger holds."""
    forged = Sender(1, epoch=SEQ_MAX)
    data = hello(forged, b"no grant", wants=("his",))
    assert brief(centre.tick((forged, data))) == [
        ("Refusal", "his", 0, "GC-5004"),
        ("Grant", "his", 1, None),
    ]
    restored = Sender(1, epoch=40)  # a centre from an old backup knows nothing of epoch 40
    grant = centre.grants._write(STREAM, restored.member(), 40, 1)
    answers = centre.tick((restored, hello(restored, grant, AGAIN, wants=("his",))))
    assert brief(answers) == [("Receipt", "his", 40, 0), ("Grant", "his", 41, None)]


def test_the_stream_of_another_site_is_refused(centre: Centre) -> None:
    elsewhere = Sender(1, Stream("h2", "his"))
    grant = centre.grants._write(elsewhere.stream, elsewhere.member(), 1, 1)
    (refusal,) = centre.tick((elsewhere, hello(elsewhere, grant)))
    assert (refusal.site, refusal.code) == ("h2", "GC-5004")
    assert centre.roster.tenure(elsewhere.stream) is None


def test_a_hello_by_another_name_or_key_or_revoked_is_counted_alone(centre: Centre) -> None:
    other = replace_stream(centre.b, STREAM)
    assert centre.tick((centre.a, hello(other, None))) == []
    said = Hello(agent=centre.b.agent, session=SESSION, version="1", time=1)
    assert centre.tick((centre.a, messages.write(said, centre.a.first_key))) == []
    centre.ledger.revoke(centre.a.agent, 5)
    centre.clock += 2_000_000
    centre.tick()
    assert centre.tick((centre.a, centre.a.mark())) == []
    assert centre.metrics.refused == {"GC-5002": 1, "GC-5003": 2}


def test_a_revoked_agent_is_told_so_while_its_key_verifies(centre: Centre) -> None:
    grant = centre.grant(centre.a)
    centre.greet(centre.a)
    centre.ledger.revoke(centre.a.agent, 5)
    centre.clock += 2_000_000
    centre.tick()
    data = hello(centre.a, grant, AGAIN, wants=("pacs",))
    (his, pacs) = centre.tick((centre.a, data))
    assert brief([his, pacs]) == [("Refusal", "his", 0, "GC-5003"), ("Refusal", "pacs", 0, "GC-5003")]
    assert his.session == AGAIN
    forged = replace_stream(centre.b, STREAM)
    assert centre.tick((centre.a, hello(forged, grant))) == []


def test_an_agent_that_is_away_gives_back_its_share_of_the_credit(centre: Centre) -> None:
    centre.greet(centre.a)
    (shared,) = centre.greet(centre.b)
    centre.clock += ABSENT_MICROS
    (still_shared,) = centre.greet(centre.a)
    centre.clock += 1
    (alone,) = centre.greet(centre.a)
    assert (shared.credit, still_shared.credit, alone.credit) == (1 << 29, 1 << 29, 1 << 30)


def test_an_epoch_that_the_journal_lost_a_part_of_is_refused_and_a_newer_one_taken(centre: Centre) -> None:
    centre.greet(centre.a)
    centre.tick((centre.a, centre.a.mark()))
    break_epoch(centre.ledger, STREAM, 1)
    centre.clock += 2_000_000
    assert brief(centre.tick()) == [("Refusal", "his", 1, "GC-3010")]
    centre.clock += 2_000_000
    assert centre.tick() == [], "once a session"
    centre.start()
    assert brief(centre.greet(centre.a, AGAIN)) == [("Refusal", "his", 1, "GC-3010")]
    assert brief(centre.greet(Sender(1, epoch=2))) == [("Receipt", "his", 2, 0)]


def test_it_is_told_to_the_session_whose_hello_was_overtaken_by_an_older_one(centre: Centre) -> None:
    """An agent that has nothing to send would not hear of it otherwise, and never begin anew."""
    centre.greet(centre.a, AGAIN)
    centre.greet(centre.a, SESSION)  # it was on its way for long
    break_epoch(centre.ledger, STREAM, 1)
    centre.clock += 2_000_000
    told = {(one.session, brief([one])[0]) for one in centre.tick() if isinstance(one, Refusal)}
    refusal = ("Refusal", "his", 1, "GC-3010")
    assert told == {(AGAIN, refusal), (SESSION, refusal)}


# envelopes


def test_one_tick_is_one_write_and_one_receipt_a_stream(centre: Centre) -> None:
    centre.greet(centre.a)
    centre.greet(centre.b)
    arrivals = [(s, s.mark()) for _ in range(3) for s in (centre.a, centre.b)]
    answers = centre.tick(*arrivals)
    assert brief(answers) == [("Receipt", "his", 1, 3), ("Receipt", "lis", 1, 3)]
    assert answers[0].hash == centre.a.head.hash.hex()
    assert [e.envelope for e in centre.journal.read()] == [data for _, data in arrivals]
    assert {e.received for e in centre.journal.read()} == {1_000}
    assert centre.metrics.envelopes_admitted == 6


def test_a_repeat_is_receipted_and_not_written(centre: Centre) -> None:
    centre.greet(centre.a)
    data = centre.a.mark()
    centre.tick((centre.a, data))
    end = centre.journal.end
    assert brief(centre.tick((centre.a, data), (centre.a, data))) == [("Receipt", "his", 1, 1)]
    assert (centre.journal.end, centre.metrics.envelopes_repeated) == (end, 2)


def test_expected_is_said_once_a_gap_and_session(centre: Centre) -> None:
    centre.greet(centre.a)
    data = [centre.a.mark(i) for i in range(6)]
    assert brief(centre.tick((centre.a, data[0]), (centre.a, data[2]), (centre.a, data[3]))) == [
        ("Receipt", "his", 1, 1),
        ("Expected", "his", 1, 2),
    ]
    assert centre.tick((centre.a, data[3])) == []
    assert brief(centre.tick((centre.a, data[1]), (centre.a, data[3]))) == [
        ("Receipt", "his", 1, 2),
        ("Expected", "his", 1, 3),
    ]
    assert brief(centre.greet(centre.a, AGAIN)) == [("Receipt", "his", 1, 2)]
    assert brief(centre.tick((centre.a, data[3]))) == [("Expected", "his", 1, 3)]


def test_refusals_are_told_once_a_session(centre: Centre) -> None:
    centre.greet(centre.a)
    clone = Sender(1)
    centre.tick((centre.a, centre.a.mark(1)))
    fork = clone.mark(2)
    assert brief(centre.tick((clone, fork), (clone, fork))) == [("Refusal", "his", 1, "GC-3006")]
    assert centre.tick((clone, fork)) == []
    centre.greet(centre.a, AGAIN)
    assert brief(centre.tick((clone, fork))) == [("Refusal", "his", 1, "GC-3006")]
    ungranted = Sender(1, Stream("h1", "pacs"))
    assert brief(centre.tick((ungranted, ungranted.mark()))) == [("Refusal", "pacs", 0, "GC-5004")]
    assert centre.tick((ungranted, ungranted.mark())) == []


def test_without_a_hello_nothing_is_said_but_the_journal_keeps_it(centre: Centre) -> None:
    centre.greet(centre.a)
    centre.start()
    assert centre.tick((centre.a, centre.a.mark())) == []
    assert centre.head() == (1, 1)
    assert brief(centre.greet(centre.a)) == [("Receipt", "his", 1, 1)]


def test_a_full_journal_gives_no_receipt_and_moves_nothing(centre: Centre) -> None:
    centre.greet(centre.a)
    data = [centre.a.mark(i) for i in range(4)]
    centre.tick((centre.a, data[0]))
    centre.store.full = True
    end = centre.journal.end
    for _ in range(2):
        assert centre.tick((centre.a, data[1]), (centre.a, data[2])) == []
        assert (centre.head(), centre.journal.end) == ((1, 1), end)
        assert centre.reception.fault is not None
        assert centre.reception.fault.code == "GC-6001"
    assert brief(centre.tick((centre.a, data[0]))) == [("Receipt", "his", 1, 1)]  # that one is on disk
    centre.store.full = False
    assert brief(centre.tick(*((centre.a, one) for one in data[1:]))) == [("Receipt", "his", 1, 4)]
    assert centre.reception.fault is None
    assert [e.envelope for e in centre.journal.read()] == data


def test_a_full_journal_still_answers_hellos_from_what_is_on_disk(centre: Centre) -> None:
    centre.greet(centre.a)
    data = centre.a.mark()
    centre.store.full = True
    grant = centre.grant(centre.a)
    answers = centre.tick((centre.a, data), (centre.a, hello(centre.a, grant, AGAIN)))
    assert brief(answers) == [("Receipt", "his", 1, 0)]


def test_a_message_between_envelopes_is_answered_from_the_disk(centre: Centre) -> None:
    centre.greet(centre.a)
    first, second, grant = centre.a.mark(), centre.a.mark(), centre.grant(centre.a)
    answers = centre.tick((centre.a, first), (centre.a, hello(centre.a, grant, AGAIN)), (centre.a, second))
    assert [(one.session, one.seq) for one in answers] == [(SESSION, 1), (AGAIN, 1), (AGAIN, 2)]


def test_heads_are_remembered_now_and_then_and_a_restart_loses_none(centre: Centre) -> None:
    centre.greet(centre.a)
    for _ in range(5):
        centre.clock += 700_000
        centre.tick((centre.a, centre.a.mark()))
    assert 0 < centre.ledger.checkpoint() <= centre.journal.end
    centre.start()
    assert centre.head() == (1, 5)
    centre.greet(centre.a)
    assert brief(centre.tick((centre.a, centre.a.mark()))) == [("Receipt", "his", 1, 6)]


# enrolment and states


def enrol(sender: Sender) -> bytes:
    said = Enrol(
        agent=sender.agent,
        site="h1",
        secret=b"s".hex() * 32,
        signing_public=sender.signer.public.hex(),
        sources=("pacs",),
        version="1",
        time=1,
    )
    return messages.write_sealed(
        said, sender.signer, Recipient(CENTRE_KEY.public), b"e" * entropy_bytes(SUITE_1)
    )


def test_who_is_enrolled_may_send_at_once(centre: Centre) -> None:
    centre.ledger.invite(secret_hash(b"s" * 32), "h1", expires=5_000)
    new = Sender(7, Stream("h1", "pacs"))
    assert centre.tick((new, new.mark())) == []
    (answer,) = centre.tick((new, enrol(new)))
    assert answer.accepted
    new = Sender(7, Stream("h1", "pacs"))
    greeting = hello(new, from_base64(answer.grants[0]))
    answers = centre.tick((new, greeting), (new, new.mark()))
    assert brief(answers) == [("Receipt", "pacs", 1, 0), ("Receipt", "pacs", 1, 1)]
    late = Sender(8, Stream("h1", "pacs"))
    (answer,) = centre.tick((late, enrol(late)))
    assert not answer.accepted


def state(sender: Sender, status: dict[str, Any]) -> bytes:
    said = AgentState(agent=sender.agent, time=1, status=status)
    entropy = b"e" * entropy_bytes(SUITE_1)
    return messages.write_sealed(said, sender.first_key, Recipient(CENTRE_KEY.public), entropy)


def test_the_state_of_an_agent_is_kept(centre: Centre) -> None:
    data = state(centre.a, {"healthy": True, "名": "x"})
    assert centre.raw([(topics.state(centre.a.agent), data)]) == []
    assert centre.ledger.fleet() == {centre.a.agent: (1_000, {"healthy": True, "名": "x"})}
    centre.raw([(topics.state(centre.b.agent), data)])
    assert set(centre.ledger.fleet()) == {centre.a.agent}
    assert centre.metrics.refused == {"GC-5002": 1}


# hostile bytes


def test_nothing_a_message_does_can_delay_others(centre: Centre) -> None:
    centre.greet(centre.a)
    good = centre.a.mark()
    up, b_up = topics.up(centre.a.agent), topics.up(centre.b.agent)
    hostile = [
        ("guicang/v1/../up", good),
        ("elsewhere", good),
        (topics.up("f" * 32), good),
        (b_up, good),
        (up, b""),
        (up, b"GCMS"),
        (up, b"GCEV" + b"\xff" * 100),
        (up, good[:-3]),
        (up, b"\0" * (2 << 20)),
        (up, messages.MAGIC + b"\1\1\xee\x08" + b"x" * 300),
        (up, messages.write(messages.CentreState(online=False, instance=SESSION, time=1), CENTRE)),
        (up, messages.write(Hello(agent=centre.a.agent, session=SESSION, version="", time=1), CENTRE)),
    ]
    answers = centre.raw([*hostile, (up, good), *hostile])
    assert brief(answers) == [("Receipt", "his", 1, 1)]
    assert sum(centre.metrics.refused.values()) == 2 * len(hostile)
    assert centre.raw([(topics.down(centre.a.agent), good)]) == []


def test_what_an_agent_asks_about_is_not_remembered_without_bound(centre: Centre) -> None:
    """Of strangers nothing is remembered at all; of an enrolled agent as many streams as two hellos name."""
    for seed in range(40):
        stranger = Sender(seed + 10, Stream("h1", "his"))
        centre.tick((stranger, hello(stranger, b"no grant")), (stranger, stranger.mark()))
    assert (centre.reception._sessions, centre.reception._told) == ({}, {})
    centre.greet(centre.a)
    for number in range(STREAMS_TOLD_MAX + 100):
        asked = Sender(1, Stream("h1", f"s{number}"))
        centre.tick((asked, asked.mark()))
    assert set(centre.reception._told) == {centre.a.agent}
    assert len(centre.reception._told[centre.a.agent]) == STREAMS_TOLD_MAX
    assert brief(centre.tick((centre.a, centre.a.mark()))) == [("Receipt", "his", 1, 1)]


def test_the_grants_of_one_agent_are_as_many_as_a_hello_can_name(centre: Centre) -> None:
    for part in range(3):
        wants = tuple(f"s{part}-{number}" for number in range(250))
        answers = centre.tick((centre.a, hello(centre.a, None, session=str(part) * 32, wants=wants)))
    assert {kind for kind, *_ in brief(answers)} == {"Refusal"}
    assert centre.ledger.sources_granted(centre.a.agent) == SOURCES_MAX
    assert brief(centre.tick((centre.b, hello(centre.b, None, wants=("lis",))))) == [
        ("Grant", "lis", 1, None)
    ]


GOOD = Centre()
SAMPLES = [
    Sender(1).mark(),
    hello(GOOD.a, GOOD.grant(GOOD.a), wants=("his",)),
    state(GOOD.a, {"sources": []}),
    enrol(Sender(7)),
]


@settings(max_examples=150, deadline=None)
@given(
    sample=st.sampled_from(SAMPLES),
    at=st.integers(0, 10_000),
    cut=st.integers(0, 40),
    more=st.binary(max_size=40),
)
def test_changed_bytes_raise_nothing_and_change_nothing(
    sample: bytes, at: int, cut: int, more: bytes
) -> None:
    start = at % len(sample)
    data = sample[:start] + more + sample[start + cut :]
    before = (GOOD.head(), GOOD.journal.end, sum(GOOD.metrics.refused.values()))
    answers = GOOD.raw([(topics.up(GOOD.a.agent), data)])
    if data not in SAMPLES:
        assert answers == []
        assert (GOOD.head(), GOOD.journal.end, sum(GOOD.metrics.refused.values())) == (
            *before[:2],
            before[2] + 1,
        )


def test_an_agent_whose_key_signs_nonsense_is_refused_too(centre: Centre) -> None:
    """The signature fits; the payload is no hello."""
    for payload in (b"", b"{}", b"[" * 3_000, b'{"agent":1}', b"\xff\xfe"):
        data = messages._frame(MessageType.HELLO, payload, centre.a.first_key)
        assert centre.tick((centre.a, data)) == []
    assert centre.metrics.refused == {"GC-4004": 5}


def test_unused_answer_types_are_refused(centre: Centre) -> None:
    said = messages.Answer(agent=centre.a.agent, id=SESSION, done=True)
    assert centre.tick((centre.a, messages.write(said, centre.a.first_key))) == []
    assert centre.metrics.refused == {"GC-4004": 1}
