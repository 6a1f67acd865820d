"""How long to rest, in virtual time: over any load the three bounds hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.capture.pacing import BACK_OFF_MAX, SAMPLES, SAMPLES_MIN, Pacing

seconds = st.floats(0.0001, 60.0)
rows = st.integers(0, 100_000)


@given(share=st.floats(0.01, 1.0), steps=st.lists(st.tuples(seconds, rows), min_size=1, max_size=50))
def test_our_statements_run_no_larger_share_of_the_time(share: float, steps: list[tuple[float, int]]) -> None:
    pacing = Pacing(share, 0)
    worked = sum(one for one, _ in steps)
    rested = sum(pacing.rest("scan", one, count) for one, count in steps)
    assert worked <= share * (worked + rested) * (1 + 1e-9)


@given(rate=st.integers(1, 50_000), steps=st.lists(st.tuples(seconds, rows), min_size=1, max_size=50))
def test_no_more_rows_a_second_are_read(rate: int, steps: list[tuple[float, int]]) -> None:
    pacing = Pacing(1.0, rate)
    time = sum(one + pacing.rest("scan", one, count) for one, count in steps)
    assert sum(count for _, count in steps) <= rate * time * (1 + 1e-9)


def test_a_source_that_becomes_slow_is_rested_for_until_that_is_how_it_is() -> None:
    pacing = Pacing(1.0, 0)
    assert [pacing.rest("visit", 0.1, 10_000) for _ in range(SAMPLES)] == [0.0] * SAMPLES
    assert pacing.rest("visit", 0.2, 10_000) == 0.0
    assert pacing.rest("visit", 0.5, 10_000) == 0.5 * 5
    assert pacing.rest("visit", 60.0, 10_000) == 60.0 * BACK_OFF_MAX
    assert pacing.rest("other table", 60.0, 10_000) == 0.0
    assert pacing.rest("visit", 60.0, 10) == 0.0, "another size of page tells nothing"
    rests = [pacing.rest("visit", 0.5, 10_000) for _ in range(SAMPLES)]
    assert rests[0] > 0
    assert rests[-1] == 0.0


def test_what_is_fast_is_never_slow_and_few_samples_say_nothing() -> None:
    pacing = Pacing(1.0, 0)
    for _ in range(SAMPLES_MIN - 1):
        pacing.rest("scan", 0.001, 100)
    assert pacing.rest("scan", 10.0, 100) == 0.0
    assert Pacing(1.0, 0).rest("scan", 0.0, 0) == 0.0
    for _ in range(SAMPLES):
        pacing.rest("poll", 0.001, 1)
    assert pacing.rest("poll", 0.04, 1) == 0.0, "forty times slower, and still nothing to anybody"


def test_the_longest_rest_counts() -> None:
    assert Pacing(0.25, 0).rest("scan", 1.0, 10_000) == 3.0
    assert Pacing(0.25, 1_000).rest("scan", 1.0, 10_000) == 9.0
    assert Pacing(0.25, 1_000_000).rest("scan", 1.0, 10_000) == 3.0
