"""Nothing that is quiet holds the journal: whatever it is, after an hour every low-water mark has gone on.

What stands below all of them may be archived (see test_retention), so one mark that stays keeps all of it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from central_ingest.landing.heat import Rhythm
from protocol.envelope import Kind
from protocol.names import Stream

from ..sender import LOST_KEY, OTHER_STREAM, STREAM, VISITS, Sender, a_batch, a_piece
from .ground import Ground

NEVER = 1e9
HOUR = 3_600.0
CONTENT = b"x" * 30_000
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """No table here is ever due by itself."""
    return Ground(tmp_path / "files", rhythm=Rhythm(NEVER, NEVER, 1 << 40))


def begun(ground: Ground, seed: int = 1, stream: Stream = STREAM) -> Sender:
    sender = Sender(seed, stream)
    ground.begin(sender)
    return sender


def rows(sender: Sender, *ids: int) -> list[bytes]:
    return [sender.send(Kind.SCHEMA, VISITS.content), sender.send(Kind.BATCH, a_batch(VISITS, list(ids)))]


def piece(sender: Sender, start: int, stop: int, sha: str = SHA) -> bytes:
    return sender.send(Kind.PIECE, a_piece(sha, len(CONTENT), start, CONTENT[start:stop]))


def pass_time(ground: Ground, seconds: float) -> None:
    """As the daemon's loop does: steps, whether or not anything comes."""
    until = ground.clock + seconds
    ground.lander.step()
    while ground.clock < until:
        ground.clock = min(until, ground.clock + (600.0 if until - ground.clock > 600.0 else 1.0))
        ground.lander.step()


def marks(ground: Ground) -> set[int]:
    return {one.low_water for one in ground.ledger.streams()}


def test_a_quiet_table_is_committed_after_an_hour(ground: Ground) -> None:
    sender = begun(ground)
    ground.start()
    first = ground.write(*rows(sender, 1))
    pass_time(ground, HOUR - 1)
    assert ground.versions(STREAM, VISITS.table) == []
    assert first < ground.low_water(STREAM) < ground.journal.end
    pass_time(ground, 3)
    assert ground.versions(STREAM, VISITS.table) == [(1, 2, 0)]
    assert marks(ground) == {ground.journal.end}


def test_a_large_value_that_never_ends_lets_go_after_an_hour(ground: Ground) -> None:
    sender = begun(ground)
    ground.start()
    first = ground.write(piece(sender, 0, 10_000))
    pass_time(ground, HOUR - 1)
    assert ground.low_water(STREAM) == first
    pass_time(ground, 3)
    assert marks(ground) == {ground.journal.end}


@pytest.mark.parametrize("restarts", [False, True])
def test_one_that_was_let_go_and_goes_on_is_whole_in_the_end(ground: Ground, restarts: bool) -> None:
    """What had come of it is not read from the journal again."""
    sender = begun(ground)
    ground.start()
    ground.write(piece(sender, 0, 10_000))
    pass_time(ground, HOUR + 2)
    mark = ground.low_water(STREAM)
    if restarts:
        ground.store.give_up(mark)
        ground.start()
    ground.write(piece(sender, 10_000, 20_000))
    ground.lander.step()
    if restarts:
        ground.start()
    ground.write(piece(sender, 20_000, len(CONTENT)))
    ground.land()
    assert ground.objects.read(STREAM.site, SHA) == CONTENT
    assert ground.parked() == {}
    assert marks(ground) == {ground.journal.end}


def test_the_mark_never_stands_among_the_pieces_of_one_that_was_ended(ground: Ground) -> None:
    """After a power cut the later piece alone would be none, and park its stream."""
    sender = begun(ground)
    ground.start()
    first = ground.write(piece(sender, 0, 10_000))
    ground.write(*rows(sender, 1), piece(sender, 10_000, 20_000))
    ground.lander.step()
    sender.begin(2)
    ground.begin(sender)
    ground.write(*rows(sender, 2))
    pass_time(ground, 2)
    assert ground.low_water(STREAM) == first
    for part in ground.files.rglob("*.part"):  # it was never synced
        part.unlink()
    ground.start()
    ground.land()
    assert ground.parked() == {}
    assert ground.versions(STREAM, VISITS.table) == [(1, 3, 0), (2, 2, 0)]
    assert marks(ground) == {ground.journal.end}


def test_a_value_that_a_newer_epoch_begins_anew_holds_the_mark_itself(ground: Ground) -> None:
    sender = begun(ground)
    ground.start()
    ground.write(piece(sender, 0, 10_000))
    sender.begin(2)
    ground.begin(sender)
    anew = ground.write(piece(sender, 0, 10_000))
    pass_time(ground, 10)
    ground.write(*rows(sender, 1), piece(sender, 10_000, 20_000))
    pass_time(ground, 10)
    assert ground.low_water(STREAM) <= anew
    for part in ground.files.rglob("*.part"):  # it was never synced
        part.unlink()
    ground.start()
    ground.write(piece(sender, 20_000, len(CONTENT)))
    ground.land()
    assert ground.parked() == {}
    assert ground.objects.read(STREAM.site, SHA) == CONTENT
    assert marks(ground) == {ground.journal.end}


def test_pieces_that_make_no_such_value_hold_nothing(ground: Ground) -> None:
    """All came, and they hash to something else: the stream is parked, and the journal may go."""
    sender, other = begun(ground), "0" * 64
    ground.start()
    ground.write(piece(sender, 0, 10_000, other), piece(sender, 10_000, len(CONTENT), other))
    pass_time(ground, HOUR + 2)
    assert set(ground.parked().values()) == {"GC-5006"}
    assert marks(ground) == {ground.journal.end}


def test_a_stream_that_began_and_never_sent_anything_follows(ground: Ground) -> None:
    sender = begun(ground)
    ground.start()
    begun(ground, 2, OTHER_STREAM)
    ground.write(*rows(sender, 1))
    pass_time(ground, HOUR + 2)
    assert marks(ground) == {ground.journal.end}


def test_streams_that_fell_silent_or_ended_follow(ground: Ground) -> None:
    sender, other = begun(ground), begun(ground, 2, OTHER_STREAM)
    ground.start()
    ground.write(*rows(other, 1), piece(other, 0, 10_000))
    ground.ledger.revoke(other.agent, 5)
    for number in range(3):
        ground.write(*rows(sender, number))
        pass_time(ground, HOUR + 2)
    assert marks(ground) == {ground.journal.end}


def test_what_is_parked_lies_in_the_quarantine(ground: Ground) -> None:
    sender, other = begun(ground), begun(ground, 2, OTHER_STREAM)
    ground.start()
    strange = a_batch(VISITS, [1])
    ground.write(sender.send(Kind.BATCH, strange))  # its schema never came
    ground.write(other.send(Kind.BATCH, strange, key=LOST_KEY))
    pass_time(ground, HOUR + 2)
    ground.write(*rows(sender, 2), *rows(other, 2))
    pass_time(ground, HOUR + 2)
    assert len(ground.parked()) == 2
    assert marks(ground) == {ground.journal.end}
    ground.store.give_up(ground.journal.end)  # and can land from there when nothing else has it
    ground.all_keys()
    ground.start()
    ground.retry()
    ground.retry()
    assert ground.parked() == {}
    assert ground.versions(STREAM, VISITS.table) == [(1, 1, 0), (1, 3, 0)]
