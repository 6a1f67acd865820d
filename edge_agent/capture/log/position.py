"""How far a log has been spooled: after which transaction, and how much of the next one.

Stands in the spool, in the transaction of what it covers (promise 1), and is all that a restart needs. Pure.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from ...sources.log import Transaction


@dataclass(frozen=True, slots=True)
class Position:
    """Every transaction whose commit record begins below `end` is spooled whole; of the one whose record begins at
    `commit` (0: none) its first `rows` row changes, counted over all tables."""

    end: int = 0
    commit: int = 0
    rows: int = 0
    origin: str = ""
    """Of which log (`LogSource.follow`)."""
    time: int = 0
    """Everything that was committed before (microseconds UTC, the source's clock) is spooled; 0: not known."""

    @classmethod
    def parse(cls, text: str | None) -> Position:
        return cls() if text is None else cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def has(self, one: Transaction, ordinal: int) -> bool:
        """Whether this row change of the transaction is spooled."""
        return one.commit < self.end or (one.commit == self.commit and ordinal < self.rows)

    def has_nothing_of(self, one: Transaction) -> bool:
        return one.commit >= self.end and one.commit != self.commit

    def after(self, one: Transaction, rows: int) -> Position:
        """With the transaction's first `rows` row changes, and with all of it where its end is known."""
        if one.commit < self.end:
            return self
        if one.end is not None:
            return Position(max(self.end, one.end), origin=self.origin, time=self.time)
        rows = max(rows, self.rows if one.commit == self.commit else 0)
        return Position(self.end, one.commit, rows, self.origin, self.time)

    def reaching(self, lsn: int) -> Position:
        """Nothing was committed before `lsn` that is not spooled; within a transaction that says nothing."""
        return self if self.commit or lsn <= self.end else replace(self, end=lsn)
