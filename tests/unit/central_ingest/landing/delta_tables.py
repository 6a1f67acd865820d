"""Rows for the tests of the lake on disk, and where its files lie."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa

from central_ingest.landing.commits import entry_name
from central_ingest.landing.delta import DeltaLake

APP = "h1/his/1"
PATH = "changes/h1/his/visits-0a1b2c3d"
DAY = dt.date(2026, 11, 1)


def rows(*ids: int, day: dt.date = DAY, **more: pa.Array) -> pa.Table:
    dates = pa.array([day] * len(ids), pa.date32())
    return pa.table({"id": pa.array(ids, pa.int64()), **more, "_gc_date": dates})


def ids(lake: DeltaLake) -> list[int]:
    return sorted(lake.read(PATH, ["id"])["id"].to_pylist())


def log(root: Path, version: int) -> Path:
    return root / PATH / "_delta_log" / entry_name(version)


def data_file(root: Path, version: int) -> Path:
    lines = log(root, version).read_text().splitlines()
    added = [json.loads(line)["add"]["path"] for line in lines if '"add"' in line]
    return root / PATH / str(added[0])
