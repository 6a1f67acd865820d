"""Comments that a query of its own tells: a database that refuses it is captured all the same.

No server of Oracle's form starts here, so SQLite holds the two views as tables and answers DM's own statements.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dialect import Fetch
from edge_agent.sources.dialects.dictionary_comments import read_comments
from edge_agent.sources.dialects.sqlite import Sqlite
from edge_agent.sources.patience import Silent
from edge_agent.sources.reading import Expired
from edge_agent.sources.source import PageLimits
from edge_agent.sources.sql import SqlSource
from protocol.names import TableName
from protocol.schema import TableSchema

VISIT = TableName(None, None, "visit")
DICTIONARY = """
CREATE TABLE all_tab_comments(owner, table_name, comments);
CREATE TABLE all_col_comments(owner, table_name, column_name, comments);
INSERT INTO all_tab_comments VALUES ('HIS', 'visit', '就诊'), ('LIS', 'visit', 'of another'), ('HIS', 'pay', 'x');
INSERT INTO all_col_comments VALUES ('HIS', 'visit', 'id', '就诊号'), ('HIS', 'visit', 'name', NULL);
INSERT INTO all_col_comments VALUES ('LIS', 'visit', 'name', 'of another'), ('HIS', 'pay', 'name', 'x');
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "his.db", isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE visit(id INTEGER PRIMARY KEY, name TEXT)")
    connection.execute("INSERT INTO visit VALUES (1, '张三'), (2, '李四')")
    yield connection
    connection.close()


@pytest.fixture
def source(tmp_path: Path, writer: sqlite3.Connection) -> Iterator[SqlSource]:
    source = SqlSource("his", f"sqlite:///{tmp_path / 'his.db'}", statement_seconds_max=60.0)
    yield source
    source.close()


def _names(source: SqlSource, schema: TableSchema) -> list[str]:
    page = source.page(schema, b"", b"", PageLimits(100, 1 << 20))
    names: list[str] = page.rows.columns[1].to_pylist()
    return names


def _from_the_dictionary(dialect: Sqlite, fetch: Fetch, table: TableName) -> Comments:
    return read_comments(fetch, TableName(None, "HIS", table.name), ("?", "?"), None)


def test_comments_come_with_the_schema_and_change_no_shape(
    source: SqlSource, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = source.describe(VISIT)
    writer.executescript(DICTIONARY)
    monkeypatch.setattr(Sqlite, "comments", _from_the_dictionary)
    told = source.describe(VISIT)
    assert {**told.meta} == {**plain.meta, "comment": "就诊"}
    assert [c.meta.get("comment") for c in told.columns] == ["就诊号", None]
    assert told.shape == plain.shape
    assert _names(source, told) == ["张三", "李四"]


def test_a_database_without_the_views_is_captured_without_comments(
    source: SqlSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = source.describe(VISIT)
    monkeypatch.setattr(Sqlite, "comments", _from_the_dictionary)
    assert source.describe(VISIT) == plain
    assert _names(source, plain) == ["张三", "李四"]
    assert [info.name for info in source.inventory()] == [VISIT]


@pytest.mark.parametrize(
    "failure",
    [OSError("gone"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text"), Expired(), Silent()],
    ids=lambda failure: type(failure).__name__,
)
def test_whatever_befalls_the_query_of_comments_befalls_them_alone(
    source: SqlSource, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    plain = source.describe(VISIT)
    asked = []

    def fail(dialect: Sqlite, fetch: Fetch, table: TableName) -> Comments:
        asked.append(table)
        raise failure

    monkeypatch.setattr(Sqlite, "comments", fail)
    assert source.describe(VISIT) == plain
    assert _names(source, plain) == ["张三", "李四"]
    assert asked == [VISIT], "comments are asked for once, when the table is described, and for no page"
