"""What was found, what it means, what mends it: the table of docs/operating.md, judged without a lake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central_ingest.landing.soundness import Mend, Reach, TableFound, Wrong, judged

PATH, DERIVED = "changes/h1/his/a", "current/h1/his/a"
WHOLE, NOTHING = Reach(True), Reach(False)
BAD = {"f": Wrong.MISSING}
ABOVE = [("GC-6096", Mend.START)]

CASES = [
    ("nothing is wrong", TableFound(PATH, 5, sound=5), 5, WHOLE, []),
    ("ledger behind", TableFound(PATH, 5, sound=5), 3, WHOLE, [("GC-6097", Mend.NOTHING)]),
    ("ledger ahead", TableFound(PATH, 5, sound=5), 8, WHOLE, [("GC-6097", Mend.START)]),
    ("table gone", TableFound(PATH, -1), 8, WHOLE, [("GC-6097", Mend.START)]),
    ("not in the ledger", TableFound(PATH, 5, sound=5), None, WHOLE, [("GC-6098", Mend.START)]),
    ("torn above what is durable", TableFound(PATH, 5, (5,), sound=4), 4, WHOLE, [("GC-6095", Mend.START)]),
    ("torn below it", TableFound(PATH, 5, (5,), sound=4), 5, WHOLE, [("GC-6095", Mend.AGAIN)]),
    ("two torn", TableFound(PATH, 5, (3, 5), sound=2), 5, WHOLE, [("GC-6095", Mend.AGAIN)] * 2),
    ("torn, no journal", TableFound(PATH, 5, (3,), sound=2), 5, NOTHING, [("GC-6095", Mend.SNAPSHOT)]),
    ("bad file", TableFound(PATH, 5, (), BAD, sound=1), 5, WHOLE, [("GC-6096", Mend.AGAIN)]),
    ("bad file above what is durable", TableFound(PATH, 5, (), BAD, sound=4), 4, WHOLE, ABOVE),
    (
        "bad file there, and below it",
        TableFound(PATH, 5, (), BAD, sound=2),
        4,
        WHOLE,
        [("GC-6096", Mend.AGAIN)],
    ),
    ("bad file above a checkpoint", TableFound(PATH, 5, (), BAD, base=3, sound=4), 2, WHOLE, ABOVE),
    ("bad file in it", TableFound(PATH, 5, (), BAD, base=3, sound=2), 2, WHOLE, [("GC-6096", Mend.AGAIN)]),
    ("bad file of nobody knows when", TableFound(PATH, 5, (), BAD), 5, NOTHING, [("GC-6096", Mend.SNAPSHOT)]),
    ("bad file and orphans", TableFound(PATH, 5, (), BAD, sound=1, orphans=1), 5, WHOLE, None),
    ("checkpoint gone", TableFound(PATH, 5, sound=5, spoilt=BAD), 5, NOTHING, [("GC-6096", Mend.ASIDE)]),
    (
        "checkpoint and entry gone",
        TableFound(PATH, 5, (3,), sound=2, spoilt=BAD),
        5,
        WHOLE,
        [("GC-6095", Mend.AGAIN), ("GC-6096", Mend.AGAIN)],
    ),
    ("derived, torn", TableFound(DERIVED, 5, (5,), sound=4), None, NOTHING, [("GC-6095", Mend.ANEW)]),
    ("derived, bad file", TableFound(DERIVED, 5, (), BAD, sound=1), None, NOTHING, [("GC-6096", Mend.ANEW)]),
    ("derived, sound", TableFound(DERIVED, 5, sound=5), None, NOTHING, []),
]


@pytest.mark.parametrize(
    ("found", "synced", "reach", "wanted"), [one[1:] for one in CASES], ids=[c[0] for c in CASES]
)
def test_a_case(
    found: TableFound, synced: int | None, reach: Reach, wanted: list[tuple[str, Mend]] | None
) -> None:
    told = [(one.fault.code, one.mend) for one in judged(found, synced, reach)]
    assert told == ([("GC-6096", Mend.AGAIN), ("GC-6099", Mend.NOTHING)] if wanted is None else wanted)


positions = st.tuples(st.integers(1, 4), st.integers(1, 9))


@given(first=positions, held=positions)
def test_the_journal_reaches_where_nothing_lies_between(
    first: tuple[int, int], held: tuple[int, int]
) -> None:
    """What is held ends at `held`; the journal's first record of the stream is `first`."""
    wanted = first <= (held[0], held[1] + 1)
    assert Reach(False, first).covers(held) == wanted
    assert Reach(True, first).covers(held)
    assert not Reach(False, first).covers(None)
    assert not Reach(False).covers(held)
