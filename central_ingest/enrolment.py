"""Enrolment: a one-time secret becomes an entry on the roster, and grants for the agent's sources.

The ledger keeps a hash of the secret only. The same agent may repeat its request (its answer may have been
lost); anybody else finds the invitation used. A refusal says nothing about why.
"""

from __future__ import annotations

import hashlib

from protocol import messages
from protocol.errors import Rejected
from protocol.keys import to_base64
from protocol.messages import Enrol, Enrolled, Message
from protocol.names import Stream, agent_id
from protocol.signing import Opener, Signer, Suite

from .grants import Grants
from .ledger.ledger import AgentRecord, Ledger
from .roster import Member, Roster


def secret_hash(secret: bytes) -> bytes:
    """What the ledger keeps of an invitation's secret."""
    return hashlib.blake2b(secret, digest_size=32, person=b"guicang-invite").digest()


class Enrolment:
    def __init__(
        self, ledger: Ledger, roster: Roster, grants: Grants, signer: Signer, opener: Opener, suite: Suite
    ) -> None:
        self._ledger = ledger
        self._roster = roster
        self._grants = grants
        self._signer = signer
        self._opener = opener
        self._suite = suite

    def answer(self, agent: str, message: Message, now: int) -> bytes:
        """The answer to an enrolment that arrived on the topic of `agent`. Raises Rejected where the message
        itself is not what it claims to be."""
        request = messages.read_sealed(message, Enrol, self._suite, self._opener)
        public = bytes.fromhex(request.signing_public)
        messages.verify(message, self._suite, public)
        if request.agent != agent or agent_id(public) != agent:
            raise Rejected("GC-5003", agent=agent)
        record = AgentRecord(agent, request.site, self._suite.number, public, request.version, now, None)
        accepted = self._ledger.use_invitation(
            secret_hash(bytes.fromhex(request.secret)), request.site, record, now
        )
        grants: list[str] = []
        if accepted:
            member = Member(agent, request.site, self._suite.number, public)
            self._roster.enrol(member)
            for source in request.sources:
                grant = self._grants.issue(Stream(request.site, source), member, 0, now)
                if grant is not None:
                    grants.append(to_base64(grant))
        return messages.write(
            Enrolled(agent=agent, site=request.site, accepted=accepted, grants=tuple(grants)), self._signer
        )
