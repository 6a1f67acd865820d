"""The feed between a link's task and its consumer."""

from __future__ import annotations

import asyncio

import pytest

from protocol.link.feed import Feed
from protocol.link.link import Connected, LinkEvent


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
