"""The lander's rules one by one; `test_lander_crash` mixes them with crashes."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from central_ingest.landing import evolution
from central_ingest.landing.lake import Txn
from central_ingest.ledger.ledger import InventoryLine
from protocol.batch import MarkHeader, encode_batch, encode_mark
from protocol.change import KEY, OP_CODES, MarkKind, Op
from protocol.envelope import Kind
from protocol.errors import Transient
from protocol.names import Stream, TableName
from protocol.schema import Column, TableSchema

from ..sender import (
    CAPTURED,
    LOST_KEY,
    OTHER_STREAM,
    STREAM,
    VISITS,
    Sender,
    a_batch,
    a_mark,
    a_piece,
    table,
)
from .ground import Ground

DRUGS = table("drugs", "name")


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path / "files")


@pytest.fixture
def sender(ground: Ground) -> Sender:
    sender = Sender()
    ground.begin(sender)
    ground.start()
    return sender


def schema(sender: Sender, one: TableSchema = VISITS) -> bytes:
    return sender.send(Kind.SCHEMA, one.content)


def batch(sender: Sender, *ids: int, of: TableSchema = VISITS) -> bytes:
    return sender.send(Kind.BATCH, a_batch(of, list(ids)))


def visits(ground: Ground, stream: Stream = STREAM) -> list[tuple[int, int, int]]:
    return ground.versions(stream, VISITS.table)


def path_of(ground: Ground, one: TableSchema = VISITS, stream: Stream = STREAM) -> str:
    record = ground.record(stream, one.table)
    assert record is not None
    return record.path


def test_a_batch_lands_with_its_transaction(ground: Ground, sender: Sender) -> None:
    ground.write(schema(sender), batch(sender, 1, 2), batch(sender, 3))
    ground.land()
    record = ground.record(STREAM, VISITS.table)
    assert record is not None
    assert ground.lake.read(record.path, ["id", "name"]).to_pylist() == [
        {"id": i, "name": f"name{i}"} for i in (1, 2, 3)
    ]
    assert visits(ground) == [(1, 2, 0), (1, 2, 1), (1, 3, 0)]
    assert ground.lake.txn(record.path, "h1/his/1") == 3
    assert (record.key, record.fingerprint, record.rows) == (("id",), VISITS.fingerprint, 3)
    assert record.synced_version == 0
    assert ground.low_water(STREAM) == ground.journal.end
    assert (ground.metrics.rows_landed, ground.metrics.commits) == (3, 1)


def test_rows_wait_until_they_are_due(ground: Ground, sender: Sender) -> None:
    first = ground.write(schema(sender), batch(sender, 1))
    ground.clock = 5.0
    assert 0 < ground.lander.step() <= 1.0
    assert (visits(ground), ground.lander.pending_rows) == ([], 1)
    assert ground.low_water(STREAM) > first  # the schema is durable, the batch is not
    assert ground.low_water(STREAM) < ground.journal.end
    ground.clock = 8.0
    ground.lander.step()
    assert (visits(ground), ground.lander.pending_rows) == ([(1, 2, 0)], 0)
    assert ground.lander.backlog_bytes == 0


def test_what_came_while_a_commit_was_in_doubt_lands_once(ground: Ground, sender: Sender) -> None:
    """The first rows are in the lake, their commit was not seen to end, and more rows came since."""
    ground.write(schema(sender), batch(sender, 1))
    ground.lake.plan = ["after"]
    with pytest.raises(Transient):
        ground.lander.step(everything=True)
    ground.write(batch(sender, 2))
    ground.land()
    assert visits(ground) == [(1, 2, 0), (1, 3, 0)]
    record = ground.record(STREAM, VISITS.table)
    assert record is not None
    assert record.rows == 2


@pytest.mark.parametrize("plan", [["before"], ["after"], ["", "before"], ["", "after"], ["after", "before"]])
def test_a_store_that_fails_for_a_moment_loses_and_doubles_nothing(
    ground: Ground, sender: Sender, plan: list[str]
) -> None:
    ground.write(schema(sender), batch(sender, 1), batch(sender, 2))
    ground.lake.plan = list(plan)
    for _ in range(4):
        with suppress(Transient):
            ground.lander.step(everything=True)
    ground.land()
    assert visits(ground) == [(1, 2, 0), (1, 3, 0)]


def test_one_table_whose_store_fails_does_not_hold_up_the_others(ground: Ground, sender: Sender) -> None:
    ground.write(schema(sender), batch(sender, 1), schema(sender, DRUGS), batch(sender, 2, of=DRUGS))
    ground.lander.step()
    ground.lake.broken = {path_of(ground)}
    with pytest.raises(Transient):
        ground.lander.step(everything=True)
    assert (visits(ground), ground.versions(STREAM, DRUGS.table)) == ([], [(1, 4, 0)])
    ground.lake.broken.clear()
    ground.land()
    assert visits(ground) == [(1, 2, 0)]


def test_a_new_schema_is_committed_apart(ground: Ground, sender: Sender) -> None:
    wider = table("visits", "name", "ward")
    ground.write(schema(sender), batch(sender, 1), schema(sender, wider), batch(sender, 2, of=wider))
    ground.land()
    path = path_of(ground)
    assert ground.lake.tables()[path] == 1
    assert ground.lake.read(path, ["id", "ward"]).to_pylist() == [
        {"id": 1, "ward": None},
        {"id": 2, "ward": "ward2"},
    ]


def test_a_mark_is_a_row_between_rows(ground: Ground, sender: Sender) -> None:
    ground.write(schema(sender), batch(sender, 1))
    ground.write(sender.send(Kind.MARK, encode_mark(a_mark(VISITS.table, 7, schema=VISITS))))
    ground.write(batch(sender, 2))
    ground.land()
    rows = ground.lake.read(path_of(ground), ["_gc_op", "id", "_gc_mark"]).to_pylist()
    assert [(r["_gc_op"], r["id"]) for r in rows] == [("c", 1), ("m", None), ("c", 2)]
    assert '"number": 7' in rows[1]["_gc_mark"]


@pytest.mark.parametrize(
    "named", [None, VISITS, DRUGS], ids=["no schema", "unknown schema", "another's schema"]
)
def test_a_mark_for_an_unknown_table_makes_the_table(
    ground: Ground, sender: Sender, named: TableSchema | None
) -> None:
    ground.write(schema(sender, DRUGS))
    ground.write(sender.send(Kind.MARK, encode_mark(a_mark(VISITS.table, 1, schema=named))))
    ground.write(schema(sender), batch(sender, 1))
    ground.land()
    record = ground.record(STREAM, VISITS.table)
    assert record is not None
    assert (record.key, record.fingerprint) == (("id",), VISITS.fingerprint)
    rows = ground.lake.read(record.path, ["_gc_op", "id"]).to_pylist()
    assert rows == [{"_gc_op": "m", "id": None}, {"_gc_op": "c", "id": 1}]
    assert ground.parked() == {}


def test_an_inventory_goes_to_the_ledger(ground: Ground, sender: Sender) -> None:
    ground.write(inventory(sender, rows=12))
    ground.land()
    assert ground.ledger.inventory() == [InventoryLine(STREAM, "db.visits", 2, 12, False, "excluded")]
    assert ground.ledger.lake_tables() == []


@pytest.mark.parametrize("rows", [2**63, -1, "12", [], 1.5])
def test_an_inventory_that_the_ledger_cannot_hold_parks_its_stream(
    ground: Ground, sender: Sender, rows: object
) -> None:
    ground.write(inventory(sender, rows))
    ground.land()
    assert ground.parked() == {(STREAM, ""): "GC-5006"}


def inventory(sender: Sender, rows: object) -> bytes:
    line = {
        "table": ["db", None, "visits"],
        "columns": ["id", "name"],
        "rows": rows,
        "captured": False,
        "reason": "excluded",
    }
    facts = {"tables": [line], "part": 1}
    mark = MarkHeader(captured=CAPTURED, mark=MarkKind.INVENTORY, table=None, facts=facts)
    return sender.send(Kind.MARK, encode_mark(mark))


def test_a_batch_whose_schema_was_never_sent_parks_its_table(ground: Ground, sender: Sender) -> None:
    ground.write(schema(sender, DRUGS))
    parked = ground.write(batch(sender, 1))
    ground.write(batch(sender, 2, of=DRUGS), batch(sender, 2))
    ground.land()
    assert ground.parked() == {(STREAM, path_of(ground)): "GC-5006"}
    assert (visits(ground), ground.versions(STREAM, DRUGS.table)) == ([], [(1, 3, 0)])
    assert parked < ground.low_water(STREAM) == ground.journal.end, "it stands in the quarantine"
    ground.ledger.save_schema(VISITS.fingerprint, VISITS.content)
    ground.start()
    ground.land()
    assert visits(ground) == [], "nobody has asked for it"
    ground.retry()
    assert visits(ground) == [(1, 2, 0), (1, 4, 0)]
    assert ground.parked() == {}


def test_what_waited_when_its_table_was_parked_lands_and_the_parked_is_not_forgotten(
    ground: Ground, sender: Sender
) -> None:
    """What came before it lands before it, or is set aside before it."""
    unknown = table("visits", "secret")
    ground.write(schema(sender), batch(sender, 1))
    parked = ground.write(batch(sender, 2, of=unknown))
    ground.write(batch(sender, 3))
    ground.land()
    assert visits(ground) == [(1, 2, 0)]
    assert parked < ground.low_water(STREAM) == ground.journal.end
    ground.ledger.save_schema(unknown.fingerprint, unknown.content)
    ground.start()
    ground.retry()
    assert visits(ground) == [(1, 2, 0), (1, 3, 0), (1, 4, 0)]


def test_a_parked_table_still_learns_schemas(ground: Ground, sender: Sender) -> None:
    wider = table("visits", "name", "ward")
    ground.write(batch(sender, 1), schema(sender), schema(sender, wider), batch(sender, 2, of=wider))
    ground.land()
    assert set(ground.parked()) == {(STREAM, path_of(ground))}
    record = ground.record(STREAM, VISITS.table)
    assert record is not None
    assert record.fingerprint == b""
    ground.start()
    ground.retry()
    assert visits(ground) == [(1, 1, 0), (1, 4, 0)]
    record = ground.record(STREAM, VISITS.table)
    assert record is not None
    assert record.fingerprint == wider.fingerprint


def test_a_column_that_changes_its_type_goes_on(ground: Ground, sender: Sender) -> None:
    """Also under another key, with rows of both definitions waiting."""
    kinds = (pa.int32(), pa.int64(), pa.int32())
    for number, kind in enumerate(kinds):
        columns = (Column("id", pa.int64()), Column("n", kind, f"int{number}", {"comment": "次数"}))
        of = TableSchema(VISITS.table, columns, ("id",) if number < 2 else (), {"comment": "就诊"})
        system = {
            "_gc_op": pa.array([OP_CODES[Op.CREATE]], pa.uint8()),
            "_gc_key": pa.array([b"k" * 16], KEY),
        }
        rows = [pa.array([number], pa.int64()), pa.array([number + 7], kind)]
        inner = encode_batch(of, system, rows, captured=CAPTURED)
        ground.write(schema(sender, of), sender.send(Kind.BATCH, inner))
        ground.lander.step()
    ground.land()
    assert ground.parked() == {}
    changes = ground.lake.read(path_of(ground))
    assert changes.select(["id", "n", "_gc_gen2_n"]).to_pylist() == [
        {"id": 0, "n": 7, "_gc_gen2_n": None},
        {"id": 1, "n": None, "_gc_gen2_n": 8},
        {"id": 2, "n": 9, "_gc_gen2_n": None},
    ]
    told = evolution.history(changes.schema.metadata)
    assert [(era.since.seq, era.key) for era in told] == [(2, ("id",)), (4, ("id",)), (6, ())]
    assert changes.schema.metadata[b"comment"] == "就诊".encode()
    assert changes.schema.field("n").metadata == {
        b"comment": "次数".encode(),
        b"guicang.source_type": b"int2",
        b"guicang.newest": b"1",
    }


def test_a_table_that_the_lake_refuses_is_parked_at_its_first_envelope(
    ground: Ground, sender: Sender
) -> None:
    """With rows of two epochs waiting, 9 and 10: their names do not order as their numbers do."""
    ninth, tenth = Sender(epoch=9), Sender(epoch=10)
    first = ground.write(schema(ninth), batch(ninth, 1), schema(tenth), batch(tenth, 2))
    ground.lander.step()
    ground.lake.refused = {path_of(ground)}
    ground.land()
    (parked,) = ground.ledger.parked()
    assert (parked.code, parked.epoch, parked.seq) == ("GC-6004", 9, 2)
    assert first < ground.low_water(STREAM) == ground.journal.end
    ground.lake.refused.clear()
    ground.start()
    ground.retry()
    assert visits(ground) == [(9, 2, 0), (10, 2, 0)]
    assert ground.lake.txn(path_of(ground), "h1/his/9") == 2
    assert ground.lake.txn(path_of(ground), "h1/his/10") == 2


def test_what_cannot_be_opened_parks_its_stream_and_no_other(ground: Ground, sender: Sender) -> None:
    other = Sender(seed=2, stream=OTHER_STREAM)
    ground.begin(other)
    ground.start()
    ground.write(schema(sender), batch(sender, 1), schema(other))
    parked = ground.write(sender.send(Kind.BATCH, a_batch(VISITS, [2]), key=LOST_KEY))
    ground.write(batch(sender, 3), batch(other, 1))
    ground.land()
    assert ground.parked() == {(STREAM, ""): "GC-5005"}
    assert (visits(ground), visits(ground, OTHER_STREAM)) == ([(1, 2, 0)], [(1, 2, 0)])
    assert parked < ground.low_water(STREAM) == ground.low_water(OTHER_STREAM) == ground.journal.end
    ground.all_keys()
    ground.start()
    ground.retry()
    assert visits(ground) == [(1, 2, 0), (1, 3, 0), (1, 4, 0)]
    assert visits(ground, OTHER_STREAM) == [(1, 2, 0)]


def test_an_object_holds_the_low_water_mark_until_it_is_whole(ground: Ground, sender: Sender) -> None:
    content = bytes(range(256)) * 40
    sha = hashlib.sha256(content).hexdigest()
    first = ground.write(sender.send(Kind.PIECE, a_piece(sha, len(content), 0, content[:9_000])))
    ground.land()
    assert ground.low_water(STREAM) == first
    ground.start()
    ground.write(sender.send(Kind.PIECE, a_piece(sha, len(content), 9_000, content[9_000:])))
    ground.land()
    assert ground.objects.read("h1", sha) == content
    assert ground.low_water(STREAM) == ground.journal.end


def test_an_object_that_its_epoch_left_unfinished_is_given_up(ground: Ground, sender: Sender) -> None:
    ground.write(sender.send(Kind.PIECE, a_piece("0" * 64, 100, 0, b"x" * 10)))
    ground.land()
    assert ground.low_water(STREAM) < ground.journal.end
    ground.write(schema(Sender(epoch=2)))
    ground.land()
    assert ground.low_water(STREAM) == ground.journal.end


def test_gaps_and_rotations_land_nothing(ground: Ground, sender: Sender) -> None:
    ground.write(schema(sender), sender.gap(5, b"r" * 32), sender.rotation(Sender(seed=7).signer))
    ground.write(batch(sender, 1))
    ground.land()
    assert visits(ground) == [(1, 7, 0)]


def test_pending_rows_are_bounded(tmp_path: Path) -> None:
    ground, sender = Ground(tmp_path, pending_bytes_max=1), Sender()
    ground.begin(sender)
    ground.start()
    ground.write(schema(sender), batch(sender, 1), batch(sender, 2), batch(sender, 3))
    assert ground.lander.step() == 0.0
    assert visits(ground) == [(1, 2, 0)]
    assert ground.lander.backlog_bytes > 0
    ground.land()
    assert visits(ground) == [(1, 2, 0), (1, 3, 0), (1, 4, 0)]


def test_without_low_water_the_journal_is_read_again_and_tables_skip(ground: Ground, sender: Sender) -> None:
    ground.write(schema(sender), batch(sender, 1), batch(sender, 2))
    ground.land()
    ground.ledger.save_low_water({STREAM: 0})
    ground.start()
    ground.land()
    assert visits(ground) == [(1, 2, 0), (1, 3, 0)]


def test_a_table_of_a_stream_that_the_ledger_does_not_know_lands_too(ground: Ground) -> None:
    ground.start()
    sender = Sender(seed=3, stream=OTHER_STREAM)
    ground.begin(sender)
    ground.write(schema(sender), batch(sender, 1))
    ground.land()
    assert visits(ground, OTHER_STREAM) == [(1, 2, 0)]
    assert ground.low_water(OTHER_STREAM) == ground.journal.end


def test_a_commit_that_was_lost_is_cut_and_landed_again(
    ground: Ground, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    ground.write(schema(sender), batch(sender, 1))
    ground.land()
    path = path_of(ground)
    ground.lake.append(path, ground.lake.read(path), [Txn("h1/his/1", 9)])
    ground.lake.cut_power()
    ground.start()
    ground.write(batch(sender, 2))
    ground.land()
    assert "GC-6006" in caplog.text
    assert visits(ground) == [(1, 2, 0), (1, 3, 0)]


def test_the_name_of_a_table_may_be_anything(ground: Ground, sender: Sender) -> None:
    odd = TableSchema(TableName(None, "模式", "../../门诊 [x] \x00"), VISITS.columns)
    ground.write(schema(sender, odd), batch(sender, 1, of=odd))
    ground.land()
    assert ground.versions(STREAM, odd.table) == [(1, 2, 0)]
    path = path_of(ground, odd)
    assert path.startswith("changes/h1/his/")
    assert ".." not in path
