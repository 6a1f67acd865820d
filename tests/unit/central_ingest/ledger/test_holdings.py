"""Holdings join like sets: in whatever order and however often, and nothing that either held is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from central_ingest.ledger.holdings import Epochs, Holdings, add, read
from central_ingest.ledger.ledger import AgentRecord
from protocol.names import Stream

from ..ledgers import memory_ledger

STREAMS = [Stream("h1", "his"), Stream("h1", "lis"), Stream("h2", "his")]
AGENTS = ["a" * 32, "b" * 32, "c" * 32]


def record(agent: str, revoked: int | None) -> AgentRecord:
    return AgentRecord(agent, "h1", 1, agent.encode(), "1", 7, revoked)


agents = st.dictionaries(st.sampled_from(AGENTS), st.none() | st.integers(1, 9)).map(
    lambda found: {agent: record(agent, revoked) for agent, revoked in found.items()}
)
epochs = st.dictionaries(
    st.sampled_from(STREAMS),
    st.tuples(st.integers(1, 5), st.integers(0, 5), st.sampled_from(AGENTS)).map(
        lambda one: Epochs(max(one[:2]), one[2], one[1], one[2] if one[1] else "")
    ),
)
some = st.builds(Holdings, st.just({"h1": "一院"}), agents, epochs)


@given(some, some, some)
def test_they_join_in_any_order_and_any_number_of_times(
    one: Holdings, two: Holdings, three: Holdings
) -> None:
    assert one.join(two) == two.join(one)
    assert one.join(two).join(three) == one.join(two.join(three))
    assert one.join(two).join(two) == one.join(two)
    assert not one.join(two).lacks(one)


@given(some)
def test_bytes_give_them_back(one: Holdings) -> None:
    assert Holdings.from_bytes(one.to_bytes()) == one


@given(some, some)
def test_a_ledger_holds_what_either_held(one: Holdings, two: Holdings) -> None:
    ledger = memory_ledger()
    add(ledger, one)
    add(ledger, two)
    held, both = read(ledger), one.join(two)
    assert not held.lacks(both)
    assert held.agents == both.agents
    for stream, wanted in both.epochs.items():
        assert (held.epochs[stream].issued, held.epochs[stream].used) == (wanted.issued, wanted.used)
    ledger.close()


def test_whoever_is_revoked_in_one_is_revoked() -> None:
    trusting, knowing = (Holdings(agents={"a": record("a", when)}) for when in (None, 5))
    for joined in (trusting.join(knowing), knowing.join(trusting)):
        assert joined.agents["a"].revoked == 5
    assert trusting.lacks(knowing)
    assert not knowing.lacks(trusting)
