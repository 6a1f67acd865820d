"""Messages of 100 MB on the way: at the broker as `central-ingest broker-config` sets it up, and at a link whose broker
lets them pass or makes them. Bounded at each, and the others go on.
"""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from pathlib import Path

import aiomqtt
import pytest

from protocol import topics
from protocol.errors import Transient
from protocol.limits import ENVELOPE_BYTES_MAX, MIB, PACKET_BYTES_MAX
from protocol.link.link import Connected, Disconnected, Message
from protocol.link.mqtt import MqttLink, MqttSettings
from tests.integration.test_broker_rules import (
    CENTRE,
    SECONDS,
    A,
    B,
    Broker,
    authority,
    broker,
    heard_by,
    listen,
    say,
    until_sentinel,
)
from tests.servers import Mosquitto

from .centre import MEMORY_BYTES_MAX

HUGE = 100 * MIB
BROKER_BYTES_MAX = 64 * MIB
__all__ = ["authority", "broker"]


def resident_bytes_most(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


async def test_messages_of_100_mb_at_the_configured_broker(broker: Broker, authority: Path) -> None:
    """Whoever begins one is disconnected at its length; neither its topic nor a retained state takes it."""
    async with broker.client(CENTRE) as centre:
        await listen(centre, heard_by(CENTRE))
        for topic, retain in ((topics.up(A), False), (topics.state(A), True)):
            link = broker.link(A, authority / f"{A}.pem", authority / f"{A}.key")
            events = link.events()
            async with asyncio.timeout(SECONDS):
                assert await anext(events) == Connected()
                with pytest.raises(Transient):
                    await link.send(topic, bytes(HUGE), retain=retain)
                assert isinstance(await anext(events), Disconnected)
            await link.aclose()
        async with broker.client(B) as other:
            await say(other, topics.up(B))
            assert await until_sentinel(centre, topics.up(B)) == []
    process = broker.server._process
    assert process is not None
    assert resident_bytes_most(process.pid) < BROKER_BYTES_MAX


async def test_messages_of_100_mb_at_a_link(tmp_path: Path) -> None:
    """A broker without a bound keeps one as the agent's retained word: the link hangs up on it each time, holds
    nothing of it, and is there again when it is gone. What may travel passes."""
    server = Mosquitto(tmp_path / "mosquitto")
    await server.start()
    link = MqttLink(
        MqttSettings(f"mqtt://127.0.0.1:{server.port}", A, backoff_seconds_min=0.05, backoff_seconds_max=0.2),
        [topics.down(A)],
        None,
        random.Random(1),
    )
    try:
        async with aiomqtt.Client("127.0.0.1", server.port, identifier="evil", timeout=SECONDS) as evil:
            await evil.publish(topics.down(A), bytes(HUGE), 1, retain=True)
            tracemalloc.start()
            events, lost = link.events(), 0
            async with asyncio.timeout(SECONDS):
                while lost < 2:
                    event = await anext(events)
                    assert not isinstance(event, Message)
                    lost += isinstance(event, Disconnected)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < MEMORY_BYTES_MAX
            await evil.publish(topics.down(A), b"", 1, retain=True)
            largest = bytes(ENVELOPE_BYTES_MAX)
            assert len(largest) + len(topics.down(A)) + 16 < PACKET_BYTES_MAX
            async with asyncio.timeout(SECONDS):
                while not isinstance(event := await anext(events), Message):
                    if event == Connected():
                        await evil.publish(topics.down(A), largest, 1)
            assert event.payload == largest
    finally:
        tracemalloc.stop()
        await link.aclose()
        await server.kill()
