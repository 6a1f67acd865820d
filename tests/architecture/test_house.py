"""The house rules that no linter knows: names of files, sizes, and nobody else's package in our place."""

from __future__ import annotations

import ast
import importlib.metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("protocol", "edge_agent", "central_ingest")
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
NO_NAMES = {"utils", "util", "common", "helpers", "helper", "types", "manager", "base", "misc"}
LINES_MAX = 450
FUNCTION_LINES_MAX = 60
EDGE_ONLY = {"fcntl", "pwd"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is_and_has_a_name(path: Path) -> None:
    assert path.stem not in NO_NAMES
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LINES_MAX
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module opens with what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.is_relative_to(ROOT / "edge_agent")], ids=lambda p: p.name
)
def test_nothing_keeps_the_agent_from_windows(path: Path) -> None:
    """fcntl, pwd, fork and signal handlers only in platform.py."""
    if path.name == "platform.py":
        return
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        names = (
            {a.name for a in node.names}
            if isinstance(node, ast.Import)
            else {node.module}
            if isinstance(node, ast.ImportFrom)
            else set()
        )
        assert not names & EDGE_ONLY
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"fork", "add_signal_handler", "AF_UNIX"}


def test_no_dependency_owns_a_name_of_ours() -> None:
    owners = importlib.metadata.packages_distributions()
    for package in PACKAGES:
        assert set(owners.get(package, ["guicang"])) <= {"guicang"}
