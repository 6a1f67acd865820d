"""Readers of the lake that are not ours: Polars, through delta-rs, and the delta kernel, which stands on neither."""

from __future__ import annotations

from pathlib import Path

import delta_kernel_rust_sharing_wrapper as kernel
import polars
import pyarrow as pa
from deltalake import DeltaTable


def by_deltalake(table: Path) -> pa.Table:
    return pa.table(DeltaTable(table).to_pyarrow_table())


def by_polars(table: Path) -> pa.Table:
    return polars.read_delta(str(table)).to_arrow()


def by_kernel(table: Path) -> pa.Table:
    interface = kernel.PythonInterface(table.as_uri())
    snapshot = kernel.Table(table.as_uri()).snapshot(interface)
    return pa.table(kernel.ScanBuilder(snapshot).build().execute(interface).read_all())


READERS = (by_deltalake, by_polars, by_kernel)


def keys(table: Path, *names: str) -> list[list[tuple[object, ...]]]:
    """What each reader finds in these columns, sorted as text: all must be one."""
    found = []
    for reader in READERS:
        rows = reader(table).select(list(names)).to_pylist()
        found.append(sorted((tuple(row[name] for name in names) for row in rows), key=repr))
    return found
