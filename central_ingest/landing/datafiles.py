"""The Parquet files of one commit, as bytes: one for each partition, with the statistics that Delta keeps.

Only the stream's own numbers get statistics in the log: a minimum of a name or a birthday would put a
patient's data where nobody looks for it, and deltalake panics over dates beyond the year 262,142. The files
themselves hold Parquet's usual ones. Pure: it refuses to know where the bytes go.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

STATS = ("_gc_epoch", "_gc_seq")
_SAMPLE_ROWS = 512
_PIECE_ROWS = 16_384
_GROUP_BYTES = 32 << 20
_FORM: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "store_schema": False}
_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file's content, its partition (stored column name to Delta's text of the value) and its statistics."""

    content: bytes
    partition: dict[str, str | None]
    stats: dict[str, Any]

    @property
    def folder(self) -> str:
        """Below the table, ending in a slash. Polars takes the values from here and not from the log (measured), so
        they are spelled as Hive and delta-rs spell them."""
        values = {name: _NULL if v is None else quote(v, safe="") for name, v in self.partition.items()}
        return "".join(f"{name}={value}/" for name, value in values.items())


def encode(rows: pa.Table, stored: Mapping[str, str], partition: Sequence[str]) -> Iterator[DataFile]:
    """One file for each combination of values in the columns `partition`; columns get the names that `stored`
    gives them."""
    for values, part in _split(rows, partition):
        data = part.drop_columns(list(partition))
        names = [stored[name] for name in data.schema.names]
        named = data.rename_columns(names).replace_schema_metadata(None)
        sink = pa.BufferOutputStream()
        few = [stored[field.name] for field in data.schema if _repeats(data.column(field.name))]
        pq.write_table(named, sink, **_FORM, use_dictionary=few)
        texts = {stored[name]: value for name, value in values.items()}
        yield DataFile(sink.getvalue().to_pybytes(), texts, _stats(data))


def encode_stream(
    pieces: Iterable[pa.Table], stored: Mapping[str, str], partition: Sequence[str]
) -> Iterator[DataFile]:
    """One file of all pieces, none where they are empty. They belong to one partition: else it is our mistake. In
    memory stand the file and one row group."""
    sink, writer = pa.BufferOutputStream(), None
    texts: dict[str, str | None] = {}
    stats: dict[str, Any] = {}
    for group in _groups(pieces):
        ((values, _),) = _split(group, partition) if partition else (({}, group),)
        named = {stored[name]: value for name, value in values.items()}
        if writer is not None and named != texts:
            raise ValueError("a file belongs to one partition")
        data = group.drop_columns(list(partition))
        names = [stored[name] for name in data.schema.names]
        rows = data.rename_columns(names).replace_schema_metadata(None)
        if writer is None:
            texts = named
            few = [stored[field.name] for field in data.schema if _repeats(data.column(field.name))]
            writer = pq.ParquetWriter(sink, rows.schema, **_FORM, use_dictionary=few)
        writer.write_table(rows)
        stats = _joined(stats, _stats(data))
    if writer is not None:
        writer.close()
        yield DataFile(sink.getvalue().to_pybytes(), texts, stats)


def _groups(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The pieces in row groups of about `_GROUP_BYTES` in memory."""
    waiting: list[pa.Table] = []
    for piece in pieces:
        waiting += [piece] if piece.num_rows else []
        if sum(one.nbytes for one in waiting) >= _GROUP_BYTES:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    if not one:
        return other
    ends = {
        side: {
            name: choose(each[side][name] for each in (one, other) if name in each[side])
            for name in one[side] | other[side]
        }
        for side, choose in (("minValues", min), ("maxValues", max))
    }
    nulls = {name: count + other["nullCount"][name] for name, count in one["nullCount"].items()}
    return {"numRecords": one["numRecords"] + other["numRecords"], **ends, "nullCount": nulls}


def decode(
    content: bytes, schema: pa.Schema, stored: Mapping[str, str], partition: Mapping[str, str | None]
) -> Iterator[pa.Table]:
    """The rows of a file, a piece at a time, as a table of `schema`: columns by their exact names, null where the
    file is older than its column."""
    file = pq.ParquetFile(pa.BufferReader(content))
    there = set(file.schema_arrow.names)
    wanted = [stored[field.name] for field in schema if stored[field.name] in there]
    some = wanted if len(wanted) < len(there) else None
    for batch in file.iter_batches(batch_size=_PIECE_ROWS, columns=some, use_threads=False):
        columns = []
        for field in schema:
            name = stored[field.name]
            if name in partition:
                value = pa.scalar(partition[name], pa.string()).cast(field.type)
                columns.append(pa.repeat(value, batch.num_rows))
            elif name in there:
                columns.append(batch.column(name).cast(field.type))
            else:
                columns.append(pa.nulls(batch.num_rows, field.type))
        yield pa.Table.from_arrays(columns, schema=schema)


def partition_text(value: object) -> str | None:
    """Delta's text of a partition value ("Partition Value Serialization"). What has no sure one is our mistake."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, int) or type(value) is datetime.date:
        return str(value)
    raise ValueError("a partition value is a date, a whole number, a truth or a text that is not empty")


def _repeats(column: pa.ChunkedArray) -> bool:
    """Whether a dictionary pays: to build one of numbers or texts that are all different took half of the writing
    and made files longer (measured)."""
    if pa.types.is_nested(column.type):
        return False
    sample = column.slice(0, _SAMPLE_ROWS)
    return int(pc.count_distinct(sample, mode="all").as_py()) * 2 <= len(sample)


def _split(rows: pa.Table, names: Sequence[str]) -> Iterator[tuple[dict[str, str | None], pa.Table]]:
    if not names:
        if rows.num_rows:
            yield {}, rows
        return
    first, rest = names[0], names[1:]
    column = rows.column(first)
    values = pc.unique(column)
    for value in values:
        part = rows
        if len(values) > 1:
            part = rows.filter(pc.equal(column, value) if value.is_valid else pc.is_null(column))
        for others, smaller in _split(part, rest):
            yield {first: partition_text(value.as_py())} | others, smaller


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
