"""A PostgreSQL server as it stands where a DBA has prepared it for the source `his`, and variations of that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edge_agent.sources.pg.prepared import (
    KINDS,
    Account,
    Identity,
    Member,
    OurSlot,
    Prepared,
    Publication,
    Relation,
    Server,
)
from edge_agent.sources.pg.verdict import Wanted
from protocol.names import TableName

NAME, LEAF = TableName("his", "public", "visit"), TableName("his", "public", "visit_1")
BY_KEY = Identity("d", frozenset({"id"}))
VISIT = Relation(NAME, "r", "p", BY_KEY, frozenset({"id"}), True, False, False, True, True, False)
ROOT = replace(VISIT, kind="p", leaves=(replace(VISIT, table=LEAF),))
SERVER = Server("his", 150_018, "15.18", False, "logical", 10, 3, 10, 4, 20 << 30, 1 << 30)
SLOT = OurSlot("pgoutput", "his", False, "reserved", 100)
OURS = Publication(
    "guicang_his",
    "guicang",
    True,
    False,
    (),
    frozenset(KINDS),
    True,
    (Member(VISIT),),
    frozenset({NAME}),
)
READY = Prepared(SERVER, Account("guicang", False, True), SLOT, True, {OURS.name: OURS}, {NAME: VISIT})
OWN_NAMES = frozenset({"guicang_his", "guicang_his_inserts"})
WANTED = Wanted(
    "his", "guicang_his", ("guicang_his",), "guicang_his_inserts", {NAME: ("id",)}, 10 << 30, OWN_NAMES
)


def server(**facts: Any) -> Prepared:
    return replace(READY, server=replace(SERVER, **facts))


def published(relation: Relation = VISIT, **facts: Any) -> Prepared:
    one = replace(OURS, **{"members": (Member(relation),)} | facts)
    return replace(READY, publications={one.name: one}, relations={NAME: relation})
