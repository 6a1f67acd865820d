"""Hints: they come for changes, not for reading, and their absence harms nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

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


class Hinted:
    """Hints as they come."""

    def __init__(self) -> None:
        self.count = 0
        self._came = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self._came.set()

    def wait(self, until: Callable[[], bool] = lambda: True) -> bool:
        """For one more, and until that is so."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self._came.wait(0.05) and until():
                self._came.clear()
                return True
        return False


def test_of_a_storm_few_hints_come_and_the_watcher_is_taken_down(tmp_path: Path) -> None:
    hinted = Hinted()
    hints = FolderHints(tmp_path, hinted, look_seconds=0.1)
    first = hints.watcher
    try:
        files = 0
        while hints.watcher is first and files < 200_000:
            (tmp_path / str(files % 500)).write_text("1")
            files += 1
        assert hints.watcher is not first
        assert hinted.count * 100 < files
        assert hinted.wait(lambda: hints.watcher is not None), "what happened meanwhile may be seen"
        before = hinted.count
        (tmp_path / "calm.csv").write_text("1")
        assert hinted.wait(lambda: hinted.count > before)
    finally:
        hints.close()


def test_a_folder_that_is_made_anew_is_watched_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    share = tmp_path / "share"
    share.mkdir()
    hinted = Hinted()
    with caplog.at_level(logging.INFO, "edge.hints"):
        hints = FolderHints(share, hinted, look_seconds=0.05)
        first = hints.watcher
        try:
            share.rename(tmp_path / "away")
            assert hinted.wait(lambda: hints.watcher is None)
            for _ in range(3):
                time.sleep(0.1)  # tried again meanwhile
            share.mkdir()
            assert hinted.wait(lambda: hints.watcher not in (None, first))
            before = hinted.count
            (share / "a.csv").write_text("1")
            assert hinted.wait(lambda: hinted.count > before)
        finally:
            hints.close()
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_on_a_network_nothing_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("22 1 8:1 / / rw - cifs //his/export rw\n")
    monkeypatch.setattr("edge_agent.sources.mounts._MOUNTINFO", mounts)
    hints = FolderHints(tmp_path, lambda: None)
    assert hints.watcher is None
    hints.close()


def test_nothing_is_left_running(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    hints = FolderHints(tmp_path, lambda: None)
    assert set(threading.enumerate()) > before
    hints.close()
    assert set(threading.enumerate()) == before
