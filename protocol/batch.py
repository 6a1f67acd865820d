"""What is inside an envelope: headers of batch, mark and piece, and their bodies.

    inner of batch and piece = u32 length ‖ header (canonical JSON) ‖ body
    inner of mark            = u32 length ‖ header
    inner of schema          = the schema's canonical JSON itself

The header models are the agreement; bodies are Arrow (see `ipc`) or plain bytes. Nothing here encrypts,
and nothing here knows where rows come from or go to.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import ipc
from .change import OP_CODES, WIRE_EXTRAS, WIRE_SYSTEM, MarkKind
from .errors import Rejected
from .limits import BATCH_EXPANDED_BYTES_MAX, BATCH_HEADER_BYTES_MAX, BATCH_ROWS_MAX, PIECE_BYTES
from .names import TableName
from .schema import TableSchema, canonical_json

UNKNOWN_SCHEMA = "a schema that was not sent before"
_LENGTH = struct.Struct(">I")
_ROW_OPS = pa.array([code for op, code in OP_CODES.items() if op != "m"], pa.uint8())

Micros = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""UTC microseconds since 1970. Advisory: no clock orders anything."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Header(BaseModel):
    """What every inner header says: when it was captured, and where its group ends.

    `group_end` marks the last envelope of a group, `cut` that the group ends a transaction: a consistent
    point of the whole source. `position` (opaque outside its source) stands on the last envelope.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)

    captured: Micros
    group_end: bool = False
    cut: bool = False
    position: str | None = None


class BatchHeader(Header):
    """Changes of one table under one schema."""

    table: tuple[str | None, str | None, str]
    schema_: Annotated[str, Field(alias="schema", pattern=r"^[0-9a-f]{64}$")]
    rows: Annotated[int, Field(ge=1, le=BATCH_ROWS_MAX)]
    dictionaries: tuple[Annotated[int, Field(ge=0)], ...] = ()
    extras: tuple[str, ...] = ()

    @property
    def table_name(self) -> TableName:
        return TableName(*self.table)


class MarkHeader(Header):
    """A statement about a table; `facts` depend on the kind (docs/protocol.md §4.3)."""

    mark: MarkKind = Field(strict=False)
    table: tuple[str | None, str | None, str] | None
    schema_: Annotated[str | None, Field(alias="schema", pattern=r"^[0-9a-f]{64}$")] = None
    snapshot: Annotated[str | None, Field(pattern=r"^[0-9a-f]{32}$")] = None
    facts: dict[str, Any] = {}

    @property
    def table_name(self) -> TableName | None:
        return None if self.table is None else TableName(*self.table)


class PieceHeader(Header):
    """Bytes `offset …` of the object of `size` bytes whose SHA-256 is named."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0, lt=2**63)]
    offset: Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded batch: `rows` has WIRE_SYSTEM, the named extras, then the schema's columns, decoded."""

    header: BatchHeader
    schema: TableSchema
    rows: pa.RecordBatch


_H = TypeVar("_H", bound=Header)


def _pack(header: Header, body: bytes = b"") -> bytes:
    return _joined(header.model_dump(mode="json", by_alias=True, exclude_defaults=True), body)


def _joined(document: dict[str, Any], body: bytes | memoryview) -> bytes:
    text = canonical_json(document)
    if len(text) > BATCH_HEADER_BYTES_MAX:
        raise Rejected("GC-5007", reason="batch header")
    return b"".join((_LENGTH.pack(len(text)), text, body))


def _unpack(inner: bytes, model: type[_H]) -> tuple[_H, memoryview]:
    if len(inner) < _LENGTH.size:
        raise Rejected("GC-5006", reason="inner header")
    (length,) = _LENGTH.unpack_from(inner)
    if length > BATCH_HEADER_BYTES_MAX or _LENGTH.size + length > len(inner):
        raise Rejected("GC-5007", reason="inner header")
    end = _LENGTH.size + length
    try:
        return model.model_validate_json(bytes(inner[_LENGTH.size : end])), memoryview(inner)[end:]
    except ValidationError:
        raise Rejected("GC-5006", reason="inner header") from None


def with_flags(inner: bytes, *, group_end: bool, cut: bool, position: str | None) -> bytes:
    """The inner bytes of a batch, mark or piece of ours with other flags: the same header otherwise, the same body."""
    (length,) = _LENGTH.unpack_from(inner)
    end = _LENGTH.size + length
    document: dict[str, Any] = json.loads(inner[_LENGTH.size : end])
    flags = {"group_end": group_end or None, "cut": cut or None, "position": position}
    kept = {
        name: value for name, value in (document | flags).items() if value is not None or name not in flags
    }
    return _joined(kept, memoryview(inner)[end:])


def wire_schema(schema: TableSchema, extras: tuple[str, ...], dictionaries: tuple[int, ...]) -> pa.Schema:
    """Arrow fields of a batch: system columns, extras, source columns (the numbered ones as dictionaries)."""
    try:
        system = [*WIRE_SYSTEM, *(WIRE_EXTRAS[name] for name in extras)]
    except KeyError:
        raise Rejected("GC-5006", reason="system column") from None
    source = list(schema.arrow)
    ascending = list(dictionaries) == sorted(set(dictionaries))
    if len(set(extras)) != len(extras) or not ascending or any(i >= len(source) for i in dictionaries):
        raise Rejected("GC-5006", reason="columns of a batch")
    for i in dictionaries:
        if not (pa.types.is_string(source[i].type) or pa.types.is_binary(source[i].type)):
            raise Rejected("GC-5006", reason="a dictionary of other than text")
        source[i] = source[i].with_type(pa.dictionary(pa.int32(), source[i].type))
    return pa.schema(system + source)


def encode_batch(
    schema: TableSchema,
    system: Mapping[str, pa.Array],
    columns: list[pa.Array],
    *,
    captured: int,
    group_end: bool = False,
    cut: bool = False,
    position: str | None = None,
) -> bytes:
    """The inner bytes of a batch. `columns` stand in the schema's order; dictionary arrays stay so.

    `system` holds `_gc_op` and `_gc_key`, and extras where some row has one. Null slots are zeroed, so no
    old memory travels.
    """
    extras = tuple(name for name in WIRE_EXTRAS if name in system)
    dictionaries = tuple(i for i, c in enumerate(columns) if pa.types.is_dictionary(c.type))
    arrays = [system[f.name] for f in WIRE_SYSTEM] + [system[name] for name in extras] + columns
    arrow = wire_schema(schema, extras, dictionaries)
    rows = pa.RecordBatch.from_arrays([zero_null_slots(a) for a in arrays], schema=arrow)
    header = BatchHeader(
        captured=captured,
        group_end=group_end,
        cut=cut,
        position=position,
        table=(schema.table.database, schema.table.schema, schema.table.name),
        schema_=schema.fingerprint.hex(),
        rows=rows.num_rows,
        dictionaries=dictionaries,
        extras=extras,
    )
    return _pack(header, ipc.encode(rows))


def table_of(inner: bytes) -> TableName:
    """The table that a batch names, whether or not the rest of it can be read. Raises Rejected GC-5006."""
    return _unpack(inner, BatchHeader)[0].table_name


def rows_of(inner: bytes) -> int:
    """How many rows a batch says that it has. Raises Rejected GC-5006."""
    return _unpack(inner, BatchHeader)[0].rows


def decode_batch(inner: bytes, schema_of: Callable[[bytes], TableSchema | None]) -> Batch:
    """Read a batch whose schema is looked up by fingerprint. Raises Rejected GC-5006/5007."""
    header, body = _unpack(inner, BatchHeader)
    schema = schema_of(bytes.fromhex(header.schema_))
    if schema is None or schema.table != header.table_name:
        raise Rejected("GC-5006", reason=UNKNOWN_SCHEMA)
    rows = ipc.decode(body, wire_schema(schema, header.extras, header.dictionaries))
    if rows.num_rows != header.rows:
        raise Rejected("GC-5006", reason="rows of a batch")
    if _expands_beyond(rows, BATCH_EXPANDED_BYTES_MAX):
        raise Rejected("GC-5007", reason="dictionary")
    ops = rows.column(0)
    if ops.null_count or rows.column(1).null_count or not pc.all(pc.is_in(ops, _ROW_OPS)).as_py():
        raise Rejected("GC-5006", reason="system column")
    return Batch(header, schema, rows)


def _expands_beyond(rows: pa.RecordBatch, bytes_max: int) -> bool:
    """Whether its dictionaries, written out, come to more than that; a bound that is soon had mostly tells."""
    dictionaries = [column.dictionary for column in rows.columns if pa.types.is_dictionary(column.type)]
    longest = sum(pc.max(pc.binary_length(one)).as_py() or 0 for one in dictionaries)
    return longest * rows.num_rows > bytes_max and sum(map(_expanded_bytes, rows.columns)) > bytes_max


def _expanded_bytes(array: pa.Array) -> int:
    """Bytes of a dictionary column's values, each as often as it stands; 0 for other columns."""
    if not pa.types.is_dictionary(array.type):
        return 0
    lengths = pc.binary_length(array.dictionary).cast(pa.int64()).take(array.indices)
    return pc.sum(lengths).as_py() or 0


def encode_mark(header: MarkHeader) -> bytes:
    """The inner bytes of a mark."""
    return _pack(header)


def decode_mark(inner: bytes) -> MarkHeader:
    """Raises Rejected GC-5006."""
    header, body = _unpack(inner, MarkHeader)
    if len(body):
        raise Rejected("GC-5006", reason="bytes after a mark")
    try:
        canonical_json([header.facts, header.table_name and header.table_name.as_list()])
    except ValueError:  # NaN, which lands in a column of JSON
        raise Rejected("GC-5006", reason="facts of a mark") from None
    return header


def encode_piece(header: PieceHeader, data: bytes) -> bytes:
    """The inner bytes of a piece of at most PIECE_BYTES."""
    if not 0 < len(data) <= PIECE_BYTES:
        raise Rejected("GC-5007", reason="piece")
    return _pack(header, data)


def decode_piece(inner: bytes) -> tuple[PieceHeader, bytes]:
    """Raises Rejected GC-5006/5007, also where the piece reaches beyond its object."""
    header, body = _unpack(inner, PieceHeader)
    if not 0 < len(body) <= PIECE_BYTES or header.offset + len(body) > header.size:
        raise Rejected("GC-5007", reason="piece")
    return header, bytes(body)


def zero_null_slots(array: pa.Array) -> pa.Array:
    """The same array with zeros under its nulls: Arrow leaves whatever memory was there (patient data)."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(zero_null_slots(array.indices), array.dictionary)
    if not array.null_count or not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind)):
        return array
    valid = pc.is_valid(array)
    filled = pc.fill_null(array, _zero(kind))
    return pa.Array.from_buffers(
        kind, len(array), [valid.buffers()[1], filled.buffers()[1]], array.null_count
    )


def _zero(kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        return pa.scalar(0, pa.int32() if pa.types.is_date32(kind) else pa.int64()).cast(kind)
    return pa.scalar(False if pa.types.is_boolean(kind) else 0, kind)
