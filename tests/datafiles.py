"""The shared datasets as files of every kind that hospitals keep: which of them a test takes.

`GUICANG_FILES=all` takes every one of them where a test takes some.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path

from tests.servers import SHARED, require_dataset

FOLDERS = (
    "csv-spectrum", "csv-clevercsv", "dbf-dbfread", "dbf-dbasenet", "excel-calamine",
    "hl7v2-ccda-ms-fhir-converter", "dicom-pydicom", "pdf",
)  # fmt: skip
FHIR = "fhir-r4-synthea-smart"
ALL = os.environ.get("GUICANG_FILES") == "all"
SMALL_BYTES_MAX = 200_000
PER_GROUP = 3


def in_folders() -> list[Path]:
    """The files of `FOLDERS`."""
    found = (path for name in FOLDERS for path in require_dataset(SHARED / name).rglob("*"))
    return sorted(path for path in found if path.is_file())


def bundles() -> list[Path]:
    return sorted(require_dataset(SHARED / FHIR).rglob("*.json"))


def representative(rng: random.Random) -> list[Path]:
    """A few small files of each folder and suffix, with what lies beside a DBF; with `ALL` every file there is."""
    if ALL:
        return [*in_folders(), *bundles()]
    groups: dict[tuple[str, str], list[Path]] = {}
    for path in in_folders():
        if path.stat().st_size < SMALL_BYTES_MAX:
            group = (path.relative_to(SHARED).parts[0], path.suffix.lower())
            groups.setdefault(group, []).append(path)
    taken = {path for group in groups.values() for path in rng.sample(group, min(len(group), PER_GROUP))}
    taken |= set(rng.sample(bundles(), 2))
    return sorted(taken | set(_memos(taken)))


def _memos(taken: Iterable[Path]) -> Iterable[Path]:
    for path in taken:
        if path.suffix.lower() == ".dbf":
            yield from (one for one in path.parent.glob(f"{path.stem}.*") if one.is_file())
