"""When which table is visited, and what the thread costs: by a clock of the test's own, and by calls counted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Txn
from central_ingest.landing.maintenance import Job, Maintenance, Pace, Tally, most_urgent, urgency
from central_ingest.landing.upkeep import Upkeep
from protocol.errors import Fault, Transient

from .delta_tables import APP, PATH, rows

PACE = Pace(visit_commits=10, quiet_seconds=3_600, share_max=0.25, round_seconds=5)
OTHER = "changes/h1/his/drugs-0a1b2c3d"


def test_a_table_is_due_by_its_commits_or_by_its_age_and_a_heavy_one_later() -> None:
    assert urgency(0, Tally(0, 9), 0, PACE) < 1 <= urgency(0, Tally(0, 10), 0, PACE)
    assert urgency(3_599, Tally(0, 1), 0, PACE) < 1 <= urgency(3_600, Tally(0, 1), 0, PACE)
    assert urgency(0, Tally(0, 99), 2_000, PACE) < 1 <= urgency(0, Tally(0, 100), 2_000, PACE)
    assert urgency(0, Tally(0, 1_000, rests_until=1), 0, PACE) == 0
    tallies = {"a": Tally(0, 10), "b": Tally(0, 30), "c": Tally(0, 3)}
    assert most_urgent(0, tallies, {}, PACE) == "b"
    assert most_urgent(0, tallies, {"b": 1_000}, PACE) == "a"
    assert most_urgent(0, {"c": Tally(0, 3)}, {}, PACE) is None
    assert most_urgent(0, {}, {}, PACE) is None


class Bench:
    """A lake with its maintenance, and the clock."""

    def __init__(self, root: Path) -> None:
        self.clock = 0.0
        self.lake = DeltaLake(root)
        self.known = [PATH, OTHER]
        self.maintenance = Maintenance(
            self.lake,
            Upkeep(self.lake, checkpoint_commits=10, wall=time.time),
            paths=lambda: self.known,
            pace=PACE,
            now=lambda: self.clock,
        )

    @property
    def fault(self) -> Fault | None:
        return self.maintenance.fault

    def grow(self, path: str, count: int) -> None:
        for one in range(count):
            self.lake.append(path, rows(one), [Txn(APP, one)])


@pytest.fixture
def bench(root: Path) -> Bench:
    return Bench(root)


def test_a_table_that_committed_often_enough_is_visited_and_then_left_alone(bench: Bench) -> None:
    bench.grow(PATH, 10)
    bench.grow(OTHER, 3)
    bench.maintenance.step()
    assert (bench.lake.sealed(PATH), len(bench.lake.files(PATH))) == (10, 1)
    assert (bench.lake.sealed(OTHER), len(bench.lake.files(OTHER))) == (-1, 3)
    before = bench.lake.tables()
    bench.clock += 1
    assert bench.maintenance.step() == 1.0
    assert bench.lake.tables() == before
    bench.clock += 3_600  # what committed less has waited long enough
    for _ in range(3):
        bench.maintenance.step()
    assert len(bench.lake.files(OTHER)) == 1


def test_the_round_passes_by_tables_that_are_known_to_be_whole(bench: Bench, root: Path) -> None:
    bench.grow(PATH, 3)
    bench.grow(OTHER, 3)
    again = Bench(root)
    again.lake.recover(PATH, -1)
    for _ in range(2):
        again.clock += 5
        again.maintenance.step()
    assert (len(again.lake.files(PATH)), len(again.lake.files(OTHER))) == (1, 3)


def test_jobs_run_at_their_own_times_beside_upkeep(bench: Bench) -> None:
    ran: list[float] = []

    def job() -> float:
        ran.append(bench.clock)
        if len(ran) == 2:
            raise Transient("GC-6005", path="current/x", reason="ordered")
        return 3.0

    bench.maintenance.add(Job("current", job))
    bench.grow(PATH, 10)
    bench.maintenance.step()
    assert (ran, bench.lake.sealed(PATH)) == ([0.0], -1)
    bench.maintenance.step()
    assert bench.lake.sealed(PATH) == 10
    bench.clock = 3.0
    bench.maintenance.step()
    assert bench.fault is not None
    bench.clock = 62.9
    bench.maintenance.step()
    assert ran == [0.0, 3.0]
    bench.clock = 63.0
    bench.maintenance.step()
    assert ran == [0.0, 3.0, 63.0]
    assert bench.fault is None


def test_a_table_in_trouble_holds_nobody_up(bench: Bench, root: Path) -> None:
    bench.grow(PATH, 12)
    bench.grow(OTHER, 10)
    lost = root / PATH / bench.lake.files(PATH)[0].path
    content = lost.read_bytes()
    lost.unlink()
    bench.maintenance.step()
    fault = bench.fault
    assert fault is not None
    assert (fault.code, fault.facts["path"]) == ("GC-6005", PATH)
    bench.maintenance.step()
    assert bench.lake.sealed(OTHER) == 10
    lost.write_bytes(content)
    bench.clock += 60
    bench.maintenance.step()
    assert (bench.fault, bench.lake.sealed(PATH)) == (None, 12)


def test_a_mistake_of_ours_is_told_without_what_it_says(bench: Bench) -> None:
    def job() -> float:
        raise AssertionError("王小明")

    bench.maintenance.add(Job("current", job))
    bench.maintenance.step()
    fault = bench.fault
    assert fault is not None
    assert (fault.code, fault.facts) == ("GC-6051", {"path": "current", "reason": "AssertionError"})
