"""The target `folder`: damaged files beside sound ones of every kind, through the whole source of files.

Asserted of each state of the folder: nothing but refusals comes out; every sound file (a scene has some, by its hash)
gives what it gives alone; a damaged one is a table, rows of its kind, or among the files with a reason, and in the
latter two its bytes are to be had under their hash; nothing that is said of it holds content.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from edge_agent.sources.filerule import AUTO, FileRule
from edge_agent.sources.kinds import registry

from .damage import MARK
from .reading import FolderReading, Landed, Seen
from .scenes import FOLDER, Scene, State
from .specimens import FIXED_WIDTHS, NEIGHBOURS, sound

CODES = frozenset({"GC-2002", "GC-2004", "GC-2005", "GC-2008", "GC-2010", "GC-2011", "GC-2014"})
"""What may be said of a table."""
_RULES = (
    FileRule(glob="*.fixed", kind="fixed", widths=FIXED_WIDTHS),
    FileRule(glob="**", kind="auto", encoding="auto"),
)
NEIGHBOURS_OF_ONE = 4
_WRITTEN_AT = 1_700_000_000
_MEMORY = Path("/dev/shm")
_MARKS = (MARK, MARK[:12], repr(MARK.encode("utf-16-le"))[2:-1])


class Wrong(AssertionError):
    """What the product must not do with the files of a folder."""


def folder(data: bytes) -> str:
    """How the damaged files ended, in short. Any bytes are a scene (`scenes`)."""
    scene = Scene.of(data)
    place = tempfile.mkdtemp(prefix="guicang-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None)
    try:
        return " ".join(_live_through(scene, Path(place)))
    finally:
        shutil.rmtree(place)


def _live_through(scene: Scene, place: Path) -> list[str]:
    share = place / "share"
    chance = random.Random(scene.to_bytes())
    beside = tuple(chance.sample(NEIGHBOURS, NEIGHBOURS_OF_ONE))
    _put_sound(share, beside)
    rule = scene.file_rule()
    reading = FolderReading(share, place / "book.sqlite", (rule, *_RULES))
    ends = []
    try:
        before: State = {}
        for number, state in enumerate(scene.states):
            _put(share / FOLDER, before, state)
            if number % 2 and number == len(scene.states) - 1:
                reading.again()
            first, second = reading.read(), reading.read()
            for seen in (first, second):
                _check_said(seen)
                _check_sound(seen, beside)
            ends.append(" ".join(sorted(_end(reading, rule, *one, second) for one in state.items())))
            before = state
    finally:
        reading.close()
    return ends


def _put_sound(share: Path, kinds: Sequence[str]) -> None:
    share.mkdir()
    for kind in kinds:
        for name, data in sound()[kind].items():
            (share / name).write_bytes(data)
            os.utime(share / name, (_WRITTEN_AT, _WRITTEN_AT))


def _put(folder: Path, before: State, state: State) -> None:
    """As programs do: what only grew is appended to, all else is replaced."""
    folder.mkdir(exist_ok=True)
    for name in before.keys() - state.keys():
        (folder / name).unlink()
    for name, data in state.items():
        known = before.get(name)
        if known == data:
            continue
        if known is not None and data.startswith(known):
            with (folder / name).open("ab") as file:
                file.write(data[len(known) :])
            continue
        new = folder.parent.parent / "new"
        new.write_bytes(data)
        new.replace(folder / name)


Given = dict[tuple[str, str], object]
"""Rows by table and file."""


@cache
def _alone(kind: str) -> Given:
    """What its sound file gives where no other is."""
    place = Path(tempfile.mkdtemp(prefix="guicang-fuzz-"))
    try:
        _put_sound(place / "share", (kind,))
        reading = FolderReading(place / "share", place / "book.sqlite", _RULES)
        seen = reading.read()
        reading.close()
    finally:
        shutil.rmtree(place)
    if seen.faults or not (given := _of_sound(seen)):
        raise Wrong(f"of a sound {kind} {seen.faults}")
    return given


def _of_sound(seen: Seen) -> Given:
    given: Given = {(name, ""): rows for name, rows in seen.tables.items() if not _is_damaged(name)}
    for table, paths in seen.records.items():
        given |= {
            (table, path): [one.line for one in rows] for path, rows in paths.items() if not _is_damaged(path)
        }
    return given


def _is_damaged(name: str) -> bool:
    """Or a set that its rule makes of damaged files."""
    return name == "t" or name.startswith((f"{FOLDER}/", "t#"))


def _check_sound(seen: Seen, beside: Sequence[str]) -> None:
    alone: Given = {}
    for kind in beside:
        alone |= _alone(kind)
    if _of_sound(seen) != alone:
        raise Wrong("a sound file gives other rows than alone")


def _check_said(seen: Seen) -> None:
    for table, fault in seen.faults.items():
        if fault.code not in CODES:
            raise Wrong(f"{fault.code} of a table") from fault
        if not _is_damaged(table):
            raise Wrong(f"{fault.code} of what is sound or shared") from fault
    for text in seen.said:
        if any(mark in text for mark in _MARKS):
            raise Wrong(f"content is said: {text}")
        if text.startswith("warning:"):
            raise Wrong(text)


def _end(reading: FolderReading, rule: FileRule, name: str, data: bytes, seen: Seen) -> str:
    """Its kind and how it ended."""
    path = f"{FOLDER}/{name}"
    kind = (reading.kind(path) or registry.FILE) if rule.kind == AUTO else rule.kind
    own = [table for table in seen.tables if table == path or table.startswith(f"{path}#")]
    failed = [table for table in own if table in seen.faults]
    landed = [(table, paths[path]) for table, paths in seen.records.items() if path in paths]
    for _, rows in landed:
        _check_bytes(reading, data, rows)
    refused = any(table == "files" and rows[0].problem for table, rows in landed)
    if landed and all(table != "files" for table, _ in landed):
        return f"{kind}:records" + ("!" if any(one.problem for _, rows in landed for one in rows) else "")
    if own and not failed:
        if refused:
            raise Wrong("a table that can be read is refused")
        return f"{kind}:table"
    if refused or (landed and not registry.is_tabular(kind)):
        return f"{kind}:refused" if refused else f"{kind}:file"
    if rule.table is not None and registry.is_tabular(rule.kind):
        return f"{kind}:set"  # it waits for those that are refused, or for its like
    codes = {table: seen.faults[table].code for table in failed}
    if rule.append_only and set(codes.values()) == {"GC-2014"}:
        return f"{kind}:growing"
    if rule.key and set(codes.values()) <= {"GC-2004", "GC-2005"}:
        return f"{kind}:unkeyed"  # a table, whose key is none: capture waits for another rule
    raise Wrong(f"nothing of {path} landed: {kind}, tables {own}, {codes}, {[t for t, _ in landed]}")


def _check_bytes(reading: FolderReading, data: bytes, rows: list[Landed]) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    if any((one.sha256, one.size) != (sha256, len(data)) for one in rows):
        raise Wrong("a row names other bytes than the file's")
    if data and reading.object(sha256, len(data)) != data:
        raise Wrong("other bytes under the hash")
