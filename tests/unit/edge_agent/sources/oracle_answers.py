"""An Oracle dictionary of a hospital whose database is US7ASCII and holds GBK."""

from __future__ import annotations

from typing import Any

from edge_agent.sources.dialects.oracle import Oracle


def _column(
    table: str, name: str, kind: str, *sizes: str | None, owner: str | None = None, null: str = "Y"
) -> tuple[Any, ...]:
    """`sizes`: precision, scale, bytes, characters, and what a size counts."""
    filled = (*sizes, None, None, None, None, None)[:5]
    return ("HIS", table, "1200", name, kind, owner, *filled, null)


def _text(kind: str, length: int, used: str = "B") -> tuple[str, None, None, str, str, str]:
    return kind, None, None, str(length * (1 if used == "B" else 4)), str(length), used


COLUMNS = [
    _column("KINDS", "N", "NUMBER", None, None),
    _column("KINDS", "WHOLE", "NUMBER", None, "0"),
    _column("KINDS", "FEE", "NUMBER", "10", "2"),
    _column("KINDS", "SMALL", "NUMBER", "2", "5"),
    _column("KINDS", "ROUND", "NUMBER", "5", "-2"),
    _column("KINDS", "LARGE", "NUMBER", "38", "-84"),
    _column("KINDS", "F", "FLOAT", "126"),
    _column("KINDS", "BF", "BINARY_FLOAT"),
    _column("KINDS", "BD", "BINARY_DOUBLE"),
    _column("KINDS", "D", "DATE"),
    _column("KINDS", "T6", "TIMESTAMP(6)"),
    _column("KINDS", "T9", "TIMESTAMP(9)"),
    _column("KINDS", "TZ", "TIMESTAMP(6) WITH TIME ZONE"),
    _column("KINDS", "TL", "TIMESTAMP(6) WITH LOCAL TIME ZONE"),
    _column("KINDS", "YM", "INTERVAL YEAR(2) TO MONTH"),
    _column("KINDS", "DS", "INTERVAL DAY(2) TO SECOND(6)"),
    _column("KINDS", "C", *_text("CHAR", 8)),
    _column("KINDS", "V", *_text("VARCHAR2", 40)),
    _column("KINDS", "LONG_V", *_text("VARCHAR2", 4_000)),
    _column("KINDS", "NC", *_text("NCHAR", 8, "C")),
    _column("KINDS", "NV", *_text("NVARCHAR2", 40, "C")),
    _column("KINDS", "CL", "CLOB"),
    _column("KINDS", "NCL", "NCLOB"),
    _column("KINDS", "L", "LONG"),
    _column("KINDS", "R", "RAW", None, None, "16"),
    _column("KINDS", "LR", "LONG RAW"),
    _column("KINDS", "B", "BLOB"),
    _column("KINDS", "RI", "ROWID"),
    _column("KINDS", "UR", "UROWID"),
    _column("KINDS", "X", "XMLTYPE", owner="SYS"),
    _column("KINDS", "J", "JSON"),
    _column("KINDS", "OK", "BOOLEAN"),
    _column("KINDS", "G", "SDO_GEOMETRY", owner="MDSYS"),
    _column("MUTE", "F", "BFILE"),
    _column("SECRET", "ID", "NUMBER", "10", "0", null="N"),
    _column("Mixed %s:x", "no", "NUMBER", "10", "0", null="N"),
    _column("Mixed %s:x", "day", "DATE", null="N"),
    _column("Mixed %s:x", "编码", *_text("VARCHAR2", 20), null="N"),
    _column("MOMENTS", "A", "TIMESTAMP(9)", null="N"),
    _column("MOMENTS", "B", "TIMESTAMP(6) WITH LOCAL TIME ZONE", null="N"),
    _column("MOMENTS", "C", "RAW", None, None, "16", null="N"),
    _column("MOMENTS", "D", *_text("NVARCHAR2", 20, "C"), null="N"),
    _column("就诊", "就诊号", "NUMBER", "10", "0", null="N"),
    _column("就诊", "姓名", *_text("VARCHAR2", 20)),
]
KEYS = [
    ("HIS", "SECRET", "PK_S", "P", "ID"),
    ("HIS", "Mixed %s:x", "PK_M", "P", "编码"),
    ("HIS", "Mixed %s:x", "PK_M", "P", "day"),
    ("HIS", "Mixed %s:x", "PK_M", "P", "no"),
    ("HIS", "MOMENTS", "PK_O", "P", "A"),
    ("HIS", "MOMENTS", "PK_O", "P", "B"),
    ("HIS", "MOMENTS", "PK_O", "P", "C"),
    ("HIS", "MOMENTS", "PK_O", "P", "D"),
    ("HIS", "就诊", "PK_V", "P", "就诊号"),
]


COMMENTS = {"": "门诊就诊", "就诊号": "挂号时给出", "姓名": "1" + "病人" * 300}
"""Of the table 就诊 and its columns; the last one is longer than a piece of 500 bytes, whose end parts a character."""


def pieces(text: str) -> tuple[bytes | None, ...]:
    """A comment as a database in US7ASCII gives it, in which each byte is a character."""
    data = text.encode("gb18030")
    return tuple(data[at : at + 500] or None for at in range(0, 4_000, 500))


def dialect() -> Oracle:
    return Oracle("gb18030")


def fetch(sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    commented = COMMENTS if values == ("HIS", "就诊") else {}
    rows: dict[str, list[tuple[Any, ...]]] = {
        "all_tab_comments": [pieces(text) for name, text in commented.items() if not name],
        "all_col_comments": [(name.encode(), *pieces(text)) for name, text in commented.items() if name],
        "all_tab_columns": COLUMNS,
        "all_constraints": KEYS,
        "all_policies": [("HIS", "SECRET")],
        "nls_database_parameters": [("US7ASCII",)],
    }
    return next(found for view, found in rows.items() if view in sql)
