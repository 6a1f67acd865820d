"""A small centre on a link in memory: greets, judges and receipts as the protocol says, and does what a test asks.

It decides with the real `protocol.delivery.judge` and keeps what it admitted; everything else is the test's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from protocol import envelope, messages, topics
from protocol.delivery import Head, Verdict, advance, judge
from protocol.errors import Transient
from protocol.keys import from_base64
from protocol.link.link import Message
from protocol.link.memory import MemoryBroker
from protocol.messages import (
    Again,
    Answer,
    CentreState,
    Expected,
    Gone,
    Grant,
    Hello,
    MessageType,
    Payload,
    Receipt,
    Refusal,
)
from protocol.sealing import verify
from protocol.signing import SUITE_1

from .keys import AGENT_KEY, CENTRE_KEY, IDENTITY, STREAM

AGENT = IDENTITY.agent
CREDIT = 1 << 40


def grant(epoch: int, *, agent: str = AGENT, site: str = STREAM.site, source: str = STREAM.source) -> bytes:
    key_id = SUITE_1.key_id(AGENT_KEY.public).hex()
    made = Grant(agent=agent, site=site, source=source, epoch=epoch, key_id=key_id, issued=1)
    return messages.write(made, CENTRE_KEY.signer())


@dataclass
class Centre:
    broker: MemoryBroker
    credit: int = CREDIT
    silent: bool = False
    """Admit, but say nothing of it."""
    heads: dict[int, Head] = field(default_factory=dict)
    hashes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    admitted: list[tuple[int, int]] = field(default_factory=list)
    """(epoch, sequence), in order."""
    verdicts: list[Verdict] = field(default_factory=list)
    hellos: list[Hello] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    gone: list[Gone] = field(default_factory=list)
    again: list[bytes] = field(default_factory=list)
    """Envelopes that came though they had been admitted, in order."""
    states: list[bytes] = field(default_factory=list)
    on_hello: Callable[[Hello], None] | None = None
    """Instead of the welcome."""
    instance: str = "1" * 32

    def __post_init__(self) -> None:
        self._link = self.broker.link("centre", [topics.ALL_UP, topics.ALL_STATES])
        self._task = asyncio.create_task(self._listen())
        self._outbox: asyncio.Queue[tuple[str, bytes, bool]] = asyncio.Queue()
        self._postman = asyncio.create_task(self._post())

    async def close(self) -> None:
        for task in (self._task, self._postman):
            task.cancel()
        await asyncio.gather(self._task, self._postman, return_exceptions=True)
        await self._link.aclose()

    def say(self, payload: Payload) -> None:
        self.send(messages.write(payload, CENTRE_KEY.signer()))

    def send(self, data: bytes) -> None:
        self._outbox.put_nowait((topics.down(AGENT), data, False))

    def online(self, online: bool = True) -> None:
        state = CentreState(online=online, instance=self.instance, time=1)
        data = messages.write(state, CENTRE_KEY.signer())
        self._outbox.put_nowait((topics.CENTRE_STATE, data, True))

    def restart(self) -> None:
        """A new instance, which knows what the old one admitted."""
        self.instance = f"{int(self.instance, 16) + 1:032x}"
        self.online()

    @property
    def session(self) -> str:
        return self.hellos[-1].session

    def refuse(self, code: str, epoch: int = 1) -> None:
        self.say(
            Refusal(
                agent=AGENT,
                session=self.session,
                site=STREAM.site,
                source=STREAM.source,
                epoch=epoch,
                code=code,
            )
        )

    def receipt(self, epoch: int, seq: int | None = None, digest: bytes | None = None) -> None:
        head = self.heads[epoch]
        self.say(
            Receipt(
                agent=AGENT,
                session=self.session,
                site=STREAM.site,
                source=STREAM.source,
                epoch=epoch,
                seq=head.seq if seq is None else seq,
                hash=(head.chain if digest is None else digest).hex(),
                credit=self.credit,
            )
        )

    def ask_again(self, first: int, last: int, digest: bytes, **changes: object) -> None:
        place = {
            "site": STREAM.site,
            "source": STREAM.source,
            "epoch": 1,
            "agent": AGENT,
            "session": self.session,
        }
        asked = {"first": first, "last": last, "before": "", "hash": digest.hex()}
        self.say(Again.model_validate(place | asked | changes))

    async def _post(self) -> None:
        while True:
            topic, data, retain = await self._outbox.get()
            while not self._link.connected:  # noqa: ASYNC110 (a test's link comes up at once)
                await asyncio.sleep(0)
            with suppress(Transient):  # lost on the way
                await self._link.send(topic, data, retain=retain)

    async def _listen(self) -> None:
        async for event in self._link.events():
            if isinstance(event, Message):
                self._hear(event.topic, event.payload)

    def _hear(self, topic: str, data: bytes) -> None:
        if topic == topics.CENTRE_STATE:
            return  # our own
        if topic == topics.state(AGENT):
            self.states.append(data)
        elif messages.is_message(data):
            self._message(data)
        else:
            self._envelope(data)

    def _message(self, data: bytes) -> None:
        message = messages.parse(data)
        messages.verify(message, SUITE_1, AGENT_KEY.public)
        if message.type is MessageType.ANSWER:
            self.answers.append(messages.read(message, Answer))
            return
        if message.type is MessageType.GONE:
            self.gone.append(messages.read(message, Gone))
            return
        hello = messages.read(message, Hello)
        self.hellos.append(hello)
        if self.on_hello is not None:
            self.on_hello(hello)
            return
        for stream in hello.streams:
            granted = messages.read(messages.parse(from_base64(stream.grant)), Grant)
            assert granted.epoch == stream.epoch
            self.heads.setdefault(stream.epoch, Head(stream.epoch))
            self.receipt(stream.epoch)

    def _envelope(self, data: bytes) -> None:
        parsed = envelope.parse(data)
        verify(parsed, SUITE_1, AGENT_KEY.public)
        assert self.hellos, "no data before a hello"
        header, digest = parsed.header, parsed.digest(SUITE_1)
        epoch = header.epoch
        verdict = judge(self.heads.get(epoch), header, digest, lambda seq: self.hashes.get((epoch, seq)))
        self.verdicts.append(verdict)
        if verdict is Verdict.SEEN:
            self.again.append(data)
        if verdict is Verdict.NEXT:
            self.heads[epoch] = advance(header, digest)
            self.hashes[epoch, header.seq] = digest
            self.admitted.append((epoch, header.seq))
        if self.silent:
            return
        if verdict is Verdict.AHEAD:
            self.say(
                Expected(
                    agent=AGENT,
                    session=self.session,
                    site=STREAM.site,
                    source=STREAM.source,
                    epoch=epoch,
                    seq=self.heads[epoch].seq + 1,
                    credit=self.credit,
                )
            )
        elif verdict in (Verdict.NEXT, Verdict.SEEN):
            self.receipt(epoch)
