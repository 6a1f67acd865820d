"""The loop between a link and a reception, over a broker in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from central_ingest.inbox import Inbox
from central_ingest.receiver import CentreVoice, Receiver
from protocol import messages, topics
from protocol.link.link import Connected, Message
from protocol.link.memory import MemoryBroker, MemoryLink
from protocol.messages import CentreState, Expected, Receipt
from protocol.signing import SUITE_1

from .sender import CENTRE, Sender
from .test_reception import Centre, hello


class Scene:
    """A receiver at work and an agent's link that hears what it says."""

    def __init__(self) -> None:
        self.centre = Centre()
        self.broker = MemoryBroker(reconnect_seconds=0.001)
        voice = CentreVoice(CENTRE, lambda: 5)
        self.journaled = 0
        link = self.broker.link("centre", [topics.ALL_UP, topics.ALL_STATES], voice.will())
        self.receiver = Receiver(
            link,
            self.centre.reception,
            voice,
            inbox=Inbox(1 << 28, self.centre.metrics),
            tick_seconds=0.001,
            journaled=self._note,
        )
        agent = self.centre.a.agent
        self.agent = self.broker.link("agent", [topics.down(agent), topics.CENTRE_STATE])
        self.heard: asyncio.Queue[Any] = asyncio.Queue()

    def _note(self) -> None:
        self.journaled += 1

    async def listen(self) -> None:
        async for event in self.agent.events():
            match event:
                case Connected():
                    await self.heard.put("connected")
                case Message(_, payload):
                    message = messages.parse(payload)
                    messages.verify(message, SUITE_1, CENTRE.public)
                    models: dict[Any, Any] = {m.type: m for m in (CentreState, Receipt, Expected)}
                    await self.heard.put(messages.read(message, models[message.type]))

    async def next(self, kind: type[Any]) -> Any:
        async with asyncio.timeout(5):
            while not isinstance(one := await self.heard.get(), kind):
                pass
            return one

    async def say(self, sender: Sender, data: bytes) -> None:
        await self.agent.send(topics.up(sender.agent), data)


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    listening = asyncio.create_task(scene.listen())
    running = asyncio.create_task(scene.receiver.run())
    try:
        await scene.next(str)
        yield scene
    finally:
        for task in (running, listening):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await scene.broker.aclose()


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(5_000):
        if holds():
            return
        await asyncio.sleep(0.001)


async def test_the_centre_says_that_it_is_there_and_answers() -> None:
    async with scene() as one:
        assert (await one.next(CentreState)).online
        sender = one.centre.a
        await one.say(sender, hello(sender, one.centre.grant(sender)))
        assert (await one.next(Receipt)).seq == 0
        for _ in range(3):
            await one.say(sender, sender.mark())
        while (await one.next(Receipt)).seq < 3:
            pass
        assert one.receiver.connected
        assert one.journaled >= 2


async def test_it_says_goodbye() -> None:
    one = Scene()
    listening = asyncio.create_task(one.listen())
    running = asyncio.create_task(one.receiver.run())
    assert (await one.next(CentreState)).online
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    said = await one.next(CentreState)
    assert not said.online
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


async def test_after_a_lost_connection_it_announces_itself_again() -> None:
    async with scene() as one:
        first = await one.next(CentreState)
        one.broker.cut("centre")
        gone, again = await one.next(CentreState), await one.next(CentreState)
        assert (gone.online, again.online) == (False, True)
        assert again.instance == first.instance
        sender = one.centre.a
        await one.say(sender, hello(sender, one.centre.grant(sender)))
        assert (await one.next(Receipt)).seq == 0


async def test_a_broker_that_is_away_is_said_and_waited_for() -> None:
    one = Scene()
    one.broker.stop()
    running = asyncio.create_task(one.receiver.run())
    async with asyncio.timeout(5):
        await until(lambda: bool(one.receiver.reason))
        assert one.receiver.reason.startswith("GC-4001")
        one.broker.start()
        await until(lambda: one.receiver.connected)
    assert one.receiver.reason == ""
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_its_own_state_is_not_taken_for_a_message() -> None:
    async with scene() as one:
        await one.next(CentreState)
        sender = one.centre.a
        await one.say(sender, hello(sender, one.centre.grant(sender)))
        await one.next(Receipt)
        assert sum(one.centre.metrics.refused.values()) == 0


async def test_a_tick_that_has_begun_is_seen_to_its_end() -> None:
    """When `run` returns, no thread works on journal or ledger any more: they are closed next."""
    one = Scene()
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    real = one.centre.reception.process

    def slow(arrivals: Any) -> Any:
        begun.set()
        go_on.wait(5)
        out = real(arrivals)
        ended.set()
        return out

    one.centre.reception.process = slow  # type: ignore[method-assign]
    running = asyncio.create_task(one.receiver.run())
    link: MemoryLink = one.agent
    listening = asyncio.create_task(one.listen())
    await one.next(CentreState)
    await link.send(topics.up(one.centre.a.agent), b"x")
    await asyncio.to_thread(begun.wait, 5)
    running.cancel()
    await asyncio.sleep(0.01)
    go_on.set()
    with suppress(asyncio.CancelledError):
        await running
    assert ended.is_set()
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
