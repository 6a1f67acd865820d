"""What a table looks like: columns with wire types, key, metadata. Content-addressed.

A schema's bytes are one canonical JSON (design.md §5, landing.md §1a); its fingerprint is BLAKE2b-256 of
them, so both ends name a schema by its content and neither can mean another one. Wire types are exactly
those of design.md §5; whatever a source has beyond them travels as text with its own type as metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from .errors import Rejected
from .limits import COLUMNS_MAX, FIELDS_MAX, NAME_BYTES_MAX, NESTING_DEPTH_MAX, SCHEMA_BYTES_MAX
from .names import TableName, escape_column

FORMAT = 1

_SIMPLE: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date32": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamp_tz": pa.timestamp("us", tz="UTC"),
}
_NAMES: dict[pa.DataType, str] = {wire: name for name, wire in _SIMPLE.items()}

DECIMAL_DIGITS_MAX = 38

COMMENT = "comment"
"""Metadata of a schema and of a column: what the source says of it for people. In the lake it has the same name."""
FACTS_PREFIX = "guicang."
"""Begins the name of all other metadata in the lake, so that nothing a source writes means anything to a reader."""
SOURCE_TYPE = f"{FACTS_PREFIX}source_type"
"""Metadata of the lake: a column's type as the source spells it."""


def wire_to_json(wire: pa.DataType) -> Any:
    """A wire type as JSON: a name, `["decimal", p, s]`, `["list", T]` or `["struct", [[name, T], …]]`."""
    if wire in _NAMES:
        return _NAMES[wire]
    if pa.types.is_decimal128(wire):
        return ["decimal", wire.precision, wire.scale]
    if pa.types.is_list(wire):
        return ["list", wire_to_json(wire.value_type)]
    if pa.types.is_struct(wire):
        return ["struct", [[f.name, wire_to_json(f.type)] for f in wire]]
    raise Rejected("GC-5006", reason="a type that does not travel")


def wire_from_json(value: object, depth: int = 0) -> pa.DataType:
    """The wire type that `wire_to_json` wrote. Raises Rejected for anything else."""
    if depth > NESTING_DEPTH_MAX:
        raise Rejected("GC-5007", reason="nesting of types")
    match value:
        case str() as name if name in _SIMPLE:
            return _SIMPLE[name]
        case ["decimal", int() as precision, int() as scale] if not isinstance(precision, bool):
            if 1 <= precision <= DECIMAL_DIGITS_MAX and 0 <= scale <= precision:
                return pa.decimal128(precision, scale)
        case ["list", item]:
            return pa.list_(wire_from_json(item, depth + 1))
        case ["struct", list() as items] if items:
            fields = [_struct_field(item, depth) for item in items]
            if len({f.name for f in fields}) == len(fields):
                return pa.struct(fields)
    raise Rejected("GC-5006", reason="wire type")


def _struct_field(value: object, depth: int) -> pa.Field:
    match value:
        case [str() as name, item] if _is_name(name):
            return pa.field(name, wire_from_json(item, depth + 1))
    raise Rejected("GC-5006", reason="wire type")


def _fields(wire: pa.DataType) -> int:
    """A type and all that is nested in it."""
    return 1 + sum(_fields(wire.field(i).type) for i in range(wire.num_fields))


def _is_name(name: str) -> bool:
    """Whether it is 1 to NAME_BYTES_MAX bytes of UTF-8: half a surrogate pair is none, and Arrow refuses it."""
    try:
        return 0 < len(name.encode("utf-8")) <= NAME_BYTES_MAX
    except UnicodeEncodeError:
        return False


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its exact name at the source, its wire type, the source's own type and more metadata."""

    name: str
    wire: pa.DataType
    source_type: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)

    @property
    def lake_metadata(self) -> dict[str, str]:
        """Its metadata in the lake."""
        told = {k if k == COMMENT else f"{FACTS_PREFIX}{k}": v for k, v in self.meta.items()}
        return told | {SOURCE_TYPE: self.source_type}

    def as_json(self) -> dict[str, Any]:
        return {
            "meta": dict(self.meta),
            "name": self.name,
            "source_type": self.source_type,
            "wire": wire_to_json(self.wire),
        }


@dataclass(frozen=True)
class TableSchema:
    """A table under one definition. `key` names the key columns in key order; empty: a multiset of rows."""

    table: TableName
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        if not names or len(names) > COLUMNS_MAX or len(set(names)) != len(names):
            raise Rejected("GC-5006", reason="columns of a schema")
        if not all(map(_is_name, names)):
            raise Rejected("GC-5006", reason="length of a column name")
        if sum(_fields(c.wire) for c in self.columns) > FIELDS_MAX:
            raise Rejected("GC-5007", reason="fields of a schema")
        if len(set(self.key)) != len(self.key) or not set(self.key) <= set(names):
            raise Rejected("GC-5006", reason="key of a schema")

    @cached_property
    def content(self) -> bytes:
        """Canonical JSON: sorted members, no spaces, UTF-8, columns in the source's order."""
        document = {
            "columns": [c.as_json() for c in self.columns],
            "key": list(self.key),
            "meta": dict(self.meta),
            "table": self.table.as_list(),
            "v": FORMAT,
        }
        return canonical_json(document)

    @cached_property
    def fingerprint(self) -> bytes:
        """BLAKE2b-256 of `content`: 32 bytes."""
        return fingerprint(self.content)

    @cached_property
    def shape(self) -> bytes:
        """The fingerprint of the same schema without comments: what its rows depend on."""
        columns = tuple(replace(c, meta=_without_comment(c.meta)) for c in self.columns)
        return replace(self, columns=columns, meta=_without_comment(self.meta)).fingerprint

    @cached_property
    def key_positions(self) -> tuple[int, ...]:
        position = {c.name: i for i, c in enumerate(self.columns)}
        return tuple(position[name] for name in self.key)

    @cached_property
    def arrow(self) -> pa.Schema:
        """The source columns as they travel: exact names, all nullable."""
        return pa.schema([pa.field(c.name, c.wire) for c in self.columns])

    @cached_property
    def lake_names(self) -> tuple[str, ...]:
        """The source columns' names in the lake (`_gc_…` escaped)."""
        return tuple(escape_column(c.name) for c in self.columns)

    @cached_property
    def lake_fields(self) -> tuple[pa.Field, ...]:
        """The source columns as rows of them come to the lake, with what the source says of each."""
        return tuple(
            pa.field(name, column.wire, metadata=column.lake_metadata)
            for name, column in zip(self.lake_names, self.columns, strict=True)
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> TableSchema:
        """Read a schema; only its one canonical spelling is accepted. Raises Rejected."""
        if len(data) > SCHEMA_BYTES_MAX:
            raise Rejected("GC-5007", reason="schema")
        schema = cls._from_document(load_json(data))
        if schema.content != bytes(data):
            raise Rejected("GC-5006", reason="schema is not in canonical form")
        return schema

    @classmethod
    def _from_document(cls, document: object) -> TableSchema:
        match document:
            case {
                "v": 1,
                "table": table,
                "columns": [*columns],
                "key": [*key],
                "meta": {**meta},
            } if all(isinstance(k, str) for k in key):
                return cls(
                    TableName.from_list(table), tuple(map(_column, columns)), tuple(key), _text_map(meta)
                )
        raise Rejected("GC-5006", reason="schema")


def _column(document: object) -> Column:
    match document:
        case {"name": str() as name, "wire": wire, "source_type": str() as source_type, "meta": {**meta}}:
            return Column(name, wire_from_json(wire), source_type, _text_map(meta))
    raise Rejected("GC-5006", reason="column of a schema")


def _without_comment(meta: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in meta.items() if name != COMMENT}


def _text_map(value: Mapping[Any, Any]) -> dict[str, str]:
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise Rejected("GC-5006", reason="metadata of a schema")
    return dict(value)


def fingerprint(data: bytes) -> bytes:
    """BLAKE2b-256 of a schema's bytes."""
    return hashlib.blake2b(data, digest_size=32).digest()


def canonical_json(document: object) -> bytes:
    """The one spelling of a JSON document: members sorted by code point, no spaces, UTF-8, no NaN."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def load_json(data: bytes) -> object:
    """Strict UTF-8 JSON. Raises Rejected without a word of the content."""
    try:
        return json.loads(bytes(data).decode("utf-8"))
    except (ValueError, RecursionError):
        raise Rejected("GC-5006", reason="JSON") from None
