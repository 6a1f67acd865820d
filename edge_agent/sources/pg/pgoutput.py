"""The decoder of pgoutput, protocol version 1, text: from messages of the log to segments of changes in columns.

Messages come in gulps that may end anywhere between two of them; what spans gulps is the decoder's state: relations
by their oid, and the transaction that is open. Row messages are only sorted by relation here, and become columns when
an ordering point or the gulp's end closes their segment. Anything that is not as the protocol says is GC-2050, after
which the decoder is of no use: whoever reads on connects anew and decodes with a new one. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_agent.sources.log import Transaction
from protocol.errors import Transient

from . import parsing
from .events import (
    Identity,
    LogColumn,
    LogEvent,
    Message,
    OldKind,
    Relation,
    RelationChanged,
    Segment,
    TableChanges,
    Truncated,
)
from .gathering import Gathering
from .tuples import Torn

__all__ = [
    "Decoder",
    "Identity",
    "LogColumn",
    "LogEvent",
    "Message",
    "OldKind",
    "Relation",
    "RelationChanged",
    "Segment",
    "TableChanges",
    "Truncated",
]

SEGMENT_BYTES_MAX = 64 * 1024 * 1024
"""A segment ends behind the row that exceeds it: one message has a gigabyte at most, and an array ends at two."""

_ROWS = frozenset(b"IUD")
_OID = struct.Struct(">I")


@dataclass(slots=True)
class _Open:
    """A transaction whose end has not come. `here`: its row changes in this segment; `before`: up to now in all."""

    xid: int
    commit: int
    time: int
    here: int = 0
    before: int = 0

    def seen(self, end: int | None, rows: int) -> Transaction:
        return Transaction(self.xid, self.commit, end, self.time, rows)


class Decoder:
    """`source` is named in faults; names come in `charset`."""

    def __init__(self, source: str, charset: str | None = None) -> None:
        self._source = source
        self._charset = charset or "utf-8"
        self._relations: dict[int, Relation] = {}
        self._open: _Open | None = None
        self._events: list[LogEvent] = []
        self._transactions: list[Transaction] = []
        self._gatherings: dict[bytes, Gathering] = {}
        self._bytes = 0
        self._others: dict[int, Callable[[bytes], None]] = {
            ord("B"): self._begin,
            ord("C"): self._commit,
            ord("R"): self._relation,
            ord("T"): self._truncate,
            ord("M"): self._message,
            ord("O"): lambda _: None,
            ord("Y"): lambda _: None,
        }

    def decode(self, messages: Sequence[bytes]) -> list[LogEvent]:
        """What these messages say, in order. Raises Transient (GC-2050)."""
        try:
            for message in messages:
                kind = message[0] if message else 0
                if kind in _ROWS:
                    self._row(message)
                elif kind in self._others:
                    self._others[kind](message)
                else:
                    raise Torn
            self._close()
        except Torn:
            raise Transient("GC-2050", source=self._source) from None
        events, self._events = self._events, []
        return events

    def _row(self, message: bytes) -> None:
        transaction = self._open
        if transaction is None:
            raise Torn
        gathering = self._gatherings.get(message[1:5])
        if gathering is None:
            gathering = self._gatherings[message[1:5]] = Gathering(self._known(message))
        gathering.messages.append(message)
        gathering.transaction.append(len(self._transactions))
        gathering.ordinal.append(transaction.before)
        transaction.here += 1
        transaction.before += 1
        self._bytes += len(message)
        if self._bytes > SEGMENT_BYTES_MAX:
            self._close()

    def _known(self, message: bytes) -> Relation:
        if len(message) < 5:
            raise Torn
        (oid,) = _OID.unpack_from(message, 1)
        return self._of(oid)

    def _of(self, oid: int) -> Relation:
        relation = self._relations.get(oid)
        if relation is None:
            raise Torn
        return relation

    def _close(self) -> None:
        """End the segment, if anything stands in it."""
        transaction = self._open
        if transaction is not None and transaction.here:
            self._transactions.append(transaction.seen(None, transaction.here))
            transaction.here = 0
        if self._transactions:
            tables = [gathering.changes() for gathering in self._gatherings.values()]
            self._events.append(Segment(self._transactions, tables))
        self._transactions, self._gatherings, self._bytes = [], {}, 0

    def _begin(self, message: bytes) -> None:
        if self._open is not None:
            raise Torn
        commit, time, xid = parsing.begin(message)
        self._open = _Open(xid, commit, time)

    def _commit(self, message: bytes) -> None:
        transaction = self._open
        commit, end = parsing.commit(message)
        if transaction is None or commit != transaction.commit:
            raise Torn
        self._transactions.append(transaction.seen(end, transaction.here))
        self._open = None

    def _relation(self, message: bytes) -> None:
        relation = parsing.relation(message, self._charset)
        if self._relations.get(relation.oid) != relation:
            self._close()
            self._relations[relation.oid] = relation
            self._events.append(RelationChanged(relation))

    def _truncate(self, message: bytes) -> None:
        transaction = self._open
        if transaction is None:
            raise Torn
        oids, cascade, restart = parsing.truncate(message)
        relations = tuple(self._of(oid) for oid in oids)
        self._close()
        self._events.append(
            Truncated(transaction.seen(None, 1), transaction.before, relations, cascade, restart)
        )
        transaction.before += 1

    def _message(self, message: bytes) -> None:
        found = parsing.message(message)
        if found.transactional and self._open is None:
            raise Torn
        self._close()
        self._events.append(found)
