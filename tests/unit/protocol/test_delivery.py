"""Delivery: both halves against each other over a channel that loses, repeats, delays and breaks, by seed.

The agent is `Outbound`, the centre is `judge` and `advance`; time is virtual. What must hold: the centre admits
1..n in order, each once; once the faults stop everything is receipted; nothing but a single probe goes beyond
the credit; nothing is forgotten that was not admitted (promises 2 and 4).
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.delivery import (
    BACKOFF_FACTOR_MAX,
    HELLO_SECONDS,
    RESEND_SECONDS,
    SILENCES_MAX,
    TRANSITIONS,
    Event,
    Head,
    Outbound,
    Outcome,
    Phase,
    Verdict,
    advance,
    judge,
)
from protocol.envelope import Gap, Header, Kind
from protocol.names import Stream

STREAM = Stream("H1", "his")
EPOCH = 4
STEP_SECONDS = 0.5
FAULTS_SECONDS = 120.0
PATIENCE_SECONDS = 4_000.0


def header(seq: int, previous: bytes, *, gap: Gap | None = None, epoch: int = EPOCH) -> Header:
    return Header(
        suite=1,
        kind=Kind.GAP if gap else Kind.BATCH,
        stream=STREAM,
        epoch=epoch,
        seq=seq,
        previous=previous,
        plain_bytes=1,
        cipher_bytes=1,
        signing_key=b"k",
        sealing_key=b"k",
        capsule=b"",
        extension=gap.to_bytes() if gap else b"",
    )


def digest_of(head: Header) -> bytes:
    return hashlib.blake2b(head.to_bytes(), digest_size=32).digest()


@dataclass(frozen=True)
class Item:
    """One envelope of the agent's spool; `end` is its offset from the epoch's first."""

    header: Header
    digest: bytes
    end: int


def chain(chance: random.Random, count: int) -> dict[int, Item]:
    """Envelopes 1..n by sequence, of which some are gaps over several sequences."""
    items: dict[int, Item] = {}
    seq, previous, end = 1, b"", 0
    for _ in range(count):
        gap = None
        if chance.random() < 0.15:
            gap = Gap(seq + chance.randrange(3), chance.randbytes(32))
        head = header(seq, previous, gap=gap)
        end += chance.randint(1, 100)
        items[seq] = Item(head, digest_of(head), end)
        previous = gap.resume if gap else items[seq].digest
        seq = head.last_seq + 1
    return items


@dataclass
class Channel:
    """Two ways. While `faulty`: loses, repeats and delays (so reorders); afterwards the next step delivers."""

    chance: random.Random
    faulty: bool = True
    queue: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    order: itertools.count[int] = field(default_factory=itertools.count)

    def send(self, now: float, deliver: Callable[[float], None]) -> None:
        copies = self.chance.choice([0, 1, 1, 1, 2]) if self.faulty else 1
        for _ in range(copies):
            delay = self.chance.choice([0.0, 0.1, 1.0, 12.0, 40.0]) if self.faulty else 0.0
            heapq.heappush(self.queue, (now + delay, next(self.order), deliver))

    def run(self, now: float) -> None:
        while self.queue and self.queue[0][0] <= now:
            heapq.heappop(self.queue)[2](now)


class Centre:
    def __init__(self, chance: random.Random, channel: Channel, ends: dict[int, int]) -> None:
        self.chance, self.channel, self.ends = chance, channel, ends
        self.head = Head(EPOCH)
        self.hashes: dict[int, bytes] = {}
        self.admitted: list[int] = []
        self.session = ""
        self.credit = 0
        self._missed: set[tuple[str, int]] = set()
        self.agent: Agent

    def hello(self, session: str, now: float) -> None:
        self.session, self.credit = session, 0
        self._receipt(self.head.seq, self.head.chain, now)

    def envelope(self, item: Item, now: float) -> None:
        verdict = judge(self.head, item.header, item.digest, self.hashes.get)
        if verdict is Verdict.NEXT:
            self.head = advance(item.header, item.digest)
            self.hashes[self.head.seq] = self.head.hash
            self.admitted.append(item.header.seq)
        elif verdict is Verdict.AHEAD:
            self._expected(now)
            return
        else:
            assert verdict is Verdict.SEEN
        self._receipt(self.head.seq, self.head.chain, now)

    def _expected(self, now: float) -> None:
        missing = (self.session, self.head.seq + 1)
        if missing not in self._missed:
            self._missed.add(missing)
            session, seq, credit = self.session, self.head.seq + 1, self._grant()
            self.channel.send(now, lambda t: self.agent.expected(session, seq, credit, t))

    def _receipt(self, seq: int, digest: bytes, now: float) -> None:
        session, credit = self.session, self._grant()
        self.channel.send(now, lambda t: self.agent.receipt(session, seq, digest, credit, t))

    def _grant(self) -> int:
        """Credit never falls within a session; often there is no room at all."""
        window = self.chance.choice([0, 0, 150, 1000])
        self.credit = max(self.credit, self.ends.get(self.head.seq, 0) + window)
        return self.credit


class Agent:
    def __init__(
        self, chance: random.Random, channel: Channel, items: dict[int, Item], centre: Centre
    ) -> None:
        self.chance, self.channel, self.items, self.centre = chance, channel, items, centre
        self.out = Outbound(EPOCH)
        self.last = max(i.header.last_seq for i in items.values())
        self.hashes = {i.header.last_seq: advance(i.header, i.digest).chain for i in items.values()}
        self.heard_credit = self.heard_seq = self.forgotten = 0
        self._sessions = itertools.count(1)

    def hash_at(self, seq: int) -> bytes | None:
        return None if seq > self.last else self.hashes.get(seq, b"")

    def greet(self, now: float) -> None:
        session = f"{next(self._sessions):032x}"
        self.out.greet(session, now)
        self.heard_credit = 0
        self.channel.send(now, lambda t: self.centre.hello(session, t))

    def receipt(self, session: str, seq: int, digest: bytes, credit: int, now: float) -> None:
        welcome = session == self.out.session and self.out.phase is Phase.GREETING
        outcome = self.out.receipt(session, seq, digest, credit, now, self.hash_at)
        assert outcome is not Outcome.FORK
        if session == self.out.session and self.out.phase is not Phase.AWAY:
            self.heard_credit = max(self.heard_credit, credit)
            self.heard_seq = seq if welcome else max(self.heard_seq, seq)
        if outcome is Outcome.FORGET:
            assert seq <= self.centre.head.seq, "forgot what was never admitted"
            self.forgotten = max(self.forgotten, seq)

    def expected(self, session: str, seq: int, credit: int, now: float) -> None:
        self.out.expected(session, seq, credit, now)
        if session == self.out.session and self.out.phase in (Phase.PROBING, Phase.FLOWING):
            self.heard_credit = max(self.heard_credit, credit)

    def step(self, now: float) -> None:
        jitter = self.chance.random()
        if self.out.phase is Phase.AWAY or self.out.tick(now, jitter):
            self.greet(now)
        for _ in range(20):
            item = self.items.get(self.out.next_seq)
            if item is None or not self.out.may_send(item.end, now, jitter):
                break
            if item.end > self.heard_credit:
                assert item.header.seq == self.heard_seq + 1, "more than the probe above the credit"
            self.out.sent(now, item.header.last_seq)
            self.channel.send(now, lambda t, item=item: self.centre.envelope(item, t))  # type: ignore[misc]


class World:
    def __init__(self, seed: int, count: int) -> None:
        self.chance = random.Random(seed)
        self.channel = Channel(self.chance)
        self.items = chain(self.chance, count)
        ends = {i.header.last_seq: i.end for i in self.items.values()}
        self.centre = Centre(self.chance, self.channel, ends)
        self.agent = Agent(self.chance, self.channel, self.items, self.centre)
        self.centre.agent = self.agent
        self.now = 0.0

    def run(self, until: Callable[[], bool], patience: float = PATIENCE_SECONDS) -> None:
        deadline = self.now + patience
        while not until():
            assert self.now < deadline, f"stuck in {self.agent.out.phase} at {self.agent.out.receipted}"
            self.step()

    def step(self) -> None:
        self.now += STEP_SECONDS
        if self.channel.faulty and self.chance.random() < 0.02:
            self.agent.out.lose()
        self.channel.run(self.now)
        self.agent.step(self.now)
        self.channel.run(self.now)
        assert self.centre.admitted == list(self.items)[: len(self.centre.admitted)], "out of order or twice"

    def finish(self) -> None:
        """The faults stop; what they delayed still arrives."""
        self.channel.faulty = False
        self.run(lambda: self.agent.forgotten == self.agent.last)
        assert self.centre.admitted == list(self.items)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 25))
def test_everything_arrives_once_and_in_order(seed: int, count: int) -> None:
    world = World(seed, count)
    while world.now < FAULTS_SECONDS:
        world.step()
    world.finish()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_centre_restored_from_a_backup_gets_the_rest_again(seed: int) -> None:
    world = World(seed, 15)
    world.channel.faulty = False
    world.run(lambda: world.agent.forgotten == world.agent.last)
    kept = world.chance.randrange(len(world.items))
    world.centre.admitted = world.centre.admitted[:kept]
    world.centre.head, world.centre.hashes = Head(EPOCH), {}
    for seq in world.centre.admitted:
        item = world.items[seq]
        world.centre.head = advance(item.header, item.digest)
        world.centre.hashes[world.centre.head.seq] = world.centre.head.hash
    world.channel.faulty = True
    world.agent.out.lose()
    for _ in range(100):
        world.step()
    world.channel.faulty = False
    world.run(lambda: world.centre.admitted == list(world.items))
    world.run(lambda: world.agent.out.receipted == world.agent.last)


def test_a_day_of_silence_is_survived() -> None:
    """A centre that takes connections and never answers: hellos go on, seldom, for ever."""
    out, now, hellos = Outbound(EPOCH), 0.0, 1
    out.greet("s", now)
    while now < 200_000:
        now += 30
        if out.tick(now, 0.5):
            out.greet("s", now)
            hellos += 1
    assert (
        200_000 / (HELLO_SECONDS * BACKOFF_FACTOR_MAX * 2)
        < hellos
        < 200_000 / (HELLO_SECONDS * BACKOFF_FACTOR_MAX) + 20
    )


# ---- the table ----


def reach(phase: Phase) -> Outbound:
    out = Outbound(EPOCH)
    if phase is not Phase.AWAY:
        out.greet("s", 0.0)
    if phase in (Phase.PROBING, Phase.FLOWING):
        out.receipt("s", 0, b"", 0, 0.0, lambda _: b"")
    if phase is Phase.FLOWING:
        out.receipt("s", 1, b"h", 0, 0.0, lambda _: b"h")
    if phase is Phase.STOPPED:
        out.stop()
    assert out.phase is phase
    return out


@pytest.mark.parametrize("phase", Phase)
def test_calls_follow_the_table(phase: Phase) -> None:
    def after(event: Event) -> Phase:
        return TRANSITIONS.get((phase, event), phase)

    out = reach(phase)
    out.lose()
    assert out.phase is after(Event.LOST)
    out = reach(phase)
    out.stop()
    assert out.phase is after(Event.STOP)
    out = reach(phase)
    if phase is Phase.STOPPED:
        with pytest.raises(KeyError):
            out.greet("t", 0.0)
    else:
        out.greet("t", 0.0)
        assert out.phase is after(Event.GREETED)


def test_every_phase_is_reachable_and_left_only_as_listed() -> None:
    assert {phase for phase, _ in TRANSITIONS} == set(Phase)
    assert set(TRANSITIONS.values()) == set(Phase)
    assert {TRANSITIONS[Phase.STOPPED, event] for phase, event in TRANSITIONS if phase is Phase.STOPPED} == {
        Phase.STOPPED
    }


def test_nothing_is_sent_before_the_welcome_or_after_a_stop() -> None:
    for phase in (Phase.AWAY, Phase.GREETING, Phase.STOPPED):
        assert not reach(phase).may_send(0, 1e9, 0.0)


def test_probing_sends_one_and_waits() -> None:
    out = reach(Phase.PROBING)
    assert out.may_send(100, 0.0, 0.0)
    out.sent(0.0)
    assert not out.may_send(200, 0.0, 0.0)
    assert out.receipt("s", 1, b"h", 500, 0.0, lambda _: b"h") is Outcome.FORGET
    assert out.may_send(500, 0.0, 0.0)
    assert not out.may_send(501, 0.0, 0.0)


def test_without_credit_one_probe_follows_a_silence() -> None:
    out = reach(Phase.FLOWING)
    assert not out.may_send(1, RESEND_SECONDS, 0.0)
    assert out.may_send(1, RESEND_SECONDS + 0.1, 0.0)
    assert not out.may_send(1, RESEND_SECONDS + 0.1, 0.9), "jitter waits longer"
    out.sent(RESEND_SECONDS + 0.1)
    assert not out.may_send(2, 100.0, 0.0)


def test_silence_rewinds_to_the_last_receipt_and_at_last_says_hello() -> None:
    out, now = reach(Phase.FLOWING), 0.0
    out.receipt("s", 1, b"h", 1000, now, lambda _: b"h")
    for _ in range(3):
        out.sent(now)
    assert out.next_seq == 5
    for silence in range(1, SILENCES_MAX + 1):
        now += 1000
        assert out.tick(now, 0.0) is (silence == SILENCES_MAX)
        assert (out.phase, out.next_seq) == (Phase.PROBING, 2)
        out.sent(now)


def test_expected_rewinds_once_per_gap_and_never_below_a_receipt() -> None:
    out = reach(Phase.FLOWING)
    out.receipt("s", 1, b"h", 1000, 0.0, lambda _: b"h")
    for _ in range(5):
        out.sent(0.0)
    out.expected("s", 3, 1000, 0.0)
    assert out.next_seq == 3
    out.sent(0.0)
    out.expected("s", 3, 1000, 0.0)
    assert out.next_seq == 4, "once per gap"
    out.receipt("s", 3, b"h", 1000, 0.0, lambda _: b"h")
    out.expected("s", 2, 1000, 0.0)
    assert out.next_seq == 4, "a late word about what was receipted since"
    out.expected("other", 2, 5000, 0.0)
    assert (out.next_seq, out.credit) == (4, 1000)


def test_forks_stop() -> None:
    for answer in (b"other", None):
        for phase in (Phase.GREETING, Phase.PROBING, Phase.FLOWING):
            out = reach(phase)
            assert out.receipt("s", 9, b"h", 0, 0.0, lambda _, a=answer: a) is Outcome.FORK  # type: ignore[misc]
            assert out.phase is Phase.STOPPED
            assert out.receipt("s", 9, b"h", 0, 0.0, lambda _: b"h") is Outcome.STALE


def test_other_sessions_and_forgotten_hashes() -> None:
    out = reach(Phase.FLOWING)
    assert out.receipt("old", 9, b"x", 99, 0.0, lambda _: b"h") is Outcome.STALE
    assert (out.phase, out.credit) == (Phase.FLOWING, 0)
    assert out.receipt("s", 9, b"x", 99, 0.0, lambda _: b"") is Outcome.FORGET


def test_credit_is_the_highest_since_the_hello() -> None:
    out = reach(Phase.FLOWING)
    out.receipt("s", 1, b"h", 500, 0.0, lambda _: b"h")
    out.receipt("s", 1, b"h", 100, 0.0, lambda _: b"h")
    assert out.credit == 500
    out.greet("t", 0.0)
    assert out.credit == 0


# ---- the centre's half ----

FIRST = header(1, b"")
HASH = digest_of(FIRST)
HEAD = Head(EPOCH, 5, b"five")
KNOWN = {3: b"three", 4: b"four", 5: b"five"}.get
GAP = Gap(7, b"seven")


@pytest.mark.parametrize(
    ("head", "arrives", "verdict"),
    [
        (None, FIRST, Verdict.UNGRANTED),
        (Head(EPOCH - 1, 5, b"five"), FIRST, Verdict.UNGRANTED),
        (Head(EPOCH + 1), FIRST, Verdict.FENCED),
        (Head(EPOCH), FIRST, Verdict.NEXT),
        (Head(EPOCH, 1, HASH), FIRST, Verdict.SEEN),
        (Head(EPOCH, 1, b"other"), FIRST, Verdict.SEEN),
        (HEAD, header(6, b"five"), Verdict.NEXT),
        (HEAD, header(6, b"other"), Verdict.FORK),
        (HEAD, header(7, b"six"), Verdict.AHEAD),
        (HEAD, header(4, b"three"), Verdict.FORK),
        (HEAD, header(2, b"one"), Verdict.SEEN),
        (HEAD, header(6, b"five", gap=GAP), Verdict.NEXT),
        (HEAD, header(7, b"six", gap=GAP), Verdict.AHEAD),
        (HEAD, header(5, b"four", gap=GAP), Verdict.NEXT),
        (HEAD, header(5, b"other", gap=GAP), Verdict.FORK),
        (HEAD, header(2, b"one", gap=GAP), Verdict.NEXT),
        (HEAD, header(5, b"four", gap=Gap(5, b"five")), Verdict.SEEN),
        (HEAD, header(5, b"four", gap=Gap(5, b"other")), Verdict.FORK),
        (Head(EPOCH, 7, b"gap", b"seven"), header(8, b"seven"), Verdict.NEXT),
        (Head(EPOCH, 7, b"gap", b"seven"), header(8, b"gap"), Verdict.FORK),
    ],
)
def test_verdicts(head: Head | None, arrives: Header, verdict: Verdict) -> None:
    assert judge(head, arrives, digest_of(arrives), KNOWN) is verdict


def test_a_repeated_gap_is_seen() -> None:
    gap = header(6, b"five", gap=GAP)
    head = advance(gap, digest_of(gap))
    assert (head.seq, head.hash, head.chain) == (7, digest_of(gap), b"seven")
    assert judge(head, gap, digest_of(gap), {7: head.hash}.get) is Verdict.SEEN
