"""What PostgreSQL's catalogue says of tables: their columns, types and keys.

Partitions are seen through their root; views, temporary and foreign tables are no tables here. A table with inheritance
children has no key, since SELECT shows their rows too. A type without a wire type travels as its text. Pure; runs
queries through `Fetch`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dialect import Fetch, TableFacts, UniqueIndex
from protocol.names import TableName
from protocol.schema import DECIMAL_DIGITS_MAX, Column

BASE = "base"
"""Column metadata: the type beneath a domain."""

KIND = "kind"
"""Column metadata: `enum` for one."""

_TABLES = """
WITH RECURSIVE base AS (
    SELECT t.oid, t.typbasetype AS type, t.typtypmod AS modifier
    FROM pg_catalog.pg_type t WHERE t.typtype = 'd'
    UNION ALL
    SELECT b.oid, t.typbasetype, t.typtypmod
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
)
SELECT current_database(), n.nspname, c.relname, c.reltuples::bigint,
    c.relkind = 'r' AND c.relhassubclass, a.attname,
    pg_catalog.format_type(a.atttypid, a.atttypmod),
    pg_catalog.format_type(b.type, b.modifier), t.typtype, a.attnotnull, of_table.description, d.description
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN (
    SELECT base.* FROM base JOIN pg_catalog.pg_type u ON u.oid = base.type WHERE u.typtype <> 'd'
) b ON b.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type t ON t.oid = coalesce(b.type, a.atttypid)
LEFT JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum
    AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_description of_table ON of_table.objoid = c.oid AND of_table.objsubid = 0
    AND of_table.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
_TABLES_ORDER = " ORDER BY n.nspname, c.relname, a.attnum"

_INDEXES = """
SELECT n.nspname, c.relname, x.indexrelid::bigint, x.indisprimary, a.attname,
    c.relreplident = 'i' AND x.indisreplident
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL unnest(x.indkey::smallint[]) WITH ORDINALITY k(attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE x.indisunique AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL
    AND k.place <= x.indnkeyatts AND NOT c.relispartition
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
_INDEXES_ORDER = " ORDER BY n.nspname, c.relname, x.indisprimary DESC, x.indexrelid, k.place"
_ONE = " AND n.nspname = %s AND c.relname = %s"

_WIRES = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "oid": pa.int64(),
    "boolean": pa.bool_(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
_NUMERIC = re.compile(r"numeric\((\d+),(-?\d+)\)")
_DIGITS = re.compile(r"\(\d+\)")


def wire_type(spelt: str) -> pa.DataType:
    """The wire type of a type as format_type spells it; text for whatever has none."""
    if digits := _NUMERIC.fullmatch(spelt):
        precision, scale = int(digits[1]), int(digits[2])
        if precision <= DECIMAL_DIGITS_MAX and 0 <= scale <= precision:
            return pa.decimal128(precision, scale)
    return _WIRES.get(_DIGITS.sub("", spelt), pa.string())


def tables(fetch: Fetch, table: TableName | None) -> list[TableFacts]:
    """As `Dialect.catalogue`."""
    if table is not None and (table.database is None or table.schema is None):
        return []
    only, values = ("", ()) if table is None else (_ONE, (table.schema, table.name))
    rows = fetch(f"{_TABLES}{only}{_TABLES_ORDER}", values)
    if table is not None:
        rows = [row for row in rows if row[0] == table.database]
    if not rows:
        return []
    keys = _indexes(fetch(f"{_INDEXES}{only}{_INDEXES_ORDER}", values))
    return [
        _facts(name, list(lines), keys.get(name[1:], ()))
        for name, lines in groupby(rows, key=lambda row: tuple(row[:3]))
    ]


def _indexes(rows: Sequence[Sequence[Any]]) -> dict[tuple[Any, ...], tuple[UniqueIndex, ...]]:
    found: dict[tuple[Any, ...], list[UniqueIndex]] = {}
    for (schema, name, _, primary), lines in groupby(rows, key=lambda row: tuple(row[:4])):
        columns, identities = zip(*(line[4:6] for line in lines), strict=True)
        index = UniqueIndex(columns, primary=primary, identity=all(identities))
        found.setdefault((schema, name), []).append(index)
    return {name: tuple(indexes) for name, indexes in found.items()}


def _facts(
    name: tuple[Any, ...], lines: Sequence[Sequence[Any]], indexes: tuple[UniqueIndex, ...]
) -> TableFacts:
    estimate, has_children = int(lines[0][3]), lines[0][4]
    return TableFacts(
        TableName(*name),
        tuple(column_of(*line[5:9]) for line in lines),
        frozenset(line[5] for line in lines if line[9]),
        () if has_children else indexes,
        None if estimate < 0 else estimate,
        comments=Comments.of(lines[0][10], {line[5]: line[11] for line in lines}),
    )


def column_of(name: str, spelt: str, base: str | None, kind: str | None) -> Column:
    """A column by its type's spelling, that of the type beneath its domain, and pg_type.typtype."""
    meta = {} if base is None else {BASE: base}
    if kind == "e":
        meta[KIND] = "enum"
    return Column(name, wire_type(base or spelt), spelt, meta)
