"""The memory broker's faults: each can be provoked alone, and the same seed brings the same ones."""

from __future__ import annotations

import asyncio
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Transient
from protocol.link.link import Connected, Disconnected, LinkEvent, Message, Will
from protocol.link.memory import Faults, MemoryBroker, MemoryLink, matches

MIXED = Faults(drop=0.1, repeat=0.1, reorder=0.2, delay=0.2, delay_seconds_max=3.0, disconnect=0.03)


class Hours:
    """Virtual time: a sleeper wakes, in order of its hour, when everyone else is idle or asleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._count = 0

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        woken = asyncio.Event()
        self._sleepers.append((self.now + seconds, self._count, woken))
        await woken.wait()

    async def pass_by(self, steps: int) -> None:
        for _ in range(steps):
            await settle()
            if self._sleepers:
                sleeper = min(self._sleepers, key=lambda entry: entry[:2])
                self._sleepers.remove(sleeper)
                self.now = max(self.now, sleeper[0])
                sleeper[2].set()
        await settle()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def hearing(link: MemoryLink) -> AsyncIterator[list[LinkEvent]]:
    """What the link yields, growing."""
    heard: list[LinkEvent] = []

    async def listen() -> None:
        async for event in link.events():
            heard.append(event)

    task = asyncio.create_task(listen())
    await settle()
    try:
        yield heard
    finally:
        await link.aclose()
        await task


def payloads(events: list[LinkEvent]) -> list[bytes]:
    return [event.payload for event in events if isinstance(event, Message)]


async def run(faults: Faults, seed: int, count: int = 40) -> tuple[list[LinkEvent], list[bool]]:
    """Send `count` messages from one link to another; what the reader met, and which sends were acknowledged."""
    time = Hours()
    broker = MemoryBroker(seed, faults, sleep=time.sleep, reconnect_seconds=0.5)
    reader, sender = broker.link("reader", ["t"]), broker.link("sender")
    acks: list[bool] = []
    async with hearing(reader) as heard, hearing(sender):
        for number in range(count):
            try:
                await sender.send("t", b"%d" % number)
            except Transient:
                acks.append(False)
            else:
                acks.append(True)
            await time.pass_by(1)
        await time.pass_by(3 * count)
    await broker.aclose()
    return heard, acks


@given(seed=st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_the_same_seed_brings_the_same_faults(seed: int) -> None:
    assert asyncio.run(run(MIXED, seed)) == asyncio.run(run(MIXED, seed))


def test_another_seed_brings_other_faults() -> None:
    assert len({tuple(asyncio.run(run(MIXED, seed))[0]) for seed in range(5)}) == 5


@given(seed=st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_whatever_the_faults_nothing_is_made_up_and_connections_alternate(seed: int) -> None:
    heard, _ = asyncio.run(run(MIXED, seed))
    assert set(payloads(heard)) <= {b"%d" % number for number in range(40)}
    states = [event for event in heard if not isinstance(event, Message)]
    assert isinstance(states[0], Connected)
    assert all(isinstance(a, Connected) != isinstance(b, Connected) for a, b in pairwise(states))
    connected = False
    for event in heard:
        assert connected or not isinstance(event, Message)
        connected = isinstance(event, Connected) or (connected and not isinstance(event, Disconnected))


async def test_without_faults_all_arrive_once_and_in_order() -> None:
    heard, acks = await run(Faults(), seed=1)
    assert payloads(heard) == [b"%d" % number for number in range(40)]
    assert all(acks)


async def test_a_dropped_message_is_acknowledged() -> None:
    heard, acks = await run(Faults(drop=1.0), seed=1)
    assert payloads(heard) == []
    assert all(acks)


async def test_a_repeated_message_comes_twice() -> None:
    heard, _ = await run(Faults(repeat=1.0), seed=1, count=3)
    assert payloads(heard) == [b"0", b"0", b"1", b"1", b"2", b"2"]


async def test_a_reordered_message_is_overtaken_by_the_next() -> None:
    heard, _ = await run(Faults(reorder=1.0), seed=1, count=4)
    assert payloads(heard) == [b"1", b"0", b"3", b"2"]


async def test_delays_lose_nothing_while_the_connection_holds() -> None:
    time = Hours()
    broker = MemoryBroker(1, Faults(delay=0.5, delay_seconds_max=50.0), sleep=time.sleep)
    reader, sender = broker.link("reader", ["t"]), broker.link("sender")
    sent = [b"%d" % number for number in range(40)]
    async with hearing(reader) as heard, hearing(sender):
        for payload in sent:
            await sender.send("t", payload)
        await time.pass_by(len(sent))
    assert payloads(heard) != sent
    assert sorted(payloads(heard), key=int) == sent


async def test_what_is_delayed_does_not_reach_the_next_connection() -> None:
    time = Hours()
    broker = MemoryBroker(1, Faults(delay=1.0), sleep=time.sleep)
    reader, sender = broker.link("reader", ["t"]), broker.link("sender")
    async with hearing(reader) as heard, hearing(sender):
        await sender.send("t", b"late")
        broker.cut("reader")
        await time.pass_by(10)
        assert [type(event) for event in heard] == [Connected, Disconnected, Connected]


async def test_a_disconnect_strikes_before_or_after_the_message_was_taken() -> None:
    taken = set()
    for seed in range(20):
        broker = MemoryBroker(seed, Faults(disconnect=0.5))
        reader, sender = broker.link("reader", ["t"]), broker.link("sender")
        async with hearing(reader) as heard, hearing(sender):
            acknowledged = False
            with suppress(Transient):
                await sender.send("t", b"x")
                acknowledged = True
            await settle()
            taken.add((acknowledged, bool(payloads(heard))))
    assert {(False, True), (False, False), (True, True)} <= taken


async def test_a_second_link_of_the_same_name_takes_over() -> None:
    time = Hours()
    broker = MemoryBroker(sleep=time.sleep)
    watcher = broker.link("watcher", ["#"])
    first, second = broker.link("twin", will=Will("gone", b"1")), broker.link("twin")
    async with hearing(watcher) as heard, hearing(first) as events, hearing(second):
        await settle()
        assert events == [Connected(), Disconnected("GC-4001", "connection lost")]
        assert not first.connected
        assert second.connected
        assert payloads(heard) == [b"1"]


async def test_a_stopped_broker_forgets_and_sends_no_wills() -> None:
    time = Hours()
    broker = MemoryBroker(sleep=time.sleep)
    link = broker.link("a", ["#"], Will("gone", b"1"))
    async with hearing(link) as heard:
        await link.send("state", b"kept", retain=True)
        broker.stop()
        await time.pass_by(1)
        broker.start()
        await time.pass_by(1)
    assert [type(event) for event in heard] == [Connected, Message, Disconnected, Disconnected, Connected]


async def test_a_topic_with_wildcards_is_our_misuse() -> None:
    link = MemoryBroker().link("a")
    async with hearing(link):
        for topic in ("", "a/+", "a/#"):
            with pytest.raises(ValueError, match="wildcards"):
                await link.send(topic, b"")


@pytest.mark.parametrize(
    ("topic_filter", "topic", "covered"),
    [
        # the examples of MQTT 3.1.1, section 4.7
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "a/b", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/monitor", False),
        ("+/monitor", "$SYS/monitor", False),
        ("$SYS/#", "$SYS/monitor", True),
        ("a", "A", False),
        ("a/b/#", "a", False),
    ],
)
def test_topic_filters(topic_filter: str, topic: str, covered: bool) -> None:
    assert matches(topic_filter, topic) is covered


levels = st.lists(st.text(string.ascii_lowercase, max_size=2), min_size=1, max_size=4)


@given(levels, st.data())
def test_a_filter_made_from_a_topic_covers_it(topic: list[str], data: st.DataObject) -> None:
    wanted = [data.draw(st.sampled_from([level, "+"])) for level in topic]
    cut = data.draw(st.none() | st.integers(0, len(topic)))
    made = wanted if cut is None else [*wanted[:cut], "#"]
    assert matches("/".join(made), "/".join(topic))
