"""Shelves on a disk: what was flushed is there after a kill, once and in order, with its own time of receipt."""

from __future__ import annotations

from pathlib import Path

import pytest

from central_ingest.journal.journal import Entry
from central_ingest.ledger.ledger import Ledger
from central_ingest.quarantine import SHELVES_OPEN_MAX, FileShelves, Place, Quarantine
from protocol.envelope import parse
from protocol.errors import Rejected, Transient

from .ledgers import memory_ledger
from .sender import STREAM, Sender

PLACE: Place = (STREAM, "changes/h1/his/x")
FAULT = Rejected("GC-5006", reason="test")


class Ground:
    def __init__(self, root: Path) -> None:
        self.root = root / "quarantine"
        self.ledger: Ledger = memory_ledger()
        self.sender = Sender()
        self.quarantine = Quarantine(self.ledger.quarantine, FileShelves(self.root))
        self.quarantine.load()

    def kill(self) -> None:
        """A new process: locks go with the old one, what was not flushed as well."""
        for journal in self.quarantine._open.values():
            journal.close()
        self.quarantine = Quarantine(self.ledger.quarantine, FileShelves(self.root))
        self.quarantine.load()

    def entry(self) -> Entry:
        data = self.sender.mark()
        return Entry(self.sender.head.seq * 100, 5_000 + self.sender.head.seq // 2, data)

    def hold(self, entry: Entry, place: Place = PLACE) -> None:
        header = parse(entry.envelope).header
        if self.quarantine.held(place) is None:
            self.quarantine.park(place, header, FAULT, 1)
        self.quarantine.hold(place, header, entry)

    def there(self, place: Place = PLACE) -> list[tuple[int, bytes]]:
        return [(entry.received, entry.envelope) for entry in self.quarantine.read(place, 0)]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_what_was_flushed_survives_as_it_was_received_and_once(ground: Ground) -> None:
    entries = [ground.entry() for _ in range(5)]
    for entry in entries[:3]:
        ground.hold(entry)
    assert ground.quarantine.first_unsafe(STREAM) == 100
    ground.quarantine.flush()
    assert ground.quarantine.first_unsafe(STREAM) is None
    ground.hold(entries[3])
    ground.kill()
    for entry in entries:  # the journal is read again
        ground.hold(entry)
    ground.quarantine.flush()
    assert ground.there() == [(entry.received, entry.envelope) for entry in entries]
    (held,) = ground.ledger.quarantine.held()
    assert (held.first, held.last, held.envelopes) == ((1, 1), (1, 5), 5)
    assert held.bytes == sum(len(entry.envelope) for entry in entries)


def test_what_the_ledger_had_not_noted_is_counted_at_the_start(ground: Ground) -> None:
    entries = [ground.entry() for _ in range(2)]
    for entry in entries:
        ground.hold(entry)
    before = ground.ledger.quarantine.held()
    ground.quarantine.flush()
    ground.ledger.quarantine.note(before)  # as if it had not come so far
    ground.kill()
    (held,) = ground.ledger.quarantine.held()
    assert (held.envelopes, held.last) == (2, (1, 2))
    for entry in entries:
        ground.hold(entry)
    ground.quarantine.flush()
    assert len(ground.there()) == 2


def test_a_shelf_that_the_ledger_does_not_know_is_set_aside_and_never_read(ground: Ground) -> None:
    """As after a lost ledger, whose numbers begin anew."""
    ground.hold(ground.entry())
    ground.quarantine.flush()
    ground.quarantine.close()
    ground.ledger = memory_ledger()
    ground.kill()
    assert [path.name for path in ground.root.iterdir()] == ["unknown"]
    ground.hold(ground.entry())
    ground.quarantine.flush()
    assert len(ground.there()) == 1
    assert len(list((ground.root / "unknown").iterdir())) == 1


def test_more_shelves_than_may_be_open(ground: Ground) -> None:
    places: list[Place] = [(STREAM, f"changes/{number}") for number in range(SHELVES_OPEN_MAX + 3)]
    for _ in range(2):
        for place in places:
            ground.hold(ground.entry(), place)
        ground.quarantine.flush()
    assert len(ground.quarantine._open) == SHELVES_OPEN_MAX
    assert {len(ground.there(place)) for place in places} == {2}
    assert all(map(ground.quarantine.is_whole, places))


def test_what_is_removed_is_gone(ground: Ground) -> None:
    ground.hold(ground.entry())
    ground.quarantine.flush()
    ground.ledger.quarantine.release(ground.ledger.quarantine.held()[0], 9)
    ground.quarantine.remove(PLACE)
    assert list(ground.root.iterdir()) == []
    ground.kill()
    assert ground.quarantine.places() == []


def test_a_disk_that_refuses_is_told_by_its_code(ground: Ground, tmp_path: Path) -> None:
    ground.root.write_text("a file in its place")
    ground.hold(ground.entry())
    with pytest.raises(Transient) as caught:
        ground.quarantine.flush()
    assert caught.value.code == "GC-6021"
    assert ground.quarantine.first_unsafe(STREAM) == 100
    ground.root.unlink()
    ground.quarantine.flush()
    assert len(ground.there()) == 1
