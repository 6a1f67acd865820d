"""Rows on their way to their buckets: sorted apart as they come, taken out one bucket at a time.

What is a few megabytes stays in memory; beyond it each bucket has a file in a scratch directory, so that a table
of any size takes the memory of one bucket. Files are gone when the work is done or thrown away; what a killed
process leaves the next one deletes (`clear`). Holds rows of patients: its directory lies below the data directory.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from .buckets import Bucket, Sorter

_LIGHT = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_HELD_BYTES = 8 << 20
"""Rows that wait in memory, all buckets together, before they are written: small pieces cost more than they hold."""


class Spill:
    def __init__(self, directory: Path, buckets: Sequence[Bucket]) -> None:
        self._directory = directory
        self._sorter = Sorter(buckets)
        self._waiting: dict[int, list[pa.Table]] = {}
        self._bytes = 0
        self._files: dict[int, tuple[pa.OSFile, pa.RecordBatchWriter]] = {}
        self._finished: set[int] = set()

    def add(self, rows: pa.Table) -> None:
        """All of one schema."""
        if not rows.num_rows:
            return
        for number, part in self._sorter.sort(rows):
            self._waiting.setdefault(number, []).append(part)
        self._bytes += rows.nbytes
        if self._bytes > _HELD_BYTES:
            self._write()

    def numbers(self) -> list[int]:
        """Of the buckets that have rows."""
        return sorted({*self._waiting, *self._files, *self._finished})

    def rows(self, number: int) -> pa.Table | None:
        """All rows of a bucket in the order in which they came; nothing may be added afterwards."""
        if number in self._files:
            file, writer = self._files.pop(number)
            writer.close()
            file.close()
            self._finished.add(number)
        parts = []
        if number in self._finished:
            with pa.OSFile(str(self._file(number))) as file, pa.ipc.open_stream(file) as reader:
                parts.append(reader.read_all())
        parts += self._waiting.get(number, [])
        return pa.concat_tables(parts) if parts else None

    def close(self) -> None:
        for file, writer in self._files.values():
            writer.close()
            file.close()
        self._files.clear()

    def _write(self) -> None:
        for number, parts in self._waiting.items():
            if number not in self._files:
                file = pa.OSFile(str(self._file(number)), "wb")
                writer = pa.ipc.new_stream(file, parts[0].schema, options=_LIGHT)
                self._files[number] = (file, writer)
            self._files[number][1].write_table(pa.concat_tables(parts).combine_chunks())
        self._waiting, self._bytes = {}, 0

    def _file(self, number: int) -> Path:
        return self._directory / f"{number}.arrows"


@contextmanager
def spilling(scratch: Path, buckets: Sequence[Bucket]) -> Iterator[Spill]:
    """A spill that leaves nothing behind."""
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="spill-", dir=scratch) as directory:
        spill = Spill(Path(directory), buckets)
        try:
            yield spill
        finally:
            spill.close()


def clear(scratch: Path) -> None:
    """Delete what a killed process left. Only where no other uses the directory."""
    for one in scratch.glob("spill-*"):
        shutil.rmtree(one, ignore_errors=True)
