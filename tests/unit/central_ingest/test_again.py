"""Lost envelopes are asked for until they came, and nothing but exactly those is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from central_ingest import again
from central_ingest.again import AGAIN_MICROS, TIMES_MAX, Again
from central_ingest.landing.holes import Holes
from central_ingest.ledger.broken import broken_epochs
from central_ingest.ledger.holes import HoleRecord
from protocol import messages
from protocol.envelope import parse
from protocol.messages import Gone
from protocol.signing import SUITES

from . import test_reception as reception
from .sender import CENTRE, SESSION, STREAM, Sender
from .test_reception import AGAIN, brief

RECEIVED = 1_000
TICK_MICROS = 2_000_000


class Centre(reception.Centre):
    """Six envelopes of A and of B were admitted; those of A from `first` to `last` rotted, then it started again."""

    def __init__(self, first: int = 3, last: int = 5, landed: int = 0) -> None:
        super().__init__()
        for one in (self.a, self.b):
            self.greet(one)
        for _ in range(6):
            for one in (self.a, self.b):
                self.tick((one, one.mark()))
        entries = list(self.journal.read())
        for seq in range(first, last + 1):
            self.store.rot(entries[2 * seq - 2].offset, entries[2 * seq - 1].offset)
        self.landed = landed
        self.restart()

    def restart(self) -> None:
        self.start()
        holes = Holes(self.journal, self.ledger, SUITES, lambda: self.clock)
        low_water = {STREAM: self.landed}
        holes.recover(low_water)
        assert holes.look(low_water, self.journal.end)
        self.again = Again(self.journal, self.ledger, self.roster, CENTRE, SUITES)
        self.reception._again = self.again

    @property
    def hole(self) -> HoleRecord:
        return self.ledger.holes.all()[0]

    def pass_time(self, micros: int = TICK_MICROS) -> list[Any]:
        self.clock += micros
        return asked(self.tick())

    def send(self, *seqs: int) -> list[Any]:
        """A answers with these."""
        return self.tick(*((self.a, self.a.sent[seq]) for seq in seqs))

    def is_whole(self) -> bool:
        envelopes = [e.envelope for e in self.journal.read()]
        return all(envelopes.count(data) == 1 for one in (self.a, self.b) for data in one.sent.values())

    def refuses(self, code: str, data: bytes, sender: Sender | None = None) -> None:
        """It is counted and changes nothing; what is asked for is taken all the same."""
        book, entries = self.ledger.holes.all(), list(self.journal.read())
        self.tick((sender or self.a, data))
        assert self.metrics.refused == {code: 1}
        assert (self.ledger.holes.all(), list(self.journal.read())) == (book, entries)
        self.send(5, 4, 3)
        assert self.is_whole()


reception.MODELS[messages.MessageType.AGAIN] = messages.Again


def asked(answers: list[Any]) -> list[Any]:
    return [one for one in answers if isinstance(one, messages.Again)]


def gone(sender: Sender, seq: int, session: str = SESSION, **changes: Any) -> bytes:
    names: dict[str, Any] = {"agent": sender.agent, "site": STREAM.site, "source": STREAM.source, "epoch": 1}
    names |= changes
    return messages.write(Gone(**names, session=session, seq=seq), sender.signer)


@pytest.fixture
def centre() -> Centre:
    one = Centre()
    (said,) = asked(one.greet(one.a))
    assert (said.first, said.last) == (3, 5)
    return one


def test_the_holder_is_asked_by_the_hashes_around_what_is_missing() -> None:
    centre = Centre()
    assert asked(centre.greet(centre.b)) == [], "another's"
    answers = centre.greet(centre.a)
    assert brief(answers[:1]) == [("Receipt", "his", 1, 6)], "its head has not moved"
    (said,) = asked(answers)
    assert (said.session, said.epoch, said.first, said.last) == (SESSION, 1, 3, 5)
    assert (said.before, said.hash) == (hash_of(centre, 2), hash_of(centre, 5))


def hash_of(centre: Centre, seq: int) -> str:
    return parse(centre.a.sent[seq + 1]).header.previous.hex()


def test_what_comes_is_journaled_in_its_place_and_counts_once_it_is(centre: Centre) -> None:
    assert centre.send(5, 4) == []
    assert (centre.hole.hole.last, centre.hole.came, centre.hole.state) == (3, 2, "open")
    centre.send(3)
    assert centre.is_whole()
    assert (centre.hole.state, centre.hole.came) == ("healed", 3)
    assert centre.hole.came_bytes == sum(len(centre.a.sent[seq]) for seq in (3, 4, 5))
    assert centre.journal.damage == ()
    assert centre.metrics.refused == {}
    assert {e.received for e in centre.journal.read()} == {RECEIVED}
    assert centre.pass_time(AGAIN_MICROS) == []


def test_it_is_asked_again_until_answered_in_a_new_session_and_after_a_restart(centre: Centre) -> None:
    assert centre.pass_time() == [], "just asked"
    assert len(centre.pass_time(AGAIN_MICROS)) == 1
    assert len(asked(centre.greet(centre.a, AGAIN))) == 1
    centre.send(5)
    centre.restart()
    (said,) = asked(centre.greet(centre.a))
    assert (said.first, said.last, said.hash) == (3, 4, hash_of(centre, 4))
    centre.send(4, 3)
    assert centre.is_whole()


def test_a_long_answer_is_asked_on_at_once(monkeypatch: pytest.MonkeyPatch, centre: Centre) -> None:
    monkeypatch.setattr(again, "AGAIN_BYTES", len(centre.a.sent[5]) + 1)
    assert asked(centre.send(5)) == []
    (said,) = asked(centre.send(4))
    assert (said.first, said.last) == (3, 3)


def test_out_of_order_only_what_is_proven_is_taken(centre: Centre) -> None:
    centre.send(3, 4, 5, 3, 4)
    assert (centre.hole.hole.last, centre.hole.came) == (3, 2)
    assert centre.metrics.refused == {}


def test_a_full_disk_takes_nothing_and_it_is_asked_again(centre: Centre) -> None:
    centre.store.full = True
    centre.send(5, 4, 3)
    assert (centre.hole.hole.last, centre.hole.came) == (5, 0)
    centre.store.full = False
    assert [one.last for one in centre.pass_time(AGAIN_MICROS)] == [5]
    centre.send(5, 4, 3)
    assert centre.is_whole()


# what is not what was asked for


def other_bytes(centre: Centre) -> bytes:
    """Signed by the holder, in the right place, with the right predecessor."""
    other = Sender(1)
    while other.head.seq < 4:
        other.mark(0)
    other.head = replace(other.head, hash=bytes.fromhex(hash_of(centre, 4)))
    return other.mark(99)


def a_gap(centre: Centre) -> bytes:
    """It claims to go on where the chain does."""
    other = Sender(1)
    while other.head.seq < 4:
        other.mark(0)
    return other.gap(5, bytes.fromhex(hash_of(centre, 5)))


def bad_signature(centre: Centre) -> bytes:
    data = centre.a.sent[5]
    return data[:-1] + bytes((data[-1] ^ 1,))


@pytest.mark.parametrize(
    ("forge", "code"), [(other_bytes, "GC-6036"), (a_gap, "GC-6036"), (bad_signature, "GC-5002")]
)
def test_another_envelope_in_its_place_is_refused(
    centre: Centre, forge: Callable[[Centre], bytes], code: str
) -> None:
    centre.refuses(code, forge(centre))


def test_what_is_missing_is_taken_from_its_holder_alone(centre: Centre) -> None:
    centre.greet(centre.b)
    centre.refuses("GC-5002", centre.a.sent[5], centre.b)


def test_answers_to_nothing_of_this_session_are_refused(centre: Centre) -> None:
    for data in (
        gone(centre.a, 2),
        gone(centre.a, 6),
        gone(centre.a, 5, AGAIN),
        gone(centre.a, 5, epoch=2),
        gone(centre.a, 5, source="lis"),
        gone(centre.a, 5, agent=centre.b.agent),
    ):
        centre.tick((centre.a, data))
    centre.greet(centre.b)
    centre.tick((centre.b, gone(centre.b, 5)))
    assert centre.metrics.refused == {"GC-4004": 7}
    assert (centre.hole.state, broken_epochs(centre.ledger)) == ("open", {})


# what cannot come again


def test_what_the_agent_no_longer_has_breaks_the_epoch_where_it_had_not_landed(centre: Centre) -> None:
    centre.send(5)
    centre.tick((centre.a, gone(centre.a, 4)))
    assert (centre.hole.state, centre.hole.came) == ("gone", 1)
    assert broken_epochs(centre.ledger) == {STREAM: 1}
    centre.clock += TICK_MICROS
    assert brief(centre.tick()) == [("Refusal", "his", 1, "GC-3010")]
    assert centre.pass_time(AGAIN_MICROS) == []


def test_what_had_landed_and_is_gone_breaks_nothing() -> None:
    centre = Centre(landed=1 << 40)
    centre.greet(centre.a)
    centre.tick((centre.a, gone(centre.a, 5)))
    assert (centre.hole.state, centre.hole.waits) == ("gone", False)
    assert broken_epochs(centre.ledger) == {}


def test_an_agent_that_never_answers_is_given_up(centre: Centre) -> None:
    questions = 1 + sum(len(centre.pass_time(AGAIN_MICROS)) for _ in range(TIMES_MAX + 3))
    assert questions == TIMES_MAX
    assert centre.hole.state == "gone"
    assert broken_epochs(centre.ledger) == {STREAM: 1}


def test_an_absent_agent_is_waited_for() -> None:
    centre = Centre()
    centre.greet(centre.b)
    for _ in range(TIMES_MAX + 3):
        assert centre.pass_time(AGAIN_MICROS) == []
    assert centre.hole.state == "open"


@pytest.mark.parametrize("why", ["a newer epoch", "revoked"])
def test_an_epoch_that_is_over_is_asked_for_no_more(centre: Centre, why: str) -> None:
    if why == "revoked":
        centre.ledger.revoke(centre.a.agent, 5)
        centre.pass_time()
    else:
        centre.a.begin(2)
        assert asked(centre.greet(centre.a)) == []
    assert centre.pass_time(AGAIN_MICROS) == []
    assert centre.hole.state == "gone"
    assert broken_epochs(centre.ledger) == {STREAM: 1}, "what waits for it must go on"


def test_what_does_not_fit_is_given_up(centre: Centre) -> None:
    centre.store.damage.clear()
    centre.send(5)
    assert centre.hole.state == "gone"
    assert broken_epochs(centre.ledger) == {STREAM: 1}


def test_few_holes_are_asked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "AT_ONCE_MAX", 1)
    centre = Centre(first=3, last=3)
    entry = list(centre.journal.read())[1]
    centre.store.rot(entry.offset, list(centre.journal.read())[2].offset)
    centre.restart()
    centre.greet(centre.b)
    first = asked(centre.greet(centre.a))
    assert len(first) + len(centre.pass_time()) <= 1
    assert len(centre.pass_time(AGAIN_MICROS)) == 1
