"""Copies of the roster: kept in the step in which it changes, joined at a start, refused where they may lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from central_ingest.journal.memory import MemoryJournal
from central_ingest.ledger import holdings
from central_ingest.ledger.holdings import Epochs
from central_ingest.ledger.ledger import AgentRecord, Ledger
from central_ingest.restart import restore as restore_heads
from central_ingest.safekeeping import NAME, KeptLedger, Safe, restore
from protocol.errors import Permanent, Transient
from protocol.signing import SUITES, Ed25519Signer

from .journal.faulty_disk import FaultyDisk
from .ledgers import memory_ledger
from .sender import CENTRE, OTHER_STREAM, STREAM, Sender


class Ground:
    """A ledger with its copies in two places; `lose()` gives another, empty one."""

    def __init__(self, root: Path) -> None:
        self.places = (root / "lake" / "_system", root / "journal")
        self.disk = FaultyDisk()
        self.journal = MemoryJournal.open()
        self.plain: Ledger
        self.lose()
        self.a, self.b = Sender(1), Sender(2, OTHER_STREAM)

    def lose(self) -> None:
        self.plain = memory_ledger()
        self.safe = Safe(self.places, CENTRE, self.disk)
        self.ledger = KeptLedger.of(self.plain, self.safe)

    def enrol(self, sender: Sender) -> None:
        record = AgentRecord(sender.agent, sender.stream.site, 1, sender.signer.public, "1", 7, None)
        self.ledger.invite(sender.agent.encode(), sender.stream.site, 10)
        assert self.ledger.use_invitation(sender.agent.encode(), sender.stream.site, record, 1)

    def begin(self, sender: Sender) -> None:
        self.ledger.add_grant(sender.stream, sender.epoch, sender.agent, 2)
        self.ledger.begin_epoch(sender.stream, sender.epoch, sender.agent, 3, 0)

    def restore(self) -> bool:
        return restore(self.plain, self.safe, self.journal)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    one = Ground(tmp_path)
    one.ledger.add_site("h1", "一院", 1)
    one.enrol(one.a)
    one.enrol(one.b)
    one.begin(one.a)
    one.ledger.add_grant(STREAM, 2, one.a.agent, 4)
    one.ledger.revoke(one.b.agent, 5)
    return one


def test_a_lost_ledger_has_its_roster_again(ground: Ground) -> None:
    before = holdings.read(ground.plain)
    for data in (ground.a.mark(), ground.a.mark()):
        ground.journal.append(9, [data])
    ground.lose()
    assert ground.restore()
    assert holdings.read(ground.plain) == before
    assert not ground.restore(), "once"
    heads = restore_heads(ground.plain, ground.journal, SUITES)
    assert (tenure := heads.tenure(STREAM)) is not None
    assert (tenure.agent, tenure.head) == (ground.a.agent, ground.a.head)


def test_an_epoch_is_never_granted_twice(ground: Ground) -> None:
    ground.lose()
    ground.restore()
    assert holdings.read(ground.plain).epochs[STREAM] == Epochs(2, ground.a.agent, 1, ground.a.agent)


@pytest.mark.parametrize("lost", [0, 1])
def test_one_copy_is_enough(ground: Ground, lost: int) -> None:
    (ground.places[lost] / NAME).unlink()
    ground.lose()
    assert ground.restore()
    assert {one.id for one in ground.plain.agents()} == {ground.a.agent, ground.b.agent}
    assert (ground.places[lost] / NAME).exists()


def test_an_older_ledger_learns_who_was_revoked_since(ground: Ground) -> None:
    ground.lose()
    ground.enrol(ground.b)  # as the ledger of an old backup knows it
    assert ground.restore()
    assert {one.id: one.revoked for one in ground.plain.agents()}[ground.b.agent] == 5


def test_a_ledger_that_is_whole_lacks_nothing_and_fills_missing_copies(ground: Ground) -> None:
    for place in ground.places:
        (place / NAME).unlink()
    assert not ground.restore()
    assert ground.safe.read() == holdings.read(ground.plain)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    "tamper",
    [
        lambda content: content.replace(b'"revoked": 5', b'"revoked": null'),
        lambda content: content[:-1],
        lambda content: content.partition(b"\n")[2],
        lambda content: b"",
    ],
)
def test_a_copy_that_is_not_as_it_was_signed_is_refused(
    ground: Ground, place: int, tamper: Callable[[bytes], bytes]
) -> None:
    path = ground.places[place] / NAME
    content = path.read_bytes()
    assert tamper(content) != content
    path.write_bytes(tamper(content))
    ground.lose()
    with pytest.raises(Permanent, match="GC-6030"):
        ground.restore()
    assert ground.plain.agents() == []


def test_the_copy_of_another_centre_is_refused(ground: Ground) -> None:
    ground.safe = Safe(ground.places, Ed25519Signer(b"x" * 32))
    with pytest.raises(Permanent, match="GC-6030"):
        ground.restore()


def test_copies_older_than_the_journal_are_refused(ground: Ground) -> None:
    ground.journal.append(9, [Sender(1, epoch=3).mark()])
    ground.lose()
    with pytest.raises(Permanent, match="GC-6031"):
        ground.restore()
    assert ground.plain.agents() == []


def test_epochs_that_the_journal_gave_up_count_all_the_same(ground: Ground) -> None:
    ground.a.begin(3)
    ground.journal.append(9, [ground.a.mark()])
    ground.journal._store.give_up(ground.journal.end)
    ground.lose()
    with pytest.raises(Permanent) as refusal:
        ground.restore()
    assert refusal.value.facts == {"stream": str(STREAM), "epoch": 3}


def test_without_copies_nobody_is_trusted_and_epochs_rise_above_the_journal(ground: Ground) -> None:
    ground.journal.append(9, [Sender(1, epoch=3).mark()])
    for place in ground.places:
        (place / NAME).unlink()
    ground.lose()
    assert ground.restore()
    assert ground.plain.agents() == []
    assert holdings.read(ground.plain).epochs == {STREAM: Epochs(3, "", 3, "")}


def test_a_grant_that_cannot_be_kept_is_not_given(ground: Ground) -> None:
    ground.disk.room = 0
    with pytest.raises(Transient, match="GC-6032"):
        ground.ledger.add_grant(STREAM, 3, ground.a.agent, 6)
    assert [one.epoch for one in ground.plain.grants(STREAM)] == [1, 2]


def test_a_revocation_is_in_the_copies_before_it_is_in_the_ledger(ground: Ground) -> None:
    ground.disk.room = 0
    with pytest.raises(Transient, match="GC-6032"):
        ground.ledger.revoke(ground.a.agent, 6)
    assert {one.id: one.revoked for one in ground.plain.agents()}[ground.a.agent] is None


def test_an_enrolment_that_could_not_be_kept_is_kept_when_it_is_asked_again(ground: Ground) -> None:
    new = Sender(3)
    ground.disk.room = 0
    with pytest.raises(Transient, match="GC-6032"):
        ground.enrol(new)
    ground.disk.room = None
    record = AgentRecord(new.agent, "h1", 1, new.signer.public, "1", 7, None)
    assert ground.ledger.use_invitation(new.agent.encode(), "h1", record, 2)
    ground.lose()
    ground.restore()
    assert new.agent in {one.id for one in ground.plain.agents()}


def test_copies_survive_a_power_cut(ground: Ground) -> None:
    ground.disk.power_cut()
    ground.lose()
    assert ground.restore()
    assert holdings.read(ground.plain).epochs[STREAM].issued == 2
