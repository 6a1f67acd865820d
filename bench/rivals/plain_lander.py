"""The simplest receiver that a user would write: MQTT, zstd, Arrow IPC, and an append with deltalake when it can.

`python plain_lander.py PORT TABLE READY`. No journal, no receipts, no check of what came or in which order.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiomqtt
import pyarrow as pa
import zstandard
from deltalake import write_deltalake

APPEND_SECONDS = 0.25


async def main() -> None:
    port, table, ready = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    waiting: list[pa.Table] = []

    async def append() -> None:
        nonlocal waiting
        while True:
            await asyncio.sleep(APPEND_SECONDS)
            if waiting:
                parts, waiting = waiting, []
                await asyncio.to_thread(write_deltalake, table, pa.concat_tables(parts), mode="append")

    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("plain/rows", qos=1)
        appending = asyncio.create_task(append())
        ready.touch()
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            with pa.ipc.open_stream(zstandard.decompress(message.payload)) as reader:
                waiting.append(reader.read_all())
        await appending


asyncio.run(main())
