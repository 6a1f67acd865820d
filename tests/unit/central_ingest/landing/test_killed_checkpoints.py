"""What a kill or a power cut inside deltalake's own checkpoint leaves: the table is whole, for us and for others.

deltalake writes the checkpoint and then the pointer to it, each as a draft (`NAME#1`) that is renamed (seen with
strace, 1.6.6) and never synced: so a power cut may also leave a name with half its content.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from central_ingest.landing import checkpoints
from central_ingest.landing.commits import checkpoint_name
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Recovery, Txn
from central_ingest.landing.localstore import LocalStore
from tests.foreign import by_kernel, by_polars

from .delta_tables import APP, PATH, rows
from .dying import Killed

FAR = 2_000_000_000.0
CURRENT = PATH.replace("changes/", "current/")
COUNT = 8
POINTER = "_last_checkpoint"

Leave = Callable[[Path, Path, bytes | None], None]
"""Of the log folder once the checkpoint is there whole: the file of the checkpoint, and the pointer that was there
before."""


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def back(log: Path, before: bytes | None) -> None:
    (log / POINTER).unlink() if before is None else (log / POINTER).write_bytes(before)


def a_draft(log: Path, made: Path, before: bytes | None) -> None:
    half(made.rename(made.with_name(f"{made.name}#1")))
    back(log, before)


def no_pointer(log: Path, made: Path, before: bytes | None) -> None:
    back(log, before)


def a_draft_of_the_pointer(log: Path, made: Path, before: bytes | None) -> None:
    half((log / POINTER).rename(log / f"{POINTER}#1"))
    if before is not None:
        back(log, before)


def not_sealed(log: Path, made: Path, before: bytes | None) -> None:
    pass


def torn(log: Path, made: Path, before: bytes | None) -> None:
    half(made)


def a_torn_pointer(log: Path, made: Path, before: bytes | None) -> None:
    half(log / POINTER)


def a_pointer_to_nothing(log: Path, made: Path, before: bytes | None) -> None:
    made.unlink()


LEFT: list[Leave] = [
    a_draft,
    no_pointer,
    a_draft_of_the_pointer,
    not_sealed,
    torn,
    a_torn_pointer,
    a_pointer_to_nothing,
]


def grown(lake: DeltaLake, path: str, numbers: range) -> None:
    for one in numbers:
        lake.make_durable(path, lake.append(path, rows(one), [Txn(APP, one), Txn(f"h1/his/{one + 2}", 7)]))


def check(root: Path, path: str, *readers: Callable[[Path], pa.Table]) -> None:
    """Every row and every transaction, for us and for others."""
    again, numbers = DeltaLake(root), list(range(COUNT))
    assert sorted(again.read(path, ["id"])["id"].to_pylist()) == numbers
    told = {APP: COUNT - 1} | {f"h1/his/{one + 2}": 7 for one in numbers}
    assert {app: again.txn(path, app) for app in told} == told
    assert again.state(path).txns == told
    for reader in readers:
        assert sorted(reader(root / path)["id"].to_pylist()) == numbers


@pytest.mark.parametrize(("path", "cleaned"), [(PATH, True), (CURRENT, False)], ids=["changes", "current"])
@pytest.mark.parametrize("leave", LEFT)
def test_after_a_kill_inside_a_checkpoint_the_table_is_whole_and_the_next_one_is_sealed(
    root: Path, monkeypatch: pytest.MonkeyPatch, path: str, cleaned: bool, leave: Leave
) -> None:
    lake, log = DeltaLake(root), root / path / "_delta_log"
    grown(lake, path, range(3))
    if cleaned:
        lake.checkpoint(path)
    grown(lake, path, range(3, 6))
    if cleaned:
        lake.checkpoint(path)
        lake.clean_log(path, FAR)
    grown(lake, path, range(6, COUNT))
    make, pointer = DeltaTable.create_checkpoint, log / POINTER
    before = pointer.read_bytes() if cleaned else None

    def killed(self: DeltaTable) -> None:
        make(self)
        leave(log, log / checkpoint_name(COUNT - 1), before)
        raise Killed

    monkeypatch.setattr(DeltaTable, "create_checkpoint", killed)
    with pytest.raises(Killed):
        lake.checkpoint(path)
    monkeypatch.undo()
    again = DeltaLake(root)
    again.resume()
    if path == PATH:  # the lander looks at it; at `current` nobody does
        assert again.recover(path, COUNT - 1) == Recovery(COUNT - 1, ())
    check(root, path, by_polars, by_kernel)
    assert again.checkpoint(path) == COUNT - 1
    assert COUNT - 1 in checkpoints.sound(LocalStore(root), path)
    check(root, path, by_kernel)
    assert not [file.name for file in log.iterdir() if "#" in file.name]
    assert not list((root / "_system").glob("rewriting/*"))
