"""A SQL Server catalogue of a hospital with code pages of several countries."""

from __future__ import annotations

from typing import Any

from edge_agent.sources.dialects.mssql import Mssql


def _column(
    table: str,
    name: str,
    kind: str,
    length: int = 8,
    digits: tuple[int, int] = (0, 0),
    collated: tuple[str, int] | None = None,
    null: int = 1,
) -> tuple[Any, ...]:
    return ("his", "dbo", table, 1_200, name, kind, length, *digits, null, *(collated or (None, None)))


PRC = ("Chinese_PRC_CI_AS", 936)
LATIN = ("SQL_Latin1_General_CP1_CI_AS", 1252)
KINDS = [
    *(_column("kinds", k, k) for k in ("bit", "tinyint", "smallint", "int", "bigint", "real", "float")),
    _column("kinds", "fee", "decimal", 9, (18, 4)),
    _column("kinds", "n", "numeric", 17, (38, 38)),
    *(_column("kinds", k, k) for k in ("money", "smallmoney", "date", "datetime", "smalldatetime")),
    _column("kinds", "time", "time", 5, (16, 7)),
    _column("kinds", "d3", "datetime2", 8, (23, 3)),
    _column("kinds", "d7", "datetime2", 8, (27, 7)),
    _column("kinds", "zone", "datetimeoffset", 10, (34, 7)),
    _column("kinds", "c", "char", 10, collated=PRC),
    _column("kinds", "v", "varchar", -1, collated=PRC),
    _column("kinds", "l", "varchar", 40, collated=LATIN),
    _column("kinds", "u", "varchar", 40, collated=("Latin1_General_100_CI_AS_SC_UTF8", 65001)),
    _column("kinds", "odd", "varchar", 40, collated=("Unheard_Of", 4711)),
    _column("kinds", "text", "text", 16, collated=PRC),
    _column("kinds", "nc", "nchar", 20, collated=PRC),
    _column("kinds", "nv", "nvarchar", -1, collated=PRC),
    _column("kinds", "ntext", "ntext", 16, collated=PRC),
    _column("kinds", "b", "binary", 4),
    _column("kinds", "vb", "varbinary", -1),
    *(_column("kinds", k, k, 16) for k in ("image", "timestamp", "uniqueidentifier", "xml")),
    *(_column("kinds", k, k, -1) for k in ("sql_variant", "hierarchyid", "geography", "geometry", "json")),
]
COLUMNS = [
    *KINDS,
    _column("masked", "id", "int", null=0),
    _column("Mi]xed [%s@p1'", "no", "int", null=0),
    _column("Mi]xed [%s@p1'", "day", "datetime", null=0),
    _column("Mi]xed [%s@p1'", "编]码", "varchar", 20, collated=PRC, null=0),
    _column("moments", "a", "datetime2", 8, (27, 7), null=0),
    _column("moments", "b", "datetime2", 8, (23, 3), null=0),
    _column("moments", "c", "timestamp", null=0),
    _column("moments", "d", "uniqueidentifier", 16, null=0),
    _column("moments", "e", "decimal", 9, (18, 4), null=0),
    _column("moments", "f", "nvarchar", 40, collated=PRC, null=0),
    _column("odd", "shape", "OurAssemblyType", -1),
    _column("就诊", "就诊号", "bigint", null=0),
    _column("就诊", "姓名", "nvarchar", 40, collated=PRC),
]
KEYS = [
    ("dbo", "masked", 1, 1, "id"),
    *(("dbo", "Mi]xed [%s@p1'", 1, 1, name) for name in ("编]码", "day", "no")),
    *(("dbo", "moments", 1, 1, name) for name in "abcdef"),
    ("dbo", "就诊", 1, 1, "就诊号"),
]


COMMENTS: list[tuple[Any, ...]] = [
    (None, "nvarchar", 936, "门诊就诊".encode("utf-16-le")),
    ("就诊号", "varchar", 936, "挂号时给出".encode("gbk")),
    ("姓名", "varchar", 1252, "病人".encode("gbk")),
]
"""Of the table 就诊 and its columns; the last one stands under a foreign label."""


def dialect() -> Mssql:
    return Mssql()


def fetch(sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    rows: dict[str, list[tuple[Any, ...]]] = {
        "sys.extended_properties": COMMENTS if values == ("dbo", "就诊") else [],
        "OBJECT_ID('sys": [(-1, -2)],
        "sys.masked_columns": [("dbo", "masked")],
        "sys.security_predicates": [],
        "sys.index_columns": KEYS,
        "sys.columns": COLUMNS,
    }
    return next(found for view, found in rows.items() if view in sql)
