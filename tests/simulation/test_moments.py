"""One short history, and a death at every moment of it, in turn: before and after every write of either end.

Random seeds meet most moments; this meets all of them. Each death is a power cut (what was not synced is lost, or
a part of it), and after each everything that is there has arrived, once.
"""

from __future__ import annotations

import pytest

from .clock import play
from .machine import Machine
from .world import World

PARTS = 8
"""Each test takes every eighth moment, so that a failure is found near."""


def live(end: str, at: int) -> int:
    """Returns how many moments the machine has lived through."""

    async def main() -> int:
        with World("moments", ("lis",), keep_receipted_bytes=0) as world:
            machine: Machine = world.edge if end == "edge" else world.centre
            try:
                if at:
                    machine.kill(at, 1.0, power=True)
                await world.begin()
                world.hospital.quiet = True
                await world.let(4.0)
                for _ in range(3):
                    world.hospital.live()
                await world.let(4.0)
                moments = machine.moments
                await world.settle()
                await world.end()
            except BaseException:
                await world.abandon()
                raise
            return moments

    return play(main, "moments")


@pytest.fixture(scope="module", params=["edge", "centre"])
def end_and_moments(request: pytest.FixtureRequest) -> tuple[str, int]:
    return request.param, live(request.param, 0)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_death_at_every_moment(end_and_moments: tuple[str, int], part: int) -> None:
    end, moments = end_and_moments
    assert moments > 50
    for at in range(1 + part, moments, PARTS):
        try:
            live(end, at)
        except BaseException as error:
            raise AssertionError(f"{end}, moment {at}") from error
