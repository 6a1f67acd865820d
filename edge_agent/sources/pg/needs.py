"""What a DBA would have to do so that the log of each included table that can be followed is followed: exactly what is
missing, and what may be chosen besides. Pure; how it is said in SQL is `script`'s.

Nothing here changes a table of the hospital's: what would (another replica identity) is among the choices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from protocol.names import TableName

from .prepared import Prepared, Publication, Relation
from .verdict import INSERTS_ONLY, MENDS, Mend, Wanted, Why, full, lacking, publications, unfit, why_not

KEEP_FACTOR = 2
"""The server's own limit for a slot, times ours: ours comes first, the server's holds also while we do not run."""


@dataclass(frozen=True, slots=True)
class PublicationNeed:
    """One publication of ours. `create`: it does not exist, or (`replace`) must be made anew in its place, with the
    tables `add`. `inserts`: it publishes what is created alone. The others are changes of its list or its options."""

    name: str
    inserts: bool = False
    create: bool = False
    replace: bool = False
    add: tuple[TableName, ...] = ()
    drop: tuple[TableName, ...] = ()
    drop_schemas: tuple[str, ...] = ()
    set_kinds: bool = False
    set_via_root: bool = False
    give: bool = False
    """To our role."""

    @property
    def any(self) -> bool:
        changed = self.add or self.drop or self.drop_schemas
        return bool(
            self.create or self.replace or changed or self.set_kinds or self.set_via_root or self.give
        )


@dataclass(frozen=True, slots=True)
class IdentityChoice:
    """A table, or a partition of one, whose log would be exact with another replica identity: that of its primary key
    (`by_default`), or FULL."""

    table: TableName
    by_default: bool


@dataclass(frozen=True, slots=True)
class Choices:
    """What the DBA may decide, each with a cost or a restart. `keep_bytes` for max_slot_wal_keep_size."""

    wal_level: bool = False
    slots: int | None = None
    senders: int | None = None
    keep_bytes: int | None = None
    identities: tuple[IdentityChoice, ...] = ()
    see_all_rows: tuple[TableName, ...] = ()
    replacements: tuple[PublicationNeed, ...] = ()
    """Of publications whose names are not of our making: others may read them."""

    @property
    def any(self) -> bool:
        return self != Choices()


@dataclass(frozen=True, slots=True)
class Needs:
    """`login`: the server did not let our role in, whatever the reason. `standby`: nothing can be changed there.
    `unseen`: of these nobody could say whether anything is missing."""

    source: str
    database: str
    role: str
    login: bool = False
    standby: bool = False
    replication: bool = False
    usage: tuple[str, ...] = ()
    select: tuple[TableName, ...] = ()
    publications: tuple[PublicationNeed, ...] = ()
    choices: Choices = field(default_factory=Choices)
    unseen: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        return bool(self.login or self.replication or self.usage or self.select or self.publications)


def needs(prepared: Prepared, wanted: Wanted) -> Needs:
    known = prepared.relations or {}
    included = [known[table] for table in wanted.tables if table in known]
    changes = [] if prepared.publications is None else list(_publications(prepared, wanted, included))
    kept = [one for one in changes if not one.replace or _of_our_making(one.name)]
    return Needs(
        wanted.source,
        prepared.server.database,
        prepared.account.name,
        standby=bool(prepared.server.standby),
        replication=prepared.account.may_replicate is False,
        usage=tuple(sorted({one.table.schema or "" for one in included if not one.usage})),
        select=tuple(one.table for one in included if not one.select),
        publications=tuple(kept),
        choices=_choices(prepared, wanted, included, [one for one in changes if one not in kept]),
        unseen=tuple(_unseen(prepared)),
    )


def _unseen(prepared: Prepared) -> Iterator[str]:
    """In the words of the server."""
    for name, known in (
        ("wal_level", prepared.server.wal_level),
        ("REPLICATION", prepared.account.may_replicate),
        ("publications", prepared.publications),
        ("tables", prepared.relations),
    ):
        if known is None:
            yield name


def _publications(prepared: Prepared, wanted: Wanted, included: list[Relation]) -> Iterator[PublicationNeed]:
    found = prepared.publications or {}
    keyed = [one for one in included if unfit(one, wanted.tables[one.table]) is None]
    for name in wanted.publications:
        mine = keyed if name == wanted.publications[0] else []
        need = _of_changes(prepared, wanted, name, found.get(name), mine)
        if need.any:
            yield need
    if wanted.inserts is not None:
        rest = [one for one in included if unfit(one, wanted.tables[one.table]) in INSERTS_ONLY]
        need = _of_inserts(wanted.inserts, found.get(wanted.inserts), rest)
        if need.any:
            yield need


def _of_changes(
    prepared: Prepared, wanted: Wanted, name: str, now: Publication | None, tables: list[Relation]
) -> PublicationNeed:
    """`tables` are to be published by it, unless another does already: the first publication takes what is missing."""
    if now is None:
        missing = [one for one in tables if why_not(prepared, wanted, one.table, wanted.tables[one.table])]
        return PublicationNeed(name, create=True, add=tuple(one.table for one in missing), give=True)
    if now.all_tables:
        return PublicationNeed(name, replace=True, add=tuple(one.table for one in tables), give=True)
    partial = {member.relation.table for member in now.members if member.partial}
    harmful = {m.relation.table for m in now.members if m.relation.table in now.named and lacking(m)}
    again = {one.table for one in tables} & partial
    here = {table for table in now.named if table not in harmful | again}
    elsewhere = {
        member.relation.table
        for publication in publications(prepared, wanted.publications)
        if publication.name != name and publication.whole
        for member in publication.members
        if not member.partial
    }
    parted = any(one.partitioned for one in tables)
    return PublicationNeed(
        name,
        add=tuple(one.table for one in tables if one.table not in here | elsewhere),
        drop=tuple(sorted(harmful | again, key=str)),
        drop_schemas=now.schemas,
        set_kinds=not now.whole and name == wanted.publications[0],
        set_via_root=parted and not now.via_root,
        give=not now.ours,
    )


def _of_inserts(name: str, now: Publication | None, tables: list[Relation]) -> PublicationNeed:
    if now is None:
        return PublicationNeed(
            name, inserts=True, create=bool(tables), add=tuple(one.table for one in tables), give=bool(tables)
        )
    if now.all_tables:
        return PublicationNeed(
            name, inserts=True, replace=True, add=tuple(one.table for one in tables), give=True
        )
    return PublicationNeed(
        name,
        inserts=True,
        add=tuple(one.table for one in tables if one.table not in now.named),
        drop_schemas=now.schemas,
        set_kinds=now.publishes != {"insert"},
        set_via_root=any(one.partitioned for one in tables) and not now.via_root,
        give=not now.ours,
    )


def _of_our_making(name: str) -> bool:
    """As the settings make names; nobody else reads it."""
    return name.startswith("guicang_")


def _choices(
    prepared: Prepared, wanted: Wanted, included: list[Relation], replacements: list[PublicationNeed]
) -> Choices:
    server = prepared.server
    keeps, ours = server.keep_bytes_max, wanted.keep_bytes_max
    return Choices(
        wal_level=server.wal_level not in (None, "logical"),
        slots=(server.slots_max or 0) + 1
        if prepared.slot_known and prepared.slot is None and full(server.slots_used, server.slots_max)
        else None,
        senders=(server.senders_max or 0) + 1
        if not (prepared.slot and prepared.slot.active) and full(server.senders_used, server.senders_max)
        else None,
        keep_bytes=KEEP_FACTOR * ours if keeps is not None and keeps < ours else None,
        identities=tuple(choice for one in included for choice in _identities(one, wanted.tables[one.table])),
        see_all_rows=tuple(one.table for one in included if one.row_security),
        replacements=tuple(replacements),
    )


def _identities(relation: Relation, key: tuple[str, ...]) -> Iterator[IdentityChoice]:
    """For a table whose log is not exact for want of such an identity alone."""
    why = unfit(relation, key)
    if why is None or MENDS.get(why) is not Mend.IDENTITY:
        return
    own = relation.identity
    if why is Why.KEYLESS or not (own.kind == "f" or own.columns == set(key)):
        yield _choice(relation, key)
    for leaf in relation.leaves:
        if not leaf.identity.carries(key):
            yield _choice(leaf, key)


def _choice(relation: Relation, key: tuple[str, ...]) -> IdentityChoice:
    by_default = bool(key) and relation.primary_immediate and relation.primary == set(key)
    return IdentityChoice(relation.table, by_default)
