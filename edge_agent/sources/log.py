"""The contract of a source that has a log: changes in commit order, and snapshots that say what they saw.

A log is read in *gulps*. What happened in one comes as events: rows of committed transactions, table by table, and
between them what orders everything (a table truncated, a fence). Positions are LSNs, whole numbers
that rise. The log is read forward only and knows nothing of spools: where it begins, and how far the server
may forget, is said by whoever keeps what it gave (promise 1). As with any source, methods block and never run two at
a time. Implementations: `pg.source` and, for tests, `memory_log`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.change import Op
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import TableSchema

from .source import Page, PageLimits, Rows

XID_BITS = 32
"""A log names a transaction by so many low bits of its number."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions a statement saw, as PostgreSQL says it (`pg_current_snapshot()`); 64-bit numbers."""

    xmin: int
    xmax: int
    running: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """From `xmin:xmax:xip,xip,…`."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, filter(None, running.split(",")))))

    def sees(self, xid: int) -> bool:
        """Of a transaction that has committed, by its number as the log names it."""
        full = self._widened(xid)
        return full < self.xmin or (full < self.xmax and full not in self.running)

    def _widened(self, xid: int) -> int:
        """The number with these low bits that is nearest to those of now: none older by half their range is left."""
        half = 1 << (XID_BITS - 1)
        return self.xmax + (xid - self.xmax + half) % (2 * half) - half


@dataclass(frozen=True, slots=True)
class Transaction:
    """Of the log: `xid` its number's low bits (`XID_BITS`), `commit` where its commit record begins, `end` where the
    next record may; None while more of it is still to come. `time` is the server's clock, microseconds UTC. `rows`:
    row changes of it in this event, of whatever table."""

    xid: int
    commit: int
    end: int | None
    time: int
    rows: int


@dataclass(frozen=True, slots=True)
class Logged:
    """Changes of one table under one schema, in the order of the log; all lists have one entry a change.

    A row has all columns of the schema; of a deletion only those of the key are filled (without a key: all). A change
    of key is a deletion of the old and a creation with `moved`. `unchanged` names columns that an update did not carry.
    `transaction` is the place in `Changed.transactions`, `ordinal` the place among the transaction's row changes, of
    whatever table, from 0; both halves of an update that became two changes have the same.
    """

    schema: TableSchema
    rows: Rows
    ops: list[Op]
    transaction: list[int]
    ordinal: list[int]
    moved: list[bool] | None = None
    unchanged: list[list[str] | None] | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """What happened to rows: transactions in commit order (the last may go on in the next event, the first may have
    begun in an earlier one) and their changes, table by table."""

    transactions: Sequence[Transaction]
    tables: Sequence[Logged]


@dataclass(frozen=True, slots=True)
class Truncated:
    """Counts as one row change of its transaction, with this `ordinal`."""

    transaction: Transaction
    ordinal: int
    tables: Sequence[TableName]


@dataclass(frozen=True, slots=True)
class Fence:
    """A fence of ours was met (`LogSource.fence`)."""

    token: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Changes of this table follow that cannot be told: it is captured by its log no longer."""

    table: TableName
    fault: Rejected


Event = Changed | Truncated | Fence | Unreadable


class LogLost(Exception):
    """What followed a position will never be told: whatever the log carries must be read anew. The text says why."""


@dataclass(frozen=True, slots=True)
class Gulp:
    """`reached`: everything whose commit record begins below this LSN has come by now, and so has everything that was
    committed before `time` (the server's clock, microseconds UTC; 0: not known). `drained`: little
    more was there, at most of about a second. `written`: tables that the log does not carry, but tells something of."""

    events: Sequence[Event]
    reached: int
    time: int
    drained: bool
    written: frozenset[TableName] = frozenset()


ADDED = "+"
"""What stands behind it in a table's identity changed no row that stood there."""


def is_still(before: str, now: str) -> bool:
    """Whether a table that had the identity `before` is still what it was."""
    return now == before or (before != "" and now.startswith(before + ADDED))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of a key range, and what the statement saw. `identity` (`is_still`) changes whenever the table was
    rewritten, replaced or altered in a way that its log does not tell."""

    page: Page
    snapshot: Snapshot
    identity: str


NO_LOG = frozenset(
    ["GC-2054", "GC-2055", "GC-2056", "GC-2057", "GC-2058", "GC-2073", "GC-2082", "GC-2083", "GC-2084"]
)
"""Codes of what keeps a log from being followed until a person changes it: its tables are scanned meanwhile."""

IN_THE_WAY = frozenset(["GC-2052", "GC-2079", "GC-2083"])
"""Codes of what keeps a log from being begun for a moment, as a rule: a slot or a sender in use, a transaction that has
written and runs on."""

GIVEN_UP = frozenset(["GC-2059", "GC-2074"])
"""Codes of a log that was given up for the hospital's disk."""

STILL_ENDANGERED = "GC-2072"
"""Code of a table that the hospital cannot change, and that we may not take out."""


KeyOf = Callable[[TableName], tuple[str, ...] | None]
"""The key by which a table was captured last, () for none; None: it was not."""


def nothing_known(_table: TableName) -> tuple[str, ...] | None:
    return None


class LogSource(Protocol):
    """Faults as of a Source; besides, Transient with a code of its own where the log cannot be read."""

    def describe(self, table: TableName) -> TableSchema:
        """As `Source.describe`."""
        ...

    def follow(self, after: int, origin: str) -> str:
        """Read the log from where it was confirmed, which must not lie beyond `after`. `origin` is what this gave when
        the log was begun, "" to begin it wherever it stands. Raises LogLost."""
        ...

    def read(self, bytes_max: int, seconds: float) -> Gulp:
        """What has come by now, at most about so much; waits so long for the first of it."""
        ...

    def tells_more(self) -> bool:
        """Whether the log, followed anew, would tell of more tables than it does as it is followed now."""
        ...

    def confirm(self, lsn: int) -> None:
        """The server may forget every transaction whose commit record begins below `lsn`."""
        ...

    def kept(self) -> tuple[int, int]:
        """How many bytes of log the server keeps for us, and what its clock says (microseconds UTC)."""
        ...

    def give_up(self) -> None:
        """The server keeps nothing for us any more; `follow` then raises LogLost."""
        ...

    def spare(self) -> dict[TableName, Rejected]:
        """Take out of the log each table that the hospital itself cannot change for standing there: Rejected GC-2071,
        or `STILL_ENDANGERED` where we may not and it still stands there."""
        ...

    def visible(self) -> Snapshot:
        """What a statement of now sees."""
        ...

    def identity(self, table: TableName) -> str | None:
        """That of one table, as of a Chunk; None where there is none of that name."""
        ...

    def identities(self, tables: Sequence[TableName], key_of: KeyOf = nothing_known) -> dict[TableName, str]:
        """The identity (as of a Chunk) of each of these tables that the log carries now, whole. One that is gone has
        none, but what the log still says of it is told, by the key that it had (`key_of`). Raises Transient with one of
        `NO_LOG` where nothing is carried as things are set up."""
        ...

    def chunk(self, schema: TableSchema, after: bytes, limits: PageLimits) -> Chunk:
        """As `Source.page`, without an upper bound. Nothing of the log is read meanwhile."""
        ...

    def rows_of(self, schema: TableSchema, keys: Sequence[bytes]) -> Chunk:
        """The rows that have these canonical keys now; `page.full` means nothing."""
        ...

    def holding(self) -> int | None:
        """The session whose transaction has been under way for longest, as a DBA knows it; None where there is none."""
        ...

    def whole_chunk(self, schema: TableSchema, limits: PageLimits) -> Chunk:
        """All rows of a table without a key, by one statement; `page.full` where they exceed the limits."""
        ...

    def fence(self) -> str:
        """Put a fence into the log; its token comes back in a `Fence` behind all that committed before this call."""
        ...
