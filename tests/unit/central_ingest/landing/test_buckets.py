"""Every place has one bucket, and rows come out of a spill as they went in, sorted apart."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing import spill as spills
from central_ingest.landing.buckets import Bucket, Sorter, covering, even, places, within
from central_ingest.landing.spill import clear, spilling

KEYS = [b"", b"a", b"\x00\x01rest", b"\xff\xffend", b"\x7f\xff", b"\x80\x00", b"zz" * 8]


def _rows(*keys: bytes) -> pa.Table:
    return pa.table({"_gc_key": pa.array(keys, pa.binary()), "n": pa.array(range(len(keys)), pa.int64())})


def test_a_place_is_the_first_two_bytes() -> None:
    found = places(_rows(*KEYS).column("_gc_key")).to_pylist()
    assert found == [0, 0x6100, 1, 0xFFFF, 0x7FFF, 0x8000, 0x7A7A]


def test_names_say_the_range_and_nothing_else_is_a_name() -> None:
    assert Bucket.named(Bucket(1, 0xABCD).name) == Bucket(1, 0xABCD)
    assert Bucket().name == "base-0000-ffff"
    assert [Bucket.named(text) for text in ("tail", "", "base-0-1", "base-0000-ffff ")] == [None] * 4


def test_a_bucket_halves_until_one_place_is_left() -> None:
    assert Bucket().halves() == (Bucket(0, 0x7FFF), Bucket(0x8000))
    assert Bucket(7, 8).halves() == (Bucket(7, 7), Bucket(8, 8))
    assert Bucket(7, 7).halves() is None


_SOME = st.integers(1, 300).map(even) | st.sets(st.integers(0, 0xFFFF), max_size=9).map(
    lambda firsts: covering(Bucket(first, first) for first in firsts)
)


@settings(max_examples=30, deadline=None)
@given(_SOME, st.lists(st.binary(max_size=3) | st.binary(min_size=16, max_size=16)))
def test_each_row_comes_to_the_one_bucket_that_holds_its_place(
    buckets: list[Bucket], keys: list[bytes]
) -> None:
    assert [one.first for one in buckets[1:]] == [one.last + 1 for one in buckets[:-1]]
    assert (buckets[0].first, buckets[-1].last) == (0, 0xFFFF)
    rows = _rows(*keys)
    found = {number: part["n"].to_pylist() for number, part in Sorter(buckets).sort(rows) if part.num_rows}
    expected = {i: within(rows, one)["n"].to_pylist() for i, one in enumerate(buckets)}
    assert found == {i: rows for i, rows in expected.items() if rows}
    assert sorted(n for part in found.values() for n in part) == list(range(len(keys)))


@pytest.mark.parametrize("held", [0, 1 << 20], ids=["on disk", "in memory"])
def test_a_spill_gives_each_bucket_its_rows_in_order_and_leaves_nothing(
    tmp_path: Path, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spills, "_HELD_BYTES", held)
    with spilling(tmp_path / "scratch", even(2)) as spill:
        for rows in (_rows(b"\x00a", b"\x90b"), _rows(), _rows(b"\x91c", b"\x01d")):
            spill.add(rows)
        found = {number: spill.rows(number) for number in spill.numbers()}
        assert {n: rows and rows["_gc_key"].to_pylist() for n, rows in found.items()} == {
            0: [b"\x00a", b"\x01d"],
            1: [b"\x90b", b"\x91c"],
        }
        assert any((tmp_path / "scratch").iterdir())
    assert not any((tmp_path / "scratch").iterdir())


def test_what_a_killed_process_left_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "spill-x").mkdir()
    (tmp_path / "spill-x" / "0.arrows").write_bytes(b"rows")
    (tmp_path / "other").mkdir()
    clear(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["other"]
