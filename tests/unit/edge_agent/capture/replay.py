"""The rule of landing.md §5 in plain Python: what stands in a table after these events.

Snapshots are checked when they end: rows, batches and set hash of what came since their begin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol import canonical
from protocol.change import MarkKind, Op, Version
from protocol.names import TableName

from ..reading import BatchSeen, Change, Event, Mark

LARGE, AN_ASIDE, SHA256_BYTES = 0x0C, 0x0D, 32
"""Tags of docs/protocol.md §5."""
UNKNOWN = b"\xff"
"""What an update left out and nothing had said before: no canonical cell begins so, and no source has it."""
COUNTS = {Op.READ: 1, Op.CREATE: 1, Op.UPDATE: 0, Op.DELETE: -1}


@dataclass
class TableLog:
    """All changes of one table, and the floor under which nothing counts."""

    keyed: bool
    changes: list[Change] = field(default_factory=list)
    batches: list[Version] = field(default_factory=list)
    floor: Version = field(default_factory=lambda: Version(0, 0))
    begun: tuple[str | None, Version] | None = None
    ended: int = 0

    def mark(self, mark: Mark) -> None:
        header = mark.header
        match header.mark:
            case MarkKind.SNAPSHOT_BEGIN:
                self.begun = header.snapshot, mark.version
            case MarkKind.SNAPSHOT_END:
                assert self.begun is not None, "an end without a begin"
                snapshot, begin = self.begun
                assert (header.snapshot, mark.version.epoch) == (snapshot, begin.epoch)
                read = [c for c in self.changes if c.op is Op.READ and c.version > begin]
                rows = [c.row for c in read]
                # Where a log is followed its changes stand between the marks as well, and are not counted.
                followed = any(c.time is not None for c in self.changes)
                reading = {(c.version.epoch, c.version.seq) for c in read}
                batches = len(reading) if followed else sum(version > begin for version in self.batches)
                assert header.facts == {
                    "rows": len(rows),
                    "batches": batches,
                    "set_hash": f"{canonical.add_to_set_hash(0, canonical.digests(rows)):032x}",
                }
                self.floor, self.begun = begin, None
                self.ended += 1
            case MarkKind.DROP | MarkKind.TRUNCATE:
                self.floor = mark.version
                self.begun = self.begun if header.mark is MarkKind.TRUNCATE else None
            case kind:
                raise AssertionError(f"{kind} is not sent by capture")

    def standing(self) -> Counter[bytes]:
        """Canonical rows with their counts; in a keyed table each key has at most one."""
        counted = [change for change in self.changes if change.version > self.floor]
        if self.keyed:
            last = {change.key: change for change in counted}
            standing = [change for change in last.values() if change.op is not Op.DELETE]
            if any(change.unchanged for change in counted):
                images = self._images()
                return Counter(images[change.version] for change in standing)
            return Counter(change.row for change in standing)
        counts: Counter[bytes] = Counter()
        rows: dict[bytes, bytes] = {}
        for change in counted:
            assert change.op is not Op.UPDATE, "a row without key has nothing to update"
            counts[change.key] += COUNTS[change.op]
            rows.setdefault(change.key, change.row)
        assert all(count >= 0 for count in counts.values()), "more rows taken away than there were"
        return Counter({rows[key]: count for key, count in counts.items() if count})

    def _images(self) -> dict[Version, bytes]:
        """Each row whole: what a change did not carry is as it was before, under the old key if it moved."""
        last: dict[bytes, list[bytes]] = {}
        whole: dict[Version, bytes] = {}
        for change in self.changes:
            if change.op is Op.DELETE:
                continue
            cells, before = split(change.row), last.get(change.old_key or change.key)
            for place in change.unchanged:
                cells[place] = UNKNOWN if before is None else before[place]
            last[change.key], whole[change.version] = cells, b"".join(cells)
        return whole


def split(row: bytes) -> list[bytes]:
    """The cells of a canonical row."""
    cells, offset = [], 0
    while offset < len(row):
        end = _end_of(row, offset)
        cells.append(row[offset:end])
        offset = end
    return cells


def _end_of(row: bytes, offset: int) -> int:
    """Of the cell that begins there; of a large value it is a hash, of one aside a reason and the original."""
    if row[offset] == LARGE:
        return offset + 1 + SHA256_BYTES
    if row[offset] == AN_ASIDE:
        return _end_of(row, _end_of(row, offset + 1))
    return canonical._decode_cell(row, offset, 0)[1]


class Replay:
    """All tables of a stream, over all its epochs."""

    def __init__(self, keyed: dict[TableName, bool]) -> None:
        self.tables = {name: TableLog(key) for name, key in keyed.items()}
        self._last = Version(0, 0)

    def take(self, events: Iterable[Event]) -> list[Change | Mark]:
        """Gives them back, less what speaks of whole batches."""
        taken: list[Change | Mark] = []
        for event in events:
            assert event.version > self._last, "no version twice"
            if isinstance(event, BatchSeen):
                self.tables[event.table].batches.append(event.version)
                continue
            self._last = event.version
            taken.append(event)
            if isinstance(event, Change):
                self.tables[event.table].changes.append(event)
            elif (name := event.header.table_name) is not None:
                self.tables[name].mark(event)
        return taken
