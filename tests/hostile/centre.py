"""A centre as the daemon puts it together, over memory: reception, journal and lander under one roof, with an honest
agent beside whoever attacks, so that each test can say that nothing else was delayed.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from central_ingest.admission import Admission
from central_ingest.again import Again as AskingAgain
from central_ingest.enrolment import Enrolment
from central_ingest.grants import Grants
from central_ingest.ledger.ledger import AgentRecord
from central_ingest.receipts import Credit, Receipts
from central_ingest.reception import Reception
from central_ingest.restart import restore
from protocol import messages, topics
from protocol.envelope import Kind
from protocol.keys import opener
from protocol.limits import MIB
from protocol.messages import Again, Expected, Grant, MessageType, Payload, Receipt, Refusal
from protocol.names import Stream, TableName
from protocol.signing import SUITE_1, SUITES
from tests.unit.central_ingest.landing.ground import Ground
from tests.unit.central_ingest.sender import (
    CENTRE,
    CENTRE_KEY,
    OTHER_STREAM,
    SITE,
    STREAM,
    VISITS,
    Sender,
    a_batch,
)
from tests.unit.central_ingest.test_reception import hello

MODELS: dict[MessageType, type[Payload]] = {m.type: m for m in (Receipt, Expected, Grant, Refusal, Again)}
Arrival = tuple[str, bytes]
Answer = tuple[str, str, object]
"""Agent, kind, and the sequence or code."""
EVIL, HONEST = Stream(SITE, "evil"), OTHER_STREAM
MEMORY_BYTES_MAX = 8 * MIB
"""What refusing a message may allocate beyond the message itself."""


class Centre(Ground):
    """`evil` and `honest` are enrolled and have said hello."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "files")
        self.evil, self.honest = Sender(1, EVIL), Sender(2, HONEST)
        for one in (self.evil, self.honest):
            record = AgentRecord(one.agent, SITE, 1, one.signer.public, "1", 0, None)
            self.ledger.invite(one.agent.encode(), SITE, 10)
            assert self.ledger.use_invitation(one.agent.encode(), SITE, record, 1)
        self.roster = restore(self.ledger, self.journal, SUITES)
        self.grants = Grants(self.ledger, self.roster, CENTRE, SUITE_1)
        self.now = 1_000
        self.reception = self._reception()
        self.start()
        self.greet(self.evil)
        self.greet(self.honest)
        self._ids = 0
        self.tick(self.honest, self.honest.send(Kind.SCHEMA, VISITS.content))
        self.before = self.book()

    def _reception(self) -> Reception:
        centre = opener(CENTRE_KEY)
        return Reception(
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
            wall=lambda: self.now,
            again=AskingAgain(self.journal, self.ledger, self.roster, CENTRE, SUITES),
        )

    def greet(self, sender: Sender, session: str = "5" * 32) -> list[Answer]:
        return self.tick(sender, hello(sender, self.grant(sender), session))

    def grant(self, sender: Sender) -> bytes:
        if not any(g.epoch == sender.epoch for g in self.ledger.grants(sender.stream)):
            self.ledger.add_grant(sender.stream, sender.epoch, sender.agent, 1)
        return self.grants._write(sender.stream, sender.member(), sender.epoch, 1)

    def tick(self, sender: Sender, *data: bytes) -> list[Answer]:
        return self.arrive(*((topics.up(sender.agent), one) for one in data))

    def arrive(self, *arrivals: Arrival) -> list[Answer]:
        """What one tick answers: verified, read, and each on the topic of the agent that it names."""
        heard: list[Answer] = []
        for out in self.reception.process(arrivals):
            message = messages.parse(out.payload)
            messages.verify(message, SUITE_1, CENTRE.public)
            said = messages.read(message, MODELS[message.type])
            agent, _ = topics.agent_of(out.topic)
            assert said.model_dump()["agent"] == agent
            word = getattr(said, "seq", getattr(said, "code", getattr(said, "last", None)))
            heard.append((agent, type(said).__name__, word))
        return heard

    def book(self) -> tuple[object, ...]:
        """All that an attack must not move: where evil's stream stands, what is journaled, who is who."""
        tenure = self.roster.tenure(EVIL)
        assert tenure is not None
        streams = sorted(t.stream for t in self.roster.tenures())
        return (tenure.head, tenure.public, streams, [e.envelope for e in self.journal.read()])

    def honest_batch(self) -> bytes:
        self._ids += 1
        return self.honest.send(Kind.BATCH, a_batch(VISITS, [self._ids]))

    def refuses(self, *hostile: Arrival, code: str) -> list[Answer]:
        """Each is refused with `code`, counted, and moves nothing; an honest envelope between and behind them in the
        same tick is journaled, receipted and lands. Returns what else was answered."""
        counted = self.metrics.refused[code]
        others = sum(self.metrics.refused.values()) - counted
        first, second = self.honest_batch(), self.honest_batch()
        up = topics.up(self.honest.agent)
        half = len(hostile) // 2
        answers = self.arrive(*hostile[:half], (up, first), *hostile[half:], (up, second))
        assert self.metrics.refused[code] == counted + len(hostile), self.metrics.refused
        assert sum(self.metrics.refused.values()) == others + self.metrics.refused[code], self.metrics.refused
        return self.unmoved(answers, first, second)

    def takes(self, *poison: bytes) -> None:
        """What is authentic and next is journaled and receipted whatever is in it, and honest rows land beside it."""
        honest = self.honest_batch()
        arrivals = [*self.up(*poison), (topics.up(self.honest.agent), honest)]
        assert (self.evil.agent, "Receipt", self.evil.head.seq) in self.arrive(*arrivals)
        assert [e.envelope for e in self.journal.read()][-len(poison) - 1 :] == [*poison, honest]
        self.land()
        assert self.landed() == list(range(1, self._ids + 1))

    def parks(self, *poison: bytes, code: str, table: TableName | None = None) -> None:
        """It is taken, and parks `table` of evil's stream, or the stream where that is None, and nothing else; also
        after a restart, which tries again."""
        self.takes(*poison)
        for _ in range(2):
            parked = self.parked()
            assert list(parked.values()) == [code], parked
            ((stream, path),) = parked
            record = None if table is None else self.record(EVIL, table)
            assert (stream, path) == (EVIL, "" if record is None else record.path)
            self.start()
            self.land()

    def unmoved(self, answers: list[Answer], *honest: bytes) -> list[Answer]:
        """Nothing moved but the honest agent, whose receipt is among `answers`; the rest of them is returned."""
        *mine, journaled = self.before
        *now, journal = self.book()
        assert isinstance(journaled, list)
        assert now == mine
        assert journal == [*journaled, *honest]
        self.before = (*now, journal)
        receipts = [one for one in answers if one[:2] == (self.honest.agent, "Receipt")]
        assert receipts[-1][2] == self.honest.head.seq
        self.land()
        assert self.landed() == list(range(1, self._ids + 1))
        return [one for one in answers if one not in receipts]

    def landed(self, stream: Stream = HONEST) -> list[int]:
        """Ids of `visits` in the lake."""
        record = self.record(stream, VISITS.table)
        if record is None or self.lake.schema(record.path) is None:
            return []
        return [row["id"] for row in self.lake.read(record.path, ["id"]).to_pylist() if row["id"] is not None]

    def up(self, *data: bytes) -> list[Arrival]:
        """As arrivals on evil's topic."""
        return [(topics.up(self.evil.agent), one) for one in data]


@contextmanager
def bounded(bytes_max: int = MEMORY_BYTES_MAX) -> Iterator[None]:
    """Python's own allocations stay below the bound while this lasts."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < bytes_max, f"{peak} bytes"


__all__ = ["EVIL", "HONEST", "STREAM", "Arrival", "Centre", "bounded"]
