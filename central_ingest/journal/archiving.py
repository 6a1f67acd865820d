"""Archiving: sealed segments become an archive, in steps of which a crash may follow each.

Content, synced; read back past the page cache and compared; manifest, signed and synced: from here on it counts.
Only then may the segments go. A file without a manifest is nothing, and the next attempt writes it anew. What
may be archived, and when, is somebody else's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from secrets import token_bytes

from protocol.envelope import Kind, Rotation, parse
from protocol.errors import Rejected, Transient
from protocol.limits import MIB
from protocol.sealing import verify
from protocol.signing import Suite

from .archive import Archive, Manifest, Notary, list_archives
from .disk import Disk, create_durably, make_directory
from .frames import FRAME_HEADER_BYTES, MARKER_BYTES, frame_header, segment_header
from .journal import Entry, Run
from .runs import Runs
from .segments import Segment, SegmentReader

DIGEST_BYTES = 32
_CHUNK_BYTES = 1 * MIB


class Unsettled(Exception):
    """What was damaged may still come again. Stays inside the journal."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the bytes of an archive say by themselves, whoever vouches for them."""

    file_bytes: int
    digest: bytes
    envelopes: int
    first_received: int
    last_received: int
    runs: tuple[Run, ...]
    damaged: tuple[tuple[int, int], ...]


def write(
    disk: Disk,
    directory: Path,
    extent: tuple[int, int],
    entries: Iterator[Entry],
    notary: Notary,
    *,
    keys: Mapping[bytes, bytes],
    made: int,
    is_settled: Callable[[], bool],
) -> Archive:
    """Make an archive of `entries`, which lie in `extent`; durable and proven when it returns.

    `is_settled` is asked once all have been read. Raises OSError, Unsettled, and Transient GC-6070 where the disk
    does not give back what was written.
    """
    archive = Archive.at(directory, *extent)
    make_directory(disk, archive.path.parent)
    _clear(disk, archive)
    wanted = _Written(notary.suites, keys)
    disk.close(create_durably(disk, archive.path, wanted.chunks(extent, entries, is_settled)))
    found = examine(disk, archive, notary.suites)
    if (found.digest, found.runs, found.envelopes) != wanted.facts:
        raise Transient("GC-6070", path=str(archive.path))
    before = [one for one in list_archives(directory) if one.base < archive.base and one.is_certified]
    manifest = Manifest(
        base=archive.base,
        end=archive.end,
        file_bytes=found.file_bytes,
        digest=found.digest,
        envelopes=found.envelopes,
        first_received=found.first_received,
        last_received=found.last_received,
        made=made,
        runs=found.runs,
        damaged=found.damaged,
        keys=wanted.keys_met,
        previous=digest_of(before[-1].manifest) if before else b"",
    )
    disk.close(create_durably(disk, archive.manifest, [notary.certify(manifest)]))
    return Archive.at(directory, *extent)


def examine(
    disk: Disk, archive: Archive, suites: Mapping[int, Suite], keys: Mapping[bytes, bytes] | None = None
) -> Content:
    """Read an archive through, as the disk has it. With `keys` every signature is proven too. Raises OSError, Rejected
    GC-5002 for a signature that is not its key's, GC-5003 for one whose key is not among them."""
    runs, digest = Runs(suites), blake2b(digest_size=DIGEST_BYTES)
    damaged: list[tuple[int, int]] = []
    times: list[int] = []
    envelopes = 0
    with SegmentReader(disk, Segment(archive.base, archive.path)) as reader:
        disk.forget(reader.fd)
        size = disk.size(reader.fd)
        for position in range(0, size, _CHUNK_BYTES):
            digest.update(disk.read(reader.fd, _CHUNK_BYTES, position))
        for item in reader.items(archive.base, archive.end):
            if not isinstance(item, Entry):
                damaged.append((item.offset, item.length))
                continue
            if keys is not None:
                _prove(item, suites, keys)
            runs.add(item)
            envelopes += 1
            times = [min([item.received, *times]), max([item.received, *times])]
    first, last = times or (0, 0)
    return Content(size, digest.digest(), envelopes, first, last, runs.all(), tuple(damaged))


def digest_of(path: Path) -> bytes:
    """The BLAKE2b-256 of a small file."""
    return blake2b(path.read_bytes(), digest_size=DIGEST_BYTES).digest()


class _Written:
    """What goes into an archive, told by what is written and not by what can be read again."""

    def __init__(self, suites: Mapping[int, Suite], keys: Mapping[bytes, bytes]) -> None:
        self._suites = suites
        self._keys = dict(keys)
        self._digest = blake2b(digest_size=DIGEST_BYTES)
        self._runs = Runs(suites)
        self._envelopes = 0
        self.keys_met: dict[bytes, bytes] = {}

    @property
    def facts(self) -> tuple[bytes, tuple[Run, ...], int]:
        return self._digest.digest(), self._runs.all(), self._envelopes

    def chunks(
        self, extent: tuple[int, int], entries: Iterator[Entry], is_settled: Callable[[], bool]
    ) -> Iterator[bytes]:
        for chunk in self._frames(extent, entries):
            self._digest.update(chunk)
            yield chunk
        if not is_settled():
            raise Unsettled

    def _frames(self, extent: tuple[int, int], entries: Iterator[Entry]) -> Iterator[bytes]:
        position, end = extent
        marker = token_bytes(MARKER_BYTES)
        yield segment_header(position, marker)
        for entry in entries:
            yield from _zeros(entry.offset - position)
            self._meet(entry)
            yield frame_header(marker, entry.offset, entry.received, entry.envelope)
            yield entry.envelope
            position = entry.offset + FRAME_HEADER_BYTES + len(entry.envelope)
        yield from _zeros(end - position)

    def _meet(self, entry: Entry) -> None:
        self._runs.add(entry)
        self._envelopes += 1
        header = parse(entry.envelope).header
        if header.kind is Kind.ROTATION:
            public = Rotation.from_bytes(header.extension).public
            key_id = self._suites[header.suite].key_id(public)
            self._keys[key_id] = self.keys_met[key_id] = public
        if header.signing_key in self._keys:
            self.keys_met[header.signing_key] = self._keys[header.signing_key]


def _prove(entry: Entry, suites: Mapping[int, Suite], keys: Mapping[bytes, bytes]) -> None:
    envelope = parse(entry.envelope)
    public = keys.get(envelope.header.signing_key)
    if public is None:
        raise Rejected("GC-5003", agent=f"key {envelope.header.signing_key.hex()}")
    verify(envelope, suites[envelope.header.suite], public)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield bytes(min(count, _CHUNK_BYTES))
        count -= _CHUNK_BYTES


def _clear(disk: Disk, archive: Archive) -> None:
    """What an attempt that did not end has left: it began at the same offset. Nothing else is ever removed here."""
    for path in archive.path.parent.glob(f"{archive.base:020d}-*"):
        if path != archive.path and path.suffix != ".json" and not path.with_suffix(".json").exists():
            with suppress(FileNotFoundError):
                disk.remove(path)
