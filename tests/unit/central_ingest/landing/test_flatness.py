"""What landing costs does not grow: calls to the store are counted, never time."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Txn
from central_ingest.landing.localstore import LocalStore
from central_ingest.landing.store import Item, Location
from central_ingest.ledger.ledger import TableRecord
from protocol.errors import Transient
from protocol.names import TableName

from ..ledgers import memory_ledger
from ..sender import OTHER_STREAM, STREAM, Sender
from .delta_tables import APP, PATH, rows
from .ground import Ground
from .test_lander import batch, schema, visits


class CountingStore(LocalStore):
    """Notes every name that is asked for or written."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.names: list[str] = []

    def create(self, name: str, content: bytes) -> None:
        self.names.append(f"create {name}")
        super().create(name, content)

    def put(self, name: str, content: bytes) -> None:
        self.names.append(f"put {name}")
        super().put(name, content)

    def get(self, name: str) -> bytes:
        self.names.append(f"get {name}")
        return super().get(name)

    def size(self, name: str) -> int | None:
        self.names.append(f"size {name}")
        return super().size(name)

    def list(self, folder: str) -> list[Item]:
        self.names.append(f"list {folder}")
        return super().list(folder)

    def sync(self, names: Iterable[str]) -> None:
        taken = [*names]
        self.names += [f"sync {name}" for name in taken]
        super().sync(taken)

    def locate(self, folder: str) -> Location:
        self.names.append(f"open {folder}")
        return super().locate(folder)

    def taken(self) -> Counter[str]:
        """Calls by kind since this was asked last."""
        counted = Counter(name.split()[0] for name in self.names)
        self.names.clear()
        return counted


def test_the_thousandth_commit_does_what_the_hundredth_did(root: Path) -> None:
    store = CountingStore(root)
    lake = DeltaLake(store)
    calls: dict[int, Counter[str]] = {}
    for one in range(1_000):
        version = lake.append(PATH, rows(one), [Txn(APP, one)])
        if one % 50 == 49:
            lake.make_durable(PATH, version)
        calls[one] = store.taken()
    assert calls[98] == calls[998] == Counter(put=1, create=1)
    assert calls[99] == calls[999]
    assert calls[999].keys() == {"put", "create", "get", "sync"}


def registered(ground: Ground, lake: Path, quiet: int) -> None:
    """`quiet` tables that the ledger knows. Those that the slow round meets first lie in the lake, too."""
    paths = sorted(f"changes/h1/his/quiet-{number}" for number in range(quiet))
    first = DeltaLake(lake)
    for path in paths[:25]:
        first.make_durable(path, first.append(path, rows(1), []))
    for number, path in enumerate(paths):
        name = TableName(None, None, f"quiet {number}")
        ground.ledger.save_table(TableRecord(path, STREAM, name, ("id",), b"", 0, 1, 1))


def test_a_restart_opens_and_lists_no_table_that_nobody_touches(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "files")
    sender = Sender(1, STREAM)
    ground.begin(sender)
    store = CountingStore(tmp_path / "lake")
    registered(ground, tmp_path / "lake", 2_000)
    ground.lake = DeltaLake(store)  # type: ignore[assignment]
    ground.write(schema(sender), batch(sender, 1))
    ground.start()
    assert [name for name in store.names if name != "list "] == []
    for _ in range(20):  # five seconds of a lander that has something to do
        ground.clock += 0.25
        ground.lander.step(everything=True)
    assert visits(ground) == [(1, 2, 0)]
    quiet = {name.split()[1].split("/_delta_log")[0] for name in store.names if "quiet-" in name}
    assert 0 < len(quiet) <= 20


# --- a lake that is older than the ledger


def steps(ground: Ground, count: int) -> None:
    for _ in range(count):
        ground.lander.step()
        ground.clock += 1.0


@pytest.mark.parametrize("touched", [True, False])
def test_a_lake_that_was_restored_is_noticed_and_catches_up(tmp_path: Path, touched: bool) -> None:
    """By the first envelope of a table, or by nobody: then the slow round meets it. Its stream alone is read again."""
    ground = Ground(tmp_path / "files")
    one, other = Sender(1, STREAM), Sender(2, OTHER_STREAM)
    for sender in (one, other):
        ground.begin(sender)
        ground.write(schema(sender), batch(sender, 1), batch(sender, 2))
    ground.start()
    ground.land()
    old = copy.deepcopy(ground.lake.commits)
    ground.write(batch(one, 3))
    ground.land()
    caught_up = ground.low_water(OTHER_STREAM)
    ground.lake.commits = old
    if touched:
        ground.write(batch(one, 4))
    ground.start()
    ground.clock += 1.0
    with pytest.raises(Transient, match="GC-6052"):
        steps(ground, 3)
    assert (ground.low_water(STREAM), ground.low_water(OTHER_STREAM)) == (0, caught_up)
    ground.land()
    assert visits(ground) == [(1, 2, 0), (1, 3, 0), (1, 4, 0), (1, 5, 0)][: 4 if touched else 3]
    assert visits(ground, OTHER_STREAM) == [(1, 2, 0), (1, 3, 0)]


def test_a_table_that_a_lost_ledger_does_not_know_is_met_with_what_it_holds(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "files")
    sender = Sender(1, STREAM)
    ground.begin(sender)
    ground.write(schema(sender), batch(sender, 1), batch(sender, 2))
    ground.start()
    ground.land()
    ground.ledger = memory_ledger()
    ground.begin(sender)
    ground.ledger.save_low_water({STREAM: 0})
    ground.start()
    ground.land()
    assert visits(ground) == [(1, 2, 0), (1, 3, 0)]
    (record,) = ground.ledger.lake_tables()
    assert record.synced_version == ground.lake.tables()[record.path]
