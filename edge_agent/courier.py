"""The courier: carries envelopes from the spool to the link until each has its receipt.

Invariant 2: an envelope leaves the spool only for a receipt that names it by hash; what the broker
acknowledges proves nothing. All decisions about order, credit and retries are `protocol.delivery`'s; this
loop hears the link, feeds the tables of delivery, and sends what they allow.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Any

from protocol import VERSION, messages, topics
from protocol.delivery import Outbound, Outcome, Phase
from protocol.errors import Fault, Permanent, Rejected, Transient
from protocol.keys import to_base64
from protocol.link.link import Connected, Disconnected, Link, Message
from protocol.messages import (
    Again,
    AgentState,
    Answer,
    CentreState,
    Command,
    Expected,
    Hello,
    MessageType,
    Receipt,
    Refusal,
    StreamHead,
)
from protocol.names import Stream
from protocol.sealing import entropy_bytes
from protocol.signing import SUITE_1

from .again import SendingAgain
from .identity import Centre, Grants, Identity
from .obeying import refuse_all
from .spool.records import StreamState
from .spool.spool import Spool

log = logging.getLogger("edge.courier")

IN_FLIGHT_MAX = 16
"""Publishes that wait for the broker's ack at the same time."""
WINDOW_BYTES = 4 << 20
TICK_SECONDS = 0.5
ASK_SECONDS = 10.0
"""A missing (spare) grant is asked for again this often."""
ENDED = ("GC-3006", "GC-3007", "GC-3010")
"""Refusals after which nothing more is taken in the present epoch."""
RETURN_JITTER_SECONDS = 2.0
"""After the centre's return a thousand agents do not say hello in the same instant."""


class Courier:
    def __init__(
        self,
        *,
        link: Link,
        spool: Spool,
        identity: Identity,
        centre: Centre,
        grants: Grants,
        sources: list[str],
        now: Callable[[], float],
        wall: Callable[[], int],
        rng: random.Random,
        obey: Callable[[Command], Answer] = refuse_all,
    ) -> None:
        """`obey` does what a command says, durably, and is called on a worker thread."""
        self._link = link
        self._spool = spool
        self._identity = identity
        self._centre = centre
        self._grants = grants
        self._sources = sources
        self._now = now
        self._wall = wall
        self._rng = rng
        self._obey = obey
        self._outbound: dict[Stream, Outbound] = {}
        self._session = ""
        self._instance = ""
        self._greeted_at = 0.0
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._sending: set[asyncio.Task[None]] = set()
        self._again = SendingAgain(identity.agent, spool, identity.signer, self._send_when_free, self._say)
        self.connected = False
        self.centre_online = False
        self.link_fault: Fault | None = None
        self.refused: dict[str, str] = {}
        """Source → code, where the centre does not take a stream."""
        self.messages_refused: Counter[str] = Counter()
        """By code: what came under the centre's name, or to nobody, and was not believed."""

    async def run(self) -> None:
        """Until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._spool.subscribe(lambda: self._from_any_thread(self._wake.set))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                group.create_task(self._work())
                group.create_task(self._tick())
                group.create_task(self._again.run())
        finally:
            await self._link.aclose()

    async def publish_state(self, status: dict[str, Any]) -> None:
        """Tell the centre what `status` shows, sealed; what cannot be told now is told next time."""
        if not self._link.connected:
            return
        state = AgentState(agent=self._identity.agent, time=self._wall(), status=status)
        signer = self._identity.signer
        entropy = secrets.token_bytes(entropy_bytes(SUITE_1))
        try:
            data = messages.write_sealed(state, signer, self._centre.for_messages, entropy)
            await self._link.send(topics.state(self._identity.agent), data, retain=True)
        except (Transient, Rejected):
            log.debug("the state could not be told")

    def epoch_opened(self) -> None:
        """A stream has a new epoch: it is announced in a new hello. From any thread."""
        self._from_any_thread(self._greet_again)

    def _from_any_thread(self, callback: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def _greet_again(self) -> None:
        self._session = ""
        self._wake.set()

    # hearing

    async def _listen(self) -> None:
        async for event in self._link.events():
            match event:
                case Connected():
                    self.connected, self.link_fault = True, None
                case Disconnected(code, reason):
                    self._lost()
                    self.connected = False
                    kind = Permanent if code == "GC-4002" else Transient
                    self.link_fault = kind(code, broker=self._centre.broker, reason=reason)
                case Message(_, payload):
                    try:
                        await self._hear(payload)
                    except Rejected as fault:
                        self._note_refused(fault)
                    except Transient as fault:  # the centre says it again
                        log.warning("a message was not heard: %s", fault)
            self._wake.set()

    def _note_refused(self, fault: Rejected) -> None:
        """Counted, and said once for each code: whoever can speak on our topic must not fill the log."""
        level = logging.DEBUG if fault.code in self.messages_refused else logging.WARNING
        log.log(level, "a message was refused: %s", fault)
        self.messages_refused[fault.code] += 1

    def _lost(self) -> None:
        self.centre_online = False
        self._session = ""
        self._again.forget()
        for one in self._outbound.values():
            one.lose()

    async def _hear(self, payload: bytes) -> None:
        message = messages.parse(payload)
        messages.verify(message, SUITE_1, self._centre.signing_public)
        match message.type:
            case MessageType.CENTRE_STATE:
                await self._centre_state(messages.read(message, CentreState))
            case MessageType.RECEIPT:
                await self._receipt(messages.read(message, Receipt), payload)
            case MessageType.EXPECTED:
                said = messages.read(message, Expected)
                if one := self._of(said.agent, said.site, said.source, said.epoch):
                    one.expected(said.session, said.seq, said.credit, self._now())
            case MessageType.GRANT:
                grant = self._grants.keep(payload)
                self.refused.pop(grant.source, None)
            case MessageType.REFUSAL:
                self._refusal(messages.read(message, Refusal))
            case MessageType.COMMAND:
                await self._command(messages.read(message, Command))
            case MessageType.AGAIN:
                self._again.hear(messages.read(message, Again), self._session)
            case _:
                raise Rejected("GC-4004", reason="type")

    async def _centre_state(self, state: CentreState) -> None:
        returned = state.online and state.instance != self._instance and bool(self._instance)
        if not state.online:
            self._lost()
        elif state.instance != self._instance or not self.centre_online:
            if returned:
                await asyncio.sleep(self._rng.random() * RETURN_JITTER_SECONDS)
            self._session = ""
            self._instance = state.instance
        self.centre_online = state.online

    def _of(self, agent: str, site: str, source: str, epoch: int) -> Outbound | None:
        if agent != self._identity.agent:
            raise Rejected("GC-5003", agent=agent)
        one = self._outbound.get(Stream(site, source))
        return one if one is not None and one.epoch == epoch else None

    async def _receipt(self, said: Receipt, payload: bytes) -> None:
        one = self._of(said.agent, said.site, said.source, said.epoch)
        if one is None:
            return
        stream = Stream(said.site, said.source)
        digest = bytes.fromhex(said.hash)
        outcome = one.receipt(
            said.session,
            said.seq,
            digest,
            said.credit,
            self._now(),
            lambda seq: self._spool.hash_at(stream, seq),
        )
        if outcome is Outcome.FORGET:
            await asyncio.to_thread(self._spool.receipt, stream, said.epoch, said.seq, digest, payload)
        elif outcome is Outcome.FORK:
            self._stop(stream, one.epoch, "GC-3006")

    def _refusal(self, said: Refusal) -> None:
        if said.agent != self._identity.agent or said.session != self._session:
            return
        stream = Stream(said.site, said.source)
        own = self._spool.stream(stream)
        if said.code in ENDED and own is not None and said.epoch < own.epoch:
            return  # it was said of an epoch that has ended here already; the centre has not heard of ours yet
        self.refused[said.source] = said.code
        if said.code in ENDED:
            if own is not None:
                self._stop(stream, own.epoch, said.code)
        elif stream in self._outbound:
            self._outbound[stream].lose()

    def _stop(self, stream: Stream, epoch: int, code: str) -> None:
        """The epoch is over, unless another one has begun meanwhile. The agent opens one when it has a grant."""
        if self._spool.stop(stream, epoch, code):
            log.error("%s stops in this epoch: %s", stream, code)
        one = self._outbound.get(stream)
        if one is not None and one.epoch == epoch:
            del self._outbound[stream]
            one.stop()

    async def _command(self, said: Command) -> None:
        if said.agent != self._identity.agent:
            raise Rejected("GC-4010")
        answer = await asyncio.to_thread(self._obey, said)
        await self._say(messages.write(answer, self._identity.signer))

    # speaking

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not (self.connected and self.centre_online):
                continue
            try:
                if not self._session:
                    await self._greet()
                for stream, one in list(self._outbound.items()):
                    await self._pump(stream, one)
            except Transient as fault:  # the spool's disk: the next tick tries again
                log.warning("nothing was sent: %s", fault)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            jitter = self._rng.random()
            for one in self._outbound.values():
                if one.tick(self._now(), jitter):
                    self._session = ""
            due = self.centre_online and self._now() - self._greeted_at > ASK_SECONDS
            if due and (self.refused or self._wants()):
                self._session = ""
            self._wake.set()

    def _wants(self) -> list[str]:
        """Sources without a spare grant. One that their present epoch has used (a message that came twice, a
        crash between opening and spending) is none."""
        return [s for s in self._sources if not self._has_spare(s)]

    def _has_spare(self, source: str) -> bool:
        spare, state = self._grants.spare(source), self._spool.stream(self._grants.stream(source))
        return spare is not None and (state is None or spare[0] > state.epoch)

    async def _greet(self) -> None:
        """Say hello with every stream that can go on, and ask for the grants that are missing."""
        session = secrets.token_hex(16)
        states = [s for s in self._spool.streams() if s.stopped is None and s.stream.source in self._sources]
        hello = Hello(
            agent=self._identity.agent,
            session=session,
            version=VERSION,
            time=self._wall(),
            streams=tuple(_head(s) for s in states),
            wants=tuple(self._wants()),
        )
        self._session, self._greeted_at = session, self._now()
        self.refused.clear()
        for state in states:
            one = self._outbound.get(state.stream)
            if one is None or one.epoch != state.epoch:
                one = self._outbound[state.stream] = Outbound(state.epoch, state.receipted_seq)
            one.greet(session, self._now())
        await self._say(messages.write(hello, self._identity.signer))

    async def _say(self, payload: bytes) -> None:
        try:
            await self._link.send(topics.up(self._identity.agent), payload)
        except Transient:
            log.debug("the link went down while speaking")

    async def _pump(self, stream: Stream, one: Outbound) -> None:
        """Send what delivery allows now."""
        while one.phase in (Phase.PROBING, Phase.FLOWING):
            seq = one.next_seq
            spooled = self._spool.hash_at(stream, seq) is not None
            try:
                window = await asyncio.to_thread(self._spool.window, stream, seq, WINDOW_BYTES)
            except Rejected as fault:
                self._stop(stream, one.epoch, fault.code)
                return
            if spooled and not window and seq == one.next_seq:
                # The centre lost what we forgot long ago: only a new epoch helps.
                self._stop(stream, one.epoch, "GC-3006")
                return
            sent = 0
            for stored in window:
                if stored.seq != one.next_seq or not one.may_send(
                    stored.end_offset, self._now(), self._rng.random()
                ):
                    break
                await self._slots.acquire()
                if stored.seq != one.next_seq or one.phase not in (Phase.PROBING, Phase.FLOWING):
                    self._slots.release()
                    break
                one.sent(self._now(), stored.last_seq)
                sent += 1
                self._start(stored.data)
            if sent < len(window) or not window:
                return

    async def _send_when_free(self, data: bytes) -> None:
        await self._slots.acquire()
        self._start(data)

    def _start(self, data: bytes) -> None:
        task = asyncio.create_task(self._carry(data))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _carry(self, data: bytes) -> None:
        try:
            await self._link.send(topics.up(self._identity.agent), data)
        except Transient:
            log.debug("the link went down with an envelope under way; it is sent again")
        finally:
            self._slots.release()


def _head(state: StreamState) -> StreamHead:
    return StreamHead(
        site=state.stream.site,
        source=state.stream.source,
        epoch=state.epoch,
        seq=state.head_seq,
        hash=state.head_hash.hex(),
        grant=to_base64(state.grant),
    )
