"""Which files are joined: bounds that hold whatever the sizes are, and what a day of commits comes to."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from central_ingest.landing.compaction import ENOUGH_BYTES, FAN_IN, TARGET_BYTES, plan
from central_ingest.landing.tablestate import LiveFile

TODAY, OVER = "2026-11-27", "2026-11-26"
KIB, MIB = 1 << 10, 1 << 20
SMALLEST = 4 * KIB


def a_file(number: int, size: int, date: str = OVER, **partition: str) -> LiveFile:
    stats = {"minValues": {"_gc_epoch": 1, "_gc_seq": number}}
    return LiveFile(f"f{number}", size, 1, {"_gc_date": date, **partition}, stats, 0)


def joined(files: list[LiveFile], date: str, today: str) -> list[LiveFile]:
    """One visit: the files afterwards."""
    for join in plan(files, today):
        files = [one for one in files if one not in join]
        files.append(a_file(int(join[0].path[1:]), sum(one.size for one in join), date))
    return files


sizes = st.lists(st.one_of(st.integers(SMALLEST, 80 * MIB), st.integers(SMALLEST, 300 * KIB)), max_size=80)


@given(sizes, st.sampled_from([TODAY, OVER]))
def test_a_join_fits_the_target_and_at_least_doubles_each_of_its_files(sizes: list[int], date: str) -> None:
    files = [a_file(n, size, date) for n, size in enumerate(sizes)]
    met: set[str] = set()
    for join in plan(files, TODAY):
        total = sum(one.size for one in join)
        assert len(join) >= 2
        assert 2 * max(one.size for one in join) <= total <= TARGET_BYTES
        assert [one.path for one in join] == sorted(
            (one.path for one in join), key=lambda name: int(name[1:])
        )
        assert met.isdisjoint(one.path for one in join)
        met |= {one.path for one in join}


@given(sizes)
def test_a_day_that_is_over_comes_to_rest_with_few_files(sizes: list[int]) -> None:
    """At rest nothing is planned any more: whoever visits once a month finds nothing to do."""
    files = [a_file(n, size) for n, size in enumerate(sizes)]
    for _ in range(len(files) + 1):
        files = joined(files, OVER, TODAY)
    assert plan(files, TODAY) == []
    doublings = math.log2(ENOUGH_BYTES / SMALLEST)
    assert (
        len(files)
        <= 2 * sum(sizes) / (TARGET_BYTES / 2) + len([s for s in sizes if s >= ENOUGH_BYTES]) + doublings
    )


def test_days_and_tables_of_others_are_left_apart() -> None:
    days = [a_file(n, MIB, day) for n, day in enumerate([OVER, "2026-11-25", OVER, "2026-11-25", TODAY])]
    assert [{one.partition["_gc_date"] for one in join} for join in plan(days, TODAY)] == [
        {"2026-11-25"},
        {OVER},
    ]
    assert plan([a_file(n, MIB, OVER, bucket="1") for n in range(20)], TODAY) == []
    assert plan([LiveFile(f"f{n}", MIB, 1, {}, {}, 0) for n in range(20)], TODAY) == []


def test_todays_files_wait_until_a_tier_is_full() -> None:
    assert plan([a_file(n, 10 * KIB, TODAY) for n in range(FAN_IN - 1)], TODAY) == []
    (join,) = plan([a_file(n, 10 * KIB, TODAY) for n in range(FAN_IN)], TODAY)
    assert len(join) == FAN_IN


def test_a_day_of_commits_is_rewritten_twice_and_leaves_few_files() -> None:
    """20,000 commits of 10 KiB, visited after every 100 of them: bytes written over bytes that came."""
    files: list[LiveFile] = []
    written = most = 0
    for number in range(6_000):
        files.append(a_file(number, 10 * KIB, TODAY))
        if number % 100 == 99:
            written += sum(one.size for join in plan(files, TODAY) for one in join)
            files = joined(files, TODAY, TODAY)
            most = max(most, len(files))
    assert most < 3 * FAN_IN + 10
    assert written / (6_000 * 10 * KIB) < 2.1
    files = [a_file(int(one.path[1:]), one.size) for one in files]
    files = joined(files, OVER, TODAY)
    assert len(files) <= 6_000 * 10 * KIB / ENOUGH_BYTES
