"""What every journal promises, in files or in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.journal.archive import Notary
from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import HEADER_BYTES
from central_ingest.journal.journal import Entry, Journal, Run
from central_ingest.journal.memory import MemoryJournal, MemoryStore
from protocol.envelope import parse
from protocol.errors import Permanent, Transient
from protocol.limits import ENVELOPE_BYTES_MAX
from protocol.names import Stream
from protocol.signing import SUITES
from tests.unit.central_ingest.journal.faulty_disk import FaultyDisk
from tests.unit.central_ingest.sender import CENTRE, OTHER_STREAM, STREAM, Sender


class Ground(Protocol):
    """What a journal is opened on: it outlives the journal and can be full."""

    def open(self) -> Journal: ...

    def fill(self) -> None: ...

    def free(self) -> None: ...

    def rot(self, start: int, stop: int) -> None:
        """While the journal is closed: damage every record between these offsets."""

    def give_up(self, journal: Journal, before: int) -> int:
        """While it is open: archive what stands below `before`, and give up the archives; returns where that ended."""


class FileGround:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._disk = FaultyDisk()

    def open(self) -> Journal:
        notary = Notary.of(CENTRE, SUITES)
        return FileJournal.open(self._directory, segment_bytes_max=20_000, disk=self._disk, notary=notary)

    def fill(self) -> None:
        self._disk.room = 0

    def free(self) -> None:
        self._disk.room = None

    def rot(self, start: int, stop: int) -> None:
        bases = sorted(int(path.stem) for path in self._directory.glob("*.gcj"))
        for base, end in pairwise([*bases, 2**63]):
            path = self._directory / f"{base:020d}.gcj"
            content = bytearray(path.read_bytes())
            for offset in range(max(start, base), min(stop, end, base + len(content) - HEADER_BYTES)):
                content[HEADER_BYTES + offset - base] ^= 0xFF
            path.write_bytes(content)

    def give_up(self, journal: Journal, before: int) -> int:
        assert isinstance(journal, FileJournal)
        while journal.archive(before, 2**62, keys={}, made=1, is_settled=lambda _: True) is not None:
            pass
        while journal.give_up(2**62) is not None:
            pass
        return max(one.end for one in journal.archives)


class MemoryGround:
    def __init__(self) -> None:
        self._store = MemoryStore()

    def open(self) -> Journal:
        return MemoryJournal.open(self._store)

    def fill(self) -> None:
        self._store.full = True

    def free(self) -> None:
        self._store.full = False

    def rot(self, start: int, stop: int) -> None:
        self._store.rot(start, stop)

    def give_up(self, journal: Journal, before: int) -> int:
        self._store.give_up(before)
        return before


@contextmanager
def _files() -> Iterator[Ground]:
    with TemporaryDirectory() as directory:
        yield FileGround(Path(directory) / "journal")


@contextmanager
def _memory() -> Iterator[Ground]:
    yield MemoryGround()


GROUNDS = pytest.mark.parametrize("make", [_files, _memory])


@pytest.fixture(params=[_files, _memory])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with request.param() as made:
        yield made


def test_a_new_journal_is_empty(ground: Ground) -> None:
    journal = ground.open()
    assert journal.end == 0
    assert list(journal.read()) == []
    assert list(journal.damage) == []
    journal.close()


def test_what_was_appended_is_read_in_order_with_its_time_and_offset(ground: Ground) -> None:
    journal = ground.open()
    first = journal.append(1_000, [b"a", b"bb"])
    second = journal.append(2_000, [b""])
    assert list(journal.read()) == [
        Entry(first[0], 1_000, b"a"),
        Entry(first[1], 1_000, b"bb"),
        Entry(second[0], 2_000, b""),
    ]
    journal.close()


def test_offsets_grow_and_the_next_record_stands_at_the_end(ground: Ground) -> None:
    journal = ground.open()
    offsets = []
    for size in (0, 5, 30_000, 1):
        end = journal.end
        offsets += journal.append(1, [bytes(size), b"x"])
        assert offsets[-2] == end
        assert journal.end > offsets[-1]
    assert offsets == sorted(set(offsets))
    journal.close()


def test_nothing_appended_changes_nothing(ground: Ground) -> None:
    journal = ground.open()
    journal.append(1, [b"a"])
    end = journal.end
    assert journal.append(2, []) == []
    assert journal.end == end
    journal.close()


def test_reading_begins_where_it_is_asked_to(ground: Ground) -> None:
    journal = ground.open()
    envelopes = [bytes([n]) * 3_000 for n in range(20)]
    offsets = [journal.append(7, [envelope])[0] for envelope in envelopes]
    for n, offset in enumerate(offsets):
        assert [entry.envelope for entry in journal.read(offset)] == envelopes[n:]
    assert list(journal.read(journal.end)) == []
    journal.close()


def test_reading_ends_where_the_journal_ended_when_it_was_asked(ground: Ground) -> None:
    journal = ground.open()
    journal.append(1, [b"a", b"b"])
    before = journal.read()
    journal.append(2, [b"c"])
    assert [entry.envelope for entry in before] == [b"a", b"b"]
    assert [entry.envelope for entry in journal.read()] == [b"a", b"b", b"c"]
    journal.close()


def test_two_readers_do_not_disturb_each_other(ground: Ground) -> None:
    journal = ground.open()
    journal.append(1, [b"a", b"b", b"c"])
    one, other = journal.read(), journal.read()
    assert [next(one).envelope, next(other).envelope, next(one).envelope] == [b"a", b"a", b"b"]
    assert [entry.envelope for entry in other] == [b"b", b"c"]
    journal.close()


def test_it_survives_being_closed(ground: Ground) -> None:
    journal = ground.open()
    journal.append(1, [b"a", b"b"])
    held, end = list(journal.read()), journal.end
    journal.close()
    again = ground.open()
    assert (list(again.read()), again.end) == (held, end)
    assert again.append(2, [b"c"]) == [end]
    again.close()


def test_a_second_writer_is_refused_until_the_first_has_closed(ground: Ground) -> None:
    journal = ground.open()
    with pytest.raises(Permanent) as refusal:
        ground.open()
    assert refusal.value.code == "GC-1006"
    assert refusal.value.facts["command"] == "central-ingest"
    journal.append(1, [b"a"])
    journal.close()
    ground.open().close()


def test_a_failed_append_counts_for_nothing_and_the_next_goes_on(ground: Ground) -> None:
    journal = ground.open()
    journal.append(1, [b"a"])
    end = journal.end
    ground.fill()
    with pytest.raises(Transient) as failure:
        journal.append(2, [b"lost", b"lost too"])
    assert failure.value.code == "GC-6001"
    assert journal.end == end
    assert [entry.envelope for entry in journal.read()] == [b"a"]
    ground.free()
    assert journal.append(3, [b"b"]) == [end]
    journal.close()
    again = ground.open()
    assert [(entry.received, entry.envelope) for entry in again.read()] == [(1, b"a"), (3, b"b")]
    assert list(again.damage) == []
    again.close()


def test_the_largest_envelope_fits_and_a_larger_one_is_our_own_mistake(ground: Ground) -> None:
    journal = ground.open()
    journal.append(1, [bytes(ENVELOPE_BYTES_MAX)])
    with pytest.raises(ValueError, match="envelope"):
        journal.append(1, [b"a", bytes(ENVELOPE_BYTES_MAX + 1)])
    assert [len(entry.envelope) for entry in journal.read()] == [ENVELOPE_BYTES_MAX]
    journal.close()


def test_a_closed_journal_neither_writes_nor_reads(ground: Ground) -> None:
    journal = ground.open()
    journal.close()
    with pytest.raises(ValueError, match="closed"):
        journal.append(1, [b"a"])
    with pytest.raises(ValueError, match="closed"):
        journal.read()


def rotten(ground: Ground, first: int, last: int) -> tuple[Journal, list[Entry]]:
    """A journal of eight records of which those from `first` to `last` are damaged, and what it held."""
    journal = ground.open()
    for n in range(8):
        journal.append(n, [bytes([n]) * (3_000 + n)])
    held = list(journal.read())
    journal.close()
    ground.rot(held[first].offset, held[last + 1].offset)
    journal = ground.open()
    list(journal.read())
    return journal, held


def extent(journal: Journal) -> list[tuple[int, int]]:
    return [(one.offset, one.end) for one in journal.damage]


def test_what_is_damaged_is_filled_from_its_end_and_read_in_its_place(ground: Ground) -> None:
    journal, held = rotten(ground, 2, 4)
    start, stop = held[2].offset, held[5].offset
    assert extent(journal) == [(start, stop)]
    assert journal.repair(start, stop, 77, [held[4].envelope])
    assert extent(journal) == [(start, held[4].offset)]
    assert journal.repair(start, stop, 78, [held[2].envelope, held[3].envelope])
    whole = [replace(one, received={2: 78, 3: 78, 4: 77}.get(n, n)) for n, one in enumerate(held)]
    end = journal.end
    for _ in range(2):
        assert list(journal.read()) == whole
        assert list(journal.read(held[3].offset)) == whole[3:]
        assert (extent(journal), journal.end) == ([], end)
        journal.append(9, [b"goes on"])
        whole.append(Entry(end, 9, b"goes on"))
        journal.close()
        journal = ground.open()
        end = journal.end
    journal.close()


def test_what_does_not_fit_or_cannot_be_written_changes_nothing(ground: Ground) -> None:
    journal, held = rotten(ground, 2, 3)
    start, stop = held[2].offset, held[4].offset
    assert not journal.repair(start, stop, 1, [held[2].envelope, held[3].envelope, b""])
    assert not journal.repair(start, stop, 1, [bytes(stop - start)])
    assert not journal.repair(held[5].offset, held[6].offset, 1, [b"nothing is damaged there"])
    ground.fill()
    with pytest.raises(Transient) as failure:
        journal.repair(start, stop, 1, [held[3].envelope])
    assert failure.value.code == "GC-6001"
    ground.free()
    assert list(journal.read()) == [*held[:2], *held[4:]]
    assert extent(journal) == [(start, stop)]
    assert journal.repair(start, stop, 1, [held[2].envelope, held[3].envelope])
    assert [one.envelope for one in journal.read()] == [one.envelope for one in held]
    journal.close()


def test_what_is_split_over_two_stretches_is_filled_from_the_last(ground: Ground) -> None:
    journal, held = rotten(ground, 5, 5)
    journal.close()
    ground.rot(held[1].offset, held[3].offset)
    journal = ground.open()
    list(journal.read())
    lost = [held[n].envelope for n in (1, 2, 5)]
    assert journal.repair(0, journal.end, 1, lost)
    assert [one.envelope for one in journal.read()] == [one.envelope for one in held]
    assert extent(journal) == []
    journal.close()


def outlined(journal: Journal) -> list[tuple[Stream, int, int]]:
    """Stream, epoch and sequence of all that was ever journaled."""
    found = []
    for one in journal.outline():
        if isinstance(one, Run):
            found += [(one.stream, one.epoch, seq) for seq in range(one.first, one.last + 1)]
        else:
            header = parse(one.envelope).header
            found.append((header.stream, header.epoch, header.seq))
    return sorted(found)


def test_what_was_given_up_is_passed_over_and_known_by_its_runs(ground: Ground) -> None:
    journal = ground.open()
    senders = [Sender(1, STREAM), Sender(2, OTHER_STREAM)]
    for number in range(90):
        one = senders[number % 3 % 2]
        journal.append(number, [one.mark()])
        if number == 40:
            one.begin(2)
    everything, held = outlined(journal), list(journal.read())
    assert journal.start == 0
    begun = journal.read()
    next(begun)
    start = ground.give_up(journal, held[70].offset)
    assert 0 < start <= held[70].offset
    for _ in range(2):
        assert journal.start == start
        assert (
            [one for one in held if one.offset >= start] == list(journal.read()) == list(journal.read(start))
        )
        assert outlined(journal) == everything
        assert any(isinstance(one, Run) for one in journal.outline())
        assert list(journal.damage) == []
        journal.append(100, [senders[0].mark()])
        held, everything = [*held, list(journal.read())[-1]], outlined(journal)
        journal.close()
        journal = ground.open()
    journal.close()


Step = tuple[int, list[bytes]] | str
APPEND = st.tuples(st.integers(0, 2**63 - 1), st.lists(st.binary(max_size=9_000), max_size=4))


@GROUNDS
@given(steps=st.lists(st.one_of(APPEND, st.sampled_from(["reopen", "full"])), max_size=25))
@settings(max_examples=60, deadline=None)
def test_any_appends_and_reopenings_read_back_exactly(
    make: Callable[[], AbstractContextManager[Ground]], steps: list[Step]
) -> None:
    with make() as ground:
        journal = ground.open()
        held: list[Entry] = []
        for step in steps:
            match step:
                case "reopen":
                    journal.close()
                    journal = ground.open()
                case "full":
                    ground.fill()
                    with pytest.raises(Transient):
                        journal.append(1, [b"lost"])
                    ground.free()
                case (int() as received, list() as envelopes):
                    offsets = journal.append(received, envelopes)
                    pairs = zip(offsets, envelopes, strict=True)
                    held += [Entry(offset, received, envelope) for offset, envelope in pairs]
            assert list(journal.read()) == held
        assert list(journal.damage) == []
        journal.close()
