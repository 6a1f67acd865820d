"""The spool, method by method: what it takes, refuses, forgets, and how it comes back."""

from __future__ import annotations

import resource
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.spool.queries import QUERIES, SCHEMA, parse
from edge_agent.spool.records import Backlog, Dropped, Overlaid, Scan, Shard, TableState, Work
from edge_agent.spool.spool import Spool
from protocol.errors import Permanent, Rejected, Transient
from protocol.limits import MIB
from protocol.names import TableName

from .envelopes import OTHER, SECRET, STREAM, envelope, gap, group

VISITS = TableName("his", "dbo", "门诊就诊")
BEDS = TableName(None, None, "beds")


def open_spool(directory: Path, bytes_max: int = 64 * MIB, keep: int = 0) -> Spool:
    return Spool.open(
        directory, bytes_max=bytes_max, keep_receipted_bytes=keep, clock=lambda: 1_700_000_000.0
    )


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = open_spool(tmp_path)
    opened.open_epoch(STREAM, 1, b"grant", SECRET)
    yield opened
    opened.close()


def reopen(spool: Spool, directory: Path) -> Spool:
    spool.close()
    return open_spool(directory)


def edit(directory: Path, statement: str, *parameters: object) -> None:
    """What a failing disk, or a careless person, does to a closed spool."""
    connection = sqlite3.connect(directory / "spool.sqlite")
    with connection:
        connection.execute(statement, parameters)
    connection.close()


def test_a_commit_is_all_there_after_reopening(spool: Spool, tmp_path: Path) -> None:
    first, second = group(0, 2)
    table = TableState(VISITS, "snapshot", b"f" * 32, {"rows": 7, "cursor": None})
    shard = Shard(b"", b"k1", "a.index", 7)
    spool.commit(
        Work(
            STREAM,
            1,
            0,
            [first, second],
            position="lsn 7",
            schemas=[(b"f" * 32, b"{}")],
            objects=[b"o" * 32],
            table=table,
            add_shards=[shard],
            scan=Scan(99),
        )
    )
    again = reopen(spool, tmp_path)
    state = again.stream(STREAM)
    assert state is not None
    assert (state.epoch, state.grant, state.secret, state.position) == (1, b"grant", SECRET, "lsn 7")
    assert (state.head_seq, state.head_hash, state.head_offset) == (2, second.hash, 600)
    assert again.streams() == [state]
    for sealed, end_offset in ((first, 300), (second, 600)):
        stored = again.peek(STREAM, sealed.seq)
        assert stored is not None
        assert (stored.hash, stored.data, stored.end_offset) == (sealed.hash, sealed.data, end_offset)
    assert again.table(STREAM, VISITS) == table
    assert again.tables(STREAM) == [table]
    assert again.shards(STREAM, VISITS) == [shard]
    assert again.schema_sent(STREAM, b"f" * 32)
    assert again.object_sent(STREAM, b"o" * 32)
    assert again.recovered is None
    again.close()


def test_how_much_of_a_large_value_went_is_known_until_all_did(spool: Spool, tmp_path: Path) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 1), pieces={b"p": 5, b"q": 3}))
    again = reopen(spool, tmp_path)
    assert [again.bytes_sent(STREAM, one) for one in (b"p", b"q", b"r")] == [5, 3, 0]
    again.commit(Work(STREAM, 1, 1, group(1, 1), objects=[b"p"], pieces={b"q": 0}))
    assert [again.bytes_sent(STREAM, one) for one in (b"p", b"q")] == [0, 0]
    assert again.object_sent(STREAM, b"p")
    assert not again.object_sent(STREAM, b"q")
    again.close()


def test_a_stream_that_is_unknown_has_nothing(spool: Spool) -> None:
    assert spool.stream(OTHER) is None
    assert spool.peek(OTHER, 1) is None
    assert spool.window(OTHER, 1, MIB) == []
    assert spool.hash_at(OTHER, 1) is None
    assert spool.backlog(OTHER) == Backlog(0, 0, None)
    assert spool.fresh_as_of(OTHER) is None
    assert spool.last_receipt(OTHER) is None
    assert spool.schema(OTHER, b"f") is None
    assert not spool.schema_sent(OTHER, b"f")
    assert not spool.object_sent(OTHER, b"o")
    assert spool.bytes_sent(OTHER, b"o") == 0
    assert spool.table(OTHER, BEDS) is None
    assert spool.tables(OTHER) == []
    assert spool.shards(OTHER, BEDS) == []
    assert spool.shard_at(OTHER, BEDS, b"") is None
    assert spool.rows_indexed(OTHER, BEDS) == 0


@pytest.mark.parametrize(
    "work",
    [
        Work(STREAM, 2, 1, group(1, 1)),
        Work(STREAM, 1, 0, group(0, 1)),
        Work(STREAM, 1, 1, group(2, 1)),
        Work(STREAM, 1, 1, [envelope(2), envelope(4)]),
        Work(OTHER, 1, 1, group(1, 1)),
        Work(STREAM, 1, 1, add_shards=[Shard(b"", b"", "f", 1)]),
        Work(STREAM, 1, 1, group(1, 1), table=TableState(BEDS, "x", b""), drop_shards=[b"unknown"]),
    ],
    ids=["epoch", "after", "start", "hole", "stream", "no table", "no such shard"],
)
def test_misuse_crashes_and_changes_nothing(spool: Spool, work: Work) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 1), position="a"))
    before = spool.streams()
    with pytest.raises(AssertionError):
        spool.commit(work)
    assert spool.streams() == before
    assert spool.peek(STREAM, 2) is None
    assert spool.table(STREAM, BEDS) is None


def test_a_position_of_none_leaves_the_old_one(spool: Spool) -> None:
    spool.commit(Work(STREAM, 1, 0, position="a"))
    spool.commit(Work(STREAM, 1, 0, group(0, 1)))
    state = spool.stream(STREAM)
    assert state is not None
    assert state.position == "a"


def test_a_full_spool_refuses_and_takes_again_after_a_receipt(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, bytes_max=1000, keep=1000)
    spool.open_epoch(STREAM, 1, b"", SECRET)
    spool.open_epoch(OTHER, 1, b"", SECRET)
    spool.commit(Work(OTHER, 1, 0, group(0, 1, 400)))
    spool.commit(Work(STREAM, 1, 0, group(0, 2, 300), position="a"))
    with pytest.raises(Transient) as caught:
        spool.commit(Work(STREAM, 1, 2, group(2, 1, 1), position="b", schemas=[(b"f", b"{}")]))
    assert (caught.value.code, caught.value.facts) == ("GC-3001", {"limit": 1000})
    state = spool.stream(STREAM)
    assert state is not None
    assert (state.head_seq, state.position) == (2, "a")
    assert spool.schema(STREAM, b"f") is None
    spool.commit(Work(STREAM, 1, 2, scan=Scan(5)))  # what adds no bytes always fits

    spool.receipt(STREAM, 1, 1, envelope(1).hash, b"")
    assert spool.peek(STREAM, 1) is not None  # kept while there is room
    spool.commit(Work(STREAM, 1, 2, group(2, 1, 300)))
    assert spool.peek(STREAM, 1) is None  # gave way
    for stream, seq in ((OTHER, 1), (STREAM, 2), (STREAM, 3)):
        assert spool.peek(stream, seq) is not None
    spool.close()


def test_receipts_keep_the_newest_and_only_rise(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, keep=700)
    spool.open_epoch(STREAM, 1, b"", SECRET)
    spool.commit(Work(STREAM, 1, 0, group(0, 5)))
    spool.receipt(STREAM, 1, 4, envelope(4).hash, b"to four")
    spool.receipt(STREAM, 1, 2, envelope(2).hash, b"to two")
    spool.receipt(STREAM, 2, 5, envelope(5).hash, b"of another epoch")
    spool.receipt(OTHER, 1, 5, envelope(5).hash, b"of another stream")
    assert spool.last_receipt(STREAM) == b"to four"
    state = spool.stream(STREAM)
    assert state is not None
    assert state.receipted_seq == 4
    assert [spool.peek(STREAM, seq) is not None for seq in range(1, 6)] == [False, False, True, True, True]
    hashes = [b"", b"", b"", envelope(3).hash, envelope(4).hash, envelope(5).hash, None]
    assert [spool.hash_at(STREAM, seq) for seq in range(7)] == hashes
    assert spool.backlog(STREAM) == Backlog(1, 300, 5)
    spool.close()


def test_a_receipt_for_another_history_deletes_nothing(spool: Spool) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 2)))
    for seq, digest in ((2, b"another"), (3, envelope(3).hash)):
        with pytest.raises(AssertionError):
            spool.receipt(STREAM, 1, seq, digest, b"")
    assert spool.backlog(STREAM) == Backlog(2, 600, 1)


def test_a_new_epoch_drops_all_but_schemas(spool: Spool) -> None:
    table = TableState(BEDS, "following", b"f", {"files": ["beds.index"]})
    shard = Shard(b"", b"", "a.index", 3)
    sent = {"schemas": [(b"f", b"{}")], "objects": [b"o"], "pieces": {b"p": 5}}
    spool.commit(
        Work(STREAM, 1, 0, group(0, 3), "a", **sent, table=table, add_shards=[shard], scan=Scan(1))  # type: ignore[arg-type]
    )
    spool.receipt(STREAM, 1, 1, envelope(1).hash, b"receipt")
    assert not spool.stop(STREAM, 2, "GC-3010"), "of another epoch"
    assert spool.stop(STREAM, 1, "GC-3006")
    stopped = spool.stream(STREAM)
    assert stopped is not None
    assert stopped.stopped == "GC-3006"

    for old in (0, 1):
        with pytest.raises(ValueError, match="not above"):
            spool.open_epoch(STREAM, old, b"", SECRET)
    assert spool.open_epoch(STREAM, 3, b"new", b"t" * 32) == Dropped(2, 600)
    state = spool.stream(STREAM)
    assert state is not None
    assert (state.epoch, state.grant, state.secret) == (3, b"new", b"t" * 32)
    assert (state.head_seq, state.head_hash, state.head_offset) == (0, b"", 0)
    assert (state.receipted_seq, state.position, state.stopped) == (0, None, None)
    assert spool.last_receipt(STREAM) is None
    assert [spool.peek(STREAM, seq) for seq in (1, 2, 3)] == [None] * 3
    assert spool.tables(STREAM) == []
    assert spool.shards(STREAM, BEDS) == []
    assert spool.files() == set()
    assert spool.fresh_as_of(STREAM) is None
    assert not spool.object_sent(STREAM, b"o")
    assert spool.bytes_sent(STREAM, b"p") == 0
    assert not spool.schema_sent(STREAM, b"f")
    assert spool.schema(STREAM, b"f") == b"{}"
    spool.commit(Work(STREAM, 3, 0, group(0, 1, epoch=3), schemas=[(b"f", b"{}")]))
    assert spool.schema_sent(STREAM, b"f")


def test_a_new_epoch_knows_of_a_table_what_is_carried_over(spool: Spool) -> None:
    shards = [Shard(b"", b"k", "a.index", 3), Shard(b"k", b"", "b.index", 4)]
    spool.commit(Work(STREAM, 1, 0, table=TableState(BEDS, "following", b"f"), add_shards=shards))
    other = TableState(TableName(None, None, "gone"), "gone", b"g")
    spool.commit(Work(STREAM, 1, 0, table=other))

    def carry(state: TableState, rows: int) -> TableState | None:
        return TableState(state.table, "new", state.fingerprint, {"rows": rows}) if rows else None

    spool.open_epoch(STREAM, 2, b"", SECRET, carry)
    assert spool.tables(STREAM) == [TableState(BEDS, "new", b"f", {"rows": 7})]
    assert spool.shards(STREAM, BEDS) == []


def test_a_window_is_consecutive_and_bounded(spool: Spool) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 5)))
    assert [stored.seq for stored in spool.window(STREAM, 2, 900)] == [2, 3, 4]
    assert [stored.seq for stored in spool.window(STREAM, 2, 899)] == [2, 3]
    assert [stored.seq for stored in spool.window(STREAM, 5, 1)] == [5]
    assert spool.window(STREAM, 6, MIB) == []


@pytest.mark.parametrize("column", ["data = zeroblob(300)", "data = x''"])
def test_a_damaged_envelope_is_told_with_its_sequence(spool: Spool, tmp_path: Path, column: str) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 3)))
    spool.close()
    edit(tmp_path, f"UPDATE bodies SET {column} WHERE id = 2")
    again = open_spool(tmp_path)
    assert again.recovered is None
    for read in (lambda: again.peek(STREAM, 2), lambda: again.window(STREAM, 2, MIB)):
        with pytest.raises(Rejected) as caught:
            read()
        assert (caught.value.code, caught.value.facts) == ("GC-3003", {"seq": 2, "source": "his"})
    assert [stored.seq for stored in again.window(STREAM, 1, MIB)] == [1]
    assert again.peek(STREAM, 3) is not None
    assert again.hash_at(STREAM, 2) == envelope(2).hash  # where the chain goes on after a gap
    again.close()


def test_a_gap_takes_the_place_of_what_is_lost(spool: Spool) -> None:
    spool.commit(
        Work(STREAM, 1, 0, group(0, 5, 1000), schemas=[(b"f", b"{}")], objects=[b"o"], pieces={b"p": 5})
    )
    lost = gap(2, 3, envelope(3).hash)
    spool.replace(STREAM, 1, lost)
    assert [spool.hash_at(STREAM, seq) for seq in (1, 2, 3, 4)] == [
        envelope(1).hash,
        b"",
        envelope(3).hash,
        envelope(4).hash,
    ]
    window = spool.window(STREAM, 1, MIB)
    assert [(stored.seq, stored.last_seq) for stored in window] == [(1, 1), (2, 3), (4, 4), (5, 5)]
    ends = [1000, 1000 + len(lost.data), 2000 + len(lost.data), 3000 + len(lost.data)]
    assert [stored.end_offset for stored in window] == ends
    inside = spool.peek(STREAM, 3)
    assert inside is not None
    assert inside.data == lost.data
    state = spool.stream(STREAM)
    assert state is not None
    assert (state.head_seq, state.head_hash, state.head_offset) == (5, envelope(5).hash, ends[-1])
    assert spool.backlog(STREAM) == Backlog(4, ends[-1], 1)
    # What the lost envelopes carried has to be sent again before it is used.
    assert not spool.schema_sent(STREAM, b"f")
    assert not spool.object_sent(STREAM, b"o")
    assert spool.bytes_sent(STREAM, b"p") == 0
    spool.receipt(STREAM, 1, 3, envelope(3).hash, b"")
    assert spool.backlog(STREAM) == Backlog(2, 2000, 4)
    assert spool.peek(STREAM, 2) is None


def test_a_receipt_inside_a_gap_leaves_the_gap_waiting(spool: Spool) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 2)))
    lost = gap(1, 2, envelope(2).hash)
    spool.replace(STREAM, 1, lost)
    spool.receipt(STREAM, 1, 1, envelope(1).hash, b"")
    assert spool.backlog(STREAM) == Backlog(1, len(lost.data), 1)
    spool.receipt(STREAM, 1, 2, envelope(2).hash, b"")
    assert spool.backlog(STREAM) == Backlog(0, 0, None)


def test_a_gap_stands_for_what_was_pruned(spool: Spool) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 3)))
    spool.receipt(STREAM, 1, 2, envelope(2).hash, b"")
    spool.replace(STREAM, 1, gap(1, 2, envelope(2).hash))
    assert [(stored.seq, stored.last_seq) for stored in spool.window(STREAM, 1, MIB)] == [(1, 2), (3, 3)]
    third = spool.peek(STREAM, 3)
    assert third is not None
    assert third.end_offset == 900
    assert spool.backlog(STREAM) == Backlog(1, 300, 3)


def test_a_gap_must_lead_back_to_the_head(spool: Spool) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 2)))
    for wrong in (gap(2, 2, b"w" * 32), gap(2, 3, envelope(2).hash)):
        with pytest.raises(AssertionError):
            spool.replace(STREAM, 1, wrong)
    assert spool.peek(STREAM, 2) is not None
    spool.commit(Work(STREAM, 1, 2, [gap(3, 6, b"r" * 32)]))
    state = spool.stream(STREAM)
    assert state is not None
    assert (state.head_seq, state.head_hash) == (6, b"r" * 32)
    spool.commit(Work(STREAM, 1, 6, group(6, 1)))


def test_shards_are_swapped_and_read_in_chain_order(spool: Spool) -> None:
    table = TableState(VISITS, "following", b"f", {"files": ["multiset.index"]})
    # The database's order of keys need not be that of bytes.
    a, b, c = Shard(b"", b"z", "a", 1), Shard(b"z", b"m", "b", 2), Shard(b"m", b"", "c", 4)
    spool.commit(Work(STREAM, 1, 0, table=table, add_shards=[c, a, b]))
    assert spool.shards(STREAM, VISITS) == [a, b, c]
    assert spool.rows_indexed(STREAM, VISITS) == 7
    b1, b2 = Shard(b"z", b"y", "b1", 8), Shard(b"y", b"m", "b2", 16)
    spool.commit(Work(STREAM, 1, 0, table=table, drop_shards=[b"z"], add_shards=[b1, b2]))
    assert spool.shards(STREAM, VISITS) == [a, b1, b2, c]
    assert spool.shard_at(STREAM, VISITS, b"y") == b2
    assert spool.shard_at(STREAM, VISITS, b"q") is None
    assert spool.shards(STREAM, BEDS) == []
    assert spool.files() == {"a", "b1", "b2", "c", "multiset.index"}
    spool.commit(Work(STREAM, 1, 0, table=table, drop_all_shards=True, add_shards=[a]))
    assert spool.shards(STREAM, VISITS) == [a]


def test_freshness_waits_for_the_receipts_of_its_scan(spool: Spool) -> None:
    spool.commit(Work(STREAM, 1, 0, scan=Scan(10)))
    assert spool.fresh_as_of(STREAM) == 10  # an empty scan of an idle source
    spool.commit(Work(STREAM, 1, 0, group(0, 2), scan=Scan(20)))
    spool.commit(Work(STREAM, 1, 2, scan=Scan(30)))
    spool.commit(Work(STREAM, 1, 2, group(2, 1), scan=Scan(40)))
    assert spool.fresh_as_of(STREAM) == 10
    spool.receipt(STREAM, 1, 1, envelope(1).hash, b"")
    assert spool.fresh_as_of(STREAM) == 10
    spool.receipt(STREAM, 1, 2, envelope(2).hash, b"")
    assert spool.fresh_as_of(STREAM) == 30
    spool.receipt(STREAM, 1, 3, envelope(3).hash, b"")
    assert spool.fresh_as_of(STREAM) == 40


def test_subscribers_hear_of_envelopes_once_they_are_there(spool: Spool) -> None:
    heard: list[int | None] = []
    spool.subscribe(lambda: heard.append(spool.backlog(STREAM).oldest_seq))
    spool.commit(Work(STREAM, 1, 0, position="nothing to send"))
    spool.commit(Work(STREAM, 1, 0, group(0, 1)))
    assert heard == [1]


def test_a_second_opener_is_told_who_holds_it(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(Permanent) as caught:
        open_spool(tmp_path)
    assert caught.value.code == "GC-1006"
    assert caught.value.facts == {"command": "edge-agent", "path": str(tmp_path)}
    spool.commit(Work(STREAM, 1, 0, group(0, 1)))  # the first one is not disturbed
    again = reopen(spool, tmp_path)
    assert again.peek(STREAM, 1) is not None
    again.close()


def test_a_refusing_disk_changes_nothing_and_is_used_again(spool: Spool, tmp_path: Path) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 1), position="a"))
    before = spool.streams()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wal_bytes = (tmp_path / "spool.sqlite-wal").stat().st_size
    big = group(1, 4, 512 * 1024)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal_bytes + MIB, hard))
    try:
        with pytest.raises(Transient) as caught:
            spool.commit(Work(STREAM, 1, 1, big, position="b"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code == "GC-3002"
    assert spool.streams() == before
    assert spool.peek(STREAM, 2) is None
    spool.commit(Work(STREAM, 1, 1, big, position="b"))
    again = reopen(spool, tmp_path)
    assert [stored.data for stored in again.window(STREAM, 2, 8 * MIB)] == [sealed.data for sealed in big]
    again.close()


@pytest.mark.parametrize("content", [b"no database at all" * 4000, b"\0" * 65536], ids=["text", "zeros"])
def test_a_damaged_file_is_kept_aside_and_an_empty_one_opened(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "spool.sqlite").write_bytes(content)
    for again in ("", "-2"):
        spool = open_spool(tmp_path)
        assert spool.recovered == tmp_path / f"spool.sqlite.damaged-20231114T221320Z{again}"
        assert spool.recovered.read_bytes() == content
        assert spool.streams() == []
        spool.open_epoch(STREAM, 7, b"", SECRET)
        spool.close()
        (tmp_path / "spool.sqlite").write_bytes(content)


def test_damaged_pages_of_a_small_table_are_found_at_the_start(spool: Spool, tmp_path: Path) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 3)))
    spool.close()
    path = tmp_path / "spool.sqlite"
    connection = sqlite3.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'envelopes'").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)
    again = open_spool(tmp_path)
    assert again.recovered is not None
    assert again.recovered.stat().st_size > 0
    assert again.streams() == []
    again.close()


def test_pages_found_damaged_at_work_are_looked_at_at_the_next_start(spool: Spool, tmp_path: Path) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 2, 512 * 1024)))
    spool.close()
    path = tmp_path / "spool.sqlite"
    connection = sqlite3.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'bodies'").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)
    again = open_spool(tmp_path)
    assert again.recovered is None  # gigabytes of envelopes are not read at each start
    with pytest.raises(Rejected):
        again.peek(STREAM, 1)
    with pytest.raises(Permanent) as caught:
        again.receipt(STREAM, 1, 1, again.hash_at(STREAM, 1) or b"", b"")
    assert caught.value.code == "GC-3002"
    third = reopen(again, tmp_path)
    assert third.recovered is not None
    assert third.streams() == []
    fourth = reopen(third, tmp_path)
    assert fourth.recovered is None
    fourth.close()


def test_a_newer_spool_is_left_alone(spool: Spool, tmp_path: Path) -> None:
    spool.close()
    edit(tmp_path, "PRAGMA user_version = 4")
    with pytest.raises(Permanent) as caught:
        open_spool(tmp_path)
    assert caught.value.code == "GC-3008"
    edit(tmp_path, "PRAGMA user_version = 3")
    again = open_spool(tmp_path)  # nothing was moved, and the lock was given back
    assert again.stream(STREAM) is not None
    again.close()


def test_files_are_for_the_agents_account_alone(spool: Spool, tmp_path: Path) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 1)))
    names = {"spool.sqlite", "spool.sqlite-wal", "spool.sqlite-shm", "spool.lock"}
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        names, 0o600
    )


def test_threads_share_it(spool: Spool) -> None:
    """Two streams are written, and both read, by threads of their own."""
    spool.open_epoch(OTHER, 1, b"", SECRET)
    failures: list[BaseException] = []

    def run(stream_index: int) -> None:
        stream = (STREAM, OTHER)[stream_index]
        try:
            for seq in range(30):
                spool.commit(Work(stream, 1, seq, [envelope(seq + 1, salt=stream_index)]))
                if seq % 3 == 2:
                    digest = spool.hash_at(stream, seq)
                    assert digest is not None
                    spool.receipt(stream, 1, seq, digest, b"")
        except BaseException as error:
            failures.append(error)

    def read() -> None:
        try:
            for _ in range(100):
                for stream in (STREAM, OTHER):
                    oldest = spool.backlog(stream).oldest_seq or 1
                    assert all(s.seq >= oldest for s in spool.window(stream, oldest, MIB))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in (0, 1)] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for index, stream in enumerate((STREAM, OTHER)):
        assert [s.data for s in spool.window(stream, 30, MIB)] == [envelope(30, salt=index).data]
        assert spool.backlog(stream) == Backlog(1, 300, 30)


def test_every_query_fits_the_schema() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    for query in QUERIES.values():
        cursor = connection.execute(f"EXPLAIN {query}", _Anything())
        cursor.close()
    connection.close()


def test_comments_belong_to_the_query_above_them() -> None:
    assert parse("-- head\n-- a --\n-- why\nSELECT 1\n\n-- b_c --\nSELECT 2\n") == {
        "a": "-- why\nSELECT 1",
        "b_c": "SELECT 2",
    }


class _Anything(dict[str, object]):
    def __missing__(self, key: str) -> object:
        return None


# what polls and windows found


def test_the_overlay_overrides_the_shards_and_counts_rows(spool: Spool) -> None:
    table = TableState(BEDS, "follow", b"f")
    seq = 0

    def commit(**more: object) -> None:
        nonlocal seq
        spool.commit(Work(STREAM, 1, seq, group(seq, 1), table=table, **more))  # type: ignore[arg-type]
        seq += 1

    found = [
        Overlaid(b"a", b"1", fresh=True),
        Overlaid(b"b", b"", fresh=False),
        Overlaid(b"c", b"3", fresh=False),
    ]
    commit(add_shards=[Shard(b"", b"", "file", 5)])
    commit(overlaid=found)
    assert spool.overlaid(STREAM, BEDS, [b"a", b"b", b"c", b"d"]) == {one.key: one for one in found}
    assert spool.rows_indexed(STREAM, BEDS) == 5, "one more, one less, one changed"
    commit(overlaid=[Overlaid(b"e", b"5", fresh=True)])
    assert [one.key for one in spool.overlay_left(STREAM, BEDS, 2, b"", 9)] == [b"a"]
    assert [one.key for one in spool.overlay_left(STREAM, BEDS, 3, b"", 9)] == [b"a", b"e"]
    assert [one.key for one in spool.overlay_left(STREAM, BEDS, 3, b"a", 9)] == [b"e"]
    commit(drop_overlaid=[b"a", b"b"], overlaid=[Overlaid(b"e", b"6", fresh=True)])
    assert spool.rows_indexed(STREAM, BEDS) == 6
    assert spool.overlaid(STREAM, BEDS, [b"a", b"e"]) == {b"e": Overlaid(b"e", b"6", fresh=True)}
    commit(drop_overlay=True)
    assert spool.overlaid(STREAM, BEDS, [b"c", b"e"]) == {}
    commit(overlaid=found)
    commit(drop_all_shards=True)
    assert (spool.rows_indexed(STREAM, BEDS), spool.overlaid(STREAM, BEDS, [b"a"])) == (0, {})
    commit(overlaid=found)
    spool.open_epoch(STREAM, 2, b"grant", bytes(32))
    assert spool.overlaid(STREAM, BEDS, [b"a"]) == {}


def test_a_spool_of_the_version_before_is_brought_up_to_date(spool: Spool, tmp_path: Path) -> None:
    spool.commit(Work(STREAM, 1, 0, group(0, 1)))
    spool.close()
    edit(tmp_path, "DROP TABLE overlay")
    edit(tmp_path, "PRAGMA user_version = 1")
    again = open_spool(tmp_path)
    assert again.recovered is None
    assert again.peek(STREAM, 1) is not None
    found = Overlaid(b"a", b"1", fresh=True)
    again.commit(Work(STREAM, 1, 1, group(1, 1), table=TableState(BEDS, "follow", b"f"), overlaid=[found]))
    assert again.overlaid(STREAM, BEDS, [b"a"]) == {b"a": found}
    again.close()
