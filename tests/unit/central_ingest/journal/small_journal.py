"""A small journal on disk and what tests do to it: write it, find its files, flip a bit, open it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from central_ingest.journal.files import SEGMENT_BYTES_MAX, FileJournal
from central_ingest.journal.journal import Damage, Entry

ENVELOPES = [b"first", b"second one", b"third, and the last"]


def written(
    directory: Path, envelopes: Sequence[bytes] = ENVELOPES, segment_bytes_max: int = SEGMENT_BYTES_MAX
) -> list[Entry]:
    """A closed journal of these envelopes, one append each."""
    journal = FileJournal.open(directory, segment_bytes_max=segment_bytes_max)
    for n, envelope in enumerate(envelopes):
        journal.append(n, [envelope])
    entries = list(journal.read())
    journal.close()
    return entries


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.gcj"))


def reopened(directory: Path) -> tuple[list[Entry], list[Damage]]:
    journal = FileJournal.open(directory)
    try:
        return list(journal.read()), list(journal.damage)
    finally:
        journal.close()


def flip(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)
