"""What stands in a table of a database, read and spelt by the comparison (`tests.comparing`), by nothing of ours."""

from __future__ import annotations

from contextlib import closing

from protocol.schema import TableSchema
from tests.comparing.source import open_source


def held(url: str, schema: TableSchema) -> list[tuple[bytes, ...]]:
    """Of every row its canonical cells, in no order. The wire types are those of the schema, and so are the columns."""
    wires = {column.name: column.wire for column in schema.columns}
    name = schema.table
    with closing(open_source(url)) as source:
        batches = list(source.rows((name.database, name.schema, name.name), wires))
    return [row for batch in batches for row in zip(*batch, strict=True)]
