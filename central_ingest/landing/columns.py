"""Columns of the lake: which types they hold, how rows are fitted to them, how names that clash are spelled.

Parquet and Delta hold any name (Chinese, spaces, dots, braces, 1,020 bytes: read back exactly with deltalake
1.6.6), with two exceptions: two names of one table that differ only in case, which every reader of Delta
takes for one, and U+0000, which Arrow's C interface cuts. Such a name is stored as `_gc_as_…`, from which
`exact_name` gives the name back without any table. Pure: it knows neither disk nor Delta.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
from pyarrow import types

from protocol.errors import Permanent

from . import evolution

PARTITION = "_gc_date"

_PREFIX = "_gc_as_"  # cannot be a source's: protocol.names escapes whatever begins with `_gc_`
_ESCAPED = re.compile(r"\^(?:([a-z])|([0-9]+);)")
_METADATA_NOT_KEPT = (b"delta.", b"ARROW:")  # would make Delta or Arrow act on what a source wrote


def fit(
    path: str, rows: pa.Table, held: pa.Schema | None, partition: Sequence[str] = (PARTITION,)
) -> pa.Table:
    """`rows` in lake types, all columns nullable and named by their generation (see `evolution`), ready for a table
    that holds `held` and is partitioned so. Raises Permanent GC-6004 for a type that no column of the lake can have."""
    names = set(rows.schema.names)
    if not names.issuperset(partition) or len(names) != len(rows.schema.names):
        raise ValueError(f"rows need the columns {', '.join(partition)}, and no column twice")
    if PARTITION in partition and rows.column(PARTITION).null_count:
        raise ValueError("_gc_date is never null")
    fields = []
    for field in rows.schema:
        kind = _lake_type(path, field.type)
        name = evolution.place(held, field.name, kind)
        fields.append(pa.field(name, kind, metadata=_metadata(field.metadata)))
    try:
        named = rows.rename_columns([field.name for field in fields])
        return named.cast(pa.schema(fields, metadata=rows.schema.metadata))
    except pa.ArrowException as error:
        raise Permanent("GC-6004", table=path) from error


def stored_names(names: Iterable[str], held: Mapping[str, str]) -> dict[str, str]:
    """Exact to stored name of every one of `names`; `held` is what this gave for the columns held so far.

    A held column never changes its stored name, so which of `Name` and `name` came first decides.
    """
    stored = dict(held)
    taken = {name.casefold() for name in stored.values()}
    for name in names:
        if name not in stored:
            plain = name.casefold() not in taken and "\0" not in name and not name.startswith(_PREFIX)
            stored[name] = name if plain else _escape(name)
            taken.add(stored[name].casefold())
    return stored


def exact_name(stored: str) -> str:
    """The name of the column that the lake stores as `stored`."""
    if not stored.startswith(_PREFIX):
        return stored
    return _ESCAPED.sub(lambda m: m[1].upper() if m[1] else chr(int(m[2])), stored[len(_PREFIX) :])


def _escape(name: str) -> str:
    """No two names give results that differ only in case: whatever has case is spelled out."""
    return _PREFIX + "".join(map(_escape_char, name))


def _escape_char(char: str) -> str:
    if "A" <= char <= "Z":
        return "^" + char.lower()
    if char in "^\0" or char.casefold() != char or char.lower() != char:
        return f"^{ord(char)};"
    return char


_AS_IS = (
    types.is_boolean,
    types.is_signed_integer,
    types.is_float32,
    types.is_float64,
    types.is_decimal128,
    types.is_string,
    types.is_binary,
    types.is_date32,
)
_TEXT = (types.is_large_string, types.is_string_view)
_BYTES = (types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)


def _lake_type(path: str, kind: pa.DataType) -> pa.DataType:
    """The one Arrow type in which the lake gives such values back."""
    if any(is_kind(kind) for is_kind in _AS_IS):
        return kind
    if any(is_kind(kind) for is_kind in _TEXT):
        return pa.string()
    if any(is_kind(kind) for is_kind in _BYTES):
        return pa.binary()
    if types.is_timestamp(kind) and kind.unit == "us":
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if types.is_dictionary(kind):
        return _lake_type(path, kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return pa.list_(pa.field("element", _lake_type(path, kind.value_type)))
    if types.is_struct(kind) and _fields_distinct([part.name for part in kind]):
        return pa.struct([pa.field(part.name, _lake_type(path, part.type)) for part in kind])
    raise Permanent("GC-6004", table=path)


def _fields_distinct(names: list[str]) -> bool:
    """Fields inside a struct are not escaped: one that Delta cannot tell apart parks its table."""
    return 0 < len(names) == len({name.casefold() for name in names}) and not any("\0" in n for n in names)


def _metadata(given: Mapping[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    return {k: v for k, v in (given or {}).items() if not k.startswith(_METADATA_NOT_KEPT)} or None
