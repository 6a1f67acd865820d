"""Disks that fill up, tear writes, fail syncs and lose power: whatever was promised is there afterwards."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import FRAME_HEADER_BYTES, HEADER_BYTES
from central_ingest.journal.journal import TORN_TAIL, Entry
from protocol.errors import Transient

from .faulty_disk import FaultyDisk
from .small_journal import ENVELOPES, reopened, segments, written


def test_short_writes_are_finished(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.write_bytes_max = 7
    journal = FileJournal.open(tmp_path, disk=disk)
    journal.append(1, ENVELOPES)
    disk.power_cut()
    assert [entry.envelope for entry in journal.read()] == ENVELOPES
    journal.close()


@pytest.mark.parametrize("room", [0, 1, FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + 5, 3 * FRAME_HEADER_BYTES])
def test_a_full_disk_leaves_nothing_of_the_append(tmp_path: Path, room: int) -> None:
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, disk=disk)
    journal.append(1, [b"before"])
    content = segments(tmp_path)[0].read_bytes()
    disk.room = room
    with pytest.raises(Transient) as failure:
        journal.append(2, [*ENVELOPES, bytes(100)])
    assert failure.value.facts == {"path": str(tmp_path), "reason": "No space left on device"}
    assert segments(tmp_path)[0].read_bytes() == content
    disk.room = None
    journal.append(3, [b"after"])
    assert [entry.envelope for entry in journal.read()] == [b"before", b"after"]
    assert len(segments(tmp_path)) == 1
    journal.close()


def test_a_full_disk_at_the_first_record_of_a_segment(tmp_path: Path) -> None:
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, disk=disk)
    for room in (0, 10, HEADER_BYTES, 10):
        disk.room = room
        with pytest.raises(Transient):
            journal.append(1, [b"lost"])
        assert (journal.end, list(journal.read())) == (0, [])
    disk.room = None
    assert journal.append(1, [b"kept"]) == [0]
    disk.power_cut()
    assert [entry.envelope for entry in journal.read()] == [b"kept"]
    journal.close()


def test_a_write_that_cannot_be_taken_back_ends_its_segment(tmp_path: Path) -> None:
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, disk=disk)
    journal.append(1, [b"before"])
    disk.room, disk.truncate_failures = 2 * FRAME_HEADER_BYTES + 1, 2
    with pytest.raises(Transient):
        journal.append(2, [b"", b"lost"])
    disk.room = None
    journal.append(3, [b"after"])
    held = [b"before", b"after"]
    assert [entry.envelope for entry in journal.read()] == held
    assert len(segments(tmp_path)) == 2
    journal.close()
    entries, damage = reopened(tmp_path)
    assert ([entry.envelope for entry in entries], damage) == (held, [])


@pytest.mark.parametrize("truncate_failures", [0, 1])
def test_after_a_failed_sync_the_file_is_left_and_a_new_segment_ends_it(
    tmp_path: Path, truncate_failures: int
) -> None:
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, disk=disk)
    journal.append(1, [b"before"])
    end = journal.end
    disk.sync_failures, disk.truncate_failures = 1, truncate_failures
    with pytest.raises(Transient) as failure:
        journal.append(2, [b"lost"])
    assert failure.value.code == "GC-6001"
    assert journal.append(3, [b"after"]) == [end]
    assert [path.name for path in segments(tmp_path)] == [f"{0:020d}.gcj", f"{end:020d}.gcj"]
    journal.close()
    disk.power_cut()
    again = FileJournal.open(tmp_path, disk=disk)
    assert [entry.envelope for entry in again.read()] == [b"before", b"after"]
    assert list(again.damage) == []
    again.close()


def test_a_segment_whose_first_sync_fails_is_replaced_by_a_new_file(tmp_path: Path) -> None:
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, disk=disk)
    for failures in (1, 2):
        disk.sync_failures = failures
        for _ in range(failures):
            with pytest.raises(Transient):
                journal.append(1, [b"lost"])
    journal.append(2, [b"kept"])
    disk.room, disk.sync_failures = None, 0
    journal.close()
    disk.power_cut()
    again = FileJournal.open(tmp_path, disk=disk)
    assert [entry.envelope for entry in again.read()] == [b"kept"]
    again.close()


def test_what_only_the_page_cache_believes_is_not_believed_at_opening(tmp_path: Path) -> None:
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, disk=disk)
    journal.append(1, [b"kept"])
    disk.sync_failures, disk.truncate_failures = 1, 1
    with pytest.raises(Transient):
        journal.append(2, [b"lost"])
    assert segments(tmp_path)[0].read_bytes().endswith(b"lost")
    journal.close()
    again = FileJournal.open(tmp_path, disk=disk)
    assert [entry.envelope for entry in again.read()] == [b"kept"]
    again.close()


def test_what_a_killed_writer_had_not_synced_is_synced_before_it_is_believed(tmp_path: Path) -> None:
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, disk=disk)
    entries = [Entry(journal.append(1, [b"kept"])[0], 1, b"kept")]
    journal.close()
    donor = tmp_path / "donor"
    shutil.copytree(tmp_path, donor, ignore=shutil.ignore_patterns("donor"))
    other = FileJournal.open(donor)
    entries.append(Entry(other.append(2, [b"written, not synced"])[0], 2, b"written, not synced"))
    other.close()
    frame = segments(donor)[0].read_bytes()[HEADER_BYTES + entries[1].offset :]
    fd = disk.open(segments(tmp_path)[0], writable=True)
    disk.write(fd, memoryview(frame), HEADER_BYTES + entries[1].offset)
    disk.close(fd)
    FileJournal.open(tmp_path, disk=disk).close()
    disk.power_cut()
    again = FileJournal.open(tmp_path, disk=disk)
    assert list(again.read()) == entries
    again.close()


def test_the_name_of_a_segment_that_a_killed_writer_had_not_synced_is_synced_at_opening(
    tmp_path: Path,
) -> None:
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, disk=disk)
    disk.directory_sync_failures = 1
    with pytest.raises(Transient):
        journal.append(1, [b"lost"])
    journal.close()
    again = FileJournal.open(tmp_path, disk=disk)
    again.append(2, [b"kept"])
    again.close()
    disk.power_cut()
    last = FileJournal.open(tmp_path, disk=disk)
    assert [entry.envelope for entry in last.read()] == [b"kept"]
    last.close()


def test_a_sync_that_fails_at_opening_is_told_and_the_lock_is_free_again(tmp_path: Path) -> None:
    written(tmp_path)
    disk = FaultyDisk()
    disk.sync_failures = 1
    with pytest.raises(Transient) as failure:
        FileJournal.open(tmp_path, disk=disk)
    assert failure.value.code == "GC-6001"
    FileJournal.open(tmp_path, disk=disk).close()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    disk = FaultyDisk()
    journal = FileJournal.open(tmp_path, segment_bytes_max=HEADER_BYTES + 200, disk=disk)
    for n in range(6):
        disk.sync_failures = n % 2
        try:
            journal.append(n, ENVELOPES)
        except Transient:
            continue
    list(journal.read())
    journal.close()
    assert set(os.listdir("/proc/self/fd")) == before


APPEND = st.lists(st.integers(0, 400), min_size=1, max_size=3)
MISHAP = st.one_of(
    st.tuples(st.just("full"), st.integers(0, 700)),
    st.tuples(st.just("sync"), st.integers(1, 2)),
    st.tuples(st.just("stuck"), st.integers(1, 2)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("power cut"), st.integers(0, 700)),
)


@dataclass
class _Centre:
    """A writer of numbered envelopes on a bad disk, and what it was promised."""

    directory: Path
    disk: FaultyDisk = field(default_factory=FaultyDisk)
    held: list[Entry] = field(default_factory=list)
    attempted: set[bytes] = field(default_factory=set)
    number: int = 0

    def __post_init__(self) -> None:
        self.journal = self.open()

    def open(self) -> FileJournal:
        return FileJournal.open(self.directory, segment_bytes_max=HEADER_BYTES + 900, disk=self.disk)

    def append(self, sizes: list[int]) -> None:
        self.number += 1
        envelopes = [b"%d/%d:" % (self.number, n) + bytes(size) for n, size in enumerate(sizes)]
        self.attempted.update(envelopes)
        try:
            offsets = self.journal.append(self.number, envelopes)
        except Transient:
            return
        pairs = zip(offsets, envelopes, strict=True)
        self.held += [Entry(offset, self.number, envelope) for offset, envelope in pairs]

    def suffer(self, kind: str, amount: int) -> None:
        if kind == "full":
            self.disk.room = amount
        elif kind in ("sync", "stuck"):
            self.disk.sync_failures = amount
            self.disk.truncate_failures = amount if kind == "stuck" else 0
        else:
            self.restart(amount if kind == "power cut" else None)

    def restart(self, flushed_bytes: int | None) -> None:
        self.journal.close()
        self.disk.room, self.disk.sync_failures, self.disk.truncate_failures = None, 0, 0
        if flushed_bytes is not None:
            self.disk.power_cut(flushed_bytes)
        self.journal = self.open()
        found = list(self.journal.read())
        missing = [entry for entry in self.held if entry not in found]
        assert missing == [], "a promise was broken"
        assert {entry.envelope for entry in found} <= self.attempted
        self.held = found  # of an append that failed, some may be there after all; then it must stay

    def check(self) -> None:
        assert list(self.journal.read()) == self.held
        assert all(one.reason == TORN_TAIL for one in self.journal.damage)


@given(steps=st.lists(st.one_of(APPEND, MISHAP), max_size=25))
@settings(max_examples=100, deadline=None)
def test_no_promise_breaks_whatever_the_disk_does(steps: list[list[int] | tuple[str, int]]) -> None:
    with TemporaryDirectory() as directory:
        centre = _Centre(Path(directory))
        for step in steps:
            if isinstance(step, list):
                centre.append(step)
            else:
                centre.suffer(*step)
            centre.check()
        centre.restart(0)
        centre.check()
        centre.journal.close()
