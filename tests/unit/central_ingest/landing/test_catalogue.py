"""Paths of tables, remembered for ever, and what a landing holds while it waits."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from central_ingest.journal.journal import Entry
from central_ingest.landing.catalogue import Catalogue, Landing, Portion, app_of
from central_ingest.landing.lake import Txn
from central_ingest.ledger.ledger import TableRecord
from protocol.names import TableName

from ..ledgers import memory_ledger
from ..sender import OTHER_STREAM, STREAM, VISITS, table

COLLIDING = (TableName(None, None, "表四九三九五"), TableName(None, None, "表一一九四二七"))
"""Their digests share the first eight hex digits (found by trying), and no slug tells them apart."""


def portion(app: str, seq: int, offset: int, rows: int = 1) -> Portion:
    return Portion(app, seq, offset, pa.table({"seq": [seq] * rows}))


def landing() -> Landing:
    return Landing(TableRecord("changes/x", STREAM, VISITS.table, (), b"", -1, None, 0))


def test_a_path_is_made_from_the_exact_name() -> None:
    catalogue = Catalogue(memory_ledger())
    record = catalogue.find(STREAM, VISITS.table, VISITS).record
    assert record.path == f"changes/h1/his/db-visits-{VISITS.table.digest[:8]}"
    assert (record.key, record.fingerprint, record.synced_version) == (("id",), VISITS.fingerprint, -1)
    assert catalogue.find(STREAM, VISITS.table, None) is catalogue.find(STREAM, VISITS.table, VISITS)
    assert catalogue.find(OTHER_STREAM, VISITS.table, None).record.path.startswith("changes/h1/lis/")


def test_the_later_of_two_names_with_the_same_eight_digits_takes_sixteen() -> None:
    first, second = COLLIDING
    assert first.directory() == second.directory()
    ledger = memory_ledger()
    catalogue = Catalogue(ledger)
    paths = [catalogue.find(STREAM, one, None).record.path for one in COLLIDING]
    assert paths == [f"changes/h1/his/{first.directory()}", f"changes/h1/his/{second.directory(16)}"]
    again = Catalogue(ledger)
    assert [again.find(STREAM, one, None).record.path for one in reversed(COLLIDING)] == paths[::-1]
    assert again.find(OTHER_STREAM, second, None).record.path == f"changes/h1/lis/{second.directory()}"


def test_names_that_differ_only_in_case_are_two_tables() -> None:
    catalogue = Catalogue(memory_ledger())
    upper = table("VISITS").table
    assert (
        catalogue.find(STREAM, upper, None).record.path
        != catalogue.find(STREAM, VISITS.table, None).record.path
    )
    assert len(catalogue.all()) == 2


def test_what_waits_is_one_commit_with_a_transaction_for_each_app() -> None:
    one = landing()
    one.add(portion("s/9", 4, 100, rows=2), now=5.0)
    one.add(portion("s/9", 6, 200), now=6.0)
    one.add(portion("s/10", 1, 300), now=7.0)
    rows, txns = one.take()
    assert rows["seq"].to_pylist() == [4, 4, 6, 1]
    assert txns == [Txn("s/10", 1), Txn("s/9", 6)]
    assert (one.rows, one.since, one.first_offset) == (4, 5.0, 100)


def test_what_the_lake_holds_waits_no_longer() -> None:
    one = landing()
    one.uncertain = True
    for seq, offset in ((1, 100), (2, 200), (3, 300)):
        one.add(portion("s/1", seq, offset), now=1.0)
    assert one.settle({"s/1": 2}) == 2
    assert (one.rows, one.first_offset, one.txns, one.held, one.uncertain) == (
        1,
        300,
        {"s/1": 3},
        {"s/1": 2},
        False,
    )
    assert one.settle({"s/1": 3}) == 1
    assert (one.rows, one.bytes, one.first_offset, one.txns) == (0, 0, None, {})


def test_what_came_out_of_the_quarantine_holds_no_offset() -> None:
    one = landing()
    kept = replace(portion("s/1", 1, -1), entry=Entry(-1, 5, b"envelope"))
    one.add(kept, now=1.0)
    assert one.first_offset is None
    one.add(portion("s/1", 2, 100), now=1.0)
    assert one.first_offset == 100
    assert [p.seq for p in one.give_up()] == [1, 2]
    assert (one.rows, one.bytes, one.txns, one.first_offset) == (0, 0, {}, None)


def test_an_app_is_a_stream_in_an_epoch() -> None:
    assert app_of(STREAM, 12) == "h1/his/12"
