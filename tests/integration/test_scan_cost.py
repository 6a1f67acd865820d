"""What `check` says that a scan costs, beside what it does come to, on real servers."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from edge_agent.capture.diff import encode, index_of
from edge_agent.capture.index import IndexFiles
from edge_agent.cost import cost_of
from edge_agent.sources.columns import join
from edge_agent.sources.settings import SqlSettings
from edge_agent.sources.source import Page, PageLimits, Source
from edge_agent.sources.sql import SqlSource
from protocol.schema import TableSchema
from tests.databases import Database, mariadb, postgres

ROWS, PAGE_ROWS = 3_000, 500
NUMBERS = {
    "postgres": f"INSERT INTO visits SELECT i, '王' || i FROM generate_series(1, {ROWS}) i",
    "mariadb": f"INSERT INTO visits SELECT seq, CONCAT('王', seq) FROM seq_1_to_{ROWS}",
}
ANALYZE = {"postgres": "ANALYZE visits", "mariadb": "ANALYZE TABLE visits"}


@pytest.fixture(params=["postgres", "mariadb"])
def source(request: pytest.FixtureRequest) -> Iterator[SqlSource]:
    server: Database = postgres() if request.param == "postgres" else mariadb()
    with server.database() as name:
        table = "CREATE TABLE visits(id int PRIMARY KEY, name varchar(40))"
        server.run(table, NUMBERS[request.param], ANALYZE[request.param], database=name)
        one = SqlSource("his", server.url(name))
        yield one
        one.close()


@pytest.mark.parametrize(
    ("kind", "page_rows", "rows"),
    [("", PAGE_ROWS, ROWS), ("WITHOUT ROWID", PAGE_ROWS, None), ("WITHOUT ROWID", 2 * ROWS, ROWS)],
)
def test_sqlite_makes_up_no_number_of_rows(
    kind: str, page_rows: int, rows: int | None, tmp_path: Path
) -> None:
    """Without statistics the numbers of rows tell, where rows have any; a table that one page holds is counted."""
    with closing(sqlite3.connect(tmp_path / "his.db")) as database:
        database.execute(f"CREATE TABLE visits(id INTEGER PRIMARY KEY, name TEXT NOT NULL) {kind}")
        database.executemany("INSERT INTO visits VALUES(?, ?)", [(i, f"王{i}") for i in range(ROWS)])
        database.commit()
    settings = SqlSettings(url=SecretStr("sqlite://"), page_rows=page_rows, duty_share_max=0.5)
    ticks = itertools.count()
    with closing(SqlSource("his", f"sqlite:///{tmp_path / 'his.db'}")) as one:
        (info,) = one.inventory()
        cost = cost_of(one, one.describe(info.name), info.rows_estimate, settings, lambda: float(next(ticks)))
    assert (cost.rows, cost.sampled_rows) == (rows, min(page_rows, ROWS))
    assert cost.scan_seconds == (None if rows is None else 2 * rows / cost.sampled_rows)
    assert (cost.index_bytes is None) is (rows is None)


def pages(source: Source, schema: TableSchema) -> Iterator[Page]:
    after = b""
    while True:
        page = source.page(schema, after, b"", PageLimits(PAGE_ROWS, 1 << 24))
        yield page
        if not page.full:
            return
        after = page.last


def test_rows_pages_and_index_are_about_what_a_scan_meets(source: SqlSource, tmp_path: Path) -> None:
    (info,) = [one for one in source.inventory() if one.name.name == "visits"]
    schema = source.describe(info.name)
    ticks = itertools.count()
    settings = SqlSettings(url=SecretStr("sqlite://"), page_rows=PAGE_ROWS, duty_share_max=1.0)
    cost = cost_of(source, schema, info.rows_estimate, settings, lambda: float(next(ticks)))
    read = list(pages(source, schema))
    rows = join([page.rows for page in read])
    assert rows.count == ROWS
    assert cost.sampled_rows == PAGE_ROWS
    assert cost.rows == pytest.approx(ROWS, rel=0.2)
    assert cost.scan_seconds == pytest.approx(ROWS / PAGE_ROWS, rel=0.2), "a page takes one tick"
    name = IndexFiles(tmp_path).write_keyed(index_of(schema, encode(schema, rows, b"k" * 32)))
    assert cost.index_bytes == pytest.approx((tmp_path / name).stat().st_size, rel=0.3)
