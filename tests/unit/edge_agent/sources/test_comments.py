"""Comments of a source: bounded, and no part of what its rows depend on."""

from __future__ import annotations

import pyarrow as pa

from edge_agent.sources.comments import BYTES_MAX, CHARS_MAX, CUT, Comments, commented
from protocol.names import TableName
from protocol.schema import Column, TableSchema

COLUMNS = tuple(Column(f"c{i}", pa.int64(), "bigint", {"charset": "gbk"}) for i in range(300))
SCHEMA = TableSchema(TableName(None, None, "visit"), COLUMNS, ("c0",), {"dialect": "mysql"})


def test_comments_are_told_and_change_no_shape() -> None:
    one = commented(SCHEMA, Comments.of("就诊", {"c0": "编号", "c1": "", "c2": None, "gone": "x"}))
    assert (one.meta["comment"], one.columns[0].meta["comment"]) == ("就诊", "编号")
    assert one.columns[1:] == SCHEMA.columns[1:]
    assert one.fingerprint != SCHEMA.fingerprint
    assert one.shape == SCHEMA.shape == SCHEMA.fingerprint
    assert commented(SCHEMA, Comments()) == SCHEMA
    other = TableSchema(SCHEMA.table, COLUMNS, ("c0",), {"dialect": "mysql", "timezone": "UTC"})
    assert other.shape != SCHEMA.shape


def test_long_ones_and_too_many_end_in_an_ellipsis_and_the_schema_travels() -> None:
    texts = {c.name: "长" * (CHARS_MAX + 1) for c in COLUMNS}
    one = commented(SCHEMA, Comments.of("", texts))
    told = [c.meta["comment"] for c in one.columns]
    assert told[0] == "长" * CHARS_MAX + CUT
    assert set(told[1:]) == {told[0], CUT}
    assert told[-1] == CUT
    assert sum(len(text.encode()) for text in told) < BYTES_MAX + 300 * len(CUT.encode())
    assert TableSchema.from_bytes(one.content) == one


def test_what_is_no_text_is_told_as_well_as_it_can() -> None:
    odd = b"\xd6\xd0".decode("utf-8", "surrogateescape")
    one = commented(SCHEMA, Comments.of(odd, {}))
    assert TableSchema.from_bytes(one.content).meta["comment"] == "\ufffd\ufffd"
