"""The fault tables of docs/testing.md against the tests: what a row names is run, and what shows a fault has a row.

Names are checked by collecting them as pytest does, in a process of its own; marks and first statements by reading
the file, so that a row never stands on a test that skips or excuses itself whatever happens.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"
THREATS = ROOT / "docs" / "threat-model.md"
TITLE = "| fault | promise | test | outcome |"
COMPLETE_AT_LEAST = {"tests/hostile", "tests/simulation/test_machines.py"}
EXCUSES = {"skip", "xfail"}

_TEST = re.compile(r"`(tests/[\w/.]+\.py)::(test_\w+)`")
Name = tuple[str, str]
"""File and function of a test."""


@dataclass(frozen=True)
class Row:
    fault: str
    promises: tuple[str, ...]
    tests: tuple[Name, ...]
    outcome: str


def section() -> list[str]:
    """The lines of the section "Faults"."""
    text = PAGE.read_text("utf-8")
    _, _, rest = text.partition("\n## Faults\n")
    return rest.partition("\n## ")[0].splitlines()


def rows() -> list[Row]:
    """Every row of the section's tables."""
    found = []
    for line in section():
        if not line.startswith("|") or line == TITLE or set(line) <= set("|-"):
            continue
        fault, promises, tests, outcome = (cell.strip() for cell in line.strip("|").split(" | "))
        found.append(Row(fault, tuple(promises.split(", ")), named(tests), outcome))
    return found


def named(cell: str) -> tuple[Name, ...]:
    """The tests of a cell, which holds nothing else."""
    assert not _TEST.sub("", cell).strip(), cell
    return tuple((file, name) for file, name in _TEST.findall(cell))


def complete() -> set[str]:
    """Files and folders each of whose tests must have a row."""
    (line,) = (line for line in section() if line.startswith("Complete: "))
    return set(re.findall(r"`(tests/[\w/.]+)`", line))


def files_of(place: str) -> list[str]:
    path = ROOT / place
    found = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    return [one.relative_to(ROOT).as_posix() for one in found]


@cache
def collected() -> frozenset[Name]:
    """What pytest collects of the files that rows or the list of complete files name."""
    files = {file for row in rows() for file, _ in row.tests}
    files |= {file for place in complete() for file in files_of(place)}
    files |= {file for file, _ in _TEST.findall(THREATS.read_text("utf-8"))}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=-p no:cacheprovider"]
    done = subprocess.run(
        [*command, *sorted(files)], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    lines = (line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line)
    return frozenset((file, name.rpartition("::")[2]) for file, _, name in (s.partition("::") for s in lines))


def excuse(file: str, name: str) -> str | None:
    """The word by which a test excuses itself whatever happens: a mark of it or of its module, or a first statement."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    functions = [
        n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == name
    ]
    marks = [
        n.value for n in tree.body if isinstance(n, ast.Assign) and "pytestmark" in ast.unparse(n.targets[0])
    ]
    doubtful = [*marks, *(d for f in functions for d in f.decorator_list)]
    doubtful += [n.value for f in functions for n in f.body if isinstance(n, ast.Expr)]
    for node in doubtful:
        for one in ast.walk(node):
            if isinstance(one, ast.Attribute) and one.attr in EXCUSES and "pytest" in ast.unparse(one.value):
                return one.attr
    return None


ROWS = rows()


def test_the_tables_are_there() -> None:
    assert sum(line == TITLE for line in section()) >= 6
    assert len(ROWS) >= 100


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault)
def test_each_row_names_promises_and_tests_that_are_run(row: Row) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    known = set(re.findall(r"^\| (\d) \|", text, re.MULTILINE))
    assert row.fault
    assert row.outcome
    assert row.promises
    assert set(row.promises) <= known
    assert row.tests, "a row names a test"
    for file, name in row.tests:
        assert (file, name) in collected(), f"{file}::{name} is not collected"
        assert excuse(file, name) is None, f"{file}::{name} excuses itself"


def test_no_fault_stands_twice() -> None:
    faults = [row.fault for row in ROWS]
    assert len(set(faults)) == len(faults)


def test_no_test_of_a_complete_file_lacks_a_row() -> None:
    assert complete() >= COMPLETE_AT_LEAST
    shown = {test for row in ROWS for test in row.tests}
    files = {file for place in complete() for file in files_of(place)}
    assert {one for one in collected() if one[0] in files} <= shown


def test_what_the_threat_model_names_is_run() -> None:
    tests = set(_TEST.findall(THREATS.read_text("utf-8")))
    assert len(tests) >= 20
    assert tests <= collected()
    assert not [name for name in tests if excuse(*name)]


def test_an_excuse_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that cannot fail is a defect."""
    monkeypatch.setattr("tests.architecture.test_faults.ROOT", tmp_path)
    text = (
        "import pytest\n"
        "@pytest.mark.skip\ndef test_a(): pass\n"
        "@pytest.mark.xfail(reason='later')\nasync def test_b(): pass\n"
        "def test_c():\n    pytest.skip('never')\n"
        "@pytest.mark.skipif(True, reason='x')\ndef test_d(): pass\n"
        "def test_e():\n    if 0: pytest.skip('sometimes')\n"
    )
    (tmp_path / "t.py").write_text(text, "utf-8")
    said = {name: excuse("t.py", name) for name in ("test_a", "test_b", "test_c", "test_d", "test_e")}
    assert said == {"test_a": "skip", "test_b": "xfail", "test_c": "skip", "test_d": None, "test_e": None}
    (tmp_path / "t.py").write_text("import pytest\npytestmark = [pytest.mark.skip]\ndef test_a(): pass\n")
    assert excuse("t.py", "test_a") == "skip"
