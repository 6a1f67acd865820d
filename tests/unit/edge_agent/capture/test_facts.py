"""Facts: whatever they hold comes back from JSON, and the spool finds the files that they name."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.capture.facts import Facts, Progress, Reading

counts = st.integers(0, 2**63)
progresses = st.builds(
    Progress,
    st.text(min_size=1),
    st.text(),
    st.binary(),
    counts,
    counts,
    st.integers(0, 2**128 - 1),
    st.booleans(),
)
readings = st.builds(Reading, st.text(min_size=1), st.text(min_size=1), counts, counts, counts)


@settings(max_examples=30)
@given(st.builds(Facts, st.none() | progresses, st.none() | readings, st.booleans(), counts, counts, counts))
def test_facts_come_back_from_json(facts: Facts) -> None:
    said = json.loads(json.dumps(facts.to_json()))
    assert Facts.from_json(said) == facts
    files = [facts.reading.scratch, facts.reading.index] if facts.reading else None
    assert said.get("files") == files


def test_nothing_to_remember_is_nothing() -> None:
    assert Facts().to_json() == {}
    assert Facts.from_json({}) == Facts()


def test_progress_counts_rows_whatever_their_order() -> None:
    begun = Progress("id", "first")
    one = begun.plus(b"k1", 1, [b"a", b"b"]).plus(b"k2", 2, [b"c"])
    other = begun.plus(b"", 0, [b"c"]).plus(b"k2", 3, [b"b", b"a"])
    assert one == other
    assert (one.batches, one.rows, one.cursor) == (3, 3, b"k2")
    assert one.set_hash != begun.plus(b"k2", 3, [b"a", b"b", b"d"]).set_hash
    assert len(one.set_hash_text) == 32
