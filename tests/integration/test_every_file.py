"""One folder with files of every kind, captured with `auto`: bytes land under their hash, tables as they are.

The shared datasets are the files: each is a table that can be read, or lands byte for byte; what is broken says why.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_agent import filing
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.registry import open_source
from edge_agent.sources.settings import FilesSettings
from protocol.canonical import decode, encode_rows
from protocol.names import TableName
from tests import datafiles
from tests.integration.capturing import Capturing
from tests.servers import SHARED
from tests.unit.edge_agent.capture.replay import split

SHARED_TABLES = ("hl7", "cda", "fhir", "dicom", "files")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("every") / "share"
    for path in [*datafiles.in_folders(), *datafiles.bundles()]:
        target = root / path.relative_to(SHARED)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return root


RULES = (FileRule(glob="**", kind="auto", encoding="auto"),)


class Everything:
    """A source of kind `files` over a tree, all of kind `auto`, and what a centre has of it."""

    def __init__(self, directory: Path, tree: Path, former: Everything | None = None) -> None:
        self.directory = directory
        self.tree = tree
        self.book = directory / "files.sqlite"
        settings = FilesSettings(
            folder=str(tree),
            include=("*",),
            rules=RULES,
            stable_seconds=0,
            duty_share_max=1.0,
            deletion_rows_min=100_000,
        )
        self.capturing: Capturing = Capturing(
            directory,
            {"files": settings},
            former=former.capturing if former else None,
            opening=lambda slug, s: open_source(slug, s, None, os.environ, self.book),
        )

    async def again(self) -> Everything:
        """Another process in its place."""
        await self.capturing.close()
        return Everything(self.directory, self.tree, self)

    async def complete(self) -> dict[str, str]:
        """Passes until nothing more comes; the faults by table that stand then."""
        before = -1
        while (sent := len(self.capturing.events("files"))) != before:
            before = sent
            for _ in range(2):
                said = await self.capturing.once("files")
        return said

    def records(self) -> dict[str, list[Row]]:
        """The rows of every file in a shared table, by path."""
        found: dict[str, list[Row]] = {}
        for name, standing in self.capturing.cells("files").items():
            if name.name in SHARED_TABLES:
                for cells in map(split, standing.elements()):
                    number, sha256, problem = (_value(cells[i]) for i in (1, 4, 5))
                    row = Row(name.name, number, sha256, problem, cells[6])
                    found.setdefault(_value(cells[0]), []).append(row)
        return found

    def tables(self) -> dict[str, Counter[bytes]]:
        """Canonical rows of every table that is a file's own."""
        return {
            name.name: rows
            for name, rows in self.capturing.cells("files").items()
            if name.name not in SHARED_TABLES
        }

    def objects(self) -> dict[str, bytes]:
        return self.capturing.seen("files").reader.objects

    def kinds(self) -> dict[str, str]:
        return {one["file"]: one["kind"] for one in filing.facts(self.book)}

    def check(self) -> Counter[tuple[str, str]]:
        """The lake is the tree: each file's bytes under their hash, or its table as the source reads it now. Counts by
        kind and outcome."""
        records, tables, kinds = self.records(), self.tables(), self.kinds()
        objects, outcomes = self.objects(), Counter[tuple[str, str]]()
        here = {_named(path, self.tree): path for path in self.tree.rglob("*") if path.is_file()}
        assert set(records) <= set(here), "what is gone is gone"
        for name, path in here.items():
            content = path.read_bytes()
            for row in records.get(name, []):
                assert row.sha256 == hashlib.sha256(content).hexdigest(), name
                assert objects.get(row.sha256, b"") == content, name
            parts = [table for table in tables if table == name or table.startswith(f"{name}#")]
            problem = any(row.problem for row in records.get(name, []))
            assert bool(parts) or name in records, name
            assert not parts or name not in records or problem, (
                "a table is bytes as well where it cannot be read"
            )
            outcome = "table" if name not in records else "with a problem" if problem else "record"
            outcomes[kinds[name], outcome] += 1
        return outcomes


@dataclass(frozen=True)
class Row:
    table: str
    number: int
    sha256: str
    problem: str | None
    content: bytes
    """Its cell."""


def _value(cell: bytes) -> Any:
    return decode(cell)[0]


def _named(path: Path, tree: Path) -> str:
    return path.relative_to(tree).as_posix()


async def test_every_file_lands_as_a_table_or_byte_for_byte(tree: Path, tmp_path: Path) -> None:
    made = Everything(tmp_path, tree)
    said = await made.complete()
    outcomes = made.check()
    for name, table in made.tables().items():
        if name not in said:
            assert table == standing_at(made, name), name
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:10} {outcome:15} {count:5}")
    refused = {name for name, rows in made.records().items() if any(row.problem for row in rows)}
    assert {table.partition("#")[0] for table in said} <= refused, (
        "what is no table lands as bytes, with the reason"
    )
    await made.capturing.close()


def small_files(tree: Path) -> list[Path]:
    return [one for one in sorted(tree.rglob("*")) if one.is_file() and one.stat().st_size < 200_000]


def standing_at(made: Everything, name: str) -> Counter[bytes]:
    """What the source has of a table now."""
    source = made.capturing.runners["files"].source
    assert source is not None
    schema = source.describe(TableName(None, None, name))
    found: Counter[bytes] = Counter()
    for rows in source.whole(schema):
        found.update(encode_rows(rows.columns, [column.name for column in schema.columns], rows.asides))
    return found


async def test_the_lake_follows_a_tree_that_is_copied_edited_moved_and_lost_while_the_agent_dies(
    tree: Path, tmp_path: Path
) -> None:
    """A copy grows file by file, each written in place; the mount is away and comes back; then people work on it."""
    root, moved = tmp_path / "share", tmp_path / "away"
    root.mkdir()
    rng = random.Random(6)
    made = Everything(tmp_path / "state", root)
    files = small_files(tree)
    chosen = rng.sample(files, 60)
    for number, one in enumerate(chosen):
        target = root / one.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        data = one.read_bytes()
        target.write_bytes(data[: len(data) // 2])
        if number % 10 == 0:
            await made.capturing.once("files")  # it meets half a file
        target.write_bytes(data)
        if number % 25 == 24:
            made = await made.again()
    await made.complete()
    made.check()
    root.rename(moved)
    assert (await made.capturing.once("files"))[""] == "GC-2009", "an outage, no deletion"
    made = await made.again()
    assert (await made.capturing.once("files"))[""] == "GC-2009"
    moved.rename(root)
    await made.complete()
    assert not made.capturing.deleted("files")
    made.check()
    here = sorted(path for path in root.rglob("*") if path.is_file())
    for path in rng.sample(here, 20):
        match rng.choice(["edit", "grow", "rename", "delete", "replace"]):
            case "edit":
                path.write_bytes(path.read_bytes()[::-1])
            case "grow":
                path.write_bytes(path.read_bytes() * 2)
            case "rename":
                path.rename(path.with_name(f"renamed {path.name}"))
            case "delete":
                path.unlink()
            case _:
                shutil.copy(rng.choice(files), path.with_name("new " + path.name))
        if rng.random() < 0.1:
            made = await made.again()
        await made.capturing.once("files")
    await made.complete()
    for name in [name for name, code in made.capturing.said("files").items() if code == "GC-2002"]:
        made.capturing.runners["files"].confirm(TableName(None, None, name))
    await made.complete()
    made.check()
    await made.capturing.close()
