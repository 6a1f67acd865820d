"""What a scan costs, told from a sample: in time that a test moves, and beside what really becomes of an index."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import SecretStr
from rich.console import Console

from edge_agent import checking
from edge_agent.capture.diff import encode, index_of
from edge_agent.capture.index import IndexFiles
from edge_agent.checked import show
from edge_agent.cost import SAMPLE_ROWS_MIN, SAMPLE_SECONDS, Cost, cost_of
from edge_agent.sources import memory
from edge_agent.sources.memory import MemorySource
from edge_agent.sources.settings import SqlSettings, TableSettings
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import Column, TableSchema

VISITS = TableName(None, None, "visits")
COLUMNS = (Column("id", pa.int64()), Column("name", pa.string()))
KEYED, BARE = TableSchema(VISITS, COLUMNS, ("id",)), TableSchema(VISITS, COLUMNS)
PAGE_SECONDS = 0.5
ROWS = 5_000


def settings(**more: object) -> SqlSettings:
    return SqlSettings(
        url=SecretStr("sqlite://"), include=("*",), page_rows=1_000, duty_share_max=0.5, **more
    )


class Clock:
    """Each call of the source takes PAGE_SECONDS, each look at the clock nothing."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[str, TableName | None]] = []

    def spend(self, name: str, table: TableName | None) -> None:
        self.calls.append((name, table))
        if name in ("page", "whole"):
            self.now += PAGE_SECONDS


@pytest.fixture
def clock() -> Clock:
    return Clock()


def source(clock: Clock, schema: TableSchema, rows: int) -> MemorySource:
    one = MemorySource(before=clock.spend)
    one.create(schema, [(i, f"王{i}") for i in range(rows)])
    return one


def cost(clock: Clock, schema: TableSchema, rows: int, estimate: int | None, of: SqlSettings) -> Cost:
    return cost_of(source(clock, schema, rows), schema, estimate, of, lambda: clock.now)


def test_a_scan_takes_as_many_pages_as_there_are_rows_and_half_the_time_is_not_ours(clock: Clock) -> None:
    one = cost(clock, KEYED, ROWS, ROWS, settings())
    assert (one.rows, one.sampled_rows) == (ROWS, 1_000)
    assert one.scan_seconds == pytest.approx(PAGE_SECONDS * ROWS / 1_000 / 0.5)


def test_so_many_rows_a_second_may_take_longer_than_reading_does(clock: Clock) -> None:
    one = cost(clock, KEYED, ROWS, ROWS, settings(rows_per_second_max=10))
    assert one.scan_seconds == pytest.approx(ROWS / 10)


def test_the_index_is_what_it_comes_to(clock: Clock, tmp_path: Path) -> None:
    one = cost(clock, KEYED, ROWS, ROWS, settings())
    rows = memory._as_rows(KEYED, [(i, f"王{i}") for i in range(ROWS)])
    name = IndexFiles(tmp_path).write_keyed(index_of(KEYED, encode(KEYED, rows, b"k" * 32)))
    assert one.index_bytes == pytest.approx((tmp_path / name).stat().st_size, rel=0.1)


def test_a_table_that_fits_the_sample_is_counted_whatever_was_estimated(clock: Clock) -> None:
    for schema in (KEYED, BARE):
        one = cost(clock, schema, 40, None, settings())
        assert (one.rows, one.sampled_rows) == (40, 40)
        assert one.scan_seconds is not None
        assert one.index_bytes
    assert cost(clock, BARE, 0, 7, settings()) == Cost(0, 0, 2 * PAGE_SECONDS, 0)


def test_nobody_knows_what_nobody_knows(clock: Clock) -> None:
    assert cost(clock, KEYED, ROWS, None, settings()) == Cost(None, 1_000)
    few = settings().model_copy(update={"page_rows": SAMPLE_ROWS_MIN - 1})
    assert cost(clock, KEYED, ROWS, ROWS, few) == Cost(ROWS, SAMPLE_ROWS_MIN - 1)


def test_an_estimate_below_what_the_sample_met_is_none(clock: Clock) -> None:
    for estimate in (0, 999):
        assert cost(clock, KEYED, ROWS, estimate, settings()) == Cost(None, 1_000)


def test_what_is_unknown_is_said_with_its_reason(clock: Clock) -> None:
    few = settings().model_copy(update={"page_rows": SAMPLE_ROWS_MIN - 1})
    for of, estimate, why in (
        (few, 5_000, "样本仅 99 行 a sample of 99 rows is too small"),
        (settings(), None, "行数未知 nobody knows how many rows"),
    ):
        one = cost(clock, KEYED, ROWS, estimate, of)
        said = io.StringIO()
        fact = {
            "source": "his",
            "table": "visits",
            "included": True,
            "rows_estimate": estimate,
            "fault": None,
            "log": None,
            "server": None,
        }
        fact |= {"key": ["id"], "way": "diff by key ranges", "guarantee": "found at the next scan"}
        show(Console(file=said, width=200), [fact | {"follows": [], "cost": one.to_json()}])
        assert why in said.getvalue()


def test_without_a_key_the_sample_ends_after_a_while_and_leaves_nothing_open(clock: Clock) -> None:
    def ticking() -> float:
        clock.now += SAMPLE_SECONDS / 2.5
        return clock.now

    table = source(clock, BARE, ROWS)
    one = cost_of(table, BARE, ROWS, settings(), ticking)
    assert 0 < one.sampled_rows < ROWS / 2
    seconds_a_row = one.scan_seconds and one.scan_seconds * 0.5 / ROWS
    assert seconds_a_row == pytest.approx(SAMPLE_SECONDS / 2.5 * 4 / one.sampled_rows, rel=0.5)


def test_check_reads_only_what_is_included_and_warns_where_a_scan_never_keeps_up(clock: Clock) -> None:
    table = source(clock, KEYED, 900)
    quick = settings(tables={"visits": TableSettings(scan_interval_seconds=0.2)})
    (one,) = checking.check("his", quick, table, lambda: clock.now)
    assert one["cost"] == {
        "rows": 900,
        "sampled_rows": 900,
        "scan_seconds": 1.0,
        "index_bytes": one["cost"]["index_bytes"],
        "interval_seconds": 0.2,
        "slower_than_interval": True,
    }
    clock.calls.clear()
    left_out = settings(exclude=("visits",))
    (one,) = checking.check("his", left_out, table, lambda: clock.now)
    assert one["cost"] is None
    assert not [call for call in clock.calls if call[0] in ("page", "whole")]


def test_what_would_end_the_first_scan_is_met_by_the_sample(clock: Clock) -> None:
    def fail(name: str, table: TableName | None) -> None:
        if name == "page":
            raise Rejected("GC-2005", table=str(table))

    table = source(clock, KEYED, 10)
    table.before = fail
    (one,) = checking.check("his", settings(), table, lambda: clock.now)
    assert (one["fault"].partition(" ")[0], one["cost"]) == ("GC-2005", None)
