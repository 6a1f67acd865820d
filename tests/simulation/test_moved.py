"""A source that moves to another agent (landing.md §1) while the first one runs and has more to say."""

from __future__ import annotations

import pytest

from central_ingest.grants import give
from protocol import messages
from protocol.envelope import parse
from protocol.names import Stream

from .centre import SITE
from .clock import loop
from .edge import Edge
from .test_machines import day, epochs, live_through
from .world import World

HIS = Stream(SITE, "his")
TAKEN_OVER_SECONDS = 60.0


def swallow(world: World, epoch: int) -> None:
    """The line loses what is sent in this epoch; the rest goes through."""
    world.air.swallows = lambda payload: (
        not messages.is_message(payload) and parse(payload).header.epoch == epoch
    )


def move(world: World, to: Edge) -> int:
    """As `central-ingest move` does."""
    assert world.centre.ledger is not None
    return give(world.centre.ledger, HIS, to.state.identity().agent, loop().wall())


def unreceipted(edge: Edge) -> int:
    assert edge.spool is not None
    state = edge.spool.stream(HIS)
    assert state is not None
    return state.head_seq - state.receipted_seq


def holder(world: World) -> str:
    assert world.centre.roster is not None
    tenure = world.centre.roster.tenure(HIS)
    assert tenure is not None
    return tenure.agent


async def take_over(world: World, former: Edge, new: Edge, caplog: pytest.LogCaptureFixture) -> None:
    """`former` has envelopes that nobody receipted when the stream is moved to `new`."""
    (epoch,) = epochs(world)
    swallow(world, epoch)
    await day(world)
    dropped = unreceipted(former)
    assert dropped > 0
    caplog.clear()
    granted = move(world, new)
    await day(world, seconds=TAKEN_OVER_SECONDS)
    world.air.swallows = lambda payload: False
    await day(world)
    assert epochs(world) == {granted}
    assert holder(world) == new.state.identity().agent
    assert unreceipted(new) == 0
    said = [one.getMessage() for one in caplog.records]
    assert f"{HIS} stops in this epoch: GC-3007" in said
    assert any(one.endswith("envelopes of the old epoch were dropped") for one in said)


@pytest.mark.parametrize("back", [False, True], ids=["for good", "and back"])
def test_a_source_moves_to_another_agent(back: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def script(world: World) -> None:
        first, second = world.edge, world.another_edge("second")
        await second.enrol(world.centre.invite())
        second.start()
        await day(world)
        assert epochs(world) == {1}, "it is held: no grant, no capture"
        await take_over(world, first, second, caplog)
        if back:
            await take_over(world, second, first, caplog)
        last = first if back else second
        for edge in {first, second} - {last}:
            await edge.stop()
        world.edge = last

    with caplog.at_level("INFO"):
        live_through(script)


@pytest.mark.parametrize("who", ["centre", "first", "second"])
def test_whoever_dies_while_a_source_moves(who: str) -> None:
    async def script(world: World) -> None:
        first, second = world.edge, world.another_edge("second")
        await second.enrol(world.centre.invite())
        second.start()
        machines = {"centre": world.centre, "first": first, "second": second}
        for moment, to in enumerate([second, first]):
            move(world, to)
            machines[who].kill(1 + 20 * moment, 1.0, power=True)
            await day(world, seconds=2 * TAKEN_OVER_SECONDS)
            assert holder(world) == to.state.identity().agent
        await second.stop()

    live_through(script)
