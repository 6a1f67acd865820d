"""The archives of one journal on disk: which there are, what their manifests say, and reading through them.

A reader takes the pieces as they stand when it begins. What is archived or given up meanwhile it finds where it is
then: nothing it was promised is missing to it. How an archive is made is `archiving`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from . import layout
from .archive import FOLDER, Archive, Manifest, Notary, covering, list_archives
from .disk import Disk, create_durably, make_directory
from .journal import Damage, Entry, Run
from .layout import Piece
from .segments import MISSING, Segment, SegmentReader

SCHEMAS = Path(FOLDER) / "schemas"
Kept = Callable[[SegmentReader, Damage], Damage]
"""What becomes of a damaged stretch when it is met."""


class Archives:
    def __init__(self, disk: Disk, directory: Path, notary: Notary | None) -> None:
        self._disk = disk
        self._directory = directory
        self.notary = notary
        self.all = list_archives(directory)

    @property
    def start(self) -> int:
        """The first offset that was not given up."""
        position = 0
        for one in self._certified:
            if one.base == position and not one.is_kept:
                position = one.end
        return position

    @property
    def end(self) -> int:
        """Where the last of them ends."""
        return max((one.end for one in self._certified), default=0)

    def alive(self, segments: Sequence[Segment]) -> list[Segment]:
        """Those that stand in no archive."""
        certified = self._certified
        return [one for one in segments if covering(certified, one.base) is None]

    def pieces(self, segments: Sequence[Segment], end: int) -> list[Piece]:
        return list(layout.pieces(self.all, segments, end))

    def manifest(self, archive: Archive) -> Manifest | None:
        """None for one that the notary has not signed, or that is damaged."""
        if self.notary is None or not archive.is_certified:
            return None
        try:
            return self.notary.read(archive.manifest.read_bytes())
        except OSError:
            return None

    def items(
        self, pieces: Sequence[Piece], start: int, end: int, kept: Kept, *, by_runs: bool
    ) -> Iterator[Entry | Damage | Run]:
        """What the pieces hold from offset `start` to `end`; of archives their runs, if that is enough."""
        for piece in pieces:
            first, stop = max(start, piece.base), min(end, piece.stop)
            if first >= stop:
                continue
            manifest = self.manifest(piece.archive) if by_runs and piece.archive is not None else None
            if manifest is not None:
                yield from manifest.runs
            elif not piece.is_given_up:
                yield from self._piece(piece, first, stop, kept)

    def add(self, archive: Archive) -> None:
        self.all = tuple(sorted([*self.all, archive], key=lambda one: one.base))

    def give_up(self, received_before: int) -> Archive | None:
        """Remove the file of the oldest one if all in it was received before `received_before`; its manifest stays.
        None where there is nothing to do. Raises OSError."""
        oldest = next((one for one in self._certified if one.is_kept), None)
        manifest = None if oldest is None else self.manifest(oldest)
        if oldest is None or manifest is None or manifest.last_received >= received_before:
            return None
        self._disk.remove(oldest.path)
        self._disk.sync_directory(oldest.path.parent)
        gone = replace(oldest, is_kept=False)
        self.all = tuple(gone if one is oldest else one for one in self.all)
        return gone

    def kept_schemas(self) -> set[bytes]:
        """Fingerprints of the schemas that lie beside the archives."""
        return {bytes.fromhex(path.stem) for path in (self._directory / SCHEMAS).glob("*.json")}

    def keep_schema(self, fingerprint: bytes, content: bytes) -> None:
        """Durably, so that an archive can be read when earlier ones, ledger and lake are lost. Raises OSError."""
        make_directory(self._disk, self._directory / SCHEMAS)
        path = self._directory / SCHEMAS / f"{fingerprint.hex()}.json"
        self._disk.close(create_durably(self._disk, path, [content]))

    def kept_schema(self, fingerprint: bytes) -> bytes | None:
        path = self._directory / SCHEMAS / f"{fingerprint.hex()}.json"
        return path.read_bytes() if path.exists() else None

    @property
    def _certified(self) -> list[Archive]:
        return [one for one in self.all if one.is_certified]

    def _piece(self, piece: Piece, first: int, stop: int, kept: Kept) -> Iterator[Entry | Damage]:
        if piece.file is None:
            yield Damage(first, stop - first, MISSING)
            return
        try:
            reader = SegmentReader(self._disk, piece.file)
        except FileNotFoundError:
            yield from self._moved(piece.file, first, stop, kept)
            return
        with reader:
            for item in reader.items(first, stop):
                yield item if isinstance(item, Entry) else kept(reader, item)

    def _moved(self, file: Segment, first: int, stop: int, kept: Kept) -> Iterator[Entry | Damage]:
        """What a reader finds that had begun before a segment was archived, or an archive given up."""
        found = covering((one for one in list_archives(self._directory) if one.is_certified), first)
        if found is None or (found.is_kept and found.path == file.path):
            yield Damage(first, stop - first, MISSING)
        elif found.is_kept:
            piece = Piece(found.base, found.end, Segment(found.base, found.path), found)
            yield from self._piece(piece, first, stop, kept)
