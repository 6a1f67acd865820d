"""What becomes of a machine's disk, as happenings of a random plan: lost, restored, rotten, copied, replaced.

A machine dies, its disk suffers, it comes back. Which promises still bind afterwards the witness knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from protocol.errors import Permanent, Transient

from .machine import Machine
from .plan import Happening
from .world import World

RETRY_SECONDS = 5.0
COPY_SECONDS = 30.0


async def befall(world: World, one: Happening) -> bool:
    """Whether it was a misfortune."""
    what = MISFORTUNES.get(one.kind)
    if what is not None:
        await what(world, one)
    return what is not None


async def _down(machine: Machine, one: Happening, suffer: Callable[[], None]) -> None:
    machine.kill()
    await machine.stop()
    suffer()
    await asyncio.sleep(one.down_seconds)
    machine.start()


async def _back_up(world: World, one: Happening) -> None:
    place = world.root / f"backup {world.number()}"

    def edge() -> None:
        world.edge.back_up(place)
        world.edge.backup = place

    def centre() -> None:
        world.centre.backup = place, world.centre.back_up(place)

    of_edge = bool(one.number % 2)
    await _down(world.edge if of_edge else world.centre, one, edge if of_edge else centre)


async def _old_edge(world: World, one: Happening) -> None:
    backup = world.edge.backup
    if backup is not None:
        world.forget()
        await _down(world.edge, one, lambda: world.edge.restore(backup))


async def _lost_spool(world: World, one: Happening) -> None:
    world.forget()
    await _down(world.edge, one, world.edge.lose_spool)


async def _old_centre(world: World, one: Happening) -> None:
    """All of it, or a part under the others."""
    if world.centre.backup is None:
        return
    (place, lake), centre = world.centre.backup, world.centre
    parts: list[Callable[[], None]] = [
        lambda: centre.restore(place, lake.copy()),
        lambda: centre.lose_ledger(place),
        lambda: centre.lose_journal(place / "journal"),
        lambda: centre.lose_lake(lake.copy()),
    ]
    await _down(centre, one, parts[one.number % len(parts)])


async def _lost_part(world: World, one: Happening) -> None:
    centre = world.centre
    parts: list[Callable[[], None]] = [centre.lose_ledger, centre.lose_journal, centre.lose_lake]
    await _down(centre, one, parts[one.number % len(parts)])


async def _rot(world: World, one: Happening) -> None:
    await _down(world.centre, one, world.centre.rot)


async def _copy(world: World, one: Happening) -> None:
    """The machine's image runs beside it for a while."""
    image = world.root / f"image {world.number()}"
    await _down(world.edge, one, lambda: world.edge.back_up(image))
    copy = world.another_edge("copy")
    copy.restore(image)
    copy.start()
    await asyncio.sleep(COPY_SECONDS)
    await copy.stop()


async def _revoke(world: World, agent: str) -> None:
    """A ledger that was just lost knows nobody until the centre runs: the command line says so, and is asked again."""
    known = False
    while not known:
        ledger = world.centre.open_ledger()
        if known := any(one.id == agent for one in ledger.agents()):
            ledger.revoke(agent, 1)
        ledger.close()
        if not known:
            await asyncio.sleep(RETRY_SECONDS)


async def _replace(world: World, one: Happening) -> None:
    """The old machine is revoked; another one takes over its sources."""
    world.forget()
    world.edge.kill()
    await world.edge.stop()
    world.centre.backup = None  # one in which the new machine is unknown would need people again
    world.mend_disk()
    await _revoke(world, world.edge.state.identity().agent)
    edge = world.another_edge("edge")
    token = world.centre.invite()
    while True:
        try:
            await edge.enrol(token)
            break
        except (Permanent, Transient):
            world.mend_disk()
            await asyncio.sleep(RETRY_SECONDS)
    world.retire(edge)
    edge.start()


MISFORTUNES: dict[str, Callable[[World, Happening], Awaitable[None]]] = {
    "back up": _back_up,
    "old edge": _old_edge,
    "lost spool": _lost_spool,
    "old centre": _old_centre,
    "lost part of the centre": _lost_part,
    "rot": _rot,
    "copy": _copy,
    "replace": _replace,
}
