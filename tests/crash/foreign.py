"""Two readers of Delta tables that share no code with ours: Polars (through delta-rs) and delta-kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import polars
import pyarrow as pa
from delta_kernel_rust_sharing_wrapper import PythonInterface, ScanBuilder
from delta_kernel_rust_sharing_wrapper import Table as KernelTable


def by_polars(table: Path) -> pa.Table:
    return polars.read_delta(str(table)).to_arrow()


def by_kernel(table: Path) -> pa.Table:
    url = table.resolve().as_uri()
    interface = PythonInterface(url)
    return ScanBuilder(KernelTable(url).snapshot(interface)).build().execute(interface).read_all()


READERS: Mapping[str, Callable[[Path], pa.Table]] = {"polars": by_polars, "delta-kernel": by_kernel}
