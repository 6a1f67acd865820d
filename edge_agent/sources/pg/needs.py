"""What a DBA would have to do so that the log of each included table that can be followed is followed: exactly what is
missing, and what may be chosen besides. Pure; how it is said in SQL is `script`'s.

Nothing here changes a table of the hospital's: what would (another replica identity) is among the choices. So is all
that would change a publication for others who may read it, but for tables that join it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from protocol.names import TableName

from .prepared import Member, Prepared, Publication, Relation
from .verdict import (
    INSERTS_ONLY,
    MENDS,
    Mend,
    Wanted,
    Why,
    full,
    incomplete,
    is_ours,
    lacking,
    publications,
    unfit,
)

KEEP_FACTOR = 2
"""The server's own limit for a slot, times ours: ours comes first, the server's holds also while we do not run."""


@dataclass(frozen=True, slots=True)
class PublicationNeed:
    """One publication that we follow. `create`: it does not exist, or (`replace`) must be made anew in its place, with
    the tables `add`. `inserts`: it publishes what is created alone. `shared`: it is not of our making, others may read
    it. The rest are changes of its list or its options."""

    name: str
    inserts: bool = False
    shared: bool = False
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
    publications: tuple[PublicationNeed, ...] = ()
    """Of those that others may read."""

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
    found = prepared.publications
    changes = [] if found is None else list(_publications(prepared, wanted, included))
    shared = [(one, found[one.name]) for one in changes if found and one.shared]
    asked = [one for one in changes if not one.shared] + [_joining(*one) for one in shared]
    return Needs(
        wanted.source,
        prepared.server.database,
        prepared.account.name,
        standby=bool(prepared.server.standby),
        replication=prepared.account.may_replicate is False,
        usage=tuple(sorted({one.table.schema or "" for one in included if not one.usage})),
        select=tuple(one.table for one in included if not one.select),
        publications=tuple(one for one in asked if one.any),
        choices=_choices(prepared, wanted, included, [part for one in shared for part in _changing(*one)]),
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
    """Whoever decides it."""
    found = prepared.publications or {}
    keyed = [one for one in included if unfit(one, wanted.tables[one.table]) is None]
    for name in wanted.publications:
        mine = keyed if name == wanted.publications[0] else []
        yield _of_changes(prepared, wanted, name, found.get(name), mine)
    if wanted.inserts is not None:
        rest = [one for one in included if unfit(one, wanted.tables[one.table]) in INSERTS_ONLY]
        yield _of_inserts(prepared, wanted, wanted.inserts, found.get(wanted.inserts), rest)


def _of_changes(
    prepared: Prepared, wanted: Wanted, name: str, now: Publication | None, tables: list[Relation]
) -> PublicationNeed:
    """`tables` are to be published by it, unless another does already: the first publication takes what is missing."""
    elsewhere = {
        member.relation.table
        for publication in publications(prepared, wanted.publications)
        if publication.name != name
        for member in _staying(publication, shared=not is_ours(prepared, wanted, publication))
        if incomplete(publication, member) is None
    }
    if now is None:
        names = tuple(one.table for one in tables if one.table not in elsewhere)
        return PublicationNeed(name, create=True, add=names, give=True)
    shared = not is_ours(prepared, wanted, now)
    set_kinds = not now.whole and name == wanted.publications[0]
    hinders = set_kinds or bool(now.hinders)
    if now.all_tables and (hinders or not shared):
        names = tuple(one.table for one in tables)
        return PublicationNeed(name, shared=shared, replace=True, add=names, give=not shared)
    partial = {member.relation.table for member in now.members if member.partial}
    again = {one.table for one in tables} & partial
    named = (member for member in now.members if member.relation.table in now.named)
    harmful = {member.relation.table for member in named if hinders and lacking(member)}
    schemas = now.schemas if hinders or not shared else ()
    here = (now.named if schemas else now.tables) - harmful - again
    return PublicationNeed(
        name,
        shared=shared,
        add=tuple(one.table for one in tables if one.table not in here | elsewhere),
        drop=tuple(sorted(harmful | again, key=str)),
        drop_schemas=schemas,
        set_kinds=set_kinds,
        set_via_root=any(one.partitioned for one in tables) and not now.via_root,
        give=not now.ours and (not shared or (hinders and not schemas)),
    )


def _staying(publication: Publication, *, shared: bool) -> Iterator[Member]:
    """What it will publish still: ours take in no tables by themselves."""
    by_itself = publication.all_tables or publication.schemas
    for member in publication.members:
        if shared or not by_itself or member.relation.table in publication.named:
            yield member


def _of_inserts(
    prepared: Prepared, wanted: Wanted, name: str, now: Publication | None, tables: list[Relation]
) -> PublicationNeed:
    names = tuple(one.table for one in tables)
    if now is None:
        return PublicationNeed(name, inserts=True, create=bool(tables), add=names, give=bool(tables))
    shared = not is_ours(prepared, wanted, now)
    if now.all_tables and not shared:
        return PublicationNeed(name, inserts=True, replace=True, add=names, give=True)
    here = now.tables if shared else now.named
    return PublicationNeed(
        name,
        inserts=True,
        shared=shared,
        add=tuple(table for table in names if table not in here),
        drop_schemas=() if shared else now.schemas,
        set_kinds=now.publishes != {"insert"},
        set_via_root=any(one.partitioned for one in tables) and not now.via_root,
        give=not shared and not now.ours,
    )


def _joining(need: PublicationNeed, now: Publication) -> PublicationNeed:
    """What is asked of a publication that others may read: tables that it does not publish yet."""
    add = tuple(table for table in need.add if table not in now.tables)
    return PublicationNeed(need.name, inserts=need.inserts, shared=True, add=add)


def _changing(need: PublicationNeed, now: Publication) -> Iterator[PublicationNeed]:
    """What is left to those who read it. To own it is a choice by itself."""
    add = need.add if need.replace else tuple(table for table in need.add if table in now.tables)
    for one in (replace(need, add=add, give=False), PublicationNeed(need.name, shared=True, give=need.give)):
        if one.any:
            yield one


def _choices(
    prepared: Prepared, wanted: Wanted, included: list[Relation], shared: list[PublicationNeed]
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
        publications=tuple(shared),
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
