"""Bytes that rot on the disk: never a wrong record, and every record that was not touched."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import FRAME_HEADER_BYTES, HEADER_BYTES, MARKER_BYTES
from central_ingest.journal.journal import TORN_TAIL, Damage, Entry
from central_ingest.journal.segments import BAD_RECORD, LOST_HEADER

from .faulty_disk import FaultyDisk
from .small_journal import ENVELOPES, flip, reopened, segments, written


@pytest.mark.parametrize("victim", range(len(ENVELOPES)))
def test_a_bit_flipped_anywhere_in_a_record_loses_that_record_alone(tmp_path: Path, victim: int) -> None:
    entries = written(tmp_path)
    path = segments(tmp_path)[0]
    length = FRAME_HEADER_BYTES + len(ENVELOPES[victim])
    last = victim == len(ENVELOPES) - 1
    damage = Damage(entries[victim].offset, length, TORN_TAIL if last else BAD_RECORD)
    content = path.read_bytes()
    for position in range(length):
        flip(path, HEADER_BYTES + entries[victim].offset + position, bit=position % 8)
        rotten = path.read_bytes()
        assert reopened(tmp_path) == ([e for e in entries if e is not entries[victim]], [damage])
        if not last:
            assert path.read_bytes() == rotten, "a bad record in the middle is never overwritten"
        start = HEADER_BYTES + damage.offset
        copies = [file.read_bytes() for file in (tmp_path / "damaged").iterdir()]
        assert copies == [rotten[start : start + length]]
        shutil.rmtree(tmp_path / "damaged")
        path.write_bytes(content)


def test_a_bit_flipped_anywhere_in_the_header_loses_nothing(tmp_path: Path) -> None:
    entries = written(tmp_path)
    path = segments(tmp_path)[0]
    for position in (*range(50), *range(4_090, 4_150), 8_191):
        flip(path, position, bit=position % 8)
        assert reopened(tmp_path) == (entries, [])
        flip(path, position, bit=position % 8)


def test_a_lost_header_is_damage_and_writing_goes_on_in_a_new_segment(tmp_path: Path) -> None:
    written(tmp_path)
    path = segments(tmp_path)[0]
    content = bytes(HEADER_BYTES) + path.read_bytes()[HEADER_BYTES:]
    path.write_bytes(content)
    journal = FileJournal.open(tmp_path)
    size = len(content) - HEADER_BYTES
    assert list(journal.damage) == [Damage(0, size, LOST_HEADER)]
    assert journal.append(9, [b"goes on"]) == [size]
    assert [entry.envelope for entry in journal.read()] == [b"goes on"]
    assert path.read_bytes() == content
    assert [file.read_bytes() for file in tmp_path.glob("damaged/*.bin")] == [content[HEADER_BYTES:]]
    journal.close()


def test_a_last_segment_that_lost_all_but_its_name_still_ends_the_one_before(tmp_path: Path) -> None:
    entries = written(tmp_path, [bytes(1_000)] * 8, segment_bytes_max=HEADER_BYTES + 5_000)
    segments(tmp_path)[-1].write_bytes(b"")
    journal = FileJournal.open(tmp_path)
    assert journal.append(9, [b"goes on"]) == [entries[4].offset]
    assert list(journal.read()) == [*entries[:4], Entry(entries[4].offset, 9, b"goes on")]
    journal.close()


def test_a_record_hidden_within_an_envelope_is_never_taken_for_one(tmp_path: Path) -> None:
    """A hospital that knows another journal's bytes cannot plant a record for the search behind damage to find."""
    planted = tmp_path / "planted"
    written(planted, [bytes(100), b"forged"])
    frame = segments(planted)[0].read_bytes()[HEADER_BYTES + 136 :]
    directory = tmp_path / "journal"
    entries = written(directory, [bytes(136 - FRAME_HEADER_BYTES) + frame, b"next"])
    flip(segments(directory)[0], HEADER_BYTES)
    assert reopened(directory)[0] == entries[1:]


def test_a_record_is_valid_only_where_it_was_written(tmp_path: Path) -> None:
    entries = written(tmp_path, [b"first", b"other", b"third"])
    path = segments(tmp_path)[0]
    content = bytearray(path.read_bytes())
    first, second, third = (HEADER_BYTES + entry.offset for entry in entries)
    content[second:third] = content[first:second]
    path.write_bytes(content)
    assert reopened(tmp_path)[0] == [entries[0], entries[2]]


def test_damage_longer_than_a_chunk_is_searched_across_chunks(tmp_path: Path) -> None:
    envelopes = [bytes(2**20 - FRAME_HEADER_BYTES - MARKER_BYTES // 2), b"second", bytes(2**20), b"fourth"]
    entries = written(tmp_path, envelopes)
    path = segments(tmp_path)[0]
    flip(path, HEADER_BYTES)
    flip(path, HEADER_BYTES + entries[2].offset + 100)
    assert reopened(tmp_path)[0] == [entries[1], entries[3]]


def test_an_unreadable_block_costs_its_record_and_no_other(tmp_path: Path) -> None:
    entries = written(tmp_path, [bytes([n]) * 20_000 for n in range(4)], segment_bytes_max=60_000)
    disk = FaultyDisk()
    disk.unreadable = range(HEADER_BYTES + 30_000, HEADER_BYTES + 30_001)
    journal = FileJournal.open(tmp_path, disk=disk)
    assert list(journal.read(entries[0].offset)) == [entries[0], entries[2]]
    assert [(one.offset, one.reason) for one in journal.damage] == [
        (entries[3].offset, BAD_RECORD),
        (entries[1].offset, BAD_RECORD),
    ]
    journal.close()


def test_damage_is_told_even_when_it_cannot_be_copied_aside(tmp_path: Path) -> None:
    entries = written(tmp_path)
    flip(segments(tmp_path)[0], HEADER_BYTES)
    disk = FaultyDisk()
    disk.room = 0
    journal = FileJournal.open(tmp_path, disk=disk)
    assert list(journal.read()) == entries[1:]
    assert [one.reason for one in journal.damage] == [
        f"{BAD_RECORD}; not copied aside: No space left on device"
    ]
    journal.close()


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    wounds=st.lists(
        st.tuples(st.integers(HEADER_BYTES, HEADER_BYTES + 600), st.binary(min_size=1, max_size=40))
    ),
)
@settings(max_examples=50, deadline=None)
def test_whatever_is_overwritten_only_untouched_records_are_read_and_all_of_them(
    sizes: list[int], wounds: list[tuple[int, bytes]]
) -> None:
    with TemporaryDirectory() as directory:
        entries = written(Path(directory), [bytes([n + 1]) * size for n, size in enumerate(sizes)])
        path = segments(Path(directory))[0]
        before = path.read_bytes()
        after = bytearray(before)
        for position, wound in wounds:
            after[position : position + len(wound)] = wound[: max(0, len(after) - position)]
        path.write_bytes(after)
        untouched = []
        for entry in entries:
            start = HEADER_BYTES + entry.offset
            stop = start + FRAME_HEADER_BYTES + len(entry.envelope)
            if after[start:stop] == before[start:stop]:
                untouched.append(entry)
        reader = FileJournal.open(Path(directory), read_only=True)
        assert list(reader.read()) == untouched
        reader.close()
        assert reopened(Path(directory))[0] == untouched
