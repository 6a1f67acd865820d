"""The simplest sender that a user would write: Arrow IPC, zstd, MQTT. No signature, no encryption, no spool.

`python plain_sender.py PORT SLICES START`
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import aiomqtt
import pyarrow as pa
import zstandard

MESSAGE_ROWS = 2_000
IN_FLIGHT = 16


async def main() -> None:
    port, slices, start = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    logging.getLogger("mqtt").setLevel(logging.ERROR)  # it warns of every eleventh publish under way
    slots = asyncio.Semaphore(IN_FLIGHT)
    async with aiomqtt.Client("127.0.0.1", port, max_inflight_messages=IN_FLIGHT) as client:

        async def send(payload: bytes) -> None:
            try:
                await client.publish("plain/rows", payload, qos=1, timeout=600)
            finally:
                slots.release()

        while not start.exists():
            await asyncio.sleep(0.01)
        async with asyncio.TaskGroup() as group:
            with pa.OSFile(str(slices), "rb") as file, pa.ipc.open_file(file) as reader:
                for i in range(reader.num_record_batches):
                    batch = reader.get_batch(i)
                    for offset in range(0, batch.num_rows, MESSAGE_ROWS):
                        part = batch.slice(offset, MESSAGE_ROWS)
                        sink = pa.BufferOutputStream()
                        with pa.ipc.new_stream(sink, part.schema) as writer:
                            writer.write_batch(part)
                        await slots.acquire()
                        group.create_task(send(zstandard.compress(sink.getvalue(), 1)))
        await asyncio.Event().wait()


asyncio.run(main())
