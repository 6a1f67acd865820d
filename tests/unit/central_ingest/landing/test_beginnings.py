"""A journal that begins later than landing needs it: the epoch that lacks its beginning is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from central_ingest.ledger.broken import broken_epochs
from central_ingest.ledger.ledger import StreamRecord
from protocol.envelope import Kind
from protocol.errors import Transient

from ..sender import OTHER_STREAM, STREAM, VISITS, Sender, a_batch
from .ground import FaultyLake, Ground


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def write(ground: Ground, sender: Sender, count: int) -> int:
    """A schema and batches; the heads are known. Returns where the first stands."""
    first = ground.journal.end
    ground.write(sender.send(Kind.SCHEMA, VISITS.content))
    for number in range(count):
        ground.write(sender.send(Kind.BATCH, a_batch(VISITS, [number])))
    ground.ledger.save_heads([StreamRecord(sender.stream, sender.agent, sender.head, 0)], ground.journal.end)
    return first


def begin(ground: Ground, sender: Sender, epoch: int) -> None:
    sender.begin(epoch)
    ground.begin(sender)


def test_nothing_happens_while_nothing_before_the_beginning_is_needed(ground: Ground) -> None:
    sender = Sender()
    begin(ground, sender, 1)
    ground.start()
    write(ground, sender, 3)
    ground.land()
    ground.store.give_up(ground.journal.end)
    write(ground, sender, 2)
    ground.start()
    ground.land()
    assert broken_epochs(ground.ledger) == {}
    assert [seq for _, seq, _ in ground.versions(STREAM, VISITS.table)] == [2, 3, 4, 6, 7]
    assert ground.low_water(STREAM) == ground.journal.end


def test_an_epoch_that_lacks_its_beginning_is_broken_and_what_is_there_lands(ground: Ground) -> None:
    cut, whole = Sender(1, STREAM), Sender(2, OTHER_STREAM)
    for one in (cut, whole):
        begin(ground, one, 1)
    ground.start()
    write(ground, cut, 3)
    write(ground, whole, 1)
    start = ground.journal.end
    write(ground, cut, 2)
    begin(ground, whole, 2)
    write(ground, whole, 2)
    ground.land()
    ground.store.give_up(start)
    ground.ledger.save_low_water({STREAM: 0, OTHER_STREAM: 0})  # restored from an old backup
    ground.start()
    ground.land()
    assert broken_epochs(ground.ledger) == {STREAM: 1}
    assert [seq for _, seq, _ in ground.versions(STREAM, VISITS.table)] == [2, 3, 4, 6, 7]
    assert ground.versions(OTHER_STREAM, VISITS.table) == [(1, 2, 0), (2, 2, 0), (2, 3, 0)]
    assert {one.low_water for one in ground.ledger.streams()} == {ground.journal.end}


def test_a_lake_that_lost_its_tables_has_what_the_journal_still_has(ground: Ground) -> None:
    sender = Sender()
    begin(ground, sender, 1)
    ground.start()
    write(ground, sender, 3)
    start = ground.journal.end
    begin(ground, sender, 2)
    write(ground, sender, 3)
    ground.land()
    ground.store.give_up(start)
    ground.lake = FaultyLake()
    ground.start()
    with pytest.raises(Transient, match="GC-6052"):
        ground.look()
    ground.land()
    assert broken_epochs(ground.ledger) == {}, "the present epoch stands whole"
    assert ground.versions(STREAM, VISITS.table) == [(2, 2, 0), (2, 3, 0), (2, 4, 0)]
