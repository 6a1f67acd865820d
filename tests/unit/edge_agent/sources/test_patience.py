"""Patience: a silence is broken off once, an answer in time never, and after its end nothing is waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edge_agent.sources.patience import Patience, Silent

TICK = 0.05


class Time:
    """Jumps as soon as the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def patience(time: Time) -> Iterator[Patience]:
    made = Patience(TICK, time)
    yield made
    made.end()


def test_a_silence_is_broken_off(patience: Patience, time: Time) -> None:
    broken = threading.Event()
    with pytest.raises(Silent), patience.with_(broken.set):  # noqa: PT012 (the wait is what is silent)
        time.now += 1
        assert broken.wait(5)
        raise OSError("as a driver would")
    with patience.with_(pytest.fail):
        pass


def test_an_answer_in_time_is_none_of_its_business(patience: Patience, time: Time) -> None:
    for _ in range(3):
        with patience.with_(pytest.fail):
            time.now += TICK / 2
    time.now += 1
    with pytest.raises(ValueError, match="ours"), patience.with_(pytest.fail):
        raise ValueError("ours")


def test_its_end_breaks_off_what_waits_and_what_will(patience: Patience) -> None:
    broken: list[str] = []
    with pytest.raises(OSError, match="broken"), patience.with_(lambda: broken.append("first")):  # noqa: PT012
        patience.end()
        raise OSError("broken")
    assert broken == ["first"]
    with pytest.raises(Silent), patience.with_(lambda: broken.append("second")):
        pytest.fail("nothing is waited for")
    assert broken == ["first", "second"]
