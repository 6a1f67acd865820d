"""Names: what is accepted, and that nothing derived from a name can leave its path or collide unseen."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import names
from protocol.errors import Rejected
from protocol.limits import NAME_BYTES_MAX
from protocol.names import Stream, TableName, escape_column, unescape_column

PART = st.none() | st.text(min_size=1, max_size=20)
TABLES = st.builds(TableName, PART, PART, st.text(min_size=1, max_size=60))


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (names.check_site, ["A", "330106-H01", "a.b_c-d", "9" * 32]),
        (names.check_source, ["his", "-", "a" * 32, "0"]),
        (names.check_agent, ["0" * 32, "0123456789abcdef" * 2]),
    ],
)
def test_good_words(check: Callable[[str], str], good: list[str]) -> None:
    for word in good:
        assert check(word) == word


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (names.check_site, ["", ".", "..", "-a", "a/b", "a b", "医院", "9" * 33, "a\n", "a\x00"]),
        (names.check_source, ["", "HIS", "a/b", "a.b", "a" * 33, "his\n", "é"]),
        (names.check_agent, ["", "0" * 31, "0" * 33, "A" * 32, "g" * 32, "0" * 32 + "\n"]),
    ],
)
def test_bad_words(check: Callable[[str], str], bad: list[str]) -> None:
    for word in bad:
        with pytest.raises(Rejected) as refused:
            check(word)
        assert refused.value.code == "GC-4004"


def test_stream_checks_its_parts() -> None:
    assert str(Stream("H1", "his")) == "H1/his"
    with pytest.raises(Rejected):
        Stream("H1", "HIS")
    with pytest.raises(Rejected):
        Stream("../H1", "his")


def test_agent_id_is_32_hex_digits() -> None:
    assert names.check_agent(names.agent_id(bytes(32))) == names.agent_id(bytes(32))
    assert names.agent_id(bytes(32)) != names.agent_id(bytes(31) + b"\x01")


@given(TABLES)
def test_table_name_round_trip_and_directory(table: TableName) -> None:
    assert TableName.from_list(table.as_list()) == table
    assert re.fullmatch(r"[a-z0-9-]{0,40}", table.slug)
    assert re.fullmatch(r"[a-z0-9-]{0,40}-[0-9a-f]{8}", table.directory())
    assert table.directory(16).startswith(table.directory())


@given(TABLES, TABLES)
def test_digest_tells_tables_apart(a: TableName, b: TableName) -> None:
    assert (a.digest == b.digest) == (a == b)


def test_same_text_is_not_the_same_table() -> None:
    a, b = TableName(None, "a.b", "c"), TableName("a", "b", "c")
    assert str(a) == str(b)
    assert a.directory() != b.directory()


def test_slug_of_chinese_is_empty_but_the_directory_is_not() -> None:
    table = TableName(None, None, "门诊")
    assert table.slug == ""
    assert table.directory() == f"-{table.digest[:8]}"


@pytest.mark.parametrize(
    "parts", [[], [None, None], [None, None, None], [1, None, "a"], "abc", ["a", "b", "c", "d"]]
)
def test_bad_lists(parts: object) -> None:
    with pytest.raises(Rejected) as refused:
        TableName.from_list(parts)
    assert refused.value.code == "GC-5006"


@pytest.mark.parametrize("name", ["", "中" * (NAME_BYTES_MAX // 3 + 1)])
def test_length_of_names(name: str) -> None:
    TableName(None, None, "x" * NAME_BYTES_MAX)
    with pytest.raises(Rejected):
        TableName(None, None, name)
    with pytest.raises(Rejected):
        TableName(name, None, "t")


@given(st.text() | st.sampled_from(["_gc_op", "_gc_x_a", "_GC_op", "_gc_x__gc_x_", "_gc_"]))
def test_escaped_columns_are_never_ours_and_come_back(name: str) -> None:
    escaped = escape_column(name)
    assert unescape_column(escaped) == name
    assert not escaped.lower().startswith("_gc_") or escaped.startswith("_gc_x_")


@given(st.text(max_size=12), st.text(max_size=12))
def test_escaping_keeps_columns_apart(a: str, b: str) -> None:
    assert (escape_column(a) == escape_column(b)) == (a == b)
