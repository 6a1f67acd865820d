"""All tables of a source at one place of its stream, named by an envelope or by a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing.asof import AsOf, at_time, last_received, parse
from central_ingest.landing.query import CatalogueTable, QueryEngine, sql_name
from central_ingest.ledger.cuts import Cut
from protocol.change import Version
from protocol.errors import Permanent
from protocol.names import Stream, TableName

from .changes_tables import Line, change, table

EPOCH_DAY = datetime(1970, 1, 1, tzinfo=UTC)
LAST = (1 << 63) - 1


def _dataset(lines: list[Line]) -> ds.Dataset:
    """Dates as receipt gives them."""
    dated = [
        one | {"_gc_date": (EPOCH_DAY + timedelta(microseconds=one["_gc_received"])).date()} for one in lines
    ]
    return ds.dataset(table(dated))


def test_a_place_is_an_envelope_or_a_time() -> None:
    assert parse("3/1200") == Version(3, 1200, LAST)
    assert parse("2026-11-27T08:00:00+08:00") == datetime(2026, 11, 27, tzinfo=UTC)
    for wrong in ("", "3", "3/x", "yesterday", "2026-11-27T08:00:00", "-1/2"):
        with pytest.raises(Permanent, match="GC-6062"):
            parse(wrong)


_RECEIVED = st.integers(0, 4 * 86_400)


@settings(max_examples=40, deadline=None)
@given(st.lists(_RECEIVED, min_size=1, max_size=12), _RECEIVED)
def test_a_time_is_the_last_envelope_received_by_then(times: list[int], at: int) -> None:
    lines = [
        change(1 + number // 4, number, 0, "c", "a") | {"_gc_received": second * 1_000_000}
        for number, second in enumerate(sorted(times))
    ]
    split = [_dataset(lines[::2]), _dataset(lines[1::2])]
    by_then = [
        Version(one["_gc_epoch"], one["_gc_seq"], LAST)
        for one in lines
        if one["_gc_received"] <= at * 1_000_000
    ]
    assert last_received(split, EPOCH_DAY + timedelta(seconds=at)) == max(by_then, default=Version(0, 0))


def test_every_current_of_the_query_is_of_that_place_and_other_sources_are_refused(tmp_path: Path) -> None:
    entries = [
        CatalogueTable(
            "h1", source, TableName(None, None, name), f"{source}-{name}", ("id",), f"{source}.{name}"
        )
        for source, name in (("his", "a"), ("his", "b"), ("lis", "a"))
    ]
    for entry in entries:
        (tmp_path / entry.path).mkdir()
        lines = [change(1, seq, 0, "u", "key", id=seq) for seq in (1, 3, 5)]
        pq.write_table(
            pa.Table.from_batches(table(lines).to_batches()), tmp_path / entry.path / "part.parquet"
        )
    engine = QueryEngine(
        entries, lambda path: ds.dataset(tmp_path / path), overlay=lambda _: pytest.fail("asked")
    )
    a, b, other = (sql_name("current", entry.printed_name) for entry in entries)
    there = AsOf(Stream("h1", "his"), Version(1, 4, LAST))
    both = engine.query(f"SELECT id FROM {a} UNION ALL SELECT id FROM {b}", there)
    assert both["id"].to_pylist() == [3, 3]
    with pytest.raises(Permanent, match="GC-6063"):
        engine.query(f"SELECT id FROM {a} UNION ALL SELECT id FROM {other}", there)


def test_a_time_is_the_last_cut_where_there_is_one() -> None:
    stream, hour = Stream("h1", "his"), 3_600_000_000
    moment, at = EPOCH_DAY + timedelta(hours=9), 9 * hour

    def place(last: Version, cut: Cut | None) -> tuple[int, bool]:
        found = at_time(stream, moment, last, cut)
        assert (found.stream, found.version.epoch, found.version.ord) == (stream, 2, LAST)
        return found.version.seq, found.is_cut

    last = Version(2, 50, LAST)
    assert place(last, None) == (50, False)
    assert place(last, Cut(stream, 2, 40, at - hour)) == (40, True)
    assert place(last, Cut(stream, 2, 40, at - hour - 1)) == (50, False)  # its log is not followed any more
    assert place(last, Cut(stream, 2, 50, 0)) == (50, True)  # nothing has happened since
    assert place(last, Cut(stream, 1, 40, at)) == (50, False)  # of another epoch
