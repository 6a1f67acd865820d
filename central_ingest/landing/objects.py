"""Large values and files: assembled from their pieces, verified, then kept under their SHA-256.

An object lies at `<site>/<sha256>` below the root, whole or not at all; while its pieces arrive it is a part
file beside. Pieces may come again after a restart: they are written where they belong. Finished means hashed,
synced and renamed, in that order.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from protocol.batch import PieceHeader
from protocol.errors import Rejected, Transient
from protocol.limits import MIB

_CHUNK = 4 * MIB


class Objects:
    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, site: str, sha256: str) -> Path:
        return self._root / site / sha256

    def has(self, site: str, sha256: str) -> bool:
        return self.path(site, sha256).exists()

    def add(self, site: str, piece: PieceHeader, data: bytes) -> bool:
        """Write a piece; True when the object is finished (or was before). Raises Rejected GC-5006 where what
        stands before it never came (no piece makes a hole, so no file is larger than what was sent) or where all
        pieces are there and the hash is another one, Transient GC-6005 where the disk fails."""
        whole = self.path(site, piece.sha256)
        part = whole.with_name(f".{piece.sha256}.part")
        try:
            if whole.exists():
                _sync(whole.parent)  # whoever renamed it may have died before this
                return True
            self._make_folder(whole.parent)
            if piece.offset > (part.stat().st_size if part.exists() else 0):
                raise Rejected("GC-5006", reason="a piece of a large value out of its order")
            with open(part, "r+b" if part.exists() else "w+b") as file:
                file.seek(piece.offset)
                file.write(data)
                file.flush()
                if piece.offset + len(data) < piece.size:
                    return False
                return self._finish(file.fileno(), part, whole, piece)
        except OSError as e:
            raise Transient("GC-6005", path="files", reason=type(e).__name__) from e

    def _finish(self, fd: int, part: Path, whole: Path, piece: PieceHeader) -> bool:
        os.fsync(fd)
        digest = hashlib.sha256()
        with open(part, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != piece.sha256 or part.stat().st_size != piece.size:
            part.unlink()
            raise Rejected("GC-5006", reason="content of a large value")
        os.replace(part, whole)
        _sync(whole.parent)
        return True

    def _make_folder(self, folder: Path) -> None:
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _sync(self._root)
            _sync(self._root.parent)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
