"""Sealed segments become archives that hold the same, prove it, and stand in for them; whatever dies meanwhile."""

from __future__ import annotations

import errno
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import pytest

from central_ingest.journal.archive import Archive, Manifest, Notary, list_archives
from central_ingest.journal.archiving import examine
from central_ingest.journal.disk import LinuxDisk
from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import HEADER_BYTES
from central_ingest.journal.journal import Damage, Entry
from protocol.errors import Rejected, Transient
from protocol.signing import SUITE_1, SUITES, Ed25519Signer

from ..sender import CENTRE, OTHER_STREAM, STREAM, Sender
from .faulty_disk import FaultyDisk
from .small_journal import flip, segments

NOTARY = Notary.of(CENTRE, SUITES)
SEGMENT_BYTES = HEADER_BYTES + 4_000
FOREVER = 2**62
KEYS = {SUITE_1.key_id(s.signer.public): s.signer.public for s in (Sender(1), Sender(2))}


def opened(directory: Path, disk: LinuxDisk | None = None) -> FileJournal:
    return FileJournal.open(directory, segment_bytes_max=SEGMENT_BYTES, disk=disk, notary=NOTARY)


def written(
    directory: Path, count: int = 40, disk: LinuxDisk | None = None
) -> tuple[FileJournal, list[Entry]]:
    """An open journal of several segments, one append each, of two agents in turn."""
    journal = opened(directory, disk)
    senders = [Sender(1, STREAM), Sender(2, OTHER_STREAM)]
    for number in range(count):
        journal.append(1_000 + number, [senders[number % 2].mark()])
    return journal, list(journal.read())


def never(_: Damage) -> bool:
    return False


def archived(
    journal: FileJournal,
    before: int = FOREVER,
    received_before: int = FOREVER,
    is_settled: Callable[[Damage], bool] = never,
) -> Archive | None:
    return journal.archive(before, received_before, keys=KEYS, made=7, is_settled=is_settled)


def contents(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()} - {
        "lock"
    }


def manifest_of(journal: FileJournal, archive: Archive | None) -> Manifest:
    assert archive is not None
    manifest = journal.manifest(archive)
    assert manifest is not None
    return manifest


def test_an_archive_holds_what_its_segments_held_and_they_are_gone(tmp_path: Path) -> None:
    journal, held = written(tmp_path)
    old = segments(tmp_path)
    archive = archived(journal)
    assert archive is not None
    assert (archive.base, archive.end) == (0, int(old[-1].stem))
    assert contents(tmp_path) == {
        old[-1].name,
        f"archive/{0:020d}-{archive.end}.gcj",
        f"archive/{0:020d}-{archive.end}.json",
    }
    for _ in range(2):
        assert list(journal.read()) == held
        for one in held[::7]:
            assert next(journal.read(one.offset)) == one
        assert (journal.start, list(journal.damage)) == (0, [])
        held += [Entry(journal.append(9, [b"goes on"])[0], 9, b"goes on")]
        journal.close()
        journal = opened(tmp_path)
    assert archived(journal) is None, "the segment that grows is none"
    journal.close()


def test_the_manifest_says_what_the_archive_holds_under_the_centres_signature(tmp_path: Path) -> None:
    journal, held = written(tmp_path)
    first = manifest_of(journal, archived(journal, before=held[15].offset))
    second = manifest_of(journal, archived(journal))
    inside = [one for one in held if one.offset < first.end]
    assert (first.base, first.envelopes, first.first_received) == (0, len(inside), 1_000)
    assert (first.last_received, first.made, first.damaged) == (inside[-1].received, 7, ())
    path, _ = (one.path for one in list_archives(tmp_path))
    assert first.digest == blake2b(path.read_bytes(), digest_size=32).digest()
    assert first.file_bytes == path.stat().st_size
    assert (first.keys, first.previous) == (KEYS, b"")
    document = list_archives(tmp_path)[0].manifest.read_bytes()
    assert second.previous == blake2b(document, digest_size=32).digest()
    assert second.base == first.end
    for sender, manifest in ((Sender(1, STREAM), first), (Sender(2, OTHER_STREAM), first)):
        (run,) = [one for one in manifest.runs if one.stream == sender.stream]
        while sender.head.seq < run.last:
            sender.mark()
        assert (run.epoch, run.first, run.before, run.chain) == (1, 1, b"", sender.head.chain)
        (after,) = [one for one in second.runs if one.stream == sender.stream]
        assert (after.first, after.before) == (run.last + 1, run.chain)
    assert Notary.of(Ed25519Signer(b"x" * 32), SUITES).read(document) is None
    for position in range(0, len(document), 31):
        broken = document[:position] + bytes([document[position] ^ 1]) + document[position + 1 :]
        assert NOTARY.read(broken) is None
    journal.close()


def test_nothing_is_archived_that_is_young_or_still_needed(tmp_path: Path) -> None:
    journal, held = written(tmp_path)
    bases = [int(path.stem) for path in segments(tmp_path)]
    received = {one.offset: one.received for one in held}
    assert archived(journal, before=bases[1] - 1) is None
    assert archived(journal, received_before=received[bases[1]]) is None
    one = archived(journal, received_before=received[bases[2]])
    assert one is not None
    assert one.end == bases[1]
    other = archived(journal, before=bases[3] + 1)
    assert other is not None
    assert (other.base, other.end) == (bases[1], bases[3])
    assert list(journal.read()) == held
    journal.close()


def test_what_is_damaged_waits_until_it_is_settled_and_is_told(tmp_path: Path) -> None:
    journal, held = written(tmp_path)
    journal.close()
    flip(segments(tmp_path)[0], HEADER_BYTES + held[2].offset + 100)
    journal = opened(tmp_path)
    assert archived(journal) is None
    assert list(journal.read()) == held[:2] + held[3:]
    (lost,) = journal.damage
    assert contents(tmp_path) & {path.name for path in segments(tmp_path)}
    manifest = manifest_of(journal, archived(journal, is_settled=lambda one: one == lost))
    assert manifest.damaged == ((lost.offset, lost.length),)
    assert next((run.first, run.last) for run in manifest.runs if run.stream == STREAM) == (1, 1)
    assert list(journal.read()) == held[:2] + held[3:]
    journal.close()


def test_what_came_again_stands_in_the_archive(tmp_path: Path) -> None:
    journal, held = written(tmp_path)
    journal.close()
    flip(segments(tmp_path)[0], HEADER_BYTES + held[2].offset + 100)
    journal = opened(tmp_path)
    list(journal.read())
    assert journal.repair(0, held[4].offset, held[2].received, [held[2].envelope])
    manifest = manifest_of(journal, archived(journal))
    assert (manifest.damaged, list(journal.damage)) == ((), [])
    assert list(journal.read()) == held
    journal.close()


class Dying(Exception):
    pass


class DyingDisk(FaultyDisk):
    """The machine dies before the n-th call that changes anything."""

    def __init__(self) -> None:
        super().__init__()
        self.left = -1

    def _count(self) -> None:
        if self.left == 0:
            raise Dying
        self.left -= 1

    def create(self, path: Path) -> int:
        self._count()
        return super().create(path)

    def write(self, fd: int, content: memoryview, position: int) -> int:
        self._count()
        return super().write(fd, content, position)

    def sync(self, fd: int) -> None:
        self._count()
        super().sync(fd)

    def rename(self, old: Path, new: Path) -> None:
        self._count()
        super().rename(old, new)

    def remove(self, path: Path) -> None:
        self._count()
        super().remove(path)

    def sync_directory(self, directory: Path) -> None:
        self._count()
        super().sync_directory(directory)


@pytest.mark.parametrize("power", [False, True])
def test_wherever_it_dies_every_record_stands_and_the_next_attempt_ends(tmp_path: Path, power: bool) -> None:
    died = -1
    for calls in range(200):
        place = tmp_path / str(calls)
        disk = DyingDisk()
        journal, held = written(place, 16, disk)
        disk.left = calls
        try:
            assert archived(journal) is not None
        except Dying:
            died = calls
        disk.left = -1
        journal.close()
        if power:
            disk.power_cut(flushed_bytes=100)
        journal = opened(place, disk)
        assert list(journal.read()) == held
        assert list(journal.damage) == []
        if died == calls:
            archived(journal)
        assert [(one.is_kept, one.is_certified) for one in list_archives(place)] == [(True, True)]
        assert len(segments(place)) == 1
        assert list(journal.read()) == held
        journal.close()
        if died < calls:
            break
    assert 20 < died < 199


def test_a_disk_that_does_not_give_back_what_it_took_costs_no_segment(tmp_path: Path) -> None:
    class Lying(FaultyDisk):
        def forget(self, fd: int) -> None:
            super().forget(fd)
            if self.lies:
                with open(f"/proc/self/fd/{fd}", "r+b") as same:
                    same.seek(HEADER_BYTES + 60)
                    same.write(b"?")

        lies = False

    disk = Lying()
    journal, held = written(tmp_path, disk=disk)
    before = segments(tmp_path)
    disk.lies = True
    with pytest.raises(Transient) as failure:
        archived(journal)
    assert failure.value.code == "GC-6070"
    assert segments(tmp_path) == before
    disk.lies = False
    assert list(journal.read()) == held
    assert archived(journal) is not None
    assert list(journal.read()) == held
    journal.close()


def test_a_full_disk_costs_nothing(tmp_path: Path) -> None:
    disk = FaultyDisk()
    journal, held = written(tmp_path, disk=disk)
    disk.room = HEADER_BYTES + 300
    with pytest.raises(Transient) as failure:
        archived(journal)
    assert failure.value.code == "GC-6001"
    disk.room = None
    assert list(journal.read()) == held
    assert archived(journal) is not None
    journal.close()


def test_readers_that_have_begun_go_on_in_this_process_and_in_another(tmp_path: Path) -> None:
    journal, held = written(tmp_path)
    elsewhere = FileJournal.open(tmp_path, read_only=True)
    readers = [journal.read(), elsewhere.read(), journal.read(), elsewhere.read()]
    firsts = [next(one) for one in readers[:2]]
    assert archived(journal) is not None
    for first, reader in zip(firsts, readers[:2], strict=True):
        assert [first, *reader] == held
    for reader in readers[2:]:
        assert list(reader) == held
    assert [*journal.damage, *elsewhere.damage] == []
    elsewhere.close()
    journal.close()


def test_what_is_no_longer_wanted_goes_and_its_manifest_stays(tmp_path: Path) -> None:
    journal, held = written(tmp_path)
    archive = archived(journal, before=held[15].offset)
    assert archive is not None
    last = max(one.received for one in held if one.offset < archive.end)
    assert journal.give_up(last) is None
    begun = journal.read()
    gone = journal.give_up(last + 1)
    assert gone is not None
    assert (gone.is_kept, gone.path.exists(), gone.manifest.exists()) == (False, False, True)
    later = [one for one in held if one.offset >= archive.end]
    assert list(begun) == list(journal.read()) == later
    assert journal.start == archive.end
    assert journal.give_up(FOREVER) is None
    assert list(journal.damage) == []
    journal.close()


def test_an_archive_without_a_manifest_is_read_and_never_removed(tmp_path: Path) -> None:
    journal, held = written(tmp_path)
    archive = archived(journal, before=held[15].offset)
    assert archive is not None
    journal.close()
    archive.manifest.unlink()
    journal = opened(tmp_path)
    assert list(journal.read()) == held
    assert journal.give_up(FOREVER) is None
    assert archived(journal) is not None
    assert list(journal.read()) == held
    assert archive.path.exists()
    journal.close()


def test_an_archive_is_proven_from_its_bytes_and_any_change_is_seen(tmp_path: Path) -> None:
    journal, _ = written(tmp_path, 12)
    archive = archived(journal)
    manifest = manifest_of(journal, archive)
    journal.close()
    assert archive is not None
    found = examine(LinuxDisk(), archive, SUITES, manifest.keys)
    assert (found.digest, found.runs, found.envelopes) == (manifest.digest, manifest.runs, manifest.envelopes)
    with pytest.raises(Rejected) as unknown:
        examine(LinuxDisk(), archive, SUITES, {})
    assert unknown.value.code == "GC-5003"
    other = Ed25519Signer(b"x" * 32).public
    with pytest.raises(Rejected):
        examine(LinuxDisk(), archive, SUITES, dict.fromkeys(manifest.keys, other))
    for position in (0, 5_000, HEADER_BYTES, HEADER_BYTES + 50, archive.path.stat().st_size - 1):
        flip(archive.path, position)
        assert examine(LinuxDisk(), archive, SUITES).digest != manifest.digest
        flip(archive.path, position)


def test_without_a_notary_archives_are_read_through(tmp_path: Path) -> None:
    journal, held = written(tmp_path)
    archived(journal)
    journal.close()
    reader = FileJournal.open(tmp_path, read_only=True)
    assert list(reader.outline()) == held
    reader.close()
    journal = FileJournal.open(tmp_path)
    with pytest.raises(ValueError, match="vouches"):
        archived(journal)
    journal.close()


def test_an_error_of_the_disk_while_removing_is_made_good(tmp_path: Path) -> None:
    class Stubborn(FaultyDisk):
        refuses = False

        def remove(self, path: Path) -> None:
            if self.refuses:
                raise OSError(errno.EIO, "stubborn")
            super().remove(path)

    disk = Stubborn()
    journal, held = written(tmp_path, disk=disk)
    disk.refuses = True
    with pytest.raises(Transient):
        archived(journal)
    assert list(journal.read()) == held
    disk.refuses = False
    archived(journal)
    assert len(segments(tmp_path)) == 1
    assert list(journal.read()) == held
    journal.close()
