"""The feed between a link's task and its consumer."""

from __future__ import annotations

import asyncio

import pytest

from protocol.limits import MIB
from protocol.link.feed import BYTES_MAX, MESSAGE_BYTES, Feed
from protocol.link.link import Connected, Disconnected, LinkEvent, Message


async def test_what_kills_the_work_reaches_the_consumer_after_what_was_said() -> None:
    async def work() -> None:
        feed.put(Connected())
        raise LookupError("broken")

    feed = Feed(work)
    events = feed.events()
    assert await anext(events) == Connected()
    with pytest.raises(LookupError):
        await anext(events)


async def test_aclose_ends_the_consumer_and_harms_nobody_when_nothing_runs() -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    async def consume() -> list[LinkEvent]:
        return [event async for event in feed.events()]

    feed = Feed(work)
    await feed.aclose()
    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0.01)
    await feed.aclose()
    assert await consumer == []


async def test_a_cancelled_consumer_ends_the_work() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    feed = Feed(work)

    async def consume() -> None:
        async for _ in feed.events():
            pass

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0.01)
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert ended.is_set()


async def test_what_nobody_takes_is_bounded_and_word_of_the_line_is_never_dropped() -> None:
    """A broker may push whatever it likes while its listener is busy."""
    room = BYTES_MAX // (MIB + MESSAGE_BYTES)

    async def work() -> None:
        feed.put(Connected())
        for _ in range(room + 5):
            feed.put(Message("a", bytes(MIB)))
        feed.put(Disconnected("GC-4001", "gone"))
        await asyncio.Event().wait()

    feed = Feed(work)
    events = feed.events()
    heard = [await anext(events) for _ in range(room + 2)]
    assert (heard[0], heard[-1]) == (Connected(), Disconnected("GC-4001", "gone"))
    assert feed.dropped == 5
    feed.put(Message("a", bytes(MIB)))
    assert await anext(events) == Message("a", bytes(MIB))
    await feed.aclose()
    await events.aclose()  # type: ignore[attr-defined]
