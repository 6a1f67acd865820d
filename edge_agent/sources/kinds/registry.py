"""All kinds of files by the name that a rule gives them. Each is loaded when it is first met: libraries are large."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from edge_agent.sources.kinds.kind import RecordKind, TabularKind

_TABULAR = {
    "csv": ("csvfile", "CsvKind"),
    "fixed": ("fixed", "FixedKind"),
    "dbf": ("dbf", "DbfKind"),
    "excel": ("excel", "ExcelKind"),
    "parquet": ("parquet", "ParquetKind"),
    "json": ("jsonfile", "JsonKind"),
    "ndjson": ("jsonfile", "NdjsonKind"),
}
_RECORDS = {
    "hl7": ("hl7", "Hl7Kind"),
    "cda": ("cda", "CdaKind"),
    "fhir": ("fhir", "FhirKind"),
    "dicom": ("dicom", "DicomKind"),
    "file": ("opaque", "OpaqueKind"),
}
FILE = "file"
"""The kind of whatever lands as bytes alone."""


def is_tabular(name: str) -> bool:
    """Its files are tables; else rows of a table that all of its kind share."""
    return name in _TABULAR


def is_parted(name: str) -> bool:
    """Whether one file may be several tables."""
    return name == "excel"


@cache
def tabular(name: str) -> TabularKind:
    return cast(TabularKind, _loaded(*_TABULAR[name]))


@cache
def records(name: str) -> RecordKind:
    return cast(RecordKind, _loaded(*_RECORDS[name]))


def table_name(kind: str) -> str:
    """Of the table that all files of a record kind share, where their rule gives it none."""
    return "files" if kind == FILE else kind


def _loaded(module: str, name: str) -> object:
    return getattr(import_module(f"edge_agent.sources.kinds.{module}"), name)()
