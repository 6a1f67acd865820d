"""How a PostgreSQL server stands for its log to be followed, as far as our own account can see: plain facts.

None is "unknown": the account may not ask, or the server is too old to say. That the account may log in and connect is
no fact of its own here: else nothing could have been asked. What all of it amounts to says `verdict`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from protocol.names import TableName

KEYLESS_BYTES_MAX = 32 << 20
"""A table without a key that is larger is scanned: one statement reads all of it, and memory holds it. One that grows
while it is followed may become twice as large."""

KINDS = ("insert", "update", "delete", "truncate")
"""Of changes that a publication may publish."""


@dataclass(frozen=True, slots=True)
class Server:
    """`version` as server_version_num, `version_text` as people say it. `keep_bytes_max` is max_slot_wal_keep_size
    (-1: no limit), `wal_bytes` what lies in pg_wal now."""

    database: str
    version: int | None = None
    version_text: str | None = None
    standby: bool | None = None
    wal_level: str | None = None
    slots_max: int | None = None
    slots_used: int | None = None
    senders_max: int | None = None
    senders_used: int | None = None
    keep_bytes_max: int | None = None
    wal_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    superuser: bool | None = None
    replication: bool | None = None

    @property
    def may_replicate(self) -> bool | None:
        return True if self.superuser else self.replication


@dataclass(frozen=True, slots=True)
class OurSlot:
    """The slot of the name that is ours. `status` as pg_replication_slots.wal_status; `kept_bytes` of log for it."""

    plugin: str | None
    database: str | None
    active: bool
    status: str | None
    kept_bytes: int | None


@dataclass(frozen=True, slots=True)
class Identity:
    """What the log says of a row's former state. `kind` as pg_class.relreplident: d, n, f or i; `columns` are those
    of its index, none where there is no index that serves."""

    kind: str
    columns: frozenset[str]

    @property
    def tells(self) -> bool:
        """Whether the server lets rows be updated and deleted while that is published."""
        return self.kind == "f" or bool(self.columns)

    def carries(self, key: Collection[str]) -> bool:
        return self.kind == "f" or set(key) <= self.columns


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, or a partition of one. `kind` and `persistence` as pg_class.relkind and relpersistence. `primary`: the
    columns of its primary key, and whether that holds at once (is not DEFERRABLE). `bytes`: what it takes, asked where
    it may be told by its whole rows. `leaves`: partitions with rows."""

    table: TableName
    kind: str
    persistence: str
    identity: Identity
    primary: frozenset[str]
    primary_immediate: bool
    generated: bool
    children: bool
    usage: bool
    select: bool
    row_security: bool
    bytes: int | None = None
    leaves: tuple[Relation, ...] = ()

    @property
    def partitioned(self) -> bool:
        return self.kind == "p"

    @property
    def stores(self) -> tuple[Relation, ...]:
        """Where its rows are."""
        return self.leaves if self.partitioned else (self,)


@dataclass(frozen=True, slots=True)
class Member:
    """A table of a publication. `rows_of`: the columns by which a filter chooses rows; `columns`: those of its list;
    None: without one."""

    relation: Relation
    rows_of: frozenset[str] | None = None
    columns: frozenset[str] | None = None

    @property
    def partial(self) -> bool:
        """Whether some of its rows or columns are left out."""
        return self.rows_of is not None or self.columns is not None

    def lets_change(self, identity: Identity) -> bool:
        """Whether rows may be updated and deleted where they have this identity, as PostgreSQL decides it
        (CheckCmdReplicaIdentity)."""
        if not identity.tells or (self.columns is not None and not self._lists(identity)):
            return False
        return self.rows_of is None or identity.carries(self.rows_of)

    def _lists(self, identity: Identity) -> bool:
        return identity.kind != "f" and identity.columns <= (self.columns or frozenset())


@dataclass(frozen=True, slots=True)
class Publication:
    """`ours`: our account may change its list. `schemas`: those whose tables it takes in by itself. `members`: what it
    publishes, by whichever rule; of these `named` one by one."""

    name: str
    owner: str
    ours: bool
    all_tables: bool
    schemas: tuple[str, ...]
    publishes: frozenset[str]
    via_root: bool
    members: tuple[Member, ...]
    named: frozenset[TableName]

    @property
    def tables(self) -> frozenset[TableName]:
        """All that it publishes."""
        return frozenset(member.relation.table for member in self.members)

    @property
    def whole(self) -> bool:
        """Whether it publishes every kind of change."""
        return self.publishes >= set(KINDS)

    @property
    def hinders(self) -> tuple[str, ...]:
        """The statements that need a replica identity while it stands."""
        return tuple(kind.upper() for kind in ("update", "delete") if kind in self.publishes)


@dataclass(frozen=True, slots=True)
class Prepared:
    """`slot` is None where there is none; `slot_known` says whether that could be asked. `publications`: those of ours
    that exist, by name; `relations`: every table that is no partition; either None where it could not be asked."""

    server: Server
    account: Account
    slot: OurSlot | None
    slot_known: bool
    publications: Mapping[str, Publication] | None
    relations: Mapping[TableName, Relation] | None
