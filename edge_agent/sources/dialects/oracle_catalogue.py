"""What Oracle's dictionary says of tables: their columns, keys and types, and what keeps them from being read.

The views ALL_… show what the account may read, so SELECT on the tables is enough. A table under a row-level
policy (VPD) that the account is not exempt from would read incomplete, and a column of a type that has no
exact text would not read at all: such a table is refused. Pure; runs queries through `Fetch`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from edge_agent.sources.dialects.dialect import Fetch, TableFacts, UniqueIndex
from protocol.names import TableName
from protocol.schema import DECIMAL_DIGITS_MAX, Column

CHARSET = "charset"
"""Column metadata: Python's name of the character set of text that is read as bytes."""

PIECES = "pieces"
"""Column metadata: in how many pieces such text is read, if one RAW does not hold it."""

_OWNERS = (
    "'ANONYMOUS', 'APPQOSSYS', 'AUDSYS', 'CTXSYS', 'DBSFWUSER', 'DBSNMP', 'DVSYS', 'EXFSYS', 'GGSYS',"
    " 'GSMADMIN_INTERNAL', 'LBACSYS', 'MDSYS', 'OJVMSYS', 'OLAPSYS', 'ORDDATA', 'ORDSYS', 'OUTLN', 'SYS',"
    " 'SYSMAN', 'SYSTEM', 'WMSYS', 'XDB'"
)
_COLUMNS = f"""
SELECT c.owner, c.table_name, TO_CHAR(t.num_rows), c.column_name, c.data_type, c.data_type_owner,
    TO_CHAR(c.data_precision), TO_CHAR(c.data_scale), TO_CHAR(c.data_length), TO_CHAR(c.char_length),
    c.char_used, c.nullable
FROM all_tables t
JOIN all_tab_columns c ON c.owner = t.owner AND c.table_name = t.table_name
WHERE t.temporary = 'N' AND t.nested = 'NO' AND t.secondary = 'N' AND t.dropped = 'NO'
    AND (t.iot_type IS NULL OR t.iot_type = 'IOT') AND t.owner NOT IN ({_OWNERS})
    AND NOT EXISTS (
        SELECT 1 FROM all_external_tables x WHERE x.owner = t.owner AND x.table_name = t.table_name
    )
"""  # noqa: S608 (our own text)
_COLUMNS_ORDER = " ORDER BY c.owner, c.table_name, c.column_id"

_KEYS = f"""
SELECT k.owner, k.table_name, k.constraint_name, k.constraint_type, c.column_name
FROM all_constraints k
JOIN all_cons_columns c ON c.owner = k.owner AND c.constraint_name = k.constraint_name
    AND c.table_name = k.table_name
WHERE k.constraint_type IN ('P', 'U') AND k.status = 'ENABLED' AND k.validated = 'VALIDATED'
    AND k.owner NOT IN ({_OWNERS})
"""  # noqa: S608 (our own text)
_KEYS_ORDER = " ORDER BY k.owner, k.table_name, k.constraint_type, k.constraint_name, c.position"

_POLICIES = """
SELECT p.object_owner, p.object_name FROM all_policies p
WHERE p.sel = 'YES' AND p.enable = 'YES'
    AND NOT EXISTS (SELECT 1 FROM session_privs s WHERE s.privilege = 'EXEMPT ACCESS POLICY')
"""
_CHARSET = "SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'"

_ONE = " AND {0}.owner = :1 AND {0}.table_name = :2"

_UNICODE = frozenset({"AL32UTF8", "UTF8"})
_CHARSETS = {
    "US7ASCII": "ascii",
    "WE8ISO8859P1": "latin-1",
    "WE8MSWIN1252": "cp1252",
    "ZHS16CGB231280": "gb2312",
    "ZHS16GBK": "gb18030",
    "ZHS32GB18030": "gb18030",
    "ZHT16BIG5": "big5",
    "ZHT16HKSCS": "big5hkscs",
    "ZHT16MSWIN950": "cp950",
}
"""Python's name by Oracle's. GB18030 reads all that GBK does."""

_WIRES = {
    "BINARY_FLOAT": pa.float32(),
    "BINARY_DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.timestamp("us"),
    "RAW": pa.binary(),
    "LONG RAW": pa.binary(),
    "BLOB": pa.binary(),
}
SPOKEN = frozenset(
    {*_WIRES, "NUMBER", "FLOAT", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH LOCAL TIME ZONE"}
    | {"INTERVAL YEAR TO MONTH", "INTERVAL DAY TO SECOND", "CHAR", "VARCHAR2", "NCHAR", "NVARCHAR2"}
    | {"CLOB", "NCLOB", "LONG", "ROWID", "UROWID", "XMLTYPE", "JSON"}
)
"""Types that are read each in its own way; beside them only object types, which have an owner."""

_MUTE = frozenset({"SYS.ANYDATA", "SYS.ANYDATASET", "SYS.ANYTYPE"})
_SIZED = {"CHAR", "VARCHAR2", "NCHAR", "NVARCHAR2", "RAW"}

_RAW_BYTES_MAX = 2_000
_TEXT_BYTES_MAX = 4_000
"""Longer columns exist only where a RAW is as long as they."""

PIECE_CHARS = 500
"""A RAW in SQL holds 2,000 bytes, and a character at most four."""


def word(column: Column) -> str:
    """The type without its sizes."""
    return re.sub(r"\([^)]*\)", "", column.source_type)


def spelt_type(kind: str, owner: str | None, sizes: Sequence[str | None], used: str | None) -> str:
    """A type as it is declared; `sizes` are precision, scale, bytes and characters."""
    precision, scale, length, characters = sizes
    if kind == "NUMBER" and scale is not None:
        return f"NUMBER({precision or '*'},{scale})"
    if kind == "FLOAT":
        return f"FLOAT({precision})"
    if kind == "RAW":
        return f"RAW({length})"
    if kind in _SIZED:
        return f"{kind}({characters})" if used != "B" else f"{kind}({length})"
    return f"{owner}.{kind}" if owner is not None and kind != "XMLTYPE" else kind


def wire_type(spelt: str) -> pa.DataType:
    """The wire type of a type as `spelt_type` spells it; text for whatever has none."""
    if digits := re.fullmatch(r"NUMBER\((\d+|\*),(-?\d+)\)", spelt):
        precision, scale = 38 if digits[1] == "*" else int(digits[1]), int(digits[2])
        # A scale beyond the precision means leading zeros, one below zero trailing ones.
        precision = max(precision, scale) if scale >= 0 else precision - scale
        return pa.decimal128(precision, max(scale, 0)) if precision <= DECIMAL_DIGITS_MAX else pa.string()
    if moment := re.fullmatch(r"TIMESTAMP\((\d)\)( WITH LOCAL TIME ZONE)?", spelt):
        return pa.timestamp("us", tz="UTC" if moment[2] else None) if int(moment[1]) <= 6 else pa.string()
    return _WIRES.get(spelt.split("(", maxsplit=1)[0], pa.string())


def read_catalogue(fetch: Fetch, table: TableName | None, declared: str | None) -> list[TableFacts]:
    """That table, or all; `declared` is the character set that the address names."""
    if table is not None and (table.database is not None or table.schema is None):
        return []
    only, values = ("", ()) if table is None else (_ONE, (table.schema, table.name))
    rows = fetch(f"{_COLUMNS}{only.format('c')}{_COLUMNS_ORDER}", values)
    if not rows:
        return []
    keys = _keys(fetch(f"{_KEYS}{only.format('k')}{_KEYS_ORDER}", values))
    hidden = {tuple(row) for row in fetch(_POLICIES, ())}
    charset = _charset(fetch)
    return [
        _facts(name, list(lines), keys, name in hidden, charset, declared)
        for name, lines in groupby(rows, key=lambda row: tuple(row[:2]))
    ]


def charset_of(fetch: Fetch, declared: str | None) -> str | None:
    """Python's name of the character set that text is read in as bytes; None where the server converts it."""
    return declared or _CHARSETS.get(_charset(fetch))


def _charset(fetch: Fetch) -> str:
    name = fetch(_CHARSET, ())[0][0]
    return name.decode("ascii") if isinstance(name, bytes | bytearray) else str(name)


def _keys(rows: Sequence[Sequence[Any]]) -> dict[tuple[Any, ...], list[UniqueIndex]]:
    found: dict[tuple[Any, ...], list[UniqueIndex]] = {}
    for (owner, table, _, kind), lines in groupby(rows, key=lambda row: tuple(row[:4])):
        index = UniqueIndex(tuple(line[4] for line in lines), primary=kind == "P")
        found.setdefault((owner, table), []).append(index)
    return found


def _facts(
    name: tuple[Any, ...],
    lines: Sequence[Sequence[Any]],
    keys: Mapping[tuple[Any, ...], Sequence[UniqueIndex]],
    hidden: bool,
    charset: str,
    declared: str | None,
) -> TableFacts:
    columns = tuple(_column(line, charset, declared) for line in lines)
    mute = [c for c in columns if word(c) in _MUTE or (word(c) not in SPOKEN and "." not in word(c))]
    refused = f"a column is of type {mute[0].source_type}" if mute else None
    if hidden:
        refused = "row-level security would hide rows"
    estimate = lines[0][2]
    return TableFacts(
        TableName(None, *name),
        columns,
        frozenset(line[3] for line in lines if line[11] == "N"),
        tuple(keys.get(name, ())),
        None if estimate is None else int(estimate),
        refused=refused,
    )


def _column(line: Sequence[Any], charset: str, declared: str | None) -> Column:
    name, kind, owner = line[3:6]
    spelt = spelt_type(kind, owner, line[6:10], line[10])
    if kind not in ("CHAR", "VARCHAR2") or (charset in _UNICODE and declared is None):
        return Column(name, wire_type(spelt), spelt)
    meta = {}
    if _RAW_BYTES_MAX < int(line[8]) <= _TEXT_BYTES_MAX:
        meta[PIECES] = str(math.ceil(int(line[9]) / PIECE_CHARS))
    known = declared or _CHARSETS.get(charset)
    if known is None:
        return Column(name, pa.binary(), spelt, meta)
    return Column(name, pa.string(), spelt, {CHARSET: known, **meta})
