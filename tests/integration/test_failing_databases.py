"""Databases that fail, real ones: one clear error with its code in `status`, nothing false sent, the others go on.

Every test ends well: the cause is mended, nobody restarts or confirms anything, and what the agent's stream says
is the database's content, key by key, as tests/comparing reads it. A folder beside the database is the other source.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from edge_agent.sources.settings import FilesSettings, SqlSettings
from protocol.names import TableName
from tests.comparing.source import open_source
from tests.databases import PASSWORD, Database, mariadb, postgres
from tests.integration.capturing import Capturing
from tests.servers import Relay

NEW_PASSWORD = "another pass-word"
ROWS = 10
WIDE_BYTES = 4_000_000


class Hospital:
    """A database with the tables visit and ward, read by an account that may SELECT from both, and an export."""

    def __init__(self, server: Database, database: str, root: Path) -> None:
        self.server = server
        self.database = database
        self.root = root
        self.postgres = server.backend == "postgresql"
        self.url_file = root / "his.url"
        self.relay_port: int | None = None
        for table in ("visit", "ward"):
            text = "text" if self.postgres else "longtext"
            self.run(f"CREATE TABLE {table}(id int PRIMARY KEY, name {text})")
            self.run(*(f"INSERT INTO {table} VALUES({i}, '张 {i}')" for i in range(1, ROWS + 1)))
        self.run(
            f"CREATE {'ROLE reader LOGIN PASSWORD' if self.postgres else 'USER reader IDENTIFIED BY'} "
            f"'{PASSWORD}'"
        )
        self.grant("visit")
        self.grant("ward")
        self.say_password(PASSWORD)
        (root / "exports").mkdir()
        self.export(1)

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    def grant(self, table: str) -> None:
        self.run(f"GRANT SELECT ON {table} TO reader")

    def say_password(self, password: str) -> None:
        """Into the file that the agent was told of."""
        url = make_url(self.server.url(self.database, "reader", password))
        url = url.set(port=self.relay_port or url.port)
        self.url_file.write_text(url.render_as_string(hide_password=False) + "\n")

    def change_password(self, password: str) -> None:
        """And end the sessions that know the old one."""
        word = "ALTER ROLE reader PASSWORD" if self.postgres else "ALTER USER reader IDENTIFIED BY"
        self.run(f"{word} '{password}'")
        self.end_sessions()

    def end_sessions(self) -> None:
        if self.postgres:
            self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
        else:
            listed = "SELECT id FROM information_schema.processlist WHERE user = 'reader'"
            self.run(*(f"KILL {number}" for (number,) in self.server.rows(listed)))

    def export(self, value: int) -> None:
        (self.root / "exports" / "lab.csv").write_text(f"id,value\n1,{value}\n")

    def settings(self, **more: Any) -> dict[str, SqlSettings | FilesSettings]:
        """Of both sources; pages so small that a table takes several, and pauses that a round fits into."""
        his = {"url_file": str(self.url_file), "page_rows": 3, "scan_interval_seconds": 1.0, **more}
        return {
            "his": SqlSettings(include=("*",), duty_share_max=1.0, **his),
            "lab": FilesSettings(
                include=("*",),
                folder=str(self.root / "exports"),
                stable_seconds=0,
                duty_share_max=1.0,
                scan_interval_seconds=1.0,
            ),
        }

    def named(self, table: str) -> str:
        return str(self.name(table))

    def name(self, table: str) -> TableName:
        return TableName(self.database, "public" if self.postgres else None, table)

    def drop(self) -> None:
        self.end_sessions()
        if self.postgres:
            self.run("DROP OWNED BY reader", "DROP ROLE reader")
        else:
            self.run("DROP USER reader")


@pytest.fixture(params=["postgresql", "mariadb"])
def hospital(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hospital]:
    server = postgres() if request.param == "postgresql" else mariadb()
    with server.database() as database:
        made = Hospital(server, database, tmp_path)
        yield made
        made.drop()


@pytest.fixture
async def capturing(hospital: Hospital) -> AsyncIterator[Capturing]:
    made = Capturing(hospital.root, hospital.settings())
    yield made
    await made.close()


def check(hospital: Hospital, capturing: Capturing) -> None:
    """The stream says what stands in the database, in every table that exists, and once."""
    url = hospital.server.url(hospital.database)
    cells = capturing.cells("his")
    with closing(open_source(url)) as source:
        for name in source.tables():
            schema = capturing.schema("his", TableName(*name))
            wires = {column.name: column.wire for column in schema.columns}
            batches = list(source.rows(name, wires))
            expected = Counter(b"".join(row) for batch in batches for row in zip(*batch, strict=True))
            assert cells[TableName(*name)] == expected, name


async def the_other_goes_on(hospital: Hospital, capturing: Capturing, value: int) -> None:
    hospital.export(value)
    await capturing.until("lab", None)
    assert capturing.standing("lab") == {"lab.csv": Counter({("1", str(value)): 1})}


async def the_other_table_goes_on(hospital: Hospital, capturing: Capturing, value: int) -> None:
    """A pass that finds visit ailing still finds what changed in ward."""
    hospital.run(f"UPDATE ward SET name = '改 {value}' WHERE id = 2")
    await capturing.once("his")
    assert capturing.standing("his")[hospital.named("ward")][2, f"改 {value}"] == 1


def change(hospital: Hospital) -> None:
    """While the agent cannot look: a row of each kind."""
    hospital.run(
        "INSERT INTO visit VALUES(77, '新')",
        "UPDATE visit SET name = NULL WHERE id = 3",
        "DELETE FROM visit WHERE id = 5",
        "UPDATE visit SET id = 88 WHERE id = 7",
    )


async def test_a_server_that_is_away(hospital: Hospital, capturing: Capturing) -> None:
    await capturing.until("his", None)
    change(hospital)
    hospital.server.stop()
    try:
        for _ in range(2):
            assert await capturing.once("his") == {"": "GC-2001"}
        await the_other_goes_on(hospital, capturing, 2)
    finally:
        hospital.server.start()
    assert capturing.deleted("his") == 0
    await capturing.until("his", None)
    assert capturing.deleted("his") == 2
    check(hospital, capturing)


async def test_a_server_that_was_away_from_the_beginning(hospital: Hospital, capturing: Capturing) -> None:
    hospital.server.stop()
    try:
        assert await capturing.once("his") == {"": "GC-2001"}
        await the_other_goes_on(hospital, capturing, 2)
    finally:
        hospital.server.start()
    await capturing.until("his", None)
    check(hospital, capturing)


async def test_a_wrong_password_is_told_and_mended_in_its_file(
    hospital: Hospital, capturing: Capturing
) -> None:
    hospital.say_password("wrong-word")
    assert await capturing.once("his") == {"": "GC-2040"}
    await the_other_goes_on(hospital, capturing, 2)
    hospital.say_password(PASSWORD)
    await capturing.until("his", None)
    check(hospital, capturing)


async def test_a_password_that_is_changed_while_we_read(hospital: Hospital, capturing: Capturing) -> None:
    """In the middle of the first snapshot; then the same again in quiet times."""
    capturing.at(4, lambda: hospital.change_password(NEW_PASSWORD))
    await capturing.once("his")
    assert await capturing.once("his") == {"": "GC-2040"}
    hospital.url_file.unlink()
    assert await capturing.once("his") == {"": "GC-1004"}
    hospital.say_password(NEW_PASSWORD)
    await capturing.until("his", None)
    check(hospital, capturing)
    hospital.change_password(PASSWORD)
    change(hospital)
    await capturing.until("his", "GC-2040")
    assert capturing.deleted("his") == 0
    hospital.say_password(PASSWORD)
    await capturing.until("his", None)
    check(hospital, capturing)


async def test_a_server_restarted_in_mid_scan(hospital: Hospital, capturing: Capturing) -> None:
    def restart() -> None:
        hospital.server.stop()
        hospital.server.start()

    capturing.at(5, restart)
    assert await capturing.once("his") == {"": "GC-2001"}
    await capturing.until("his", None)
    check(hospital, capturing)
    change(hospital)
    capturing.at(2, restart)
    await capturing.once("his")
    await capturing.until("his", None)
    assert capturing.deleted("his") == 2
    check(hospital, capturing)


async def test_a_table_dropped_and_put_back(hospital: Hospital, capturing: Capturing) -> None:
    await capturing.until("his", None)
    hospital.run("DROP TABLE visit")
    assert await capturing.once("his") == {hospital.named("visit"): "GC-2002"}
    await the_other_table_goes_on(hospital, capturing, 1)
    assert capturing.deleted("his") == 0
    hospital.run("CREATE TABLE visit(id int PRIMARY KEY, name text)")
    hospital.run("INSERT INTO visit VALUES(1, '张 1'), (9, '又')")
    hospital.grant("visit")
    await capturing.until("his", None)
    check(hospital, capturing)


async def test_a_table_dropped_in_mid_scan(hospital: Hospital, capturing: Capturing) -> None:
    hospital.run(*(f"INSERT INTO visit VALUES({i}, 'x')" for i in range(100, 120)))
    capturing.at(5, lambda: hospital.run("DROP TABLE visit"))
    assert await capturing.once("his") == {hospital.named("visit"): "GC-2002"}
    await the_other_table_goes_on(hospital, capturing, 1)
    hospital.run("CREATE TABLE visit(id int PRIMARY KEY, name text)", "INSERT INTO visit VALUES(4, '又')")
    hospital.grant("visit")
    await capturing.until("his", None)
    check(hospital, capturing)


async def test_a_table_renamed_and_back(hospital: Hospital, capturing: Capturing) -> None:
    """Under its new name it is a new table; nothing of the old one is deleted by us."""
    await capturing.until("his", None)
    hospital.run("ALTER TABLE visit RENAME TO visit_old")
    hospital.grant("visit_old")
    assert await capturing.once("his") == {hospital.named("visit"): "GC-2002"}
    await the_other_table_goes_on(hospital, capturing, 1)
    assert capturing.deleted("his") == 0
    assert capturing.standing("his")[hospital.named("visit")].total() == ROWS
    check(hospital, capturing)
    hospital.run("ALTER TABLE visit_old RENAME TO visit")
    hospital.grant("visit")
    await capturing.until_said("his", {hospital.named("visit_old"): "GC-2002"})
    check(hospital, capturing)


ALTERATIONS = [
    "ALTER TABLE visit ADD COLUMN ward int DEFAULT 7",
    "ALTER TABLE visit DROP COLUMN name",
    "ALTER TABLE visit RENAME COLUMN name TO 姓名",
    "ALTER TABLE visit {} id {} bigint",
]


@pytest.mark.parametrize("statement", ALTERATIONS)
async def test_a_table_altered_in_mid_scan(hospital: Hospital, capturing: Capturing, statement: str) -> None:
    words = ("ALTER COLUMN", "TYPE") if hospital.postgres else ("MODIFY", "")
    hospital.run(*(f"INSERT INTO visit VALUES({i}, 'x')" for i in range(100, 120)))
    capturing.at(5, lambda: hospital.run(statement.format(*words)))
    assert await capturing.once_watched("his") == {(hospital.named("visit"), "GC-2010")}
    await the_other_table_goes_on(hospital, capturing, 1)
    await capturing.until("his", None)
    assert capturing.deleted("his") == 0
    check(hospital, capturing)


async def test_a_permission_lost_on_one_table(hospital: Hospital, capturing: Capturing) -> None:
    """MariaDB no longer shows such a table at all, which reads like a table that is gone, and says so."""
    await capturing.until("his", None)
    hospital.run("REVOKE SELECT ON visit FROM reader")
    change(hospital)
    code = "GC-2003" if hospital.postgres else "GC-2002"
    assert await capturing.once("his") == {hospital.named("visit"): code}
    await the_other_table_goes_on(hospital, capturing, 1)
    assert capturing.deleted("his") == 0
    hospital.grant("visit")
    await capturing.until("his", None)
    assert capturing.deleted("his") == 2
    check(hospital, capturing)


async def test_a_table_locked_by_another_session(hospital: Hospital, capturing: Capturing) -> None:
    """A lock costs two seconds; then the table rests ten times as long, so that the others are not held up."""
    await capturing.until("his", None)
    other = hospital.server.connect(hospital.database)
    with other.cursor() as cursor:
        cursor.execute("BEGIN" if hospital.postgres else "SELECT 1")
        mode = "visit IN ACCESS EXCLUSIVE MODE" if hospital.postgres else "visit WRITE"
        cursor.execute(f"LOCK {'TABLE' if hospital.postgres else 'TABLES'} {mode}")
        cursor.execute("UPDATE visit SET name = 'mine' WHERE id = 1")
        assert await capturing.once("his") == {hospital.named("visit"): "GC-2041"}
        for value in range(3):
            await the_other_table_goes_on(hospital, capturing, value)
        assert capturing.said("his") == {hospital.named("visit"): "GC-2041"}
        cursor.execute("COMMIT" if hospital.postgres else "UNLOCK TABLES")
    other.close()
    assert capturing.deleted("his") == 0
    capturing.runners["his"].want_snapshot(
        hospital.name("visit")
    )  # a person does not wait until it has rested
    await capturing.until("his", None)
    check(hospital, capturing)


@pytest.fixture
async def relay(hospital: Hospital) -> AsyncIterator[Relay]:
    """The line between agent and database. What visit holds does not fit into the buffers on the way."""
    hospital.run(f"UPDATE visit SET name = repeat('长', {WIDE_BYTES // ROWS})")
    made = Relay(hospital.server.port)
    await made.start()
    hospital.relay_port = made.port
    hospital.say_password(PASSWORD)
    yield made
    made.resume()
    await made.aclose()


@pytest.mark.parametrize("count", [0, 1, WIDE_BYTES], ids=["at login", "at the first word", "in mid-result"])
async def test_a_result_as_slow_as_a_glacier(
    hospital: Hospital, relay: Relay, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """The line carries nothing more, and stays up. Others go on meanwhile; when it flows again all is well."""
    for dialect in ("mysql", "postgres"):
        monkeypatch.setattr(f"edge_agent.sources.dialects.{dialect}.CONNECT_SECONDS_MAX", 2)
    capturing = Capturing(hospital.root, hospital.settings(answer_seconds_max=1, scan_interval_seconds=60))
    if count == 0:
        relay.stall()
    elif count > 1:
        relay.stall_after(count)
    else:
        await capturing.until("his", None)
        relay.stall()
    async with capturing.running("his"):
        await relay.stalled()
        await the_other_goes_on(hospital, capturing, 2)
        while "" not in capturing.said("his"):  # noqa: ASYNC110 (nothing tells of a fault)
            await asyncio.sleep(0.01)
        assert capturing.said("his") == {"": "GC-2001"}
        await the_other_goes_on(hospital, capturing, 3)
    assert capturing.deleted("his") == 0
    relay.cut()
    relay.resume()
    await capturing.until("his", None)
    check(hospital, capturing)
    await capturing.close()


async def test_the_agent_stops_while_a_result_does_not_come(hospital: Hospital, relay: Relay) -> None:
    """Nothing on our side has run out yet: only the stop breaks it off."""
    capturing = Capturing(
        hospital.root, hospital.settings(answer_seconds_max=3_600, scan_interval_seconds=60)
    )
    relay.stall_after(WIDE_BYTES)
    async with capturing.running("his"):
        await relay.stalled()
    await asyncio.wait_for(capturing.close(), 60)
    running = [thread.name for thread in threading.enumerate()]
    assert not [name for name in running if name.startswith(("source his", "patience"))]
