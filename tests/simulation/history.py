"""One history: a plan is lived through in a world, then all comes to rest and everything is compared."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from .centre import Centre
from .clock import loop, play
from .misfortunes import befall
from .operators import operate
from .plan import Happening, Plan, draw
from .world import World

DISK_ROOM_BYTES = 500


@dataclass(frozen=True)
class Report:
    """What a history amounted to. `trace` is the same whenever the seed is."""

    seed: int
    trace: str
    deaths: int
    power_cuts: int
    faults: int
    changes: int
    envelopes: int
    receipts: int
    rows_checked: int
    repairs: int
    virtual_seconds: float


class Failed(AssertionError):
    """A promise was broken; says how to see it again."""


def run(seed: int) -> Report:
    """Raises Failed."""
    plan = draw(seed)
    try:
        return play(lambda: _live(plan), seed)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        said = innermost(error)
        raise Failed(
            f"seed {seed}: {said}\nagain: python -m tests.simulation --seed {seed}\n{plan}"
        ) from error


def innermost(error: BaseException) -> str:
    """Of a group the first that is no mere end of the others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


async def _live(plan: Plan) -> Report:
    with World(
        plan.seed,
        plan.slugs,
        spool_bytes_max=plan.spool_bytes_max,
        keep_receipted_bytes=plan.keep_receipted_bytes,
        allow=plan.allow,
        quarantine_bytes_max=plan.quarantine_bytes_max,
        mends=plan.mends,
    ) as world:
        try:
            await world.begin()
            world.air.faults = plan.faults
            for one in plan.happenings:
                await world.let(one.after_seconds)
                world.note(one.kind)
                await _happen(world, one)
            await world.let(1.0)
            await world.settle()
            await world.end()
        except BaseException:
            await world.abandon()
            raise
        machines = [world.centre, world.edge, *world.retired]
        return Report(
            plan.seed,
            world.trace.hexdigest(),
            sum(machine.deaths for machine in machines),
            sum(machine.power_cuts for machine in machines),
            len(plan.happenings),
            world.hospital.changes,
            len(world.witness.book.entries),
            world.witness.receipts,
            world.witness.rows_checked,
            world.witness.repairs,
            loop().time(),
        )


async def _happen(world: World, one: Happening) -> None:
    if await befall(world, one):
        return
    await _to_machines(world, one)
    _to_stores(world.centre, one)
    operate(world, one)
    _to_hospital(world, one)


async def _to_machines(world: World, one: Happening) -> None:
    match one.kind:
        case "kill edge":
            world.edge.kill(one.number, one.down_seconds)
        case "kill centre":
            world.centre.kill(one.number, one.down_seconds)
        case "power cut":
            machine = world.centre if one.number % 4 else world.edge
            machine.kill(one.number, one.down_seconds, power=True)
        case "stop edge" | "stop centre":
            machine = world.edge if one.kind == "stop edge" else world.centre
            await machine.stop()
            await asyncio.sleep(one.down_seconds)
            machine.start()
        case "cut link":
            world.air.cut((world.edge if one.number % 2 else world.centre).client_id)
        case "kill broker":
            world.air.stop()
            await asyncio.sleep(one.down_seconds)
            world.air.start()


def _to_stores(centre: Centre, one: Happening) -> None:
    disk, number = centre.disk, one.number
    match one.kind:
        case "disk full":
            disk.room = DISK_ROOM_BYTES if disk.room is None else None
        case "disk fails":
            disk.sync_failures += number % 2
            disk.truncate_failures += number % 3 // 2
            disk.directory_sync_failures += number % 5 // 4
        case "lake fails":
            centre.lake.plan += [("before", "after", "")[(number + i) % 3] for i in range(4)]


def _to_hospital(world: World, one: Happening) -> None:
    match one.kind:
        case "live":
            for _ in range(one.number):
                world.hospital.live()
        case "source away":
            world.hospital.away ^= {world.edge.slugs[one.number % len(world.edge.slugs)]}
        case "alter":
            world.hospital.alter()
        case "drop":
            world.hospital.drop()
        case "empty":
            world.hospital.empty()
        case "confirm":
            world.edge.confirm()
        case "snapshot":
            world.edge.want_snapshot()
