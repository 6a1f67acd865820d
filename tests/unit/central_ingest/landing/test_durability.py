"""What is synced when, and what a failing store does to an append."""

from __future__ import annotations

import datetime as dt
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Recovery, Txn
from central_ingest.landing.localstore import LocalStore
from protocol.errors import Transient

from .delta_tables import APP, DAY, PATH, data_file, ids, log, rows


class Syncs:
    """The operating system's fsync, noting the path of what is synced; told to, it fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[Path] = []
        self.failing = False
        self._open, self._fsync = os.open, os.fsync
        self._names: dict[int, Path] = {}
        monkeypatch.setattr(os, "open", self.open)
        monkeypatch.setattr(os, "fsync", self.fsync)

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        handle = self._open(path, flags, mode, dir_fd=dir_fd)
        self._names[handle] = Path(path)
        return handle

    def fsync(self, handle: int) -> None:
        if self.failing:
            raise OSError(errno.EIO, "disk")
        self.paths.append(self._names[handle])
        self._fsync(handle)


def test_all_that_a_commit_stands_on_is_synced_and_only_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs(monkeypatch)
    lake = DeltaLake(root)
    assert syncs.paths == [root.parent, root.parent.parent]
    syncs.paths.clear()
    for one in range(2):
        lake.append(PATH, rows(one), [])
    assert syncs.paths == []
    lake.make_durable(PATH, 1)
    table = root / PATH
    partition = table / f"_gc_date={DAY}"
    files = [data_file(root, 0), log(root, 0), data_file(root, 1), log(root, 1)]
    assert syncs.paths[:4] == files
    parents = [table, table.parent, table.parent.parent, table.parent.parent.parent, root]
    assert set(syncs.paths[4:]) == {table / "_delta_log", partition, *parents}
    syncs.paths.clear()
    lake.make_durable(PATH, 1)
    lake.make_durable(PATH, 0)
    assert syncs.paths == []
    lake.make_durable(PATH, lake.append(PATH, rows(2), []))
    assert syncs.paths == [data_file(root, 2), log(root, 2), table / "_delta_log", partition]


def test_what_is_kept_is_synced_before_it_has_its_name(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large values and schemas: after a power cut there is no name with half the content."""
    part = tmp_path / "part"
    part.write_bytes(b"content")
    syncs = Syncs(monkeypatch)
    store, replace = LocalStore(root), os.replace
    before = []

    def noted(source: Path, target: Path) -> None:
        before.append((source, list(syncs.paths)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", noted)
    store.keep("h1/whole", part)
    store.keep("h1/text", b"content")
    assert [source == synced[-1] for source, synced in before] == [True, True]
    assert syncs.paths == [
        root.parent,
        root.parent.parent,
        part,
        root / "h1",
        root,
        before[1][0],
        root / "h1",
    ]


def test_after_a_failed_sync_nothing_is_called_durable_until_recovery(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = DeltaLake(root)
    lake.append(PATH, rows(1), [Txn(APP, 1)])
    syncs = Syncs(monkeypatch)
    syncs.failing = True
    with pytest.raises(Transient, match="GC-6005") as caught:
        lake.make_durable(PATH, 0)
    assert caught.value.facts == {"path": PATH, "reason": "OSError"}
    syncs.failing = False
    with pytest.raises(Transient, match="an earlier sync failed"):
        lake.make_durable(PATH, 0)
    assert lake.recover(PATH, -1) == Recovery(0, ())
    lake.make_durable(PATH, 0)
    assert ids(lake) == [1]


def test_a_store_that_fails_is_a_transient_and_the_table_goes_on_afterwards(
    lake: DeltaLake, root: Path
) -> None:
    lake.append(PATH, rows(1), [Txn(APP, 1)])
    partition = root / PATH / f"_gc_date={DAY + dt.timedelta(days=1)}"
    partition.write_bytes(b"in the way")
    with pytest.raises(Transient, match="GC-6005") as caught:
        lake.append(PATH, rows(2, day=DAY + dt.timedelta(days=1)), [Txn(APP, 2)])
    assert caught.value.facts == {"path": PATH, "reason": "FileExistsError"}
    partition.unlink()
    assert lake.txn(PATH, APP) == 1
    assert lake.append(PATH, rows(2, day=DAY + dt.timedelta(days=1)), [Txn(APP, 2)]) == 1
    assert ids(lake) == [1, 2]


@pytest.mark.parametrize("landed", [True, False])
def test_an_unknown_outcome_is_looked_up(
    lake: DeltaLake, root: Path, monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    """A network file system can carry out the link and still report that it failed."""
    lake.append(PATH, rows(1), [Txn(APP, 1)])
    link = os.link

    def unsure(source: Path, target: Path) -> None:
        if landed:
            link(source, target)
        raise OSError(errno.EIO, "disk")

    monkeypatch.setattr(os, "link", unsure)
    if landed:
        assert lake.append(PATH, rows(2), [Txn(APP, 2)]) == 1
    else:
        with pytest.raises(Transient, match="GC-6005"):
            lake.append(PATH, rows(2), [Txn(APP, 2)])
    monkeypatch.undo()
    assert lake.txn(PATH, APP) == (2 if landed else 1)
    if not landed:
        assert lake.append(PATH, rows(2), [Txn(APP, 2)]) == 1
    assert (ids(lake), ids(DeltaLake(root))) == ([1, 2], [1, 2])


def test_two_writers_never_share_a_version(root: Path) -> None:
    one, two = DeltaLake(root), DeltaLake(root)
    one.append(PATH, rows(1), [Txn(APP, 1)])
    assert two.txn(PATH, APP) == 1
    one.append(PATH, rows(2), [Txn(APP, 2)])
    with pytest.raises(Transient, match="GC-6005"):
        two.append(PATH, rows(2), [Txn(APP, 2)])
    assert two.txn(PATH, APP) == 2


@pytest.mark.parametrize("path", ["", "/etc", "a/../b", "a//b", "."])
def test_a_path_stays_inside_the_lake(lake: DeltaLake, path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        lake.append(path, rows(1), [])


def test_an_unreadable_log_is_a_transient_without_its_content(lake: DeltaLake, root: Path) -> None:
    lake.append(PATH, rows(1), [])
    os.truncate(log(root, 0), 100)
    with pytest.raises(Transient) as caught:
        DeltaLake(root).schema(PATH)
    assert caught.value.facts["path"] == PATH
    assert str(caught.value.facts["reason"]).isidentifier()
