"""Commands from the centre in virtual time: said until answered, obeyed once, whatever is lost and whoever dies.

What a witness of commands convicts of stands in `obedience`; here are the courses that chance would seldom take.
"""

from __future__ import annotations

from functools import partial

import pytest

from protocol import messages
from protocol.messages import MessageType
from protocol.names import Stream
from tests.unit.edge_agent.capture.tables import VISIT

from .centre import SITE
from .clock import loop
from .edge import COMMANDS
from .operators import ask
from .test_machines import day, die, live_through
from .world import World

HIS = Stream(SITE, "his")
AGAIN_SECONDS = 30.0
TIMES = 4
MOMENTS = 12
"""More than one command is obeyed in: the clock, the draft of the orders file, its name, its directory."""


def state(world: World, id: str | None) -> str:
    assert world.centre.ledger is not None
    (one,) = (one for one in world.centre.ledger.commands.all() if one.id == id)
    return one.state(loop().wall())


def is_a(kind: MessageType, payload: bytes) -> bool:
    return messages.is_message(payload) and messages.parse(payload).type is kind


def test_a_command_is_said_until_its_answer_arrives_and_obeyed_once() -> None:
    async def script(world: World) -> None:
        world.air.swallows = lambda payload: is_a(MessageType.ANSWER, payload)
        id, began = ask(world, HIS, "snapshot", str(VISIT)), len(world.obedience.said)
        await world.let(TIMES * AGAIN_SECONDS * 1.5)  # the daemon looks when somebody has spoken
        assert len(world.obedience.said) - began >= TIMES
        assert state(world, id) == "sent"
        assert world.obedience.effects == 1
        world.air.swallows = lambda payload: False
        await world.let(2 * AGAIN_SECONDS)
        assert state(world, id) == "done"
        assert world.obedience.effects == 1

    live_through(script)


def test_a_command_waits_for_an_agent_that_is_away() -> None:
    async def script(world: World) -> None:
        await world.edge.stop()
        id = ask(world, HIS, "snapshot")
        await world.let(10 * AGAIN_SECONDS)
        assert state(world, id) != "done"
        world.edge.start()
        await world.let(2 * AGAIN_SECONDS)
        assert state(world, id) == "done"

    live_through(script)


def test_a_paused_source_rests_over_restarts_and_a_lost_spool() -> None:
    async def script(world: World) -> None:
        id = ask(world, HIS, "pause")
        await world.let(2 * AGAIN_SECONDS)
        assert state(world, id) == "done"
        head = world.witness.book.heads[HIS]
        await day(world)
        await die(world, lambda: None)
        await die(world, world.edge.lose_spool)
        await day(world)
        assert world.witness.book.heads[HIS] == head, "nothing was read"
        ask(world, HIS, "resume")
        await day(world, seconds=100.0)
        assert world.witness.book.heads[HIS] > head

    live_through(script)


def test_what_the_hospital_does_not_allow_has_no_effect() -> None:
    async def script(world: World) -> None:
        ids = [ask(world, HIS, name) for name in COMMANDS]
        await world.let(2 * AGAIN_SECONDS)
        assert [state(world, id) for id in ids] == ["refused", "done", "refused"]
        assert world.obedience.effects == 1

    live_through(script, allow=("pause",))


def test_what_was_said_in_an_older_epoch_or_by_an_older_ledger_does_nothing_again() -> None:
    async def script(world: World) -> None:
        backup = world.root / "backup of the centre"
        id = ask(world, HIS, "pause")
        await world.centre.stop()
        world.centre.back_up(backup)
        world.centre.start()
        await world.let(2 * AGAIN_SECONDS)
        ask(world, HIS, "resume")
        await world.let(2 * AGAIN_SECONDS)
        await die(world, world.edge.lose_spool)
        for topic, payload in list(world.obedience.said):
            world.air.inject(topic, payload)
        await world.let(5.0)
        await world.centre.stop()
        world.centre.lose_ledger(backup)
        world.centre.start()
        await world.let(4 * AGAIN_SECONDS)
        assert world.obedience.effects == 2
        assert world.edge.orders is not None
        assert not world.edge.orders.book.pauses
        assert state(world, id) == "done", "the older ledger has its answer, too"

    live_through(script)


@pytest.mark.parametrize("name", ["snapshot", "pause"])
def test_an_agent_may_die_at_every_moment_of_obeying(name: str) -> None:
    async def script(world: World) -> None:
        deaths: list[int] = []

        def dies(moment: int) -> None:
            world.obedience.hears = lambda: None
            deaths.append(moment)
            world.edge.kill(moment, 1.0, power=True)

        for moment in range(1, MOMENTS):
            began = world.obedience.effects
            world.obedience.hears = partial(dies, moment)
            id = ask(world, HIS, name, str(VISIT) if name == "snapshot" else None)
            await world.let(3 * AGAIN_SECONDS)
            assert state(world, id) == "done"
            assert world.obedience.effects == began + 1
            world.edge.resume("his")
        assert deaths == list(range(1, MOMENTS))
        assert world.edge.deaths == len(deaths)

    live_through(script)
