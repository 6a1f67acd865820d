"""Sending receipted envelopes again that the centre's journal has lost (decision 0016).

The centre asks, under its signature and in this session, for a range of sequences by their hashes. Exactly these
bytes go out, the last first, as far as one answer may be long; the centre asks on. What the spool no longer has,
the agent says it has not. Receipts, credit and what is sent for the first time are the courier's; nothing of them
changes here, and the courier never waits for this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from protocol import messages
from protocol.envelope import parse
from protocol.errors import Rejected, Transient
from protocol.limits import AGAIN_BYTES
from protocol.messages import Again, Gone
from protocol.names import Stream
from protocol.signing import Signer

from .spool.records import Stored
from .spool.spool import Spool

log = logging.getLogger("edge.again")

ASKED_MAX = 256
"""Streams of which a question waits: as many as a hello names."""


class SendingAgain:
    """`carry` takes an envelope for the link and waits while too many are under way; `say` a message."""

    def __init__(
        self,
        agent: str,
        spool: Spool,
        signer: Signer,
        carry: Callable[[bytes], Awaitable[None]],
        say: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._agent = agent
        self._spool = spool
        self._signer = signer
        self._carry = carry
        self._say = say
        self._asked: dict[Stream, Again] = {}
        self._wake = asyncio.Event()

    def hear(self, said: Again, session: str) -> None:
        """Raises Rejected GC-5003 for a question to another agent, GC-3012 for one of another session, or about an
        epoch that is not held here."""
        if said.agent != self._agent:
            raise Rejected("GC-5003", agent=said.agent)
        stream = Stream(said.site, said.source)
        state = self._spool.stream(stream)
        if said.session != session or state is None or state.epoch != said.epoch:
            raise Rejected("GC-3012", source=said.source)
        if stream in self._asked or len(self._asked) < ASKED_MAX:
            self._asked[stream] = said
            self._wake.set()

    def forget(self) -> None:
        """The link is down: whoever still wants something asks in the next session."""
        self._asked.clear()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._asked:
                stream = next(iter(self._asked))
                try:
                    await self._answer(stream, self._asked.pop(stream))
                except Transient as fault:  # the spool's disk: the centre asks again
                    log.warning("nothing was sent again: %s", fault)

    async def _answer(self, stream: Stream, said: Again) -> None:
        seq, digest, room = said.last, bytes.fromhex(said.hash), AGAIN_BYTES
        while seq >= said.first and room > 0:
            stored = await asyncio.to_thread(self._find, stream, said.epoch, seq, digest)
            if stored is None:
                log.warning("%s", Rejected("GC-3011", source=stream.source))
                names = {
                    "agent": said.agent,
                    "session": said.session,
                    "site": said.site,
                    "source": said.source,
                }
                await self._say(messages.write(Gone(**names, epoch=said.epoch, seq=seq), self._signer))
                return
            room -= len(stored.data)
            await self._carry(stored.data)
            seq, digest = seq - 1, parse(stored.data).header.previous

    def _find(self, stream: Stream, epoch: int, seq: int, digest: bytes) -> Stored | None:
        """The envelope of this hash; None where it is not here, not whole, or another."""
        state = self._spool.stream(stream)
        try:
            found = self._spool.peek(stream, seq)
        except Rejected:
            return None
        is_it = found is not None and (found.seq, found.last_seq, found.hash) == (seq, seq, digest)
        return found if is_it and state is not None and state.epoch == epoch else None
