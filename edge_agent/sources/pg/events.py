"""What a PostgreSQL log says, as nouns: relations, changes in columns, and what orders them.

Values are the server's own text, as COPY prints it under the same settings: binary arrays, never parsed here. A
*segment* holds what happened between two ordering points, table by table; an ordering point is a truncation, a
relation that is not what it was, or a logical message. Between transactions the log's order is that of their commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import pyarrow as pa

from edge_agent.sources.log import Transaction
from protocol.change import Op


class Identity(IntEnum):
    """What of an old row the log carries (`REPLICA IDENTITY`), by pgoutput's letter."""

    DEFAULT = ord("d")
    """The primary key."""
    NOTHING = ord("n")
    FULL = ord("f")
    INDEX = ord("i")


@dataclass(frozen=True, slots=True)
class LogColumn:
    """`key`: part of the replica identity; of a full one every column is. `modifier` as pg_attribute.atttypmod."""

    name: str
    key: bool
    type_oid: int
    modifier: int


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as its rows come from here on; columns that are dropped or generated are absent. With
    `publish_via_partition_root` the root of its partitions."""

    oid: int
    schema: str
    name: str
    identity: Identity
    columns: tuple[LogColumn, ...]


class OldKind(IntEnum):
    """What a change carries of the row as it was."""

    NONE = 0
    """An insert, or an update that left the replica identity as it was."""
    KEY = ord("K")
    """The columns of the replica identity; the others are null."""
    FULL = ord("O")
    """All of it."""


@dataclass(frozen=True, slots=True, eq=False)
class TableChanges:
    """Changes of one relation under one definition, in the order of the log.

    A list of one entry a change: `ops` (CREATE, UPDATE, DELETE), `transaction` (place in `Segment.transactions`),
    `ordinal` (place among the transaction's row changes, whatever their table, from 0), `old_kinds`.

    One binary array a column of the relation: `new`, of as many rows as there are creations and updates, and
    `old`, of as many as have an old kind other than NONE; both in the order of the changes, null where SQL has NULL.
    `unchanged`, one a column: None, or which rows of `new` the log carries no value of, because it is large and the
    update left it alone (a boolean array; `new` is null there). Where the old row carries it, `new` has its value.
    """

    relation: Relation
    ops: list[Op]
    transaction: list[int]
    ordinal: list[int]
    old_kinds: list[OldKind]
    new: list[pa.Array]
    unchanged: list[pa.Array | None]
    old: list[pa.Array]


@dataclass(frozen=True, slots=True)
class Segment:
    """Transactions in commit order: those of which a row change or the end stands here. The first may have begun in an
    earlier segment, the last (whose `end` is None) may go on in a later one; `rows` counts what stands in this one,
    its truncations aside."""

    transactions: Sequence[Transaction]
    tables: Sequence[TableChanges]


@dataclass(frozen=True, slots=True)
class RelationChanged:
    """Rows of this relation come so from here on: it is new to this decoder, or another than before."""

    relation: Relation


@dataclass(frozen=True, slots=True)
class Truncated:
    """Emptied tables. It counts as one row change of `transaction` (whose `rows` is 1 and whose `end` is None), with
    this `ordinal`."""

    transaction: Transaction
    ordinal: int
    relations: tuple[Relation, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """Of `pg_logical_emit_message`. A transactional one stands within its transaction, another where it was written,
    perhaps between two transactions."""

    prefix: str
    content: bytes
    transactional: bool


LogEvent = Segment | RelationChanged | Truncated | Message
