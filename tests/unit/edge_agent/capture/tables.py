"""The tables that capture is tested with: keys of several types, composite ones, and none."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from edge_agent.sources.memory import Row, Wild
from protocol.names import TableName
from protocol.schema import Column, TableSchema

VISIT = TableName("his", "dbo", "门诊就诊")
CODE = TableName(None, None, "code")
ITEM = TableName("his", None, "item")
STAMP = TableName(None, None, "stamp")
LOG = TableName(None, None, "log")
ALL = (VISIT, CODE, ITEM, STAMP, LOG)
KEYED = {name: name is not LOG for name in ALL}

LARGE = "大" * 22_000  # in UTF-8 just beyond VALUE_INLINE_BYTES_MAX
VALUES: tuple[Any, ...] = ("x", "y", None, Wild("range", b"0000-00-00"), LARGE)
KEYS = 12

_KEY_COLUMNS: dict[TableName, tuple[Column, ...]] = {
    VISIT: (Column("id", pa.int64()),),
    CODE: (Column("code", pa.string()),),
    ITEM: (Column("a", pa.int32()), Column("b", pa.string())),
    STAMP: (
        Column("day", pa.date32()),
        Column("at", pa.timestamp("us")),
        Column("amount", pa.decimal128(10, 2)),
    ),
    LOG: (Column("x", pa.int64()),),
}


def schema(name: TableName, altered: bool = False) -> TableSchema:
    """`altered`: with one column more."""
    key = _KEY_COLUMNS[name]
    columns = (*key, Column("v", pa.string()), *([Column("extra", pa.string())] if altered else []))
    return TableSchema(name, columns, tuple(c.name for c in key) if KEYED[name] else ())


def row(name: TableName, key: int, value: int, altered: bool = False) -> Row:
    """The row with the `key`th key and the `value`th value."""
    keys: dict[TableName, Row] = {
        VISIT: (key * 1000 - 5000,),
        CODE: (("", "a", "A", "a ", "é", "甲", "乙", "b" * 300, "0", "00", "\n", "z")[key],),
        ITEM: (key % 3, f"b{key // 3}"),
        STAMP: (
            date(1969, 12, 30 + key % 2),
            datetime(2024, 5, 1, 0, 0, 0, key % 3),
            Decimal(key // 6) / 2,
        ),
        LOG: (key,),
    }
    return (*keys[name], VALUES[value], *(["e"] if altered else []))
