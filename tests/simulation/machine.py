"""A machine: a process of ours that runs, dies at any moment, and is started again from what survived.

Death cuts the process off from the outside first (link, disk, files) and unwinds it then: nothing that its
last breath does reaches anything. A *moment* lies before and after whatever touches the outside; a plan may
name the one at which the process dies.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

from protocol.errors import Fault, Transient

from .clock import PROCESS, Crash, Process, loop
from .link import Air

BOOT_RETRY_SECONDS = 1.0
STOP_SECONDS_MAX = 60.0


class Machine(ABC):
    """`note` takes down what happens, for the trace."""

    def __init__(self, client_id: str, air: Air, rng: random.Random, note: Callable[[str], None]) -> None:
        self.client_id = client_id
        self.air = air
        self.rng = rng
        self.note = note
        self.deaths = 0
        self.moments = 0
        self.power_cuts = 0
        self._died = False
        self._power_cut = False
        self.faults_at_boot = 0
        self._process = Process()
        self._task: asyncio.Task[None] | None = None
        self._moments_left: int | None = None
        self._down_until = 0.0
        self._crashed: asyncio.Future[None] | None = None
        self.error: BaseException | None = None

    # what a machine is

    @abstractmethod
    async def main(self) -> None:
        """The process, until it is cancelled: builds everything anew from what survived."""

    @abstractmethod
    def cut_off(self) -> None:
        """The process is gone: close what the system would close, undo what was under way."""

    @abstractmethod
    def reads(self, source: str) -> None:
        """The process is about to ask something of a source."""

    @abstractmethod
    def leave(self) -> None:
        """The end of an orderly stop, when all loops have ended."""

    # its life

    @property
    def running(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        assert self._task is None
        self._task = asyncio.create_task(self._supervise())

    def kill(self, moments: int = 0, down_seconds: float = 0.0, *, power: bool = False) -> None:
        """Die at the `moments`th moment from now on, and be back after `down_seconds`. With `power` what was not
        synced is lost, or a part of it."""
        self._moments_left, self._down_until, self._power_cut = moments, down_seconds, power
        if moments == 0:
            self._die()

    def moment(self) -> None:
        """Something outside is about to be touched, or was. Raises Crash where the process dies here."""
        process = PROCESS.get()
        if process is None:
            return  # it is not the process that does it
        if process.dead:
            raise Crash
        self.moments += 1
        if self._moments_left is not None:
            self._moments_left -= 1
            if self._moments_left <= 0:
                self._die()
                raise Crash

    def _die(self) -> None:
        self._moments_left = None
        if self._process.dead or self._crashed is None:
            return
        self._process.dead = True
        self.deaths += 1
        self.note(f"{self.client_id} dies")
        self.air.cut(self.client_id)
        if not self._crashed.done():
            self._crashed.set_result(None)

    async def stop(self) -> None:
        """In order; or at the latest by force."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self.error is not None:
            raise self.error

    async def _supervise(self) -> None:
        while True:
            self._process = Process(self.moment, self.reads)
            self._crashed = loop().create_future()
            PROCESS.set(self._process)
            main = asyncio.create_task(self.main())
            PROCESS.set(None)
            try:
                await asyncio.wait({main, self._crashed}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                await self._end(main, orderly=True)
                raise
            await self._end(main, orderly=False)
            await asyncio.sleep(self._down_until)
            self._down_until = 0.0

    async def _end(self, main: asyncio.Task[None], *, orderly: bool) -> None:
        main.cancel()
        _, late = await asyncio.wait({main}, timeout=STOP_SECONDS_MAX)
        assert not late, f"{self.client_id} does not end"
        error = None if main.cancelled() else main.exception()
        died, self._process.dead = self._process.dead, True
        self._died = died
        if orderly and not died:
            self.leave()
        self.cut_off()
        self.air.cut(self.client_id)
        if died or error is None:
            return
        if isinstance(error, Fault) and isinstance(error, Transient):
            self.faults_at_boot += 1
            self._down_until = BOOT_RETRY_SECONDS
            return
        self.error = error
        raise error
