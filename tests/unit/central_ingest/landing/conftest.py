"""An empty lake on disk, whose directory is not there yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from central_ingest.landing.delta import DeltaLake


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "new" / "lake"


@pytest.fixture
def lake(root: Path) -> DeltaLake:
    return DeltaLake(root)
