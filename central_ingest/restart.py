"""What the centre knows at its start: roster and heads from the ledger, brought up to the journal's end.

The ledger remembers heads as of a journal offset; the journal is the truth, so everything from there on is
read again and every head advances over what was admitted. Nothing is judged a second time. A journal that ends
before that offset has lost its end (rot, an older copy): then heads are what it still holds, and the agents
are asked for the rest. What is damaged between records moves no head back: landing finds what is missing there
(see landing.holes), and needs the heads as of now to tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from protocol.delivery import Head, advance
from protocol.envelope import Header, Kind, Rotation, parse
from protocol.signing import Suite

from .journal.journal import Entry, Journal, Run
from .ledger.ledger import Ledger, StreamRecord
from .roster import Member, Roster, Tenure


def restore(ledger: Ledger, journal: Journal, suites: Mapping[int, Suite]) -> Roster:
    """The roster and every stream's head as the journal ends."""
    roster = Roster()
    refresh_members(roster, ledger)
    checkpoint = ledger.checkpoint()
    is_cut = checkpoint > journal.end
    for record in ledger.streams():
        roster.begin(_from_the_start(record) if is_cut else _as_remembered(record))
    items: Iterator[Entry | Run] = journal.outline() if is_cut else journal.read(checkpoint)
    for entry in items:
        if isinstance(entry, Run):
            _advance(roster, entry)
            continue
        envelope = parse(entry.envelope)
        header = envelope.header
        tenure = roster.tenure(header.stream)
        damaged = sum(one.length for one in journal.damage if one.is_loss)
        if tenure is None or not _follows(tenure.head, header, damaged > 0):
            continue
        digest = envelope.digest(suites[header.suite])
        lost = damaged if header.seq > tenure.head.seq + 1 else 0
        tenure.advance(advance(header, digest), len(entry.envelope) + lost, entry.received)
        if header.kind is Kind.ROTATION:
            tenure.public = Rotation.from_bytes(header.extension).public
    if is_cut or any(one.is_loss for one in journal.damage):
        # Once it has grown beyond the checkpoint nobody would see any more that it was cut.
        ledger.save_heads(heads_of(roster), journal.end)
    return roster


def _advance(roster: Roster, run: Run) -> None:
    """What an archive vouches for was admitted, also behind what it lacks."""
    tenure = roster.tenure(run.stream)
    if tenure is None or run.epoch != tenure.head.epoch or run.last <= tenure.head.seq:
        return
    tenure.advance(Head(run.epoch, run.last, run.hash, run.resume), run.envelope_bytes, run.received)
    tenure.public = run.public or tenure.public


def _as_remembered(record: StreamRecord) -> Tenure:
    return Tenure(
        record.stream, record.agent, record.head, record.admitted_bytes, record.public, record.received
    )


def _from_the_start(record: StreamRecord) -> Tenure:
    return Tenure(record.stream, record.agent, Head(record.head.epoch))


def _follows(head: Head, header: Header, is_damaged: bool) -> bool:
    """Whether a journaled envelope moved this head. A gap may begin in what was admitted before; and what stood before
    the envelope may be damaged now, but was admitted all the same. Its bytes are not known: credit, which counts
    them, takes all that is damaged, since too much is harmless."""
    if header.epoch != head.epoch or header.last_seq <= head.seq:
        return False
    return is_damaged or header.seq <= head.seq + 1


def refresh_members(roster: Roster, ledger: Ledger) -> None:
    """Take over enrolments and revocations that a command wrote into the ledger."""
    for one in ledger.agents():
        roster.enrol(Member(one.id, one.site, one.suite, one.public, one.revoked is not None))


def heads_of(roster: Roster) -> list[StreamRecord]:
    """What the ledger should remember of all streams."""
    return [
        StreamRecord(t.stream, t.agent, t.head, t.admitted_bytes, t.public, t.received)
        for t in roster.tenures()
    ]
