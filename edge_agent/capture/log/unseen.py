"""Transactions that the log has told and that statements may not see yet (capture.md §3.5).

A commit is decoded as soon as its record is written, and becomes visible a moment later; where a synchronous
standby does not answer, much later. Until some snapshot has seen it, its changes are held here by key, for a chunk
of its table must give way to them. Pure. It knows no source and no spool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from protocol.names import TableName

from ...changes import Changes
from ...sources.log import Snapshot, Transaction


@dataclass(frozen=True, slots=True)
class Told:
    """One change that a snapshot does not see: row `at` of `changes`."""

    changes: Changes
    at: int


@dataclass(frozen=True, slots=True)
class _Held:
    """Changes of one table; `transaction[i]` is the place of row i's transaction in `transactions`."""

    transactions: tuple[Transaction, ...]
    changes: Changes
    transaction: list[int]


class Unseen:
    """In the order of the log."""

    def __init__(self) -> None:
        self._held: list[_Held] = []
        self._open: dict[int, Transaction] = {}
        self._seen: Snapshot | None = None

    def hold(
        self, transactions: tuple[Transaction, ...], changes: Changes | None, transaction: list[int]
    ) -> None:
        """More of the log: some transactions, and the changes of one table in them (None: of none that matters)."""
        for one in transactions:
            if self._seen is None or not self._seen.sees(one.xid):
                self._open[one.xid] = one
        if changes is not None and any(one.xid in self._open for one in transactions):
            self._held.append(_Held(transactions, changes, transaction))

    def see(self, snapshot: Snapshot) -> None:
        """A statement saw this: what it saw every later one sees."""
        self._seen = snapshot
        self._open = {xid: one for xid, one in self._open.items() if not snapshot.sees(xid)}
        self._held = [held for held in self._held if any(t.xid in self._open for t in held.transactions)]

    @property
    def rows(self) -> int:
        """Changes held."""
        return sum(held.changes.count for held in self._held)

    @property
    def any(self) -> bool:
        return bool(self._open)

    def oldest(self) -> Transaction | None:
        """That committed first: what was told from it on must be told again after a restart."""
        return min(self._open.values(), key=lambda one: one.commit, default=None)

    def of(self, table: TableName, snapshot: Snapshot) -> Iterator[Told]:
        """Changes of a table that this snapshot did not see, in the order of the log."""
        for held in self._held:
            if held.changes.schema.table != table:
                continue
            blind = [not snapshot.sees(one.xid) for one in held.transactions]
            if any(blind):
                places = (i for i, place in enumerate(held.transaction) if blind[place])
                yield from (Told(held.changes, i) for i in places)
