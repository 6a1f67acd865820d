"""What every lake promises: in Delta tables, on a disk and in a bucket, or in memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing import evolution
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Lake, Recovery, Txn
from central_ingest.landing.localstore import LocalStore
from central_ingest.landing.memory import MemoryLake
from central_ingest.landing.recovery import log_entry
from central_ingest.landing.store import Store
from protocol.errors import Permanent, Transient
from tests.objectstores import shared_server

APP = "h1/his/1"
PATH = "changes/h1/his/visits-0a1b2c3d"


class Ground(Protocol):
    """What a lake stands on: it outlives the lake, and a power cut can take commits from it."""

    def open(self) -> Lake: ...

    def lose(self, path: str, lost: set[int]) -> None: ...


class DeltaGround:
    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store

    def open(self) -> Lake:
        return DeltaLake(self._open_store())

    def lose(self, path: str, lost: set[int]) -> None:
        """A bucket has no power to lose; what stands in it may still be damaged."""
        for version in lost:
            self._open_store().put(log_entry(path, version), b"")


class MemoryGround:
    def __init__(self) -> None:
        self._lake = MemoryLake()

    def open(self) -> Lake:
        return self._lake

    def lose(self, path: str, lost: set[int]) -> None:
        self._lake.cut_power(lambda at, version: at != path or version not in lost)


@contextmanager
def delta_ground() -> Iterator[Ground]:
    with TemporaryDirectory() as directory:
        yield DeltaGround(lambda: LocalStore(Path(directory)))


@contextmanager
def bucket_ground() -> Iterator[Ground]:
    server = shared_server()
    bucket = server.bucket()
    yield DeltaGround(lambda: server.store(bucket=bucket))


@contextmanager
def memory_ground() -> Iterator[Ground]:
    yield MemoryGround()


GROUNDS: dict[str, Callable[[], AbstractContextManager[Ground]]] = {
    "delta": delta_ground,
    "bucket": bucket_ground,
    "memory": memory_ground,
}


@pytest.fixture(params=list(GROUNDS))
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with GROUNDS[request.param]() as ground:
        yield ground


def rows(*ids: int, day: int = 1, **more: pa.Array) -> pa.Table:
    dates = pa.array([dt.date(2026, 11, day)] * len(ids), pa.date32())
    return pa.table({"id": pa.array(ids, pa.int64()), **more, "_gc_date": dates})


def ids(lake: Lake, path: str = PATH) -> list[int]:
    return sorted(lake.read(path, ["id"])["id"].to_pylist())


def test_a_table_that_is_not_there(ground: Ground) -> None:
    lake = ground.open()
    assert lake.schema(PATH) is None
    assert lake.txn(PATH, APP) is None
    assert lake.tables() == {}
    assert lake.recover(PATH, -1) == Recovery(-1, ())
    with pytest.raises(FileNotFoundError):
        lake.read(PATH)


def test_versions_rise_by_one_and_rows_and_transactions_come_together(ground: Ground) -> None:
    lake = ground.open()
    assert lake.append(PATH, rows(1, 2), [Txn(APP, 7)]) == 0
    assert lake.append(PATH, rows(3), [Txn(APP, 9), Txn("h1/his/2", 1)]) == 1
    assert ids(lake) == [1, 2, 3]
    assert lake.txn(PATH, APP) == 9
    assert lake.txn(PATH, "h1/his/2") == 1
    assert lake.txn(PATH, "h1/his/3") is None
    assert lake.tables() == {PATH: 1}


def test_what_is_durable_stands_when_the_lake_is_opened_again(ground: Ground) -> None:
    lake = ground.open()
    lake.make_durable(PATH, lake.append(PATH, rows(1), [Txn(APP, 1)]))
    lake.append(PATH, rows(2, day=2), [Txn(APP, 2)])
    lake.make_durable(PATH, 1)
    again = ground.open()
    assert (ids(again), again.txn(PATH, APP), again.tables()) == ([1, 2], 2, {PATH: 1})
    assert again.append(PATH, rows(3), [Txn(APP, 3)]) == 2
    assert (ids(again), again.txn(PATH, APP)) == ([1, 2, 3], 3)


def test_the_lake_records_transactions_and_does_not_enforce_them(ground: Ground) -> None:
    lake = ground.open()
    lake.append(PATH, rows(1), [Txn(APP, 5)])
    lake.append(PATH, rows(1), [Txn(APP, 5)])
    assert ids(lake) == [1, 1]
    lake.append(PATH, rows(2), [Txn(APP, 3)])
    assert lake.txn(PATH, APP) == 3
    assert ground.open().txn(PATH, APP) == 3


def test_an_append_without_rows_keeps_its_transaction(ground: Ground) -> None:
    lake = ground.open()
    lake.append(PATH, rows(), [Txn(APP, 1)])
    lake.append(PATH, rows(), [Txn(APP, 2)])
    again = ground.open()
    assert (again.txn(PATH, APP), ids(again), again.tables()) == (2, [], {PATH: 1})


def test_new_columns_are_added_and_missing_ones_are_null(ground: Ground) -> None:
    lake = ground.open()
    lake.append(PATH, rows(1), [])
    lake.append(PATH, rows(2, name=pa.array(["王"])), [])
    lake.append(PATH, pa.table({"_gc_date": [dt.date(2026, 11, 3)], "name": ["李"]}), [])
    for one in (lake, ground.open()):
        schema = one.schema(PATH)
        assert schema is not None
        assert (schema.names, schema.field("name").type) == (["id", "_gc_date", "name"], pa.string())
        found = {(row["id"], row["name"]) for row in one.read(PATH).to_pylist()}
        assert found == {(1, None), (2, "王"), (None, "李")}
        assert one.read(PATH, ["name", "id"]).schema.names == ["name", "id"]


def test_each_type_of_a_column_is_a_column_of_its_own_and_one_that_comes_back_goes_on(ground: Ground) -> None:
    lake = ground.open()
    values = [
        pa.array([1], pa.int32()),
        pa.array(["一"]),
        pa.array([None], pa.int64()),
        pa.array([2], pa.int32()),
    ]
    for one, value in enumerate(values):
        lake.append(PATH, rows(one, n=value), [Txn(APP, one)])
    for again in (lake, ground.open()):
        schema = again.schema(PATH)
        assert schema is not None
        assert [(f.name, f.type) for f in schema if f.name not in ("id", "_gc_date")] == [
            ("n", pa.int32()),
            ("_gc_gen2_n", pa.string()),
            ("_gc_gen3_n", pa.int64()),
        ]
        assert evolution.newest(schema.field("n")) == 1
        found = {r["id"]: (r["n"], r["_gc_gen2_n"], r["_gc_gen3_n"]) for r in again.read(PATH).to_pylist()}
        assert found == {0: (1, None, None), 1: (None, "一", None), 2: (None, None, None), 3: (2, None, None)}
        assert (again.txn(PATH, APP), again.tables()) == (3, {PATH: 3})
    ground.open().append(PATH, rows(4, n=values[1]), [])
    schema = ground.open().schema(PATH)
    assert schema is not None
    assert evolution.newest(schema.field("n")) == 2


def test_generations_of_columns_that_differ_in_case_are_apart(ground: Ground) -> None:
    lake = ground.open()
    for number, kind in enumerate((pa.int32(), pa.int64())):
        names = {
            "n": pa.array([number], kind),
            "N": pa.array([number + 10], kind),
            "_gc_x__gc_gen2_n": pa.array([7]),
        }
        lake.append(PATH, rows(number, **names), [])
    found = {r.pop("id"): r for r in ground.open().read(PATH).to_pylist()}
    assert [r | {"_gc_date": None} for r in (found[0], found[1])] == [
        {"_gc_date": None, "n": 0, "N": 10, "_gc_x__gc_gen2_n": 7, "_gc_gen2_n": None, "_gc_gen2_N": None},
        {"_gc_date": None, "n": None, "N": None, "_gc_x__gc_gen2_n": 7, "_gc_gen2_n": 1, "_gc_gen2_N": 11},
    ]


def told(of: pa.Table, schema: str, key: Sequence[str], seq: int, comment: str = "") -> pa.Table:
    return of.replace_schema_metadata(evolution.facts_of_rows(schema, tuple(key), comment, 1, seq))


def test_the_schemas_and_keys_that_a_table_had_are_noted_and_what_is_not_said_stays(ground: Ground) -> None:
    lake = ground.open()
    lake.append(PATH, told(rows(1), "aa", ["id"], 2, "就诊"), [])
    lake.append(PATH, told(rows(2), "aa", ["id"], 3, "就诊"), [])
    lake.append(PATH, told(rows(3), "bb", ["id"], 4, "visits"), [])
    lake.append(PATH, rows(4), [])
    for name, key, seq in (("cc", ("id", "no"), 5), ("aa", ("id",), 6), ("bb", ("id",), 7)):
        lake.append(PATH, told(rows(seq), name, key, seq), [])
    for one in (lake, ground.open()):
        schema = one.schema(PATH)
        assert schema is not None
        eras = evolution.history(schema.metadata)
        assert [(e.schema, e.since.seq, e.key) for e in eras] == [
            ("aa", 2, ("id",)),
            ("bb", 4, ("id",)),
            ("cc", 5, ("id", "no")),
            ("aa", 6, ("id",)),
        ]
        assert [e.since.seq for e in evolution.keys(schema.metadata)] == [2, 5, 6]
        assert schema.metadata[evolution.SCHEMA] == b"bb"
        assert b"comment" not in schema.metadata
        assert one.read(PATH).schema.metadata == schema.metadata


def test_what_the_source_says_of_a_column_is_kept_until_it_says_otherwise(ground: Ground) -> None:
    lake = ground.open()
    for seq, comment in enumerate(("姓名", "name")):
        one = pa.field("name", pa.string(), metadata={"comment": comment, "delta.x": "1"})
        dates = rows(seq)["_gc_date"]
        part = pa.table([pa.array(["王"]), dates], pa.schema([one, pa.field("_gc_date", pa.date32())]))
        lake.append(PATH, part, [])
        lake.append(PATH, rows(9, name=pa.array(["李"])), [])
        for again in (lake, ground.open()):
            schema = again.schema(PATH)
            assert schema is not None
            assert schema.field("name").metadata == {b"comment": comment.encode()}


@pytest.mark.parametrize(
    "kind",
    [pa.uint64(), pa.float16(), pa.time64("us"), pa.timestamp("ns"), pa.duration("us"), pa.null()],
    ids=str,
)
def test_what_the_lake_would_round_or_refuse_parks_the_table(ground: Ground, kind: pa.DataType) -> None:
    with pytest.raises(Permanent, match="GC-6004"):
        ground.open().append(PATH, rows(1, n=pa.nulls(1, kind)), [])


def test_rows_without_a_date_are_our_own_mistake(ground: Ground) -> None:
    lake = ground.open()
    with pytest.raises(ValueError, match="_gc_date"):
        lake.append(PATH, pa.table({"id": [1]}), [])
    with pytest.raises(ValueError, match="_gc_date"):
        lake.append(PATH, pa.table({"id": [1], "_gc_date": pa.nulls(1, pa.date32())}), [])


def test_a_durable_version_that_does_not_exist_is_not_confirmed(ground: Ground) -> None:
    lake = ground.open()
    lake.append(PATH, rows(1), [])
    with pytest.raises(Transient, match="GC-6005"):
        lake.make_durable(PATH, 1)


def test_a_schema_is_kept_beside_the_tables_and_is_none(ground: Ground) -> None:
    lake = ground.open()
    assert lake.kept_schema(b"f" * 32) is None
    lake.keep_schema(b"f" * 32, b'{"v":1}')
    lake.keep_schema(b"f" * 32, b'{"v":1}')
    lake.keep_schema(b"g" * 32, b"{}")
    again = ground.open()
    assert (again.kept_schema(b"f" * 32), again.kept_schema(b"g" * 32)) == (b'{"v":1}', b"{}")
    assert again.tables() == {}


def test_tables_are_apart(ground: Ground) -> None:
    lake = ground.open()
    other = "changes/h2/his/visits-0a1b2c3d"
    lake.append(PATH, rows(1), [Txn(APP, 1)])
    lake.append(other, rows(2, x=pa.array([True])), [Txn(APP, 2)])
    assert (ids(lake), ids(lake, other)) == ([1], [2])
    assert (lake.txn(PATH, APP), lake.txn(other, APP)) == (1, 2)
    assert lake.tables() == {PATH: 0, other: 0}


def test_recovery_cuts_at_the_first_lost_commit_and_what_follows_lands_again(ground: Ground) -> None:
    lake = ground.open()
    for one in range(5):
        lake.append(PATH, rows(one), [Txn(APP, one)])
    lake.make_durable(PATH, 1)
    ground.lose(PATH, {3})
    again = ground.open()
    assert again.recover(PATH, 1) == Recovery(2, (3, 4))
    assert (ids(again), again.txn(PATH, APP), again.tables()) == ([0, 1, 2], 2, {PATH: 2})
    assert again.append(PATH, rows(3), [Txn(APP, 3)]) == 3
    again.make_durable(PATH, 3)
    assert (ids(again), again.txn(PATH, APP)) == ([0, 1, 2, 3], 3)
    assert ground.open().recover(PATH, 3) == Recovery(3, ())


def test_a_table_that_was_lost_whole_is_made_anew(ground: Ground) -> None:
    lake = ground.open()
    lake.append(PATH, rows(1), [Txn(APP, 1)])
    ground.lose(PATH, {0})
    again = ground.open()
    assert again.recover(PATH, -1) == Recovery(-1, (0,))
    assert (again.tables(), again.schema(PATH), again.txn(PATH, APP)) == ({}, None, None)
    assert again.append(PATH, rows(2, other=pa.array(["x"])), [Txn(APP, 1)]) == 0
    assert ids(again) == [2]


Step = tuple[int, bool]


def losses(examples: int) -> Callable[..., Any]:
    def decorate(test: Callable[..., None]) -> Any:
        appends = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6)
        drawn = given(appends=appends, lost=st.sets(st.integers(0, 5)))
        return settings(max_examples=examples, deadline=None)(drawn(test))

    return decorate


@pytest.mark.parametrize("name", [name for name in GROUNDS if name != "bucket"])
@losses(25)
def test_whatever_is_lost_a_prefix_remains(name: str, appends: list[Step], lost: set[int]) -> None:
    _a_prefix_remains(name, appends, lost)


@losses(3)
def test_whatever_is_damaged_in_a_bucket_a_prefix_remains(appends: list[Step], lost: set[int]) -> None:
    _a_prefix_remains("bucket", appends, lost)


def _a_prefix_remains(name: str, appends: list[Step], lost: set[int]) -> None:
    """Rows are numbered: what is there after recovery is the rows of the first commits, each once."""
    with GROUNDS[name]() as ground:
        lake = ground.open()
        synced, number, ends = -1, 0, []
        for count, durable in appends:
            version = lake.append(PATH, rows(*range(number, number + count)), [Txn(APP, number + count)])
            number += count
            ends.append(number)
            if durable:
                lake.make_durable(PATH, version)
                synced = version
        losable = {version for version in lost if synced < version < len(appends)}
        ground.lose(PATH, losable)
        last = min(losable, default=len(appends)) - 1
        again = ground.open()
        assert again.recover(PATH, synced) == Recovery(last, tuple(range(last + 1, len(appends))))
        assert again.txn(PATH, APP) == (ends[last] if last >= 0 else None)
        if last >= 0:
            assert ids(again) == list(range(ends[last]))
