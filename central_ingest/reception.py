"""Reception: what the centre makes of each message that arrives, and what it answers. No loop, no socket.

One call of `process` is one tick: envelopes are judged in order, those that are next are journaled with one
write and one sync, and only then are receipts written (invariant 3). A failed write leaves every head where
it was: the agents send again. Messages in between are answered from heads that are on disk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from protocol import messages, topics
from protocol.delivery import Head, Verdict
from protocol.errors import Rejected, Transient
from protocol.messages import AgentState, Answer, Gone, Hello, Message, MessageType, StreamHead
from protocol.names import Stream
from protocol.signing import Opener, Suite

from .admission import Admission
from .again import Again
from .control import Control
from .enrolment import Enrolment
from .grants import Grants
from .journal.journal import Journal
from .ledger.broken import broken_epochs
from .ledger.ledger import Ledger
from .metrics import Metrics
from .receipts import Receipts
from .refused import Refused
from .restart import heads_of, refresh_members
from .roster import Member, Roster, Tenure

log = logging.getLogger("central.reception")

REMEMBER_MICROS = 1_000_000
"""Heads are written into the ledger this often; a restart reads the journal from there."""
ABSENT_MICROS = 60_000_000
"""An agent that says nothing for so long (it tells its state every few seconds) gets no share of the credit."""

STREAMS_TOLD_MAX = 512
"""Streams of one agent about which the last word is remembered: a hello names 256 and asks for as many. About more
nothing is said."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    topic: str
    payload: bytes


class Reception:
    def __init__(
        self,
        *,
        roster: Roster,
        admission: Admission,
        journal: Journal,
        ledger: Ledger,
        receipts: Receipts,
        grants: Grants,
        enrolment: Enrolment,
        opener: Opener,
        suite: Suite,
        metrics: Metrics,
        wall: Callable[[], int],
        control: Control | None = None,
        refused: Refused | None = None,
        again: Again | None = None,
    ) -> None:
        self._roster = roster
        self._admission = admission
        self._journal = journal
        self._ledger = ledger
        self._receipts = receipts
        self._grants = grants
        self._enrolment = enrolment
        self._opener = opener
        self._suite = suite
        self._metrics = metrics
        self._wall = wall
        self._control = control
        self._refused = refused
        self._again = again
        self._sessions: dict[str, str] = {}
        self._sessions_before: dict[str, str] = {}
        self._heard: dict[str, int] = {}
        """By agent: when it last said something authentic."""
        self._broken = broken_epochs(ledger)
        self._told: dict[str, dict[Stream, tuple[str, int]]] = {}
        """By agent: the last word about each stream in its present session, so that it is said once."""
        self._admitted: list[bytes] = []
        self._answer: set[Stream] = set()
        self._out: list[Outgoing] = []
        self._remembered = 0
        self.fault: Transient | None = None
        """Why nothing is admitted now; None while the journal takes what comes."""

    def process(self, arrivals: Iterable[tuple[str, bytes]]) -> list[Outgoing]:
        """Take one tick's arrivals, (topic, payload) in order, and return what to publish."""
        for topic, payload in arrivals:
            try:
                agent, channel = topics.agent_of(topic)
                self._take(agent, channel, payload)
            except Rejected as fault:
                self._metrics.refuse(fault.code)
                self._keep_sample(topic, payload, fault)
            except Transient as fault:  # not answered, so it is asked again
                log.warning("%s", fault)
        self._flush()
        self._remember()
        out, self._out = self._out, []
        return out

    def remember(self) -> None:
        """Write all heads into the ledger, with the journal offset from which they must be read again."""
        self._ledger.save_heads(heads_of(self._roster), self._journal.end)
        self._remembered = self._wall()

    def _remember(self) -> None:
        if self._wall() - self._remembered > REMEMBER_MICROS:
            refresh_members(self._roster, self._ledger)
            self.remember()
            self._command()
            self._broken = broken_epochs(self._ledger)
            for stream in self._broken:
                tenure = self._roster.tenure(stream)
                if tenure is not None and self._is_broken(tenure):
                    self._say_broken(tenure)

    def _command(self) -> None:
        """Say what operators, and the journal, ask of the agents that are here."""
        here = {a: s for a, s in self._sessions.items() if (m := self._roster.member(a)) and not m.revoked}
        for asking in (self._control, self._again):
            for agent, payload in asking.due(here, self._wall()) if asking is not None else ():
                self._say(agent, payload)

    def _take(self, agent: str, channel: str, payload: bytes) -> None:
        if channel == "down":
            return
        if not messages.is_message(payload):
            self._envelope(agent, payload)
            return
        self._flush()
        message = messages.parse(payload)
        if message.type is MessageType.ENROL:
            self._say(agent, self._enrolment.answer(agent, message, self._wall()))
            return
        member = self._roster.member(agent)
        if member is None:
            raise Rejected("GC-5003", agent=agent)
        messages.verify(message, self._suite, member.public)
        if member.revoked:
            self._say_revoked(member, message)
            raise Rejected("GC-5003", agent=agent)
        self._heard[agent] = self._wall()
        match message.type:
            case MessageType.HELLO:
                self._hello(member, messages.read(message, Hello))
            case MessageType.AGENT_STATE:
                state = messages.read_sealed(message, AgentState, self._suite, self._opener)
                self._ledger.save_fleet(agent, self._wall(), state.status)
            case MessageType.ANSWER if self._control is not None:
                self._control.take(agent, messages.read(message, Answer), self._wall())
            case MessageType.GONE if self._again is not None:
                self._again.gone(agent, messages.read(message, Gone), self._sessions.get(agent))
            case _:
                raise Rejected("GC-4004", reason="type")

    def _keep_sample(self, topic: str, payload: bytes, fault: Rejected) -> None:
        """Of somebody on the roster under his name, whoever it really was; of all others under one."""
        log.debug("refused from %s: %s", topic, fault.code)
        if self._refused is None:
            return
        try:
            agent, _ = topics.agent_of(topic)
        except Rejected:
            agent = ""
        known = agent if self._roster.member(agent) is not None else None
        reason = str(fault.facts.get("reason", ""))
        self._refused.keep(known, fault.code, reason, payload, self._wall())

    # envelopes

    def _envelope(self, agent: str, data: bytes) -> None:
        if self._again is not None and self._again.take(agent, data):
            self._heard[agent] = self._wall()
            return
        try:
            decision = self._admission.consider(agent, data)
        except Rejected as fault:
            if fault.code == "GC-5004":
                self._refuse(agent, Stream(str(fault.facts["site"]), str(fault.facts["source"])), fault.code)
            raise
        self._heard[agent] = self._wall()
        match decision.verdict:
            case Verdict.NEXT:
                assert decision.envelope is not None
                self._admitted.append(decision.envelope)
                self._answer.add(decision.stream)
            case Verdict.SEEN:
                self._metrics.envelopes_repeated += 1
                self._answer.add(decision.stream)
            case Verdict.AHEAD:
                self._flush()
                self._expect(decision.stream)
            case Verdict.FORK:
                self._refuse(agent, decision.stream, "GC-3006")
            case Verdict.FENCED:
                self._refuse(agent, decision.stream, "GC-3007")

    def _flush(self) -> None:
        """Write what was admitted, then receipt it; or forget that it came."""
        received = self._wall()
        if self._admitted:
            try:
                self._journal.append(received, self._admitted)
            except Transient as fault:
                if self.fault is None:
                    log.error("%s", fault)
                self.fault = fault
                self._admission.rollback()
                self._admitted.clear()
                self._answer.clear()
                return
            self.fault = None
            self._metrics.envelopes_admitted += len(self._admitted)
            self._metrics.bytes_admitted += sum(map(len, self._admitted))
            self._admission.commit(received)
            self._admitted.clear()
        for stream in sorted(self._answer):
            tenure = self._roster.tenure(stream)
            if tenure is not None:
                self._receipt(tenure)
        self._answer.clear()
        if self._again is not None and self._again.flush():
            self._command()

    def _receipt(self, tenure: Tenure) -> None:
        session = self._sessions.get(tenure.agent)
        if session is not None:
            self._say(tenure.agent, self._receipts.receipt(tenure, session, self._streams_active()))

    def _streams_active(self) -> int:
        """Streams whose agent is here: among them the credit is shared."""
        since = self._wall() - ABSENT_MICROS
        return sum(self._heard.get(tenure.agent, 0) >= since for tenure in self._roster.tenures())

    def _expect(self, stream: Stream) -> None:
        """Once per gap and connection."""
        tenure = self._roster.tenure(stream)
        if tenure is None or (session := self._sessions.get(tenure.agent)) is None:
            return
        if self._is_news(tenure.agent, stream, ("", tenure.head.seq + 1)):
            self._say(tenure.agent, self._receipts.expected(tenure, session, self._streams_active()))

    def _refuse(self, agent: str, stream: Stream, code: str) -> None:
        session = self._sessions.get(agent)
        if session is None or not self._is_news(agent, stream, (code, 0)):
            return
        tenure = self._roster.tenure(stream)
        epoch = tenure.head.epoch if tenure else 0
        self._say(agent, self._receipts.refusal(agent, session, stream, epoch, code))

    def _say_broken(self, tenure: Tenure) -> None:
        """To the session before as well: its hello may have come behind a later one, and an agent with nothing to send
        would never hear of it."""
        agent, stream, code = tenure.agent, tenure.stream, "GC-3010"
        sessions = [s for s in (self._sessions.get(agent), self._sessions_before.get(agent)) if s is not None]
        if sessions and self._is_news(agent, stream, (code, 0)):
            for session in sessions:
                self._say(agent, self._receipts.refusal(agent, session, stream, tenure.head.epoch, code))

    def _is_news(self, agent: str, stream: Stream, word: tuple[str, int]) -> bool:
        told = self._told.setdefault(agent, {})
        if told.get(stream) == word or (stream not in told and len(told) >= STREAMS_TOLD_MAX):
            return False
        told[stream] = word
        return True

    # hello

    def _hello(self, member: Member, hello: Hello) -> None:
        if hello.agent != member.agent:
            raise Rejected("GC-5003", agent=member.agent)
        before = self._sessions.get(member.agent)
        if before != hello.session:
            self._told.pop(member.agent, None)
            if before is not None:
                self._sessions_before[member.agent] = before
        self._sessions[member.agent] = hello.session
        said: dict[str, int] = {}
        for head in hello.streams:
            said[head.source] = max(said.get(head.source, 0), self._greet(member, head))
        for source in hello.wants:
            stream = Stream(member.site, source)
            grant = self._grants.issue(stream, member, said.get(source, 0), self._wall())
            if grant is None:
                self._refuse(member.agent, stream, "GC-5004")
            else:
                self._say(member.agent, grant)
        self._command()

    def _greet(self, member: Member, said: StreamHead) -> int:
        """Answer for one stream; returns the epoch that its grant proves, 0 where it proves none."""
        stream = Stream(said.site, said.source)
        try:
            epoch = self._grants.check(said, member)
        except Rejected:
            self._refuse(member.agent, stream, "GC-5004")
            return 0
        tenure = self._roster.tenure(stream)
        if tenure is None or epoch > tenure.head.epoch:
            tenure = self._begin(stream, epoch, member)
        elif epoch < tenure.head.epoch or tenure.agent != member.agent:
            self._refuse(member.agent, stream, "GC-3007")
            return epoch
        elif self._is_broken(tenure):
            self._refuse(member.agent, stream, "GC-3010")
            return epoch
        self._receipt(tenure)
        return epoch

    def _is_broken(self, tenure: Tenure) -> bool:
        """The journal lost a part of the epoch before it landed: only a new one helps (see landing.holes)."""
        return tenure.head.epoch <= self._broken.get(tenure.stream, 0)

    def _say_revoked(self, member: Member, message: Message) -> None:
        """So that the hospital's people see why nothing is taken any more."""
        if message.type is not MessageType.HELLO:
            return
        hello = messages.read(message, Hello)
        if hello.agent != member.agent:
            return
        for source in sorted({*(head.source for head in hello.streams), *hello.wants}):
            stream = Stream(member.site, source)
            said = self._receipts.refusal(member.agent, hello.session, stream, 0, "GC-5003")
            self._say(member.agent, said)

    def _begin(self, stream: Stream, epoch: int, member: Member) -> Tenure:
        """The first use of a grant: durable before anything of the epoch is admitted."""
        self._ledger.begin_epoch(stream, epoch, member.agent, self._wall(), self._journal.end)
        tenure = Tenure(stream, member.agent, Head(epoch))
        self._roster.begin(tenure)
        return tenure

    def _say(self, agent: str, payload: bytes) -> None:
        self._out.append(Outgoing(topics.down(agent), payload))
