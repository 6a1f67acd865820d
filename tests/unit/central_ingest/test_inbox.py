"""The inbox: bounded whoever sends, each topic in its order, and nobody served at another's expense."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest import inbox as module
from central_ingest.inbox import ARRIVAL_BYTES, TICK_BYTES_MAX, TICK_MESSAGES_MAX, Inbox
from central_ingest.lags import Lags
from central_ingest.metrics import Metrics
from protocol.limits import ENVELOPE_BYTES_MAX, KIB, MIB

Arrivals = list[tuple[str, bytes]]


def counters() -> Metrics:
    return Metrics(Lags(lambda: 0.0))


def test_what_came_is_taken_in_the_order_of_its_topic() -> None:
    inbox = Inbox(1 * MIB, counters())
    for number in range(3):
        inbox.put("a", b"a%d" % number)
    inbox.put("b", b"b0")
    assert inbox.take() == [("a", b"a0"), ("b", b"b0"), ("a", b"a1"), ("a", b"a2")]
    assert (bool(inbox), inbox.held_bytes, inbox.take()) == (False, 0, [])


def test_whoever_floods_loses_his_newest_and_nobody_else_anything() -> None:
    metrics = counters()
    inbox = Inbox(100 * KIB, metrics)
    for number in range(1_000):
        inbox.put("flood", b"%04d" % number + b"x" * KIB)
        if number % 100 == 0:
            inbox.put("honest", b"honest %d" % number)
        assert inbox.held_bytes <= 100 * KIB
    taken = inbox.take()
    assert [data for topic, data in taken if topic == "honest"] == [
        b"honest %d" % n for n in range(0, 1_000, 100)
    ]
    flood = [data[:4] for topic, data in taken if topic == "flood"]
    assert flood == sorted(flood)
    assert flood[:50] == [b"%04d" % number for number in range(50)], "the newest went"
    assert metrics.arrivals_dropped == 1_000 - len(flood) > 0


def test_an_honest_agent_finds_room_when_floods_have_taken_all() -> None:
    inbox = Inbox(100 * KIB, counters())
    for number in range(400):
        inbox.put(f"flood {number % 4}", b"x" * KIB)
    inbox.put("honest", b"h" * 10 * KIB)
    assert inbox.held_bytes <= 100 * KIB
    assert ("honest", b"h" * 10 * KIB) in inbox.take()


def test_a_million_topics_fill_nothing() -> None:
    metrics = counters()
    inbox = Inbox(1 * MIB, metrics)
    inbox.put("honest", b"h")
    for number in range(100_000):
        inbox.put(f"guicang/v1/{number:032x}/up", b"")
    assert inbox.held_bytes <= 1 * MIB
    assert len(inbox._queues) <= MIB // ARRIVAL_BYTES
    assert ("honest", b"h") in inbox.take()


def test_topics_are_bounded_too() -> None:
    inbox = Inbox(1 << 40, counters())
    for number in range(module.TOPICS_MAX + 10):
        inbox.put(str(number), b"")
    assert len(inbox._queues) == module.TOPICS_MAX
    assert inbox._metrics.arrivals_dropped == 10


def test_what_no_end_sends_is_refused_at_once() -> None:
    metrics = counters()
    inbox = Inbox(1 << 40, metrics)
    inbox.put("a", bytes(ENVELOPE_BYTES_MAX))
    inbox.put("a", bytes(ENVELOPE_BYTES_MAX + 1))
    assert metrics.refused == {"GC-5007": 1}
    assert len(inbox.take()) == 1


def test_a_tick_is_bounded_in_bytes_and_turns_go_round() -> None:
    inbox = Inbox(1 << 40, counters())
    for topic in ("a", "b", "c"):
        for _ in range(40):
            inbox.put(topic, bytes(MIB))
    first = inbox.take()
    assert sum(len(data) for _, data in first) == TICK_BYTES_MAX
    assert {topic for topic, _ in first} == {"a", "b", "c"}
    inbox.put("late", b"x")
    assert ("late", b"x") in inbox.take()


def test_messages_of_one_topic_are_few_in_a_tick() -> None:
    """Each may cost the ledger hundreds of statements; envelopes behind them keep their order."""
    inbox = Inbox(1 << 40, counters())
    for number in range(20):
        inbox.put("chatty", b"GCMS%d" % number)
    inbox.put("chatty", b"GCEV")
    inbox.put("honest", b"GCMS")
    ticks = [inbox.take() for _ in range(3)]
    assert [sum(topic == "chatty" for topic, _ in one) for one in ticks] == [
        TICK_MESSAGES_MAX,
        TICK_MESSAGES_MAX,
        5,
    ]
    assert ("honest", b"GCMS") in ticks[0]
    assert [data for one in ticks for topic, data in one if topic == "chatty"][-1] == b"GCEV"


@settings(max_examples=200, deadline=None)
@given(
    arrivals=st.lists(
        st.one_of(st.none(), st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.booleans())),
        max_size=60,
    ),
    bytes_max=st.integers(1, 4_000),
)
def test_whatever_comes_each_topic_keeps_its_order_and_the_bound_holds(
    arrivals: list[tuple[str, int, bool] | None], bytes_max: int
) -> None:
    metrics = counters()
    inbox = Inbox(bytes_max, metrics)
    put: dict[str, list[bytes]] = defaultdict(list)
    taken: dict[str, list[bytes]] = defaultdict(list)
    for number, arrival in enumerate(arrivals):
        if arrival is None:
            for topic, data in inbox.take():
                taken[topic].append(data)
            continue
        topic, size, message = arrival
        data = (b"GCMS" if message else b"GCEV") + b"%d " % number + b"x" * size
        put[topic].append(data)
        inbox.put(topic, data)
        assert 0 <= inbox.held_bytes <= bytes_max
    while inbox:
        for topic, data in inbox.take():
            taken[topic].append(data)
    assert inbox.held_bytes == 0
    count = sum(map(len, put.values()))
    assert metrics.arrivals_dropped == count - sum(map(len, taken.values()))
    for topic, data_of in taken.items():
        rest = iter(put[topic])
        assert all(data in rest for data in data_of), "in order"
