"""What `check` says of a PostgreSQL source's tables, now and once the DBA has run the script, from the server's facts
to the words on the screen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from edge_agent import checked
from edge_agent.readiness import EXACT, Readiness
from edge_agent.sources.pg.prepared import Account, Identity, Member, Prepared, Relation
from edge_agent.sources.pg.verdict import Wanted
from edge_agent.sources.source import TableInfo
from protocol.names import TableName
from tests.unit.edge_agent.sources.pg.ready import NAME, OURS, READY, ROOT, SERVER, VISIT, WANTED

NEXT, AT_ONCE = "found at the next scan", "inserts at once, all else at the next scan"
NONE = frozenset[str]()
NOTE = replace(
    VISIT, table=TableName("his", "public", "note"), identity=Identity("d", NONE), primary=NONE, bytes=1
)
DOUBLED = replace(VISIT, table=TableName("his", "public", "doubled"), generated=True)
MONTH = replace(ROOT, table=TableName("his", "public", "month"))
KEYLESS_ROOT = replace(MONTH, identity=Identity("f", NONE), primary=NONE)
KEYED_ROOT = replace(MONTH, identity=Identity("i", frozenset({"id"})), primary=NONE)
INSERTS = replace(OURS, name="guicang_his_inserts", publishes=frozenset({"insert"}))
DBZ = replace(OURS, name="dbz", owner="debezium", ours=False)
OF_DBZ = replace(WANTED, publications=("dbz",), inserts=None)


def standing(table: Relation, *members: Member, **facts: Any) -> Prepared:
    """`visit` is followed; of `table` the inserts are published where it is among `members`."""
    inserts = replace(INSERTS, members=members, named=frozenset(one.relation.table for one in members))
    publications = {one.name: one for one in (OURS, replace(inserts, **facts))}
    return replace(READY, publications=publications, relations={NAME: VISIT, table.table: table})


def of(
    prepared: Prepared,
    table: Relation,
    key: tuple[str, ...] = ("id",),
    *,
    wanted: Wanted = WANTED,
    carried: tuple[TableName, ...] = (NAME,),
) -> dict[str, Any]:
    """The facts of a table that `check` found to be scanned, or by its log."""
    wanted = replace(wanted, tables={NAME: ("id",), table.table: key})
    log = Readiness(wanted, prepared, carried, libpq=True)
    info = TableInfo(table.table, (), 3, key)
    left = log.is_left_to_its_log(info)
    found = {
        "source": "his",
        "table": str(table.table),
        "included": True,
        "rows_estimate": 3,
        "way": "log" if left else "diff of the whole",
        "key": list(key),
        "guarantee": EXACT if left else ("" if key else "multiset, ") + NEXT,
        "fault": None,
        "follows": [],
        "cost": None,
        "server": None,
    }
    return log.judged(info, found)


def said(facts: dict[str, Any]) -> tuple[Any, Any]:
    """The guarantee, and that once prepared."""
    return facts["guarantee"], facts["log"]["once_prepared"]


def printed(facts: dict[str, Any]) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        checked.show(console, [facts])
    return captured.get()


CASES = [(NOTE, (), "multiset, ", "多重集，"), (DOUBLED, ("id",), "", "")]


@pytest.mark.parametrize(("table", "key", "en", "zh"), CASES, ids=["no key", "a generated column"])
def test_of_a_table_whose_inserts_are_published_they_are_found_at_once(
    table: Relation, key: tuple[str, ...], en: str, zh: str
) -> None:
    facts = of(standing(table, Member(table)), table, key)
    assert (facts["way"], said(facts)) == ("diff of the whole", (en + AT_ONCE, en + AT_ONCE))
    text = printed(facts)
    assert f"整表比对 diff of the whole · {zh}新增即时发现，其余下次扫描发现 {en}{AT_ONCE}" in text
    assert "once prepared" not in text, "nothing would be better"


@pytest.mark.parametrize(("table", "key", "en", "zh"), CASES, ids=["no key", "a generated column"])
def test_before_the_script_it_says_what_will_be(
    table: Relation, key: tuple[str, ...], en: str, zh: str
) -> None:
    facts = of(standing(table), table, key)
    assert said(facts) == (en + NEXT, en + AT_ONCE)
    text = printed(facts)
    assert f"{zh}下次扫描发现 {en}{NEXT}" in text
    assert f"就绪后 once prepared：{zh}新增即时发现，其余下次扫描发现 {en}{AT_ONCE}" in text


@pytest.mark.parametrize(("table", "key", "en", "zh"), CASES, ids=["no key", "a generated column"])
@pytest.mark.parametrize(
    "hindered",
    [
        {"server": replace(SERVER, standby=True)},
        {"server": replace(SERVER, wal_level="replica")},
        {"server": replace(SERVER, version=130_000)},
        {"account": Account("guicang", False, False)},
    ],
    ids=["a standby", "no logical log", "too old", "no right"],
)
def test_while_the_log_cannot_be_followed_nothing_is_found_at_once(
    hindered: dict[str, Any], table: Relation, key: tuple[str, ...], en: str, zh: str
) -> None:
    prepared = replace(standing(table, Member(table)), **hindered)
    facts = of(prepared, table, key)
    assert facts["guarantee"] == en + NEXT
    assert f"{zh}下次扫描发现 {en}{NEXT}" in printed(facts)
    assert of(prepared, VISIT)["way"] == "diff of the whole", "whatever its log could carry"


def test_where_no_table_is_followed_by_its_log_nobody_listens() -> None:
    alone = replace(standing(NOTE, Member(NOTE)), relations={NOTE.table: NOTE})
    assert said(of(alone, NOTE, (), carried=())) == ("multiset, " + NEXT,) * 2


def test_a_table_that_becomes_exact_makes_that_we_listen() -> None:
    ready = standing(NOTE, Member(NOTE))
    not_yet = replace(ready, publications={"guicang_his_inserts": (ready.publications or {})[INSERTS.name]})
    assert said(of(not_yet, NOTE, (), carried=())) == ("multiset, " + NEXT, "multiset, " + AT_ONCE)


@pytest.mark.parametrize(
    ("table", "member", "facts"),
    [
        (DOUBLED, Member(DOUBLED, rows_of=frozenset({"id"})), {}),
        (replace(DOUBLED, children=True), Member(replace(DOUBLED, children=True)), {}),
        (KEYED_ROOT, Member(KEYED_ROOT), {"via_root": False}),
    ],
    ids=["some rows", "its children's not", "by the names of its partitions"],
)
def test_where_the_log_tells_of_some_rows_alone_nothing_is_promised(
    table: Relation, member: Member, facts: dict[str, Any]
) -> None:
    assert of(standing(table, member, **facts), table)["guarantee"] == NEXT


@pytest.mark.parametrize(
    ("table", "key", "why"),
    [
        (KEYLESS_ROOT, (), "it has no key that can be used"),
        (KEYED_ROOT, ("id",), "it is partitioned without a primary key of its own"),
    ],
)
def test_a_partitioned_table_without_a_primary_key_is_scanned(
    table: Relation, key: tuple[str, ...], why: str
) -> None:
    """However it is published."""
    whole = replace(OURS, members=(Member(VISIT), Member(table)), named=frozenset({NAME, table.table}))
    prepared = replace(READY, publications={OURS.name: whole}, relations={NAME: VISIT, table.table: table})
    facts = of(prepared, table, key)
    multiset = "" if key else "multiset, "
    assert (facts["way"], said(facts)) == ("diff of the whole", (multiset + AT_ONCE,) * 2)
    assert (facts["log"]["why_not"], facts["log"]["mend"]) == (why, "a primary key")
    for words in (f"Not exact by its log: {why}.", "A primary key would mend it:"):
        assert words in printed(facts)


@pytest.mark.parametrize(
    ("facts", "table", "then"),
    [
        ({"publishes": frozenset({"insert", "update"})}, VISIT, AT_ONCE),
        ({"publishes": frozenset({"update"})}, VISIT, NEXT),
        ({"members": (Member(VISIT, rows_of=frozenset({"id"})),)}, VISIT, NEXT),
        ({"members": (), "named": NONE, "publishes": frozenset({"insert"})}, VISIT, AT_ONCE),
        ({"members": (Member(MONTH),), "named": frozenset({MONTH.table}), "via_root": False}, MONTH, NEXT),
        ({"members": (Member(VISIT),), "via_root": False}, MONTH, NEXT),
    ],
)
def test_what_would_change_a_publication_for_others_is_promised_to_nobody(
    facts: dict[str, Any], table: Relation, then: str
) -> None:
    """It is a choice, and the table is scanned until then."""
    publications = {OURS.name: OURS, "dbz": replace(DBZ, **facts)}
    relations = {NAME: VISIT, table.table: table}
    prepared = replace(READY, publications=publications, relations=relations)
    found = of(prepared, table, wanted=OF_DBZ, carried=(TableName("his", "public", "another"),))
    assert (found["log"]["mend"], found["log"]["once_prepared"]) == ("a choice in the DBA's script", then)
    text = printed(found)
    assert "see the end of the script." in text
    assert "须更改可能另有订阅者的发布，语句见脚本末尾。" in text


def test_a_table_that_joins_a_publication_of_others_is_promised() -> None:
    prepared = replace(READY, publications={"dbz": replace(DBZ, members=(), named=frozenset())})
    found = of(prepared, VISIT, wanted=OF_DBZ, carried=())
    assert (found["log"]["mend"], found["log"]["once_prepared"]) == ("the DBA's script", EXACT)


def test_of_the_server_nothing_is_said_that_was_not_asked() -> None:
    facts = Readiness(WANTED, READY, [NAME], libpq=True).of_source()
    assert facts["account"] == {"name": "guicang", "superuser": False, "replication": True}
    assert facts["pg_wal_bytes"] == 1 << 30
    assert "free_disk_bytes" not in facts, "no SQL tells it"
