"""Grants: which agent may hold a stream, in which epoch (landing.md §1).

Epochs rise strictly per stream: the next one is above everything that ledger, heads and the agent itself
have ever said. A grant fences earlier ones when it is first used in a hello, not when it is issued. A stream
that another agent holds is not given away by itself: an operator moves it (`give`), or ends that agent.
"""

from __future__ import annotations

from protocol import messages
from protocol.errors import Rejected
from protocol.keys import from_base64
from protocol.messages import Grant, StreamHead
from protocol.names import Stream
from protocol.signing import Signer, Suite

from .ledger.ledger import Ledger
from .roster import Member, Roster

SOURCES_MAX = 256
"""Sources of one agent, as many as one hello can name: what an enrolled agent asks for never fills the ledger."""


class Grants:
    def __init__(self, ledger: Ledger, roster: Roster, signer: Signer, suite: Suite) -> None:
        self._ledger = ledger
        self._roster = roster
        self._signer = signer
        self._suite = suite

    def issue(self, stream: Stream, member: Member, epoch_said: int, now: int) -> bytes | None:
        """A grant that the agent can keep in reserve, or None where another agent holds the stream, or is to hold
        it next, or this one asks for more than SOURCES_MAX sources.

        An unused grant of the same agent is given again, so that repeated hellos do not burn epochs.
        """
        tenure = self._roster.tenure(stream)
        used = max(epoch_said, tenure.head.epoch if tenure else 0)
        known = self._ledger.grants(stream)
        spare = [g.epoch for g in known if g.agent == member.agent and g.used is None and g.epoch > used]
        if spare:
            return self._write(stream, member, spare[-1], now)
        if tenure is not None:
            next_one = known[-1].agent if known and known[-1].epoch > used else tenure.agent
            if any(one != member.agent and self._alive(one) for one in (tenure.agent, next_one)):
                return None
        if not known and self._ledger.sources_granted(member.agent) >= SOURCES_MAX:
            return None
        epoch = max([used, *(g.epoch for g in known)]) + 1
        self._ledger.add_grant(stream, epoch, member.agent, now)
        return self._write(stream, member, epoch, now)

    def check(self, said: StreamHead, member: Member) -> int:
        """The epoch that the grant in a hello allows. Raises Rejected GC-5004 where it allows none."""
        stream = Stream(said.site, said.source)
        try:
            message = messages.parse(from_base64(said.grant))
            messages.verify(message, self._suite, self._signer.public)
            grant = messages.read(message, Grant)
        except Rejected:
            raise _none(stream, said.epoch) from None
        fits = (
            grant.agent == member.agent
            and grant.key_id == self._suite.key_id(member.public).hex()
            and (grant.site, grant.source, grant.epoch) == (said.site, said.source, said.epoch)
            and said.site == member.site
        )
        if not fits:
            raise _none(stream, said.epoch)
        return grant.epoch

    def _alive(self, agent: str) -> bool:
        member = self._roster.member(agent)
        return member is not None and not member.revoked

    def _write(self, stream: Stream, member: Member, epoch: int, now: int) -> bytes:
        grant = Grant(
            agent=member.agent,
            site=stream.site,
            source=stream.source,
            epoch=epoch,
            key_id=self._suite.key_id(member.public).hex(),
            issued=now,
        )
        return messages.write(grant, self._signer)


def give(ledger: Ledger, stream: Stream, agent: str, now: int) -> int:
    """The next epoch of the stream is this agent's, whoever holds it now: it hears so when it asks. Returns it."""
    known = ledger.grants(stream)
    if known and known[-1].agent == agent and known[-1].used is None:
        return known[-1].epoch
    heads = [one.head.epoch for one in ledger.streams() if one.stream == stream]
    epoch = max([*heads, *(g.epoch for g in known)], default=0) + 1
    ledger.add_grant(stream, epoch, agent, now)
    return epoch


def _none(stream: Stream, epoch: int) -> Rejected:
    return Rejected("GC-5004", site=stream.site, source=stream.source, epoch=epoch)
