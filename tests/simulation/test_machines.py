"""Machines that are lost, restored, copied, replaced or long away (landing.md §1): each heals by itself.

Every scenario goes on until all has arrived, and ends with source and lake compared per key, every journaled
row once, and the witness content all along.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from central_ingest import fleet
from central_ingest.ledger.holes import HoleRecord
from protocol import messages
from protocol.errors import Permanent
from protocol.messages import MessageType

from .centre import Centre
from .clock import play
from .edge import Edge
from .stores import Disk
from .world import World

HOUR_SECONDS = 3600.0
DOWN_SECONDS = 30.0
COPIES = ("lake/_system/roster.json", "journal/roster.json")
Script = Callable[[World], Awaitable[None]]


def live_through(script: Script, **of_the_world: Any) -> None:
    """`of_the_world`: what `World` takes besides its seed."""

    async def main() -> None:
        with World("machines", ("his",), **of_the_world) as world:
            try:
                await world.begin()
                await day(world)
                await script(world)
                await world.settle()
                await world.end()
            except BaseException:
                await world.abandon()
                raise

    play(main, "machines")


async def day(world: World, changes: int = 12, seconds: float = 20.0) -> None:
    """The hospital works, and what it does arrives."""
    for _ in range(changes):
        world.hospital.live()
        await world.let(seconds / changes)


async def die(world: World, machine_is_down: Callable[[], None]) -> None:
    """The agent's machine is killed; something becomes of its disk; it comes back."""
    world.edge.kill(0, DOWN_SECONDS)
    await world.let(1.0)
    assert world.edge.spool is None
    machine_is_down()
    await world.let(DOWN_SECONDS)


def epochs(world: World) -> set[int]:
    """Those in which the centre now stands."""
    return {epoch for _, epoch, _ in world.witness.book.heads.values()}


def test_a_lost_spool_begins_again_with_the_spare_grant() -> None:
    async def script(world: World) -> None:
        await die(world, world.edge.lose_spool)
        await day(world)
        assert epochs(world) == {2}

    live_through(script)


def test_a_spool_that_is_lost_again_and_again() -> None:
    async def script(world: World) -> None:
        for epoch in (2, 3, 4):
            await die(world, world.edge.lose_spool)
            await day(world)
            assert epochs(world) == {epoch}

    live_through(script)


def test_a_table_that_vanishes_with_the_memory_of_it_is_named_by_the_centre() -> None:
    async def script(world: World) -> None:
        def everything_at_once() -> None:
            world.forget()
            world.edge.lose_spool()
            while not world.hospital.dropped:
                world.hospital.drop()

        await die(world, everything_at_once)
        await day(world)
        ledger = world.centre.open_ledger()
        try:
            (gone,) = world.hospital.dropped
            named = fleet.unlisted(ledger)
            assert [r.table for r in ledger.lake_tables() if r.path in named] == [gone]
        finally:
            ledger.close()

    live_through(script)


def test_the_centre_is_away_for_hours() -> None:
    async def script(world: World) -> None:
        await world.centre.stop()
        await day(world, 20, HOUR_SECONDS)
        world.centre.start()
        await day(world)
        assert epochs(world) == {1}

    live_through(script)


def test_the_agent_is_away_for_hours() -> None:
    async def script(world: World) -> None:
        await world.edge.stop()
        await day(world, 20, 3 * HOUR_SECONDS)
        world.edge.start()
        await day(world)
        assert epochs(world) == {1}

    live_through(script)


def test_the_broker_loses_everything_it_kept() -> None:
    async def script(world: World) -> None:
        for _ in range(3):
            world.air.stop()  # retained states are gone with it
            await day(world)
            world.air.start()
            await day(world)
        assert epochs(world) == {1}

    live_through(script)


def test_a_broker_that_forgets_the_centre_s_state_while_nobody_says_it() -> None:
    async def script(world: World) -> None:
        await world.centre.stop()
        world.air.stop()
        world.air.start()
        await day(world)
        world.centre.start()
        await day(world)
        assert epochs(world) == {1}

    live_through(script)


def test_a_grant_that_does_not_come_for_long() -> None:
    def is_grant(payload: bytes) -> bool:
        return messages.is_message(payload) and messages.parse(payload).type is MessageType.GRANT

    async def script(world: World) -> None:
        world.air.swallows = is_grant
        await die(world, world.edge.lose_spool)  # spends the spare one
        await day(world)
        assert epochs(world) == {2}
        await die(world, world.edge.lose_spool)
        await day(world, 10, HOUR_SECONDS / 3)
        assert epochs(world) == {2}, "no grant, no capture"
        world.air.swallows = lambda payload: False
        await day(world, seconds=100.0)
        assert epochs(world) == {3}

    live_through(script)


@pytest.mark.parametrize("epochs_since", [0, 1])
def test_an_agent_restored_from_an_old_backup(epochs_since: int) -> None:
    async def script(world: World) -> None:
        backup = world.root / "backup of the edge"
        await world.edge.stop()
        world.edge.back_up(backup)
        world.edge.start()
        await day(world)
        for _ in range(epochs_since):
            await die(world, world.edge.lose_spool)
            await day(world)
        await die(world, lambda: world.edge.restore(backup))
        await day(world, seconds=150.0)
        assert epochs(world) == {2 + epochs_since}, "what was sent under the same numbers is no longer known"

    live_through(script)


@pytest.mark.parametrize(
    ("keep_receipted_bytes", "epoch"), [(1 << 20, 1), (0, 2)], ids=["agents still have it", "they do not"]
)
@pytest.mark.parametrize("goes_on", [True, False], ids=["new changes", "nothing new"])
def test_a_centre_restored_from_an_old_backup(keep_receipted_bytes: int, epoch: int, goes_on: bool) -> None:
    async def script(world: World) -> None:
        backup = world.root / "backup of the centre"
        await world.centre.stop()
        lake = world.centre.back_up(backup)
        world.centre.start()
        await day(world)
        await world.centre.stop()
        world.centre.restore(backup, lake)
        if goes_on:
            await day(world)
        world.centre.start()
        await world.let(120.0)
        assert epochs(world) == {epoch}

    live_through(script, keep_receipted_bytes=keep_receipted_bytes)


@pytest.mark.parametrize(
    ("part", "of_old", "keep_receipted_bytes"),
    [("journal", True, 1 << 20), ("journal", False, 0), ("lake", True, 0), ("lake", False, 1 << 20)],
)
def test_a_part_of_the_centre_is_lost_under_its_ledger(
    part: str, of_old: bool, keep_receipted_bytes: int
) -> None:
    async def script(world: World) -> None:
        backup = world.root / "backup of the centre"
        await world.centre.stop()
        lake = world.centre.back_up(backup)
        world.centre.start()
        await day(world)
        await world.centre.stop()
        if part == "journal":
            world.centre.lose_journal(backup / "journal" if of_old else None)
        else:
            world.centre.lose_lake(lake if of_old else None)
        await day(world)
        world.centre.start()
        await day(world, seconds=150.0)

    live_through(script, keep_receipted_bytes=keep_receipted_bytes)


@pytest.mark.parametrize(
    ("landed", "keep_receipted_bytes", "share", "epoch", "is_filled"),
    [
        (True, 1 << 20, 0.5, 1, True),
        (False, 1 << 20, 0.9, 1, True),
        (True, 0, 0.5, 1, False),
        (False, 0, 0.5, 2, False),
    ],
    ids=["landed", "not landed", "landed and forgotten", "not landed and forgotten"],
)
def test_a_record_of_the_journal_rots(
    landed: bool, keep_receipted_bytes: int, share: float, epoch: int, is_filled: bool
) -> None:
    """Where the agent still has it, it sends it again and its epoch goes on; else a new one begins, if it matters."""

    async def script(world: World) -> None:
        centre = world.centre
        if not landed:
            await centre.stop()
            centre.lose_lake()
            centre.lake.plan = ["before"] * 10_000
            centre.start()
            await day(world)
        await centre.stop()
        centre.lake.plan.clear()
        centre.rot_at(share)
        centre.start()
        await day(world, 3, seconds=60.0)
        assert epochs(world) == {epoch}
        assert bool(world.witness.repairs) == is_filled
        (hole,) = holes(world)
        assert hole.state == ("healed" if is_filled else "gone")
        assert hole.waits is not landed

    live_through(script, keep_receipted_bytes=keep_receipted_bytes)


def holes(world: World) -> list[HoleRecord]:
    ledger = world.centre.open_ledger()
    try:
        return ledger.holes.all()
    finally:
        ledger.close()


@pytest.mark.parametrize("of_old", [False, True])
@pytest.mark.parametrize("journal", ["kept", "lost"])
def test_a_lost_ledger_is_made_anew_from_its_copies(of_old: bool, journal: str) -> None:
    async def script(world: World) -> None:
        backup = world.root / "backup of the centre"
        await world.centre.stop()
        world.centre.back_up(backup)
        world.centre.start()
        await die(world, world.edge.lose_spool)
        await day(world)
        await world.centre.stop()
        world.centre.lose_ledger(backup if of_old else None)
        if journal == "lost":
            world.centre.lose_journal()
        await day(world)
        world.centre.start()
        await day(world, seconds=150.0)
        assert world.centre.completions == 1
        assert epochs(world) == {2}, "what the agent has it sends again, in its epoch"

    live_through(script)


def test_a_lost_ledger_does_not_forget_who_was_revoked() -> None:
    async def script(world: World) -> None:
        old = world.edge
        await old.stop()
        await replace(world)
        await day(world)
        await world.centre.stop()
        world.centre.lose_ledger()
        world.centre.start()
        old.start()
        await day(world, seconds=60.0)
        await old.stop()
        assert epochs(world) == {3}, "the revoked machine is not heard"
        assert world.centre.roster is not None
        revoked = world.centre.roster.member(old.state.identity().agent)
        assert revoked is not None
        assert revoked.revoked

    live_through(script)


def test_copies_that_are_older_than_the_journal_are_not_trusted() -> None:
    async def script(world: World) -> None:
        backup = world.root / "backup of the centre"
        await world.centre.stop()
        world.centre.back_up(backup)
        world.centre.start()
        for _ in range(2):  # beyond the spare that the copies know
            await die(world, world.edge.lose_spool)
            await day(world)
        await world.centre.stop()
        kept = {place: (world.centre.root / place).read_bytes() for place in COPIES}
        for place in COPIES:
            shutil.copy2(backup / place, world.centre.root / place)
        world.centre.lose_ledger()
        world.centre.start()
        await asyncio.sleep(5.0)
        assert isinstance(world.centre.error, Permanent)
        assert world.centre.error.code == "GC-6031"
        world.centre.error = None
        with suppress(Permanent):
            await world.centre.stop()
        for place, content in kept.items():
            (world.centre.root / place).write_bytes(content)
        world.centre.disk = Disk(world.centre.moment)
        world.centre.start()
        await day(world, seconds=150.0)

    live_through(script)


def test_a_machine_that_is_replaced_and_comes_back_all_the_same() -> None:
    async def script(world: World) -> None:
        old = world.edge
        await old.stop()
        await replace(world)
        await day(world)
        assert epochs(world) == {3}, "above the spare grant of the old one"
        old.start()
        await day(world)
        await old.stop()
        assert epochs(world) == {3}, "the revoked machine is not heard"

    live_through(script)


async def replace(world: World) -> None:
    """An operator revokes the machine and enrols another one for its sources."""
    ledger = world.centre.open_ledger()
    ledger.revoke(world.edge.state.make_identity().agent, 1)
    ledger.close()
    await world.let(30.0)
    world.edge = Edge(
        world.root / "edge 2", world.hospital, world.air, world.edge.rng, world.note, client_id="edge 2"
    )
    world.edge.opened = world.witness.look_into
    await world.edge.enrol(world.centre.invite())
    world.edge.start()


def test_a_machine_and_its_copy() -> None:
    async def script(world: World) -> None:
        root = world.root / "copy"
        copy = Edge(root, world.hospital, world.air, world.edge.rng, world.note, client_id="copy")
        await world.edge.stop()
        world.edge.back_up(world.root / "image")
        copy.restore(world.root / "image")
        world.edge.start()
        copy.start()
        await day(world, 30, 200.0)
        await copy.stop()

    live_through(script)


def test_two_daemons_on_two_copies_of_one_centre() -> None:
    """Same keys, same name at the broker, so each throws out the other; receipts of both are believed. When the
    copy is thrown away, what it alone took is sent again or comes with a new epoch."""

    async def script(world: World) -> None:
        backup = world.root / "backup of the centre"
        await world.centre.stop()
        lake = world.centre.back_up(backup)
        copy = Centre(world.root / "copy", world.air, world.centre.rng, world.note)
        copy.restore(backup, lake)
        copy.witness._opener = world.centre.witness._opener
        world.centre.witness.beside = copy.witness
        world.centre.start()
        copy.start()
        await day(world, 20, 60.0)
        await copy.stop()
        assert copy.witness.book.entries
        world.centre.witness.without_the_other()
        await day(world, seconds=150.0)

    live_through(script)
