"""The lake in a bucket: what an object store does wrong, and what is there afterwards."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import polars
import pyarrow as pa
import pytest

from central_ingest.landing.bucket import Bucket, Credentials
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Recovery, Txn
from central_ingest.landing.multiparts import Api, give_up_old
from central_ingest.landing.objects import Objects
from central_ingest.landing.objectstore import ObjectStore, StoreAway, StoreRefuses, StoreUnfit
from central_ingest.landing.query import CatalogueTable, QueryEngine
from central_ingest.landing.upkeep import Upkeep
from protocol.batch import PieceHeader
from protocol.errors import Permanent, Transient
from protocol.names import TableName
from tests.objectstores import ACCESS_KEY, SECRET_KEY, Fault, ObjectServer, shared_server

APP = "h1/his/1"
PATH = "changes/h1/his/visits-0a1b2c3d"
OTHER = "changes/h1/his/drugs-0a1b2c3d"
ENTRY = "_delta_log/0"
MOTO_TIME = datetime(2010, 11, 10, 20, 48, 33, tzinfo=UTC)
"""When every upload began, as moto tells it."""


@pytest.fixture
def server() -> ObjectServer:
    server = shared_server()
    server.clear()
    return server


@pytest.fixture
def bucket(server: ObjectServer) -> str:
    return server.bucket()


def rows(*ids: int) -> pa.Table:
    dates = pa.array([dt.date(2026, 11, 1)] * len(ids), pa.date32())
    return pa.table({"id": pa.array(ids, pa.int64()), "_gc_date": dates})


def ids(lake: DeltaLake, path: str = PATH) -> list[int]:
    return sorted(lake.read(path, ["id"])["id"].to_pylist())


def append(lake: DeltaLake, number: int, path: str = PATH) -> int:
    return lake.append(path, rows(number), [Txn(APP, number)])


@pytest.mark.parametrize(
    ("do", "method"),
    [
        *(("503", "PUT"), ("cut", "PUT"), ("cut after", "PUT"), ("fail after", "PUT"), ("half", "PUT")),
        *(("500", "GET"), ("429", "GET"), ("cut", "GET"), ("half", "GET")),
    ],
)
def test_a_fault_that_passes_is_tried_again_and_nobody_hears_of_it(
    server: ObjectServer, bucket: str, do: str, method: str
) -> None:
    """Among them a create that was carried out and not answered: tried again, it meets itself. Only deltalake does not
    ask again for an entry that came in half: whoever asked it does."""
    lake = DeltaLake(server.store(bucket=bucket))
    append(lake, 1)
    server.order(Fault(do, method, PATH, times=1))
    lake.make_durable(PATH, append(lake, 2))
    server.order(Fault(do, method, PATH, times=1))
    again = DeltaLake(server.store(bucket=bucket))
    if (do, method) == ("half", "GET"):
        with pytest.raises(Transient, match="OSError"):
            ids(again)
    assert (ids(again), again.txn(PATH, APP)) == ([1, 2], 2)


@pytest.mark.parametrize("pattern", ["parquet", ENTRY])
@pytest.mark.parametrize("do", ["slow", "slow after"])
def test_an_answer_that_does_not_come_in_time_is_asked_for_again_or_looked_up(
    server: ObjectServer, bucket: str, do: str, pattern: str
) -> None:
    """A create is not repeated when nobody knows whether it was done; what stands under its name tells."""
    lake = DeltaLake(server.store(bucket=bucket, request_seconds=0.4))
    append(lake, 1)
    server.order(Fault(do, "PUT", pattern, times=1))
    if (do, pattern) == ("slow", ENTRY):
        with pytest.raises(Transient, match="StoreAway"):
            append(lake, 2)
        assert lake.recover(PATH, 0) == Recovery(0, ())
    append(lake, 2)
    assert (ids(lake), lake.txn(PATH, APP)) == ([1, 2], 2)


def test_a_commit_that_is_carried_out_long_after_it_was_given_up_lands_once(
    server: ObjectServer, bucket: str
) -> None:
    """The request lay in some queue. Whoever comes second is refused by the store, and looks again."""
    lake = DeltaLake(server.store(bucket=bucket, request_seconds=0.4))
    append(lake, 1)
    server.order(Fault("late", "PUT", ENTRY, times=1))
    with pytest.raises(Transient, match="StoreAway"):
        append(lake, 2)
    assert lake.recover(PATH, 0) == Recovery(0, ())
    assert lake.txn(PATH, APP) == 1
    server.clear()  # now it is carried out
    with pytest.raises(Transient, match="FileExistsError"):
        append(lake, 2)
    assert lake.recover(PATH, 0) == Recovery(1, ())
    assert (lake.txn(PATH, APP), ids(lake)) == (2, [1, 2])


def test_two_writers_who_race_for_one_version_lose_and_double_nothing(
    server: ObjectServer, bucket: str
) -> None:
    """As after a failover that left two daemons: each version is one's, and every row is there once."""

    def write(mine: range) -> None:
        lake = DeltaLake(server.store(bucket=bucket, request_seconds=20.0))
        for number in mine:
            while not landed(lake, number):
                pass

    def landed(lake: DeltaLake, number: int) -> bool:
        try:
            lake.append(PATH, rows(number), [Txn(f"h1/his/{number}", 1)])
        except Transient as fault:
            refused.append(str(fault.facts["reason"]))
            lake.recover(PATH, -1)
            return lake.txn(PATH, f"h1/his/{number}") == 1
        return True

    refused: list[str] = []
    append(DeltaLake(server.store(bucket=bucket)), 0)
    writers = [threading.Thread(target=write, args=(range(at, at + 6),)) for at in (100, 200)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    lake = DeltaLake(server.store(bucket=bucket))
    assert set(refused) == {"FileExistsError"}  # none: they never met
    assert ids(lake) == [0, *range(100, 106), *range(200, 206)]
    assert lake.tables() == {PATH: 12}


def test_while_it_is_away_it_is_asked_once_a_second_and_then_all_goes_on(
    server: ObjectServer, bucket: str
) -> None:
    clock = [0.0]
    store = server.store(bucket=bucket, retry_seconds=0.2, now=lambda: clock[0])
    lake = DeltaLake(store)
    for path in (PATH, OTHER):
        append(lake, 1, path)
    server.order(Fault("cut"))
    server.asked()
    with pytest.raises(Transient, match="GC-6005") as caught:
        append(lake, 2)
    assert caught.value.facts == {"path": PATH, "reason": "StoreAway"}
    assert server.asked()
    for path in (PATH, OTHER):
        with pytest.raises(Transient, match="StoreAway"):
            append(lake, 2, path)
    assert server.asked() == []
    clock[0] = 1.0
    with pytest.raises(Transient, match="StoreAway"):
        append(lake, 2, OTHER)
    assert server.asked()
    clock[0] = 2.0
    server.clear()
    for path in (PATH, OTHER):
        assert lake.recover(path, 0) == Recovery(0, ())
        append(lake, 2, path)
        assert ids(lake, path) == [1, 2]


def test_a_store_that_overwrites_where_it_should_create_gets_no_commit(
    server: ObjectServer, bucket: str
) -> None:
    server.order(Fault("overwrite", "PUT"))
    store = server.store(bucket=bucket)
    with pytest.raises(Transient, match="StoreUnfit"):
        append(DeltaLake(store), 1)
    with pytest.raises(StoreUnfit):
        store.create("a", b"1")
    assert [item.name for item in store.list("")] == ["changes/"]  # a data file that no log names
    assert store.list(f"{PATH}/_delta_log") == []


def test_a_bucket_that_is_not_there_is_no_empty_lake(server: ObjectServer) -> None:
    lake = DeltaLake(server.store(bucket="nobody-made-this", retry_seconds=0.1))
    for ask in (lake.tables, lambda: lake.schema(PATH), lambda: append(lake, 1)):
        with pytest.raises(Transient, match="StoreMissing"):
            ask()


def test_no_secret_in_anything_that_can_be_shown(
    server: ObjectServer, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = Credentials(ACCESS_KEY, SECRET_KEY, "session-token-that-no-log-shows")
    store = ObjectStore(
        Bucket(bucket, endpoint=server.url, allow_http=True, retry_seconds=0.1), lambda: given
    )
    shown = [repr(store), repr(given), repr(store.locate("x"))]
    shown.append(repr(Api(server.url, "us-east-1", ACCESS_KEY, SECRET_KEY, "token", 1.0)))
    lake = DeltaLake(store)
    append(lake, 1)
    caplog.set_level(logging.DEBUG)
    for do in ("403", "500", "cut"):
        server.order(Fault(do))
        with pytest.raises(Transient) as caught:
            DeltaLake(store).schema(PATH)
        shown += [str(caught.value), repr(caught.value), str(caught.value.__cause__)]
        with pytest.raises(OSError, match="store") as raised:
            store.get("x")
        shown.append(repr(raised.value))
    text = "\n".join([*shown, caplog.text])
    assert "StoreAway" in text
    assert "that-no-log-shows" not in text


def test_credentials_are_asked_again_and_may_be_missing_for_a_while(
    server: ObjectServer, bucket: str
) -> None:
    given: list[Credentials] = []

    def source() -> Credentials:
        if not given:
            raise Permanent("GC-1004", key="lake.credentials_file", origin="/somewhere")
        return given[0]

    store = ObjectStore(Bucket(bucket, endpoint=server.url, allow_http=True), source)
    for refused in (lambda: store.put("a", b"1"), lambda: store.locate("a")):
        with pytest.raises(StoreRefuses):
            refused()
    given.append(Credentials(ACCESS_KEY, SECRET_KEY))
    store.put("a", b"1")
    server.order(Fault("403", "GET"))
    for asked in (lambda: store.get("a"), lambda: store.list("")):
        with pytest.raises(StoreRefuses):
            asked()


def test_upkeep_queries_and_a_reader_that_is_not_ours_find_the_same(
    server: ObjectServer, bucket: str
) -> None:
    lake = DeltaLake(server.store(bucket=bucket))
    wanted = list(range(14))
    for number in wanted:
        append(lake, number)
    later = time.time() + 3_600
    upkeep = Upkeep(lake, reader_hours=0.1, checkpoint_commits=5, wall=lambda: later)
    upkeep.visit(PATH)
    append(lake, 14)
    upkeep.sweep(PATH)
    wanted.append(14)
    assert len(lake.files(PATH)) < 5
    assert len(server.store(bucket=bucket).list(f"{PATH}/_gc_date=2026-11-01")) < 5
    again = DeltaLake(server.store(bucket=bucket))
    assert again.recover(PATH, -1).cut == ()
    assert (ids(again), again.txn(PATH, APP)) == (wanted, 14)
    table = TableName("db", None, "visit")
    engine = QueryEngine([CatalogueTable("h1", "his", table, PATH, ("id",), "h1.his.visit")], again.dataset)
    found = engine.query('SELECT id FROM changes."h1.his.visit" ORDER BY id')
    assert found["id"].to_pylist() == wanted
    options = {
        "aws_endpoint_url": server.url,
        "aws_region": "us-east-1",
        "aws_access_key_id": ACCESS_KEY,
        "aws_secret_access_key": SECRET_KEY,
        "aws_allow_http": "true",
    }
    read = polars.read_delta(f"s3://{bucket}/lake/{PATH}", storage_options=options)
    assert sorted(read["id"].to_list()) == wanted


def test_a_start_asks_once_for_each_table_that_is_as_the_ledger_says(
    server: ObjectServer, bucket: str
) -> None:
    first = DeltaLake(server.store(bucket=bucket))
    for path in (PATH, OTHER):
        for number in range(3):
            append(first, number, path)
    lake = DeltaLake(server.store(bucket=bucket))
    server.asked()
    assert lake.recover_all({PATH: 2, OTHER: 1}) == {PATH: Recovery(2, ()), OTHER: Recovery(2, ())}
    assert sum("visits" in one for one in server.asked()) == 1
    assert lake.tables() == {PATH: 2, OTHER: 2}
    folders = 4  # the root, changes, site, source
    assert len(server.asked()) == folders + 2 * 2
    server.order(Fault("403", "GET", "drugs"))
    with pytest.raises(Transient, match="StoreRefuses"):
        lake.recover_all({PATH: 2, OTHER: 2})


CONTENT = bytes(range(256)) * 80_000
SHA = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


def piece(offset: int) -> PieceHeader:
    return PieceHeader(captured=0, sha256=SHA, size=len(CONTENT), offset=offset)


def test_a_large_value_is_there_whole_or_not_at_all_and_nothing_is_left(
    server: ObjectServer, bucket: str, tmp_path: Path
) -> None:
    store = server.store(bucket=bucket, prefix="lake/files", retry_seconds=0.2, request_seconds=10.0)
    objects = Objects(tmp_path, store)
    assert objects.add("h1", piece(0), CONTENT[:HALF]) is False
    server.order(Fault("cut", "PUT|DELETE|POST", "uploadId"))
    with pytest.raises(Transient, match="GC-6005"):
        objects.add("h1", piece(HALF), CONTENT[HALF:])
    server.clear()
    again = Objects(tmp_path, server.store(bucket=bucket, prefix="lake/files", request_seconds=10.0))
    assert not again.has("h1", SHA)
    assert again.add("h1", piece(HALF), CONTENT[HALF:]) is True
    assert again.read("h1", SHA) == CONTENT
    assert list(tmp_path.rglob("*.part")) == []
    assert again.add("h1", piece(0), CONTENT[:HALF]) is True  # the edge sends it again: it is there
    left = server.ask("GET", f"/{bucket}?uploads").count(b"<UploadId>")
    api = Api(f"{server.url}/{bucket}", "us-east-1", ACCESS_KEY, SECRET_KEY, "", 5.0)
    assert left == 1
    assert give_up_old(api, "lake", MOTO_TIME + dt.timedelta(hours=23)) == 0
    assert give_up_old(api, "other", MOTO_TIME + dt.timedelta(days=2)) == 0
    assert server.store(bucket=bucket).clear_uploads() == 1
    assert b"<UploadId>" not in server.ask("GET", f"/{bucket}?uploads")
    assert again.read("h1", SHA) == CONTENT


def test_what_is_away_when_uploads_are_cleared_is_said_so(server: ObjectServer, bucket: str) -> None:
    server.order(Fault("500", "GET", "uploads"))
    with pytest.raises(StoreAway):
        server.store(bucket=bucket).clear_uploads()
