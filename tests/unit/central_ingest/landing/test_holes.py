"""What a damaged journal lacks, and what landing makes of it: the streams that are hurt wait, the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.journal.journal import TORN_TAIL
from central_ingest.journal.memory import MemoryJournal, MemoryStore
from central_ingest.landing.holes import Holes, Survey
from central_ingest.ledger.broken import break_epoch, broken_epochs
from central_ingest.ledger.holes import GONE, HEALED, HoleRecord
from central_ingest.ledger.ledger import StreamRecord
from protocol.envelope import Kind, parse
from protocol.names import Stream
from protocol.signing import SUITES

from ..sender import OTHER_STREAM, STREAM, VISITS, Sender, a_batch, table
from .ground import Ground

THIRD_STREAM = Stream(STREAM.site, "pacs")


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def senders(ground: Ground) -> list[Sender]:
    made = [Sender(1, STREAM), Sender(2, OTHER_STREAM, epoch=4)]
    for one in made:
        ground.begin(one)
    ground.start()
    return made


def write(ground: Ground, senders: list[Sender], rounds: int = 6) -> dict[tuple[Stream, int], int]:
    """Each sends its schema and a row a round, in turn; the heads are known. Returns offsets by stream and sequence."""
    offsets = {}
    for number in range(rounds):
        for one in senders:
            data = (
                one.send(Kind.SCHEMA, VISITS.content)
                if one.head.seq == 0
                else one.send(Kind.BATCH, a_batch(VISITS, [number]))
            )
            offsets[one.stream, one.head.seq] = ground.write(data)
    know(ground, senders)
    return offsets


def know(ground: Ground, senders: list[Sender]) -> None:
    """As reception does now and then."""
    records = [StreamRecord(one.stream, one.agent, one.head, 0) for one in senders]
    ground.ledger.save_heads(records, ground.journal.end)


def rot(ground: Ground, offsets: dict[tuple[Stream, int], int], stream: Stream, *seqs: int) -> None:
    every = [*sorted(offsets.values()), ground.journal.end]
    for seq in seqs:
        at = offsets[stream, seq]
        ground.store.rot(at, every[every.index(at) + 1])


def land_again(ground: Ground) -> None:
    """After a restart, all that may land does."""
    ground.start()
    ground.land()
    ground.land()


def open_holes(ground: Ground) -> list[tuple[Stream, int, int, bool]]:
    return [(h.stream, h.first, h.last, one.waits) for one in ground.ledger.holes.open() for h in (one.hole,)]


def fill(ground: Ground, sender: Sender, one: HoleRecord) -> None:
    hole = one.hole
    data = [sender.sent[seq] for seq in range(hole.first, hole.last + 1)]
    assert ground.journal.repair(hole.start, hole.stop, hole.received, data)
    ground.ledger.holes.end(one.id, HEALED)


def landed(ground: Ground, sender: Sender) -> list[int]:
    return [seq for _, seq, _ in ground.versions(sender.stream, VISITS.table)]


# what is missing


@given(
    turns=st.lists(st.integers(0, 2), min_size=1, max_size=14),
    lost=st.sets(st.integers(0, 13)),
)
@settings(max_examples=40, deadline=None)
def test_the_chain_tells_exactly_what_is_missing(turns: list[int], lost: set[int]) -> None:
    journal = MemoryJournal.open(store := MemoryStore())
    senders = [Sender(n, s, epoch=n) for n, s in enumerate((STREAM, OTHER_STREAM, THIRD_STREAM), start=1)]
    chains = {(one.stream, 0): b"" for one in senders}
    written: list[tuple[Stream, int, int, int]] = []
    for turn in turns:
        one = senders[turn]
        (offset,) = journal.append(len(written), [one.mark()])
        chains[one.stream, one.head.seq] = one.head.chain
        written.append((one.stream, one.head.seq, offset, journal.end))
    gone = set()
    for number in lost & set(range(len(written))):
        stream, seq, offset, end = written[number]
        store.rot(offset, end)
        gone.add((stream, seq))
    records = [StreamRecord(one.stream, one.agent, one.head, 0) for one in senders]
    found = Survey(journal, records, SUITES).holes
    assert sorted((h.stream, seq) for h in found for seq in range(h.first, h.last + 1)) == sorted(gone)
    for hole in found:
        assert hole.before == chains[hole.stream, hole.first - 1]
        assert hole.hash == chains[hole.stream, hole.last]
        inside = [w for w in written if w[0] == hole.stream and hole.first <= w[1] <= hole.last]
        assert all(hole.start <= offset and end <= hole.stop for _, _, offset, end in inside)


@pytest.mark.parametrize("given_up", [1, 2, 3])
def test_what_was_given_up_is_not_missed_and_what_is_missing_behind_it_is_found(
    ground: Ground, senders: list[Sender], given_up: int
) -> None:
    offsets = write(ground, senders)
    ground.land()
    for gone in range(given_up):
        ground.store.give_up(offsets[STREAM, gone + 2])
    more = write(ground, senders)
    rot(ground, offsets | more, STREAM, 4, 8)
    land_again(ground)
    assert open_holes(ground) == [(STREAM, 4, 4, False), (STREAM, 8, 8, True)]
    for record in ground.ledger.holes.open():
        lost = parse(senders[0].sent[record.hole.first])
        assert (record.hole.before, record.hole.hash) == (lost.header.previous, lost.digest(SUITES[1]))
    for record in ground.ledger.holes.open():
        fill(ground, senders[0], record)
    land_again(ground)
    for sender in senders:
        assert landed(ground, sender) == [*range(2, 13)]
    assert broken_epochs(ground.ledger) == {}


def test_of_an_older_epoch_nothing_is_missed(ground: Ground, senders: list[Sender]) -> None:
    """A newer one has begun, with full snapshots."""
    offsets = write(ground, senders)
    senders[0].begin(2)
    ground.begin(senders[0])
    write(ground, senders, 1)
    rot(ground, offsets, STREAM, 3)
    land_again(ground)
    assert ground.ledger.holes.all() == []
    assert broken_epochs(ground.ledger) == {}


def test_a_torn_tail_had_no_receipt(ground: Ground, senders: list[Sender]) -> None:
    offsets = write(ground, senders)
    rot(ground, offsets, STREAM, 3)
    ground.store.damage = [type(one)(one.offset, one.length, TORN_TAIL) for one in ground.store.damage]
    land_again(ground)
    assert ground.ledger.holes.all() == []


# what lands


def test_the_stream_that_is_hurt_waits_and_the_others_go_on(ground: Ground, senders: list[Sender]) -> None:
    offsets = write(ground, senders)
    rot(ground, offsets, STREAM, 3, 4)
    for _ in range(2):  # and so it is after a restart
        land_again(ground)
        assert open_holes(ground) == [(STREAM, 3, 4, True)]
        assert landed(ground, senders[0]) == [2]
        assert landed(ground, senders[1]) == [2, 3, 4, 5, 6]
        assert ground.low_water(STREAM) <= offsets[STREAM, 3] < ground.low_water(OTHER_STREAM)
        assert ground.lander.streams_behind == 1
        assert ground.lander.backlog_bytes == 0
    assert broken_epochs(ground.ledger) == {}


@pytest.mark.parametrize("restarts", [False, True])
def test_what_came_again_lands_in_its_place_each_row_once(
    ground: Ground, senders: list[Sender], restarts: bool
) -> None:
    offsets = write(ground, senders)
    rot(ground, offsets, STREAM, 2, 5)
    land_again(ground)
    first, second = ground.ledger.holes.open()
    fill(ground, senders[0], first)
    ground.land()
    assert landed(ground, senders[0]) == [], "another hole is open"
    more = write(ground, senders, 2)
    assert len(more) == 4
    fill(ground, senders[0], second)
    if restarts:
        ground.start()
    ground.land()
    ground.land()
    for one in senders:
        assert landed(ground, one) == [2, 3, 4, 5, 6, 7, 8]
    assert ground.lander.streams_behind == 0
    assert ground.low_water(STREAM) == ground.journal.end
    assert not any(one.is_loss for one in ground.journal.damage)


def test_a_stretch_that_had_landed_is_asked_for_and_nothing_waits(
    ground: Ground, senders: list[Sender]
) -> None:
    offsets = write(ground, senders)
    ground.land()
    rot(ground, offsets, STREAM, 3)
    rot(ground, offsets, OTHER_STREAM, 6)
    write(ground, senders, 2)
    land_again(ground)
    assert open_holes(ground) == [(STREAM, 3, 3, False), (OTHER_STREAM, 6, 6, False)]
    for one in senders:
        assert landed(ground, one) == [2, 3, 4, 5, 6, 7, 8]
    assert ground.lander.streams_behind == 0


def test_rot_that_is_met_while_landing_holds_back_what_stands_behind_it(
    ground: Ground, senders: list[Sender]
) -> None:
    write(ground, senders, 2)
    ground.land()
    offsets = write(ground, senders, 4)
    rot(ground, offsets, STREAM, 4)
    ground.land()
    assert landed(ground, senders[0]) == [2, 3]
    assert landed(ground, senders[1]) == [2, 3, 4, 5, 6]


def test_nothing_behind_a_stretch_lands_before_the_heads_that_may_end_in_it_are_known(
    ground: Ground, senders: list[Sender]
) -> None:
    offsets = write(ground, senders)
    ground.ledger.save_heads([], offsets[STREAM, 3])
    rot(ground, offsets, STREAM, 6)
    rot(ground, offsets, STREAM, 3)
    ground.start()
    ground.lander.step(everything=True)
    assert (landed(ground, senders[0]), landed(ground, senders[1])) == ([2], [2])
    assert ground.ledger.holes.all() == []
    assert ground.low_water(OTHER_STREAM) <= offsets[STREAM, 3]
    know(ground, senders)
    ground.land()
    assert open_holes(ground) == [(STREAM, 3, 3, True), (STREAM, 6, 6, True)]
    assert landed(ground, senders[1]) == [2, 3, 4, 5, 6]


def test_a_stream_that_began_since_the_start_misses_its_first_envelopes(
    ground: Ground, senders: list[Sender]
) -> None:
    """All that the lander ever sees of it stands behind the hole."""
    late = Sender(3, THIRD_STREAM)
    ground.begin(late)
    offsets = write(ground, [*senders, late], 3)
    rot(ground, offsets, THIRD_STREAM, 1)
    ground.land()
    assert open_holes(ground) == [(THIRD_STREAM, 1, 1, True)]
    assert landed(ground, late) == []


# what cannot come again


def test_what_cannot_come_again_is_landed_around_in_a_broken_epoch(
    ground: Ground, senders: list[Sender]
) -> None:
    """Who asked has broken it: the agent begins a new one."""
    offsets = write(ground, senders)
    rot(ground, offsets, STREAM, 3)
    ground.land()
    (one,) = ground.ledger.holes.open()
    ground.ledger.holes.end(one.id, GONE)
    ground.land()
    ground.land()
    assert landed(ground, senders[0]) == [2, 4, 5, 6]
    assert ground.lander.streams_behind == 0


def test_what_cannot_land_without_a_schema_that_is_gone_parks_nothing(
    ground: Ground, senders: list[Sender]
) -> None:
    """The epoch that replaces it sends it anew; a parked table would wait for a person."""
    one, beds = senders[0], table("beds", "ward")
    write(ground, senders, 1)
    start = ground.write(one.send(Kind.SCHEMA, beds.content))
    stop = ground.write(one.send(Kind.BATCH, a_batch(beds, [1])))
    ground.store.rot(start, stop)
    know(ground, senders)
    ground.land()
    (hole,) = ground.ledger.holes.open()
    break_epoch(ground.ledger, STREAM, 1)
    ground.ledger.holes.end(hole.id, GONE)
    ground.land()
    assert (ground.parked(), ground.lander.streams_behind) == ({}, 0)
    one.begin(2)
    ground.begin(one)
    ground.write(one.send(Kind.SCHEMA, beds.content), one.send(Kind.BATCH, a_batch(beds, [1])))
    ground.land()
    assert ground.parked() == {}
    assert ground.versions(STREAM, beds.table) == [(2, 2, 0)]


def test_what_is_gone_and_had_landed_breaks_the_epoch_once_the_lake_lost_it(
    ground: Ground, senders: list[Sender]
) -> None:
    offsets = write(ground, senders)
    ground.land()
    rot(ground, offsets, STREAM, 3)
    land_again(ground)
    (one,) = ground.ledger.holes.open()
    ground.ledger.holes.end(one.id, GONE)
    land_again(ground)
    assert broken_epochs(ground.ledger) == {}
    ground.ledger.save_low_water({STREAM: 0})
    land_again(ground)
    assert broken_epochs(ground.ledger) == {STREAM: 1}


def test_more_damage_around_what_is_being_filled_takes_the_old_road(
    ground: Ground, senders: list[Sender]
) -> None:
    offsets = write(ground, senders)
    rot(ground, offsets, STREAM, 4)
    land_again(ground)
    assert open_holes(ground) == [(STREAM, 4, 4, True)]
    rot(ground, offsets, STREAM, 3)
    land_again(ground)
    assert open_holes(ground) == []
    assert broken_epochs(ground.ledger) == {STREAM: 1}


def test_a_crash_after_filling_and_before_the_book_asks_for_the_rest_alone(
    ground: Ground, senders: list[Sender]
) -> None:
    offsets = write(ground, senders)
    rot(ground, offsets, STREAM, 3, 4)
    rot(ground, offsets, OTHER_STREAM, 3)
    land_again(ground)
    mine, other = ground.ledger.holes.open()
    assert ground.journal.repair(mine.hole.start, mine.hole.stop, 1, [senders[0].sent[4]])
    assert ground.journal.repair(other.hole.start, other.hole.stop, 1, [senders[1].sent[3]])
    ground.start()
    assert open_holes(ground) == [(STREAM, 3, 3, True)]
    ground.land()
    assert landed(ground, senders[1]) == [2, 3, 4, 5, 6]


def test_holes_are_looked_at_once(ground: Ground, senders: list[Sender]) -> None:
    offsets = write(ground, senders)
    rot(ground, offsets, STREAM, 3)
    holes = Holes(ground.journal, ground.ledger, SUITES, lambda: 1)
    assert holes.look({}, offsets[STREAM, 3])
    assert ground.ledger.holes.all() == []
    for _ in range(2):
        assert holes.look({}, ground.journal.end)
        assert len(ground.ledger.holes.all()) == 1
