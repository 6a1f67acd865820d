"""Records that were lost with a damaged stretch and came again, in files of their own, read in its place.

Nothing is ever written over a damaged stretch. A repair stands in `repaired/<offset>-<length>.gcj`: a segment
file whose first record has the offset of its name, so its records are valid there and nowhere else, and its own
damage is found as any other. The frames of what was lost tiled the stretch, so they fill it again exactly, from
its end downwards: what is left of it is what nobody has sent again.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .disk import Disk, create_durably, make_directory
from .frames import FRAME_HEADER_BYTES, MARKER_BYTES, frame_header, segment_header
from .journal import Damage, Entry
from .segments import Segment, SegmentReader

FOLDER = "repaired"
_NAME = re.compile(r"([0-9]{20})-([0-9]+)\.gcj")


@dataclass(frozen=True, slots=True, order=True)
class Repair:
    """Records from offset `base` up to `end`."""

    base: int
    end: int
    path: Path


def list_repairs(directory: Path) -> tuple[Repair, ...]:
    """Those in the journal's `directory`, by offset."""
    folder = directory / FOLDER
    found = ((path, _NAME.fullmatch(path.name)) for path in (folder.iterdir() if folder.exists() else ()))
    return tuple(sorted(Repair(int(n[1]), int(n[1]) + int(n[2]), path) for path, n in found if n))


def mended(disk: Disk, stretch: Damage, repairs: Sequence[Repair]) -> Iterator[Entry | Damage]:
    """What stands in a damaged stretch once `repairs` (by offset) are counted, in order."""
    position = stretch.offset
    for number, one in enumerate(repairs):
        start, stop = max(position, one.base), min(stretch.end, one.end)
        if start >= stop:
            continue
        if position < start:
            yield Damage(position, start - position, stretch.reason)
        with SegmentReader(disk, Segment(one.base, one.path)) as reader:
            for item in reader.items(start, stop):
                if isinstance(item, Entry):
                    yield item
                else:
                    yield from mended(disk, item, repairs[number + 1 :])
        position = stop
    if position < stretch.end:
        yield Damage(position, stretch.end - position, stretch.reason)


def left_of(stretch: Damage, repairs: Iterable[Repair]) -> Iterator[Damage]:
    """What of a stretch new `repairs` leave damaged."""
    position = stretch.offset
    for one in sorted(repairs) if stretch.is_loss else ():
        if one.base < stretch.end and position < one.end:
            if position < one.base:
                yield Damage(position, one.base - position, stretch.reason)
            position = one.end
    if position < stretch.end:
        yield Damage(position, stretch.end - position, stretch.reason)


def place(stretches: Iterable[Damage], envelopes: Sequence[bytes]) -> list[tuple[int, list[bytes]]] | None:
    """Where `envelopes` go: runs of them by offset, from the end of the last stretch downwards; None without room."""
    room, runs = _joined(stretches), list[tuple[int, list[bytes]]]()
    base, end = 0, 0
    for envelope in reversed(envelopes):
        size = FRAME_HEADER_BYTES + len(envelope)
        while end - base < size:
            if not room:
                return None
            base, end = room.pop()
        end -= size
        if runs and runs[-1][0] == end + size:
            runs[-1] = (end, [envelope, *runs[-1][1]])
        else:
            runs.append((end, [envelope]))
    return runs


def _joined(stretches: Iterable[Damage]) -> list[tuple[int, int]]:
    """(offset, end), rising, none touching another: what grew since it was found may be there twice."""
    room: list[tuple[int, int]] = []
    for one in sorted(stretches, key=lambda stretch: stretch.offset):
        if room and one.offset <= room[-1][1]:
            room[-1] = (room[-1][0], max(room[-1][1], one.end))
        else:
            room.append((one.offset, one.end))
    return room


def write(disk: Disk, directory: Path, base: int, received: int, envelopes: Sequence[bytes]) -> Repair:
    """A repair on the disk. Raises OSError."""
    marker, offset, frames = secrets.token_bytes(MARKER_BYTES), base, []
    for envelope in envelopes:
        frames += [frame_header(marker, offset, received, envelope), envelope]
        offset += FRAME_HEADER_BYTES + len(envelope)
    make_directory(disk, directory / FOLDER)
    path = directory / FOLDER / f"{base:020d}-{offset - base}.gcj"
    disk.close(create_durably(disk, path, [segment_header(base, marker), *frames]))
    return Repair(base, offset, path)
