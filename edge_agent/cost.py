"""What a scan of a table costs: how long it takes at the present settings, and how much index stays on our disk.

Told from a sample that is read as a scan would read it: one page, or of a table without a key the first half second or
so. The sample also meets what would end the first scan. Nothing that it reads is kept.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from protocol.limits import GROUP_BYTES_MAX
from protocol.schema import TableSchema

from .capture.diff import encode, index_of
from .capture.index import IndexFiles
from .sources.settings import SourceSettings
from .sources.source import PageLimits, Rows, Source, Way

SAMPLE_ROWS_MIN = 100
"""Fewer rows, of a table that has more, say nothing of what a row costs."""
SAMPLE_SECONDS = 0.5
_SECRET = bytes(32)


@dataclass(frozen=True, slots=True)
class Cost:
    """`scan_seconds`: of one whole scan, pauses for the hospital's sake included. It and `index_bytes` are None where
    nobody knows how many `rows` there are, or the sample is too small. `rows` was counted where the sample was all."""

    rows: int | None
    sampled_rows: int
    scan_seconds: float | None = None
    index_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "sampled_rows": self.sampled_rows,
            "scan_seconds": None if self.scan_seconds is None else round(self.scan_seconds, 1),
            "index_bytes": self.index_bytes,
        }


@dataclass(frozen=True, slots=True)
class _Sample:
    """`rows` are some; `count` rows took `seconds`; `whole`: there are no others."""

    rows: Rows | None
    count: int
    seconds: float
    whole: bool


def cost_of(
    source: Source,
    schema: TableSchema,
    rows_estimate: int | None,
    settings: SourceSettings,
    clock: Callable[[], float],
) -> Cost:
    """Raises what a scan of the table would raise."""
    ranges = source.way(schema) is Way.RANGES
    sample = (_of_a_page if ranges else _of_the_whole)(source, schema, settings.page_rows, clock)
    rows = sample.count if sample.whole else rows_estimate
    if rows is None or rows < sample.count:  # statistics from before the table grew, or none at all
        return Cost(None, sample.count)
    if not (sample.whole or sample.count >= SAMPLE_ROWS_MIN):
        return Cost(rows, sample.count)
    seconds = sample.seconds * (1 if sample.whole else rows / sample.count) / settings.duty_share_max
    if settings.rows_per_second_max:
        seconds = max(seconds, rows / settings.rows_per_second_max)
    held = 0 if sample.rows is None else _index_bytes(schema, sample.rows) * rows // sample.rows.count
    return Cost(rows, sample.count, seconds, held)


def _of_a_page(source: Source, schema: TableSchema, rows: int, clock: Callable[[], float]) -> _Sample:
    begun = clock()
    page = source.page(schema, b"", b"", PageLimits(rows, GROUP_BYTES_MAX))
    some = page.rows if page.rows.count else None
    return _Sample(some, page.rows.count, clock() - begun, not page.full)


def _of_the_whole(source: Source, schema: TableSchema, _rows: int, clock: Callable[[], float]) -> _Sample:
    """A source may read far ahead before it gives its first slice; from then on it gives as it reads."""
    slices = cast(Generator[Rows, None, None], source.whole(schema))
    begun = clock()
    try:
        first = next(slices, None)
        if first is None:
            return _Sample(None, 0, clock() - begun, True)
        since, count = clock(), 0
        for some in slices:
            count += some.count
            if clock() - since > SAMPLE_SECONDS:
                return _Sample(first, count, clock() - since, False)
        return _Sample(first, first.count + count, clock() - begun, True)
    finally:
        slices.close()


def _index_bytes(schema: TableSchema, rows: Rows) -> int:
    """What an index of these rows comes to on disk."""
    encoded = encode(schema, rows, _SECRET)
    with tempfile.TemporaryDirectory() as folder:
        files = IndexFiles(Path(folder))
        if schema.key:
            name = files.write_keyed(index_of(schema, encoded))
        else:
            name = files.write_counts(Counter(encoded.digests))
        return (Path(folder) / name).stat().st_size
