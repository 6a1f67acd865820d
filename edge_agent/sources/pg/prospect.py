"""How a PostgreSQL server will stand once the DBA has run the script, its choices left out: what is promised of a table
is the verdict of the publications as they will be. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from .needs import Needs, PublicationNeed
from .prepared import KINDS, Member, Prepared, Publication


def once_prepared(prepared: Prepared, needs: Needs) -> Prepared:
    """How the server will stand: what it publishes, and no more than that."""
    if prepared.publications is None:
        return prepared
    account, known = prepared.account.name, prepared.relations or {}
    changed = {
        need.name: _once_prepared(
            prepared.publications.get(need.name), need, account, [Member(known[table]) for table in need.add]
        )
        for need in needs.publications
    }
    return replace(prepared, publications={**prepared.publications, **changed})


def _once_prepared(
    now: Publication | None, need: PublicationNeed, account: str, joining: list[Member]
) -> Publication:
    kinds = frozenset({"insert"} if need.inserts else KINDS)
    if now is None or need.replace:
        now = Publication(need.name, account, True, False, (), kinds, True, (), frozenset())
    stays = (now.named if need.drop_schemas else now.tables) - {*need.drop, *need.add}
    return replace(
        now,
        owner=account if need.give else now.owner,
        ours=now.ours or need.give,
        schemas=() if need.drop_schemas else now.schemas,
        publishes=kinds if need.set_kinds else now.publishes,
        via_root=now.via_root or need.set_via_root,
        members=(*(member for member in now.members if member.relation.table in stays), *joining),
        named=(now.named & stays) | set(need.add),
    )
