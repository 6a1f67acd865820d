"""A database that is away, locked, full of somebody else's wishes or simply wrong: named, and never with a password."""

from __future__ import annotations

import sqlite3
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from central_ingest.ledger.address import PostgresAddress
from central_ingest.ledger.faults import LedgerDown
from central_ingest.ledger.ledger import Ledger
from protocol.errors import Fault, Permanent
from tests.databases import PASSWORD, PostgresServer, postgres
from tests.ledgers import address, new_place
from tests.servers import free_port

WRONG = "a wrong pass-word/with: odd@characters"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = postgres()
    yield server
    if server._process is None:
        server.start()


@pytest.fixture
def place(server: PostgresServer, tmp_path: Path) -> Iterator[PostgresAddress]:
    with new_place("postgresql", tmp_path) as place:
        assert isinstance(place, PostgresAddress)
        yield place


def told(fault: BaseException) -> str:
    """All that a log could show of it."""
    return "".join(traceback.format_exception(fault))


def fails(place: PostgresAddress, code: str, reason: str, kind: type[Fault] = LedgerDown) -> None:
    with pytest.raises(kind) as caught:
        Ledger.open(place)
    assert caught.value.code == code
    assert reason in str(caught.value)
    for password in (PASSWORD, WRONG):
        assert password not in told(caught.value)


def test_a_restart_between_two_calls_goes_unnoticed(server: PostgresServer, place: PostgresAddress) -> None:
    ledger = Ledger.open(place)
    ledger.add_site("h1", "", 1)
    server.stop()
    server.start()
    ledger.add_site("h2", "", 2)
    assert ledger.sites() == [("h1", ""), ("h2", "")]
    ledger.close()


def test_while_it_is_away_calls_fail_and_afterwards_they_work(
    server: PostgresServer, place: PostgresAddress
) -> None:
    ledger = Ledger.open(place)
    server.stop()
    for _ in range(2):
        with pytest.raises(LedgerDown) as caught:
            ledger.add_site("h1", "", 1)
        assert caught.value.code == "GC-6090"
        assert PASSWORD not in told(caught.value)
    server.start()
    ledger.add_site("h2", "", 2)
    assert ledger.sites() == [("h2", "")]
    ledger.close()


def test_a_connection_that_dies_in_a_transaction_is_told(
    server: PostgresServer, place: PostgresAddress
) -> None:
    ledger = Ledger.open(place)
    with pytest.raises(LedgerDown), ledger._engine.begin() as c:  # noqa: PT012 (it dies in the middle)
        c.exec_driver_sql("INSERT INTO site VALUES ('h1', '', 1)")
        server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'guicang-centre'"
        )
        c.exec_driver_sql("INSERT INTO site VALUES ('h2', '', 1)")
    assert ledger.sites() == []
    ledger.close()


def test_a_lock_is_not_waited_for_without_end(server: PostgresServer, place: PostgresAddress) -> None:
    ledger = Ledger.open(place)
    ledger.close()
    hasty = PostgresAddress(place.url + "?options=-c%20lock_timeout%3D50", place.password)
    ledger = Ledger.open(hasty)
    name = place.url.rpartition("/")[2].replace("%20", " ")
    with server.connect(name) as other, other.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE site")
        with pytest.raises(LedgerDown) as caught:
            ledger.add_site("h1", "", 1)
        assert "LockNotAvailable, SQLSTATE 55P03" in str(caught.value)
        cursor.execute("ROLLBACK")
    other.close()
    ledger.add_site("h1", "", 1)
    ledger.close()


def test_a_server_that_only_reads_is_waited_for(server: PostgresServer, place: PostgresAddress) -> None:
    Ledger.open(place).close()
    reading = PostgresAddress(place.url + "?options=-c%20default_transaction_read_only%3Don", place.password)
    ledger = Ledger.open(reading)
    with pytest.raises(LedgerDown, match="ReadOnlySqlTransaction"):
        ledger.add_site("h1", "", 1)
    ledger.close()


def test_no_way_in_is_said_without_the_password(server: PostgresServer, place: PostgresAddress) -> None:
    fails(PostgresAddress(place.url, WRONG), "GC-6090", "password authentication failed")
    fails(address(server, "nowhere"), "GC-6090", "does not exist")
    nobody_there = PostgresAddress(f"postgresql://a@127.0.0.1:{free_port()}/x", WRONG)
    fails(nobody_there, "GC-6090", "refused")
    fails(PostgresAddress(place.url + "?passwort=" + "x", WRONG), "GC-6091", "passwort", Permanent)
    fails(PostgresAddress(f"postgresql://a:{WRONG}@127.0.0.1/x"), "GC-6091", "password", Permanent)
    fails(PostgresAddress("postgresql://a@[::1/x", WRONG), "GC-6091", "URL", Permanent)


def test_an_account_without_rights_is_a_person_s_matter(
    server: PostgresServer, place: PostgresAddress
) -> None:
    server.run(f"CREATE ROLE poor LOGIN PASSWORD '{PASSWORD}'")
    try:
        poor = PostgresAddress(place.url.replace("administrator", "poor"), place.password)
        fails(poor, "GC-6091", "SQLSTATE 42501", Permanent)
    finally:
        server.run("DROP ROLE poor")


def test_a_database_that_cannot_hold_every_name_is_refused(server: PostgresServer) -> None:
    server.run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    try:
        fails(address(server, "latin"), "GC-6091", "LATIN1", Permanent)
    finally:
        server.run("DROP DATABASE latin")


def test_a_commit_is_durable_whatever_the_server_s_default_is(
    server: PostgresServer, place: PostgresAddress
) -> None:
    server.run("ALTER ROLE administrator SET synchronous_commit = off")
    try:
        ledger = Ledger.open(place)
        with ledger._engine.connect() as c:
            assert c.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
        ledger.close()
    finally:
        server.run("ALTER ROLE administrator RESET synchronous_commit")


def test_a_mistake_of_ours_stays_one(place: PostgresAddress, tmp_path: Path) -> None:
    for where in (place, tmp_path / "ledger.sqlite"):
        ledger = Ledger.open(where)
        with pytest.raises(Exception, match="no_such_table") as caught, ledger._engine.connect() as c:
            c.exec_driver_sql("SELECT * FROM no_such_table")
        assert not isinstance(caught.value, Fault)
        ledger.close()


def test_what_somebody_asked_for_stands_in_no_error(place: PostgresAddress, tmp_path: Path) -> None:
    patient = "".join(["张", "三"])  # a traceback shows this file, too
    for where in (place, tmp_path / "ledger.sqlite"):
        ledger = Ledger.open(where)
        with ledger._engine.begin() as c:
            c.exec_driver_sql("DROP TABLE audit")
        with pytest.raises(Exception, match="audit") as caught:
            ledger.add_audit(1, "me", f"SELECT '{patient}'")
        assert patient not in told(caught.value)
        ledger.close()


# SQLite


def test_a_file_that_is_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("central_ingest.ledger.engine.LOCK_SECONDS", 0.05)
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerDown, match="SQLITE_BUSY"):
        ledger.add_site("h1", "", 1)
    other.close()
    ledger.add_site("h1", "", 1)
    ledger.close()


@pytest.mark.parametrize("kept", [0, 100])
def test_a_file_that_is_none_is_a_person_s_matter(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path).close()
    path.write_bytes(path.read_bytes()[:kept] + b"\xff" * 4_000 + path.read_bytes()[kept + 4_000 :])
    with pytest.raises(Permanent) as caught:
        Ledger.open(path)
    assert caught.value.code == "GC-6094"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerDown, match="SQLITE_CANTOPEN"):
        Ledger.open(tmp_path / "nowhere" / "ledger.sqlite")


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(Permanent) as caught:
        Ledger.open(PostgresAddress("postgresql://a@127.0.0.1/x"))
    assert (caught.value.code, caught.value.facts) == ("GC-6093", {"package": "psycopg2"})
