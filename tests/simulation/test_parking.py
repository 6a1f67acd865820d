"""What is authentic and cannot land, in virtual time: set aside in order, retried or dropped, nobody else delayed.

Every course ends with source and lake compared per key, nothing parked, and every gap healed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.names import Stream
from tests.unit.edge_agent.capture.tables import ITEM, VISIT

from .centre import SITE
from .clock import loop
from .test_machines import day, live_through
from .world import World

HIS = Stream(SITE, "his")
SHORT_SECONDS = 60.0
MOMENTS = range(1, 40, 3)
Poison = Callable[[World], None]


def path_of(world: World, table: object) -> str:
    assert world.centre.ledger is not None
    return next(one.path for one in world.centre.ledger.lake_tables() if one.table == table)


def an_envelope(world: World) -> None:
    world.centre.lake.poisoned[path_of(world, VISIT)] = set()


def a_table(world: World) -> None:
    world.centre.lake.refused.add(path_of(world, VISIT))


def a_lock(world: World) -> None:
    world.centre.locks.shut_next = True


def ask(world: World, what: str) -> None:
    assert world.centre.ledger is not None
    book = world.centre.ledger.quarantine
    for held in book.held():
        book.ask(held.id, what, "wang", loop().wall())


def mend(world: World) -> None:
    world.centre.lake.mend()
    world.centre.locks.mend()


async def park(world: World, poison: Poison) -> None:
    """Something is parked, and the hospital works on."""
    poison(world)
    await day(world, 30)
    assert world.centre.ledger is not None
    assert len(world.centre.ledger.quarantine.held()) == 1
    await rest(world)


async def rest(world: World) -> None:
    """Nothing else is behind."""
    centre = world.centre
    world.hospital.quiet = True
    await world.let(10.0)
    assert centre.ledger is not None
    assert centre.lander is not None
    assert not centre.lander.backlog_bytes
    assert not centre.lander.pending_rows
    world.witness.rests(centre.lake, centre.ledger, centre.shelves)
    world.hospital.quiet = False


@pytest.mark.parametrize("poison", [an_envelope, a_table, a_lock])
def test_a_retry_lands_all_of_it_in_order_once_it_can(poison: Poison) -> None:
    async def script(world: World) -> None:
        await park(world, poison)
        ask(world, "retry")
        await day(world)
        assert world.centre.ledger is not None
        (held,) = world.centre.ledger.quarantine.held()  # it still cannot
        assert held.envelopes > 1
        mend(world)
        ask(world, "retry")
        await day(world)
        assert world.centre.ledger.quarantine.held() == []
        assert world.centre.ledger.quarantine.gaps() == []

    live_through(script)


@pytest.mark.parametrize("poison", [an_envelope, a_lock])
def test_a_drop_is_healed_by_what_it_orders_though_nothing_was_mended(poison: Poison) -> None:
    async def script(world: World) -> None:
        await park(world, poison)
        ask(world, "drop")
        await world.let(2 * SHORT_SECONDS)
        assert world.centre.ledger is not None
        gaps = world.centre.ledger.quarantine.gaps()
        assert gaps
        assert all(gap.healed is not None for gap in gaps)

    live_through(script, mends=False)


def test_a_drop_is_healed_by_the_hospital_where_the_centre_may_not_ask() -> None:
    async def script(world: World) -> None:
        await park(world, an_envelope)
        ask(world, "drop")
        await world.let(2 * SHORT_SECONDS)
        assert world.centre.ledger is not None
        (gap,) = world.centre.ledger.quarantine.gaps()
        assert gap.healed is None

    live_through(script, allow=(), mends=False)


def test_beyond_its_limit_it_is_dropped_and_healed() -> None:
    async def script(world: World) -> None:
        an_envelope(world)
        await day(world, 60)
        await world.let(2 * SHORT_SECONDS)
        assert world.centre.ledger is not None
        (gap,) = world.centre.ledger.quarantine.gaps()
        assert (gap.who, gap.healed is None) == ("the size limit", False)

    live_through(script, quarantine_bytes_max=4_000)


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("what", ["retry", "drop"])
def test_the_centre_may_die_at_any_moment_of_a_decision(what: str, power: bool) -> None:
    async def script(world: World) -> None:
        for moment in MOMENTS:
            an_envelope(world)
            while (ledger := world.centre.ledger) is None or not ledger.quarantine.held():
                world.hospital.live()
                await world.let(1.0)
            mend(world)
            ask(world, what)
            world.centre.kill(moment, 1.0, power=power)
            await world.let(10.0)
            await decided(world)

    live_through(script)


async def decided(world: World) -> None:
    until = loop().time() + SHORT_SECONDS
    while (ledger := world.centre.ledger) is None or ledger.quarantine.held():
        assert loop().time() < until, "a request is not forgotten"
        await world.let(1.0)


def test_what_lies_behind_is_another_table_s() -> None:
    """Two tables parked at different envelopes, one retried and one dropped at once."""

    async def script(world: World) -> None:
        an_envelope(world)
        world.centre.lake.refused.add(path_of(world, ITEM))
        await day(world, 30)
        assert world.centre.ledger is not None
        book = world.centre.ledger.quarantine
        first, second = book.held()
        mend(world)
        book.ask(first.id, "retry", "wang", loop().wall())
        book.ask(second.id, "drop", "wang", loop().wall())
        await world.let(2 * SHORT_SECONDS)
        (gap,) = book.gaps()
        assert (gap.path, gap.healed is None) == (second.path, False)

    live_through(script)
