"""A log's changes get the keys under which they travel: those that scans and chunks give the same rows."""

from __future__ import annotations

import pyarrow as pa
import pytest

from edge_agent.capture.diff import encode
from edge_agent.capture.log.arriving import changes_of
from edge_agent.sources.columns import aside
from edge_agent.sources.log import Logged
from edge_agent.sources.source import Rows
from protocol import canonical
from protocol.canonical import Aside
from protocol.change import Op
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import Column, TableSchema

SECRET = b"s" * 32
COLUMNS = (Column("v", pa.string()), Column("id", pa.int64()))
KEYED = TableSchema(TableName("his", "public", "visit"), COLUMNS, ("id",))
KEYLESS = TableSchema(KEYED.table, COLUMNS)
ROWS = Rows(
    [pa.array(["a", None, None]), pa.array([7, 7, 8])], [None, None, [aside("v", "charset", b"\xff")]]
)
OPS = [Op.UPDATE, Op.DELETE, Op.CREATE]


def logged(schema: TableSchema, rows: Rows, ops: list[Op], moved: list[bool] | None = None) -> Logged:
    return Logged(schema, rows, ops, [0] * rows.count, list(range(rows.count)), moved)


def test_a_row_travels_under_the_key_of_any_other_way() -> None:
    """A row that moved names the key that it had."""
    found = changes_of(logged(KEYED, ROWS, OPS, [False, False, True]), SECRET, [5])
    assert found.keys == canonical.digests(encode(KEYED, ROWS, SECRET).keys)
    assert found.old_keys == [None, None, found.keys[1]]
    assert found.times is not None
    assert found.times.cast(pa.int64()).to_pylist() == [5, 5, 5]


def test_a_row_without_a_key_travels_under_the_keyed_digest_of_all_of_it() -> None:
    found = changes_of(logged(KEYLESS, ROWS, OPS), SECRET, [5])
    assert found.keys == encode(KEYLESS, ROWS, SECRET).digests
    assert len(set(found.keys)) == 3


@pytest.mark.parametrize("asides", [None, [[aside("id", "type", b"seven")]]], ids=["null", "aside"])
def test_a_key_that_is_null_or_aside_is_none(asides: list[list[Aside] | None] | None) -> None:
    rows = Rows([pa.array(["a"]), pa.array([None], pa.int64())], asides)
    with pytest.raises(Rejected, match="GC-2004"):
        changes_of(logged(KEYED, rows, [Op.CREATE]), SECRET, [5])
