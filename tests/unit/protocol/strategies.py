"""Hypothesis strategies for wire types, their values, schemas and batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from protocol.names import TableName
from protocol.schema import Column, TableSchema

TEXT = st.text(max_size=8)
NAMES = st.text(min_size=1, max_size=8)


def _integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


SCALARS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int8(): _integers(8),
    pa.int16(): _integers(16),
    pa.int32(): _integers(32),
    pa.int64(): _integers(64),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.decimal128(38, 10): st.decimals(-(10**27), 10**27, places=10),
    pa.decimal128(5, 0): st.decimals(-99999, 99999, places=0),
    pa.string(): TEXT,
    pa.binary(): st.binary(max_size=8),
    pa.date32(): st.dates(),
    pa.timestamp("us"): _integers(64),
    pa.timestamp("us", tz="UTC"): _integers(64),
}


def wires(depth: int = 2) -> st.SearchStrategy[pa.DataType]:
    scalars = st.sampled_from(list(SCALARS))
    if not depth:
        return scalars
    inner = wires(depth - 1)
    structs = st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=lambda f: f[0])
    return st.one_of(
        scalars, inner.map(pa.list_), structs.map(lambda f: pa.struct([pa.field(*x) for x in f]))
    )


def values(wire: pa.DataType) -> st.SearchStrategy[Any]:
    """What `pa.array` takes for `wire`, nulls among it."""
    if pa.types.is_list(wire):
        some: st.SearchStrategy[Any] = st.lists(values(wire.value_type), max_size=3)
    elif pa.types.is_struct(wire):
        some = st.fixed_dictionaries({f.name: values(f.type) for f in wire})
    else:
        some = SCALARS[wire]
    return st.none() | some


@st.composite
def schemas(draw: st.DrawFn) -> TableSchema:
    part = st.none() | NAMES
    table = TableName(draw(part), draw(part), draw(NAMES))
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    meta = st.dictionaries(TEXT, TEXT, max_size=2)
    columns = tuple(Column(n, draw(wires()), draw(TEXT), draw(meta)) for n in names)
    key = draw(st.lists(st.sampled_from(names), unique=True))
    return TableSchema(table, columns, tuple(key), draw(meta))


@dataclass(frozen=True)
class Rows:
    schema: TableSchema
    arrays: list[pa.Array]
    count: int


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """A schema with columns of equal length; some sliced (an offset in Arrow), some text dictionary-encoded."""
    schema = draw(schemas())
    count, skipped = draw(st.integers(1, 4)), draw(st.integers(0, 3))
    arrays = []
    for column in schema.columns:
        cells = draw(st.lists(values(column.wire), min_size=count + skipped, max_size=count + skipped))
        array = pa.array(cells, column.wire)
        if pa.types.is_string(column.wire) and draw(st.booleans()):
            array = array.dictionary_encode()
        arrays.append(array.slice(skipped))
    return Rows(schema, arrays, count)
