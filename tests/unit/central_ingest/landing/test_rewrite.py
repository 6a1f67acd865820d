"""Commits that remove data files and add others: what readers, appends and a power cut make of them."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Recovery, Txn
from central_ingest.landing.tablestate import LiveFile
from protocol.errors import Transient
from tests.foreign import keys

from .delta_tables import APP, DAY, PATH, data_file, ids, log, rows

CURRENT = "current/h1/his/visits-0a1b2c3d"


def appended(lake: DeltaLake, count: int) -> list[LiveFile]:
    for one in range(count):
        lake.append(PATH, rows(one, name=pa.array([f"n{one}"])), [Txn(APP, one)])
    return lake.files(PATH)


def joined(lake: DeltaLake, files: list[LiveFile]) -> Iterator[pa.Table]:
    yield pa.concat_tables([piece for one in files for piece in lake.read_file(PATH, one)])


def data_files(root: Path) -> set[str]:
    return {file.name for file in root.rglob("*.parquet") if "_delta_log" not in file.parts}


def test_live_files_say_what_they_hold(lake: DeltaLake) -> None:
    assert lake.files(PATH) == []
    two = pa.table({"_gc_seq": [4, 9], "_gc_date": pa.array([DAY, DAY], pa.date32())})
    lake.append(PATH, two, [])
    (found,) = lake.files(PATH)
    assert (found.rows, found.partition) == (2, {"_gc_date": str(DAY)})
    assert (found.stats["minValues"], found.stats["maxValues"]) == ({"_gc_seq": 4}, {"_gc_seq": 9})
    assert found.size > 0


def test_joined_files_hold_the_same_rows_and_nobody_who_follows_sees_a_change(
    lake: DeltaLake, root: Path
) -> None:
    files = appended(lake, 4)
    lake.append(PATH, rows(9, late=pa.array([True])), [Txn("h1/his/2", 1)])
    before = sorted(lake.read(PATH).to_pylist(), key=lambda row: row["id"])
    assert lake.rewrite(PATH, files, joined(lake, files), changes_rows=False) == 5
    again = DeltaLake(root)
    for one in (lake, again):
        assert sorted(one.read(PATH).to_pylist(), key=lambda row: row["id"]) == before
        assert (one.txn(PATH, APP), one.txn(PATH, "h1/his/2")) == (3, 1)
        assert len(one.files(PATH)) == 2
    assert (
        keys(root / PATH, "id", "name", "late")
        == [[(0, "n0", None), (1, "n1", None), (2, "n2", None), (3, "n3", None), (9, None, True)]] * 3
    )
    actions = [json.loads(line) for line in log(root, 5).read_text().splitlines()][1:]
    assert {next(iter(one.values()))["dataChange"] for one in actions} == {False}
    assert lake.append(PATH, rows(5), [Txn(APP, 5)]) == 6
    assert again.recover(PATH, 3) == Recovery(6, ())
    assert ids(again) == [0, 1, 2, 3, 5, 9]


def test_what_is_not_live_any_more_is_not_removed_twice(lake: DeltaLake, root: Path) -> None:
    files = appended(lake, 3)
    assert lake.rewrite(PATH, files[:2], joined(lake, files[:2]), changes_rows=False) == 3
    there = data_files(root)
    assert lake.rewrite(PATH, files[1:], joined(lake, files[1:]), changes_rows=False) is None
    assert (lake.tables(), data_files(root)) == ({PATH: 3}, there)

    def meanwhile() -> Iterator[pa.Table]:
        now = lake.files(PATH)
        assert lake.rewrite(PATH, now[:1], joined(lake, now[:1]), changes_rows=False) == 4
        yield rows(77)

    assert lake.rewrite(PATH, lake.files(PATH), meanwhile(), changes_rows=False) is None
    assert ids(DeltaLake(root)) == [0, 1, 2]
    assert len(data_files(root)) == len(there) + 1


def test_appends_go_on_while_files_are_written(lake: DeltaLake, root: Path) -> None:
    """They come from another thread, between the first part and the commit, and neither loses its turn."""
    files = appended(lake, 2)
    written, gone_on = threading.Event(), threading.Event()

    def append() -> None:
        written.wait(60)
        for one in (7, 8):
            lake.make_durable(PATH, lake.append(PATH, rows(one), [Txn(APP, one)]))
        gone_on.set()

    def parts() -> Iterator[pa.Table]:
        yield from joined(lake, files)
        written.set()
        assert gone_on.wait(60)

    appender = threading.Thread(target=append)
    appender.start()
    version = lake.rewrite(PATH, files, parts(), changes_rows=False)
    appender.join()
    assert version == 4
    again = DeltaLake(root)
    assert (ids(again), again.txn(PATH, APP), again.tables()) == ([0, 1, 7, 8], 8, {PATH: 4})


def test_parts_are_written_one_by_one_and_give_their_room_back_when_one_fails(
    lake: DeltaLake, root: Path
) -> None:
    files = appended(lake, 2)
    before = data_files(root)

    def parts() -> Iterator[pa.Table]:
        for count in range(3):
            assert len(data_files(root)) == len(before) + count
            yield rows(count)
        raise Transient("GC-6005", path=PATH, reason="ordered")

    with pytest.raises(Transient, match="GC-6005"):
        lake.rewrite(PATH, files, parts(), changes_rows=True)
    assert data_files(root) == before
    assert (lake.tables(), ids(lake)) == ({PATH: 1}, [0, 1])


def test_a_table_with_partitions_of_its_own_is_made_by_its_first_rewrite(root: Path) -> None:
    lake = DeltaLake(root)
    shape = ("桶", "region")
    part = pa.table({"桶": [1, 1, 2], "region": ["a b/%ü", None, "a b/%ü"], "id": [10, 11, 12]})
    assert lake.rewrite(CURRENT, [], [part.slice(0, 0)], changes_rows=True, partition=shape) == 0
    assert lake.rewrite(CURRENT, [], [part], changes_rows=True, txns=[Txn("x", 4)]) == 1
    files = {(f.partition["桶"], f.partition["region"]): f for f in lake.files(CURRENT)}
    assert files.keys() == {("1", "a b/%ü"), ("1", None), ("2", "a b/%ü")}
    gone = files["1", "a b/%ü"]
    new = pa.table({"桶": [1], "region": ["a b/%ü"], "id": [13], "more": ["x"]})
    assert lake.rewrite(CURRENT, [gone], [new], changes_rows=True) == 2
    expected = [(1, "a b/%ü", 13, "x"), (1, None, 11, None), (2, "a b/%ü", 12, None)]
    for found in keys(root / CURRENT, "桶", "region", "id", "more"):
        assert found == expected
    again = DeltaLake(root)
    (piece,) = again.read_file(CURRENT, files["1", None])
    assert piece.to_pylist() == [{"桶": 1, "region": None, "id": 11, "more": None}]
    assert again.txn(CURRENT, "x") == 4
    for value in ("", 1.5, dt.datetime(2026, 1, 1)):
        with pytest.raises(ValueError, match="partition"):
            lake.rewrite("current/x", [], [pa.table({"p": [value]})], changes_rows=True, partition=("p",))


# --- after a power cut


@pytest.mark.parametrize("place", [log, data_file])
def test_a_rewrite_that_is_cut_gives_back_what_it_removed(root: Path, place: object) -> None:
    lake = DeltaLake(root)
    files = appended(lake, 3)
    lake.rewrite(PATH, files, joined(lake, files), changes_rows=False)
    lake.append(PATH, rows(3), [Txn(APP, 3)])
    place(root, 3).write_bytes(b"")  # type: ignore[operator]
    again = DeltaLake(root)
    assert again.recover(PATH, 1) == Recovery(2, (3, 4))
    assert (ids(again), again.txn(PATH, APP), len(again.files(PATH))) == ([0, 1, 2], 2, 3)


def test_a_removed_file_that_is_gone_is_missed_by_nobody(lake: DeltaLake, root: Path) -> None:
    files = appended(lake, 3)
    lake.rewrite(PATH, files, joined(lake, files), changes_rows=False)
    data_file(root, 1).unlink()
    again = DeltaLake(root)
    assert again.recover(PATH, -1) == Recovery(3, ())
    assert ids(again) == [0, 1, 2]


def test_a_file_whose_removal_was_cut_is_looked_at(lake: DeltaLake, root: Path) -> None:
    """It is gone, and what replaced it is torn: what remains is what is whole, not what the log says."""
    files = appended(lake, 3)
    lake.rewrite(PATH, files, joined(lake, files), changes_rows=False)
    data_file(root, 1).unlink()
    data_file(root, 3).write_bytes(b"PAR1")
    again = DeltaLake(root)
    assert again.recover(PATH, -1) == Recovery(0, (1, 2, 3))
    assert ids(again) == [0]


def test_versions_that_stand_for_something_else_by_now_stop_a_rewrite(lake: DeltaLake, root: Path) -> None:
    files = appended(lake, 3)

    def parts() -> Iterator[pa.Table]:
        yield from joined(lake, files)
        log(root, 2).write_bytes(b"")
        assert lake.recover(PATH, 1) == Recovery(1, (2,))
        lake.append(PATH, rows(2, name=pa.array(["again"])), [Txn(APP, 2)])

    assert lake.rewrite(PATH, files, parts(), changes_rows=False) is None
    assert sorted(lake.read(PATH, ["id", "name"])["name"].to_pylist()) == ["again", "n0", "n1"]
