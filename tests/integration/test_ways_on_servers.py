"""Polls and windows on real servers: collations that ignore case, times as columns hold them, rows that move.

What a poll or window finds is looked at before any further scan; what they cannot, only the scan does (capture.md §5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge_agent.capture.rhythm import Task
from edge_agent.sources.settings import SqlSettings, TableSettings
from protocol.names import TableName
from tests.databases import Database, mariadb, postgres
from tests.integration.capturing import Capturing
from tests.integration.held import held

NOW = datetime(2026, 5, 1, 4, 0, tzinfo=UTC)
"""On the agent's clock. In Shanghai it is noon."""
SHANGHAI = ZoneInfo("Asia/Shanghai")
PAGE_ROWS = 3
SELDOM = 3_600.0
OFTEN = 0.001


class Hospital:
    def __init__(self, server: Database, database: str) -> None:
        self.server = server
        self.database = database
        self.postgres = server.backend == "postgresql"

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    def name(self, table: str) -> TableName:
        return TableName(self.database, "public" if self.postgres else None, table)

    def settings(self, table: str, **of: Any) -> dict[str, SqlSettings]:
        said = {"poll_seconds": OFTEN} if "cursor" in of else {}
        said |= {"window_seconds": OFTEN} if "window" in of else {}
        return {
            "his": SqlSettings(
                url=self.server.url(self.database),
                include=("*",),
                page_rows=PAGE_ROWS,
                duty_share_max=1.0,
                scan_interval_seconds=SELDOM,
                deletion_rows_min=6,
                tables={str(self.name(table)): TableSettings(**said, **of)},
            )
        }

    def session(self) -> Any:
        """One whose transaction stays open."""
        connection: Any = self.server.connect(self.database)
        if self.postgres:
            connection.autocommit = False
        else:
            connection.autocommit(False)
        return connection

    def held(self, capturing: Capturing, table: str) -> Counter[bytes]:
        """What the table holds, in canonical form."""
        schema = capturing.schema("his", self.name(table))
        return Counter(map(b"".join, held(self.server.url(self.database), schema)))


@pytest.fixture(params=["postgresql", "mariadb"])
def hospital(request: pytest.FixtureRequest) -> Iterator[Hospital]:
    server = postgres() if request.param == "postgresql" else mariadb()
    with server.database() as database:
        yield Hospital(server, database)


@asynccontextmanager
async def capturing(root: Path, sources: dict[str, SqlSettings]) -> AsyncIterator[Capturing]:
    """Once the first snapshot has ended; no scan follows unless it is asked for."""
    one = Capturing(root, sources, began=int(NOW.timestamp() * 1e6))
    try:
        assert await one.once("his") == {}
        yield one
    finally:
        await one.close()


async def agrees_after_a_scan(hospital: Hospital, one: Capturing, table: str) -> None:
    before = one.runners["his"].report.tables[hospital.name(table)].done[Task.SCAN]
    assert await one.once("his") == {}
    assert one.runners["his"].report.tables[hospital.name(table)].done[Task.SCAN] > before
    assert one.cells("his")[hospital.name(table)] == hospital.held(one, table)


def standing(hospital: Hospital, one: Capturing, table: str) -> Counter[tuple[Any, ...]]:
    return one.standing("his")[str(hospital.name(table))]


# Keys whose collation ignores case and trailing space: the database alone compares them.

WARDS = ("a", "B", "c", "D", "e", "F", "g", "H")


@pytest.fixture(params=["general_ci", "citext", "icu"])
def wards(request: pytest.FixtureRequest) -> Iterator[Hospital]:
    """`ward`, keyed by a code that ignores case, with a number by which it can be followed."""
    kind = request.param
    server = mariadb() if kind == "general_ci" else postgres()
    with server.database() as database:
        one = Hospital(server, database)
        code = {
            "general_ci": "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
            "citext": "citext",
            "icu": "varchar(20) COLLATE ci",
        }[kind]
        if kind == "citext":
            one.run("CREATE EXTENSION citext")
        if kind == "icu":
            one.run("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        one.run(f"CREATE TABLE ward(code {code} PRIMARY KEY, changed int)")
        one.run(*(f"INSERT INTO ward VALUES('{code}', {i})" for i, code in enumerate(WARDS)))
        yield one


async def test_a_poll_of_a_table_whose_key_ignores_case(wards: Hospital, tmp_path: Path) -> None:
    """Another spelling is another row to us until the scan finds that the old one has gone."""
    async with capturing(tmp_path, wards.settings("ward", cursor="changed", overlap=0)) as one:
        wards.run(
            "UPDATE ward SET code = 'A', changed = 20 WHERE code = 'a'",
            "UPDATE ward SET changed = 21 WHERE code = 'd'",
            "INSERT INTO ward VALUES('i', 22)",
            "DELETE FROM ward WHERE code = 'G'",
        )
        assert await one.followed("his") == {}
        found = standing(wards, one, "ward")
        assert [found["A", 20], found["D", 21], found["i", 22]] == [1, 1, 1]
        assert [found["D", 3], found["g", 6]] == [0, 1], "a poll sees updates and no deletion"
        await agrees_after_a_scan(wards, one, "ward")
        assert standing(wards, one, "ward")["a", 0] == 0


async def test_a_window_of_a_table_whose_key_ignores_case(wards: Hospital, tmp_path: Path) -> None:
    async with capturing(tmp_path, wards.settings("ward", window="changed", window_span=4)) as one:
        wards.run(
            "UPDATE ward SET code = 'E' WHERE code = 'e'",
            "DELETE FROM ward WHERE code = 'G'",
            "INSERT INTO ward VALUES('i', 7)",
            "UPDATE ward SET code = 'b' WHERE code = 'B'",
        )
        assert await one.followed("his") == {}
        found = standing(wards, one, "ward")
        assert [found["E", 4], found["e", 4], found["g", 6], found["i", 7]] == [1, 0, 0, 1]
        assert [found["B", 1], found["b", 1]] == [1, 0], "outside the window nothing is inferred"
        await agrees_after_a_scan(wards, one, "ward")


# Times, as the columns of servers hold them.

TIMES = {
    "postgresql": ("timestamp(6)", "timestamptz(6)"),
    "mariadb": ("datetime(6)", "timestamp(6)"),
}


def at(kind: str, moment: datetime) -> str:
    """A literal of the moment: wall-clock columns show the time of Shanghai, the others the session's, UTC."""
    zoned = kind in ("timestamptz(6)", "timestamp(6) of mariadb")
    shown = moment if zoned else moment.astimezone(SHANGHAI)
    return f"'{shown.strftime('%Y-%m-%d %H:%M:%S.%f')}{'+00' if kind == 'timestamptz(6)' else ''}'"


@pytest.fixture(params=[0, 1], ids=["wall", "zoned"])
def timed(request: pytest.FixtureRequest, hospital: Hospital) -> tuple[Hospital, str]:
    """`visit` with the time of its last change; and the kind of that column."""
    column = TIMES[hospital.server.backend][request.param]
    kind = "timestamp(6) of mariadb" if column == "timestamp(6)" and not hospital.postgres else column
    default = " NULL" if not hospital.postgres else ""
    hospital.run(f"CREATE TABLE visit(id int PRIMARY KEY, name varchar(20), changed {column}{default})")
    same = at(kind, NOW - timedelta(minutes=30))
    put(hospital, *(f"INSERT INTO visit VALUES({i}, 'old', {same})" for i in range(1, 9)))
    return hospital, kind


def put(hospital: Hospital, *statements: str) -> None:
    zone = "SET TimeZone = 'UTC'" if hospital.postgres else "SET time_zone = '+00:00'"
    hospital.run(zone, *statements)


async def test_a_poll_of_times_that_many_rows_share(timed: tuple[Hospital, str], tmp_path: Path) -> None:
    """More of them than a page holds, at its end."""
    hospital, kind = timed
    async with capturing(tmp_path, hospital.settings("visit", cursor="changed", overlap_seconds=0)) as one:
        same = at(kind, NOW - timedelta(minutes=5))
        put(
            hospital,
            *(f"INSERT INTO visit VALUES({i}, 'new', {same})" for i in range(20, 20 + 3 * PAGE_ROWS)),
        )
        assert await one.followed("his") == {}
        assert one.cells("his")[hospital.name("visit")] == hospital.held(one, "visit")


async def test_who_commits_late_is_found_within_the_overlap(
    timed: tuple[Hospital, str], tmp_path: Path
) -> None:
    hospital, kind = timed
    settings = hospital.settings("visit", cursor="changed", overlap_seconds=120)
    async with capturing(tmp_path, settings) as one:
        with closing(hospital.session()) as late:
            cursor = late.cursor()
            cursor.execute("SET TimeZone = 'UTC'" if hospital.postgres else "SET time_zone = '+00:00'")
            for number, before in ((40, timedelta(seconds=110)), (41, timedelta(seconds=200))):
                moment = at(kind, NOW - timedelta(minutes=5) - before)
                cursor.execute(f"INSERT INTO visit VALUES({number}, 'late', {moment})")
            put(hospital, f"INSERT INTO visit VALUES(50, 'new', {at(kind, NOW - timedelta(minutes=5))})")
            assert await one.followed("his") == {}
            late.commit()
        assert await one.followed("his") == {}
        assert ids(hospital, one) == {*range(1, 9), 40, 50}, "41 is older than the overlap reaches"
        await agrees_after_a_scan(hospital, one, "visit")


async def test_a_window_of_times_is_of_the_columns_own_clock(
    timed: tuple[Hospital, str], tmp_path: Path
) -> None:
    """Six hours: a clock read in the wrong zone would be eight off, and see all or nothing of them."""
    hospital, kind = timed
    hours = {n: at(kind, NOW - timedelta(hours=n)) for n in (1, 5, 7, 13)}
    put(hospital, *(f"INSERT INTO visit VALUES({100 + n}, 'x', {moment})" for n, moment in hours.items()))
    settings = hospital.settings("visit", window="changed", window_days=0.25)
    async with capturing(tmp_path, settings) as one:
        put(
            hospital,
            "DELETE FROM visit WHERE id > 100 AND id <> 105",
            "UPDATE visit SET name = 'y' WHERE id = 105",
        )
        assert await one.followed("his") == {}
        assert ids(hospital, one) == {*range(1, 9), 105, 107, 113}
        await agrees_after_a_scan(hospital, one, "visit")
        assert ids(hospital, one) == {*range(1, 9), 105}


def ids(hospital: Hospital, one: Capturing) -> set[int]:
    return {row[0] for row in standing(hospital, one, "visit")}


# Scans while rows move, and deletions that wait for a person.


async def test_rows_that_move_between_shards_during_a_scan(hospital: Hospital, tmp_path: Path) -> None:
    """Forwards and backwards over the place that the scan has reached: nothing that stands is deleted, and at the next
    scan all agrees. (That a row which looks gone is asked for again needs a moment within a step: test_ranges.)"""
    hospital.run("CREATE TABLE visit(id int PRIMARY KEY, name varchar(20))")
    hospital.run(*(f"INSERT INTO visit VALUES({i}, 'v{i}')" for i in range(10, 40)))
    async with capturing(tmp_path, hospital.settings("visit")) as one:
        hospital.run("UPDATE visit SET name = 'seen' WHERE id IN (12, 25, 38)")
        one.at(
            1,
            lambda: hospital.run(
                "UPDATE visit SET id = 99 WHERE id = 11",
                "UPDATE visit SET id = 1 WHERE id = 35",
            ),
        )
        await one.once("his")
        assert ids(hospital, one) >= {*range(10, 40), 99} - {11, 35}
        await agrees_after_a_scan(hospital, one, "visit")
        assert ids(hospital, one) == {1, *range(10, 40), 99} - {11, 35}


async def test_polls_go_on_while_a_share_of_deletions_waits_for_a_person(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.run("CREATE TABLE visit(id int PRIMARY KEY, changed int)")
    hospital.run(*(f"INSERT INTO visit VALUES({i}, 0)" for i in range(20)))
    async with capturing(tmp_path, hospital.settings("visit", cursor="changed", overlap=0)) as one:
        hospital.run("DELETE FROM visit WHERE id >= 10")
        name = hospital.name("visit")
        assert await one.once("his") == {str(name): "GC-2006"}
        hospital.run("INSERT INTO visit VALUES(50, 9)", "UPDATE visit SET changed = 8 WHERE id = 3")
        await one.followed("his")
        found = standing(hospital, one, "visit")
        assert [found[50, 9], found[3, 8], found[15, 0]] == [1, 1, 1]
        one.runners["his"].confirm(name)
        await one.until("his", None)
        assert one.cells("his")[name] == hospital.held(one, "visit")
