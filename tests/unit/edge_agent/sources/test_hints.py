"""Hints: they come for changes, not for reading, and their absence harms nothing."""

from __future__ import annotations

import threading
from pathlib import Path

from edge_agent.sources.hints import FolderHints


def test_a_dropped_file_gives_a_hint(tmp_path: Path) -> None:
    hinted = threading.Event()
    hints = FolderHints(tmp_path, hinted.set)
    try:
        (tmp_path / "a.csv").write_text("id\n1\n")
        assert hinted.wait(5)
    finally:
        hints.close()


def test_reading_gives_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    count = 0
    seen = threading.Event()

    def hint() -> None:
        nonlocal count
        count += 1
        seen.set()

    hints = FolderHints(tmp_path, hint)
    try:
        for _ in range(20):
            (tmp_path / "a.csv").read_text()
        (tmp_path / "b.csv").write_text("id\n")
        assert seen.wait(5)
        hints.close()
        assert 1 <= count < 20
    finally:
        hints.close()


def test_a_folder_that_is_not_there_only_costs_promptness(tmp_path: Path) -> None:
    hints = FolderHints(tmp_path / "absent", lambda: None)
    hints.close()
