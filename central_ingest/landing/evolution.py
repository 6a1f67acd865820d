"""What becomes of a table whose columns change: generations (docs/decisions/0023, with the table of cases).

A column of `changes` never changes its type. Every type that a source's column ever had is a *generation* of
it, a column of its own: the first under the plain name, later ones under `_gc_gen2_…`, `_gc_gen3_…`; a type
that comes back goes on in its old generation. Which one is the newest stands in the metadata of the first.
`current` shows one column under the plain name in the newest type; an older generation is converted into it
where that is exact for every value, and stands beside as `_gc_gen<number>_…` where it is not. The schemas and
keys that a table had stand in the metadata of the whole. Pure: it knows Arrow, and no lake, Delta or SQL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import types

from protocol.change import Version
from protocol.schema import COMMENT, FACTS_PREFIX, SOURCE_TYPE

NEWEST = f"{FACTS_PREFIX}newest".encode()
"""Field metadata of a first generation: the number of the newest, where there are several."""
SCHEMA = f"{FACTS_PREFIX}schema".encode()
"""Metadata of a table, and of rows: the fingerprint of its present schema, of theirs (hex)."""
HISTORY = f"{FACTS_PREFIX}history".encode()
"""Metadata of a table: `Era`s as JSON, the oldest first."""
TABLE_FACTS = (SCHEMA.decode(), HISTORY.decode())
"""What of a table's metadata stands among its properties."""
KEY = f"{FACTS_PREFIX}key".encode()
SINCE = f"{FACTS_PREFIX}since".encode()
"""Metadata of rows: the key of their schema (a JSON list), and the version of the first of them."""
_COMMENT = COMMENT.encode()
_SOURCE_TYPE = SOURCE_TYPE.encode()

_NAME = re.compile(
    r"_gc_gen([1-9][0-9]*)_(.+)", re.DOTALL
)  # no source's: names that begin with _gc_ are escaped


def generation_name(column: str, number: int) -> str:
    """How a generation of `column` (by its lake name) is called in `changes`."""
    return column if number == 1 else beside_name(column, number)


def beside_name(column: str, number: int) -> str:
    """How `current` calls a generation that it does not merge."""
    return f"_gc_gen{number}_{column}"


def parse_name(name: str) -> tuple[str, int]:
    """Column and number of a generation, by its exact name in `changes` or `current`."""
    found = _NAME.fullmatch(name)
    return (found[2], int(found[1])) if found else (name, 1)


def place(held: pa.Schema | None, column: str, kind: pa.DataType) -> str:
    """The name of the generation in which values of this type stand; a new one where no older has the type."""
    number, name = 1, column
    while held is not None and (at := held.get_field_index(name)) >= 0 and held.field(at).type != kind:
        number += 1
        name = generation_name(column, number)
    return name


def united(held: pa.Schema | None, rows: pa.Schema) -> pa.Schema:
    """`held`, and behind its columns those of `rows` that it lacks; what `rows`, which come from the source, say of
    columns and of the table counts from now on, and what they do not say stays. `held` itself where nothing can
    have changed."""
    said = rows.metadata or {}
    if held is not None and SCHEMA in said and (held.metadata or {}).get(SCHEMA) == said[SCHEMA]:
        return held
    fields = {} if held is None else {field.name: field for field in held}
    for field in rows:
        column, number = parse_name(field.name)
        fields[field.name] = _renewed(fields.get(field.name), field)
        first = fields[column]
        if number > 1 or NEWEST in (first.metadata or {}):
            fields[column] = first.with_metadata({**(first.metadata or {}), NEWEST: str(number).encode()})
    return pa.schema(list(fields.values()), metadata=_table_facts((held and held.metadata) or {}, said))


def widened(held: pa.Schema | None, rows: pa.Schema) -> pa.Schema:
    """The same for `rows` that were in the table before, or are made of others: of what is known they say nothing."""
    lacking = [field for field in rows if held is None or held.get_field_index(field.name) < 0]
    return pa.schema([*(held or ()), *lacking], metadata=held and held.metadata)


def _renewed(held: pa.Field | None, field: pa.Field) -> pa.Field:
    if held is None:
        return field
    if not field.metadata:
        return held
    kept = {k: v for k, v in (held.metadata or {}).items() if k == NEWEST}
    return held.with_metadata({**field.metadata, **kept})


# What a table was.


@dataclass(frozen=True, slots=True)
class Era:
    """A table had this schema (fingerprint in hex) and this key from the version on."""

    schema: str
    since: Version
    key: tuple[str, ...]


def history(table: Mapping[bytes, bytes] | None) -> list[Era]:
    """Of a table, by its metadata: each schema where it was first seen and where it brought another key, in order.
    Empty where it landed before schemas were noted."""
    lines = json.loads((table or {}).get(HISTORY, b"[]"))
    return [Era(one["schema"], Version(one["epoch"], one["seq"]), tuple(one["key"])) for one in lines]


def keys(table: Mapping[bytes, bytes] | None) -> list[Era]:
    """The eras in which the key became another; the first one holds from the beginning on."""
    found: list[Era] = []
    for era in history(table):
        if not found or found[-1].key != era.key:
            found.append(era)
    return found


def facts_of_rows(
    schema: str, key: tuple[str, ...], comment: str, epoch: int, seq: int
) -> dict[bytes, bytes]:
    """The metadata of rows that came under one schema, the first of them at (epoch, seq)."""
    facts = {SCHEMA: schema.encode(), KEY: json.dumps(key, ensure_ascii=False).encode()}
    facts |= {SINCE: json.dumps([epoch, seq]).encode()}
    return facts | ({_COMMENT: comment.encode()} if comment else {})


def _table_facts(held: Mapping[bytes, bytes], said: Mapping[bytes, bytes]) -> dict[bytes, bytes] | None:
    if SCHEMA not in said:
        return dict(held) or None
    schema, key = said[SCHEMA].decode(), tuple(json.loads(said[KEY]))
    known = history(held)
    if not known or known[-1].key != key or all(era.schema != schema for era in known):
        known.append(Era(schema, Version(*json.loads(said[SINCE])), key))
    lines = [{"schema": e.schema, "epoch": e.since.epoch, "seq": e.since.seq, "key": e.key} for e in known]
    told = json.dumps(lines, ensure_ascii=False, separators=(",", ":"))
    facts = {SCHEMA: said[SCHEMA], HISTORY: told.encode()}
    return facts | ({_COMMENT: said[_COMMENT]} if _COMMENT in said else {})


# How generations are shown.


@dataclass(frozen=True, slots=True)
class Shown:
    """A column of `current`: its exact lake name and type, and the generations whose values it shows, by their names
    in `changes`, the newest first. At most one of them has a value in a row."""

    name: str
    kind: pa.DataType
    generations: tuple[str, ...]


def shown(schema: pa.Schema) -> list[Shown]:
    """The columns of `current` of a table with these columns of the source (system columns aside)."""
    columns: dict[str, dict[int, pa.Field]] = {}
    for field in schema:
        column, number = parse_name(field.name)
        columns.setdefault(column, {})[number] = field
    return [one for column, found in columns.items() for one in _shown(column, found)]


def _shown(column: str, generations: Mapping[int, pa.Field]) -> list[Shown]:
    number = newest(generations[1])
    last = generations[number]
    older = {n: field for n, field in sorted(generations.items(), reverse=True) if n != number}
    merged = [field.name for field in older.values() if exact(field, last)]
    beside = [
        Shown(beside_name(column, n), f.type, (f.name,)) for n, f in older.items() if not exact(f, last)
    ]
    return [Shown(column, last.type, (last.name, *merged)), *reversed(beside)]


def newest(first: pa.Field) -> int:
    """The number of the newest generation of the column whose first this is."""
    return int((first.metadata or {}).get(NEWEST, b"1"))


def exact(old: pa.Field, new: pa.Field) -> bool:
    """Whether every value of `old` is, converted, the same value in `new`."""
    a, b = old.type, new.type
    if types.is_signed_integer(a):
        return _exact_integer(old, b)
    if types.is_decimal128(a) and types.is_decimal128(b):
        return bool(a.scale <= b.scale and a.precision - a.scale <= b.precision - b.scale)
    return bool(types.is_float32(a) and types.is_float64(b))


_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}
"""Decimal digits of the integers of so many bits."""
_FLOAT_BITS = {pa.float32(): 16, pa.float64(): 32}
"""The widest integers of which such a float holds each."""


def _exact_integer(old: pa.Field, new: pa.DataType) -> bool:
    bits = old.type.bit_width
    if types.is_signed_integer(new):
        return bool(bits <= new.bit_width)
    if types.is_decimal128(new):
        return bool(_DIGITS[bits] <= new.precision - new.scale)
    if types.is_string(new):
        # The digits are an integer's only text, but where MySQL fills them up with zeros.
        return b"zerofill" not in (old.metadata or {}).get(_SOURCE_TYPE, b"").lower()
    return bool(bits <= _FLOAT_BITS.get(new, 0))
