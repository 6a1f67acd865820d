"""dlt, as its documentation loads a SQL table: one table → Parquet files below a folder.

`python dlt_parquet.py URL TABLE BACKEND FOLDER ROWS`; ROWS bounds what is read (0: all).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

url, name, backend, folder, rows = sys.argv[1:6]
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"

import dlt  # type: ignore[import-not-found,unused-ignore]  # noqa: E402
from dlt.sources.sql_database import sql_table  # type: ignore[import-not-found,unused-ignore]  # noqa: E402


def bounded(query: Any, _table: Any) -> Any:
    return query.limit(int(rows)) if int(rows) else query


table = sql_table(
    credentials=url, table=name, backend=backend, chunk_size=10_000, query_adapter_callback=bounded
)
pipeline = dlt.pipeline(
    pipeline_name="visits",
    pipelines_dir=str(Path(folder) / "state"),
    destination=dlt.destinations.filesystem(bucket_url=Path(folder).as_uri()),
    dataset_name="loaded",
)
print(pipeline.run(table, loader_file_format="parquet"))
print(pipeline.last_trace.last_normalize_info)
