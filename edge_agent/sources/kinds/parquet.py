"""Kind `parquet`: the columns of a Parquet file, by pyarrow, a page at a time.

What a column's type becomes stands in `parquetcolumns`. Files that are encrypted, or whose footer is damaged, are
refused. Everything that pyarrow decodes is validated in full, since it takes a file's word for its offsets and texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from edge_agent.sources.columns import aside
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.carrying import SLICE_BYTES, SLICE_ROWS
from edge_agent.sources.kinds.guarding import damage_is_refused
from edge_agent.sources.kinds.kind import FileTable, Opened
from edge_agent.sources.kinds.parquetcolumns import Built, Carried, NoExactReadingError, carried, int96
from edge_agent.sources.kinds.parquetfooter import DICTIONARY, IN_A_DICTIONARY, Chunk, chunks, largest_page
from edge_agent.sources.slicing import prefix
from edge_agent.sources.source import Rows
from protocol.canonical import Aside
from protocol.limits import COLUMNS_MAX, FIELDS_MAX, MIB, NAME_BYTES_MAX, NESTING_DEPTH_MAX
from protocol.schema import Column

_DAMAGED = "it is no Parquet file, or a damaged one"
_MAGIC = b"PAR1"
_MAGIC_ENCRYPTED = b"PARE"
_READ_BYTES = MIB
"""Of a column at once; without it a whole row group's column is held."""
_FOOTER_BYTES_MAX = 16 * MIB
"""A footer is read whole, and here too; it grows with row groups times columns."""
NESTED_VALUES_MAX = 64 * 1024 * 1024
"""Of a row group's leaf within lists or structs: a row is read at once, however many it has."""
PAGE_BYTES_MAX = 256 * MIB
"""Of a page once it is expanded, as it is held. Most writers end pages at 1 MiB; DuckDB does at 100."""
_INT96 = "INT96"


class ParquetKind:
    companions: tuple[str, ...] = ()

    def tables(self, opened: Opened, rule: FileRule) -> Sequence[FileTable]:
        with damage_is_refused(opened, _DAMAGED):
            return [ParquetTable(opened)]


class ParquetTable:
    part = ""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        footer = _footer(opened)
        self._chunks = chunks(footer)
        self._pages_end = opened.size - 8 - len(footer)
        file = _file(opened, "us")
        self._check(file)
        schema = file.schema_arrow
        physical = {
            file.schema.column(i).path: file.schema.column(i).physical_type for i in range(len(file.schema))
        }
        if any(kind == _INT96 and path not in schema.names for path, kind in physical.items()):
            raise opened.refused("INT96 timestamps within lists or structs: write them as TIMESTAMP")
        self._old = [i for i, name in enumerate(schema.names) if physical.get(name) == _INT96]
        self._repeating = _repeating(self._chunks, file)
        self._carried = [self._of(field.type) for field in schema]
        self.columns = tuple(
            Column(field.name, found.wire, _INT96 if i in self._old else str(field.type))
            for i, (field, found) in enumerate(zip(schema, self._carried, strict=True))
        )

    def _check(self, file: pq.ParquetFile) -> None:
        names = file.schema_arrow.names
        if not names:
            raise self._opened.refused("it has no columns")
        if len(names) > COLUMNS_MAX or len(file.schema) > FIELDS_MAX:
            raise self._opened.refused("too many columns")
        if len(set(names)) != len(names):
            raise self._opened.refused("two columns have the same name")
        if _nested_values(self._chunks) > NESTED_VALUES_MAX:
            raise self._opened.refused(
                "a row group has more than 64 million values in lists or structs of one column"
            )
        if not all(0 < len(name.encode()) <= NAME_BYTES_MAX for name in names):
            raise self._opened.refused("a column has no name, or too long a one")

    def _of(self, of: pa.DataType) -> Carried:
        try:
            return carried(of)
        except NoExactReadingError:
            raise self._opened.refused("a column has a type that cannot be read exactly") from None

    def rows(self) -> Iterator[Rows]:
        with damage_is_refused(self._opened, _DAMAGED):
            if any(self._largest_page(chunk) > PAGE_BYTES_MAX for chunk in self._chunks if chunk.values):
                raise self._opened.refused("a page of more than 256 MiB: write it in smaller ones")
            file = _file(self._opened, "us", self._repeating)
            rows = _batch_rows(file, self._chunks)
            batches = file.iter_batches(rows, use_threads=False)
            if self._old:
                again = _file(self._opened, "ns").iter_batches(
                    rows, use_threads=False, columns=[self.columns[i].name for i in self._old]
                )
                pairs: Iterator[tuple[pa.RecordBatch, pa.RecordBatch | None]] = zip(
                    batches, again, strict=True
                )
            else:
                pairs = ((batch, None) for batch in batches)
            for batch, old in pairs:
                for column in batch.columns:
                    _validate(column)
                for first, count in _pieces(batch, 0, batch.num_rows):
                    piece = self._rows(batch.slice(first, count), old and old.slice(first, count))
                    yield from _cut(piece)

    def _largest_page(self, chunk: Chunk) -> int:
        return largest_page(self._opened.stream, chunk, self._pages_end)

    def _rows(self, batch: pa.RecordBatch, old: pa.RecordBatch | None) -> Rows:
        built: list[Built] = []
        for i, (column, found) in enumerate(zip(batch.columns, self._carried, strict=True)):
            if old is not None and i in self._old:
                built.append(int96(column, old.column(self._old.index(i))))
            else:
                built.append(found.build(column))
        asides: list[list[Aside] | None] | None = None
        for column, (_, odd) in zip(self.columns, built, strict=True):
            for row, (reason, original) in (odd or {}).items():
                asides = [None] * batch.num_rows if asides is None else asides
                asides[row] = [*(asides[row] or ()), aside(column.name, reason, original)]
        return Rows([array for array, _ in built], asides)


def _file(opened: Opened, int96_unit: str, repeating: Sequence[str] = ()) -> pq.ParquetFile:
    opened.stream.seek(0)
    return pq.ParquetFile(
        opened.stream,
        read_dictionary=list(repeating),
        pre_buffer=False,
        buffer_size=_READ_BYTES,
        coerce_int96_timestamp_unit=int96_unit,
        page_checksum_verification=True,
        arrow_extensions_enabled=False,
        schema_depth_limit=2 * NESTING_DEPTH_MAX,
    )


def _repeating(of: Sequence[Chunk], file: pq.ParquetFile) -> list[str]:
    """Columns of texts or bytes that a dictionary may repeat: they are read as one, since a file of kilobytes can say a
    megabyte ten thousand times."""
    lengthy = {leaf.path for leaf in map(file.schema.column, range(len(file.schema))) if _is_lengthy(leaf)}
    encodings: dict[str, set[int]] = {}
    for chunk in of:
        if len(chunk.path) == 1 and chunk.path[0] in lengthy:
            encodings.setdefault(chunk.path[0], set()).update(chunk.encodings)
    return [name for name, used in encodings.items() if used & DICTIONARY and used <= IN_A_DICTIONARY]


def _is_lengthy(leaf: pq.ColumnSchema) -> bool:
    """Whether it is a column of texts or bytes of any length, and no decimal in bytes."""
    return bool(leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type != "DECIMAL")


def _pieces(batch: pa.RecordBatch, first: int, count: int) -> Iterator[tuple[int, int]]:
    """(first row, rows) of parts that have about SLICE_BYTES once their dictionaries are written out."""
    if count > 1 and sum(_written_out(column.slice(first, count)) for column in batch.columns) > SLICE_BYTES:
        half = count // 2
        yield from _pieces(batch, first, half)
        yield from _pieces(batch, first + half, count - half)
    elif count:
        yield first, count


def _written_out(column: pa.Array) -> int:
    if not pa.types.is_dictionary(column.type) or column.type.value_type not in _LENGTHY:
        return 0
    lengths = pc.binary_length(column.dictionary).cast(pa.int64())
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0)


def _footer(opened: Opened) -> bytes:
    """Before a library reads it. Refuses a file of another kind, an encrypted one, a footer that is too large."""
    stream = opened.stream
    stream.seek(0)
    first = stream.read(4)
    stream.seek(max(0, opened.size - 8))
    last = stream.read(8)
    if _MAGIC_ENCRYPTED in (first, last[4:]):
        raise opened.refused("it is encrypted")
    if first != _MAGIC or last[4:] != _MAGIC:
        raise opened.refused(_DAMAGED)
    size = int.from_bytes(last[:4], "little")
    if size > _FOOTER_BYTES_MAX:
        raise opened.refused("its footer is larger than 16 MiB")
    stream.seek(max(0, opened.size - 8 - size))
    return stream.read(size)


def _nested_values(of: Sequence[Chunk]) -> int:
    """The most that a row group has of one leaf within lists or structs, nulls included."""
    return max((chunk.values for chunk in of if len(chunk.path) > 1), default=0)


_BYTES_OF = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
}


_LENGTHY = frozenset({*_BYTES_OF, *_BYTES_OF.values()} - {pa.string_view(), pa.binary_view()})


def _validate(column: pa.Array) -> None:
    """All but whether texts are texts, which `parquetcolumns` finds out value by value. Raises pa.ArrowInvalid."""
    if column.type in _BYTES_OF:
        column = column.cast(_BYTES_OF[column.type])
    elif pa.types.is_dictionary(column.type) and column.type.value_type in _BYTES_OF:
        values = column.dictionary.cast(_BYTES_OF[column.type.value_type])
        column = pa.DictionaryArray.from_arrays(column.indices, values, safe=False)
    column.validate(full=True)


def _batch_rows(file: pq.ParquetFile, of: Sequence[Chunk]) -> int:
    """So many rows that a slice of usual rows has about SLICE_BYTES."""
    about = file.metadata
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    widest = max((g.total_byte_size // max(g.num_rows, 1) for g in groups), default=0)
    widest = max(widest, 8 * _nested_values(of) // max(about.num_rows, 1))
    return int(max(1, min(SLICE_ROWS, SLICE_BYTES // max(widest, 1))))


def _cut(rows: Rows) -> Iterator[Rows]:
    while rows.count:
        count = max(1, prefix(rows, SLICE_BYTES))
        yield rows.slice(0, count)
        rows = rows.slice(count, rows.count - count)
