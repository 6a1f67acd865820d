"""Requests of a person at the command line: each taken once, oldest first; what is none is swept."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edge_agent.control import ACTIONS, Request, leave, take


def test_requests_are_taken_once_and_oldest_first(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "requests"
    made = [Request(action, "his", table) for action in ACTIONS for table in ("门诊.visit", None)]
    for i, request in enumerate(made):
        before = set(directory.glob("*"))
        leave(directory, request)
        (path,) = set(directory.glob("*")) - before
        os.utime(path, ns=(i, i))
    assert list(take(directory)) == made
    assert list(take(directory)) == []
    assert list(directory.iterdir()) == []


def test_the_directory_is_made_by_whoever_comes_first(tmp_path: Path) -> None:
    assert list(take(tmp_path / "requests")) == []
    assert (tmp_path / "requests").is_dir()


GOOD = {"action": "snapshot", "source": "his", "table": None}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "7",
        json.dumps(GOOD | {"action": "format-disk"}),
        json.dumps(GOOD | {"action": ["snapshot"]}),
        json.dumps(GOOD | {"source": 7}),
        json.dumps(GOOD | {"table": 7}),
        json.dumps({"action": "snapshot"}),
        "[" * 100_000,
    ],
)
def test_what_is_no_request_is_removed_and_not_done(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    leave(tmp_path, Request("confirm", "his", "t"))
    assert list(take(tmp_path)) == [Request("confirm", "his", "t")]
    assert list(tmp_path.iterdir()) == []


def test_a_request_lies_there_until_the_next_is_asked_for(tmp_path: Path) -> None:
    """By then the agent has written it down: killed before, it finds it again."""
    leave(tmp_path, Request("pause", "his", None))
    waiting = take(tmp_path)
    assert next(waiting) == Request("pause", "his", None)
    assert len(list(tmp_path.iterdir())) == 1
    assert list(waiting) == []
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_removed_hinders_no_other(tmp_path: Path) -> None:
    (tmp_path / "stuck.json").mkdir()
    leave(tmp_path, Request("confirm", "his", "t"))
    assert list(take(tmp_path)) == [Request("confirm", "his", "t")]


def test_what_is_being_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".a.json.new").write_text(json.dumps(GOOD))
    assert list(take(tmp_path)) == []
    assert (tmp_path / ".a.json.new").exists()
