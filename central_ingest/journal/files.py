"""The journal in segment files: what the centre has given receipts for stands here (invariant 3).

Segments follow each other by offset, and a segment ends where the next begins, whatever stands behind that
in its file. Opening checks the last segment alone; sealed ones are checked as they are read. The bytes are
described in `frames`, reading in `segments`, writing in `tail`, what came again in `repairs`, old segments in
`archives`; this file opens, mends, sets aside and prunes. A damaged stretch is copied to
`damaged/<offset>-<length>-<hash>.bin` in the journal's directory. What an envelope says is none of its business.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from protocol.errors import Permanent, Transient
from protocol.limits import MIB

from . import archiving, layout, repairs
from .archive import Archive, Manifest, Notary
from .archives import Archives
from .disk import Disk, LinuxDisk, create_durably, make_directory
from .journal import TORN_TAIL, Damage, Entry, Run
from .layout import Piece
from .repairs import left_of, list_repairs, mended
from .segments import SegmentReader, list_segments
from .tail import Tail

SEGMENT_BYTES_MAX = 256 * MIB


class FileJournal:
    """See the seam. With `read_only` it is the journal as it stood at opening; a writer may go on beside it."""

    def __init__(
        self, disk: Disk, directory: Path, segment_bytes_max: int, lock: int | None, notary: Notary | None
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._lock = lock
        self._closed = False
        self._damage: list[Damage] = []
        self._copied: set[tuple[int, int]] = set()
        self._noting = threading.Lock()
        """One thread reads and finds damage while another repairs it."""
        self._repairs = list_repairs(directory)
        self._tail = Tail(disk, directory, list_segments(directory), segment_bytes_max)
        self._archives = Archives(disk, directory, notary)  # listed after the segments: see `_pieces`

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        read_only: bool = False,
        disk: Disk | None = None,
        notary: Notary | None = None,
    ) -> FileJournal:
        """Open the journal in `directory`, which is made where it is missing (but not by `read_only`).

        A segment is closed once an append would take it above `segment_bytes_max`. Manifests are believed where
        they are the `notary`'s; without one archives are read through instead. Raises Permanent GC-1006 when
        another writer has it open, Transient GC-6001 when it cannot be read or mended.
        """
        disk = disk or LinuxDisk()
        lock: int | None = None
        try:
            if read_only:
                journal = cls(disk, directory, segment_bytes_max, None, notary)
                journal._survey()
            else:
                make_directory(disk, directory)
                lock = _lock(directory)
                journal = cls(disk, directory, segment_bytes_max, lock, notary)
                journal._mend()
        except BaseException as error:
            if lock is not None:
                os.close(lock)
            if isinstance(error, OSError):
                raise _unwritable(directory, error) from error
            raise
        return journal

    @property
    def start(self) -> int:
        return self._archives.start

    @property
    def end(self) -> int:
        return self._tail.end

    @property
    def damage(self) -> Sequence[Damage]:
        """Each stretch once."""
        return tuple(self._damage)

    def append(self, received: int, envelopes: Sequence[bytes]) -> list[int]:
        self._require_writer()
        if not envelopes:
            return []
        try:
            return self._tail.append(received, envelopes)
        except OSError as error:
            raise _unwritable(self._directory, error) from error

    def repair(self, start: int, stop: int, received: int, envelopes: Sequence[bytes]) -> bool:
        self._require_writer()
        for _ in self._read(start, min(stop, self.end), self._pieces()):
            pass  # to find what is damaged there
        found = [one for one in self._damage if one.is_loss and start <= one.offset and one.end <= stop]
        runs = repairs.place(found, envelopes)
        if runs is None:
            return False
        try:
            made = [repairs.write(self._disk, self._directory, base, received, run) for base, run in runs]
        except OSError as error:
            raise _unwritable(self._directory, error) from error
        self._repairs = tuple(sorted({*self._repairs, *made}))
        with self._noting:
            self._damage = [left for one in self._damage for left in left_of(one, made)]
        return True

    def read(self, start: int = 0) -> Iterator[Entry]:
        self._require_open()
        items = self._read(start, self.end, self._pieces())
        return (item for item in items if isinstance(item, Entry))

    def outline(self) -> Iterator[Entry | Run]:
        self._require_open()
        return self._read(0, self.end, self._pieces(), by_runs=True)

    @property
    def archives(self) -> tuple[Archive, ...]:
        """By offset, those that were given up included."""
        return self._archives.all

    def manifest(self, archive: Archive) -> Manifest | None:
        """None for one that the notary has not signed, or that is damaged."""
        return self._archives.manifest(archive)

    def archive(
        self,
        before: int,
        received_before: int,
        *,
        keys: Mapping[bytes, bytes],
        made: int,
        is_settled: Callable[[Damage], bool],
    ) -> Archive | None:
        """Make the oldest segments an archive and remove them: those that end at or below `before`, where what stands
        behind them was received before `received_before`. Readers go on, and so do `append` and `repair`.

        `keys` are public keys by id, for the manifest; `made` is now; `is_settled` says of a damaged stretch that
        nothing of it will come again. None where there is nothing to do, or something is not settled. Raises Transient
        GC-6001, GC-6070.
        """
        self._require_writer()
        notary = self._archives.notary
        if notary is None:
            raise ValueError("nobody vouches for archives of this journal")
        try:
            self._remove_archived()
            extent = layout.sealed(self._pieces(), before, received_before, self._received_at)
            if extent is None or not self._are_settled(extent, is_settled):
                return None
            made_of = archiving.write(
                self._disk,
                self._directory,
                extent,
                (one for one in self._read(*extent, self._pieces()) if isinstance(one, Entry)),
                notary,
                keys=keys,
                made=made,
                is_settled=lambda: self._are_settled(extent, is_settled),
            )
            self._archives.add(made_of)
            self._remove_archived()
        except archiving.Unsettled:
            return None
        except OSError as error:
            raise _unwritable(self._directory, error) from error
        return made_of

    def give_up(self, received_before: int) -> Archive | None:
        """Remove the file of the oldest archive if all in it was received before `received_before`; its manifest
        stays. None where there is nothing to do. Raises Transient GC-6001."""
        self._require_writer()
        try:
            return self._archives.give_up(received_before)
        except OSError as error:
            raise _unwritable(self._directory, error) from error

    def keep_schemas(self, missing: Callable[[set[bytes]], Iterable[tuple[bytes, bytes]]]) -> None:
        """Lay schemas beside the archives: `missing` gives fingerprint and content of what is not among those there.
        Raises Transient GC-6001."""
        try:
            for fingerprint, content in missing(self._archives.kept_schemas()):
                self._archives.keep_schema(fingerprint, content)
        except OSError as error:
            raise _unwritable(self._directory, error) from error

    def kept_schema(self, fingerprint: bytes) -> bytes | None:
        return self._archives.kept_schema(fingerprint)

    def _received_at(self, offset: int) -> int | None:
        entry = next(self.read(offset), None)
        return None if entry is None else entry.received

    def _are_settled(self, extent: tuple[int, int], is_settled: Callable[[Damage], bool]) -> bool:
        base, end = extent
        return all(
            is_settled(one) for one in self._damage if one.is_loss and one.offset < end and base < one.end
        )

    def _remove_archived(self) -> None:
        """Segments that stand in an archive; first nobody begins to read them any more."""
        there = list_segments(self._directory)
        alive = self._archives.alive(there)
        old = [one for one in there if one not in alive]
        if old:
            self._tail.forget(old[-1].base)
            for one in old:
                self._disk.remove(one.path)
            self._disk.sync_directory(self._directory)

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError("the journal is closed")

    def _require_writer(self) -> None:
        self._require_open()
        if self._lock is None:
            raise ValueError("the journal is open for reading only")

    def close(self) -> None:
        self._closed = True
        self._tail.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _pieces(self) -> list[Piece]:
        """The segments are listed before the archives: what is archived meanwhile stands in both."""
        segments = tuple(self._tail.segments)
        return self._archives.pieces(segments, self.end)

    def _read(
        self, start: int, end: int, pieces: Sequence[Piece], *, by_runs: bool = False
    ) -> Iterator[Entry | Run]:
        """Records in order. What is damaged across several pieces is one stretch: so it is filled again."""
        stretch: Damage | None = None
        for item in self._archives.items(pieces, start, end, self._kept, by_runs=by_runs):
            if isinstance(item, Damage):
                stretch = item if stretch is None else replace(stretch, length=item.end - stretch.offset)
                continue
            if stretch is not None:
                yield from self._mended(stretch)
                stretch = None
            yield item
        if stretch is not None:
            yield from self._mended(stretch)

    def _mended(self, stretch: Damage) -> Iterator[Entry]:
        """What came again of a damaged stretch; what did not is noted before anything behind it is given."""
        made, left = self._repairs, list[Damage]()
        for item in mended(self._disk, stretch, made):
            if isinstance(item, Entry):
                yield item
            else:
                left.append(item)
                self._note(item)
        with self._noting:  # a part that was looked at by itself may have seemed worse than it is
            newer = [one for one in self._repairs if one not in made]
            rest = {(r.offset, r.end): r for one in left for r in left_of(one, newer)}
            self._damage = [
                known
                for known in self._damage
                if not (known.is_loss and known.is_within(stretch)) or (known.offset, known.end) in rest
            ]
            told = {(known.offset, known.end) for known in self._damage if known.is_loss}
            self._damage += [one for place, one in rest.items() if place not in told]

    def _find(self, stretch: Damage) -> None:
        for _ in self._mended(stretch):
            pass

    def _survey(self) -> None:
        """Find the end without touching anything. What is half written there is the writer's, and no damage."""
        self._tail.end = self._archives.end
        if segments := self._archives.alive(self._tail.segments):
            with SegmentReader(self._disk, segments[-1]) as reader:
                survey = reader.survey()
            self._tail.end = survey.end
            for stretch in survey.damage:
                self._find(stretch)

    def _mend(self) -> None:
        """Find the end, cut what is unfinished behind it, and make sure that what is believed is on the disk.

        Records that a killed writer had not synced are valid in the page cache alone, and a sync that failed
        in his time may leave them there looking clean. Hence first sync, then forget, then read.
        """
        self._disk.sync_directory(self._directory)
        self._tail.end = self._archives.end
        if not self._archives.alive(self._tail.segments):
            return
        segment = self._tail.segments[-1]
        reader = SegmentReader(self._disk, segment, writable=True)
        try:
            self._disk.sync(reader.fd)
            self._disk.forget(reader.fd)
            survey = reader.survey()
            for stretch in survey.damage:
                self._find(self._kept(reader, stretch))
            if survey.torn is not None:
                self._cut(reader, survey.torn)
        except BaseException:
            self._disk.close(reader.fd)
            raise
        self._tail.end = survey.end
        self._forget_repairs_behind(survey.end)
        if reader.marker is None or reader.unreadable:
            self._disk.close(reader.fd)  # left as it is for the operator: the next append opens a new segment
        else:
            self._tail.resume(segment, reader.fd, reader.marker, survey.end)

    def _cut(self, reader: SegmentReader, torn: Damage) -> None:
        self._set_aside(reader, torn)
        size = self._disk.size(reader.fd)
        self._disk.truncate(reader.fd, size - torn.length)
        self._disk.sync(reader.fd)
        self._note(replace(torn, reason=TORN_TAIL))

    def _forget_repairs_behind(self, end: int) -> None:
        """What they stood for was cut, and other records will have those offsets."""
        for one in (one for one in self._repairs if one.end > end):
            one.path.unlink()
            self._disk.sync_directory(one.path.parent)
        self._repairs = tuple(one for one in self._repairs if one.end <= end)

    def _kept(self, reader: SegmentReader, stretch: Damage) -> Damage:
        """A stretch between valid records, copied aside once when we are the writer; it also stays."""
        if self._lock is None or (stretch.offset, stretch.length) in self._copied:
            return stretch
        self._copied.add((stretch.offset, stretch.length))
        try:
            self._set_aside(reader, stretch)
        except OSError as error:  # nothing is lost by it, so it must not keep anyone from reading on
            why = os.strerror(error.errno or 0)
            return replace(stretch, reason=f"{stretch.reason}; not copied aside: {why}")
        return stretch

    def _set_aside(self, reader: SegmentReader, stretch: Damage) -> None:
        digest = blake2b(digest_size=8)
        for chunk in reader.stretch(stretch.offset, stretch.length):
            digest.update(chunk)
        name = f"{stretch.offset:020d}-{stretch.length}-{digest.hexdigest()}.bin"
        make_directory(self._disk, self._directory / "damaged")
        path = self._directory / "damaged" / name
        self._disk.close(create_durably(self._disk, path, reader.stretch(stretch.offset, stretch.length)))

    def _note(self, stretch: Damage) -> None:
        with self._noting:
            if not any(known.is_loss and stretch.is_within(known) for known in self._damage):
                self._damage = [*self._damage, stretch]


def _lock(directory: Path) -> int:
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise Permanent("GC-1006", command="central-ingest", path=str(directory)) from error
    return fd


def _unwritable(directory: Path, error: OSError) -> Transient:
    return Transient("GC-6001", path=str(directory), reason=os.strerror(error.errno or 0))
