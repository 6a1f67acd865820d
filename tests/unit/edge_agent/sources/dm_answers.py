"""A DM8 dictionary of a hospital."""

from __future__ import annotations

from typing import Any

from edge_agent.sources.dialects.dm import Dm


def _column(table: str, name: str, kind: str, *sizes: int, null: str = "Y") -> tuple[Any, ...]:
    """`sizes`: bytes, precision, scale."""
    length, precision, scale = (*sizes, 8, 0, 0)[:3] if sizes else (8, 0, 0)
    return ("HIS", table, 1_200, name, kind, length, precision, scale, null)


PLAIN = ("BIT", "TINYINT", "BYTE", "SMALLINT", "INT", "INTEGER", "BIGINT", "REAL", "FLOAT", "DOUBLE", "DATE")
LARGE = ("TEXT", "CLOB", "LONGVARCHAR", "BLOB", "IMAGE", "LONGVARBINARY", "ROWID")
COLUMNS = [
    *(_column("KINDS", kind, kind) for kind in PLAIN),
    _column("KINDS", "N", "NUMBER"),
    _column("KINDS", "FEE", "DECIMAL", 8, 10, 2),
    _column("KINDS", "T", "TIME", 8, 15, 6),
    _column("KINDS", "TS", "TIMESTAMP", 8, 26, 6),
    _column("KINDS", "DT9", "DATETIME", 8, 29, 9),
    _column("KINDS", "TL", "TIMESTAMP", 8, 26, 4_102),
    _column("KINDS", "TZ", "TIMESTAMP WITH TIME ZONE", 8, 26, 6),
    _column("KINDS", "YM", "INTERVAL YEAR TO MONTH", 8, 2, 0),
    _column("KINDS", "C", "CHAR", 8),
    _column("KINDS", "V", "VARCHAR2", 40),
    _column("KINDS", "B", "VARBINARY", 16),
    *(_column("KINDS", kind, kind) for kind in LARGE),
    _column("MUTE", "X", "XMLTYPE"),
    _column('Mi"xed %s?', "no", "NUMBER", 8, 10, 0, null="N"),
    _column('Mi"xed %s?', "day", "TIMESTAMP", 8, 26, 6, null="N"),
    _column('Mi"xed %s?', '编"码', "VARCHAR", 20, null="N"),
    _column("MOMENTS", "A", "DATE", null="N"),
    _column("MOMENTS", "B", "VARBINARY", 16, null="N"),
    _column("MOMENTS", "C", "NUMBER", null="N"),
    _column("就诊", "就诊号", "BIGINT", null="N"),
    _column("就诊", "姓名", "VARCHAR", 40),
]
KEYS = [
    *(("HIS", 'Mi"xed %s?', "PK_M", "P", name) for name in ('编"码', "day", "no")),
    *(("HIS", "MOMENTS", "PK_O", "P", name) for name in "ABC"),
    ("HIS", "就诊", "PK_V", "P", "就诊号"),
]


def dialect() -> Dm:
    return Dm()


def fetch(sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    commented = values == ("HIS", "就诊")
    rows: dict[str, list[tuple[Any, ...]]] = {
        "all_tab_comments": [("门诊就诊",)] if commented else [],
        "all_col_comments": [("就诊号", "挂号时给出")] if commented else [],
        "all_constraints": KEYS,
        "all_tab_columns": COLUMNS,
    }
    return next(found for view, found in rows.items() if view in sql)
