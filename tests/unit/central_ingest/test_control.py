"""Commands at the centre: said to who is there, again until answered or expired; the first answer counts."""

from __future__ import annotations

import pytest

from central_ingest.control import AGAIN_MICROS, Control
from central_ingest.ledger.commands import FACTS_CHARS_MAX, CommandRecord, new_command
from protocol import messages
from protocol.errors import Rejected
from protocol.messages import Answer, Command
from protocol.signing import SUITE_1

from .ledgers import memory_ledger
from .sender import CENTRE, SESSION, STREAM, Sender
from .test_reception import Centre, hello

HOUR = 3_600 * 1_000_000
A, B = Sender(1).agent, Sender(2).agent


class Ground:
    def __init__(self) -> None:
        self.book = memory_ledger().commands
        self.now = 10 * HOUR
        self.start()

    def start(self) -> None:
        """The daemon, as after a restart."""
        self.control = Control(self.book, CENTRE)

    def ask(self, name: str = "pause", agent: str = A, table: str | None = None) -> CommandRecord:
        record = new_command(STREAM, agent, name, table, "wang", self.now, HOUR)
        self.book.add(record)
        return record

    def said(self, *agents: str, session: str = SESSION) -> list[tuple[str, Command]]:
        out = []
        for agent, data in self.control.due(dict.fromkeys(agents, session), self.now):
            message = messages.parse(data)
            messages.verify(message, SUITE_1, CENTRE.public)
            out.append((agent, messages.read(message, Command)))
        return out

    def ids(self, *agents: str, session: str = SESSION) -> list[str]:
        return [command.id for _, command in self.said(*agents, session=session)]

    def states(self) -> list[str]:
        return [one.state(self.now) for one in self.book.all()]


@pytest.fixture
def ground() -> Ground:
    return Ground()


def answer(record: CommandRecord, code: str | None = None, **changes: object) -> Answer:
    made = Answer(agent=record.agent, id=record.id, done=code is None, code=code, facts={"tables": "2"})
    return made.model_copy(update=changes)


def test_a_command_is_said_to_its_agent_as_it_was_given(ground: Ground) -> None:
    record = ground.ask("snapshot", table="his.门诊")
    assert ground.states() == ["waiting"]
    assert ground.said(B) == []
    ((agent, command),) = ground.said(A, B)
    assert (agent, command.agent, command.id, command.name) == (A, A, record.id, "snapshot")
    assert command.arguments == {"source": "his", "table": "his.门诊"}
    assert (command.issued, command.expires) == (ground.now, ground.now + HOUR)
    assert ground.states() == ["sent"]


def test_it_is_said_again_in_a_new_session_or_after_a_while(ground: Ground) -> None:
    one = ground.ask().id
    assert ground.ids(A) == [one]
    assert ground.ids(A) == []
    assert ground.ids(A, session="6" * 32) == [one]
    ground.now += AGAIN_MICROS - 1
    assert ground.ids(A, session="6" * 32) == []
    ground.now += 1
    assert ground.ids(A, session="6" * 32) == [one]
    ground.start()
    assert ground.ids(A, session="6" * 32) == [one]
    first = ground.book.all()[0].sent
    assert first == 10 * HOUR


def test_what_was_answered_or_has_expired_is_said_no_more(ground: Ground) -> None:
    done, refused, expired = ground.ask(), ground.ask(), ground.ask()
    assert ground.ids(A) == sorted(one.id for one in (done, refused, expired))
    ground.control.take(A, answer(done), ground.now + 1)
    ground.control.take(A, answer(refused, "GC-4012"), ground.now + 2)
    ground.now += HOUR
    assert ground.ids(A) == [expired.id]
    ground.now += 1
    assert ground.ids(A) == []
    by_id = {one.id: one for one in ground.book.all()}
    assert {id: one.state(ground.now) for id, one in by_id.items()} == {
        done.id: "done",
        refused.id: "refused",
        expired.id: "expired",
    }
    assert (by_id[done.id].answered, by_id[done.id].facts) == (10 * HOUR + 1, {"tables": "2"})
    assert by_id[refused.id].code == "GC-4012"


def test_the_first_answer_counts(ground: Ground) -> None:
    record = ground.ask()
    ground.control.take(A, answer(record, "GC-4013"), 1)
    ground.control.take(A, answer(record), 2)
    (kept,) = ground.book.all()
    assert (kept.answered, kept.code) == (1, "GC-4013")


def test_an_answer_that_nobody_asked_for_is_refused(ground: Ground) -> None:
    record = ground.ask()
    for agent, said in (
        (B, answer(record)),
        (B, answer(record, agent=B)),
        (A, answer(record, id="0" * 32)),
    ):
        with pytest.raises(Rejected) as caught:
            ground.control.take(agent, said, 1)
        assert caught.value.code == "GC-4004"
    assert ground.states() == ["waiting"]


def test_an_answer_may_not_fill_the_ledger(ground: Ground) -> None:
    record = ground.ask()
    ground.control.take(A, answer(record, facts={"x": "y" * FACTS_CHARS_MAX}), 1)
    assert ground.book.all()[0].facts == {}


def test_who_asked_for_what_is_in_the_audit() -> None:
    ledger = memory_ledger()
    ledger.commands.add(new_command(STREAM, A, "snapshot", "db.visits", "wang", 5, HOUR))
    assert ledger.audits() == [(5, "wang", f"command snapshot h1/his db.visits to {A}")]


def test_reception_says_it_after_the_hello_and_takes_the_answer_under_the_agent_s_own_key() -> None:
    centre = Centre()
    record = new_command(STREAM, centre.a.agent, "pause", None, "wang", centre.clock, HOUR)
    centre.ledger.commands.add(record)
    centre.control()
    assert [type(one) for one in centre.tick((centre.b, hello(centre.b, None)))] == []
    (said,) = centre.tick((centre.a, hello(centre.a, None)))
    assert (type(said), said.id) == (Command, record.id)
    forged = messages.write(answer(record), centre.b.first_key)
    assert centre.tick((centre.a, forged), (centre.b, forged)) == []
    assert centre.metrics.refused == {"GC-5002": 1, "GC-4004": 1}
    assert centre.ledger.commands.all()[0].answered is None
    assert centre.tick((centre.a, messages.write(answer(record), centre.a.first_key))) == []
    assert centre.ledger.commands.all()[0].answered == centre.clock
    assert centre.tick((centre.a, hello(centre.a, None, "6" * 32))) == []


def test_a_command_that_is_given_later_is_said_within_a_second_and_never_to_the_revoked() -> None:
    centre = Centre()
    centre.control()
    for one in (centre.a, centre.b):
        centre.tick((one, hello(one, None)))
    centre.ledger.revoke(centre.b.agent, 5)
    for one in (centre.a, centre.b):
        record = new_command(STREAM, one.agent, "pause", None, "wang", centre.clock, HOUR)
        centre.ledger.commands.add(record)
    centre.clock += 1_000_001
    (said,) = centre.tick()
    assert said.agent == centre.a.agent
