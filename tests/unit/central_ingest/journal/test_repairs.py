"""What came again, in files: it survives a power cut or is not there, and may rot like anything else."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import FRAME_HEADER_BYTES, HEADER_BYTES
from central_ingest.journal.journal import Damage, Entry
from central_ingest.journal.repairs import place
from protocol.errors import Transient

from .faulty_disk import FaultyDisk
from .small_journal import flip, segments, written

ENVELOPES = [bytes([n]) * (40 + n) for n in range(6)]


def rotten(directory: Path, *victims: int, **how: int) -> list[Entry]:
    entries = written(directory, ENVELOPES, **how)
    for victim in victims:
        rot(directory, entries[victim].offset)
    return entries


def rot(directory: Path, offset: int) -> None:
    base = max(int(path.stem) for path in segments(directory) if int(path.stem) <= offset)
    flip(directory / f"{base:020d}.gcj", HEADER_BYTES + offset - base + FRAME_HEADER_BYTES)


def read(directory: Path, read_only: bool = False) -> tuple[list[bytes], list[tuple[int, int]]]:
    journal = FileJournal.open(directory, read_only=read_only)
    try:
        return [e.envelope for e in journal.read()], [(d.offset, d.end) for d in journal.damage]
    finally:
        journal.close()


def repair(directory: Path, entries: list[Entry], *seqs: int, disk: FaultyDisk | None = None) -> bool:
    journal = FileJournal.open(directory, disk=disk)
    try:
        return journal.repair(0, journal.end, 7, [entries[n].envelope for n in seqs])
    finally:
        journal.close()


def test_readers_beside_the_writer_have_it_from_their_opening_on(tmp_path: Path) -> None:
    entries = rotten(tmp_path, 2)
    before = FileJournal.open(tmp_path, read_only=True)
    assert repair(tmp_path, entries, 2)
    assert [e.envelope for e in before.read()] == [*ENVELOPES[:2], *ENVELOPES[3:]]
    before.close()
    assert read(tmp_path, read_only=True) == (ENVELOPES, [])
    with pytest.raises(ValueError, match="reading only"):
        FileJournal.open(tmp_path, read_only=True).repair(0, 9, 1, [])


def test_a_stretch_over_several_segments_is_filled_in_any_order(tmp_path: Path) -> None:
    """A record may lie across what was the boundary of two files."""
    entries = rotten(tmp_path, 1, 2, 3, 4, segment_bytes_max=HEADER_BYTES + 180)
    assert len(segments(tmp_path)) == 3
    for number in (1, 3, 2, 4):
        assert repair(tmp_path, entries, number)
    found, damage = read(tmp_path)
    assert (found[0], set(found), found[-1], damage) == (ENVELOPES[0], set(ENVELOPES), ENVELOPES[-1], [])
    assert len(found) == len(ENVELOPES)


def test_a_missing_segment_is_filled(tmp_path: Path) -> None:
    entries = written(tmp_path, ENVELOPES, segment_bytes_max=HEADER_BYTES + 180)
    segments(tmp_path)[1].unlink()
    lost = [n for n, data in enumerate(ENVELOPES) if data not in read(tmp_path)[0]]
    assert lost
    assert repair(tmp_path, entries, *lost)
    assert read(tmp_path) == (ENVELOPES, [])


def test_a_repair_that_rots_is_damage_again_and_is_filled_again(tmp_path: Path) -> None:
    entries = rotten(tmp_path, 2, 3)
    assert repair(tmp_path, entries, 2, 3)
    (path,) = (tmp_path / "repaired").iterdir()
    flip(path, HEADER_BYTES + FRAME_HEADER_BYTES)
    assert read(tmp_path) == ([*ENVELOPES[:2], *ENVELOPES[3:]], [(entries[2].offset, entries[3].offset)])
    assert repair(tmp_path, entries, 2)
    assert read(tmp_path) == (ENVELOPES, [])


def test_what_is_cut_takes_its_repair_with_it(tmp_path: Path) -> None:
    """Behind it other records will stand at those offsets."""
    entries = written(tmp_path, ENVELOPES)
    journal = FileJournal.open(tmp_path)
    rot(tmp_path, entries[-1].offset)
    assert [e.envelope for e in journal.read()] == ENVELOPES[:-1]
    assert journal.repair(0, journal.end, 7, [ENVELOPES[-1]])
    assert [e.envelope for e in journal.read()] == ENVELOPES
    journal.close()
    journal = FileJournal.open(tmp_path)
    journal.append(1, [b"x" * len(ENVELOPES[-1])])
    journal.append(1, [b"behind"])
    journal.close()
    rot(tmp_path, entries[-1].offset)
    assert read(tmp_path)[0] == [*ENVELOPES[:-1], b"behind"]


@pytest.mark.parametrize("fault", ["full", "sync", "directory"])
def test_what_could_not_be_made_durable_is_not_there(tmp_path: Path, fault: str) -> None:
    entries = rotten(tmp_path, 2)
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, disk=disk)
    list(journal.read())
    if fault == "full":
        disk.room = 10
    elif fault == "sync":
        disk.sync_failures = 1
    else:
        disk.directory_sync_failures = 1
    with pytest.raises(Transient) as failure:
        journal.repair(0, journal.end, 7, [ENVELOPES[2]])
    assert failure.value.code == "GC-6001"
    assert ENVELOPES[2] not in [e.envelope for e in journal.read()]
    disk.room = None
    assert journal.repair(0, journal.end, 7, [ENVELOPES[2]])
    journal.close()
    assert read(tmp_path) == (ENVELOPES, [])
    assert entries[2].offset == int(next((tmp_path / "repaired").glob("*.gcj")).name.partition("-")[0])


def test_a_repair_survives_a_power_cut(tmp_path: Path) -> None:
    entries = rotten(tmp_path, 2, 3)
    disk = FaultyDisk()
    assert repair(tmp_path, entries, 3, disk=disk)
    assert repair(tmp_path, entries, 2, disk=disk)
    disk.power_cut(0)
    assert read(tmp_path) == (ENVELOPES, [])


@given(
    stretches=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 200)), max_size=4),
    sizes=st.lists(st.integers(0, 80), max_size=5),
)
@settings(max_examples=100, deadline=None)
def test_what_is_placed_lies_within_what_is_damaged_in_order_and_apart(
    stretches: list[tuple[int, int]], sizes: list[int]
) -> None:
    damage = [Damage(offset, length, "rot") for offset, length in stretches]
    envelopes = [bytes(size) for size in sizes]
    runs = place(damage, envelopes)
    if runs is None:
        return
    placed = []
    for base, run in sorted(runs):
        offset = base
        for envelope in run:
            placed.append((offset, offset + FRAME_HEADER_BYTES + len(envelope), envelope))
            offset = placed[-1][1]
    assert [envelope for *_, envelope in placed] == envelopes
    assert all(one[1] <= other[0] for one, other in pairwise(placed))
    damaged = {byte for one in damage for byte in range(one.offset, one.end)}
    assert all(byte in damaged for start, stop, _ in placed for byte in range(start, stop))
