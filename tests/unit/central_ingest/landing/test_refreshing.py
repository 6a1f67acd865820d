"""Which table is materialised when, what is noted of it, and that nothing takes more than its share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Txn
from central_ingest.landing.materialising import Limits, Materialising, path_of
from central_ingest.landing.refreshing import Purse, Refreshing
from central_ingest.ledger.ledger import Ledger, TableRecord
from protocol.errors import Transient
from protocol.names import Stream, TableName

from .changes_tables import change, table
from .test_materialising import Dying

STREAM = Stream("h1", "his")
CADENCE = 60.0


class Centre:
    """A lake, a ledger, and clocks that go when they are told; each reading of `work` costs what `costs` says."""

    def __init__(self, root: Path) -> None:
        self.store = Dying(root / "lake")
        self.lake = DeltaLake(self.store)
        self.ledger = Ledger.open(root / "ledger.sqlite")
        self.time = 1_000.0
        self.spent = 0.0
        self.costs = 0.0
        self.job = Refreshing(
            materialising=Materialising(self.lake, root / "scratch", self.wall, Limits(window_bytes=1 << 20)),
            book=self.ledger.materialised,
            cadence_seconds=CADENCE,
            cpu_share=0.1,
            now=lambda: self.time,
            spent=self.work,
            wall=self.wall,
        )

    def wall(self) -> int:
        return int(self.time * 1e6)

    def work(self) -> float:
        self.spent += self.costs
        return self.spent

    def land(self, name: str, seq: int, key: tuple[str, ...] = ("id",)) -> str:
        """One change of a table; returns the path of its `changes`."""
        path = f"changes/h1/his/{name}-0a1b2c3d"
        version = self.lake.append(
            path, table([change(1, seq, 0, "c", f"{name}{seq}", id=seq)]), [Txn("h1/his/1", seq)]
        )
        table_name = TableName(None, None, name)
        self.ledger.save_table(TableRecord(path, STREAM, table_name, key, b"", version, self.wall(), seq))
        self.time += 0.001
        return path

    def steps(self) -> float:
        """Until it rests; returns for how long."""
        while not (pause := self.job.step()):
            pass
        return pause


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    centre = Centre(tmp_path)
    yield centre
    centre.ledger.close()


def test_a_round_takes_the_tables_with_news_and_notes_how_far_they_are(centre: Centre) -> None:
    first, second = centre.land("a", 1), centre.land("b", 7, key=())
    assert {one.path for one in centre.ledger.materialised.news()} == {first, second}
    assert centre.steps() == pytest.approx(CADENCE)
    noted = centre.ledger.materialised.all()
    assert {path: (one.epoch, one.seq, one.base_rows) for path, one in noted.items()} == {
        first: (1, 1, 1),
        second: (1, 7, 1),
    }
    assert centre.ledger.materialised.news() == []
    assert set(centre.lake.tables()) == {first, second, path_of(first), path_of(second)}


def test_the_next_round_begins_a_cadence_later_with_what_changed_since(centre: Centre) -> None:
    first, second = centre.land("a", 1), centre.land("b", 1)
    centre.steps()
    centre.land("b", 2)
    versions = centre.lake.tables()
    assert centre.job.step() > CADENCE - 1
    centre.time += CADENCE
    assert centre.job.step() == 0.0
    assert centre.job.status()["behind"] == 0
    after = centre.lake.tables()
    assert (after[path_of(first)], after[path_of(second)]) == (0, versions[path_of(second)] + 1)


def test_a_table_that_fails_is_told_and_tried_again_and_others_go_on(
    centre: Centre, caplog: pytest.LogCaptureFixture
) -> None:
    first = centre.land("a", 1)
    centre.store.fails = True
    centre.steps()
    assert centre.job.status() == {"behind": 1, "never": 1, "stalest_seconds": 0, "failing": 1}
    assert "GC-6060" in caplog.text
    centre.store.fails = False
    second = centre.land("b", 1)
    centre.time += CADENCE
    centre.steps()
    assert centre.job.status()["failing"] == 0
    assert set(centre.ledger.materialised.all()) == {first, second}


def test_what_was_overdrawn_is_waited_for(centre: Centre) -> None:
    for number in range(3):
        centre.land(f"t{number}", 1)
    centre.costs = 2.0  # seconds a table: twenty seconds at a tenth of a core
    assert centre.job.step() == 0.0
    assert centre.job.step() == pytest.approx(20.0, abs=0.1)
    centre.time += 20.0
    assert centre.job.step() == 0.0
    assert len(centre.ledger.materialised.all()) == 2


def test_a_table_that_costs_too_much_is_stale_and_others_are_not(centre: Centre) -> None:
    dear = centre.land("dear", 1)
    centre.costs = 300.0  # 3,000 s of the share of all; of its own 3,600 s, with 120 saved
    centre.steps()
    centre.costs = 0.0
    centre.time += 3_100.0
    cheap = centre.land("cheap", 1)
    centre.land("dear", 2)
    centre.steps()
    noted = centre.ledger.materialised.all()
    assert (noted[dear].seq, noted[cheap].seq) == (1, 1)
    assert [one.path for one in centre.ledger.materialised.news()] == [dear]
    centre.time += 600.0
    centre.steps()
    assert centre.ledger.materialised.all()[dear].seq == 2


def test_a_rebuild_that_was_asked_for_is_done_once(centre: Centre) -> None:
    path = centre.land("a", 1)
    centre.steps()
    centre.time += CADENCE
    centre.ledger.materialised.ask([path], centre.wall())
    version = centre.lake.tables()[path_of(path)]
    centre.steps()
    assert centre.lake.tables()[path_of(path)] == version + 1
    assert centre.ledger.materialised.news() == []


def test_a_ledger_that_knows_nothing_costs_a_look_and_no_commit(centre: Centre) -> None:
    path = centre.land("a", 1)
    centre.steps()
    noted = centre.ledger.materialised.all()[path]
    centre.ledger.materialised.note(noted.__class__(path, None, None, 0, 0, 0, 0))
    centre.time += CADENCE
    centre.steps()
    again = centre.ledger.materialised.all()[path]
    assert (again.epoch, again.seq, again.landed) == (noted.epoch, noted.seq, noted.landed)
    assert centre.lake.tables()[path_of(path)] == 0


def test_a_purse_saves_up_to_a_bound_and_waits_below_zero() -> None:
    purse = Purse(0.1, 0.0)
    assert purse.filled(100.0) == pytest.approx(10.0)
    assert purse.filled(1e9) == 120.0
    purse.seconds = -3.0
    assert purse.wait(1e9) == pytest.approx(30.0)
    assert purse.wait(1e9 + 31) == 0.0


def test_a_fault_of_the_store_is_no_crash(centre: Centre) -> None:
    path = centre.land("a", 1)
    centre.store.fails = True
    with pytest.raises(Transient, match="GC-6005"):
        Materialising(centre.lake, Path(), centre.wall).step(path, keyed=True)
