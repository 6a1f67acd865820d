"""An enrolled agent that ignores its credit, over the real receiver: the inbox stays bounded, what it has no room for
is counted and sent again, and the honest agent is served with the first tick.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from central_ingest.inbox import Inbox
from protocol import topics
from protocol.limits import KIB
from tests.unit.central_ingest.test_receiver import Scene, scene, until
from tests.unit.central_ingest.test_reception import hello

INBOX_BYTES = 64 * KIB
FLOOD = 600


class Bounded(Inbox):
    """Remembers the most that it ever held."""

    most = 0

    def put(self, topic: str, payload: bytes) -> None:
        super().put(topic, payload)
        self.most = max(self.most, self.held_bytes)


async def greet(one: Scene) -> None:
    for sender in (one.centre.a, one.centre.b):
        await one.say(sender, hello(sender, one.centre.grant(sender)))
    await until(lambda: len(one.centre.reception._sessions) == 2)


async def test_an_agent_that_ignores_its_credit() -> None:
    async with scene() as one:
        inbox = one.receiver._inbox = Bounded(INBOX_BYTES, one.centre.metrics)
        await greet(one)
        begun, go_on = threading.Event(), threading.Event()
        process = one.centre.reception.process
        ticks: list[Sequence[tuple[str, bytes]]] = []

        def slow(arrivals: Sequence[tuple[str, bytes]]) -> Any:
            ticks.append(arrivals)
            begun.set()
            go_on.wait(10)
            return process(arrivals)

        one.centre.reception.process = slow  # type: ignore[method-assign, assignment]
        evil, honest = one.centre.a, one.centre.b
        flood = [evil.mark(number) for number in range(FLOOD)]
        for data in flood:
            await one.say(evil, data)
        word = honest.mark()
        await one.say(honest, word)
        await until(lambda: begun.is_set() and inbox.most > INBOX_BYTES // 2)
        assert inbox.most <= INBOX_BYTES
        assert one.centre.metrics.arrivals_dropped > 0
        go_on.set()
        await until(lambda: one.centre.head(honest.stream) == (1, 1))
        assert any((topics.up(honest.agent), word) in tick for tick in ticks[:2])
        one.centre.reception.process = process  # type: ignore[method-assign]
        await until(lambda: not inbox)
        while (
            at := one.centre.head()[1]
        ) < FLOOD:  # sent again from what is expected, as the protocol has it
            for data in flood[at : at + 20]:
                await one.say(evil, data)
            await until(lambda at=at: one.centre.head() > (1, at))  # type: ignore[misc]
            assert one.centre.head() > (1, at)
        assert one.centre.head() == (1, FLOOD)
        journal = [entry.envelope for entry in one.centre.journal.read()]
        assert [data for data in journal if data != word] == flood
