"""What SQL Server's catalogue says of tables: their columns, keys and types, and what keeps them from being read.

The sys views show the tables that the account may read. Where a column is masked for the account, or a
security policy filters the table's rows, it would read other than it is; a column of an assembly's type would
not read at all: such a table is refused. (A policy shows only to an account with VIEW DEFINITION.) Pure; runs
queries through `Fetch`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dialect import Fetch, TableFacts, UniqueIndex
from protocol.names import TableName
from protocol.schema import Column

CHARSET = "charset"
"""Column metadata: Python's name of the character set of what is read as bytes."""

COLLATED = "collated"
"""Column metadata of char and varchar: the code page, a space and the name of the collation."""

_COLUMNS = """
SELECT DB_NAME(), s.name, t.name,
    (SELECT CAST(SUM(p.rows) AS bigint) FROM sys.partitions p
        WHERE p.object_id = t.object_id AND p.index_id IN (0, 1)),
    c.name, TYPE_NAME(CASE c.system_type_id WHEN 240 THEN c.user_type_id ELSE c.system_type_id END),
    CAST(c.max_length AS int), CAST(c.precision AS int), CAST(c.scale AS int), CAST(c.is_nullable AS int),
    c.collation_name, CAST(COLLATIONPROPERTY(c.collation_name, 'CodePage') AS int)
FROM sys.tables t
JOIN sys.schemas s ON s.schema_id = t.schema_id
JOIN sys.columns c ON c.object_id = t.object_id
WHERE t.is_ms_shipped = 0
"""
_COLUMNS_ORDER = " ORDER BY s.name, t.name, c.column_id"

_KEYS = """
SELECT s.name, t.name, CAST(i.index_id AS int), CAST(i.is_primary_key AS int), c.name
FROM sys.indexes i
JOIN sys.tables t ON t.object_id = i.object_id
JOIN sys.schemas s ON s.schema_id = t.schema_id
JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id AND k.key_ordinal > 0
JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE i.is_unique = 1 AND i.has_filter = 0 AND i.is_disabled = 0 AND i.is_hypothetical = 0
    AND t.is_ms_shipped = 0
"""
_KEYS_ORDER = " ORDER BY s.name, t.name, i.is_primary_key DESC, i.index_id, k.key_ordinal"
_ONE = " AND s.name = @p1 AND t.name = @p2"

_KNOWN = "SELECT OBJECT_ID('sys.masked_columns'), OBJECT_ID('sys.security_predicates')"
_MASKED = """
SELECT OBJECT_SCHEMA_NAME(m.object_id), OBJECT_NAME(m.object_id) FROM sys.masked_columns m
WHERE m.is_masked = 1 AND HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'UNMASK') = 0
"""
_FILTERED = """
SELECT OBJECT_SCHEMA_NAME(p.target_object_id), OBJECT_NAME(p.target_object_id)
FROM sys.security_predicates p JOIN sys.security_policies y ON y.object_id = p.object_id
WHERE p.predicate_type = 0 AND y.is_enabled = 1
"""

_COMMENTS = """
SELECT c.name, CAST(SQL_VARIANT_PROPERTY(p.value, 'BaseType') AS nvarchar(128)),
    CAST(COLLATIONPROPERTY(CAST(SQL_VARIANT_PROPERTY(p.value, 'Collation') AS nvarchar(128)), 'CodePage') AS int),
    CONVERT(varbinary(8000), p.value)
FROM sys.extended_properties p
JOIN sys.tables t ON t.object_id = p.major_id
JOIN sys.schemas s ON s.schema_id = t.schema_id
LEFT JOIN sys.columns c ON c.object_id = p.major_id AND c.column_id = p.minor_id
WHERE p.class = 1 AND p.name = N'MS_Description' AND (p.minor_id = 0 OR c.column_id IS NOT NULL)
    AND p.value IS NOT NULL
"""
"""A property has at most 7,500 bytes (sp_addextendedproperty)."""

_CODE_PAGES = {65001: "utf-8", 936: "gbk", 950: "cp950", 932: "cp932", 949: "cp949", 874: "cp874"} | {
    number: f"cp{number}" for number in (437, 850, *range(1250, 1259))
}
_WIRES = {
    "bit": pa.bool_(),
    "tinyint": pa.int16(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "float": pa.float64(),
    "money": pa.decimal128(19, 4),
    "smallmoney": pa.decimal128(10, 4),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "smalldatetime": pa.timestamp("us"),
} | dict.fromkeys(
    ("binary", "varbinary", "image", "timestamp", "geography", "geometry"),
    pa.binary(),
)
"""`timestamp` is rowversion."""

_UTF16 = frozenset({"nchar", "nvarchar", "ntext", "xml", "json", "hierarchyid", "sql_variant"})
_CODED = frozenset({"char", "varchar", "text"})
_OTHERS = frozenset({"decimal", "numeric", "time", "datetime2", "datetimeoffset", "uniqueidentifier"})


def word(column: Column) -> str:
    """The type without its sizes."""
    return column.source_type.split("(", maxsplit=1)[0]


def spelt_type(kind: str, length: int, precision: int, scale: int) -> str:
    """A type as it is declared."""
    if kind in ("decimal", "numeric"):
        return f"{kind}({precision},{scale})"
    if kind in ("time", "datetime2", "datetimeoffset"):
        return f"{kind}({scale})"
    if kind in ("char", "varchar", "binary", "varbinary", "nchar", "nvarchar"):
        units = length // 2 if kind.startswith("n") else length
        return f"{kind}({'max' if length < 0 else units})"
    return kind


def wire_type(spelt: str) -> pa.DataType:
    """The wire type of a type as `spelt_type` spells it; text for whatever has none."""
    if digits := re.fullmatch(r"(?:decimal|numeric)\((\d+),(\d+)\)", spelt):
        return pa.decimal128(int(digits[1]), int(digits[2]))
    if moment := re.fullmatch(r"datetime2\((\d)\)", spelt):
        return pa.timestamp("us") if int(moment[1]) <= 6 else pa.string()
    return _WIRES.get(spelt.split("(", maxsplit=1)[0], pa.string())


def read_catalogue(fetch: Fetch, table: TableName | None, declared: str | None) -> list[TableFacts]:
    """That table, or all; `declared` is the character set that the address names for char and varchar."""
    if table is not None and (table.database is None or table.schema is None):
        return []
    only, values = ("", ()) if table is None else (_ONE, (table.schema, table.name))
    rows = fetch(f"{_COLUMNS}{only}{_COLUMNS_ORDER}", values)
    if table is not None:
        # The catalogue may compare names without regard to case.
        rows = [row for row in rows if tuple(row[:3]) == (table.database, *values)]
    if not rows:
        return []
    keys = _keys(fetch(f"{_KEYS}{only}{_KEYS_ORDER}", values))
    refused = _refused(fetch)
    return [
        _facts(name, list(lines), keys, refused.get(name[1:]), declared)
        for name, lines in groupby(rows, key=lambda row: tuple(row[:3]))
    ]


def read_comments(fetch: Fetch, table: TableName, declared: str | None) -> Comments:
    """The property in which SQL Server's own tools keep descriptions. Its text comes as its bytes, as all text does;
    what is no text there is no comment."""
    told = {
        name: _described(kind, declared or _CODE_PAGES.get(page, "ascii"), value)
        for name, kind, page, value in fetch(f"{_COMMENTS}{_ONE}", (table.schema, table.name))
    }
    return Comments.of(told.pop(None, None), told)


def _described(kind: str, charset: str, value: bytes) -> str | None:
    if kind not in ("char", "varchar", "nchar", "nvarchar"):
        return None
    return value.decode("utf-16-le" if kind.startswith("n") else charset, "replace")


def _refused(fetch: Fetch) -> dict[tuple[Any, ...], str]:
    """Why tables read other than they are; servers before 2016 know neither."""
    masks, policies = fetch(_KNOWN, ())[0]
    found: dict[tuple[Any, ...], str] = {}
    if masks is not None:
        found |= {tuple(row): "a column is masked for the account" for row in fetch(_MASKED, ())}
    if policies is not None:
        found |= {tuple(row): "row-level security would hide rows" for row in fetch(_FILTERED, ())}
    return found


def _keys(rows: Sequence[Sequence[Any]]) -> dict[tuple[Any, ...], list[UniqueIndex]]:
    found: dict[tuple[Any, ...], list[UniqueIndex]] = {}
    for (schema, table, _, primary), lines in groupby(rows, key=lambda row: tuple(row[:4])):
        index = UniqueIndex(tuple(line[4] for line in lines), primary=bool(primary))
        found.setdefault((schema, table), []).append(index)
    return found


def _facts(
    name: tuple[Any, ...],
    lines: Sequence[Sequence[Any]],
    keys: Mapping[tuple[Any, ...], Sequence[UniqueIndex]],
    refused: str | None,
    declared: str | None,
) -> TableFacts:
    columns = tuple(_column(line, declared) for line in lines)
    for column in columns:
        if word(column) not in _UTF16 | _CODED | _OTHERS | _WIRES.keys():
            refused = f"a column is of type {column.source_type}"
    estimate = lines[0][3]
    return TableFacts(
        TableName(*name),
        columns,
        frozenset(line[4] for line in lines if not line[9]),
        tuple(keys.get(name[1:], ())),
        None if estimate is None else int(estimate),
        refused=refused,
    )


def _column(line: Sequence[Any], declared: str | None) -> Column:
    name, kind, length, precision, scale = line[4:9]
    spelt = spelt_type(kind, length, precision, scale)
    if kind in _UTF16:
        return Column(name, pa.string(), spelt, {CHARSET: "utf-16-le"})
    if kind not in _CODED:
        return Column(name, wire_type(spelt), spelt)
    collation, page = line[10], line[11]
    known = declared or _CODE_PAGES.get(page)
    meta = {COLLATED: f"{page} {collation}"}
    if known is None:
        return Column(name, pa.binary(), spelt, meta)
    return Column(name, pa.string(), spelt, {CHARSET: known, **meta})
