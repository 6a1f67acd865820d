"""What cannot land: kept aside in order, landed in order on demand, or given up with a record and healed later."""

from __future__ import annotations

from pathlib import Path

import pytest

from central_ingest.landing.replay import replay
from central_ingest.ledger.broken import broken_epochs
from central_ingest.ledger.ledger import AgentRecord, InventoryLine, Parked
from protocol.batch import MarkHeader, encode_mark
from protocol.change import MarkKind, Op
from protocol.envelope import Kind
from protocol.errors import Transient
from protocol.names import TableName
from protocol.schema import TableSchema

from ..sender import CAPTURED, LOST_KEY, OTHER_STREAM, STREAM, VISITS, Sender, a_batch, table
from .ground import Ground, Version

DRUGS = table("drugs", "name")
STRANGE = table("visits", "never-sent")


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def sender(ground: Ground) -> Sender:
    one = Sender()
    ground.ledger.invite(b"s", "h1", 10)
    record = AgentRecord(one.agent, "h1", 1, one.signer.public, "1", 0, None)
    assert ground.ledger.use_invitation(b"s", "h1", record, 1)
    ground.begin(one)
    ground.start()
    return one


def schema(sender: Sender, of: TableSchema = VISITS) -> bytes:
    return sender.send(Kind.SCHEMA, of.content)


def batch(sender: Sender, *ids: int, of: TableSchema = VISITS, op: Op = Op.CREATE) -> bytes:
    return sender.send(Kind.BATCH, a_batch(of, list(ids), op))


def lost(sender: Sender, *ids: int) -> bytes:
    return sender.send(Kind.BATCH, a_batch(VISITS, list(ids)), key=LOST_KEY)


def mark(sender: Sender, kind: MarkKind, number: int = 1, rows: int = 0, of: TableSchema = VISITS) -> bytes:
    name = of.table
    facts = {"rows": rows} if kind is MarkKind.SNAPSHOT_END else {}
    header = MarkHeader(
        captured=CAPTURED,
        mark=kind,
        table=(name.database, name.schema, name.name),
        schema_=of.fingerprint.hex(),
        snapshot=f"{number:032x}",
        facts=facts,
    )
    return sender.send(Kind.MARK, encode_mark(header))


BEGIN, END = MarkKind.SNAPSHOT_BEGIN, MarkKind.SNAPSHOT_END


def visits(ground: Ground, name: TableName = VISITS.table) -> list[Version]:
    return ground.versions(STREAM, name)


def current(ground: Ground) -> list[int]:
    """The ids that stand in the table, as anybody would be told."""
    record = ground.record(STREAM, VISITS.table)
    assert record is not None
    return sorted(row["id"] for row in replay(ground.lake.read(record.path), keyed=True))


def test_what_comes_while_a_table_is_parked_goes_behind_it_and_lands_in_order(
    ground: Ground, sender: Sender
) -> None:
    ground.write(schema(sender), batch(sender, 1), batch(sender, 2, of=STRANGE), batch(sender, 3))
    ground.land()
    ground.start()
    ground.write(batch(sender, 4), schema(sender, DRUGS), batch(sender, 5, of=DRUGS))
    ground.land()
    (held,) = ground.ledger.quarantine.held()
    assert (held.first, held.last, held.envelopes) == ((1, 3), (1, 5), 3)
    assert (visits(ground), visits(ground, DRUGS.table)) == ([(1, 2, 0)], [(1, 7, 0)])
    ground.ledger.save_schema(STRANGE.fingerprint, STRANGE.content)
    ground.ask("retry")
    ground.write(batch(sender, 6))
    ground.land()
    assert visits(ground) == [(1, seq, 0) for seq in (2, 3, 4, 5, 8)]
    assert (ground.parked(), ground.shelves.stores) == ({}, {})
    ground.write(batch(sender, 7))
    ground.land()
    assert visits(ground)[-1] == (1, 9, 0)


def test_a_retry_of_what_still_cannot_land_changes_nothing_and_says_why(
    ground: Ground, sender: Sender
) -> None:
    ground.write(schema(sender), batch(sender, 1, of=STRANGE), batch(sender, 2))
    ground.land()
    before = ground.ledger.quarantine.held()
    number = ground.ledger.quarantine.ask(before[0].id, "retry", "wang", 1)
    ground.land()
    request = ground.ledger.quarantine.request(number)
    assert (request.code, request.finished is not None) == ("GC-5006", True)
    assert ground.ledger.quarantine.held() == before
    assert visits(ground) == []


def test_a_retry_goes_as_far_as_it_can(ground: Ground, sender: Sender) -> None:
    second = table("visits", "never-sent-either")
    ground.write(schema(sender), batch(sender, 1, of=STRANGE), batch(sender, 2), batch(sender, 3, of=second))
    ground.write(batch(sender, 4))
    ground.land()
    ground.ledger.save_schema(STRANGE.fingerprint, STRANGE.content)
    ground.retry()
    (held,) = ground.ledger.quarantine.held()
    assert (held.first, visits(ground)) == ((1, 4), [(1, 2, 0), (1, 3, 0)])
    ground.ledger.save_schema(second.fingerprint, second.content)
    ground.start()
    ground.retry()
    assert visits(ground) == [(1, seq, 0) for seq in (2, 3, 4, 5)]


def test_a_stream_is_retried_into_tables_that_are_parked_themselves(ground: Ground, sender: Sender) -> None:
    ground.write(schema(sender), batch(sender, 1, of=STRANGE), lost(sender, 2), batch(sender, 3))
    ground.land()
    assert set(ground.parked().values()) == {"GC-5006", "GC-5005"}
    ground.all_keys()
    ground.start()
    stream = next(h for h in ground.ledger.quarantine.held() if not h.path)
    ground.ledger.quarantine.ask(stream.id, "retry", "wang", 1)
    ground.land()
    (held,) = ground.ledger.quarantine.held()
    assert (held.first, held.last, held.envelopes, visits(ground)) == ((1, 2), (1, 4), 3, [])
    ground.ledger.save_schema(STRANGE.fingerprint, STRANGE.content)
    ground.retry()
    assert visits(ground) == [(1, 2, 0), (1, 3, 0), (1, 4, 0)]


def test_what_a_retry_moved_behind_a_parked_table_is_there_before_the_retry_is_blamed(
    ground: Ground, sender: Sender
) -> None:
    """Should it die right then and the stream be dropped, its gap begins behind what was moved."""
    ground.write(schema(sender), batch(sender, 1, of=STRANGE), lost(sender, 2), batch(sender, 3))
    ground.write(sender.send(Kind.MARK, b"no mark"))
    ground.land()
    ground.all_keys()
    ground.start()
    stream = next(h for h in ground.ledger.quarantine.held() if not h.path)
    ground.ledger.quarantine.ask(stream.id, "retry", "wang", 1)
    ground.lander.step()
    ground.start()
    stream, visits = sorted(ground.ledger.quarantine.held(), key=lambda held: held.path)
    assert (stream.first, visits.last, visits.envelopes) == ((1, 5), (1, 4), 3)


def test_a_drop_is_recorded_and_orders_a_snapshot_and_the_table_goes_on(
    ground: Ground, sender: Sender
) -> None:
    ground.write(schema(sender), batch(sender, 1), batch(sender, 2, 3, of=STRANGE), batch(sender, 4))
    ground.land()
    ground.ask("drop", "wang")
    ground.land()
    (gap,) = ground.ledger.quarantine.gaps()
    assert (gap.first, gap.last, gap.envelopes, gap.rows) == ((1, 3), (1, 4), 2, 3)
    assert (gap.who, gap.code, gap.healed) == ("wang", "GC-5006", None)
    (order,) = ground.ledger.commands.all()
    assert (order.id, order.name, order.agent) == (gap.command, "snapshot", sender.agent)
    assert order.arguments == {"source": "his", "table": "db.visits"}
    assert [what for _, _, what in ground.ledger.audits()][-2:] == [
        f"command snapshot h1/his db.visits to {sender.agent}",
        f"quarantine drop 1 h1/his {gap.path}",
    ]
    ground.ledger.save_low_water({STREAM: 0})  # all of the journal is read once more
    ground.ledger.save_schema(STRANGE.fingerprint, STRANGE.content)
    ground.start()
    ground.land()
    assert visits(ground) == [(1, 2, 0)], "what was given up stays so"
    ground.write(batch(sender, 5))
    ground.land()
    assert (ground.parked(), visits(ground)) == ({}, [(1, 2, 0), (1, 5, 0)])


def test_a_gap_is_healed_by_a_whole_snapshot_that_began_behind_it(ground: Ground, sender: Sender) -> None:
    ground.write(schema(sender), batch(sender, 1), batch(sender, 2, of=STRANGE))
    ground.land()
    ground.ask("drop")
    ground.land()
    ground.write(mark(sender, BEGIN, 1), batch(sender, 1, 2, op=Op.READ), mark(sender, END, 1, rows=3))
    ground.land()
    assert ground.ledger.quarantine.gaps()[0].healed is None, "a row is missing in it"
    ground.write(mark(sender, BEGIN, 2), batch(sender, 1, 2, op=Op.READ), mark(sender, END, 2, rows=2))
    ground.land()
    assert ground.ledger.quarantine.gaps()[0].healed is not None
    assert current(ground) == [1, 2]


def test_that_a_gap_was_healed_is_found_again_after_a_kill(ground: Ground, sender: Sender) -> None:
    ground.write(schema(sender), batch(sender, 2, of=STRANGE))
    ground.land()
    ground.ask("drop")
    ground.land()
    ground.write(mark(sender, BEGIN), batch(sender, 1, op=Op.READ), mark(sender, END, rows=1))
    ground.lander._parking._gaps.clear()  # it dies between the commit and the note
    ground.land()
    assert ground.ledger.quarantine.gaps()[0].healed is None
    ground.start()
    ground.lander.step()
    assert ground.ledger.quarantine.gaps()[0].healed is not None


def test_that_a_gap_was_healed_is_found_once_the_lake_can_be_read(ground: Ground, sender: Sender) -> None:
    """Nothing may ever lay another floor: a table of scans has no more marks."""
    ground.write(schema(sender), batch(sender, 2, of=STRANGE))
    ground.land()
    ground.ask("drop")
    ground.land()
    ground.write(mark(sender, BEGIN), batch(sender, 1, op=Op.READ), mark(sender, END, rows=1))
    ground.lake.unreadable = True
    with pytest.raises(Transient, match="GC-6005"):
        ground.land()
    ground.lake.unreadable = False
    ground.land()
    assert ground.ledger.quarantine.gaps()[0].healed is not None


@pytest.mark.parametrize("what", ["retry", "drop"])
def test_a_snapshot_that_lacks_a_batch_has_no_effect(ground: Ground, sender: Sender, what: str) -> None:
    """Nothing of it may be parked or dropped (capture.md §2): or its end would sweep rows that are there."""
    ground.write(schema(sender), batch(sender, 1, 2, 3), mark(sender, BEGIN), batch(sender, 1, op=Op.READ))
    ground.write(batch(sender, 2, of=STRANGE, op=Op.READ), mark(sender, END, rows=2))
    ground.land()
    assert current(ground) == [1, 2, 3], "its end is parked with it"
    if what == "retry":
        ground.ledger.save_schema(STRANGE.fingerprint, STRANGE.content)
    ground.ask(what)
    ground.land()
    ground.write(batch(sender, 9))
    ground.land()
    assert current(ground) == ([1, 2, 9] if what == "retry" else [1, 2, 3, 9])


def test_a_batch_lost_with_its_stream_spoils_the_snapshot_around_it(ground: Ground, sender: Sender) -> None:
    ground.write(schema(sender), batch(sender, 1, 2, 3), mark(sender, BEGIN), batch(sender, 1, op=Op.READ))
    ground.write(lost(sender, 2))
    ground.land()
    ground.ask("drop")
    ground.land()
    ground.write(mark(sender, END, rows=2))
    ground.land()
    assert current(ground) == [1, 2, 3]


def test_a_dropped_stream_begins_a_new_epoch_which_heals_it(ground: Ground, sender: Sender) -> None:
    """Schemas and large values may be among what is lost: only a new epoch sends them again."""
    ground.write(schema(sender), batch(sender, 1), schema(sender, DRUGS), batch(sender, 5, of=DRUGS))
    ground.land()
    ground.ledger.save_inventory(
        [InventoryLine(STREAM, "db.drugs", 1, 1, False, "excluded")], first=True, now=1
    )
    ground.write(lost(sender, 2), batch(sender, 3))
    ground.land()
    ground.ask("drop")
    ground.land()
    assert broken_epochs(ground.ledger) == {STREAM: 1}
    whole, table_gap = ground.ledger.quarantine.gaps()
    record = ground.record(STREAM, VISITS.table)
    assert record is not None
    assert (whole.path, whole.rows, table_gap.path) == ("", None, record.path), "drugs are captured no more"
    again = Sender(epoch=2)
    ground.begin(again)
    ground.write(schema(again), mark(again, BEGIN), batch(again, 1, 2, op=Op.READ), mark(again, END, rows=2))
    ground.land()
    assert current(ground) == [1, 2]
    assert all(gap.healed for gap in ground.ledger.quarantine.gaps())


def test_a_table_that_was_dropped_at_its_source_is_not_hurt_with_its_stream(
    ground: Ground, sender: Sender
) -> None:
    """No inventory names it and no new epoch tells of it: its gap would stay open for ever."""
    ground.write(schema(sender), batch(sender, 1), schema(sender, DRUGS), batch(sender, 5, of=DRUGS))
    ground.write(mark(sender, MarkKind.DROP, of=DRUGS), lost(sender, 2))
    ground.land()
    ground.ask("drop")
    ground.land()
    record = ground.record(STREAM, VISITS.table)
    assert record is not None
    assert [gap.path for gap in ground.ledger.quarantine.gaps()] == ["", record.path]


def test_beyond_its_limit_it_drops_by_itself(ground: Ground, sender: Sender) -> None:
    ground.quarantine_bytes_max = 2_000
    ground.start()
    ground.write(schema(sender), batch(sender, 1, of=STRANGE))
    ground.land()
    assert len(ground.parked()) == 1
    while not ground.ledger.quarantine.gaps():
        ground.write(batch(sender, 2))
        ground.land()
    (gap,) = ground.ledger.quarantine.gaps()
    assert gap.bytes > 2_000
    assert (gap.who, ground.parked()) == ("the size limit", {})
    assert len(ground.ledger.commands.all()) == 1


def test_other_streams_are_not_held_up_by_a_retry(ground: Ground, sender: Sender) -> None:
    other = Sender(seed=2, stream=OTHER_STREAM)
    ground.begin(other)
    ground.start()
    ground.write(lost(sender, 1), batch(sender, 2), schema(other), batch(other, 3))
    ground.ask("retry")
    ground.land()
    assert ground.versions(OTHER_STREAM, VISITS.table) == [(1, 2, 0)]
    assert ground.low_water(STREAM) == ground.low_water(OTHER_STREAM) == ground.journal.end


def test_a_shelf_that_lost_something_is_not_landed_around_it(ground: Ground, sender: Sender) -> None:
    ground.write(schema(sender), batch(sender, 1, of=STRANGE), batch(sender, 2), batch(sender, 3))
    ground.land()
    (store,) = ground.shelves.stores.values()
    del store.entries[1]
    ground.ledger.save_schema(STRANGE.fingerprint, STRANGE.content)
    ground.retry()
    assert (set(ground.parked().values()), visits(ground)) == ({"GC-6022"}, [])
    ground.ask("drop")
    ground.land()
    assert ground.parked() == {}


def test_while_the_quarantine_s_disk_fails_no_mark_passes_what_it_lacks(
    ground: Ground, sender: Sender
) -> None:
    ground.write(schema(sender), batch(sender, 1, of=STRANGE))
    ground.land()
    (store,) = ground.shelves.stores.values()
    store.full = True
    offset = ground.write(batch(sender, 2))
    ground.clock += 10.0
    with pytest.raises(Exception, match="GC-6021"):
        ground.lander.step(everything=True)
    assert ground.low_water(STREAM) <= offset
    store.full = False
    ground.land()
    assert ground.low_water(STREAM) == ground.journal.end
    assert ground.ledger.quarantine.held()[0].envelopes == 2


def test_a_request_about_nothing_is_answered(ground: Ground, sender: Sender) -> None:
    number = ground.ledger.quarantine.ask(99, "retry", "wang", 1)
    ground.land()
    assert ground.ledger.quarantine.request(number).code == "GC-6020"


def test_what_an_older_version_parked_is_judged_again(ground: Ground, sender: Sender) -> None:
    """It left everything in the journal, and its low-water mark before it."""
    ground.ledger.park(Parked(STREAM, "", "GC-5005", "x", 1, 1, 1))
    ground.write(schema(sender), batch(sender, 1))
    ground.start()
    ground.land()
    assert (ground.parked(), visits(ground)) == ({}, [(1, 2, 0)])
