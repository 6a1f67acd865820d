"""The receiver: the loop between the link and reception. It waits, collects and publishes; it decides nothing.

Arrivals of one tick are processed together on a worker thread, so that one sync of the disk serves them all
and the loop stays free to hear the broker. What waits for its tick stands in the inbox, which is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress

from protocol import messages, topics
from protocol.errors import Transient
from protocol.link.link import Connected, Disconnected, Link, Message, Will
from protocol.messages import CentreState
from protocol.signing import Signer

from .inbox import Inbox
from .reception import Outgoing, Reception

log = logging.getLogger("central.receiver")

STATE_SECONDS = 10.0
"""The centre's state is said again this often, in case the broker lost it."""


GOODBYE_SECONDS = 2.0


class CentreVoice:
    """The signed, retained word whether the centre takes data. A new `instance` with every start."""

    def __init__(self, signer: Signer, wall: Callable[[], int]) -> None:
        self._signer = signer
        self._wall = wall
        self._instance = secrets.token_hex(16)

    def state(self, online: bool) -> bytes:
        state = CentreState(online=online, instance=self._instance, time=self._wall())
        return messages.write(state, self._signer)

    def will(self) -> Will:
        return Will(topics.CENTRE_STATE, self.state(False), retain=True)


class Receiver:
    def __init__(
        self,
        link: Link,
        reception: Reception,
        voice: CentreVoice,
        *,
        inbox: Inbox,
        tick_seconds: float,
        journaled: Callable[[], None],
    ) -> None:
        self._link = link
        self._reception = reception
        self._voice = voice
        self._tick_seconds = tick_seconds
        self._journaled = journaled
        self._inbox = inbox
        self._arrived = asyncio.Event()
        self._to_announce = asyncio.Event()
        self.connected = False
        self.reason = ""

    async def run(self) -> None:
        """Until cancelled; then the agents are told before the link is given up, not by our will."""
        listening = asyncio.create_task(self._listen())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_outcome_of(listening))
                group.create_task(self._work())
                group.create_task(self._announce())
        finally:
            await self._say_goodbye()
            await self._link.aclose()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _say_goodbye(self) -> None:
        if not self._link.connected:
            return
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._link.send(topics.CENTRE_STATE, self._voice.state(False), retain=True)
        except (Transient, TimeoutError):
            log.info("the broker did not hear our goodbye; our will tells the agents")

    async def _listen(self) -> None:
        async for event in self._link.events():
            match event:
                case Message(topics.CENTRE_STATE, _):
                    pass  # our own word, which the pattern of the agents' states also catches
                case Message(topic, payload):
                    self._inbox.put(topic, payload)
                    self._arrived.set()
                case Connected():
                    self.connected, self.reason = True, ""
                    self._to_announce.set()
                case Disconnected(code, reason):
                    if self.connected or not self.reason:
                        log.warning("%s %s", code, reason)
                    self.connected, self.reason = False, f"{code} {reason}"

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            await asyncio.sleep(self._tick_seconds)
            self._arrived.clear()
            arrivals = self._inbox.take()
            if self._inbox:
                self._arrived.set()
            out = await self._process(arrivals)
            self._journaled()
            await self._publish(out)

    async def _process(self, arrivals: list[tuple[str, bytes]]) -> list[Outgoing]:
        """A tick that has begun is seen to its end, also when we are stopped meanwhile: its thread is at work
        on journal and ledger, which are closed after us."""
        tick = asyncio.create_task(asyncio.to_thread(self._reception.process, arrivals))
        try:
            return await asyncio.shield(tick)
        except asyncio.CancelledError:
            await tick
            raise

    async def _announce(self) -> None:
        """At each connection, and again now and then. In a task of its own: hearing never waits for speaking."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    STATE_SECONDS
                ):  # wait_for loses a cancellation that meets the event
                    await self._to_announce.wait()
            self._to_announce.clear()
            if self._link.connected:
                await self._publish([], announce=True)

    async def _publish(self, out: list[Outgoing], announce: bool = False) -> None:
        """What cannot be sent is not kept: agents ask again (a hello, a resend)."""
        try:
            async with asyncio.TaskGroup() as group:
                if announce:
                    state = self._voice.state(True)
                    group.create_task(self._link.send(topics.CENTRE_STATE, state, retain=True))
                for message in out:
                    group.create_task(self._link.send(message.topic, message.payload))
        except* Transient:
            log.info("the link went down before %d answers were sent", len(out))


async def _outcome_of(task: asyncio.Task[None]) -> None:
    """Ends as `task` ends, but to cancel this is not to cancel it."""
    await asyncio.shield(task)
