"""From where on the journal has all of a stream: never too far back, whatever is damaged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.journal.journal import Damage, Run
from central_ingest.journal.memory import MemoryJournal, MemoryStore
from central_ingest.journal.runs import Runs
from central_ingest.landing.wholeness import Whole, whole_from
from protocol.envelope import parse
from protocol.names import Stream
from protocol.signing import SUITES

from ..sender import OTHER_STREAM, STREAM, Sender

Written = list[tuple[Stream, int, int]]
"""Stream, offset and end of each record."""


def judged(journal: MemoryJournal, sender: Sender, used: list[int]) -> Whole:
    runs = Runs(SUITES)
    for one in journal.outline():
        if isinstance(one, Run):
            runs.join(one)
        else:
            runs.add(one)
    return whole_from(
        [run for run in runs.all() if run.stream == sender.stream],
        journal.damage,
        start=journal.start,
        end=journal.end,
        head=(sender.head.epoch, sender.head.seq),
        used=used,
    )


@given(
    acts=st.lists(st.sampled_from(["one", "one", "one", "other", "epoch"]), min_size=1, max_size=14),
    lost=st.sets(st.integers(0, 13), max_size=2),
    given_up=st.integers(0, 8),
)
@settings(max_examples=80, deadline=None)
def test_what_is_called_whole_is_whole(acts: list[str], lost: set[int], given_up: int) -> None:
    journal = MemoryJournal.open(store := MemoryStore())
    one, other = Sender(1, STREAM), Sender(2, OTHER_STREAM)
    used, written = [1], Written()
    for act in acts:
        if act == "epoch":
            one.begin(one.epoch + 1)
            used.append(one.epoch)
            continue
        sender = one if act == "one" else other
        (offset,) = journal.append(1, [sender.mark()])
        written.append((sender.stream, offset, journal.end))
    ours = [(offset, end) for stream, offset, end in written if stream == STREAM]
    if given_up < len(written):
        store.give_up(written[given_up][1])
    rotten = [written[n] for n in sorted(lost) if n < len(written) and written[n][1] >= journal.start]
    for _, offset, end in rotten:
        store.rot(offset, end)
    found = judged(journal, one, used)
    lacking = [offset for offset, _ in ours if offset < journal.start]
    lacking += [offset for stream, offset, _ in rotten if stream == STREAM]
    if found.since is not None:
        assert all(offset < found.since for offset in lacking)
    if not found.lacks and (ours or found.since is not None):
        assert lacking == []
    if not rotten and not lacking:
        assert found == Whole(min((offset for offset, _ in ours), default=journal.start))


def test_runs_of_archives_and_records_join() -> None:
    store = MemoryStore()
    journal, sender = MemoryJournal.open(store), Sender()
    for _ in range(6):
        journal.append(1, [sender.mark()])
    offsets = [entry.offset for entry in journal.read()]
    store.give_up(offsets[2])
    store.give_up(offsets[4])
    runs = Runs(SUITES)
    for one in journal.outline():
        runs.join(one) if isinstance(one, Run) else runs.add(one)
    (run,) = runs.all()
    assert (run.first, run.last, run.begin, run.offset) == (1, 6, offsets[0], offsets[5])
    assert (run.before, run.chain) == (b"", sender.head.chain)
    assert run.envelope_bytes == sum(map(len, sender.sent.values()))
    assert parse(sender.sent[6]).digest(SUITES[1]) == run.hash


@pytest.mark.parametrize(
    ("used", "lacks"), [([2], ""), ([1, 2], "epoch 1 may have stood at the damaged offset 0")]
)
def test_an_epoch_that_is_lost_altogether_is_known_from_the_ledger(used: list[int], lacks: str) -> None:
    journal = MemoryJournal.open(store := MemoryStore())
    journal.append(1, [Sender(2, OTHER_STREAM).mark()])
    (offset,) = journal.append(1, [(sender := Sender(1, STREAM, epoch=2)).mark()])
    store.rot(0, offset)
    assert judged(journal, sender, used) == Whole(offset, lacks)
    assert journal.damage == (Damage(0, offset, "rot"),)
