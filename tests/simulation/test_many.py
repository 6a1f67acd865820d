"""A thousand agents after hours without their centre (landing.md §2): no storm, fair credit, all of it receipted.

The couriers, the protocol and the centre are the real ones. Each courier's spool is a list in memory: a thousand
SQLite files would be most of the time, and spools are not what is looked at here.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

from central_ingest.ledger import holdings
from central_ingest.ledger.holdings import Epochs, Holdings
from central_ingest.ledger.ledger import AgentRecord, Ledger
from edge_agent.courier import RETURN_JITTER_SECONDS, Courier
from edge_agent.identity import Centre as CentreFacts
from edge_agent.identity import Grants, Identity
from edge_agent.spool.records import Stored, StreamState
from edge_agent.spool.spool import Spool
from protocol import messages, topics
from protocol.batch import encode_mark
from protocol.delivery import Head
from protocol.envelope import Kind, parse
from protocol.limits import CREDIT_WINDOW_BYTES_MIN
from protocol.messages import Grant, Hello, MessageType, Receipt
from protocol.names import Stream, agent_id
from protocol.sealing import Sealed
from protocol.signing import Ed25519Signer
from tests.unit.central_ingest.sender import Sender, a_mark

from .centre import CREDIT_BYTES, SITE, Centre
from .clock import loop, play
from .link import Air
from .world import MEMORY

AGENTS = 1_000

ENVELOPES = 3
AWAY_SECONDS = 3.0
"""Agents without their centre do nothing but count the time: hours would be the same."""
SECONDS_MAX = 120.0


class ListSpool:
    """What a courier asks of a spool, of one stream that holds these envelopes; at first only one of them."""

    def __init__(self, stream: Stream, grant: bytes, envelopes: list[Sealed]) -> None:
        ends = accumulate(len(one.data) for one in envelopes)
        self._later = [
            Stored(one.seq, one.seq, one.hash, one.data, end)
            for one, end in zip(envelopes, ends, strict=True)
        ]
        self._all = [self._later.pop(0)]
        self._stream, self._grant = stream, grant
        self.receipted = 0

    def fill(self) -> None:
        self._all += self._later

    def end_of(self, seq: int) -> int:
        return self._all[seq - 1].end_offset if seq else 0

    @property
    def is_delivered(self) -> bool:
        return self.receipted == len(self._all)

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Nobody is told: the courier looks by itself every half second."""

    def streams(self) -> list[StreamState]:
        last = self._all[-1]
        head = last.seq, last.hash, last.end_offset
        return [StreamState(self._stream, 1, self._grant, b"", *head, self.receipted, None, None)]

    def stream(self, stream: Stream) -> StreamState:
        return self.streams()[0]

    def hash_at(self, stream: Stream, seq: int) -> bytes | None:
        return self._all[seq - 1].hash if seq <= len(self._all) else None

    def window(self, stream: Stream, from_seq: int, bytes_max: int) -> list[Stored]:
        return self._all[from_seq - 1 :]

    def receipt(self, stream: Stream, epoch: int, seq: int, digest: bytes, message: bytes) -> None:
        self.receipted = max(self.receipted, seq)


class Crowd:
    """The agents, the centre, and what each says when."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._air = Air()
        self._air.ear = self._hear
        self.centre = Centre(root / "centre", self._air, random.Random("centre"), lambda what: None)
        self.spools: dict[str, ListSpool] = {}
        self.forget()
        self._senders: list[Sender] = []
        self._couriers: list[Courier] = []
        for number in range(AGENTS):
            self._add(number)

    def forget(self) -> None:
        """What was said before now."""
        self.hellos: dict[str, list[float]] = {}
        self.unreceipted: Counter[str] = Counter()
        """By agent: envelopes sent before the first receipt for more than the one that had arrived."""
        self.windows: dict[str, list[int]] = {}
        """By agent: how much more it was told that it might send, receipt by receipt."""
        self._receipted: set[str] = set()

    def _add(self, number: int) -> None:
        sender = Sender(1, Stream(SITE, f"s-{number}"))
        signer = sender.signer = sender.first_key = Ed25519Signer(number.to_bytes(32, "big"))
        sender.agent = agent_id(signer.public)
        self._senders.append(sender)
        keys = self.centre._keys
        key, centre = keys.create_site(SITE), keys.signer()
        envelopes = []
        for count in range(ENVELOPES):
            sealed = sender.seal(Kind.MARK, encode_mark(a_mark(None, count)), key=key)
            envelopes.append(sealed)
            sender.head = Head(1, sealed.seq, sealed.hash)
        facts = CentreFacts("", "", SITE, centre.public, keys.sealing().public, key.public)
        identity = Identity(sender.agent, signer)
        grants = Grants(self._root / f"agent {number}", identity, facts)
        grants.keep(self._grant(sender, 2))
        spool = self.spools[sender.agent] = ListSpool(sender.stream, self._grant(sender, 1), envelopes)
        self._couriers.append(
            Courier(
                link=self._air.link(sender.agent, [topics.down(sender.agent), topics.CENTRE_STATE]),
                spool=cast(Spool, spool),
                identity=identity,
                centre=facts,
                grants=grants,
                sources=[sender.stream.source],
                now=loop().time,
                wall=loop().wall,
                rng=random.Random(number),
            )
        )

    def _grant(self, sender: Sender, epoch: int) -> bytes:
        signer = self.centre._keys.signer()
        key_id = signer.suite.key_id(sender.first_key.public).hex()
        stream = sender.stream
        return messages.write(
            Grant(agent=sender.agent, site=SITE, source=stream.source, epoch=epoch, key_id=key_id, issued=1),
            signer,
        )

    def enrol_all(self) -> None:
        """As they stood before the centre went away: known, in their first epoch, with a spare grant each."""
        agents = {
            s.agent: AgentRecord(s.agent, SITE, 1, s.first_key.public, "1", 1, None) for s in self._senders
        }
        epochs = {s.stream: Epochs(2, s.agent, 1, s.agent) for s in self._senders}
        ledger = self.centre.open_ledger()
        holdings.add(Ledger(ledger._engine), Holdings({SITE: ""}, agents, epochs))
        ledger.close()

    def _hear(self, client_id: str, topic: str, payload: bytes) -> None:
        if not messages.is_message(payload):
            if client_id not in self._receipted:
                self.unreceipted[client_id] += 1
            assert parse(payload).header.stream.site == SITE
            return
        message = messages.parse(payload)
        if message.type is MessageType.HELLO:
            said: Any = messages.read(message, Hello)
            self.hellos.setdefault(said.agent, []).append(loop().time())
        elif message.type is MessageType.RECEIPT:
            told = messages.read(message, Receipt)
            window = told.credit - self.spools[told.agent].end_of(told.seq)
            self.windows.setdefault(told.agent, []).append(window)
            share = CREDIT_BYTES // len(self.windows)
            assert 0 < window <= max(CREDIT_WINDOW_BYTES_MIN, share), "no more than a fair share"
            if told.seq > 1:
                self._receipted.add(told.agent)

    async def live(self) -> float:
        """The agents' first envelopes arrive; the centre goes, work gathers, and it comes back. Returns when."""
        self.enrol_all()
        self.centre.start()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one.run()) for one in self._couriers]
            await self._delivered()
            await self.centre.stop()
            for spool in self.spools.values():
                spool.fill()
            await asyncio.sleep(AWAY_SECONDS)
            self.forget()
            returned = loop().time()
            self.centre.start()
            await self._delivered()
            for task in tasks:
                task.cancel()
        await self.centre.stop()
        await self._air.aclose()
        return returned

    async def _delivered(self) -> None:
        until = loop().time() + SECONDS_MAX
        while not all(spool.is_delivered for spool in self.spools.values()):
            assert self.centre.error is None, self.centre.error
            assert loop().time() < until
            await asyncio.sleep(0.5)


def test_a_thousand_agents_do_not_storm_the_centre_that_comes_back() -> None:
    async def main() -> tuple[Crowd, float]:
        crowd = Crowd(root)
        return crowd, await crowd.live()

    root = Path(tempfile.mkdtemp(prefix="guicang-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        crowd, returned = play(main, "many")
    finally:
        shutil.rmtree(root)
    assert len(crowd.hellos) == AGENTS
    first = sorted(said[0] - returned for said in crowd.hellos.values())
    assert first[-1] - first[0] > RETURN_JITTER_SECONDS / 2
    in_tenths = Counter(int(at * 10) for at in first)
    assert max(in_tenths.values()) < AGENTS / 5, "spread by the jitter, not in one instant"
    assert all(len(said) == 1 for said in crowd.hellos.values()), "nobody had to say hello again"
    assert set(crowd.unreceipted.values()) == {1}, "each begins with one envelope"
    assert crowd.windows.keys() == crowd.hellos.keys()
    assert all(spool.receipted == ENVELOPES for spool in crowd.spools.values())
    heads = crowd.centre.witness.book.heads
    assert {(epoch, seq) for _, epoch, seq in heads.values()} == {(1, ENVELOPES)}
    assert len(heads) == AGENTS
