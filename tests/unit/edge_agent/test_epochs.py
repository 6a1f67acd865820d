"""Epochs: the spare grant opens the next one when there is none or the last has ended, and not too soon again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_agent.epochs import REOPEN_SECONDS_MIN, Epochs
from edge_agent.identity import Grants
from edge_agent.spool.spool import Spool
from protocol.names import Stream

from .centre import grant
from .keys import CENTRE, IDENTITY, STREAM

LIS = Stream(STREAM.site, "lis")


class Told:
    """Whom a new epoch is announced to."""

    def __init__(self) -> None:
        self.epochs = 0

    def epoch_opened(self) -> None:
        self.epochs += 1


class Ground:
    def __init__(self, directory: Path) -> None:
        self.spool = Spool.open(directory / "spool", bytes_max=1 << 20, keep_receipted_bytes=0)
        self.grants = Grants(directory, IDENTITY, CENTRE)
        self.told = Told()
        self.now = 1_000.0
        self.epochs = Epochs(
            self.spool,
            self.grants,
            ["his", "lis"],
            self.told,
            lambda: self.now,
        )

    def epoch(self, stream: Stream = STREAM) -> int | None:
        state = self.spool.stream(stream)
        return None if state is None else state.epoch


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.spool.close()


def test_without_a_grant_there_is_no_epoch(ground: Ground) -> None:
    ground.epochs.check()
    assert (ground.epoch(), ground.told.epochs) == (None, 0)


def test_a_grant_opens_an_epoch_and_is_spent(ground: Ground) -> None:
    ground.grants.keep(grant(3))
    ground.epochs.check()
    assert (ground.epoch(), ground.epoch(LIS), ground.told.epochs) == (3, None, 1)
    assert ground.grants.spare("his") is None
    state = ground.spool.stream(STREAM)
    assert state is not None
    assert state.grant == grant(3)
    assert len(state.secret) == 32


def test_each_epoch_has_a_secret_of_its_own(ground: Ground) -> None:
    secrets = set()
    for source in ("his", "lis"):
        ground.grants.keep(grant(3, source=source))
        ground.epochs.check()
        state = ground.spool.stream(Stream(STREAM.site, source))
        assert state is not None
        secrets.add(state.secret)
    assert len(secrets) == 2


def test_a_spare_waits_while_the_epoch_is_good(ground: Ground) -> None:
    ground.grants.keep(grant(3))
    ground.epochs.check()
    ground.grants.keep(grant(4))
    ground.now += 10 * REOPEN_SECONDS_MIN
    ground.epochs.check()
    assert ground.epoch() == 3
    assert ground.grants.spare("his") == (4, grant(4))


def test_an_epoch_that_has_ended_gives_way_but_not_too_soon(ground: Ground) -> None:
    ground.grants.keep(grant(3))
    ground.epochs.check()
    ground.spool.stop(STREAM, 3, "GC-3006")
    ground.grants.keep(grant(4))
    ground.now += REOPEN_SECONDS_MIN - 1
    ground.epochs.check()
    assert ground.epoch() == 3
    ground.now += 1
    ground.epochs.check()
    assert (ground.epoch(), ground.told.epochs) == (4, 2)


@pytest.mark.parametrize("epoch", [2, 3])
def test_a_spare_that_is_not_above_opens_nothing(ground: Ground, epoch: int) -> None:
    ground.grants.keep(grant(3))
    ground.epochs.check()
    ground.spool.stop(STREAM, 3, "GC-3006")
    ground.grants.keep(grant(epoch))
    ground.now += 10 * REOPEN_SECONDS_MIN
    ground.epochs.check()
    assert ground.epoch() == 3


async def test_the_loop_looks_at_every_source(ground: Ground) -> None:
    task = asyncio.create_task(ground.epochs.run())
    ground.grants.keep(grant(3))
    ground.grants.keep(grant(5, source="lis"))
    async with asyncio.timeout(5):
        while (ground.epoch(), ground.epoch(LIS)) != (3, 5):  # noqa: ASYNC110 (it tells nobody else)
            await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
