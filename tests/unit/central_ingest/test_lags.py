"""Times from commit to landed: shares of rows within the step that they fall into, of the last minutes alone."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from central_ingest.lags import STEPS, WINDOW_SECONDS, Lags
from protocol.change import TIME
from protocol.names import Stream

HIS, LIS = Stream("441900-00001", "his"), Stream("441900-00001", "lis")
LANDED = 1_700_000_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def committed(*seconds: float | None) -> pa.ChunkedArray:
    times = [None if s is None else LANDED - round(s * 1e6) for s in seconds]
    return pa.chunked_array([pa.array(times, pa.int64()).cast(TIME)])


@given(st.lists(st.floats(0.002, 1e6), min_size=1, max_size=60))
def test_a_share_is_that_of_the_sorted_times_to_a_step(seconds: list[float]) -> None:
    lags = Lags(Clock())
    lags.note(HIS, committed(*seconds), LANDED)
    found = lags.of(HIS)
    assert found is not None
    assert found.rows == len(seconds)
    for share, told in ((0.5, found.p50_seconds), (0.99, found.p99_seconds)):
        exact = sorted(seconds)[math.ceil(len(seconds) * share) - 1]
        assert exact * 0.93 <= told <= exact * 2 ** (1 / STEPS) * 1.07


def test_rows_of_scans_say_nothing_and_streams_stand_apart() -> None:
    lags = Lags(Clock())
    lags.note(HIS, committed(None, None), LANDED)
    assert lags.of(HIS) is None
    lags.note(HIS, committed(None, 0.5), LANDED)
    found = lags.of(HIS)
    assert found is not None
    assert found.rows == 1
    assert lags.of(LIS) is None


def test_a_clock_that_is_ahead_counts_as_no_time() -> None:
    lags = Lags(Clock())
    lags.note(HIS, committed(-30.0), LANDED)
    found = lags.of(HIS)
    assert found is not None
    assert found.p99_seconds == pytest.approx(0.001, rel=0.2)


@pytest.mark.parametrize(("windows", "rows"), [(0.9, 1), (1.1, 1), (1.9, 1), (2.1, None), (50.0, None)])
def test_what_was_long_ago_is_forgotten(windows: float, rows: int | None) -> None:
    clock = Clock()
    lags = Lags(clock)
    lags.note(HIS, committed(0.5), LANDED)
    clock.now += windows * WINDOW_SECONDS
    found = lags.of(HIS)
    assert (found and found.rows) == rows
