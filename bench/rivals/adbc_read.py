"""ADBC: a table of PostgreSQL → Arrow record batches → nowhere; then, as text, what it makes of values that are odd.

`python adbc_read.py URL TABLE TYPE=LITERAL …`
"""

from __future__ import annotations

import sys

import adbc_driver_postgresql.dbapi as adbc  # type: ignore[import-not-found,unused-ignore]
import pyarrow as pa
from measuring import tell  # type: ignore[import-not-found,unused-ignore]

url, table, *probes = sys.argv[1:]


def kind(probe: str) -> str:
    """`text`, `bytes` (left undecoded) or the Arrow type."""
    name, _, literal = probe.partition("=")
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT '{literal}'::{name} AS v")
        array = cursor.fetch_arrow_table().column(0)
    storage = getattr(array.type, "storage_type", array.type)
    if pa.types.is_string(storage):
        return "text"
    return "bytes" if pa.types.is_binary(storage) else str(storage)


def read() -> int:
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        return sum(batch.num_rows for batch in cursor.fetch_record_batch())


tell(read, kinds={probe: kind(probe) for probe in probes})
