"""The DBA's script: names stay exactly themselves and end no comment; what is optional never runs; and what is printed
of a whole set-up, to the letter.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.pg.naming import qualified, quoted
from edge_agent.sources.pg.needs import Choices, IdentityChoice, Needs, PublicationNeed
from edge_agent.sources.pg.script import script
from protocol.names import TableName

NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
) | st.sampled_from(
    ["select", "门诊 表", 'a"b', '"', "--", "x\n;DROP TABLE y;--", "\r", "$$", ":v", "'", "\\", "/*"]
)
TOKEN = re.compile(r'--[^\n\r]*|"(?:[^"]|"")*"|\'(?:[^\']|\'\')*\'|[^\s"\'-]+|\s+|-')
"""PostgreSQL's lexical rules as far as the script needs them: comments, quoted names, texts, all else."""


def statements(text: str) -> list[list[str]]:
    """What a server would be given: tokens by statement, without comments; a quoted name as `"` and itself."""
    found: list[list[str]] = [[]]
    for token in TOKEN.findall(text):
        if token.startswith("--") or token.isspace():
            continue
        if token.startswith('"'):
            found[-1].append('"' + token[1:-1].replace('""', '"'))
            continue
        for part in re.split("(;)", token):
            if part == ";":
                found.append([])
            elif part:
                found[-1].append(part)
    return [one for one in found if one]


def named(tokens: list[str]) -> list[str]:
    return [token[1:] for token in tokens if token.startswith('"')]


@given(st.lists(NAMES, min_size=4, max_size=4), st.booleans())
def test_every_name_is_itself_whatever_it_holds(names: list[str], login: bool) -> None:
    role, schema, table, publication = names
    one = TableName("db", schema, table)
    needs = Needs(
        "his",
        "x\n; DROP DATABASE y; --",
        role,
        login=login,
        replication=not login,
        usage=(schema,),
        select=(one,),
        publications=(
            PublicationNeed(publication, add=(one,), drop=(one,), drop_schemas=(schema,), give=True),
        ),
        choices=Choices(
            wal_level=True,
            slots=11,
            senders=12,
            keep_bytes=20 << 30,
            identities=(IdentityChoice(one, by_default=False),),
            see_all_rows=(one,),
            publications=(
                PublicationNeed(publication, shared=True, replace=True, add=(one,)),
                PublicationNeed(publication, shared=True, give=True),
            ),
        ),
    )
    said = [(tokens[0], named(tokens)) for tokens in statements(script(needs))]
    rights = (
        [("CREATE", [role]), ("GRANT", ["x\n; DROP DATABASE y; --", role])] if login else [("ALTER", [role])]
    )
    assert said == [
        ("SET", []),
        *rights,
        ("GRANT", [schema, role]),
        ("GRANT", [schema, table, role]),
        ("BEGIN", []),
        ("ALTER", [publication, schema, table]),
        ("ALTER", [publication, schema, table]),
        ("ALTER", [publication, schema]),
        ("ALTER", [publication, role]),
        ("COMMIT", []),
    ], "and nothing of what is optional"


@given(NAMES, NAMES)
def test_a_qualified_name_is_read_as_it_was_written(schema: str, table: str) -> None:
    assert named(statements(qualified(TableName(None, schema, table)))[0]) == [schema, table]


VISIT, WARD, NOTE = (TableName("his", "public", name) for name in ("visit", "ward", "note"))
ORDER, REMARK = (TableName("his", "public", name) for name in ("医嘱", "备注"))
WHOLE = Needs(
    "his",
    "his",
    "guicang",
    replication=True,
    usage=("public",),
    select=(VISIT, ORDER, REMARK),
    publications=(
        PublicationNeed("guicang_his", create=True, add=(VISIT, ORDER), give=True),
        PublicationNeed("guicang_his_inserts", inserts=True, create=True, add=(REMARK,), give=True),
    ),
    choices=Choices(wal_level=True),
)


def test_a_whole_set_up_to_the_letter() -> None:
    lines = [line for line in script(WHOLE).splitlines() if line and not line.startswith("--")]
    assert lines == [
        "SET client_encoding = 'UTF8';",
        'ALTER ROLE "guicang" REPLICATION;',
        'GRANT USAGE ON SCHEMA "public" TO "guicang";',
        "GRANT SELECT ON",
        '    "public"."visit",',
        '    "public"."医嘱",',
        '    "public"."备注"',
        '    TO "guicang";',
        "BEGIN;",
        'CREATE PUBLICATION "guicang_his" FOR TABLE',
        '    ONLY "public"."visit",',
        '    ONLY "public"."医嘱"',
        "    WITH (publish_via_partition_root = true);",
        'ALTER PUBLICATION "guicang_his" OWNER TO "guicang";',
        "COMMIT;",
        "BEGIN;",
        'CREATE PUBLICATION "guicang_his_inserts" FOR TABLE',
        '    ONLY "public"."备注"',
        "    WITH (publish = 'insert', publish_via_partition_root = true);",
        'ALTER PUBLICATION "guicang_his_inserts" OWNER TO "guicang";',
        "COMMIT;",
    ]
    assert "-- ALTER SYSTEM SET wal_level = logical;" in script(WHOLE).splitlines()


GUIDE = Needs(
    "his",
    "his",
    "guicang",
    select=(NOTE, VISIT, WARD),
    publications=(
        PublicationNeed("guicang_his", create=True, add=(VISIT, WARD), give=True),
        PublicationNeed("guicang_his_inserts", inserts=True, create=True, add=(NOTE,), give=True),
    ),
)


@pytest.mark.parametrize("page", ["docs/operating.md", "docs/zh/operating.md"])
def test_the_guide_shows_what_it_prints(page: str) -> None:
    text = (Path(__file__).parents[5] / page).read_text("utf-8")
    assert f"```sql\n{script(GUIDE)}```\n" in text


def test_no_password_ever_stands_in_it() -> None:
    text = script(replace(WHOLE, login=True, replication=False))
    assert [line for line in text.splitlines() if "PASSWORD" in line] == [
        f"-- ALTER ROLE {quoted('guicang')} PASSWORD '……';"
    ]


def test_where_nothing_is_missing_it_says_so_and_does_nothing() -> None:
    text = script(Needs("his", "his", "guicang", choices=Choices(keep_bytes=20 << 30)))
    assert statements(text) == []
    assert "-- No grant is missing." in text.splitlines()
    assert "-- ALTER SYSTEM SET max_slot_wal_keep_size = '20480MB';" in text.splitlines()


def test_each_statement_has_a_reason_in_both_languages() -> None:
    for block in script(WHOLE).split("\n\n")[2:]:
        said = [line for line in block.splitlines() if line.startswith("-- ")]
        assert re.match("-- .*[\u4e00-\u9fff].*。", said[0]), block
        assert any(re.fullmatch("-- [^\u4e00-\u9fff]*\\.", line) for line in said), block
        assert max(map(len, block.splitlines())) <= 100, block
