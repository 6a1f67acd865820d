"""Index files: immutable, written and synced before the spool transaction that names them.

A file is `magic ‖ BLAKE2b-128 of the frame ‖ one zstd frame`. A file that fails its digest makes its table
read again from the start; it is never trusted in part. Scratch files (what one statement read, on its way to
the spool) lie beside them. Files that no transaction names are leftovers of a crash and are swept at start.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import zstandard

from protocol.canonical import HASH_BYTES
from protocol.change import ASIDE
from protocol.errors import Transient
from protocol.schema import TableSchema

from ..platform import sync_directory
from ..sources.source import Rows
from .diff import CountIndex, KeyedIndex

_MAGIC = b"GCIX1\n"
_KEY_LENGTH = struct.Struct(">I")
_COUNT = struct.Struct(f">{HASH_BYTES}sQ")


class IndexDamaged(Exception):
    """An index or scratch file is missing or not as it was written: the table must be read anew."""


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What the disk refuses is an outage, and leaves no half file."""
    try:
        yield
    except OSError as e:
        with suppress(OSError):
            path.unlink()
        raise Transient("GC-3002", path=str(path), reason=e.strerror or type(e).__name__) from e


class IndexFiles:
    """A directory of them. Whatever writes raises Transient GC-3002."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # scratch files hold rows
        self._directory = directory

    def sweep(self, referenced: set[str]) -> None:
        """Remove what no transaction names."""
        for path in self._directory.iterdir():
            if path.name not in referenced:
                path.unlink(missing_ok=True)

    def remove(self, *names: str) -> None:
        for name in names:
            if name:
                with suppress(OSError):
                    (self._directory / name).unlink()

    def write_keyed(self, index: KeyedIndex) -> str:
        parts = bytearray()
        for key, digest in index.items():
            parts += _KEY_LENGTH.pack(len(key)) + key + digest
        return self._write(bytes(parts))

    def read_keyed(self, name: str) -> KeyedIndex:
        """Raises IndexDamaged. The empty name is the empty index."""
        data = self._read(name)
        index: KeyedIndex = {}
        offset = 0
        while offset < len(data):
            (length,) = _KEY_LENGTH.unpack_from(data, offset)
            start = offset + _KEY_LENGTH.size
            end = start + length + HASH_BYTES
            index[data[start : start + length]] = data[start + length : end]
            offset = end
        return index

    def write_counts(self, index: CountIndex) -> str:
        return self._write(b"".join(_COUNT.pack(digest, n) for digest, n in index.items() if n))

    def read_counts(self, name: str) -> CountIndex:
        """Raises IndexDamaged."""
        return Counter(dict(_COUNT.iter_unpack(self._read(name))))

    def new_scratch(self, schema: TableSchema) -> ScratchWriter:
        name = f"{secrets.token_hex(16)}.scratch"
        return ScratchWriter(self._directory / name, schema)

    def read_scratch(self, name: str, schema: TableSchema) -> Iterator[Rows]:
        """The slices that were written, in order. Raises IndexDamaged."""
        try:
            with pa.OSFile(str(self._directory / name), "rb") as file, pa.ipc.open_file(file) as reader:
                if reader.schema != _scratch_schema(schema):
                    raise IndexDamaged(name)
                for i in range(reader.num_record_batches):
                    batch = reader.get_batch(i)
                    asides = batch.column(batch.num_columns - 1)
                    columns = batch.columns[:-1]
                    yield Rows(columns, None if asides.null_count == len(asides) else asides.to_pylist())
        except (OSError, pa.ArrowException) as e:
            raise IndexDamaged(name) from e

    def _write(self, data: bytes) -> str:
        frame = zstandard.compress(data, 1)
        path = self._directory / f"{secrets.token_hex(16)}.index"
        with _writing(path):
            with open(path, "wb") as file:
                file.write(_MAGIC + hashlib.blake2b(frame, digest_size=16).digest() + frame)
                file.flush()
                os.fsync(file.fileno())
            sync_directory(self._directory)
        return path.name

    def _read(self, name: str) -> bytes:
        if not name:
            return b""
        try:
            data = (self._directory / name).read_bytes()
        except OSError as e:
            raise IndexDamaged(name) from e
        digest, frame = data[len(_MAGIC) : len(_MAGIC) + 16], data[len(_MAGIC) + 16 :]
        if data[: len(_MAGIC)] != _MAGIC or hashlib.blake2b(frame, digest_size=16).digest() != digest:
            raise IndexDamaged(name)
        return zstandard.decompress(frame)


def _scratch_schema(schema: TableSchema) -> pa.Schema:
    fields = [pa.field(f"c{i}", c.wire) for i, c in enumerate(schema.columns)]
    return pa.schema([*fields, pa.field("aside", ASIDE)])


class ScratchWriter:
    """Takes the slices of one statement to disk as they are read, so that the statement can end soon."""

    def __init__(self, path: Path, schema: TableSchema) -> None:
        self.name = path.name
        self._path = path
        self._schema = _scratch_schema(schema)
        with _writing(path):
            self._file = pa.OSFile(str(path), "wb")
            self._writer = pa.ipc.new_file(self._file, self._schema)

    def add(self, rows: Rows) -> None:
        asides = pa.nulls(rows.count, ASIDE) if rows.asides is None else pa.array(rows.asides, ASIDE)
        batch = pa.RecordBatch.from_arrays([*rows.columns, asides], schema=self._schema)
        with _writing(self._path):
            self._writer.write_batch(batch)

    def close(self) -> None:
        """Complete and synced."""
        with _writing(self._path):
            self._writer.close()
            self._file.close()
            with open(self._path, "rb+") as file:
                os.fsync(file.fileno())
            sync_directory(self._path.parent)

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
