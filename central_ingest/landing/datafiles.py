"""The Parquet files of one append, as bytes: one for each received date, with the statistics that Delta keeps.

Only the stream's own numbers get statistics in the log: a minimum of a name or a birthday would put a
patient's data where nobody looks for it, and deltalake panics over dates beyond the year 262,142. The files
themselves hold Parquet's usual ones. Pure: it refuses to know where the bytes go.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .columns import PARTITION

STATS = ("_gc_epoch", "_gc_seq")
_SAMPLE_ROWS = 512


def encode(
    rows: pa.Table, stored: Mapping[str, str]
) -> Iterator[tuple[datetime.date, bytes, dict[str, Any]]]:
    """Date, file and statistics of each part of `rows`; columns get the names that `stored` gives them."""
    for date, part in _by_date(rows):
        data = part.drop_columns([PARTITION])
        named = data.rename_columns([stored[name] for name in data.schema.names])
        sink = pa.BufferOutputStream()
        few = [stored[field.name] for field in data.schema if _repeats(data.column(field.name))]
        pq.write_table(
            named, sink, compression="zstd", compression_level=1, store_schema=False, use_dictionary=few
        )
        yield date, sink.getvalue().to_pybytes(), _stats(data)


def _repeats(column: pa.ChunkedArray) -> bool:
    """Whether a dictionary pays: to build one of numbers or texts that are all different took half of the writing
    and made files longer (measured)."""
    if pa.types.is_nested(column.type):
        return False
    sample = column.slice(0, _SAMPLE_ROWS)
    return int(pc.count_distinct(sample, mode="all").as_py()) * 2 <= len(sample)


def _by_date(rows: pa.Table) -> Iterator[tuple[datetime.date, pa.Table]]:
    days = pc.unique(rows.column(PARTITION))
    for day in days:
        part = rows if len(days) == 1 else rows.filter(pc.equal(rows.column(PARTITION), day))
        yield day.as_py(), part


def _stats(data: pa.Table) -> dict[str, Any]:
    ends = {
        name: pc.min_max(data.column(name))
        for name in STATS
        if name in data.schema.names and pa.types.is_int64(data.schema.field(name).type)
    }
    return {
        "numRecords": data.num_rows,
        "minValues": {name: end["min"].as_py() for name, end in ends.items() if end["min"].is_valid},
        "maxValues": {name: end["max"].as_py() for name, end in ends.items() if end["max"].is_valid},
        "nullCount": {name: data.column(name).null_count for name in ends},
    }
