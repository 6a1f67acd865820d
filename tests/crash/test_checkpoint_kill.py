"""Kill -9 while a table of many commits is checkpointed, again and again: nothing is lost, and the next is sealed.

The child appends a row and makes a checkpoint, as long as it lives, and says when it begins with one and how long the
one before took, so that kills fall anywhere into it. What single moments leave is the matter of
tests/unit/central_ingest/landing/test_killed_checkpoints.py.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path

from central_ingest.landing import checkpoints
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Txn
from central_ingest.landing.localstore import LocalStore
from tests.foreign import by_kernel
from tests.unit.central_ingest.landing.delta_tables import APP, PATH, ids, rows

COMMITS = 100
KILLS = 4


def append(lake: DeltaLake, number: int) -> None:
    """Row and version are one number; each has a transaction of its own."""
    version = lake.append(PATH, rows(number), [Txn(APP, number), Txn(f"h1/his/{number + 2}", 1)])
    assert version == number
    lake.make_durable(PATH, version)


def work_until_killed(root: Path, told: Connection) -> None:
    """The child."""
    lake, spent = DeltaLake(root), 0.1
    while True:
        append(lake, number := lake.version(PATH) + 1)
        told.send((number, spent))
        began = time.monotonic()
        lake.checkpoint(PATH)
        spent = time.monotonic() - began


def check(root: Path, durable: int) -> None:
    lake = DeltaLake(root)
    lake.resume()
    found = lake.recover(PATH, durable)
    assert (found.version >= durable, found.cut) == (True, ())
    numbers = list(range(found.version + 1))
    assert ids(lake) == numbers
    assert sorted(by_kernel(root / PATH)["id"].to_pylist()) == numbers
    told = {APP: found.version} | {f"h1/his/{number + 2}": 1 for number in numbers}
    assert lake.state(PATH).txns == told
    assert lake.txn(PATH, "h1/his/2") == 1
    lake.checkpoint(PATH)
    assert found.version in checkpoints.sound(LocalStore(root), PATH)
    assert not [one for one in (root / PATH / "_delta_log").iterdir() if "#" in one.name]


def test_kills_inside_checkpoints_lose_nothing(tmp_path: Path) -> None:
    moment = random.Random(20240301)
    lake = DeltaLake(tmp_path)
    for number in range(COMMITS):
        append(lake, number)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.crash.test_checkpoint_kill"])
    for _ in range(KILLS):
        told, tells = processes.Pipe(duplex=False)
        child = processes.Process(target=work_until_killed, args=(tmp_path, tells))
        child.start()
        tells.close()
        for _ in range(moment.randint(1, 2)):
            durable, spent = told.recv()
        child.join(moment.uniform(0, spent))
        child.kill()
        child.join()
        told.close()
        check(tmp_path, durable)
