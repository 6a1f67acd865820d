"""What keeps a PostgreSQL's log from being begun for a while, and what else goes on meanwhile; on a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from edge_agent.capture import runner
from edge_agent.capture.log import work
from edge_agent.orders import Pause
from edge_agent.sources.pg import replication
from edge_agent.sources.pg.replication import LogConnection
from tests.integration.capturing import Capturing
from tests.integration.following import (
    PATIENCE_SECONDS,
    PUBLICATION,
    SLOT,
    Hospital,
    a_hospital,
    arrived,
    capturing,
    check,
    stands,
    turn,
    turns_until,
)


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with a_hospital() as one:
        yield one


def in_the_way(one: Capturing) -> tuple[str | None, bool]:
    """The code of what is, and whether it is waited for."""
    report = one.runners["his"].report
    return None if report.log is None else report.log.code, report.log_waits


async def test_a_transaction_that_runs_on_holds_up_the_log_and_no_scan(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "_WAIT_FOR_WRITERS", "SET lock_timeout = '200ms'")
    with closing(psycopg2.connect(**hospital.server.login(hospital.database))) as forgotten:
        forgotten.cursor().execute("UPDATE visit SET n = 1 WHERE id = 1")
        async with capturing(hospital, tmp_path) as one:
            await turns_until(one, lambda: in_the_way(one) == ("GC-2079", True))
            await turns_until(one, lambda: stands(one, hospital, "keyless"))
            hospital.run("INSERT INTO keyless VALUES(5)")
            await turns_until(one, lambda: stands(one, hospital, "keyless"))
            assert in_the_way(one) == ("GC-2079", True)
            assert one.runners["his"].report.last_pass is None, "nothing is complete without its log"
            assert "正在等待" in one.printed()
            forgotten.commit()
            await arrived(hospital, one)
            check(hospital, one)
            assert in_the_way(one) == (None, False)


async def test_a_slot_in_use_is_waited_for_and_then_its_tables_are_scanned(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LogConnection(make_url(hospital.server.url(hospital.database)), "another")
    with closing(other):
        other.create_slot(SLOT)
        other.start(SLOT, 0, [PUBLICATION])
        async with capturing(hospital, tmp_path) as one:
            with other.elsewhere():
                await turns_until(one, lambda: in_the_way(one) == ("GC-2052", True))
                await turns_until(one, lambda: stands(one, hospital, "keyless"))
                assert hospital.name("visit") not in one.cells("his")
                monkeypatch.setattr(work, "PATIENCE_SECONDS", 0.0)
                await turns_until(one, lambda: in_the_way(one) == ("GC-2052", False))
                await turns_until(one, lambda: stands(one, hospital, "visit"))
                assert "改为扫描" in one.printed()
            other.close()
            await arrived(hospital, one)
            check(hospital, one)
            assert in_the_way(one) == (None, False)


async def test_a_slot_of_our_name_that_is_another_tools_is_never_dropped(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.run(f"SELECT pg_create_physical_replication_slot('{SLOT}', true)")
    async with capturing(hospital, tmp_path, wal_keep_bytes_max=1 << 20) as one:
        await turns_until(one, lambda: in_the_way(one) == ("GC-2084", False))
        hospital.run("CREATE TABLE much AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
        log = one.runners["his"]._log
        assert log is not None
        for _ in range(3):
            log._tended_at -= 100
            await turn(one)
            assert one.said("his") == {}
        assert hospital.rows(f"SELECT slot_type FROM pg_replication_slots WHERE slot_name = '{SLOT}'") == [
            ("physical",)
        ]


async def test_the_hospital_is_looked_after_while_the_source_is_paused_and_nothing_is_due(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in (work, runner):
        monkeypatch.setattr(where, "TEND_SECONDS", 0.1)
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one)
    async with capturing(hospital, tmp_path, one, scan_interval_seconds=86_400.0) as one:
        await turns_until(one, lambda: one.runners["his"].report.tables != {})
        one.runners["his"]._orders.take(lambda book: book.pausing("his", Pause(1, "local")))
        async with one.running("his"):
            await until(lambda: one.runners["his"]._idle_seconds == 86_400.0)
            hospital.run("ALTER TABLE visit DROP CONSTRAINT visit_pkey")
            listed = (
                f"SELECT FROM pg_publication_tables WHERE pubname = '{PUBLICATION}' AND tablename = 'visit'"
            )
            await until(lambda: not hospital.rows(listed))
            hospital.run("UPDATE visit SET n = 5 WHERE id = 5")


async def until(reached: Callable[[], bool]) -> None:
    """Nobody hints, and nobody turns the agent by hand."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
