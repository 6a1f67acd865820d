"""What may become of a log on a real server: each is found, and healed or said, and nothing is missing in the end.

Connections cut, servers restarted, replaced, promoted, restored; slots dropped, moved, invalidated; publications made
anew (capture.md §3.1 and §3.12). The agent's own runner, as in `following`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
from sqlalchemy import make_url

from edge_agent.capture.log.position import Position
from edge_agent.capture.phases import Phase
from edge_agent.sources.pg.replication import LogConnection
from edge_agent.sources.pg.source import PostgresSource
from protocol.change import Op
from protocol.errors import Transient
from tests.databases import PostgresServer, StandbyServer, require_postgres
from tests.integration.capturing import Capturing
from tests.integration.following import (
    PATIENCE_SECONDS,
    PUBLICATION,
    SLOT,
    TABLES,
    Hospital,
    arrived,
    audited,
    begun,
    capturing,
    check,
    hospital_on,
    key_of,
    once,
    turns_until,
)
from tests.integration.stepwise import stepwise
from tests.unit.edge_agent.reading import Change

SETTINGS = {"wal_level": "logical", "wal_sender_timeout": "1s"}
CUT = (
    "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
    f"WHERE slot_name = '{SLOT}' AND active_pid IS NOT NULL"
)


WHOLE = 1_000
"""Rows of a chunk, where it is not about chunks."""


def new_server() -> PostgresServer:
    return PostgresServer(**SETTINGS)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Of this file alone: it is stopped and started, and told what it keeps of its log."""
    require_postgres()
    one = new_server()
    yield one
    one.discard()


@pytest.fixture
def hospital(server: PostgresServer, tmp_path: Path) -> Iterator[Hospital]:
    with hospital_on(server, tmp_path / "address") as one:
        yield one


def position(one: Capturing) -> Position:
    state = one._spool.stream(one._seen["his"].stream)
    return Position.parse(None if state is None else state.position)


# A connection, or the server itself, breaks in the middle of something.

MANY = 300
LARGE = (
    "INSERT INTO visit SELECT i, i, (SELECT string_agg(md5((i * 2000 + j)::text), '') FROM generate_series(1, 2000) j) "
    f"FROM generate_series(1001, {1000 + MANY}) i"
)
"""19 MB in one transaction: more than one group, so that it is spooled in pieces."""


def restarted(hospital: Hospital, *, fast: bool) -> None:
    hospital.server.stop(fast=fast)
    hospital.server.start()


BREAKS: dict[str, Callable[[Hospital], None]] = {
    "cut": lambda hospital: hospital.run(CUT),
    "restarted": lambda hospital: restarted(hospital, fast=True),
    "crashed": lambda hospital: restarted(hospital, fast=False),
}


@pytest.mark.parametrize("how", ["cut", "crashed"])
async def test_in_the_midst_of_a_transaction_of_many_gulps(
    hospital: Hospital, tmp_path: Path, how: str
) -> None:
    """It goes on inside of it: no row twice, none missing."""
    async with capturing(hospital, tmp_path, page_rows=WHOLE) as one:
        await arrived(hospital, one)
        hospital.run(LARGE)
        await turns_until(one, lambda: position(one).commit > 0)
        assert 0 < position(one).rows < MANY
        BREAKS[how](hospital)
        await arrived(hospital, one)
        check(hospital, one)
        told = [e for e in one.events("his") if isinstance(e, Change) and e.op is Op.CREATE]
        assert sorted(e.key for e in told) == sorted(key_of(id) for id in range(1001, 1001 + MANY))
        assert begun(one, hospital.name("visit")) == ["first"]


@pytest.mark.parametrize("how", ["restarted", "crashed"])
async def test_in_the_midst_of_a_snapshot(hospital: Hospital, tmp_path: Path, how: str) -> None:
    left = ["once"]

    def at(moment: str, table: Any) -> None:
        if table.name == "parted" and moment == "read" and left:
            left.clear()
            BREAKS[how](hospital)
            hospital.run("UPDATE parted SET n = 5 WHERE id < 20", "DELETE FROM parted WHERE id > 28")

    async with capturing(hospital, tmp_path, opening=stepwise(at)) as one:
        await arrived(hospital, one)
        assert not left
        check(hospital, one)
        assert begun(one, hospital.name("parted")) == ["first"], "it went on where it was"


# Rule 12: the log is not the one that was read before, or not all of it.

LOSSES: dict[str, tuple[str, Callable[[Hospital], None]]] = {}


def loss(reason: str) -> Callable[[Callable[[Hospital], None]], Callable[[Hospital], None]]:
    """What happens while the agent is away, and what it says of it."""

    def keep(function: Callable[[Hospital], None]) -> Callable[[Hospital], None]:
        LOSSES[function.__name__] = (reason, function)
        return function

    return keep


@loss("log lost: slot gone")
def slot_dropped(hospital: Hospital) -> None:
    hospital.drop_slot()


@loss("log lost: slot has moved on")
def slot_made_anew_under_its_name(hospital: Hospital) -> None:
    hospital.run("UPDATE full_image SET n = 3")
    hospital.drop_slot()
    hospital.run(f"SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')")


@loss("log lost: slot has moved on")
def slot_ahead(hospital: Hospital) -> None:
    hospital.run("UPDATE full_image SET n = 3")
    hospital.once_unread(f"SELECT pg_replication_slot_advance('{SLOT}', pg_current_wal_lsn())")


@loss("log lost: slot gone")
def slot_invalidated(hospital: Hospital) -> None:
    hospital.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
    try:
        for _ in range(4):
            hospital.run("INSERT INTO keyless VALUES(1)", "SELECT pg_switch_wal()")
        hospital.run("CHECKPOINT")
        query = f"SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
        assert hospital.rows(query) == [("lost",)]
    finally:
        hospital.run("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")


@pytest.mark.parametrize("how", LOSSES)
async def test_rule_12_a_log_that_was_lost_meanwhile_is_found_and_healed(
    hospital: Hospital, tmp_path: Path, how: str
) -> None:
    reason, happens = LOSSES[how]
    async with capturing(hospital, tmp_path, page_rows=WHOLE) as one:
        await arrived(hospital, one)
    hospital.run("UPDATE visit SET n = 9 WHERE id = 1", "DELETE FROM visit WHERE id = 2")
    happens(hospital)
    hospital.run("UPDATE parted SET n = 9 WHERE id = 1", "DELETE FROM parted WHERE id = 2")
    async with capturing(hospital, tmp_path, one, page_rows=WHOLE) as one:
        await arrived(hospital, one)
        check(hospital, one)
        assert all(begun(one, hospital.name(table)) == ["first", reason] for table in TABLES)
        assert one.said("his") == {}


async def test_rule_12_a_slot_behind_our_position_tells_again_and_nothing_is_doubled(
    hospital: Hospital, tmp_path: Path
) -> None:
    async with capturing(hospital, tmp_path, page_rows=WHOLE) as one:
        await arrived(hospital, one)
    audited(hospital)
    hospital.once_unread(f"SELECT pg_copy_logical_replication_slot('{SLOT}', 'older')")
    async with capturing(hospital, tmp_path, one, page_rows=WHOLE) as one:
        hospital.run(
            *(f'UPDATE "{table}" SET n = n + 1 WHERE id < 10' for table in TABLES),
            "UPDATE visit SET id = 50 WHERE id = 5",
            "DELETE FROM visit WHERE id = 6",
        )
        await arrived(hospital, one)
    hospital.drop_slot()
    hospital.run(
        f"SELECT pg_copy_logical_replication_slot('older', '{SLOT}')",
        "SELECT pg_drop_replication_slot('older')",
        "UPDATE visit SET n = 100 WHERE id = 50",
    )
    async with capturing(hospital, tmp_path, one, page_rows=WHOLE) as one:
        await arrived(hospital, one)
        check(hospital, one)
        for table in TABLES:
            once(hospital, one, table)
        assert begun(one, hospital.name("visit")) == ["first"]


async def test_rule_12_a_publication_that_is_dropped_and_made_again(
    hospital: Hospital, tmp_path: Path
) -> None:
    """The server can never again read what was written in between: it is said while there is none, and read anew once
    there is."""
    async with capturing(hospital, tmp_path, page_rows=WHOLE) as one:
        await arrived(hospital, one)
        hospital.run(f"DROP PUBLICATION {PUBLICATION}", "UPDATE visit SET n = 4 WHERE id = 3")
        await turns_until(one, lambda: "GC-2054" in said_of_log(one))
        hospital.run("DELETE FROM visit WHERE id = 4")
        hospital.publish()
        hospital.run("UPDATE visit SET n = 5 WHERE id = 5")
        await arrived(hospital, one)
        check(hospital, one)
        assert "GC-2054" not in said_of_log(one)


def said_of_log(one: Capturing) -> set[str]:
    """Codes of the source, and of its log where its tables are scanned for it."""
    report = one.runners["his"].report
    return {fault.code for fault in (report.fault, report.log) if fault is not None}


# Rules 1 and 12: another server.


@pytest.fixture
def servers() -> Iterator[Callable[[PostgresServer], PostgresServer]]:
    """Hands over servers of one test, which end with it."""
    with ExitStack() as stack:

        def keep(one: PostgresServer) -> PostgresServer:
            stack.callback(one.discard)
            return one

        yield keep


Keep = Callable[[PostgresServer], PostgresServer]


def hospital_of_its_own(keep: Keep, tmp_path: Path) -> Hospital:
    """On a server that nobody else uses."""
    require_postgres()
    server = keep(new_server())
    server.run("CREATE DATABASE his")
    hospital = Hospital(server, "his", tmp_path / "address")
    hospital.found()
    return hospital


@pytest.mark.parametrize("old", ["is gone", "lives on"])
async def test_rule_12_failover_to_a_standby_that_was_promoted(
    servers: Keep, tmp_path: Path, old: str
) -> None:
    """Another timeline. Where the old primary lives on nobody reads from it any more, once the log is another's."""
    hospital = hospital_of_its_own(servers, tmp_path)
    async with capturing(hospital, tmp_path, page_rows=WHOLE) as one:
        await arrived(hospital, one)
        standby = StandbyServer(hospital.server, **SETTINGS)
        servers(standby)
        hospital.run("UPDATE visit SET n = 9 WHERE id = 1", "DELETE FROM visit WHERE id = 2")
        replayed(hospital, standby)
        await arrived(hospital, one)
        standby.promote()
        if old == "is gone":
            hospital.server.stop()
        else:
            hospital.run("UPDATE visit SET n = 1000", CUT)
        hospital.move_to(standby)
        hospital.run("UPDATE visit SET n = 10 WHERE id = 3", "DELETE FROM visit WHERE id = 4")
        await arrived(hospital, one)
        check(hospital, one)
        assert begun(one, hospital.name("visit"))[-1] == "log lost: another server or timeline"


def replayed(hospital: Hospital, standby: PostgresServer) -> None:
    """Once it has all that the primary wrote before this."""
    ((lsn,),) = hospital.rows("SELECT pg_current_wal_lsn()")
    end = time.monotonic() + PATIENCE_SECONDS
    while not standby.rows(f"SELECT WHERE pg_last_wal_replay_lsn() >= '{lsn}'"):
        assert time.monotonic() < end


async def test_rule_12_another_server_with_a_restored_dump(servers: Keep, tmp_path: Path) -> None:
    """Behind the same address; its log is young, and lies below what was read of the old one."""
    hospital = hospital_of_its_own(servers, tmp_path)
    async with capturing(hospital, tmp_path, page_rows=WHOLE) as one:
        hospital.run(*("INSERT INTO keyless VALUES(1)", "SELECT pg_switch_wal()") * 3)
        await arrived(hospital, one)
    old, new = hospital.server, servers(new_server())
    dump = str(old.folder / "dump.sql")
    old.finish([old.program("pg_dump"), "-d", old.words("his"), "-f", dump])
    new.run("CREATE DATABASE his")
    new.finish([new.program("psql"), "-q", "-d", new.words("his"), "-f", dump])
    old.stop()
    hospital.move_to(new)
    hospital.run("UPDATE visit SET n = 11 WHERE id = 3", "DELETE FROM visit WHERE id = 4")
    async with capturing(hospital, tmp_path, one, page_rows=WHOLE) as one:
        await arrived(hospital, one)
        check(hospital, one)
        assert begun(one, hospital.name("visit"))[-1] == "log lost: another server or timeline"


async def test_rule_12_a_server_that_was_set_back_to_an_older_copy_of_its_disk(
    servers: Keep, tmp_path: Path
) -> None:
    """The same system and timeline, and a slot that knows nothing of what was read since."""
    hospital = hospital_of_its_own(servers, tmp_path)
    data, copy = hospital.server.folder / "data", hospital.server.folder / "copy"
    async with capturing(hospital, tmp_path, page_rows=WHOLE) as one:
        await arrived(hospital, one)
        hospital.server.stop(fast=True)
        hospital.server.finish(["cp", "-a", str(data), str(copy)])
        hospital.server.start()
        hospital.run("INSERT INTO keyless SELECT generate_series(1, 10000)", "UPDATE visit SET n = 9")
        await arrived(hospital, one)
    hospital.server.stop()
    hospital.server.finish(["rm", "-r", str(data)])
    hospital.server.finish(["mv", str(copy), str(data)])
    hospital.server.start()
    hospital.run("UPDATE visit SET n = 10 WHERE id = 3", "DELETE FROM visit WHERE id = 4")
    async with capturing(hospital, tmp_path, one, page_rows=WHOLE) as one:
        await arrived(hospital, one)
        check(hospital, one)
        assert begun(one, hospital.name("visit"))[-1] == "log lost: its log ends before what was read of it"


async def test_rule_1_a_standby_is_refused_and_its_tables_are_scanned(servers: Keep, tmp_path: Path) -> None:
    """Until it is no standby any more."""
    hospital = hospital_of_its_own(servers, tmp_path)
    primary = hospital.server
    standby = StandbyServer(primary, **SETTINGS)
    servers(standby)
    source = PostgresSource("his", lambda: standby.url("his"), lambda _: True, SLOT, [PUBLICATION])
    with closing(source), pytest.raises(Transient, match="GC-2055"):
        source.follow(0, "")
    hospital.move_to(standby)
    async with capturing(hospital, tmp_path, page_rows=WHOLE) as one:
        await turns_until(one, lambda: all(equal(hospital, one, table) for table in TABLES))
        assert said_of_log(one) == {"GC-2055"}
        primary.run("UPDATE visit SET n = 6 WHERE id < 9", database="his")
        replayed(Hospital(primary, "his"), standby)
        await turns_until(one, lambda: equal(hospital, one, "visit"))
        standby.promote()
        hospital.run("UPDATE visit SET n = 7 WHERE id < 5")
        await arrived(hospital, one)
        check(hospital, one)
        assert said_of_log(one) == set()
        assert begun(one, hospital.name("visit")) == ["first", "way changed"]


def equal(hospital: Hospital, one: Capturing, table: str) -> bool:
    name = hospital.name(table)
    state = one.state("his", name)
    read = state is not None and state.phase == Phase.FOLLOW
    return read and one.cells("his")[name] == hospital.held(one, table)


async def test_a_build_of_the_driver_without_its_library_is_said(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its module leads to another library, as where it is linked statically and shows nothing."""
    monkeypatch.setattr(psycopg2._psycopg, "__file__", pa.lib.__file__)
    url = make_url(hospital.server.url(hospital.database))
    with pytest.raises(Transient, match="GC-2058"):
        LogConnection(url, "his")
    async with capturing(hospital, tmp_path, page_rows=WHOLE) as one:
        await turns_until(one, lambda: all(equal(hospital, one, table) for table in TABLES))
        assert said_of_log(one) == {"GC-2058"}
