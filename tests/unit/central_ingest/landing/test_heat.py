from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing.heat import Allowance, Rhythm, Waiting, due, seconds_until_due, urgency

RHYTHM = Rhythm()
PLENTY = Allowance(100.0, 1e9)
MIB = 1024 * 1024


def waiting(table: str, age: float, *, last: float | None = None, size: int = 100, rows: int = 1) -> Waiting:
    return Waiting(table, rows, size, age, last, commit_seconds=0.002)


def chosen(*tables: Waiting, rhythm: Rhythm = RHYTHM, now: float = 100.0) -> list[str]:
    return due(now, tables, Allowance(now, 0.7), rhythm)


def test_a_quiet_table_waits_until_its_first_row_is_old() -> None:
    assert chosen(waiting("never committed", 1.9), waiting("long ago", 1.9, last=10.0)) == []
    assert chosen(waiting("a", 2.0), waiting("b", 2.5, last=10.0)) == ["b", "a"]


def test_a_hot_table_commits_every_moment() -> None:
    assert chosen(waiting("hot", 0.2, last=99.8), waiting("warm", 0.25, last=98.0)) == ["warm"]
    assert chosen(waiting("hot", 0.3, last=99.7), waiting("quiet", 0.3, last=97.5)) == ["hot"]


def test_a_large_pending_goes_at_once() -> None:
    assert chosen(waiting("large", 0.0, size=8 * MIB), waiting("small", 0.0, size=8 * MIB - 1)) == ["large"]


def test_nothing_pending_is_never_picked() -> None:
    assert chosen(waiting("empty", 9_999.0, size=9 * MIB, rows=0)) == []


def test_an_hour_is_the_end_of_patience_whatever_the_settings() -> None:
    patient = Rhythm(hot_seconds=1e6, quiet_seconds=1e6)
    spent = Allowance(100_000.0, -50.0)
    tables = [waiting("a", 3_599.0), waiting("b", 3_600.0), waiting("c", 3_600.0, last=99_000.0)]
    assert due(100_000.0, tables, spent, patient) == ["b", "c"]


def test_the_allowance_may_be_overdrawn_by_one_commit_and_is_then_made_good() -> None:
    slow = [Waiting(name, 1, 1, 5.0, None, commit_seconds=2.0) for name in "ab"]
    allowance = Allowance.full(100.0, RHYTHM)
    assert due(100.0, slow, allowance, RHYTHM) == ["a"]
    after = allowance.filled(102.0, RHYTHM).less(2.0)
    assert due(102.0, slow, after, RHYTHM) == []
    assert due(104.0, slow, after, RHYTHM) == ["a"]


def test_the_next_moment_is_known() -> None:
    tables = [waiting("a", 0.5), waiting("b", 0.1, last=99.5), waiting("empty", 9.0, rows=0)]
    assert seconds_until_due(100.0, tables, RHYTHM) == pytest.approx(0.15)
    assert seconds_until_due(100.0, [waiting("large", 0.0, size=9 * MIB)], RHYTHM) == 0.0
    assert seconds_until_due(100.0, [], RHYTHM) is None


@pytest.mark.parametrize("wrong", [{"hot_seconds": 0.0}, {"commit_bytes": 0}, {"share_max": 1.1}])
def test_settings_without_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"bounds|share"):
        Rhythm(**wrong)  # type: ignore[arg-type]


TABLES = st.lists(
    st.builds(
        Waiting,
        table=st.sampled_from("abcdefgh"),
        rows=st.integers(0, 3),
        bytes=st.integers(0, 16 * MIB),
        age_seconds=st.floats(0, 7_200),
        last_commit=st.none() | st.floats(0, 100),
        commit_seconds=st.floats(0, 1),
    ),
    unique_by=lambda one: one.table,
)


@settings(max_examples=60, deadline=None)
@given(TABLES, st.randoms(use_true_random=False))
def test_with_capacity_all_that_is_due_goes_and_nothing_else(tables: list[Waiting], random: object) -> None:
    picked = due(100.0, tables, PLENTY, Rhythm(share_max=1.0))
    by_name = {one.table: one for one in tables}
    room = [one for one in tables if one.rows and urgency(100.0, one, RHYTHM) >= 1]
    if sum(one.commit_seconds for one in room) < 1.0:
        assert set(picked) == {one.table for one in room}
    assert len(set(picked)) == len(picked)
    assert all(by_name[name].rows > 0 for name in picked)
    urgencies = [urgency(100.0, by_name[name], RHYTHM) for name in picked]
    assert urgencies == sorted(urgencies, reverse=True)
    shuffled = list(tables)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert due(100.0, shuffled, PLENTY, Rhythm(share_max=1.0)) == picked


@dataclass
class Disk:
    """Commits what the policy picks, one at a time, in virtual time; a new row comes to every table at once."""

    tables: dict[str, float]  # seconds of a commit
    every: dict[str, float]  # seconds between rows
    rhythm: Rhythm = RHYTHM
    now: float = 0.0
    busy: float = 0.0
    waited: dict[str, list[float]] = field(default_factory=dict)

    def run(self, until: float) -> None:
        arrived = dict.fromkeys(self.tables, 0.0)  # the oldest pending row
        last: dict[str, float] = {}
        allowance = Allowance.full(0.0, self.rhythm)
        while self.now < until:
            pending = [
                Waiting(name, 1, 100, self.now - arrived[name], last.get(name), cost)
                for name, cost in self.tables.items()
                if arrived[name] <= self.now
            ]
            allowance = allowance.filled(self.now, self.rhythm)
            for name in due(self.now, pending, allowance, self.rhythm):
                self.waited.setdefault(name, []).append(self.now - arrived[name])
                steps = int((self.now - arrived[name]) / self.every[name]) + 1
                arrived[name] += steps * self.every[name]
                self.now += self.tables[name]
                self.busy += self.tables[name]
                last[name] = self.now
                allowance = allowance.less(self.tables[name])
            self.now += 0.01


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.001, 0.004]), st.sampled_from([0.05, 1.0, 3.0])), max_size=12))
def test_no_table_waits_beyond_its_bound_when_capacity_allows(tables: list[tuple[float, float]]) -> None:
    names = [f"t{i}" for i in range(len(tables))]
    costs = {name: cost for name, (cost, _) in zip(names, tables, strict=True)}
    disk = Disk(costs, {name: every for name, (_, every) in zip(names, tables, strict=True)})
    disk.run(4.0)
    slack = 0.011 + sum(costs.values())  # one tick and one round of commits
    for name in names:
        quiet = disk.every[name] > RHYTHM.quiet_seconds + 0.1
        bound = RHYTHM.quiet_seconds if quiet else RHYTHM.hot_seconds
        assert max(disk.waited[name][1:], default=0.0) <= bound + slack


def test_when_the_disk_is_too_slow_ages_stretch_alike_and_the_share_is_kept() -> None:
    names = [f"t{i:02}" for i in range(40)]
    disk = Disk(dict.fromkeys(names, 0.05), dict.fromkeys(names, 0.05))
    disk.run(60.0)
    assert disk.busy <= 0.7 * disk.now + 0.7 + 0.05
    assert disk.busy >= 0.6 * disk.now
    fair = len(names) * 0.05 / 0.7
    for name, waited in disk.waited.items():
        assert max(waited) <= fair * RHYTHM.quiet_seconds / RHYTHM.hot_seconds, (
            name
        )  # while heat is not known
        assert max(waited[-5:]) <= fair * 1.2, name
    assert set(disk.waited) == set(names)
