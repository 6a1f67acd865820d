"""What a link has to tell, in order, to the one consumer of its `events()`.

A link must go on reconnecting and failing pending sends while its consumer is busy with an event, so it runs
in a task of its own and speaks through this queue. Brokers push, MQTT acks on arrival, and what holds an honest
sender back is the credit window of the protocol above; a dishonest one meets the queue's bound: what does not fit
is dropped, as any link may drop (see `link`). It knows nothing of brokers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from protocol.limits import MIB
from protocol.link.link import LinkEvent, Message

BYTES_MAX = 64 * MIB
"""Of messages that were not yet taken. Both ends take them as they come; an end that does not is stuck."""
MESSAGE_BYTES = 256
"""What a message costs in memory besides its payload."""


class Feed:
    """Runs `work` for as long as someone listens, and hands over what it `put`s."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._queue: asyncio.Queue[LinkEvent | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._bytes = 0
        self.dropped = 0
        """Messages that found no room."""

    def put(self, event: LinkEvent) -> None:
        if self._bytes + _cost(event) > BYTES_MAX:
            self.dropped += 1
            return
        self._bytes += _cost(event)
        self._queue.put_nowait(event)

    async def events(self) -> AsyncIterator[LinkEvent]:
        """Start the work and yield its events; a second consumer at the same time is our misuse."""
        if self._task is not None:
            raise RuntimeError("a link has one consumer")
        queue = self._queue = asyncio.Queue()
        self._bytes = 0
        task = self._task = asyncio.create_task(self._work())
        task.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                self._bytes -= _cost(event)
                yield event
            if not task.cancelled():
                task.result()  # work never ends by itself: this raises what killed it
        finally:
            await self.aclose()
            self._task = None

    async def aclose(self) -> None:
        """End the work; the consumer's loop then ends too. Harmless when nothing runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})


def _cost(event: LinkEvent) -> int:
    """Bytes in the queue's account; word of the line itself is never dropped."""
    return MESSAGE_BYTES + len(event.payload) if isinstance(event, Message) else 0
