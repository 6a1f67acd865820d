"""The decoder of pgoutput, protocol version 1, text: from messages of the log to segments of changes in columns.

Messages come in gulps that may end anywhere between two of them; what spans gulps is the decoder's state: relations
by their oid, and the transaction that is open. Row messages are only sorted by relation here, whole runs of them at
once, and become columns when an ordering point or the gulp's end closes their segment. Anything that is not as the
protocol says is GC-2050, after which the decoder is of no use: whoever reads on connects anew and decodes with a new
one. Pure.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from edge_agent.sources.log import Transaction
from protocol.errors import Transient

from . import parsing
from .events import LogEvent, Relation, RelationChanged, Segment, Truncated
from .gathering import Gathering
from .messages import Messages, Torn

SEGMENT_BYTES_MAX = 64 * 1024 * 1024
"""A segment ends behind the row that exceeds it: one message has a gigabyte at most, and an array ends at two."""

_RUNS = re.compile(rb"[IUD]+|[^IUD]", re.DOTALL)
_ROWS = b"IUD"
_OID = struct.Struct(">I")
_SHORTEST = 6
"""No message is shorter than the head of a row's."""


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
        self._gatherings: dict[int, Gathering] = {}
        self._messages = Messages.of([])
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
            if messages:
                self._decode(Messages.of(messages))
        except Torn:
            raise Transient("GC-2050", source=self._source) from None
        finally:
            self._messages = Messages.of([])
        events, self._events = self._events, []
        return events

    def _decode(self, messages: Messages) -> None:
        if messages.shortest() < _SHORTEST:
            raise Torn
        self._messages = messages
        kinds = messages.first_octets
        for found in _RUNS.finditer(kinds):
            first, end = found.span()
            if kinds[first] in _ROWS:
                for run in _runs(messages, first, end):
                    self._rows(*run)
            elif (act := self._others.get(kinds[first])) is not None:
                act(messages[first])
            else:
                raise Torn
        self._close()

    def _rows(self, first: int, end: int) -> None:
        """Changes of one relation, one behind another."""
        transaction, messages = self._open, self._messages
        if transaction is None:
            raise Torn
        at = messages.starts[first]
        (oid,) = _OID.unpack_from(messages.data, at + 1)
        while first < end:
            enough = bisect_right(messages.ends, at + SEGMENT_BYTES_MAX - self._bytes, first, end)
            cut = min(enough + 1, end)
            gathering = self._gatherings.get(oid)
            if gathering is None:
                gathering = self._gatherings[oid] = Gathering(self._of(oid), messages)
            gathering.add(first, cut, len(self._transactions), transaction.before)
            transaction.here += cut - first
            transaction.before += cut - first
            self._bytes += messages.ends[cut - 1] - at
            if enough < end:
                self._close()
            if (first := cut) < end:
                at = messages.starts[first]

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
        relations = tuple(self._of(oid) for oid in parsing.truncate(message))
        self._close()
        self._events.append(Truncated(transaction.seen(None, 1), transaction.before, relations))
        transaction.before += 1

    def _message(self, message: bytes) -> None:
        found = parsing.message(message)
        if found.transactional and self._open is None:
            raise Torn
        self._close()
        self._events.append(found)


def _runs(messages: Messages, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Changes of one relation that stand side by side: where they begin and end."""
    oids = messages.relations
    if oids[first:end].count(oids[first]) == end - first:
        yield first, end
        return
    for _, group in groupby(range(first, end), oids.__getitem__):
        places = list(group)
        yield places[0], places[-1] + 1
