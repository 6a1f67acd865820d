"""Asks a PostgreSQL server how it is prepared, with our own account and whatever that may see.

Each question stands alone: one that is refused leaves its facts unknown. How a question is put is the caller's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from protocol.names import TableName

from . import questions as asked
from .prepared import KINDS, Account, Identity, Member, OurSlot, Prepared, Publication, Relation, Server

Row = tuple[Any, ...]
Ask = Callable[[str, tuple[Any, ...]], list[Row] | None]
"""The rows of a catalogue query, None where the server refuses it."""


def probe(ask: Ask, database: str, account: str, slot: str, publications: Sequence[str]) -> Prepared:
    """`database` and `account` as the address names them, for a server that says nothing at all."""
    server, name = _server(ask, database, account)
    rights = ask(asked.ACCOUNT, ())
    slots = ask(asked.SLOT, (slot,))
    rows = ask(asked.RELATIONS, ())
    tree = _Tree(server.database, rows or [])
    return Prepared(
        server,
        Account(name, *rights[0]) if rights else Account(name),
        OurSlot(*slots[0]) if slots else None,
        slots is not None,
        _publications(ask, list(publications), server.version or 0, tree),
        None if rows is None else {one.table: one for one in tree.roots()},
    )


def _server(ask: Ask, database: str, account: str) -> tuple[Server, str]:
    """And the name by which the server knows our account."""
    slots, senders, wal_bytes = (
        rows[0][0] if (rows := ask(question, ())) else None
        for question in (asked.SLOTS, asked.SENDERS, asked.WAL_BYTES)
    )
    said = ask(asked.SERVER, ())
    if not said:
        return Server(database, slots_used=slots, senders_used=senders, wal_bytes=wal_bytes), account
    database, account, version, text, standby, level, slots_max, senders_max, keep = said[0]
    return Server(
        database,
        version,
        text,
        standby,
        level,
        slots_max,
        slots,
        senders_max,
        senders,
        keep,
        wal_bytes,
    ), account


class _Tree:
    """Tables by their number, with the partitions below them."""

    def __init__(self, database: str, rows: Sequence[Row]) -> None:
        self._database = database
        self._rows = {row[0]: row for row in rows}
        self._below: dict[int | None, list[int]] = defaultdict(list)
        for oid, parent, *_ in rows:
            self._below[parent].append(oid)

    def roots(self) -> list[Relation]:
        return [self.relation(oid) for oid in self._below[None]]

    def has(self, oid: int) -> bool:
        return oid in self._rows

    def relation(self, oid: int) -> Relation:
        leaves = tuple(self._leaves(oid)) if self._rows[oid][4] == "p" else ()
        return self._one(oid, leaves)

    def _leaves(self, oid: int) -> Iterator[Relation]:
        for below in self._below[oid]:
            if self._rows[below][4] == "p":
                yield from self._leaves(below)
            else:
                yield self._one(below, ())

    def _one(self, oid: int, leaves: tuple[Relation, ...]) -> Relation:
        _, _, schema, name, kind, persistence, letter, columns, primary, immediate, *flags = self._rows[oid]
        identity = Identity(letter, frozenset(columns or ()))
        size = flags.pop()
        generated, children, usage, select, row_security = map(bool, flags)
        return Relation(
            TableName(self._database, schema, name),
            kind,
            persistence,
            identity,
            frozenset(primary or ()),
            bool(immediate),
            generated,
            children,
            usage,
            select,
            row_security,
            size,
            leaves,
        )


def _publications(ask: Ask, names: list[str], version: int, tree: _Tree) -> dict[str, Publication] | None:
    found, members = ask(asked.PUBLICATIONS, (names,)), ask(asked.MEMBERS, (names,))
    schemas = ask(asked.SCHEMAS, (names,)) if version >= asked.SCHEMAS_SINCE else []
    if found is None or members is None or schemas is None:
        return None
    return {
        row[0]: _publication(
            row,
            [_member(tree, *rest) for name, *rest in members if name == row[0] and tree.has(rest[0])],
            tuple(schema for name, schema in schemas if name == row[0]),
            tree,
        )
        for row in found
    }


def _member(tree: _Tree, oid: int, filtered: bool, listed: bool, columns: list[str]) -> Member:
    """Where it has both, the columns of the list and the filter are not told apart: the filter's are not looked at."""
    named = frozenset(columns)
    return Member(tree.relation(oid), named if filtered and not listed else None, named if listed else None)


def _publication(row: Row, listed: list[Member], schemas: tuple[str, ...], tree: _Tree) -> Publication:
    name, owner, ours, all_tables, *kinds, via_root = row
    members = {
        one.table: Member(one)
        for one in tree.roots()
        if one.persistence == "p" and (all_tables or one.table.schema in schemas)
    }
    named = {member.relation.table: member for member in listed}
    return Publication(
        name,
        owner,
        bool(ours),
        all_tables,
        schemas,
        frozenset(kind for kind, published in zip(KINDS, kinds, strict=True) if published),
        via_root,
        tuple((members | named).values()),
        frozenset(named),
    )
