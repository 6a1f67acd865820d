"""What a server's preparation amounts to: each hindrance, each harm, each reason why not by a table's log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_agent.checked_log import REMEDIES, WHYS
from edge_agent.sources.log import NO_LOG
from edge_agent.sources.pg.needs import Choices, IdentityChoice, needs
from edge_agent.sources.pg.prepared import Account, Identity, Member, Prepared, Relation, Server
from edge_agent.sources.pg.script import script
from edge_agent.sources.pg.verdict import Mend, Why, harms, hindrances, tells_inserts, unfit, why_not
from tests.unit.edge_agent.sources.pg.ready import (
    LEAF,
    NAME,
    OURS,
    READY,
    ROOT,
    SLOT,
    VISIT,
    WANTED,
    published,
    server,
)


def test_where_all_is_there_nothing_is_said() -> None:
    assert hindrances(READY, WANTED, libpq=True) == []
    assert harms(READY, WANTED) == []
    assert why_not(READY, WANTED, NAME, ("id",)) is None
    assert not needs(READY, WANTED).any
    assert needs(READY, WANTED).choices == Choices()


@pytest.mark.parametrize(
    ("prepared", "code"),
    [
        (server(standby=True), "GC-2055"),
        (server(wal_level="replica"), "GC-2056"),
        (replace(READY, account=Account("guicang", False, False)), "GC-2057"),
        (replace(READY, publications={}), "GC-2054"),
        (server(version=130_000), "GC-2073"),
        (replace(READY, slot=replace(SLOT, plugin="test_decoding")), "GC-2084"),
        (replace(READY, slot=replace(SLOT, plugin=None, database=None)), "GC-2084"),
        (replace(READY, slot=replace(SLOT, database="lis")), "GC-2084"),
        (replace(server(slots_used=10), slot=None), "GC-2082"),
        (server(senders_used=10), "GC-2083"),
    ],
)
def test_what_hinders_us(prepared: Prepared, code: str) -> None:
    assert [fault.code for fault in hindrances(prepared, WANTED, libpq=True)] == [code]
    assert code in NO_LOG, "its tables are scanned meanwhile, as check says"


def test_a_driver_without_its_library_hinders_us() -> None:
    assert [fault.code for fault in hindrances(READY, WANTED, libpq=False)] == ["GC-2058"]


@pytest.mark.parametrize(
    "prepared",
    [
        Prepared(Server("his"), Account("guicang"), None, False, None, None),
        server(slots_used=10),
        replace(READY, account=Account("guicang", True, False)),
        replace(READY, slot=replace(SLOT, status="lost")),
        replace(server(senders_used=10), slot=replace(SLOT, active=True)),
    ],
    ids=[
        "nothing known",
        "our slot is one of them",
        "a superuser",
        "a slot that we make anew",
        "our sender is one of them",
    ],
)
def test_what_is_unknown_or_ours_hinders_nobody(prepared: Prepared) -> None:
    assert hindrances(prepared, WANTED, libpq=True) == []
    assert not needs(prepared, WANTED).any


NONE = frozenset[str]()


@pytest.mark.parametrize(
    ("relation", "key", "why"),
    [
        (replace(VISIT, children=True), ("id",), Why.CHILDREN),
        (replace(VISIT, persistence="u"), ("id",), Why.UNLOGGED),
        (replace(ROOT, leaves=(replace(VISIT, persistence="u"),)), ("id",), Why.UNLOGGED),
        (replace(ROOT, leaves=(replace(VISIT, kind="f"),)), ("id",), Why.FOREIGN),
        (replace(VISIT, generated=True), ("id",), Why.GENERATED),
        (VISIT, (), Why.KEY),
        (replace(VISIT, bytes=1), (), Why.KEYLESS),
        (replace(VISIT, bytes=1 << 30), (), Why.KEY),
        (replace(ROOT, bytes=1), (), Why.KEY),
        (replace(VISIT, identity=Identity("f", NONE), bytes=32 << 20), (), None),
        (replace(VISIT, identity=Identity("f", NONE), bytes=(32 << 20) + 1), (), Why.LARGE),
        (replace(VISIT, identity=Identity("f", NONE), bytes=1 << 30), ("id",), None),
        (replace(ROOT, identity=Identity("f", NONE)), (), Why.KEY),
        (replace(ROOT, primary=NONE, identity=Identity("f", NONE)), ("id",), Why.ROOT),
        (replace(VISIT, identity=Identity("n", NONE)), ("id",), Why.NOTHING),
        (replace(VISIT, identity=Identity("i", NONE)), ("id",), Why.LOST),
        (replace(VISIT, identity=Identity("d", NONE), primary_immediate=False), ("id",), Why.DEFERRABLE),
        (replace(VISIT, identity=Identity("d", NONE), primary=NONE), ("n",), Why.OTHER),
        (VISIT, ("id", "n"), Why.OTHER),
        (replace(ROOT, leaves=(replace(VISIT, identity=Identity("n", NONE)),)), ("id",), Why.LEAF),
        (replace(ROOT, leaves=(replace(VISIT, identity=Identity("i", frozenset("n"))),)), ("id",), Why.LEAF),
        (replace(ROOT, leaves=(replace(VISIT, identity=Identity("f", NONE)),)), ("id",), None),
        (replace(ROOT, identity=Identity("f", NONE)), ("id",), None),
        (replace(VISIT, identity=Identity("f", NONE)), ("id", "n"), None),
    ],
)
def test_what_keeps_a_table_from_its_log(relation: Relation, key: tuple[str, ...], why: Why | None) -> None:
    assert unfit(relation, key) is why


@pytest.mark.parametrize(
    ("prepared", "why"),
    [
        (server(version=130_000), Why.OLD),
        (replace(READY, relations=None), Why.UNKNOWN),
        (replace(READY, publications=None), Why.UNKNOWN),
        (replace(READY, publications={}), Why.PUBLICATION),
        (published(publishes=frozenset({"insert", "update", "delete"})), Why.KINDS),
        (published(members=(Member(VISIT, rows_of=frozenset({"id"})),)), Why.PARTIAL),
        (published(members=(Member(VISIT, columns=frozenset({"id"})),)), Why.PARTIAL),
        (published(ROOT, via_root=False), Why.VIA_ROOT),
        (published(ROOT), None),
    ],
)
def test_what_keeps_a_table_out_of_the_log_as_it_is_set_up(prepared: Prepared, why: Why | None) -> None:
    assert why_not(prepared, WANTED, NAME, ("id",)) is why


@pytest.mark.parametrize(
    ("prepared", "told"),
    [
        (READY, True),
        (published(publishes=frozenset({"insert"})), True),
        (published(publishes=frozenset({"update", "delete"})), False),
        (published(replace(VISIT, generated=True)), True),
        (published(ROOT), True),
        (published(ROOT, via_root=False), False),
        (published(replace(ROOT, leaves=(replace(VISIT, persistence="u"),))), False),
        (published(replace(ROOT, leaves=(replace(VISIT, kind="f"),))), False),
        (published(replace(VISIT, children=True)), False),
        (published(members=(Member(VISIT, rows_of=frozenset({"id"})),)), False),
        (published(members=()), False),
        (published(name="guicang_his_inserts", publishes=frozenset({"insert"})), True),
        (published(name="dbz"), False),
        (replace(READY, publications=None), False),
    ],
)
def test_whether_the_log_says_of_each_row_that_it_is_created(prepared: Prepared, told: bool) -> None:
    assert tells_inserts(prepared, WANTED, NAME) is told


def test_harm_is_said_of_each_place_where_rows_are_and_names_the_statement_that_mends_it() -> None:
    lost = replace(ROOT, leaves=(replace(VISIT, table=LEAF, identity=Identity("n", NONE)),))
    (fault,) = harms(published(lost, publishes=frozenset({"insert", "delete"})), WANTED)
    assert (fault.code, fault.facts["table"], fault.facts["statements"]) == ("GC-2080", str(LEAF), "DELETE")
    assert fault.todo.endswith('ALTER PUBLICATION "guicang_his" DROP TABLE ONLY "public"."visit".')
    assert harms(published(lost, publishes=frozenset({"insert", "truncate"})), WANTED) == []


@pytest.mark.parametrize(
    ("member", "harmful"),
    [
        (Member(VISIT, rows_of=frozenset({"id"})), False),
        (Member(VISIT, rows_of=frozenset({"n"})), True),
        (Member(replace(VISIT, identity=Identity("f", NONE)), rows_of=frozenset({"n"})), False),
        (Member(VISIT, columns=frozenset({"id", "n"})), False),
        (Member(VISIT, columns=frozenset({"n"})), True),
        (Member(replace(VISIT, identity=Identity("f", NONE)), columns=frozenset({"id", "n"})), True),
    ],
)
def test_a_part_of_a_table_is_harm_where_its_identity_does_not_suffice(member: Member, harmful: bool) -> None:
    assert bool(harms(published(members=(member,)), WANTED)) is harmful


def test_a_publication_of_inserts_that_publishes_more_is_told_to_stop() -> None:
    bare = replace(VISIT, identity=Identity("d", NONE), primary=NONE)
    one = replace(OURS, name="guicang_his_inserts", members=(Member(bare),))
    (fault,) = harms(replace(READY, publications={OURS.name: OURS, one.name: one}), WANTED)
    assert fault.todo.endswith("""ALTER PUBLICATION "guicang_his_inserts" SET (publish = 'insert').""")


@pytest.mark.parametrize("facts", [{"all_tables": True}, {"schemas": ("public",)}])
def test_a_publication_that_takes_in_tables_by_itself_is_harm_whatever_there_is_now(facts: Any) -> None:
    (fault,) = harms(published(named=frozenset(), **facts), WANTED)
    assert (fault.code, fault.facts["count"]) == ("GC-2081", 0)


def test_another_identity_is_a_choice_for_each_place_that_needs_it() -> None:
    bad = replace(ROOT, leaves=(replace(VISIT, table=LEAF, identity=Identity("n", NONE)), VISIT))
    found = needs(published(bad), WANTED)
    assert found.choices.identities == (IdentityChoice(LEAF, by_default=True),)
    small = replace(VISIT, identity=Identity("d", NONE), primary=NONE, bytes=1)
    found = needs(published(small), replace(WANTED, tables={NAME: ()}))
    assert found.choices.identities == (IdentityChoice(NAME, by_default=False),)
    late = replace(VISIT, identity=Identity("d", NONE), primary_immediate=False)
    found = needs(published(late), WANTED)
    assert found.choices.identities == (IdentityChoice(NAME, by_default=False),)


def test_each_reason_has_its_sentence_and_each_remedy_its_own() -> None:
    assert set(WHYS) == {why.value for why in Why}
    assert set(REMEDIES) == {mend.value for mend in Mend} | {None}


def test_what_was_not_seen_is_not_called_complete() -> None:
    found = needs(Prepared(Server("his"), Account("guicang"), None, False, None, None), WANTED)
    assert found.unseen == ("wal_level", "REPLICATION", "publications", "tables")
    assert "No grant is missing" not in script(found)
    assert "No grant is missing" in script(needs(READY, WANTED))


def test_a_script_for_a_standby_says_where_it_can_be_run() -> None:
    assert "name that one in the url" in script(needs(server(standby=True), WANTED))
    assert "name that one in the url" not in script(needs(READY, WANTED))


@pytest.mark.parametrize(
    ("keeps", "advised"), [(-1, 20 << 30), (1 << 30, 20 << 30), (10 << 30, None), (None, None)]
)
def test_a_limit_of_the_server_s_own_is_advised_where_there_is_none_above_ours(
    keeps: int | None, advised: int | None
) -> None:
    assert needs(server(keep_bytes_max=keeps), WANTED).choices.keep_bytes == advised
