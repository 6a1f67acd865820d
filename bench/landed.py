"""Prepared batches → landed: from Arrow slices in a file to rows that every reader of the lake sees.

Ours with everything on (dictionaries, zstd, encryption, signature, spool, TLS with client certificates, admission,
journal, receipts, synced commits), beside the simplest programs that a user would write for the same road. Both ends
and the broker are kept to one core, then to two; the bench itself watches from the last core.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.servers import Mosquitto

from . import visits
from .delta_log import DeltaLog
from .processes import Usage, cores, pinned, usage_of
from .sending import write_plan
from .site import Site, site

SECONDS_MAX = 300.0
_RIVALS = Path(__file__).parent / "rivals"


@dataclass(frozen=True)
class Run:
    """One road, once."""

    rows: int
    seconds: float
    usages: dict[str, Usage]

    @property
    def rate(self) -> float:
        return self.rows / self.seconds

    def cpu_per_million(self, name: str) -> float:
        return self.usages[name].cpu_seconds * 1e6 / self.rows


def ours(slices: Path, rows: int, on: set[int] | None) -> Run:
    with TemporaryDirectory(prefix="guicang-bench-") as folder, _site(Path(folder), on) as one:
        plan = write_plan(one.root, slices)
        one.start_module("agent", "bench.sender", str(one.agent_config), str(plan.file))
        one.wait_until(lambda: one.agent_status().get("link", {}).get("centre_online", False), 60)
        log = DeltaLog(one.lake / "changes", "outpatient")
        before = one.usages()
        plan.start.touch()
        began = time.monotonic()
        ended = one.wait_until(lambda: log.has(rows), SECONDS_MAX)
        usages = {name: use.since(before[name]) for name, use in one.usages().items()}
        return Run(log.rows, ended - began, usages)


@contextlib.contextmanager
def _site(root: Path, on: set[int] | None) -> Iterator[Site]:
    database = root / "empty.db"
    database.touch()
    with site(root, f"sqlite:///{database}", on) as one:
        yield one


def plain(slices: Path, rows: int, on: set[int] | None) -> Run:
    """The user's own two programs."""
    with TemporaryDirectory(prefix="guicang-bench-") as folder:
        return asyncio.run(_plain(Path(folder), slices, rows, on))


async def _plain(root: Path, slices: Path, rows: int, on: set[int] | None) -> Run:
    options = ("allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 0")
    broker = Mosquitto(root / "broker", options)
    await broker.start()
    assert broker._process is not None
    if on is not None:
        os.sched_setaffinity(broker._process.pid, on)
    port, start, ready = str(broker.port), root / "start", root / "ready"
    programs = {
        "centre": ["plain_lander.py", port, str(root / "lake"), str(ready)],
        "agent": ["plain_sender.py", port, str(slices), str(start)],
    }
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, (program, *arguments) in programs.items():
            command = pinned([sys.executable, str(_RIVALS / program), *arguments], on)
            processes[name] = subprocess.Popen(command)  # noqa: ASYNC220
        while not ready.exists():
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)  # the sender waits for its word
        pids = {name: one.pid for name, one in processes.items()} | {"broker": broker._process.pid}
        before = {name: usage_of(pid) for name, pid in pids.items()}
        log = DeltaLog(root)
        start.touch()
        began = time.monotonic()
        while not log.has(rows):
            if time.monotonic() - began > SECONDS_MAX or any(
                p.poll() is not None for p in processes.values()
            ):
                raise RuntimeError(f"the plain programs landed {log.rows} of {rows} rows")
            await asyncio.sleep(0.005)
        seconds = time.monotonic() - began
        return Run(log.rows, seconds, {name: usage_of(pid).since(before[name]) for name, pid in pids.items()})
    finally:
        for one in processes.values():
            one.kill()
            one.wait()
        await broker.kill()


def run(rows: int, rounds: int) -> list[tuple[str, str, list[Run]]]:
    """(placement, who, runs): the two alternate, and each placement has its own rounds."""
    known = cores()
    found: dict[tuple[str, str], list[Run]] = {}
    with TemporaryDirectory(prefix="guicang-bench-") as folder:
        slices = Path(folder) / "slices.arrow"
        visits.write_slices(slices, rows)
        for placement, on in (("one core", {known[0]}), ("two cores", set(known[:2]))):
            for _ in range(rounds):
                with _watching_from(known[-1]):
                    found.setdefault((placement, "ours"), []).append(ours(slices, rows, on))
                    found.setdefault((placement, "plain"), []).append(plain(slices, rows, on))
    return [(placement, who, runs) for (placement, who), runs in found.items()]


@contextlib.contextmanager
def _watching_from(core: int) -> Iterator[None]:
    """Keep this process out of the way of what it measures."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
