"""What people at the centre and at the hospital's own command line ask for, as happenings of a random plan.

They write where the command lines write, whether or not anything runs there. Replays are somebody's who has heard
what the centre once said, in whatever epoch.
"""

from __future__ import annotations

from central_ingest.ledger.commands import new_command
from protocol.names import Stream

from .centre import SITE
from .clock import loop
from .edge import COMMANDS
from .hospital import SOURCES
from .plan import Happening
from .world import World

LIFETIMES_SECONDS = (20, 86_400, 86_400)


def operate(world: World, one: Happening) -> None:
    """Do it, if it is theirs."""
    match one.kind:
        case "command":
            command(world, one.number)
        case "replay" if world.obedience.said:
            world.air.inject(*world.obedience.said[one.number % len(world.obedience.said)])
        case "pause here":
            slug = world.edge.slugs[one.number % len(world.edge.slugs)]
            (world.edge.pause if one.number % 3 else world.edge.resume)(slug)
        case "poison":
            poison(world, one.number)
        case "mend":
            world.centre.lake.mend()
            world.centre.locks.mend()
        case "retry parked" | "drop parked":
            decide(world, one.kind.split()[0], one.number)


def poison(world: World, number: int) -> None:
    """From now on something cannot land: a table, one envelope of a table, or what one envelope says."""
    centre = world.centre
    paths = sorted(centre.lake.tables())
    match number % 3:
        case 0:
            centre.locks.shut_next = True
        case 1 if paths:
            centre.lake.refused.add(paths[number // 3 % len(paths)])
        case 2 if paths:
            centre.lake.poisoned.setdefault(paths[number // 3 % len(paths)], set())


def decide(world: World, what: str, number: int) -> None:
    """As `central-ingest quarantine retry | drop` does, about one thing that is parked. Before, somebody looks
    whether anything else is behind."""
    centre, lander = world.centre, world.centre.lander
    ledger = centre.ledger
    if ledger is None or lander is None:
        return
    if not lander.backlog_bytes and not lander.pending_rows and lander.fault is None:
        world.witness.rests(centre.lake, ledger, centre.shelves)
    if held := ledger.quarantine.held():
        ledger.quarantine.ask(held[number % len(held)].id, what, "wang", loop().wall())


def command(world: World, number: int) -> str | None:
    """As `central-ingest command` does: asked of whoever holds the stream. Its id; None where nobody holds it."""
    name = (*COMMANDS, "snapshot")[number % 4]
    slug = world.edge.slugs[number // 4 % len(world.edge.slugs)]
    tables = [None, *map(str, SOURCES[slug]), "nowhere"]
    table = tables[number % len(tables)] if name == "snapshot" else None
    lifetime = LIFETIMES_SECONDS[number % len(LIFETIMES_SECONDS)] * 1_000_000
    return ask(world, Stream(SITE, slug), name, table, lifetime)


def ask(
    world: World, stream: Stream, name: str, table: str | None = None, lifetime: int = 86_400_000_000
) -> str | None:
    ledger = world.centre.open_ledger()
    try:
        holders = [one.agent for one in ledger.streams() if one.stream == stream]
        if not holders:
            return None
        record = new_command(stream, holders[0], name, table, "wang", loop().wall(), lifetime)
        ledger.commands.add(record)
        return record.id
    finally:
        if world.centre.ledger is None:
            ledger.close()
