"""A centre for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from .centre import Centre


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)
