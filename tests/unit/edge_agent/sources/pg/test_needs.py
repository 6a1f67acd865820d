"""What is asked of a DBA, and what is left to choice: nothing that others read is changed because we asked for it, and
what was asked for suffices.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.pg.needs import needs
from edge_agent.sources.pg.prepared import KINDS, Identity, Member, Prepared, Publication, Relation
from edge_agent.sources.pg.prospect import once_prepared
from edge_agent.sources.pg.script import choices, missing
from edge_agent.sources.pg.verdict import Wanted, harms, is_ours, unfit, why_not
from protocol.names import TableName
from tests.unit.edge_agent.sources.pg.ready import NAME, OURS, READY, VISIT, WANTED

NONE = frozenset[str]()
NONE_NAMED = frozenset[TableName]()
WARD = replace(VISIT, table=TableName("his", "public", "ward"))
NOTE = replace(
    VISIT, table=TableName("his", "public", "note"), identity=Identity("d", NONE), primary=NONE, bytes=1
)
LEAF = replace(VISIT, table=TableName("his", "public", "month_1"))
MONTH = replace(VISIT, table=TableName("his", "public", "month"), kind="p", leaves=(LEAF,))
DOUBLED = replace(VISIT, table=TableName("his", "public", "doubled"), generated=True)
KEYS = {one.table: () if one is NOTE else ("id",) for one in (VISIT, WARD, NOTE, MONTH, DOUBLED)}
DBZ = replace(OURS, name="dbz", owner="debezium", ours=False)


def standing(*publications: Publication) -> Prepared:
    return replace(
        READY,
        publications={one.name: one for one in publications},
        relations={one.table: one for one in (VISIT, WARD, NOTE, MONTH, DOUBLED)},
    )


def wanting(
    *tables: Relation, publications: tuple[str, ...] = ("dbz",), inserts: str | None = None
) -> Wanted:
    included = {one.table: KEYS[one.table] for one in tables}
    return replace(WANTED, publications=publications, inserts=inserts, tables=included)


def statements(prepared: Prepared, wanted: Wanted) -> tuple[list[str], list[str]]:
    """What is asked, and what may be chosen."""
    found = needs(prepared, wanted)
    return (
        [one for step in missing(found) for one in step.statements],
        [one for step in choices(found) for one in step.statements],
    )


GIVE = 'ALTER PUBLICATION "dbz" OWNER TO "guicang";'


@pytest.mark.parametrize(
    ("now", "tables", "asked", "chosen"),
    [
        pytest.param(DBZ, [VISIT], [], [GIVE], id="ours to own, if they choose"),
        pytest.param(
            DBZ,
            [VISIT, WARD],
            ['ALTER PUBLICATION "dbz" ADD TABLE\n    ONLY "public"."ward";'],
            [GIVE],
            id="a table that joins",
        ),
        pytest.param(
            replace(DBZ, members=(Member(VISIT), Member(NOTE)), named=frozenset({NAME, NOTE.table})),
            [VISIT],
            [],
            ['ALTER PUBLICATION "dbz" DROP TABLE\n    ONLY "public"."note";', GIVE],
            id="a table that harms the hospital",
        ),
        pytest.param(
            replace(DBZ, members=(Member(VISIT, rows_of=frozenset({"id"})),)),
            [VISIT],
            [],
            [
                "BEGIN;",
                'ALTER PUBLICATION "dbz" DROP TABLE\n    ONLY "public"."visit";',
                'ALTER PUBLICATION "dbz" ADD TABLE\n    ONLY "public"."visit";',
                "COMMIT;",
                GIVE,
            ],
            id="a part of a table",
        ),
        pytest.param(
            replace(DBZ, publishes=frozenset({"insert"})),
            [VISIT],
            [],
            ["ALTER PUBLICATION \"dbz\" SET (publish = 'insert, update, delete, truncate');", GIVE],
            id="kinds of changes",
        ),
        pytest.param(
            replace(DBZ, via_root=False),
            [MONTH],
            ['ALTER PUBLICATION "dbz" ADD TABLE\n    ONLY "public"."month";'],
            ['ALTER PUBLICATION "dbz" SET (publish_via_partition_root = true);', GIVE],
            id="partitions by their own names",
        ),
        pytest.param(
            replace(DBZ, schemas=("public",), members=(Member(VISIT), Member(NOTE)), named=frozenset()),
            [VISIT, NOTE],
            [],
            [
                "BEGIN;",
                'ALTER PUBLICATION "dbz" ADD TABLE\n    ONLY "public"."visit";',
                'ALTER PUBLICATION "dbz" DROP TABLES IN SCHEMA "public";',
                "COMMIT;",
            ],
            id="a schema",
        ),
        pytest.param(
            replace(DBZ, all_tables=True, members=(Member(VISIT), Member(NOTE)), named=frozenset()),
            [VISIT, NOTE],
            [],
            [
                "BEGIN;",
                'DROP PUBLICATION "dbz";',
                'CREATE PUBLICATION "dbz" FOR TABLE\n    ONLY "public"."visit"\n'
                "    WITH (publish_via_partition_root = true);",
                "COMMIT;",
            ],
            id="all tables",
        ),
    ],
)
def test_of_a_publication_that_others_may_read_nothing_is_asked_but_that_tables_join_it(
    now: Publication, tables: list[Relation], asked: list[str], chosen: list[str]
) -> None:
    found, left = statements(standing(now), wanting(*tables))
    assert found == asked
    assert [one for one in left if "REPLICA IDENTITY" not in one] == chosen


def test_to_others_it_is_said_that_they_receive_more_and_to_be_asked_before_the_rest() -> None:
    found = needs(standing(replace(DBZ, publishes=frozenset({"insert"}))), wanting(VISIT, WARD))
    (asked,) = missing(found)
    assert asked.en.endswith("Others may read this publication: they will be sent these tables too.")
    left = list(choices(found))
    assert len(left) == 2
    for one in left:
        assert one.optional
        assert one.en.endswith("Others may read this publication: ask first.")
        assert one.zh.endswith("该发布可能另有订阅者，请先确认。")


def test_harm_stands_in_red_whoever_made_the_publication() -> None:
    now = replace(DBZ, members=(Member(NOTE),), named=frozenset({NOTE.table}))
    (fault,) = harms(standing(now), wanting(VISIT))
    assert fault.code == "GC-2080"
    assert fault.todo.endswith('ALTER PUBLICATION "dbz" DROP TABLE ONLY "public"."note".')


@pytest.mark.parametrize(
    ("name", "owner", "ours"),
    [
        ("guicang_his", "postgres", True),
        ("dbz", "guicang", True),
        ("dbz", "debezium", False),
        ("guicang_lis", "postgres", False),
        ("guicang_his_2", "guicang_of_another_site", False),
    ],
)
def test_a_publication_is_ours_by_the_name_of_this_source_or_because_our_account_owns_it(
    name: str, owner: str, ours: bool
) -> None:
    """Not because our account may change it: a superuser may change any."""
    now = replace(DBZ, name=name, owner=owner, ours=True, all_tables=True, named=frozenset())
    asked, chosen = statements(standing(now), wanting(VISIT, publications=(name,)))
    assert (f'DROP PUBLICATION "{name}";' in asked) is ours
    assert (f'DROP PUBLICATION "{name}";' in chosen) is not ours


def test_a_publication_that_does_not_exist_is_made_and_given_to_us_whatever_its_name() -> None:
    asked, chosen = statements(standing(), wanting(VISIT))
    assert (asked[-2], chosen) == (GIVE, [])


def test_a_publication_of_inserts_hinders_nothing_and_is_left_as_it_is_where_others_may_read_it() -> None:
    by_schema: dict[str, Any] = {"schemas": ("public",), "named": frozenset()}
    for facts in (by_schema, {"all_tables": True, "named": frozenset()}):
        members = (Member(VISIT), Member(NOTE))
        now = replace(DBZ, name="dbz_ins", publishes=frozenset({"insert"}), members=members, **facts)
        wanted = wanting(NOTE, publications=("guicang_his",), inserts="dbz_ins")
        asked, chosen = statements(standing(OURS, now), wanted)
        assert (asked, [one for one in chosen if "IDENTITY" not in one]) == ([], [])


def test_a_second_publication_that_hinders_nothing_loses_no_table() -> None:
    two = replace(
        OURS,
        name="second",
        publishes=frozenset({"insert", "truncate"}),
        members=(Member(NOTE),),
        named=frozenset({NOTE.table}),
    )
    assert statements(standing(OURS, two), wanting(VISIT, publications=("guicang_his", "second")))[0] == []


def test_a_partitioned_table_that_another_publishes_by_its_partitions_joins_the_first() -> None:
    two = replace(
        OURS, name="second", via_root=False, members=(Member(MONTH),), named=frozenset({MONTH.table})
    )
    asked, _ = statements(standing(OURS, two), wanting(MONTH, publications=("guicang_his", "second")))
    assert asked == ['ALTER PUBLICATION "guicang_his" ADD TABLE\n    ONLY "public"."month";']


@pytest.mark.parametrize(
    "first", [[], [replace(OURS, members=(), named=NONE_NAMED)]], ids=["none yet", "empty"]
)
def test_what_a_second_publication_took_in_by_itself_joins_the_first(first: list[Publication]) -> None:
    """At the same time as that is made to name its tables."""
    two = replace(OURS, name="second", all_tables=True, named=NONE_NAMED)
    asked, _ = statements(standing(*first, two), wanting(VISIT, publications=("guicang_his", "second")))
    (joins,) = [one for one in asked if 'ONLY "public"."visit"' in one]
    assert joins.split()[:3] in (
        ["CREATE", "PUBLICATION", '"guicang_his"'],
        ["ALTER", "PUBLICATION", '"guicang_his"'],
    )
    assert 'DROP PUBLICATION "second";' in asked


# Whatever stands there.

ALL = (VISIT, WARD, NOTE, MONTH, DOUBLED)


@st.composite
def publication(draw: st.DrawFn, name: str) -> Publication:
    rule = draw(st.sampled_from(["named", "named", "schema", "all"]))
    listed = draw(st.lists(st.sampled_from(ALL), unique_by=lambda one: one.table)) if rule != "all" else []
    parts = st.sampled_from([{}, {}, {"rows_of": frozenset({"n"})}, {"columns": frozenset({"id"})}])
    named = {one.table: Member(one, **draw(parts)) for one in listed}
    by_rule = {} if rule == "named" else {one.table: Member(one) for one in ALL}
    owner = draw(st.sampled_from(["guicang", "debezium"]))
    return Publication(
        name,
        owner,
        owner == "guicang",
        rule == "all",
        ("public",) if rule == "schema" else (),
        frozenset(draw(st.sets(st.sampled_from(KINDS), min_size=1))),
        draw(st.booleans()),
        tuple((by_rule | named).values()),
        frozenset(named),
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[Prepared, Wanted]:
    names, inserts = draw(
        st.sampled_from(
            [
                (("guicang_his",), "guicang_his_inserts"),
                (("dbz",), None),
                (("guicang_his", "dbz"), None),
                (("dbz", "second"), None),
            ]
        )
    )
    there = draw(st.sets(st.sampled_from([*names, *filter(None, [inserts])])))
    prepared = standing(*(draw(publication(name)) for name in sorted(there)))
    tables = draw(st.lists(st.sampled_from(ALL), unique_by=lambda one: one.table))
    return prepared, wanting(*tables, publications=names, inserts=inserts)


@given(situations())
def test_after_the_script_no_more_is_asked_ours_harms_nobody_and_nothing_that_others_read_has_changed(
    situation: tuple[Prepared, Wanted],
) -> None:
    prepared, wanted = situation
    then = once_prepared(prepared, needs(prepared, wanted))
    assert needs(then, wanted).publications == ()
    before, after = prepared.publications or {}, then.publications or {}
    theirs = {name for name, one in before.items() if not is_ours(prepared, wanted, one)}
    for name in theirs:
        was, now = before[name], after[name]
        assert replace(now, members=was.members, named=was.named) == was
        assert set(was.members) <= set(now.members)
    assert {fault.facts["publication"] for fault in harms(then, wanted)} <= theirs
    assert all(one.ours for name, one in after.items() if name not in theirs)
    if wanted.publications[0] not in theirs:
        for table, key in wanted.tables.items():
            relation = (prepared.relations or {})[table]
            assert why_not(then, wanted, table, key) is unfit(relation, key)
