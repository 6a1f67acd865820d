"""Segments that roll, one writer beside many readers, and tails torn at any byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import FRAME_HEADER_BYTES, HEADER_BYTES
from central_ingest.journal.journal import TORN_TAIL, Damage
from central_ingest.journal.segments import BAD_RECORD, MISSING
from protocol.errors import Permanent, Transient

from .faulty_disk import FaultyDisk
from .small_journal import ENVELOPES, flip, reopened, segments, written


def test_a_segment_closes_before_it_grows_above_its_bound(tmp_path: Path) -> None:
    envelopes = [bytes([n]) * 1_000 for n in range(30)]
    entries = written(tmp_path, envelopes, segment_bytes_max=HEADER_BYTES + 5_000)
    paths = segments(tmp_path)
    assert [path.name for path in paths] == [f"{n * 4 * 1036:020d}.gcj" for n in range(8)]
    assert all(path.stat().st_size <= HEADER_BYTES + 5_000 for path in paths)
    assert [entry.envelope for entry in entries] == envelopes
    assert reopened(tmp_path) == (entries, [])


def test_an_append_larger_than_a_segment_stands_alone_in_one(tmp_path: Path) -> None:
    journal = FileJournal.open(tmp_path, segment_bytes_max=HEADER_BYTES + 100)
    journal.append(1, [bytes(50)])
    journal.append(2, [bytes(300), bytes(300)])
    journal.append(3, [bytes(50)])
    assert [len(entry.envelope) for entry in journal.read()] == [50, 300, 300, 50]
    assert len(segments(tmp_path)) == 3
    journal.close()


def test_one_append_is_one_write_and_one_sync(tmp_path: Path) -> None:
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, disk=disk)
    journal.append(1, [b"makes the segment"])
    disk.calls.clear()
    journal.append(2, [b"a", b"b", b"c"])
    assert disk.calls == ["write", "sync"]
    journal.close()


def test_a_new_segment_is_synced_with_its_name_before_anything_stands_in_it(tmp_path: Path) -> None:
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, disk=disk)
    disk.calls.clear()
    journal.append(1, [b"a"])
    assert disk.calls == ["write", "sync", "sync_directory", "write", "sync"]
    journal.close()


def test_opening_reads_the_last_segment_alone(tmp_path: Path) -> None:
    entries = written(tmp_path, [bytes(1_000)] * 12, segment_bytes_max=HEADER_BYTES + 5_000)
    flip(segments(tmp_path)[0], HEADER_BYTES + 500)
    journal = FileJournal.open(tmp_path)
    assert list(journal.damage) == []
    assert list(journal.read()) == entries[1:]
    assert list(journal.damage) == [Damage(0, 1_036, BAD_RECORD)]
    assert list(journal.read()) == entries[1:]
    assert list(journal.damage) == [Damage(0, 1_036, BAD_RECORD)]
    journal.close()


def test_a_first_segment_that_is_gone_is_damage_as_any_other(tmp_path: Path) -> None:
    entries = written(tmp_path, [bytes(1_000)] * 12, segment_bytes_max=HEADER_BYTES + 5_000)
    segments(tmp_path)[0].unlink()
    assert reopened(tmp_path) == (entries[4:], [Damage(0, entries[4].offset, MISSING)])


def test_a_missing_segment_in_the_middle_is_damage(tmp_path: Path) -> None:
    entries = written(tmp_path, [bytes(1_000)] * 12, segment_bytes_max=HEADER_BYTES + 5_000)
    segments(tmp_path)[1].unlink()
    assert reopened(tmp_path) == (entries[:4] + entries[8:], [Damage(4 * 1_036, 4 * 1_036, MISSING)])


def test_a_segment_that_vanishes_while_the_journal_is_open_is_damage(tmp_path: Path) -> None:
    entries = written(tmp_path, [bytes(1_000)] * 8, segment_bytes_max=HEADER_BYTES + 5_000)
    journal = FileJournal.open(tmp_path, read_only=True)
    segments(tmp_path)[0].unlink()
    assert list(journal.read()) == entries[4:]
    assert list(journal.damage) == [Damage(0, 4 * 1_036, MISSING)]
    journal.close()


def test_a_second_writer_is_told_where_the_first_works(tmp_path: Path) -> None:
    journal = FileJournal.open(tmp_path)
    with pytest.raises(Permanent) as refusal:
        FileJournal.open(tmp_path)
    assert (refusal.value.code, refusal.value.facts["path"]) == ("GC-1006", str(tmp_path))
    journal.close()


def test_a_reader_beside_the_writer_sees_the_moment_of_its_opening(tmp_path: Path) -> None:
    journal = FileJournal.open(tmp_path)
    journal.append(1, [b"a"])
    reader = FileJournal.open(tmp_path, read_only=True)
    journal.append(2, [b"b"])
    assert [entry.envelope for entry in reader.read()] == [b"a"]
    later = FileJournal.open(tmp_path, read_only=True)
    assert (list(later.read()), later.end) == (list(journal.read()), journal.end)
    with pytest.raises(ValueError, match="reading only"):
        reader.append(3, [b"c"])
    for opened in (reader, later, journal):
        opened.close()


def test_a_reader_takes_a_half_written_record_for_the_end_and_touches_nothing(tmp_path: Path) -> None:
    entries = written(tmp_path)
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-3])
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    reader = FileJournal.open(tmp_path, read_only=True)
    assert list(reader.read()) == entries[:-1]
    assert (reader.end, list(reader.damage)) == (entries[-1].offset, [])
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    reader.close()


def test_a_reader_of_a_journal_that_was_never_written_finds_nothing(tmp_path: Path) -> None:
    reader = FileJournal.open(tmp_path / "absent", read_only=True)
    assert (list(reader.read()), reader.end) == ([], 0)
    reader.close()
    assert not (tmp_path / "absent").exists()


def test_truncation_at_every_byte_of_the_last_record_spares_the_earlier_ones(tmp_path: Path) -> None:
    entries = written(tmp_path / "whole")
    content = segments(tmp_path / "whole")[0].read_bytes()
    start = HEADER_BYTES + entries[-1].offset
    for length in range(start, len(content)):
        directory = tmp_path / str(length)
        directory.mkdir()
        (directory / f"{0:020d}.gcj").write_bytes(content[:length])
        journal = FileJournal.open(directory)
        torn = length - start
        assert list(journal.read()) == entries[:-1]
        assert list(journal.damage) == ([Damage(entries[-1].offset, torn, TORN_TAIL)] if torn else [])
        assert [file.read_bytes() for file in directory.glob("damaged/*.bin")] == (
            [content[start:length]] if torn else []
        )
        assert journal.append(9, [b"goes on"]) == [entries[-1].offset]
        assert [entry.envelope for entry in journal.read()] == [*ENVELOPES[:-1], b"goes on"]
        journal.close()
        shutil.rmtree(directory)


def test_a_tail_of_zeros_is_cut(tmp_path: Path) -> None:
    entries = written(tmp_path)
    end = entries[-1].offset + FRAME_HEADER_BYTES + len(ENVELOPES[-1])
    with segments(tmp_path)[0].open("ab") as file:
        file.write(bytes(5_000))
    assert reopened(tmp_path) == (entries, [Damage(end, 5_000, TORN_TAIL)])
    assert reopened(tmp_path) == (entries, [])


def test_two_tails_torn_at_the_same_place_are_both_kept(tmp_path: Path) -> None:
    written(tmp_path)
    for tail in (b"one", b"two"):
        with segments(tmp_path)[0].open("ab") as file:
            file.write(tail)
        reopened(tmp_path)
    assert {file.read_bytes() for file in tmp_path.glob("damaged/*.bin")} == {b"one", b"two"}


def test_a_tail_that_cannot_be_copied_aside_is_not_cut(tmp_path: Path) -> None:
    written(tmp_path)
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes() + b"torn")
    disk = FaultyDisk()
    disk.room = 0
    with pytest.raises(Transient) as failure:
        FileJournal.open(tmp_path, disk=disk)
    assert failure.value.code == "GC-6001"
    assert path.read_bytes().endswith(b"torn")
    disk.room = None
    FileJournal.open(tmp_path, disk=disk).close()


def test_a_tail_that_the_disk_would_not_read_is_left_and_writing_goes_on_behind_it(tmp_path: Path) -> None:
    entries = written(tmp_path)
    content = segments(tmp_path)[0].read_bytes()
    disk = FaultyDisk()
    disk.unreadable = range(len(content) - 1, len(content))
    journal = FileJournal.open(tmp_path, disk=disk)
    damaged = Damage(entries[-1].offset, len(content) - HEADER_BYTES - entries[-1].offset, BAD_RECORD)
    assert list(journal.damage) == [damaged]
    assert journal.append(9, [b"behind"]) == [len(content) - HEADER_BYTES]
    disk.unreadable = range(0)
    assert [entry.envelope for entry in journal.read()] == [*ENVELOPES, b"behind"]
    assert segments(tmp_path)[0].read_bytes() == content
    journal.close()
