"""The catalogue: whole in both languages, every code that the source raises is in it, facts fill its sentences."""

from __future__ import annotations

import ast
import functools
import pickle
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import CATALOGUE, Fault, Permanent, Rejected, Transient

ROOT = Path(__file__).parents[3]
PACKAGES = ("protocol", "edge_agent", "central_ingest", "demo")
CODE = re.compile(r"GC-\d{4}")
CHINESE = re.compile("[\u4e00-\u9fff]")
each_code = pytest.mark.parametrize("code", CATALOGUE)


def facts_of(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


@functools.cache
def trees() -> list[tuple[Path, ast.Module]]:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [(path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


@each_code
def test_both_languages_are_there_and_tell_the_same_facts(code: str) -> None:
    advice = CATALOGUE[code]
    assert CODE.fullmatch(code)
    for english in (advice.what, advice.todo):
        assert english.endswith((".", "!"))
        assert not CHINESE.search(english)
    for chinese in (advice.what_zh, advice.todo_zh):
        assert chinese.endswith("。")
        assert CHINESE.search(chinese)
    assert facts_of(advice.what) == facts_of(advice.what_zh)
    assert facts_of(advice.todo) == facts_of(advice.todo_zh)


@each_code
@pytest.mark.parametrize("kind", [Transient, Permanent, Rejected])
def test_every_entry_formats_and_survives_a_process_border(code: str, kind: type[Fault]) -> None:
    advice = CATALOGUE[code]
    facts: dict[str, str | int] = {
        name: f"<{name}>" for name in facts_of(advice.what) | facts_of(advice.todo)
    }
    fault = kind(code, **facts)
    for text in (fault.what, fault.todo, fault.what_zh, fault.todo_zh):
        assert "{" not in text
    for name in facts:
        assert f"<{name}>" in fault.what + fault.todo
    assert str(fault) == f"{code} {fault.what}"
    again = pickle.loads(pickle.dumps(fault))
    assert (type(again), again.code, again.facts) == (kind, code, facts)


def test_codes_are_in_order() -> None:
    assert list(CATALOGUE) == sorted(CATALOGUE)


def test_every_code_in_the_source_is_in_the_catalogue() -> None:
    unknown = {
        (str(path), code)
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for code in CODE.findall(node.value)
        if code not in CATALOGUE
    }
    assert not unknown


def raised() -> Iterator[tuple[str, str, set[str], bool]]:
    """(where, code, facts, open) of every Transient/Permanent/Rejected call with a literal code."""
    names = {"Transient", "Permanent", "Rejected"}
    for path, tree in trees():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str() as code), *_]) if (
                    name in names
                ):
                    words = {k.arg for k in node.keywords if k.arg}
                    open_ended = any(k.arg is None for k in node.keywords)
                    yield f"{path}:{node.lineno}", code, words, open_ended


def test_every_fault_is_raised_with_the_facts_of_its_sentences() -> None:
    wrong = [
        (where, code, sorted(needed - words))
        for where, code, words, open_ended in raised()
        if (needed := facts_of(CATALOGUE[code].what) | facts_of(CATALOGUE[code].todo)) - words
        and not open_ended
    ]
    assert not wrong
