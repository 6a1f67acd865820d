"""A table's `changes` as `current` sees them: each column in its newest type, older generations converted or beside.

Writes the relation that `current_sql` reads where columns have several generations (see `evolution`), does the same
to rows in memory, and decides under which key, and up to which version, a table stands: rows of two keys never stand
beside each other, so until a snapshot under a new key has ended (or the table was emptied) `current` is what it was
when the key became another. Pure: a relation is a name in SQL, a floor is somebody else's to compute.
"""

# ruff: noqa: S608 - writing SQL is what this file is for: names are quoted

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from protocol.change import LAKE_SYSTEM_NAMES, Version

from . import evolution
from .columns import exact_name, stored_names
from .current import Floor, quoted
from .evolution import Era


@dataclass(frozen=True, slots=True)
class Merged:
    """`relation` is what `current_sql` reads, `columns` the source's in it, by their names there, with their types."""

    relation: str
    columns: dict[str, pa.DataType]


def merged(relation: str, schema: pa.Schema) -> Merged:
    """`schema` is that of `relation`, a table's `changes` with columns named as stored."""
    exact = [exact_name(name) for name in schema.names]
    stored = dict(zip(exact, schema.names, strict=True))
    named = [field.with_name(name) for field, name in zip(schema, exact, strict=True)]
    source = _of_source(pa.schema(named))
    shown = evolution.shown(source)
    names = stored_names([one.name for one in shown], stored)
    columns = {names[one.name]: one.kind for one in shown}
    if len(shown) == len(source) and all(one.generations == (one.name,) for one in shown):
        return Merged(relation, columns)
    chosen = [quoted(name) for name in schema.names if name in LAKE_SYSTEM_NAMES]
    for one in shown:
        generations = [stored[name] for name in one.generations]
        chosen.append(f"{_value(generations, one.kind)} AS {quoted(names[one.name])}")
    return Merged(f"(SELECT {', '.join(chosen)} FROM {relation})", columns)


def _value(generations: Sequence[str], kind: pa.DataType) -> str:
    """That of the one generation that has one."""
    newest, *older = map(quoted, generations)
    if not older:
        return newest
    return f"coalesce({newest}, {', '.join(f'CAST({name} AS {_sql_type(kind)})' for name in older)})"


_SQL_TYPES = {
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
}


def _sql_type(kind: pa.DataType) -> str:
    """Of the types that something is converted into."""
    return f"DECIMAL({kind.precision}, {kind.scale})" if types.is_decimal128(kind) else _SQL_TYPES[kind]


def shown_schema(changes: pa.Schema) -> pa.Schema:
    """The columns of `changes` (by their exact names) as `as_shown` gives them."""
    fields = [field for field in changes if field.name in LAKE_SYSTEM_NAMES]
    for one in evolution.shown(_of_source(changes)):
        facts = dict(changes.field(one.generations[0]).metadata or {})
        facts.pop(evolution.NEWEST, None)
        fields.append(pa.field(one.name, one.kind, metadata=facts or None))
    return pa.schema(fields, metadata=changes.metadata)


def as_shown(rows: pa.Table, changes: pa.Schema) -> pa.Table:
    """The same in memory: `rows` with all columns of `changes`, each in its newest type."""
    schema = shown_schema(changes)
    if schema.names == rows.schema.names and schema.types == rows.schema.types:
        return rows
    shown = {one.name: one for one in evolution.shown(_of_source(changes))}
    columns = []
    for field in schema:
        generations = shown[field.name].generations if field.name in shown else (field.name,)
        parts = [rows.column(name).cast(field.type) for name in generations]
        columns.append(pc.coalesce(*parts) if len(parts) > 1 else parts[0])
    return pa.Table.from_arrays(columns, schema=schema)


def _of_source(changes: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in changes if field.name not in LAKE_SYSTEM_NAMES])


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether the table has a key, its floor, and the version up to which changes count (None: all)."""

    keyed: bool
    above: Floor
    as_of: Version | None


def standing(
    keys: Sequence[Era], keyed: bool, floor_at: Callable[[Version | None], Floor], as_of: Version | None
) -> Standing:
    """`keys` as `evolution.keys` gives them; `keyed` counts where there are none. `floor_at` gives the floor of
    the changes up to a version."""
    for at in range(len(keys) - 1, 0, -1):
        since = keys[at].since
        if as_of is not None and as_of < since:
            continue
        above = floor_at(as_of)
        if above.above is not None and above.above >= since:
            return Standing(bool(keys[at].key), above, as_of)
        as_of = Version(since.epoch, since.seq, since.ord - 1)
    return Standing(bool(keys[0].key) if keys else keyed, floor_at(as_of), as_of)
