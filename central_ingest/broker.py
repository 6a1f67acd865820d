"""An MQTT broker inside the daemon, for the demo and a first try (the only room that imports amqtt).

It asks nobody for a password and therefore listens on loopback unless told otherwise. It keeps everything in
memory, without a bound on what waits for a slow reader: the credit windows of the protocol keep that small.
In earnest use mosquitto or a cluster. It knows nothing of envelopes.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType

from amqtt.broker import Broker
from amqtt.errors import BrokerError

from protocol.errors import Permanent

_SHUTDOWN_SECONDS_MAX = 5.0
"""From Python 3.12 on a server waits for each open connection, also for one that never said CONNECT."""

_LOGGERS = ("amqtt", "transitions")


class EmbeddedBroker:
    """An async context manager: listening inside, gone outside.

    `port` 0 lets the system choose. Entering raises Permanent GC-1003 (broker.listen) when the address cannot
    be listened on. Retained messages live as long as the context.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 1883) -> None:
        self._host = host
        self._port = port
        self._broker: Broker | None = None
        self._log_levels: dict[str, int] = {}

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    async def __aenter__(self) -> EmbeddedBroker:
        self._hush()
        try:
            self._broker = await self._start()
        except BaseException:
            self._unhush()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        broker, self._broker = self._broker, None
        try:
            if broker is not None:
                _listener(broker).close()  # first, or a client that reconnects at once is never told to go
                async with asyncio.timeout(_SHUTDOWN_SECONDS_MAX):
                    await broker.shutdown()
        except TimeoutError:
            pass  # its sockets are closed by then; what is left are strangers that never spoke
        finally:
            self._unhush()

    async def _start(self) -> Broker:
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{self._host}:{self._port}"}},
                # Named one by one: the default set also publishes $SYS topics and logs each packet.
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        try:
            await broker.start()
        except BrokerError as fault:
            if not isinstance(fault.__cause__, OSError):
                raise
            problem = f"{self._host}:{self._port} cannot be listened on, or is in use"
            raise Permanent(
                "GC-1003", key="broker.listen", path="(configuration)", problem=problem
            ) from fault
        self._port = _listener(broker).sockets[0].getsockname()[1]
        return broker

    def _hush(self) -> None:
        """amqtt logs each coming and going, and strangers' mistakes with stack traces: not our operator's news."""
        self._log_levels = {name: logging.getLogger(name).level for name in _LOGGERS}
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def _unhush(self) -> None:
        for name, level in self._log_levels.items():
            logging.getLogger(name).setLevel(level)


def _listener(broker: Broker) -> asyncio.Server:
    server: asyncio.Server = broker._servers["default"].instance
    return server
