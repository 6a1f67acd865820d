"""What a damaged journal does to the streams whose data had not landed, and to no others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from central_ingest.journal.journal import TORN_TAIL, Damage
from central_ingest.journal.memory import MemoryJournal
from central_ingest.landing.holes import Holes
from central_ingest.ledger.broken import broken_epochs
from protocol.envelope import Kind
from protocol.names import Stream

from ..sender import OTHER_STREAM, STREAM, VISITS, Sender
from .ground import Ground


class Rotten(MemoryJournal):
    """A journal in memory that says what it is told to say of its damage."""

    found: tuple[Damage, ...] = ()

    @property
    def damage(self) -> Sequence[Damage]:
        return self.found


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    one = Ground(tmp_path)
    for sender in (Sender(1, STREAM), Sender(2, OTHER_STREAM, epoch=4)):
        one.begin(sender)
    return one


@pytest.mark.parametrize(
    ("marks", "reason", "broken"),
    [
        ((100, 200), "rot", {}),
        ((199, 200), "rot", {STREAM: 1}),
        ((0, 150), "rot", {STREAM: 1, OTHER_STREAM: 4}),
        ((0, 0), TORN_TAIL, {}),
    ],
    ids=["both landed", "one had not", "neither had", "a torn tail had no receipt"],
)
def test_an_epoch_is_broken_where_a_hole_reaches_above_the_low_water_mark(
    ground: Ground, marks: tuple[int, int], reason: str, broken: dict[Stream, int]
) -> None:
    journal = Rotten(ground.store)
    holes = Holes(journal, ground.ledger)
    low_water = dict(zip((STREAM, OTHER_STREAM), marks, strict=True))
    holes.look(low_water)
    assert broken_epochs(ground.ledger) == {}
    journal.found = (Damage(50, 50 if marks == (100, 200) else 150, reason),)
    holes.look(low_water)
    assert broken_epochs(ground.ledger) == broken


def test_a_hole_is_looked_at_once_and_a_new_epoch_is_whole(ground: Ground) -> None:
    journal = Rotten(ground.store)
    holes = Holes(journal, ground.ledger)
    journal.found = (Damage(50, 10, "rot"),)
    holes.look({})
    ground.begin(Sender(1, STREAM, epoch=2))
    holes.look({})
    assert broken_epochs(ground.ledger) == {STREAM: 1, OTHER_STREAM: 4}
    journal.found += (Damage(70, 10, "rot"),)
    holes.look({})
    assert broken_epochs(ground.ledger) == {STREAM: 2, OTHER_STREAM: 4}


def test_a_stream_that_began_since_the_start_is_hurt_by_the_loss_of_its_first_envelopes(
    ground: Ground,
) -> None:
    """All that the lander ever sees of it stands behind the hole."""
    journal = ground.journal = ground.store.writer = Rotten(ground.store)
    ground.start()
    late = Sender(3, Stream(STREAM.site, "late"))
    ground.begin(late)
    ground.write(late.send(Kind.SCHEMA, VISITS.content))
    end = ground.write(late.send(Kind.SCHEMA, VISITS.content))
    del ground.store.entries[0]
    journal.found = (Damage(0, end, "rot"),)
    ground.lander.step()
    assert broken_epochs(ground.ledger)[late.stream] == 1


def test_a_stream_that_begins_behind_an_old_hole_is_whole(ground: Ground) -> None:
    """The lander has met nothing of it yet, and looks at the old holes once after each start."""
    end = ground.write(Sender(1, STREAM).send(Kind.SCHEMA, VISITS.content))
    ground.write(Sender(1, STREAM).send(Kind.SCHEMA, VISITS.content))
    late = Sender(3, Stream(STREAM.site, "late"))
    ground.begin(late)
    journal = Rotten(ground.store)
    journal.found = (Damage(end, 10, "rot"),)
    Holes(journal, ground.ledger).look({})
    assert set(broken_epochs(ground.ledger)) == {STREAM, OTHER_STREAM}
