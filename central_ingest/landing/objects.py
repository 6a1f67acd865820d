"""Large values and files: assembled from their pieces, verified, then kept under their SHA-256.

An object lies at `<site>/<sha256>` in its store, whole or not at all; while its pieces arrive it is a part file on
the local disk. Pieces may come again after a restart: they are written where they belong. Finished means hashed,
then kept by the store.
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from protocol.batch import PieceHeader
from protocol.change import ASIDE_LARGE
from protocol.errors import Rejected, Transient
from protocol.limits import MIB

from .localstore import LocalStore
from .store import Store

_CHUNK = 4 * MIB
_NAME = re.compile("[0-9a-f]{64}")


def large_in(asides: pa.ChunkedArray) -> set[str]:
    """SHA-256 of every large value that rows refer to, by their column `_gc_aside`."""
    lists = asides.to_pylist()
    return {one["sha256"].hex() for several in lists for one in several or () if one["reason"] == ASIDE_LARGE}


class Objects:
    def __init__(self, parts: Path, store: Store | None = None) -> None:
        """`parts` is the folder of the part files, where finished objects lie too unless they have another store."""
        self._parts = parts
        self._disk = LocalStore(parts)
        self._store = store or self._disk

    def has(self, site: str, sha256: str) -> bool:
        return self._store.size(f"{site}/{sha256}") is not None

    def read(self, site: str, sha256: str) -> bytes:
        """Raises OSError, FileNotFoundError where the object is not finished."""
        return self._store.get(f"{site}/{sha256}")

    def all(self) -> Iterator[tuple[str, list[str]]]:
        """By site, what is finished."""
        for folder in self._store.list(""):
            if folder.name.endswith("/") and not folder.name.startswith("."):
                yield (
                    folder.name[:-1],
                    [one.name for one in self._store.list(folder.name[:-1]) if _NAME.fullmatch(one.name)],
                )

    def size(self, place: str) -> int:
        return self._store.size(place) or 0

    def is_whole(self, place: str) -> bool:
        """Whether what lies at `<site>/<sha256>`, past every cache of this machine, is what its name says. Raises
        OSError where the store refuses to say, FileNotFoundError where nothing lies there."""
        try:
            content = self._store.prove(place)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EINVAL):
                raise
            return False
        return hashlib.sha256(content).hexdigest() == place.rpartition("/")[2]

    def set_aside(self, site: str, sha256: str) -> None:
        """It is not what its name says: it moves to `.damaged/`, and nothing has the name."""
        if self._store.size(f"{site}/{sha256}") is not None:
            kept = f".damaged/{site}/{sha256}-{len(self._store.list(f'.damaged/{site}'))}"
            self._store.move(f"{site}/{sha256}", kept)
            self._store.sync([kept, f"{site}/"])

    def add(self, site: str, piece: PieceHeader, data: bytes) -> bool:
        """Write a piece; True when the object is finished (or was before). Raises Rejected GC-5006 where what
        stands before it never came (no piece makes a hole, so no file is larger than what was sent) or where all
        pieces are there and the hash is another one, Transient GC-6005 where the disk or the store fails."""
        name = f"{site}/{piece.sha256}"
        part = self._parts / site / f".{piece.sha256}.part"
        try:
            if not part.exists() and self._store.size(name) is not None:
                self._store.sync([name])  # whoever kept it may have died before it was durable
                return True
            self._disk.establish()
            part.parent.mkdir(exist_ok=True)
            if piece.offset > (part.stat().st_size if part.exists() else 0):
                raise Rejected("GC-5006", reason="a piece of a large value out of its order")
            with open(part, "r+b" if part.exists() else "w+b") as file:
                file.seek(piece.offset)
                file.write(data)
            if piece.offset + len(data) < piece.size:
                return False
            return self._finish(part, name, piece)
        except OSError as e:
            raise Transient("GC-6005", path="files", reason=type(e).__name__) from e

    def make_durable(self, site: str, sha256: str) -> None:
        """Return once what has come of an unfinished object would survive a power cut. Raises Transient GC-6005."""
        part = f"{site}/.{sha256}.part"
        try:
            if self._disk.size(part) is not None:  # else its pieces were no such object: nothing has come
                self._disk.sync([part])
        except OSError as e:
            raise Transient("GC-6005", path="files", reason=type(e).__name__) from e

    def _finish(self, part: Path, name: str, piece: PieceHeader) -> bool:
        digest = hashlib.sha256()
        with open(part, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != piece.sha256 or part.stat().st_size != piece.size:
            part.unlink()
            raise Rejected("GC-5006", reason="content of a large value")
        self._store.keep(name, part)
        return True
