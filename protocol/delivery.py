"""Delivery, decided without I/O: what an agent may send next, and what the centre makes of what arrives.

Both halves are tables. `Outbound` is one stream at the agent: its phases and transitions stand in
`TRANSITIONS`, from which the diagram in docs/protocol.md is drawn. `judge` is the centre's half: one verdict
for each envelope, from the stream's head alone (invariant 4: batches take effect in sequence order, once).
Times are seconds of any monotonic clock; retries back off with jitter that the caller supplies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from .envelope import Gap, Header, Kind

HELLO_SECONDS = 5.0
"""How long a hello waits for its answer before it is said again."""
RESEND_SECONDS = 5.0
"""How long sent envelopes wait for a receipt before the stream is rewound to the last one."""
BACKOFF_FACTOR_MAX = 12.0
"""Repeated silence waits at most this many times longer."""
SILENCES_MAX = 3
"""After so many silences in a row the hello is said again: the centre may hold to an older one that came late,
and then none of its receipts names our session."""


class Phase(Enum):
    AWAY = "away"
    GREETING = "greeting"
    PROBING = "probing"
    FLOWING = "flowing"
    STOPPED = "stopped"


class Event(Enum):
    GREETED = "hello sent"
    LOST = "link lost or centre away"
    WELCOMED = "answer to the hello"
    PROGRESS = "receipt for something new"
    SILENCE = "no receipt in time"
    STOP = "fork, fence or refusal"


TRANSITIONS: dict[tuple[Phase, Event], Phase] = {
    (Phase.AWAY, Event.GREETED): Phase.GREETING,
    (Phase.AWAY, Event.LOST): Phase.AWAY,
    (Phase.GREETING, Event.GREETED): Phase.GREETING,
    (Phase.GREETING, Event.WELCOMED): Phase.PROBING,
    (Phase.GREETING, Event.LOST): Phase.AWAY,
    (Phase.GREETING, Event.STOP): Phase.STOPPED,
    (Phase.PROBING, Event.WELCOMED): Phase.PROBING,
    (Phase.PROBING, Event.PROGRESS): Phase.FLOWING,
    (Phase.PROBING, Event.SILENCE): Phase.PROBING,
    (Phase.PROBING, Event.GREETED): Phase.GREETING,
    (Phase.PROBING, Event.LOST): Phase.AWAY,
    (Phase.PROBING, Event.STOP): Phase.STOPPED,
    (Phase.FLOWING, Event.WELCOMED): Phase.FLOWING,
    (Phase.FLOWING, Event.PROGRESS): Phase.FLOWING,
    (Phase.FLOWING, Event.SILENCE): Phase.PROBING,
    (Phase.FLOWING, Event.GREETED): Phase.GREETING,
    (Phase.FLOWING, Event.LOST): Phase.AWAY,
    (Phase.FLOWING, Event.STOP): Phase.STOPPED,
    (Phase.STOPPED, Event.LOST): Phase.STOPPED,
    (Phase.STOPPED, Event.STOP): Phase.STOPPED,
}
"""Whatever is not listed is a mistake of ours and raises KeyError; a stopped stream hears nothing more."""


class Outcome(Enum):
    """What a receipt means for the spool."""

    STALE = "an answer to an earlier hello, or nothing new"
    FORGET = "everything up to its sequence may leave the spool"
    FORK = "the centre knows another history than ours"


class Outbound:
    """One stream at the agent, in one epoch.

    Credit and in-flight bytes are counted as offsets from the epoch's first envelope (landing.md §1a).
    `receipted` is the centre's head as last heard. Within a session it only rises; an answer to a hello
    lowers it where the centre was restored from a backup and asks for old envelopes again.
    """

    def __init__(self, epoch: int, receipted: int = 0) -> None:
        self.phase = Phase.AWAY
        self.epoch = epoch
        self.session = ""
        self.receipted = receipted
        self.next_seq = receipted + 1
        self.credit = 0
        self._quiet_since = 0.0
        self._attempt = 0
        self._rewound_to = 0

    def _on(self, event: Event) -> None:
        self.phase = TRANSITIONS[self.phase, event]

    def greet(self, session: str, now: float) -> None:
        """A hello with this session went out."""
        self._on(Event.GREETED)
        self.session, self.credit, self._rewound_to = session, 0, 0
        self._quiet_since = now

    def lose(self) -> None:
        """The link is down, or the centre said goodbye."""
        self._on(Event.LOST)

    def stop(self) -> None:
        """Nothing more is sent in this epoch."""
        if self.phase is not Phase.AWAY:
            self._on(Event.STOP)

    def receipt(
        self,
        session: str,
        seq: int,
        digest: bytes,
        credit: int,
        now: float,
        hash_at: Callable[[int], bytes | None],
    ) -> Outcome:
        """A receipt for this stream and epoch. `hash_at` gives our own hash at a sequence, None where it is
        above our head, b"" where it was forgotten long ago (nothing to compare with)."""
        if session != self.session or self.phase in (Phase.AWAY, Phase.STOPPED):
            return Outcome.STALE
        ours = hash_at(seq) if seq else b""
        if ours is None or (seq and ours not in (b"", digest)):
            self._on(Event.STOP)
            return Outcome.FORK
        self.credit = max(self.credit, credit)
        is_new = seq > self.receipted
        if self.phase is Phase.GREETING:
            self._on(Event.WELCOMED)
            self.next_seq = seq + 1
        elif is_new:
            self._on(Event.PROGRESS)
            self.next_seq = max(self.next_seq, seq + 1)
        else:
            return Outcome.STALE
        self.receipted = seq
        self._quiet_since, self._attempt = now, 0
        return Outcome.FORGET if is_new else Outcome.STALE

    def expected(self, session: str, seq: int, credit: int, now: float) -> None:
        """The centre misses `seq`: go back there, once per gap and connection."""
        if session != self.session or self.phase not in (Phase.PROBING, Phase.FLOWING):
            return
        self.credit = max(self.credit, credit)
        if self.receipted < seq < self.next_seq and seq != self._rewound_to:
            self._rewound_to = seq
            self.next_seq = seq
            self._quiet_since = now

    def may_send(self, end_offset: int, now: float, jitter: float) -> bool:
        """Whether the envelope `next_seq`, which ends at `end_offset`, may go out now.

        Probing sends one envelope and waits. Without credit one probe goes out after a silence, in case the
        receipt that carried new credit was lost.
        """
        in_flight = self.next_seq > self.receipted + 1
        if self.phase is Phase.PROBING:
            return not in_flight
        if self.phase is not Phase.FLOWING:
            return False
        return end_offset <= self.credit or (not in_flight and self._silent(now, jitter))

    def sent(self, now: float, last_seq: int | None = None) -> None:
        """The envelope `next_seq` was handed to the link; a gap stands for all up to `last_seq`."""
        if self.next_seq == self.receipted + 1:
            self._quiet_since = now
        self.next_seq = (self.next_seq if last_seq is None else last_seq) + 1

    def tick(self, now: float, jitter: float) -> bool:
        """Let time pass; True where a hello must be said (again). `jitter` is a fraction in [0, 1)."""
        if not self._silent(now, jitter):
            return False
        if self.phase is Phase.GREETING:
            self._attempt += 1
            return True
        if self.phase in (Phase.PROBING, Phase.FLOWING) and self.next_seq > self.receipted + 1:
            self._on(Event.SILENCE)
            self.next_seq = self.receipted + 1
            self._quiet_since = now
            self._attempt += 1
            return self._attempt >= SILENCES_MAX
        return False

    def _silent(self, now: float, jitter: float) -> bool:
        base = HELLO_SECONDS if self.phase is Phase.GREETING else RESEND_SECONDS
        exponent = min(self._attempt, 8)  # 2.0**1024 would raise, 17 hours into a silence
        factor = min(2.0**exponent, BACKOFF_FACTOR_MAX)
        return now - self._quiet_since > base * factor * (1 + jitter / 2)


@dataclass(frozen=True, slots=True)
class Head:
    """The last admitted envelope of a stream at the centre; `seq` 0 at the start of an epoch. After a gap the
    chain continues at `resume`, the hash of the envelope that was lost."""

    epoch: int
    seq: int = 0
    hash: bytes = b""
    resume: bytes = b""

    @property
    def chain(self) -> bytes:
        """What the next header must carry as its previous hash."""
        return self.resume or self.hash


class Verdict(Enum):
    NEXT = "admit it"
    SEEN = "receipt it again"
    AHEAD = "say what is expected"
    FORK = "another history under the same sequence"
    FENCED = "an epoch below the highest used"
    UNGRANTED = "an epoch whose grant no hello has used"


def judge(
    head: Head | None, header: Header, digest: bytes, hash_at: Callable[[int], bytes | None]
) -> Verdict:
    """What an authentic envelope is to a stream that stands at `head`. `hash_at` gives the hash that the
    centre admitted at a sequence of this epoch, None where it no longer knows it.

    A gap may begin in what was admitted before: an envelope whose receipt was lost, and whose copy in the
    spool was damaged since. As a duplicate it is named by its own hash or by the one where it resumes.
    """
    if head is None or header.epoch > head.epoch:
        return Verdict.UNGRANTED
    if header.epoch < head.epoch:
        return Verdict.FENCED
    if header.seq > head.seq + 1:
        return Verdict.AHEAD
    if header.seq == head.seq + 1:
        return Verdict.NEXT if header.previous == head.chain else Verdict.FORK
    if header.last_seq > head.seq:
        before = hash_at(header.seq - 1) if header.seq > 1 else b""
        return Verdict.NEXT if before in (None, header.previous) else Verdict.FORK
    resume = Gap.from_bytes(header.extension).resume if header.kind is Kind.GAP else digest
    return Verdict.SEEN if hash_at(header.last_seq) in (None, digest, resume) else Verdict.FORK


def advance(header: Header, digest: bytes) -> Head:
    """The head after admitting an envelope."""
    resume = Gap.from_bytes(header.extension).resume if header.kind is Kind.GAP else b""
    return Head(header.epoch, header.last_seq, digest, resume)
