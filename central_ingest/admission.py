"""Admission: is an envelope authentic, granted, and the next one? Decided here, without I/O.

Looks at bytes, roster, suite, signature, grant, sequence and chain, never at content (promise 6). The answer
is a verdict; nothing changes until the caller has journaled what was admitted and says `commit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.delivery import Head, Verdict, advance, judge
from protocol.envelope import Envelope, Gap, Header, Kind, Rotation, parse
from protocol.errors import Rejected
from protocol.names import Stream
from protocol.sealing import verify
from protocol.signing import Suite

from .roster import Member, Roster, Tenure


@dataclass(frozen=True, slots=True)
class Decision:
    """What an authentic envelope is to its stream. `envelope` is None unless it is to be journaled."""

    stream: Stream
    verdict: Verdict
    envelope: bytes | None = None


@dataclass(slots=True)
class _Draft:
    """A tenure as it will stand if the envelopes admitted so far reach the disk."""

    tenure: Tenure
    head: Head
    public: bytes | None
    admitted: list[tuple[Head, int]]

    def hash_at(self, seq: int) -> bytes | None:
        for head, _ in reversed(self.admitted):
            if head.seq == seq:
                return head.chain
        return self.tenure.hash_at(seq)


class Admission:
    """One tick: any number of `consider`, then `commit` or `rollback`."""

    def __init__(self, roster: Roster, suites: Mapping[int, Suite]) -> None:
        self._roster = roster
        self._suites = suites
        self._drafts: dict[Stream, _Draft] = {}

    def consider(self, agent: str, data: bytes) -> Decision:
        """Judge one envelope that arrived on the topic of `agent`. Raises Rejected GC-5001 … 5004/5007 for
        anything that is not authentic: it spends no sequence."""
        envelope = parse(data)
        header = envelope.header
        member = self._member(agent, header)
        suite = self._suites[member.suite]
        tenure = self._roster.tenure(header.stream)
        if tenure is None or tenure.agent != agent:
            verify(envelope, suite, member.public)
            raise _ungranted(header)
        draft = self._drafts.get(header.stream)
        if draft is None:
            draft = _Draft(tenure, tenure.head, tenure.public, [])
        self._verify(envelope, suite, member, draft)
        digest = envelope.digest(suite)
        if header.kind is Kind.GAP and len(Gap.from_bytes(header.extension).resume) != len(digest):
            raise Rejected("GC-5001", reason="gap")  # receipts carry it as the hash of the head
        verdict = judge(draft.head, header, digest, draft.hash_at)
        if verdict is Verdict.UNGRANTED:
            raise _ungranted(header)
        if verdict is not Verdict.NEXT:
            return Decision(header.stream, verdict)
        self._admit(draft, envelope, digest, len(data))
        return Decision(header.stream, verdict, data)

    def commit(self, received: int) -> set[Stream]:
        """What was admitted is on disk: heads move. Returns the streams that moved."""
        for draft in self._drafts.values():
            for head, size in draft.admitted:
                draft.tenure.advance(head, size, received)
            draft.tenure.public = draft.public
        moved = set(self._drafts)
        self._drafts.clear()
        return moved

    def rollback(self) -> None:
        """Nothing of it reached the disk: it will be sent again."""
        self._drafts.clear()

    def _member(self, agent: str, header: Header) -> Member:
        member = self._roster.member(agent)
        if member is None or member.revoked or member.site != header.stream.site:
            raise Rejected("GC-5003", agent=agent)
        if header.suite != member.suite:
            raise Rejected("GC-5001", reason="suite")
        return member

    def _verify(self, envelope: Envelope, suite: Suite, member: Member, draft: _Draft) -> None:
        """By the stream's present key; an older envelope, sent again after a rotation, by the agent's first."""
        try:
            verify(envelope, suite, draft.public or member.public)
        except Rejected:
            if draft.public is None or envelope.header.seq > draft.head.seq:
                raise
            verify(envelope, suite, member.public)

    def _admit(self, draft: _Draft, envelope: Envelope, digest: bytes, size: int) -> None:
        header = envelope.header
        if header.kind is Kind.ROTATION:
            draft.public = self._new_key(envelope)
        draft.head = advance(header, digest)
        draft.admitted.append((draft.head, size))
        self._drafts[header.stream] = draft

    def _new_key(self, envelope: Envelope) -> bytes:
        header = envelope.header
        rotation = Rotation.from_bytes(header.extension)
        proof = Rotation.proof_bytes(header.stream, header.epoch, header.seq, rotation.public)
        if not self._suites[header.suite].verify(rotation.public, proof, rotation.proof):
            raise Rejected("GC-5002")
        return rotation.public


def _ungranted(header: Header) -> Rejected:
    return Rejected("GC-5004", site=header.stream.site, source=header.stream.source, epoch=header.epoch)
