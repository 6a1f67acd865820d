"""The rule of `current`, case by case, and over DuckDB against the oracle that replays change by change."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing.current import (
    SYSTEM,
    UNKNOWN,
    Floor,
    Mark,
    Span,
    current_sql,
    floor,
    marks_sql,
    reads_sql,
    unchanged_sql,
)
from central_ingest.landing.replay import replay
from protocol.change import LAKE_SYSTEM_NAMES, Version

from .changes_tables import SOURCE, Line, aside, change, mark, table
from .histories import histories

S1, S2 = "1" * 32, "2" * 32


@cache
def _engine() -> Any:
    """One for all cases: to open one takes longer than most of them."""
    engine = duckdb.connect(":memory:")
    engine.execute("SET TimeZone = 'UTC'").fetchall()
    return engine


def _asked(changes: pa.Table, keyed: bool, as_of: Version | None = None) -> list[Line]:
    engine = _engine()
    engine.register("t", changes)

    def rows(sql: str) -> list[Any]:
        return list(engine.sql(sql).fetchall())

    marks = [Mark.read(Version(e, s, o), text) for e, s, o, text in rows(marks_sql("t", as_of))]
    above = floor(marks, lambda span: int(rows(reads_sql("t", span))[0][0]))
    unchanged = {name for (name,) in rows(unchanged_sql("t", above, as_of))}
    columns = [name for name in changes.column_names if name not in LAKE_SYSTEM_NAMES]
    sql = current_sql("t", keyed, columns, above, unchanged, as_of)
    found: list[Line] = engine.sql(sql).to_arrow_table().to_pylist()
    return found


def _both(lines: list[Line], keyed: bool = True, as_of: Version | None = None) -> list[Line]:
    """The rows of `current`, on which query and oracle agree."""
    changes = table(lines)
    found = sorted(_asked(changes, keyed, as_of), key=repr)
    expected = sorted(replay(changes, keyed, as_of), key=repr)
    assert found == expected
    return found


def _by_key(lines: list[Line], column: str = "姓名", as_of: Version | None = None) -> dict[bytes, Any]:
    rows = _both(lines, as_of=as_of)
    found = {row["_gc_key"]: row[column] for row in rows}
    assert len(found) == len(rows)
    return found


def _counted(lines: list[Line]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for row in _both(lines, keyed=False):
        found[row["_gc_key"]] = found.get(row["_gc_key"], 0) + 1
    return found


def test_the_last_change_of_a_key_stands_and_a_deleted_key_does_not() -> None:
    lines = [
        change(1, 9, 0, "u", "a", 姓名="late"),
        change(1, 2, 0, "c", "a", 姓名="early"),
        change(1, 2, 1, "c", "b", 姓名="gone"),
        change(1, 10, 0, "d", "b"),
        change(1, 11, 7, "d", "c"),
        change(1, 11, 8, "c", "c", 姓名="back"),
        change(2, 1, 0, "c", "d", 姓名="of a later epoch"),
        change(1, 99, 0, "u", "d", 姓名="of an earlier epoch"),
    ]
    assert _by_key(lines) == {b"a": "late", b"c": "back", b"d": "of a later epoch"}


def test_columns_are_the_sources_then_the_system_ones() -> None:
    (row,) = _both([change(1, 1, 0, "c", "a", id=1, 姓名="x", **{"fee.total": Decimal("1.50")})])
    assert list(row) == [*SOURCE.names, *SYSTEM]
    assert (row["fee.total"], row[UNKNOWN], row["_gc_aside"]) == (Decimal("1.50"), [], None)


def test_a_whole_snapshot_sweeps_what_it_did_not_read() -> None:
    lines = [
        change(1, 1, 0, "c", "swept", 姓名="x"),
        change(1, 2, 0, "c", "read", 姓名="x"),
        mark(1, 3, "snapshot_begin", S1),
        change(1, 4, 0, "r", "read", 姓名="y"),
        change(1, 5, 0, "c", "new", 姓名="z"),
        mark(1, 6, "snapshot_end", S1, 1),
    ]
    assert _by_key(lines) == {b"read": "y", b"new": "z"}
    assert _by_key(lines, as_of=Version(1, 5)) == {b"swept": "x", b"read": "y", b"new": "z"}
    assert _by_key(lines, as_of=Version(1, 2)) == {b"swept": "x", b"read": "x"}


@pytest.mark.parametrize(
    "end",
    [
        mark(1, 6, "snapshot_end", S1, 2),
        mark(1, 6, "snapshot_end", S1),
        mark(1, 6, "snapshot_end", S1, True),
        mark(1, 6, "snapshot_end", S1, "1"),
        mark(1, 6, "snapshot_end", S2, 1),
        mark(1, 6, "snapshot_end", None, 1),
        mark(2, 9, "snapshot_end", S1, 1),
    ],
    ids=["rows missing", "no count", "no number", "text", "another snapshot", "no snapshot", "another epoch"],
)
def test_an_end_that_does_not_fit_sweeps_nothing(end: Line) -> None:
    lines = [
        change(1, 1, 0, "c", "old", 姓名="x"),
        mark(1, 3, "snapshot_begin", S1),
        change(1, 4, 0, "r", "read", 姓名="y"),
        end,
    ]
    assert _by_key(lines) == {b"old": "x", b"read": "y"}


def test_a_new_begin_voids_the_old() -> None:
    lines = [
        change(1, 1, 0, "c", "old", 姓名="x"),
        mark(1, 2, "snapshot_begin", S1),
        change(1, 3, 0, "r", "a", 姓名="y"),
        mark(1, 4, "snapshot_begin", S2),
        mark(1, 5, "snapshot_end", S1, 1),
    ]
    assert set(_by_key(lines)) == {b"old", b"a"}
    assert _by_key([*lines, mark(1, 6, "snapshot_end", S2, 0)]) == {}


@pytest.mark.parametrize("kind", ["truncate", "drop"])
def test_truncate_and_drop_empty_the_table_also_within_a_snapshot(kind: str) -> None:
    lines = [
        mark(1, 1, "snapshot_begin", S1),
        change(1, 2, 0, "r", "a", 姓名="x"),
        mark(1, 3, kind),
        change(1, 4, 0, "c", "b", 姓名="y"),
        mark(1, 5, "snapshot_end", S1, 1),
    ]
    assert _by_key(lines) == {b"b": "y"}
    assert _counted(lines) == {b"b": 1}


def test_an_unchanged_column_keeps_its_last_image_with_what_was_set_aside_of_it() -> None:
    lines = [
        change(1, 1, 0, "c", "a", id=1, 姓名="first"),
        change(1, 2, 0, "u", "a", id=2, 姓名=None, aside=[aside("姓名", "raw")]),
        change(1, 3, 0, "u", "a", id=3, unchanged=["姓名"]),
        change(1, 4, 0, "u", "a", unchanged=["姓名", "id"], aside=[aside("fee.total", "NaN")]),
    ]
    (row,) = _both(lines)
    assert (row["id"], row["姓名"], row["_gc_seq"], row[UNKNOWN]) == (3, None, 4, [])
    assert row["_gc_aside"] == [aside("fee.total", "NaN"), aside("姓名", "raw")]


def test_an_image_that_is_null_is_known_and_one_that_is_nowhere_is_unknown() -> None:
    lines = [
        change(1, 1, 0, "c", "known", 姓名=None),
        change(1, 2, 0, "u", "known", unchanged=["姓名"]),
        change(1, 3, 0, "u", "unknown", unchanged=["姓名"]),
    ]
    assert {row["_gc_key"]: row[UNKNOWN] for row in _both(lines)} == {b"known": [], b"unknown": ["姓名"]}


def test_no_image_crosses_a_delete_a_create_or_the_floor() -> None:
    lines = [
        change(1, 1, 0, "c", "a", 姓名="another life"),
        change(1, 2, 0, "d", "a"),
        change(1, 3, 0, "c", "a", unchanged=["姓名"]),
        change(1, 4, 0, "c", "b", 姓名="another life"),
        change(1, 5, 0, "c", "b", unchanged=["姓名"]),
        change(1, 6, 0, "c", "c", 姓名="below the floor"),
        mark(1, 7, "snapshot_begin", S1),
        change(1, 8, 0, "u", "c", unchanged=["姓名"]),
    ]
    assert _by_key(lines) == {b"a": None, b"b": None, b"c": "below the floor"}
    swept = [*lines, mark(1, 9, "snapshot_end", S1, 0)]
    assert [(row["_gc_key"], row["姓名"], row[UNKNOWN]) for row in _both(swept)] == [(b"c", None, ["姓名"])]


def test_a_chain_of_key_changes_brings_its_images_along() -> None:
    left_out = ["姓名"]
    lines = [
        change(1, 1, 0, "c", "a", 姓名="travels"),
        change(1, 2, 0, "d", "a"),
        change(1, 2, 1, "c", "b", old_key="a", unchanged=left_out),
        change(1, 3, 0, "u", "b", unchanged=left_out),
        change(1, 4, 0, "d", "b"),
        change(1, 4, 1, "c", "c", old_key="b", unchanged=left_out),
        change(1, 5, 0, "c", "a", 姓名="a new life of the old key"),
    ]
    assert _by_key(lines) == {b"a": "a new life of the old key", b"c": "travels"}


def test_the_nearest_image_of_a_chain_counts() -> None:
    left_out = ["姓名"]
    lines = [
        change(1, 1, 0, "c", "a", 姓名="farther"),
        change(1, 2, 0, "d", "a"),
        change(1, 2, 1, "c", "b", old_key="a", unchanged=left_out),
        change(1, 3, 0, "u", "b", 姓名="nearer"),
        change(1, 4, 0, "d", "b"),
        change(1, 4, 1, "c", "c", old_key="b", unchanged=left_out),
    ]
    assert _by_key(lines) == {b"c": "nearer"}


@pytest.mark.parametrize("new", ["a", "b"], ids=["under the same key", "under another key"])
def test_a_create_in_a_later_batch_takes_over_from_an_old_key_that_stayed_dead(new: str) -> None:
    lines = [
        change(1, 1, 0, "c", "a", 姓名="x"),
        change(1, 2, 0, "d", "a"),
        change(1, 3, 0, "c", new, old_key="a", unchanged=["姓名"]),
        change(1, 4, 0, "c", "a" if new == "b" else "b", 姓名="later"),
    ]
    assert _by_key(lines)[new.encode()] == "x"


def test_of_two_deaths_in_one_batch_the_last_before_the_create_counts() -> None:
    lines = [
        change(1, 1, 0, "c", "a", 姓名="first"),
        change(1, 2, 0, "d", "a"),
        change(1, 2, 1, "c", "a", 姓名="second"),
        change(1, 2, 2, "d", "a"),
        change(1, 2, 3, "c", "b", old_key="a", unchanged=["姓名"]),
    ]
    assert _by_key(lines) == {b"b": "second"}


def test_two_keys_that_swap_take_each_its_own_image() -> None:
    left_out = ["姓名"]
    lines = [
        change(1, 1, 0, "c", "a", 姓名="was a"),
        change(1, 1, 1, "c", "b", 姓名="was b"),
        change(1, 2, 0, "d", "a"),
        change(1, 2, 1, "d", "b"),
        change(1, 2, 2, "c", "b", old_key="a", unchanged=left_out),
        change(1, 2, 3, "c", "a", old_key="b", unchanged=left_out),
    ]
    assert _by_key(lines) == {b"a": "was b", b"b": "was a"}


def test_an_old_key_that_lives_again_gives_no_image() -> None:
    lines = [
        change(1, 1, 0, "c", "a", 姓名="x"),
        change(1, 2, 0, "d", "a"),
        change(1, 3, 0, "c", "a", 姓名="y"),
        change(1, 4, 0, "c", "b", old_key="a", unchanged=["姓名"]),
    ]
    assert _by_key(lines) == {b"a": "y", b"b": None}


def test_a_row_without_key_stands_as_often_as_it_counts() -> None:
    lines = [
        mark(1, 1, "snapshot_begin", S1),
        change(1, 2, 0, "r", "twice", id=1),
        change(1, 2, 1, "r", "twice", id=1),
        change(1, 2, 2, "r", "gone", id=2),
        mark(1, 3, "snapshot_end", S1, 3),
        change(1, 4, 0, "d", "gone"),
        change(1, 5, 0, "c", "new", id=3),
        change(1, 6, 0, "d", "never there"),
    ]
    assert _counted(lines) == {b"twice": 2, b"new": 1}


def test_rows_read_again_count_once_the_snapshot_is_whole_and_never_twice() -> None:
    lines = [
        mark(1, 1, "snapshot_begin", S1),
        change(1, 2, 0, "r", "a", id=1),
        mark(1, 3, "snapshot_end", S1, 1),
        mark(1, 4, "snapshot_begin", S2),
        change(1, 5, 0, "r", "a", id=1),
        change(1, 5, 1, "r", "b", id=2),
    ]
    assert _counted(lines) == {b"a": 1}
    assert _counted([*lines, mark(1, 6, "snapshot_end", S2, 3)]) == {b"a": 1}
    assert _counted([*lines, mark(1, 6, "snapshot_end", S2, 2)]) == {b"a": 1, b"b": 1}


def test_rows_read_of_an_emptied_table_wait_for_the_snapshots_end() -> None:
    lines = [
        mark(1, 1, "truncate"),
        change(1, 2, 0, "c", "a", id=1),
        mark(1, 3, "snapshot_begin", S1),
        change(1, 4, 0, "r", "a", id=1),
    ]
    assert _counted(lines) == {b"a": 1}
    assert _counted([*lines, mark(1, 5, "snapshot_end", S1, 1)]) == {b"a": 1}


def test_the_first_snapshot_shows_while_it_runs_and_starts_over_when_voided() -> None:
    lines = [
        mark(1, 1, "snapshot_begin", S1),
        change(1, 2, 0, "r", "a", id=1),
        change(1, 3, 0, "c", "c", id=3),
    ]
    assert _counted(lines) == {b"a": 1, b"c": 1}
    lines += [mark(1, 4, "snapshot_begin", S2), change(1, 5, 0, "r", "b", id=2)]
    assert _counted(lines) == {b"b": 1, b"c": 1}


def test_the_floor_asks_for_no_more_snapshots_than_it_needs() -> None:
    marks = [
        Mark(Version(1, 1), "snapshot_begin", S1),
        Mark(Version(1, 2), "truncate"),
        Mark(Version(1, 5), "snapshot_end", S1, 4),
        Mark(Version(1, 6), "truncate"),
        Mark(Version(1, 8), "snapshot_begin", S2),
        Mark(Version(1, 9), "snapshot_end", S2, 7),
    ]
    asked: list[Span] = []

    def reads(span: Span) -> int:
        asked.append(span)
        return {5: 4, 9: 7}[span.end.seq]

    assert floor(reversed(marks), reads) == Floor(Version(1, 8), Version(1, 8), None)
    assert asked == [Span(Version(1, 8), Version(1, 9), 7)]
    assert floor(marks[:5], reads) == Floor(Version(1, 6), Version(1, 1), Version(1, 8))
    assert floor([], reads) == Floor()


_VERSIONS = st.none() | st.builds(Version, st.integers(1, 2), st.integers(0, 20), st.integers(0, 3))


@settings(max_examples=20, deadline=None)
@given(histories(keyed=True), _VERSIONS)
def test_keyed_tables_read_as_they_replay(lines: list[Line], as_of: Version | None) -> None:
    _both(lines, keyed=True, as_of=as_of)


@settings(max_examples=30, deadline=None)
@given(histories(keyed=False), _VERSIONS)
def test_multisets_read_as_they_replay(lines: list[Line], as_of: Version | None) -> None:
    _both(lines, keyed=False, as_of=as_of)
