"""A hospital's agent, the centre and a broker between them, each a process that is killed and started again; and the
servers of the hospital's databases, where the test has some."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

from demo.stage import Stage, wait_for
from tests.databases import Database
from tests.servers import Mosquitto


class Region:
    """The broker runs; what the two operators type is left to the test (`stage`)."""

    def __init__(self, root: Path, servers: Iterable[Database] = ()) -> None:
        self._loop = asyncio.new_event_loop()
        self.broker = Mosquitto(root / "broker")
        self._loop.run_until_complete(self.broker.start())
        self.servers = {server.backend: server for server in servers}
        self.stage = Stage(root, self.broker.port)

    def kill(self, what: str) -> None:
        """Kill it and start it again: `agent`, `centre`, `broker`, or a server by its backend."""
        if what in self.servers:
            self.servers[what].stop()
            self.servers[what].start()
        elif what == "broker":
            self._loop.run_until_complete(self.broker.kill())
            self._loop.run_until_complete(self.broker.start())
        else:
            self.stage.kill(what)
            (self.stage.start_agent if what == "agent" else self.stage.start_centre)()

    def settle(self, seconds: float, later: float = 0.0, stages: Iterable[Stage] = ()) -> None:
        """Until all that is at the sources so many seconds from now has landed."""
        since = time.time_ns() // 1000 + round(later * 1e6)
        for stage in tuple(stages) or (self.stage,):
            wait_for(lambda stage=stage: stage.settled_since(since), seconds, "the changes did not arrive")

    def close(self) -> None:
        self.stage.close()
        self._loop.run_until_complete(self.broker.kill())
        self._loop.close()
