"""One table of a source against what stands in the lake: every key, every column, in canonical form.

With a key, rows find each other by the digest of the canonical key; without, both are multisets of rows.
The source is read once, in batches; of the lake only the rows that a batch meets are encoded at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa

from protocol import canonical
from protocol.errors import Rejected

from .catalogue import Name
from .changes import ABSENT, CHUNK_ROWS, Changes
from .generations import of_label
from .replay import Standing
from .report import Difference, TableReport
from .source import Source

Cells = list[list[bytes]]
"""A list of cells a column."""


class Lake:
    """The standing rows of a table, and their cells by column."""

    def __init__(self, changes: Changes, standing: Standing) -> None:
        self.changes = changes
        self.images = [image for image, _ in standing.images]
        self.counts = [count for _, count in standing.images]

    @property
    def rows(self) -> int:
        return sum(self.counts)

    def cells(self, columns: Sequence[str], places: Sequence[int]) -> Cells:
        """Of these of `images`."""
        return [
            self.changes.cells(column, [self.images[place].origin(of_label(column)) for place in places])
            for column in columns
        ]

    def digests(self, columns: Sequence[str]) -> Iterator[bytes]:
        """Of all of `images`, in order."""
        for start in range(0, len(self.images), CHUNK_ROWS):
            places = range(start, min(start + CHUNK_ROWS, len(self.images)))
            yield from _digests(self.cells(columns, places))


def _digests(cells: Cells) -> list[bytes]:
    return canonical.digests(b"".join(row) for row in zip(*cells, strict=True))


class Match:
    """Compares one table and writes what it finds into `report`."""

    def __init__(
        self, source: Source, table: Name, lake: Lake, report: TableReport, show_values: bool
    ) -> None:
        self._lake = lake
        self._report = report
        self._show_values = show_values
        present = source.columns(table)
        for column in present:
            if lake.changes.kind(column) is None:
                report.problems.append(f"column {column} is not in the lake")
        self._columns = tuple(column for column in present if lake.changes.kind(column) is not None)
        # What the source no longer has must stand in no row that was read since.
        self._former = tuple(column for column in lake.changes.columns if column not in present)
        report.columns = len(present)
        kinds: dict[str, pa.DataType | None] = {column: lake.changes.kind(column) for column in present}
        self._source, self._table, self._kinds = source, table, kinds
        self._chosen = [place for place, column in enumerate(present) if column in self._columns]

    def run(self, key: tuple[str, ...]) -> None:
        if not self._columns:
            self._count_source()
        elif not key:
            self._multisets()
        elif set(key) <= set(self._columns):
            self._by_key(key)
        else:
            self._report.problems.append("a key column is missing at the source or in the lake")
            self._count_source()

    def _read(self) -> Iterator[Cells]:
        return self._source.rows(self._table, self._kinds)

    def _count_source(self) -> None:
        self._report.rows_source = sum(len(batch[0]) for batch in self._read())

    def _batches(self) -> Iterator[Cells]:
        """Of the source: the cells of `_columns` and of `_former`."""
        for batch in self._read():
            count = len(batch[0])
            self._report.rows_source += count
            former = [[canonical.NULL] * count for _ in self._former]
            yield [batch[place] for place in self._chosen] + former

    @property
    def _all(self) -> tuple[str, ...]:
        return self._columns + self._former

    def _by_key(self, key: tuple[str, ...]) -> None:
        places: dict[bytes, int] = {}
        for place, digest in enumerate(self._lake.digests(key)):
            if places.setdefault(digest, place) != place:
                self._report.add(Difference("duplicate", digest.hex()))
        positions = [self._columns.index(column) for column in key]
        met: set[bytes] = set()
        for batch in self._batches():
            digests = _digests([batch[position] for position in positions])
            found = []
            for row, digest in enumerate(digests):
                if digest in met:
                    self._report.add(Difference("duplicate", digest.hex()))
                elif digest in places:
                    found.append(row)
                else:
                    self._report.add(Difference("missing", digest.hex()))
                met.add(digest)
            self._compare(batch, found, [places[digests[row]] for row in found], digests)
        for digest in places:
            if digest not in met:
                self._report.add(Difference("extra", digest.hex()))

    def _compare(self, batch: Cells, rows: list[int], places: list[int], digests: list[bytes]) -> None:
        """Rows of a batch with the lake's rows of the same keys, column by column."""
        lake = self._lake.cells(self._all, places)
        differing: dict[int, list[int]] = {}
        for position, (ours, theirs) in enumerate(zip(batch, lake, strict=True)):
            met = [ours[row] for row in rows]
            if met != theirs:
                for place in range(len(rows)):
                    if met[place] != theirs[place]:
                        differing.setdefault(place, []).append(position)
        for place, positions in differing.items():
            row = rows[place]
            columns = tuple(self._all[position] for position in positions)
            values = tuple(
                (self._all[at], readable(batch[at][row]), readable(lake[at][place]))
                for at in positions
                if self._show_values
            )
            self._report.add(Difference("different", digests[row].hex(), columns, values))

    def _multisets(self) -> None:
        counts: Counter[bytes] = Counter()
        for digest, count in zip(self._lake.digests(self._all), self._lake.counts, strict=True):
            counts[digest] -= count
        for batch in self._batches():
            counts.update(_digests(batch))
        for digest, count in counts.items():
            for _ in range(abs(count)):
                self._report.add(Difference("missing" if count > 0 else "extra", digest.hex()))


def compare_query(lake: Lake, asked: Changes, keyed: bool, report: TableReport) -> None:
    """What `query` gave against the replay: the same columns, and by `_gc_key` or as a multiset the same rows."""
    columns = lake.changes.columns
    report.query = "equal"
    if set(asked.columns) != set(columns):
        report.problems.append("query gives other columns than changes has")
        report.query = "different"
        return
    given = asked.system("_gc_key") if keyed else [b""] * asked.count
    keys = lake.changes.system("_gc_key") if keyed else []
    expected: Counter[tuple[bytes, bytes]] = Counter()
    for image, count, digest in zip(lake.images, lake.counts, lake.digests(columns), strict=True):
        expected[keys[image.row] if keyed else b"", digest] += count
    expected.subtract(zip(given, asked.digests(columns, range(asked.count), sent=False), strict=True))
    for (key, digest), count in expected.items():
        for _ in range(abs(count)):
            report.query = "different"
            report.add(Difference("query", (key or digest).hex()))


def readable(cell: bytes) -> str:
    """A cell for people; for --show-values alone."""
    if cell == ABSENT:
        return "nothing"
    try:
        return repr(canonical.decode(cell)[0])
    except Rejected:
        kind = {0x0C: "large", 0x0D: "aside"}.get(cell[0], "cell")
        return f"{kind} {cell[1:].hex()}"
