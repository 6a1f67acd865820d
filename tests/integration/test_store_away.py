"""A lander on a bucket, through hours in which the object store is away, slow or at fault: virtual hours, over HTTP."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from central_ingest.landing.store import Store
from protocol.errors import Transient
from tests.objectstores import Fault, ObjectServer, shared_server
from tests.unit.central_ingest.landing.on_a_store import TABLES, OnAStore

HOUR = 3_600.0
PENDING_BYTES_MAX = 20_000


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    server = shared_server()
    server.clear()
    yield server
    server.clear()


def ground_on(server: ObjectServer, parts: Path) -> OnAStore:
    bucket = server.bucket()
    clock: list[OnAStore] = []

    def open_store(folder: str) -> Store:
        return server.store(
            bucket=bucket,
            prefix=folder,
            request_seconds=0.5,
            retry_seconds=0.1,
            now=lambda: clock[0].clock if clock else 0.0,
        )

    ground = OnAStore(parts, open_store, PENDING_BYTES_MAX)
    clock.append(ground)
    return ground


def send_something(ground: OnAStore, chance: random.Random) -> None:
    sender = chance.choice(ground.senders)
    if chance.random() < 0.1:
        ground.send_value(sender, chance.randbytes(chance.randrange(1, 7_000)))
    else:
        ground.send(sender, chance.choice(TABLES), chance.randrange(1, 40))


def test_hours_without_the_store_lose_and_double_nothing(server: ObjectServer, tmp_path: Path) -> None:
    ground, chance = ground_on(server, tmp_path), random.Random(1)
    for _ in range(4):
        send_something(ground, chance)
        assert ground.step() is None
    server.order(Fault("cut"))
    for _ in range(12):
        send_something(ground, chance)
        ground.clock += HOUR / 2
        fault = ground.step()
        assert isinstance(fault, Transient)
        assert (fault.code, fault.facts["reason"]) == ("GC-6005", "StoreAway")
    assert ground.lander.backlog_bytes > PENDING_BYTES_MAX // 4  # what the centre's credit looks at
    ground.restart()  # in the middle of it, and the new process does not find the store either
    server.clear()
    ground.restart()
    ground.land()
    ground.check_all()


@pytest.mark.parametrize("seed", range(2))
def test_a_store_at_fault_now_and_then_loses_and_doubles_nothing(
    server: ObjectServer, tmp_path: Path, seed: int
) -> None:
    """Faults of every kind at any request, so that commits are done and not answered, answered late, or not done."""
    ground, chance = ground_on(server, tmp_path), random.Random(seed)
    kinds = ["cut", "cut after", "500", "fail after", "half", "403", "409", "503", "slow after", "late"]
    failed = 0
    for _ in range(20):
        send_something(ground, chance)
        if chance.random() < 0.6:
            method = chance.choice(["PUT", "PUT", "GET", "GET|HEAD"])
            pattern = chance.choice(["", "_delta_log/0", "parquet", "files/"])
            server.order(Fault(chance.choice(kinds), method, pattern, times=chance.randrange(1, 4)))
        failed += ground.step() is not None
        if chance.random() < 0.1:
            ground.restart()
    assert failed
    server.clear()
    ground.restart()
    ground.land()
    ground.check_all()
