"""Asking again for what the journal lost, and taking nothing but exactly that (decision 0016).

The lander writes holes into the ledger; here their agents are asked, after each hello and while nothing comes,
for the lost envelopes from the last one down. Each must have the hash that its successor names, so what comes is
what was lost or is refused (GC-6036): nothing unproven is ever kept. It goes into the damaged stretch itself and
counts once it is on the disk (invariant 3). Why something is missing, this room refuses to know.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from protocol import messages
from protocol.envelope import Envelope, parse
from protocol.errors import Permanent, Rejected, Transient
from protocol.limits import AGAIN_BYTES
from protocol.messages import Gone
from protocol.sealing import verify
from protocol.signing import Signer, Suite

from .journal.journal import Journal
from .ledger.broken import break_epoch
from .ledger.holes import GONE, HEALED, HoleRecord
from .ledger.ledger import Ledger
from .roster import Roster

log = logging.getLogger("central.again")

AGAIN_MICROS = 30_000_000
"""What nothing came for is asked again this often in one session."""
TIMES_MAX = 10
"""An agent that is there and was asked so often in vain will not answer: perhaps its version cannot."""
AT_ONCE_MAX = 8
"""Holes that are being asked for at the same time: each question brings up to `AGAIN_BYTES`."""


class Again:
    """One tick: any number of `take` and `gone`, then `flush`; `due` now and then."""

    def __init__(
        self, journal: Journal, ledger: Ledger, roster: Roster, signer: Signer, suites: Mapping[int, Suite]
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._roster = roster
        self._signer = signer
        self._suites = suites
        self._open: dict[int, HoleRecord] = {}
        self._came: dict[int, list[bytes]] = {}
        """By hole, of this tick: proven, the last first."""
        self._said: dict[int, tuple[str, int]] = {}
        """By hole: in which session it was asked for, and when."""
        self._answered: dict[int, int] = {}
        """By hole: bytes that came since."""

    def due(self, sessions: Mapping[str, str], now: int) -> list[tuple[str, bytes]]:
        """(agent, message) of each question to be asked now; `sessions` are those of the agents that are present."""
        self._open = {one.id: one for one in self._ledger.holes.open() if self._can_be_filled(one)}
        self._said = {id: said for id, said in self._said.items() if id in self._open}
        room = AT_ONCE_MAX - sum(now - when < AGAIN_MICROS for _, when in self._said.values())
        out = []
        for one in sorted(self._open.values(), key=lambda one: one.asked or 0):
            session = sessions.get(one.agent)
            if session is None or self._was_just_said(one.id, session, now):
                continue
            if one.times >= TIMES_MAX:
                self._end(one, "it was asked in vain")
            elif room > 0:
                room -= 1
                out.append((one.agent, self._ask(one, session, now)))
        return out

    def take(self, agent: str, data: bytes) -> bool:
        """Whether this is the envelope that is missing; all that was not asked for is somebody else's matter. Raises
        Rejected GC-6036, GC-5002 for one that only stands in its place, GC-5001 for what is none."""
        if not any(one.agent == agent for one in self._open.values()):
            return False
        envelope = parse(data)
        header = envelope.header
        for one in self._open.values():
            hole = one.hole
            place = (hole.stream, hole.epoch, hole.last)
            if (
                one.agent == agent
                and one.id in self._said
                and place == (header.stream, header.epoch, header.seq)
            ):
                self._prove(one, envelope)
                self._came.setdefault(one.id, []).append(data)
                self._answered[one.id] = self._answered.get(one.id, 0) + len(data)
                self._open[one.id] = replace(
                    one,
                    hole=replace(hole, last=hole.last - 1, hash=header.previous),
                    times=0,
                    came=one.came + 1,
                    came_bytes=one.came_bytes + len(data),
                )
                return True
        return False

    def flush(self) -> bool:
        """Put what came of this tick into the journal; whether some agent has answered to the end. What the disk does
        not take is asked for again."""
        came, self._came = self._came, {}
        for id, envelopes in came.items():
            one = self._open.pop(id)
            hole = one.hole
            try:
                fits = self._journal.repair(hole.start, hole.stop, hole.received, envelopes[::-1])
            except Transient as fault:
                log.warning("%s", fault)
                continue
            if not fits:
                self._end(one, "it does not fit the damaged stretch")
                continue
            is_whole = hole.last < hole.first
            self._ledger.holes.note_came(replace(one, state=HEALED if is_whole else one.state))
            if is_whole:
                log.info("%s was sent again: %d envelopes", hole.stream, one.came)
            elif self._answered[id] < AGAIN_BYTES:
                self._open[id] = one
                continue
            self._said.pop(id, None)
        return any(id not in self._open for id in came)

    def gone(self, agent: str, said: Gone, session: str | None) -> None:
        """An agent no longer has what it was asked for in this session. Raises Rejected GC-4004 where it was not."""
        for one in self._open.values():
            hole = one.hole
            named = (hole.stream.site, hole.stream.source, hole.epoch) == (said.site, said.source, said.epoch)
            asked = self._said.get(one.id, ("", 0))[0] == said.session == session
            if one.agent == agent == said.agent and named and asked and hole.first <= said.seq <= hole.last:
                del self._open[one.id]
                self._end(one, "the agent no longer has it")
                return
        raise Rejected("GC-4004", reason="an answer that nobody asked for")

    def _prove(self, one: HoleRecord, envelope: Envelope) -> None:
        hole, header = one.hole, envelope.header
        member = self._roster.member(one.agent)
        tenure = self._roster.tenure(hole.stream)
        if member is None or tenure is None or header.suite != member.suite:
            raise Rejected("GC-6036", reason="suite")
        suite = self._suites[member.suite]
        if envelope.digest(suite) != hole.hash:
            raise Rejected("GC-6036", reason="hash")
        if header.seq == hole.first and header.previous != hole.before:
            raise Rejected("GC-6036", reason="chain")
        try:
            verify(envelope, suite, tenure.public or member.public)
        except Rejected:
            verify(envelope, suite, member.public)

    def _can_be_filled(self, one: HoleRecord) -> bool:
        """Whether the agent still holds the epoch; whatever it was, a newer one has begun with full snapshots."""
        tenure, member = self._roster.tenure(one.hole.stream), self._roster.member(one.agent)
        if tenure is None or member is None:
            return False
        if (tenure.agent, tenure.head.epoch) != (one.agent, one.hole.epoch) or member.revoked:
            self._end(one, "its epoch is over")
            return False
        return True

    def _was_just_said(self, id: int, session: str, now: int) -> bool:
        said = self._said.get(id)
        return said is not None and said[0] == session and abs(now - said[1]) < AGAIN_MICROS

    def _ask(self, one: HoleRecord, session: str, now: int) -> bytes:
        hole, times = one.hole, one.times + 1
        self._answered[one.id] = 0
        self._said[one.id] = (session, now)
        self._ledger.holes.note_asked(one.id, now, times)
        self._open[one.id] = replace(one, asked=now, times=times)
        question = messages.Again(
            agent=one.agent,
            session=session,
            site=hole.stream.site,
            source=hole.stream.source,
            epoch=hole.epoch,
            first=hole.first,
            last=hole.last,
            before=hole.before.hex(),
            hash=hole.hash.hex(),
        )
        return messages.write(question, self._signer)

    def _end(self, one: HoleRecord, reason: str) -> None:
        """Nobody can fill it: where it had not landed, the epoch is broken and a new one heals (GC-3010)."""
        if one.waits:
            break_epoch(self._ledger, one.hole.stream, one.hole.epoch)
        self._ledger.holes.end(one.id, GONE)
        self._said.pop(one.id, None)
        log.error("%s", Permanent("GC-6035", stream=str(one.hole), reason=reason))
