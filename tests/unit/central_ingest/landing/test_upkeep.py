"""Visits and sweeps of a table: what stays, what goes, who may go on meanwhile, and what a kill at any call leaves."""

from __future__ import annotations

import datetime as dt
import tempfile
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing import checkpoints
from central_ingest.landing.commits import digest, entry_version
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Recovery, Txn
from central_ingest.landing.localstore import LocalStore
from central_ingest.landing.upkeep import Upkeep
from protocol.errors import Permanent
from tests.foreign import READERS, keys

from .delta_tables import APP, PATH
from .dying import DyingStore, Killed, copied

NOW = time.time()
TODAY = dt.datetime.fromtimestamp(NOW, dt.UTC).date()
OVER = dt.date(2026, 1, 1)
LATER = NOW + 4 * 3600  # when nobody is promised any more what stood there NOW


COUNT = 26  # rows of the table `old`


def numbered(*numbers: int, day: dt.date = OVER) -> pa.Table:
    count = len(numbers)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "name": pa.array([f"名{n}" if n % 3 else None for n in numbers], pa.string()),
            "_gc_epoch": pa.array([1] * count, pa.int64()),
            "_gc_seq": pa.array(numbers, pa.int64()),
            "_gc_date": pa.array([day] * count, pa.date32()),
        }
    )


def grown(lake: DeltaLake, numbers: range, day: dt.date = OVER) -> None:
    version = [lake.append(PATH, numbered(one, day=day), [Txn(APP, one)]) for one in numbers][-1]
    lake.make_durable(PATH, version)


def upkeep(lake: DeltaLake, at: float = NOW, commits: int = 10) -> Upkeep:
    return Upkeep(lake, reader_hours=3, checkpoint_commits=commits, wall=lambda: at)


def rows(lake: DeltaLake) -> list[tuple[int, str | None]]:
    return sorted((row["id"], row["name"]) for row in lake.read(PATH, ["id", "name"]).to_pylist())


def expected(count: int) -> list[tuple[int, str | None]]:
    return [(n, f"名{n}" if n % 3 else None) for n in range(count)]


def data_files(root: Path) -> set[str]:
    found = {file.relative_to(root / PATH).as_posix() for file in (root / PATH).rglob("*.parquet")}
    return {name for name in found if not name.startswith("_delta_log")}


def live_files(lake: DeltaLake) -> set[str]:
    return {one.path for one in lake.files(PATH)}


def entries(root: Path) -> list[int]:
    names = [file.name for file in (root / PATH / "_delta_log").iterdir()]
    return sorted(v for v in map(entry_version, names) if v is not None)


@pytest.fixture
def old(root: Path) -> Path:
    """A table that was visited once, when its first commits stood, and has grown since."""
    lake = DeltaLake(root)
    grown(lake, range(6))
    upkeep(lake, commits=3).visit(PATH)
    grown(lake, range(6, 9))
    grown(lake, range(9, COUNT), TODAY)
    return root


def test_a_visit_leaves_one_file_a_day_and_a_log_that_begins_at_a_checkpoint(old: Path) -> None:
    lake = DeltaLake(old)
    assert upkeep(lake, LATER).visit(PATH).more is False
    assert (rows(lake), lake.txn(PATH, APP)) == (expected(COUNT), COUNT - 1)
    per_day = sorted((one.partition["_gc_date"], one.rows) for one in lake.files(PATH))
    assert per_day == [(str(OVER), 9), (str(TODAY), 17)]
    assert data_files(old) >= live_files(lake)
    assert entries(old)[0] == min(checkpoints.sealed(LocalStore(old), PATH))
    again = DeltaLake(old)
    assert again.recover(PATH, -1) == Recovery(entries(old)[-1], ())
    assert (rows(again), again.txn(PATH, APP)) == (expected(COUNT), COUNT - 1)
    for found in keys(old / PATH, "id", "name"):
        assert found == sorted(expected(COUNT), key=repr)


def test_statistics_outlive_a_join(old: Path) -> None:
    lake = DeltaLake(old)
    upkeep(lake, LATER).visit(PATH)
    for one in lake.files(PATH):
        numbers = pa.concat_tables(lake.read_file(PATH, one))["_gc_seq"].to_pylist()
        assert one.stats["minValues"] == {"_gc_epoch": 1, "_gc_seq": min(numbers)}
        assert one.stats["maxValues"] == {"_gc_epoch": 1, "_gc_seq": max(numbers)}
        assert (one.stats["nullCount"], one.rows) == ({"_gc_epoch": 0, "_gc_seq": 0}, len(numbers))
        assert numbers == sorted(numbers)


def test_who_opened_the_table_before_reads_on(root: Path) -> None:
    lake = DeltaLake(root)
    grown(lake, range(20))
    opened = DeltaTable(root / PATH)
    reader = opened.to_pyarrow_dataset()
    upkeep(lake).visit(PATH)
    upkeep(lake, NOW + 2 * 3600).visit(PATH)
    assert len(lake.files(PATH)) == 1
    assert sorted(reader.to_table()["id"].to_pylist()) == list(range(20))
    assert sorted(opened.to_pyarrow_table()["id"].to_pylist()) == list(range(20))
    upkeep(lake, LATER).visit(PATH)
    assert data_files(root) == live_files(lake)


def test_nothing_removed_goes_before_a_sealed_checkpoint_stands_above_it(root: Path) -> None:
    """Else a cut of the commit that removed it would need it again."""
    lake = DeltaLake(root)
    grown(lake, range(20))
    keeper = upkeep(lake, LATER, commits=10)
    keeper.compact(PATH)
    known = lake.state(PATH)
    assert (len(known.removed), keeper._discard(PATH, list(known.removed), known)) == (20, 0)
    assert len(data_files(root)) == 21
    keeper.visit(PATH)
    assert (data_files(root), rows(lake)) == (live_files(lake), expected(20))


def test_what_an_append_that_died_left_goes_and_what_is_young_stays(old: Path) -> None:
    lake = DeltaLake(old)
    folder = old / PATH / f"_gc_date={OVER}"
    stray = folder / "part-of-an-append-that-died.zstd.parquet"
    stray.write_bytes(b"PAR1")
    assert upkeep(lake).sweep(PATH) == 0
    assert upkeep(lake, LATER).sweep(PATH) == 1
    assert not stray.exists()
    assert rows(lake) == expected(COUNT)


def test_a_checkpoint_that_lacks_a_transaction_is_taken_away(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail with the comparison left out: the transaction is lost with the entries below."""
    lake = DeltaLake(root)
    grown(lake, range(12))
    lake.append(PATH, numbered(12), [Txn("h1/his/2", 7)])
    make = DeltaTable.create_checkpoint

    def forgetful(self: DeltaTable) -> None:
        entry = old_entry.read_bytes()
        old_entry.write_bytes(b"\n".join(one for one in entry.splitlines() if b"h1/his/2" not in one))
        make(DeltaTable(root / PATH))
        old_entry.write_bytes(entry)

    old_entry = root / PATH / "_delta_log" / f"{12:020}.json"
    monkeypatch.setattr(DeltaTable, "create_checkpoint", forgetful)
    with pytest.raises(Permanent, match="GC-6050") as caught:
        upkeep(lake, LATER).visit(PATH)
    assert caught.value.facts["difference"] == "transactions"
    monkeypatch.undo()
    assert len(data_files(root)) == 14
    again = DeltaLake(root)
    assert (rows(again), again.txn(PATH, "h1/his/2")) == (expected(13), 7)
    upkeep(again, LATER).visit(PATH)
    assert (rows(again), again.txn(PATH, "h1/his/2")) == (expected(13), 7)


def test_appends_of_another_thread_go_on(root: Path) -> None:
    lake = DeltaLake(root)
    grown(lake, range(5), TODAY)
    done = threading.Event()

    def append() -> None:
        grown(lake, range(5, 90), TODAY)
        done.set()

    appender = threading.Thread(target=append)
    appender.start()
    keeper = Upkeep(lake, reader_hours=0, checkpoint_commits=5, wall=time.time)
    visits = 0
    while not done.is_set():
        keeper.visit(PATH)
        keeper.sweep(PATH)
        visits += 1
    appender.join()
    upkeep(lake, LATER).visit(PATH)
    upkeep(lake, LATER).sweep(PATH)
    again = DeltaLake(root)
    assert visits > 1
    assert again.recover(PATH, -1).cut == ()
    assert (rows(again), again.txn(PATH, APP)) == (expected(90), 89)
    assert (data_files(root), len(live_files(again)) < 20) == (live_files(again), True)


# --- killed


def both(keeper: Upkeep) -> None:
    keeper.visit(PATH)
    keeper.sweep(PATH)


def calls_of_both(old: Path, to: Path) -> list[str]:
    store = DyingStore(copied(old, to))
    both(upkeep(DeltaLake(store), LATER))
    return store.calls


def telling(calls: list[str]) -> list[int]:
    """Of a run of deletions the first, the second and the last: all others leave what these leave."""
    kinds = ["", "", *(call.split()[0] for call in calls), ""]
    return [
        at
        for at in range(len(calls))
        if not (kinds[at + 2] == "delete" and kinds[at : at + 4] == ["delete"] * 4)
    ]


def test_killed_at_any_call_it_loses_nothing_and_goes_on(old: Path, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    (old / PATH / f"_gc_date={OVER}" / "stray.parquet").write_bytes(b"PAR1")
    calls = calls_of_both(old, place)
    assert {call.split()[0] for call in calls} == {"put", "sync", "keep", "create", "delete"}
    for at in telling(calls):
        store = DyingStore(copied(old, place), at, halfway=at % 2 == 1)
        keeper = upkeep(DeltaLake(store), LATER)
        with pytest.raises(Killed):
            both(keeper)
        again = DeltaLake(place)
        again.resume()
        assert again.recover(PATH, COUNT - 1).cut == (), calls[at]
        assert (rows(again), again.txn(PATH, APP)) == (expected(COUNT), COUNT - 1), calls[at]
        read = READERS[at % len(READERS)](place / PATH)
        assert sorted(read["id"].to_pylist()) == list(range(COUNT)), calls[at]
        both(upkeep(again, LATER + 4 * 3600))
        assert (rows(again), again.txn(PATH, APP)) == (expected(COUNT), COUNT - 1), calls[at]
        assert data_files(place) == live_files(again), calls[at]


# --- any sequence


class Plain:
    """The model: what was appended, and nothing else."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[int] = []
        self.hours = 0.0
        self.lake = DeltaLake(root)
        self.synced = -1

    def do(self, op: tuple[object, ...]) -> None:
        match op:
            case ("append", int(count), bool(today)):
                self.append(self.lake, count, TODAY if today else OVER)
            case ("visit", int(hours)):
                self.hours += hours
                self.keeper(self.lake).visit(PATH)
            case ("sweep", int(hours)):
                self.hours += hours
                self.keeper(self.lake).sweep(PATH)
            case ("checkpoint",):
                self.lake.checkpoint(PATH)
            case ("kill", int(at), bool(halfway), str(what)):
                self.kill(DyingStore(self.root, at, halfway=halfway), what)

    def keeper(self, lake: DeltaLake) -> Upkeep:
        return upkeep(lake, NOW + self.hours * 3600, commits=3)

    def append(self, lake: DeltaLake, count: int, day: dt.date) -> None:
        first = len(self.rows)
        version = lake.append(
            PATH, numbered(*range(first, first + count), day=day), [Txn(APP, first + count)]
        )
        lake.make_durable(PATH, version)
        self.rows += range(first, first + count)
        self.synced = version

    def kill(self, store: DyingStore, what: str) -> None:
        lake = DeltaLake(store)
        try:
            match what:
                case "append":
                    self.append(lake, 3, OVER)
                case "visit":
                    self.keeper(lake).visit(PATH)
                case _:
                    self.keeper(lake).sweep(PATH)
        except Killed:
            pass
        self.lake = DeltaLake(self.root)
        self.lake.resume()
        found = self.lake.recover(PATH, self.synced)
        assert found.version >= self.synced
        if (landed := self.lake.txn(PATH, APP) or 0) > len(
            self.rows
        ):  # the append was whole when it was killed
            self.rows += range(len(self.rows), landed)
        self.synced = found.version

    def check(self) -> None:
        if self.rows or self.lake.schema(PATH) is not None:
            assert sorted(self.lake.read(PATH, ["id"])["id"].to_pylist()) == self.rows
            assert (self.lake.txn(PATH, APP) or 0) == len(self.rows)


ops = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 3), st.booleans()),
    st.tuples(st.just("append"), st.integers(1, 3), st.booleans()),
    st.tuples(st.just("visit"), st.sampled_from([0, 1, 4])),
    st.tuples(st.just("sweep"), st.sampled_from([0, 4])),
    st.just(("checkpoint",)),
    st.tuples(
        st.just("kill"),
        st.integers(0, 25),
        st.booleans(),
        st.sampled_from(["append", "visit", "visit", "sweep"]),
    ),
)


@settings(max_examples=8, deadline=None)
@given(st.lists(ops, min_size=8, max_size=30), st.integers(0, 40))
def test_whatever_is_done_and_killed_in_any_order_the_rows_are_those_appended(
    steps: list[tuple[object, ...]], before: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        plain = Plain(Path(directory) / "lake")
        for _ in range(before):
            plain.append(plain.lake, 1, OVER)
        for op in steps:
            plain.do(op)
            plain.check()
        plain.lake = DeltaLake(plain.root)
        plain.lake.recover(PATH, -1)
        plain.check()
        if plain.rows:
            for reader in READERS:
                assert sorted(reader(plain.root / PATH)["id"].to_pylist()) == plain.rows


@pytest.mark.parametrize("left", [".{}.new", "{}.new", "{}"], ids=["a draft", "another store's", "torn"])
def test_an_intent_that_was_never_whole_is_none(tmp_path: Path, left: str) -> None:
    """Killed while it said what it was about to rewrite: nothing was rewritten yet, and the next start goes on."""
    lake = DeltaLake(tmp_path)
    lake.make_durable(PATH, lake.append(PATH, numbered(1), [Txn(APP, 1)]))
    intents = tmp_path / "_system" / "rewriting"
    intents.mkdir(parents=True)
    (intents / left.format(digest(PATH.encode()))).write_bytes(b"changes/h1/his/")
    again = DeltaLake(tmp_path)
    again.resume()
    assert list(intents.iterdir()) == []
    assert rows(again) == expected(2)[1:]
