"""What `edge-agent files` shows: what each file of a folder was taken for and what became of it, from its book.

The agent need not run. It prints names and reasons, never content.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from .sources.filebook import FileBook, Known
from .sources.folder import FileState, glob_matcher

_SAID = ("encoding", "delimiter", "quote", "header")


def facts(path: Path) -> list[dict[str, Any]]:
    """One entry a file, by name; none where there is no book yet."""
    if not path.exists():
        return []
    book = FileBook(path, is_owner=False)
    try:
        known = {one.name: one for one in book.all_known()}
        chosen = {one.name: one for one in book.all_chosen()}
        refused = book.refusals()
    finally:
        book.close()
    found = []
    for name in sorted({*known, *chosen, *refused}):
        choice, one = chosen.get(name), known.get(name)
        found.append(
            {
                "file": name,
                "kind": choice.kind if choice else None,
                "auto": choice is not None,
                "said": choice.said if choice else {},
                "confidence": choice.confidence if choice else None,
                "why": choice.why if choice else None,
                "sha256": one.sha256.hex() if one else None,
                "problem": _problem(refused.get(name, {}), one),
            }
        )
    return found


def _problem(refused: dict[str, tuple[FileState, str]], known: Known | None) -> str | None:
    return next((problem for _, problem in refused.values()), known.problem if known else None)


def read_again(path: Path, glob: str) -> int:
    """How many files are decided on anew and read again at the next scan."""
    names = [one["file"] for one in facts(path) if glob_matcher(glob)(one["file"])]
    if names:
        book = FileBook(path, is_owner=False)
        try:
            book.again(names)
        finally:
            book.close()
    return len(names)


def show(console: Console, found: list[dict[str, Any]]) -> None:
    """One line a file, a second one where something is wrong with it; then how many of each."""
    for one in found:
        console.print(
            f"[bold]{escape(one['file'])}[/bold]  {_taken_for(one)}", soft_wrap=True, highlight=False
        )
        if one["problem"]:
            console.print(f"    [yellow]{escape(one['problem'])}[/yellow]", soft_wrap=True, highlight=False)
    wrong = sum(one["problem"] is not None for one in found)
    console.print(f"{len(found):,} 个文件 files，其中有问题 with a problem {wrong:,}", highlight=False)


def _taken_for(one: dict[str, Any]) -> str:
    if not one["auto"]:
        return "按规则 by its rule"
    said = ", ".join(f"{key} {one['said'][key]!r}" for key in _SAID if one["said"].get(key) is not None)
    detail = f"（{said}）" if said and one["kind"] in ("csv", "fixed", "json", "ndjson", "dbf") else ""
    sure = f"{one['confidence']:.0%}"
    return f"{one['kind']}{escape(detail)}  把握 confidence {sure}  {escape(one['why'])}"
