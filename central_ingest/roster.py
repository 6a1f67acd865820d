"""Who may send, under which key, and which agent holds which stream: what admission believes.

Pure: it is filled from the ledger at start and told of changes. It neither reads nor writes anything.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from protocol.delivery import Head
from protocol.names import Stream

HASHES_KEPT = 4_096
"""Hashes of the last envelopes of each stream, to tell a repeat from a fork."""


@dataclass(frozen=True, slots=True)
class Member:
    """An enrolled agent. Its suite is pinned at enrolment."""

    agent: str
    site: str
    suite: int
    public: bytes
    revoked: bool = False


@dataclass(slots=True)
class Tenure:
    """A stream in its present epoch: who holds it, where it stands, under which key it is signed."""

    stream: Stream
    agent: str
    head: Head
    admitted_bytes: int = 0
    """Envelope bytes admitted in this epoch: what credit is counted in."""
    public: bytes | None = None
    received: int | None = None
    hashes: OrderedDict[int, bytes] = field(default_factory=OrderedDict)

    def hash_at(self, seq: int) -> bytes | None:
        """The hash admitted at `seq`, None where it is no longer known. Where a gap ends it is the hash of what
        was lost, which the agent knows and the next header names."""
        return self.head.chain if seq == self.head.seq else self.hashes.get(seq)

    def advance(self, head: Head, size: int, received: int) -> None:
        self.hashes[self.head.seq] = self.head.chain
        while len(self.hashes) > HASHES_KEPT:
            self.hashes.popitem(last=False)
        self.head, self.received = head, received
        self.admitted_bytes += size


class Roster:
    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._tenures: dict[Stream, Tenure] = {}

    def enrol(self, member: Member) -> None:
        self._members[member.agent] = member

    def member(self, agent: str) -> Member | None:
        return self._members.get(agent)

    def begin(self, tenure: Tenure) -> None:
        """A stream enters an epoch; whatever it was before is fenced."""
        before = self._tenures.get(tenure.stream)
        assert before is None or before.head.epoch < tenure.head.epoch
        self._tenures[tenure.stream] = tenure

    def tenure(self, stream: Stream) -> Tenure | None:
        return self._tenures.get(stream)

    def tenures(self) -> list[Tenure]:
        return list(self._tenures.values())
