"""What a server's preparation amounts to: of each table what keeps its log from being exact, of the whole what hinders
us and what harms the hospital's own application (capture.md §3.9). Pure.

Whether a table's log *is* followed says the source itself; this says why not, and what would mend it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from protocol.errors import Fault, Rejected, Transient
from protocol.names import TableName

from .naming import qualified, quoted
from .prepared import KEYLESS_BYTES_MAX, Member, Prepared, Publication, Relation
from .replication import MESSAGES_VERSION_MIN, PLUGIN


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator set. `publications` carry every change, `inserts` what is created in tables that may not
    publish more (None: there is none); `tables`: the included ones, with the key that tells their rows apart.
    `own_names`: those that publications of this source bear which the DBA's script makes."""

    source: str
    slot: str
    publications: tuple[str, ...]
    inserts: str | None
    tables: Mapping[TableName, tuple[str, ...]]
    keep_bytes_max: int
    own_names: frozenset[str]

    @property
    def names(self) -> list[str]:
        """Of all publications."""
        return [*self.publications, *([] if self.inserts is None else [self.inserts])]


class Why(Enum):
    """What keeps a table's log from telling each of its changes."""

    UNKNOWN = "unknown"
    OLD = "the server is older than PostgreSQL 14"
    CHILDREN = "it has inheritance children"
    UNLOGGED = "it, or a partition of it, is unlogged"
    FOREIGN = "a partition of it is a foreign table"
    GENERATED = "it has a generated column"
    KEY = "it has no key that can be used"
    KEYLESS = "it has no key and its replica identity is not FULL"
    ROOT = "it is partitioned without a primary key of its own"
    NOTHING = "its replica identity is NOTHING"
    LOST = "the index of its replica identity is gone"
    DEFERRABLE = "its primary key is DEFERRABLE"
    OTHER = "its replica identity is not its key"
    LEAF = "the replica identity of a partition does not carry the key"
    LARGE = "it has no key and is too large to be read by one statement"
    PUBLICATION = "it is in no publication"
    KINDS = "its publication leaves out kinds of changes"
    PARTIAL = "it is published with a row filter or a column list"
    VIA_ROOT = "its publication does not publish via the partition root"


INSERTS_ONLY = frozenset(
    [
        Why.GENERATED,
        Why.KEY,
        Why.KEYLESS,
        Why.ROOT,
        Why.NOTHING,
        Why.LOST,
        Why.DEFERRABLE,
        Why.OTHER,
        Why.LEAF,
        Why.LARGE,
    ]
)
"""Tables that are scanned, of which it yet helps to hear that a row was created; most may publish no more than that."""


class Mend(Enum):
    """What would mend it."""

    SCRIPT = "the DBA's script"
    CHOICE = "a choice in the DBA's script"
    IDENTITY = "another replica identity"
    KEY = "a primary key"
    UPGRADE = "a newer server"


MENDS = {
    Why.OLD: Mend.UPGRADE,
    Why.KEY: Mend.KEY,
    Why.ROOT: Mend.KEY,
    Why.LARGE: Mend.KEY,
    **dict.fromkeys([Why.KEYLESS, Why.NOTHING, Why.LOST, Why.DEFERRABLE, Why.OTHER, Why.LEAF], Mend.IDENTITY),
    **dict.fromkeys([Why.PUBLICATION, Why.KINDS, Why.PARTIAL, Why.VIA_ROOT], Mend.SCRIPT),
}
"""Without an entry: nothing that a DBA could do. What the script mends it leaves to choice in a publication that others
may read."""


def why_not(prepared: Prepared, wanted: Wanted, table: TableName, key: Collection[str]) -> Why | None:
    """None where, for all that the catalogue says, the log tells each change of the table."""
    relation = (prepared.relations or {}).get(table)
    if relation is None:
        return Why.UNKNOWN
    if prepared.server.version is not None and prepared.server.version < MESSAGES_VERSION_MIN:
        return Why.OLD
    return unfit(relation, key) or _unpublished(prepared, wanted, relation)


def unfit(relation: Relation, key: Collection[str]) -> Why | None:
    """Why it could not be told exactly, however it were published."""
    if why := _unlogged(relation):
        return why
    if any(one.generated for one in (relation, *relation.leaves)):
        return Why.GENERATED
    if not key and (why := _keyless(relation)):
        return why
    if relation.partitioned and not (relation.primary and relation.primary_immediate):
        return Why.ROOT  # a partition that comes later would have no identity
    identity = relation.identity
    if not identity.tells:
        missing = {"n": Why.NOTHING, "i": Why.LOST, "d": Why.DEFERRABLE if relation.primary else Why.OTHER}
        return missing[identity.kind]
    if identity.kind != "f" and identity.columns != set(key):
        return Why.OTHER
    return None if all(one.identity.carries(key) for one in relation.leaves) else Why.LEAF


def _unlogged(relation: Relation) -> Why | None:
    """Why no log has all of its rows."""
    parts = (relation, *relation.leaves)
    if relation.children:
        return Why.CHILDREN
    if any(one.persistence != "p" for one in parts):
        return Why.UNLOGGED
    return Why.FOREIGN if any(one.kind == "f" for one in parts) else None


def _keyless(relation: Relation) -> Why | None:
    """A small table is told by its whole rows, where its identity has them."""
    small = relation.bytes is not None and relation.bytes <= KEYLESS_BYTES_MAX
    if relation.identity.kind == "f" and not relation.partitioned:
        return None if small else Why.LARGE
    return Why.KEYLESS if small and not relation.partitioned else Why.KEY


def _unpublished(prepared: Prepared, wanted: Wanted, relation: Relation) -> Why | None:
    if prepared.publications is None:
        return Why.UNKNOWN
    reasons = [
        incomplete(publication, member)
        for publication in publications(prepared, wanted.publications)
        for member in publication.members
        if member.relation.table == relation.table
    ]
    return None if None in reasons else next(iter(reasons), Why.PUBLICATION)


def incomplete(publication: Publication, member: Member) -> Why | None:
    """Why it would not say each change of the table, however that is made."""
    if not publication.whole:
        return Why.KINDS
    if member.partial:
        return Why.PARTIAL
    return None if _by_its_name(publication, member) else Why.VIA_ROOT


def _by_its_name(publication: Publication, member: Member) -> bool:
    """Else what is said of it bears the names of its partitions."""
    return publication.via_root or not member.relation.partitioned


def tells_inserts(prepared: Prepared, wanted: Wanted, table: TableName) -> bool:
    """Whether the log says at least of each row that it is created there."""
    return any(
        "insert" in publication.publishes and not member.partial and _by_its_name(publication, member)
        for publication in publications(prepared, wanted.names)
        for member in publication.members
        if member.relation.table == table and _unlogged(member.relation) is None
    )


def is_ours(prepared: Prepared, wanted: Wanted, publication: Publication) -> bool:
    """Whether it was made for this source. Of any other there may be readers that we know nothing of."""
    return publication.name in wanted.own_names or publication.owner == prepared.account.name


def publications(prepared: Prepared, names: Sequence[str]) -> Iterator[Publication]:
    """Of these names those that exist."""
    found = prepared.publications or {}
    return (found[name] for name in names if name in found)


def hindrances(prepared: Prepared, wanted: Wanted, libpq: bool) -> list[Fault]:
    """Why the log of the source cannot be followed at all, so that its tables are scanned. `libpq`: whether the driver
    shows its own."""
    server, slot, source = prepared.server, prepared.slot, wanted.source
    found: list[Fault] = []
    if server.standby:
        found.append(Transient("GC-2055", source=source))
    if server.version is not None and server.version < MESSAGES_VERSION_MIN:
        found.append(Transient("GC-2073", source=source))
    if server.wal_level not in (None, "logical"):
        found.append(Transient("GC-2056", source=source))
    if prepared.account.may_replicate is False:
        found.append(Transient("GC-2057", source=source))
    if not libpq:
        found.append(Transient("GC-2058", source=source))
    if prepared.publications is not None and not set(wanted.publications) <= prepared.publications.keys():
        found.append(Transient("GC-2054", source=source))
    if slot is not None and (slot.plugin != PLUGIN or slot.database != server.database):
        found.append(Transient("GC-2084", source=source, slot=wanted.slot))
    if prepared.slot_known and slot is None and full(server.slots_used, server.slots_max):
        found.append(Transient("GC-2082", source=source, limit=server.slots_max or 0))
    if not (slot and slot.active) and full(server.senders_used, server.senders_max):
        found.append(Transient("GC-2083", source=source, limit=server.senders_max or 0))
    return found


def full(used: int | None, most: int | None) -> bool:
    return used is not None and most is not None and used >= most


def harms(prepared: Prepared, wanted: Wanted) -> list[Fault]:
    """What of our publications makes statements of the hospital's application fail."""
    found: list[Fault] = []
    for publication in publications(prepared, wanted.names):
        if not publication.hinders:
            continue
        if publication.all_tables or publication.schemas:
            count = sum(len(lacking(member)) for member in publication.members)
            rule = "FOR ALL TABLES" if publication.all_tables else "FOR TABLES IN SCHEMA"
            found.append(
                Rejected(
                    "GC-2081", source=wanted.source, publication=publication.name, rule=rule, count=count
                )
            )
        for member in publication.members:
            if member.relation.table in publication.named:
                found += [_harm(publication, wanted, member, one) for one in lacking(member)]
    return found


def _harm(publication: Publication, wanted: Wanted, member: Member, lacks: Relation) -> Fault:
    statement = f"ALTER PUBLICATION {quoted(publication.name)} "
    if publication.name == wanted.inserts:
        statement += "SET (publish = 'insert')"
    else:
        statement += f"DROP TABLE ONLY {qualified(member.relation.table)}"
    return Rejected(
        "GC-2080",
        table=str(lacks.table),
        publication=publication.name,
        statements=" / ".join(publication.hinders),
        mend=statement,
    )


def lacking(member: Member) -> list[Relation]:
    """Where rows of a table can be neither updated nor deleted while that is published."""
    return [one for one in member.relation.stores if not member.lets_change(one.identity)]
