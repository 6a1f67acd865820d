"""What a power cut can leave behind, and what remains of it after recovery."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing.commits import checkpoint_name, decode, encode, entry_name
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Recovery, Txn

from .delta_tables import APP, PATH, data_file, ids, log, rows


def empty(file: Path) -> None:
    file.write_bytes(b"")


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def at_a_line(file: Path) -> None:
    file.write_bytes(file.read_bytes().split(b"\n")[0] + b"\n")


def nul_tail(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))


def nul_added(file: Path) -> None:
    file.write_bytes(file.read_bytes() + bytes(4096))


def gone(file: Path) -> None:
    file.unlink()


DAMAGE = [empty, torn, at_a_line, nul_tail, nul_added, gone]


@pytest.mark.parametrize("version", [2, 3, 5])
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("place", [log, data_file])
def test_recovery_keeps_what_is_whole(
    lake: DeltaLake,
    root: Path,
    version: int,
    damage: Callable[[Path], None],
    place: Callable[[Path, int], Path],
) -> None:
    for one in range(6):
        lake.append(PATH, rows(one), [Txn(APP, one)])
    lake.make_durable(PATH, 1)
    before = {one: log(root, one).read_bytes() for one in range(6)}
    damage(place(root, version))
    again = DeltaLake(root)
    cut = tuple(v for v in range(version, 6) if (v, place, damage) != (version, log, gone))
    assert again.recover(PATH, 1) == Recovery(version - 1, cut)
    assert (ids(again), again.txn(PATH, APP)) == (list(range(version)), version - 1)
    aside = root / "_system" / "damaged" / PATH / f"{version}-0"
    for one in cut[1:]:
        assert (aside / entry_name(one)).read_bytes() == before[one]
    for one in range(version, 6):
        again.append(PATH, rows(one), [Txn(APP, one)])
    again.make_durable(PATH, 5)
    assert (ids(again), DeltaLake(root).txn(PATH, APP)) == (list(range(6)), 5)
    assert DeltaLake(root).recover(PATH, -1) == Recovery(5, ())


def test_what_was_synced_is_not_looked_at_again(lake: DeltaLake, root: Path) -> None:
    for one in range(3):
        lake.append(PATH, rows(one), [])
    empty(data_file(root, 1))
    assert DeltaLake(root).recover(PATH, 1) == Recovery(2, ())


def test_a_log_shorter_than_what_was_synced_is_told(lake: DeltaLake, root: Path) -> None:
    lake.append(PATH, rows(1), [])
    assert DeltaLake(root).recover(PATH, 7) == Recovery(0, ())


@pytest.mark.parametrize("damage", [empty, torn, nul_tail, gone])
@pytest.mark.parametrize("which", ["*.checkpoint.parquet", "_last_checkpoint"])
def test_a_damaged_checkpoint_is_done_without(root: Path, which: str, damage: Callable[[Path], None]) -> None:
    lake = DeltaLake(root)
    for one in range(3):
        lake.append(PATH, rows(one), [Txn(APP, one)])
    assert lake.checkpoint(PATH) == 2
    (found,) = (root / PATH / "_delta_log").glob(which)
    damage(found)
    again = DeltaLake(root)
    assert again.recover(PATH, 2) == Recovery(2, ())
    assert (ids(again), again.txn(PATH, APP)) == ([0, 1, 2], 2)


def test_no_checkpoint_without_a_seal_stays_above_the_cut(root: Path) -> None:
    lake = DeltaLake(root)
    for one in range(4):
        lake.append(PATH, rows(one), [Txn(APP, one)])
    DeltaTable(root / PATH).create_checkpoint()
    empty(log(root, 2))
    again = DeltaLake(root)
    assert again.recover(PATH, 0) == Recovery(1, (2, 3))
    assert sorted(os.listdir(root / PATH / "_delta_log")) == [entry_name(0), entry_name(1)]
    assert (ids(again), again.txn(PATH, APP)) == ([0, 1], 1)


@pytest.mark.parametrize("synced", [-1, 2])
def test_nothing_is_cut_below_a_sealed_checkpoint(root: Path, synced: int) -> None:
    """Whatever becomes of entries that it does without, and even if the ledger is lost."""
    lake = DeltaLake(root)
    for one in range(4):
        lake.append(PATH, rows(one), [Txn(APP, one)])
    assert lake.checkpoint(PATH) == 3
    for one in range(4, 6):
        lake.append(PATH, rows(one), [Txn(APP, one)])
    for one in (1, 2, 5):
        empty(log(root, one))
    again = DeltaLake(root)
    assert again.recover(PATH, synced) == Recovery(4, (5,))
    assert (ids(again), again.txn(PATH, APP)) == ([0, 1, 2, 3, 4], 4)


def test_a_sealed_checkpoint_that_rots_is_done_without(root: Path) -> None:
    lake = DeltaLake(root)
    for one in range(6):
        lake.append(PATH, rows(one), [Txn(APP, one)])
        if one in (2, 4):
            assert lake.checkpoint(PATH) == one
    torn(root / PATH / "_delta_log" / checkpoint_name(4))
    again = DeltaLake(root)
    assert again.recover(PATH, -1) == Recovery(5, ())
    assert (ids(again), again.txn(PATH, APP)) == ([0, 1, 2, 3, 4, 5], 5)
    assert again.checkpoint(PATH) == 5
    assert DeltaLake(root).recover(PATH, -1) == Recovery(5, ())


def test_a_second_cut_at_the_same_version_keeps_the_first(lake: DeltaLake, root: Path) -> None:
    lake.append(PATH, rows(0), [])
    for attempt in range(2):
        lake.append(PATH, rows(1), [])
        empty(data_file(root, 1))
        (root / PATH / "_delta_log" / "left.tmp").write_bytes(b"{")
        lake = DeltaLake(root)
        assert lake.recover(PATH, 0) == Recovery(0, (1,))
        assert (root / "_system" / "damaged" / PATH / f"1-{attempt}" / entry_name(1)).exists()
        assert not list((root / PATH / "_delta_log").glob("*.tmp"))
    assert lake.tables() == {PATH: 0}


@settings(deadline=None)
@given(st.data())
def test_an_entry_is_whole_or_nothing(data: st.DataObject) -> None:
    entry = encode([{"txn": {"appId": APP, "version": 3}}, {"add": {"path": "x", "size": 1}}], 5)
    assert [next(iter(action)) for action in decode(entry) or []] == ["commitInfo", "txn", "add"]
    at = data.draw(st.integers(0, len(entry) - 1))
    assert decode(entry[:at]) is None or (at == len(entry) - 1 and entry[at:] == b"\n")
    assert decode(entry[:at] + bytes(len(entry) - at)) is None
