"""A broker in memory, with faults by seed: the link of the simulator and of tests.

Keeps the promises of link.py and no more, so that what works over it works over MQTT. Every fault is drawn
from one seeded generator: the same calls in the same order meet the same faults. Time comes in as `sleep`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from protocol.errors import Transient
from protocol.link.feed import Feed
from protocol.link.link import Connected, Disconnected, LinkEvent, Message, Will

Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances from 0 to 1 of each fault, drawn per delivery (`disconnect` also per send).

    A dropped message is acknowledged all the same. A reordered one waits until another has overtaken it, and
    for ever when none comes. A disconnect on send strikes before or after the broker took the message.
    Retained messages are not dropped on subscribing: a broker sends them with each connection.
    """

    drop: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    delay_seconds_max: float = 1.0
    disconnect: float = 0.0


NO_FAULTS = Faults()


class MemoryBroker:
    """Routes messages between its links. Everything but `aclose` is synchronous and takes effect at once."""

    def __init__(
        self,
        seed: int = 0,
        faults: Faults = NO_FAULTS,
        *,
        sleep: Sleep = asyncio.sleep,
        reconnect_seconds: float = 0.05,
    ) -> None:
        self.faults = faults
        self._random = random.Random(seed)  # noqa: S311 (faults, not secrets)
        self._sleep = sleep
        self._reconnect_seconds = reconnect_seconds
        self._running = True
        self._retained: dict[str, bytes] = {}
        self._sessions: dict[str, _Session] = {}
        self._delayed: set[asyncio.Task[None]] = set()

    def link(self, client_id: str, subscriptions: Sequence[str] = (), will: Will | None = None) -> MemoryLink:
        return MemoryLink(self, client_id, subscriptions, will)

    def stop(self) -> None:
        """The broker dies as by kill -9: every link is lost, retained messages are forgotten, no will is sent."""
        self._running = False
        self._retained.clear()
        for session in list(self._sessions.values()):
            self._end(session)

    def start(self) -> None:
        """Let links connect again."""
        self._running = True

    def cut(self, client_id: str) -> None:
        """The connection of this client breaks without a goodbye: its will is published."""
        if (session := self._sessions.get(client_id)) is not None:
            self._break(session)

    async def aclose(self) -> None:
        """Forget what is still delayed."""
        for task in self._delayed:
            task.cancel()
        await asyncio.gather(*self._delayed, return_exceptions=True)

    async def _pause(self) -> None:
        await self._sleep(self._reconnect_seconds)

    def _attach(self, link: MemoryLink) -> _Session | None:
        if not self._running:
            return None
        self.cut(link.client_id)  # as in MQTT, the newcomer takes over
        session = self._sessions[link.client_id] = _Session(link)
        session.put(Connected())
        for topic, payload in self._retained.items():
            if session.wants(topic):
                self._carry(session, Message(topic, payload, retained=True))
        return session

    def _end(self, session: _Session) -> None:
        if self._sessions.get(session.link.client_id) is session:
            del self._sessions[session.link.client_id]
        session.lost.set()

    def _break(self, session: _Session) -> None:
        self._end(session)
        if (will := session.link.will) is not None:
            self._route(Message(will.topic, will.payload), retain=will.retain)

    def _take(self, session: _Session, message: Message, *, retain: bool) -> None:
        if self._happens(self.faults.disconnect):
            if self._happens(0.5):
                self._route(message, retain=retain)
            self._break(session)
        else:
            self._route(message, retain=retain)

    def _route(self, message: Message, *, retain: bool) -> None:
        if retain and message.payload:
            self._retained[message.topic] = message.payload
        elif retain:
            self._retained.pop(message.topic, None)
        for session in list(self._sessions.values()):
            if not session.wants(message.topic) or self._happens(self.faults.drop):
                continue
            if self._happens(self.faults.disconnect):
                self._break(session)
            else:
                self._carry(session, message)

    def _carry(self, session: _Session, message: Message) -> None:
        copies = 2 if self._happens(self.faults.repeat) else 1
        for _ in range(copies):
            if self._happens(self.faults.delay):
                seconds = self._random.uniform(0, self.faults.delay_seconds_max)
                task = asyncio.get_running_loop().create_task(self._deliver_later(session, message, seconds))
                self._delayed.add(task)
                task.add_done_callback(self._delayed.discard)
            elif session.overtaken is None and self._happens(self.faults.reorder):
                session.overtaken = message
            else:
                session.deliver(message)

    async def _deliver_later(self, session: _Session, message: Message, seconds: float) -> None:
        await self._sleep(seconds)
        session.deliver(message)

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self._random.random() < chance


class MemoryLink:
    """A `Link` to a `MemoryBroker`."""

    def __init__(
        self, broker: MemoryBroker, client_id: str, subscriptions: Sequence[str], will: Will | None
    ) -> None:
        self.client_id = client_id
        self.subscriptions = tuple(subscriptions)
        self.will = will
        self._broker = broker
        self._session: _Session | None = None
        self._feed = Feed(self._run)

    @property
    def connected(self) -> bool:
        return self._session is not None and not self._session.lost.is_set()

    def events(self) -> AsyncIterator[LinkEvent]:
        return self._feed.events()

    async def aclose(self) -> None:
        """Say goodbye (no will is published) and end `events()`."""
        await self._feed.aclose()

    async def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        if not topic or "+" in topic or "#" in topic:
            raise ValueError("a message needs a topic without wildcards")
        session = self._session
        if session is None or session.lost.is_set():
            raise Transient("GC-4001", broker="memory", reason="not connected")
        self._broker._take(session, Message(topic, payload), retain=retain)
        await asyncio.sleep(0)  # an ack never comes before others had their turn
        if session.lost.is_set():
            raise Transient("GC-4001", broker="memory", reason="connection lost")

    async def _run(self) -> None:
        while True:
            self._session = self._broker._attach(self)
            if self._session is None:
                self._feed.put(Disconnected("GC-4001", "unreachable"))
            else:
                await self._stay(self._session)
                self._feed.put(Disconnected("GC-4001", "connection lost"))
            await self._broker._pause()

    async def _stay(self, session: _Session) -> None:
        try:
            await session.lost.wait()
        finally:
            self._broker._end(session)
            self._session = None


class _Session:
    """One connection of one link, from attaching to loss."""

    def __init__(self, link: MemoryLink) -> None:
        self.link = link
        self._exact = {one for one in link.subscriptions if not {"+", "#"} & set(one)}
        self._patterns = [one for one in link.subscriptions if one not in self._exact]
        self.lost = asyncio.Event()
        self.overtaken: Message | None = None

    def wants(self, topic: str) -> bool:
        return topic in self._exact or any(matches(one, topic) for one in self._patterns)

    def put(self, event: LinkEvent) -> None:
        self.link._feed.put(event)

    def deliver(self, message: Message) -> None:
        """Hand over, unless the connection is gone; whatever was to be overtaken follows."""
        if self.lost.is_set():
            return
        self.put(message)
        if self.overtaken is not None:
            late, self.overtaken = self.overtaken, None
            self.put(late)


def matches(topic_filter: str, topic: str) -> bool:
    """Whether an MQTT topic filter covers a topic (MQTT 3.1.1, section 4.7)."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(
        w in ("+", level) for w, level in zip(wanted, levels, strict=True)
    )
