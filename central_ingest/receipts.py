"""Receipts and credit: what the centre signs, and how much it lets each stream have under way.

Invariant 3: a receipt is written only from a tenure whose head is on disk; this room does not know the disk,
so its caller may ask for one only after the journal's append has returned. Credit is an absolute byte offset
in the epoch: what was admitted plus a fair share of the centre's budget, nothing more while landing lags.
"""

from __future__ import annotations

from protocol import messages
from protocol.limits import CREDIT_WINDOW_BYTES_MIN
from protocol.messages import Expected, Receipt, Refusal
from protocol.names import Stream
from protocol.signing import Signer

from .roster import Tenure


class Credit:
    """The window of every stream. `closed` while the disk is full or landing is too far behind."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self.closed = False

    def offset(self, tenure: Tenure, streams_active: int) -> int:
        """Bytes from the start of the epoch up to which the stream may send."""
        if self.closed:
            return tenure.admitted_bytes
        share = self._budget_bytes // max(1, streams_active)
        return tenure.admitted_bytes + max(CREDIT_WINDOW_BYTES_MIN, share)


class Receipts:
    """Writes receipts, rewinds and refusals for one centre key."""

    def __init__(self, signer: Signer, credit: Credit) -> None:
        self._signer = signer
        self._credit = credit

    def receipt(self, tenure: Tenure, session: str, streams_active: int) -> bytes:
        head = tenure.head
        return messages.write(
            Receipt(
                agent=tenure.agent,
                session=session,
                site=tenure.stream.site,
                source=tenure.stream.source,
                epoch=head.epoch,
                seq=head.seq,
                hash=head.chain.hex(),
                credit=self._credit.offset(tenure, streams_active),
            ),
            self._signer,
        )

    def expected(self, tenure: Tenure, session: str, streams_active: int) -> bytes:
        return messages.write(
            Expected(
                agent=tenure.agent,
                session=session,
                site=tenure.stream.site,
                source=tenure.stream.source,
                epoch=tenure.head.epoch,
                seq=tenure.head.seq + 1,
                credit=self._credit.offset(tenure, streams_active),
            ),
            self._signer,
        )

    def refusal(self, agent: str, session: str, stream: Stream, epoch: int, code: str) -> bytes:
        return messages.write(
            Refusal(
                agent=agent,
                session=session,
                site=stream.site,
                source=stream.source,
                epoch=epoch,
                code=code,
            ),
            self._signer,
        )
