"""What `edge-agent check` finds on a real server that a DBA has not prepared, or wrongly; and its script, run there.

Afterwards nothing is missing, the hospital's own statements work on every table, and a login with no more rights
follows the log.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from rich.console import Console

from edge_agent import commands
from edge_agent.capture.phases import Phase
from edge_agent.checking import check
from edge_agent.readiness import EXACT, scanned, script_of
from edge_agent.sources.pg.naming import qualified, quoted
from edge_agent.sources.registry import open_source
from edge_agent.sources.settings import PostgresSettings, TableSettings
from protocol.change import Op
from protocol.errors import Transient
from protocol.names import TableName
from tests.databases import PASSWORD, PostgresServer, logical_postgres, postgres
from tests.integration.capturing import Capturing
from tests.unit.edge_agent.reading import Change

ODD, FIELD = '门诊 "Schema"', 'se"lect 列'
BY_LOG = ("visit", "select", "医嘱 Order", "full_image", "by_index", "parted", "full_root", "full_keyless")
INSERTS = ("keyless", "nothing", "late", "lost", "rootless", "one_leaf", "odd_leaf", "doubled")
ROOTLESS = ("full_rootless", "index_rootless")
"""Their log would tell all, but for a partition that comes later."""
BY_SCANS = ("fast", "mixed", "parent")
NUMBERS = itertools.count(1)
TABLES = [
    f"CREATE SCHEMA {quoted(ODD)}",
    f"CREATE TABLE visit(id int PRIMARY KEY, {quoted(FIELD)} int)",
    f'CREATE TABLE {quoted(ODD)}."select"(id int PRIMARY KEY, n int)',
    'CREATE TABLE "医嘱 Order"(id int PRIMARY KEY, n int)',
    "CREATE TABLE full_image(id int PRIMARY KEY, n int)",
    "ALTER TABLE full_image REPLICA IDENTITY FULL",
    "CREATE TABLE by_index(id int NOT NULL, n int)",
    "CREATE UNIQUE INDEX by_index_key ON by_index(id)",
    "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_key",
    "CREATE TABLE parted(id int PRIMARY KEY, n int) PARTITION BY HASH (id)",
    "CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0) PARTITION BY HASH (id)",
    "CREATE TABLE parted_00 PARTITION OF parted_0 FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "CREATE TABLE full_root(id int PRIMARY KEY, n int) PARTITION BY HASH (id)",
    "CREATE TABLE full_root_0 PARTITION OF full_root FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    "ALTER TABLE full_root REPLICA IDENTITY FULL",
    "CREATE TABLE keyless(id int, n int)",
    "CREATE TABLE full_keyless(id int, n int)",
    "ALTER TABLE full_keyless REPLICA IDENTITY FULL",
    "CREATE TABLE nothing(id int PRIMARY KEY, n int)",
    "ALTER TABLE nothing REPLICA IDENTITY NOTHING",
    "CREATE TABLE late(id int PRIMARY KEY DEFERRABLE, n int)",
    "CREATE TABLE lost(id int NOT NULL, n int)",
    "CREATE UNIQUE INDEX lost_key ON lost(id)",
    "ALTER TABLE lost REPLICA IDENTITY USING INDEX lost_key",
    "DROP INDEX lost_key",
    "CREATE TABLE rootless(id int, n int) PARTITION BY HASH (id)",
    "CREATE TABLE rootless_0 PARTITION OF rootless (PRIMARY KEY (id)) FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    "CREATE TABLE one_leaf(id int PRIMARY KEY, n int) PARTITION BY HASH (id)",
    "CREATE TABLE one_leaf_0 PARTITION OF one_leaf FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    "ALTER TABLE one_leaf_0 REPLICA IDENTITY NOTHING",
    "CREATE TABLE odd_leaf(id int PRIMARY KEY, n int NOT NULL) PARTITION BY HASH (id)",
    "CREATE TABLE odd_leaf_0 PARTITION OF odd_leaf FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    "CREATE UNIQUE INDEX odd_leaf_n ON odd_leaf_0(n)",
    "ALTER TABLE odd_leaf_0 REPLICA IDENTITY USING INDEX odd_leaf_n",
    "CREATE TABLE full_rootless(id int, n int) PARTITION BY HASH (id)",
    "CREATE TABLE full_rootless_0 PARTITION OF full_rootless FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    *(f"ALTER TABLE full_rootless{part} REPLICA IDENTITY FULL" for part in ("", "_0")),
    "CREATE TABLE index_rootless(id int NOT NULL, n int) PARTITION BY HASH (id)",
    "CREATE TABLE index_rootless_0 PARTITION OF index_rootless FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    "CREATE UNIQUE INDEX index_rootless_key ON index_rootless(id)",
    "ALTER TABLE index_rootless REPLICA IDENTITY USING INDEX index_rootless_key",
    "ALTER TABLE index_rootless_0 REPLICA IDENTITY USING INDEX index_rootless_0_id_idx",
    "CREATE UNLOGGED TABLE fast(id int PRIMARY KEY, n int)",
    "CREATE TABLE mixed(id int PRIMARY KEY, n int) PARTITION BY HASH (id)",
    "CREATE TABLE mixed_0 PARTITION OF mixed FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
    "CREATE UNLOGGED TABLE mixed_1 PARTITION OF mixed FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "CREATE TABLE parent(id int PRIMARY KEY, n int)",
    "CREATE TABLE child() INHERITS (parent)",
    "CREATE TABLE doubled(id int PRIMARY KEY, n int, two int GENERATED ALWAYS AS (n * 2) STORED)",
]
EVERY_TABLE = (*BY_LOG, *INSERTS, *ROOTLESS, *BY_SCANS, "child")


class Hospital:
    """A database with tables of every sort, and a role of our own that does not exist yet."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server = server
        self.database = database
        number = next(NUMBERS)
        self.slug = f"his-{number}"
        self.role = f'采集 "Role" o\'{number}'
        self.slot = f"guicang_his_{number}"
        self.publications: tuple[str, ...] | None = None
        self.seen: tuple[str, ...] = ("visit",)
        """What a person lets be captured who runs the command."""
        self.run(*TABLES)

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.server.rows(query, self.database)

    def name(self, table: str) -> TableName:
        return TableName(self.database, ODD if table == "select" else "public", table)

    @property
    def settings(self) -> PostgresSettings:
        tables = {
            str(self.name("by_index")): TableSettings(key=("id",)),
            str(self.name("lost")): TableSettings(key=("id",)),
        }
        url = self.server.url(self.database, self.role)
        exclude = (str(self.name("child")),)
        return PostgresSettings(
            url=url,
            include=("*",),
            exclude=exclude,
            tables=tables,
            publications=self.publications,
            scan_interval_seconds=0.2,
            duty_share_max=1.0,
        )

    def login(self, words: str = "LOGIN REPLICATION") -> None:
        self.run(f"CREATE ROLE {quoted(self.role)} {words} PASSWORD '{PASSWORD}'")

    def script(self) -> str:
        return self._script(self.settings)

    def script_for(self, table: TableName) -> str:
        """Where only that table is included."""
        return self._script(self.settings.model_copy(update={"include": (str(table),), "tables": {}}))

    def _script(self, settings: PostgresSettings) -> str:
        with closing(open_source(self.slug, settings)) as source:
            return script_of(self.slug, settings, source)[0]

    def run_script(self) -> None:
        """As a DBA does, at a machine whose own encoding is another than the file's."""
        self._psql(self.script(), PGCLIENTENCODING="GBK")

    def type(self, line: str, *answers: str) -> None:
        """As a DBA does who pastes a line, and answers what psql asks without a screen."""
        self._psql("".join(f"{one}\n" for one in answers), "-c", line, PGCLIENTENCODING="UTF8")

    def _psql(self, text: str, *options: str, **environment: str) -> None:
        login = self.server.login(self.database)
        place = {
            "PGHOST": login["host"],
            "PGPORT": str(login["port"]),
            "PGUSER": login["user"],
            "PGPASSWORD": PASSWORD,
        }
        done = subprocess.run(
            [self.server.program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.database, *options],
            input=text.encode(),
            env={**os.environ, **place, **environment},
            capture_output=True,
            check=False,
            start_new_session=True,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")

    def check(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Of the server, and by table."""
        with closing(open_source(self.slug, self.settings)) as source:
            first, *rest = check(self.slug, self.settings, source)
        json.dumps([first, *rest])
        found = {one["table"]: one for one in rest}
        return first["server"], {table: found[str(self.name(table))] for table in EVERY_TABLE}

    def drop(self) -> None:
        """What outlives the database: the slot goes with its reader, soon."""
        end = time.monotonic() + 30
        while self.rows(f"SELECT FROM pg_replication_slots WHERE slot_name = '{self.slot}'"):
            with suppress(psycopg2.Error):
                self.run(f"SELECT pg_drop_replication_slot('{self.slot}')")
            assert time.monotonic() < end


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    yield from hospital_on(logical_postgres())


def hospital_on(server: PostgresServer) -> Iterator[Hospital]:
    with server.database() as database:
        one = Hospital(server, database)
        yield one
        one.drop()
    server.run(f"DROP ROLE IF EXISTS {quoted(one.role)}")


def works(hospital: Hospital) -> dict[str, str]:
    """The tables on which a statement of the hospital's application fails, and the SQLSTATE."""
    failed: dict[str, str] = {}
    with closing(hospital.server.connect(hospital.database)) as connection, connection.cursor() as cursor:
        for table in EVERY_TABLE:
            at = qualified(hospital.name(table))
            for statement in (
                f"TRUNCATE {at}",
                f"INSERT INTO {at} VALUES(1, 1), (2, 2)",
                f"UPDATE {at} SET id = id + 10 WHERE id = 1",
                f"DELETE FROM {at} WHERE id IN (2, 11)",
            ):
                try:
                    cursor.execute(statement)
                except psycopg2.Error as error:
                    failed[table] = str(error.pgcode)
    return failed


def nobody(hospital: Hospital) -> None:
    """No role, and nobody may connect who was not told so."""
    hospital.run(f"REVOKE CONNECT ON DATABASE {quoted(hospital.database)} FROM PUBLIC")
    text = hospital.script()
    assert "GRANT CONNECT" in text
    assert "CREATE PUBLICATION" not in text, "nobody could look"
    hospital.run_script()
    (line,) = [one for one in text.splitlines() if "password" in one and one.startswith("-- \\")]
    hospital.type(line.removeprefix("-- "), PASSWORD, PASSWORD)


def bare(hospital: Hospital) -> None:
    hospital.login("LOGIN")


def half(hospital: Hospital) -> None:
    hospital.login()
    role = quoted(hospital.role)
    hospital.run(
        f"GRANT USAGE ON SCHEMA {quoted(ODD)} TO {role}",
        f"GRANT SELECT ON visit, keyless TO {role}",
        f"CREATE PUBLICATION {hospital.slot} FOR TABLE ONLY visit",
        f"CREATE PUBLICATION {hospital.slot}_inserts FOR TABLE ONLY keyless WITH (publish = 'insert')",
    )


def careless(hospital: Hospital) -> None:
    """Every table, and with the parent its child."""
    bare(hospital)
    names = ", ".join(
        qualified(hospital.name(table)) for table in (*BY_LOG, *INSERTS, *ROOTLESS, "mixed", "parent")
    )
    hospital.run(
        f"CREATE PUBLICATION {hospital.slot} FOR TABLE {names}",
        f"CREATE PUBLICATION {hospital.slot}_inserts FOR TABLE keyless",
    )


def everything(hospital: Hospital) -> None:
    bare(hospital)
    hospital.run(f"CREATE PUBLICATION {hospital.slot} FOR ALL TABLES")


def schema(hospital: Hospital) -> None:
    bare(hospital)
    hospital.run(
        f'CREATE PUBLICATION {hospital.slot} FOR TABLES IN SCHEMA public, TABLE ONLY {quoted(ODD)}."select"'
    )


def filtered(hospital: Hospital) -> None:
    bare(hospital)
    hospital.run(
        f"CREATE PUBLICATION {hospital.slot} FOR TABLE ONLY visit WHERE (id < 5), ONLY full_image(id, n), ONLY parted "
        "WITH (publish = 'insert, update')"
    )


STATES = [nobody, bare, half, careless, everything, schema, filtered]
HARMED = {careless, everything, schema, filtered}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_after_the_script_nothing_is_missing_and_every_statement_of_the_hospital_works(
    hospital: Hospital, state: Callable[[Hospital], None]
) -> None:
    state(hospital)
    before, _ = hospital.check()
    assert before["missing"]
    assert bool(works(hospital)) is bool(before["harms"]) is (state in HARMED)
    hospital.run_script()
    after, tables = hospital.check()
    assert [after[name] for name in ("missing", "harms", "hindrances")] == [[], [], []]
    assert works(hospital) == {}
    assert {table for table, one in tables.items() if one["way"] == "log"} == set(BY_LOG)
    assert {one["guarantee"] for one in tables.values() if one["way"] == "log"} == {EXACT}
    assert [table for table, one in tables.items() if one["included"] and one["fault"]] == []
    inserts = hospital.rows(
        f"SELECT tablename FROM pg_publication_tables WHERE pubname = '{hospital.slot}_inserts'"
    )
    assert sorted(name for (name,) in inserts) == sorted([*INSERTS, *ROOTLESS])
    owners = hospital.rows("SELECT DISTINCT pg_get_userbyid(pubowner) FROM pg_publication")
    assert owners == [(hospital.role,)]
    assert "-- No grant is missing." in hospital.script()


def test_names_of_every_sort_pass_through_the_hands_of_a_dba(hospital: Hospital) -> None:
    bare(hospital)
    odd = [
        "--",
        "a\n;DROP TABLE visit;--",
        "a\r--",
        'q"',
        "''",
        "$$",
        "\\echo x",
        ":visit",
        "/*",
        "USER",
        "%s",
        "{}",
        "表\t名",
    ]
    for number, name in enumerate(odd):
        hospital.run(
            f"CREATE TABLE {quoted(name)}(id int PRIMARY KEY)",
            f"CREATE TABLE {quoted(name + 'k')}(id int)",
            f"CREATE TABLE {quoted(name + 'n')}(id int PRIMARY KEY)",
            f"ALTER TABLE {quoted(name + 'n')} REPLICA IDENTITY NOTHING",
            f"CREATE SCHEMA {quoted(f'{number}{name}')}",
            f"CREATE TABLE {quoted(f'{number}{name}')}.{quoted(name)}(id int PRIMARY KEY)",
        )
    hospital.run_script()
    found = hospital.rows("SELECT pubname, schemaname, tablename FROM pg_publication_tables")
    inserts = f"{hospital.slot}_inserts"
    assert {(hospital.slot, "public", name) for name in odd} <= set(found)
    assert {(hospital.slot, f"{number}{name}", name) for number, name in enumerate(odd)} <= set(found)
    assert {(inserts, "public", name + end) for name in odd for end in "kn"} <= set(found)
    assert hospital.check()[0]["missing"] == []


def test_what_is_said_of_each_table(hospital: Hospital) -> None:
    bare(hospital)
    _, before = hospital.check()
    assert {one["way"] for one in before.values() if one["included"] and not one["fault"]} <= {
        "diff by key ranges",
        "diff of the whole",
    }
    hospital.run_script()
    _, tables = hospital.check()
    said = {
        table: (one["log"]["why_not"], one["log"]["mend"]) for table, one in tables.items() if one["included"]
    }
    assert said == dict.fromkeys(BY_LOG, (None, None)) | {
        "keyless": ("it has no key and its replica identity is not FULL", "another replica identity"),
        "nothing": ("its replica identity is NOTHING", "another replica identity"),
        "late": ("its primary key is DEFERRABLE", "another replica identity"),
        "lost": ("the index of its replica identity is gone", "another replica identity"),
        "rootless": ("it has no key that can be used", "a primary key"),
        "full_rootless": ("it has no key that can be used", "a primary key"),
        "index_rootless": ("it is partitioned without a primary key of its own", "a primary key"),
        "one_leaf": (
            "the replica identity of a partition does not carry the key",
            "another replica identity",
        ),
        "odd_leaf": (
            "the replica identity of a partition does not carry the key",
            "another replica identity",
        ),
        "fast": ("it, or a partition of it, is unlogged", None),
        "mixed": ("it, or a partition of it, is unlogged", None),
        "parent": ("it has inheritance children", None),
        "doubled": ("it has a generated column", None),
    }
    found = {table: one["guarantee"] for table, one in tables.items() if one["included"]}
    keyless = ("keyless", "rootless", "full_rootless", "parent")
    assert found == dict.fromkeys(BY_LOG, EXACT) | {
        table: scanned(() if table in keyless else ("id",), told=table not in BY_SCANS)
        for table in (*INSERTS, *ROOTLESS, *BY_SCANS)
    }
    promised = {table: one["log"]["once_prepared"] for table, one in before.items() if one["included"]}
    assert promised == {table: one["guarantee"] for table, one in tables.items() if one["included"]}


def test_the_choices_mend_what_they_say_they_mend(hospital: Hospital) -> None:
    bare(hospital)
    hospital.run_script()
    server, _ = hospital.check()
    chosen = [one for one in server["choices"] if one.startswith("ALTER TABLE")]
    assert len(chosen) == 6
    hospital.run(*chosen)
    assert works(hospital) == {}
    hospital.run_script()
    _, tables = hospital.check()
    mended = {"keyless", "nothing", "late", "lost", "one_leaf", "odd_leaf"}
    assert {table for table, one in tables.items() if one["way"] == "log"} == {*BY_LOG, *mended}
    assert works(hospital) == {}


async def test_a_login_with_these_rights_alone_follows_the_log(hospital: Hospital, tmp_path: Path) -> None:
    bare(hospital)
    hospital.run_script()
    one = Capturing(tmp_path, {hospital.slug: hospital.settings}, began=int(time.time() * 1e6))
    try:
        wanted = {hospital.name(table) for table in BY_LOG}
        reports = one.runners[hospital.slug].report.tables
        await turns_until(
            hospital, one, lambda: {t for t, r in reports.items() if r.phase == Phase.FOLLOW} >= wanted
        )
        assert works(hospital) == {}

        def told() -> dict[TableName, Counter[Op]]:
            found = {name: Counter[Op]() for name in wanted}
            for event in one.events(hospital.slug):
                if isinstance(event, Change) and event.table in wanted:
                    found[event.table][event.op] += 1
            return found

        each = Counter(
            {Op.CREATE: 3, Op.DELETE: 3}
        )  # two of each, and an update that moved its row to another key
        await turns_until(hospital, one, lambda: told() == dict.fromkeys(wanted, each))
        assert one.said(hospital.slug) == {}
        server, _ = hospital.check()
        assert server["slot"] | {"kept_bytes": 0} == {
            "name": hospital.slot,
            "exists": True,
            "active": True,
            "status": "reserved",
            "kept_bytes": 0,
        }
        assert 0 <= server["slot"]["kept_bytes"] < 1 << 30
        assert server["hindrances"] == []
    finally:
        await one.close()


async def turns_until(hospital: Hospital, one: Capturing, reached: Callable[[], bool]) -> None:
    """The agent works until that holds; a source that it lost for a moment it finds again."""
    end = time.monotonic() + 60
    while not reached():
        with suppress(Transient):
            await one.runners[hospital.slug].turn()
        assert time.monotonic() < end, one.where(hospital.slug)


async def test_while_the_log_cannot_be_followed_the_tables_are_scanned(
    hospital: Hospital, tmp_path: Path
) -> None:
    """As `check` says then."""
    bare(hospital)
    hospital.run(
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {quoted(hospital.role)}",
        "INSERT INTO visit VALUES(1, 1)",
    )
    one = Capturing(tmp_path, {hospital.slug: hospital.settings})
    try:
        visit = hospital.name("visit")
        await turns_until(
            hospital,
            one,
            lambda: any(isinstance(e, Change) and e.table == visit for e in one.events(hospital.slug)),
        )
        assert "" not in one.said(hospital.slug)
    finally:
        await one.close()
    server, tables = hospital.check()
    assert {fault["code"] for fault in server["hindrances"]} == {"GC-2057", "GC-2054"}
    assert tables["visit"]["guarantee"] == "found at the next scan"
    assert tables["visit"]["log"]["once_prepared"] == EXACT


def test_what_our_account_may_not_see_is_unknown_and_the_rest_is_said(hospital: Hospital) -> None:
    hospital.login()

    def unknown() -> set[str]:
        server, tables = hospital.check()
        assert (server["wal_level"], server["standby"]) == ("logical", False)
        assert server["publications"][0] == {"name": hospital.slot, "exists": False}
        assert tables["visit"]["log"]["replica_identity"] == "default"
        found = {
            "roles": server["account"]["replication"],
            "slots": server["replication_slots"]["used"],
            "slot": server["slot"]["exists"],
            "senders": server["wal_senders"]["used"],
            "files": server["pg_wal_bytes"],
        }
        return {name for name, value in found.items() if value is None}

    assert unknown() == {"files"}
    for view, more in (
        ("pg_roles", {"roles"}),
        ("pg_replication_slots", {"roles", "slots", "slot"}),
        ("pg_stat_replication", {"roles", "slots", "slot", "senders"}),
    ):
        hospital.run(f"REVOKE ALL ON pg_catalog.{view} FROM PUBLIC")
        assert unknown() == {"files"} | more
    hospital.run(f"GRANT pg_monitor TO {quoted(hospital.role)}")
    assert "files" not in unknown()
    assert "-- No grant is missing." not in hospital.script()
    assert "is missing is unknown: REPLICATION." in hospital.script()


Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ran(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ran:
    """`edge-agent check`, as a person runs it: exit code, stdout, stderr."""
    config = tmp_path / "agent.toml"

    def configure() -> str:
        include = json.dumps([str(hospital.name(table)) for table in hospital.seen])
        return (
            f"config_version = 1\n[agent]\nstate_dir = {json.dumps(str(tmp_path))}\n[sources.{hospital.slug}]\n"
            f'kind = "postgres"\nurl_env = "HIS_URL"\ninclude = {include}\n'
        )

    def run(*arguments: str) -> tuple[int, str, str]:
        config.write_text(configure(), "utf-8")
        monkeypatch.setattr(sys, "argv", ["edge-agent", "check", *arguments, "--config", str(config)])
        monkeypatch.setattr(commands, "console", Console(width=80))
        monkeypatch.setattr(commands, "errors", Console(stderr=True, width=80))
        monkeypatch.setenv("HIS_URL", hospital.server.url(hospital.database, hospital.role))
        with pytest.raises(SystemExit) as ended:
            commands.run()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, captured.out, captured.err

    return run


def test_a_person_who_cannot_log_in_yet_gets_the_first_script(hospital: Hospital, ran: Ran) -> None:
    code, out, err = ran(hospital.slug)
    assert (code, out) == (1, "")
    assert "GC-2040" in err
    assert f"edge-agent check {hospital.slug} --sql" in err
    code, out, err = ran(hospital.slug, "--sql")
    assert (code, "GC-2040" in err) == (1, True)
    assert f"CREATE ROLE {quoted(hospital.role)} LOGIN REPLICATION;" in out.splitlines()


def test_a_person_sees_what_is_missing_and_what_harms_and_gets_the_sql_alone(
    hospital: Hospital, ran: Ran
) -> None:
    bare(hospital)
    hospital.run(f"CREATE PUBLICATION {hospital.slot} FOR TABLE ONLY keyless")
    code, out, err = ran(hospital.slug)
    assert (code, err) == (0, "")
    for said in (
        "REPLICATION 无 no",
        f"✗ GC-2080 业务系统对表 {hospital.name('keyless')} 的 UPDATE / DELETE 会失败",
        'DROP TABLE ONLY "public"."keyless"',
        "✗ GC-2057",
        "就绪后 once prepared：每个变更，按提交顺序 each change, in commit order",
        "没有读取权限（SELECT）",
        "Not exact by its log: it is in no publication. The DBA's script mends it.",
        "磁盘剩余请 DBA 查看，SQL 无法查询 free disk: the DBA must look, SQL cannot ask",
        f"edge-agent check {hospital.slug} --sql > guicang.sql",
    ):
        assert said in out, said
    code, out, err = ran(hospital.slug, "--sql")
    assert (code, err) == (0, "")
    assert out == hospital.script_for(hospital.name("visit"))
    code, out, _ = ran("--json")
    assert (code, json.loads(out)[0]["server"]["missing"] != []) == (0, True)


def test_a_person_sees_of_which_tables_the_inserts_are_found_at_once(hospital: Hospital, ran: Ran) -> None:
    hospital.seen = ("visit", "keyless", "doubled")
    bare(hospital)
    hospital.run_script()
    once = "新增即时发现，其余下次扫描发现 inserts at once, all else at the next scan"
    multiset = "多重集，新增即时发现，其余下次扫描发现 multiset, inserts at once, all else at the next scan"
    wanted = {"keyless": multiset, "doubled": once}

    def shown() -> dict[str, str]:
        """The last words on each table's second line, and what follows on the third."""
        lines = [line.rstrip() for line in ran(hospital.slug)[1].splitlines()]
        at = {
            table: next(i for i, line in enumerate(lines) if str(hospital.name(table)) in line)
            for table in wanted
        }
        return {table: lines[i + 1].split(" · ")[-1] for table, i in at.items()}

    assert shown() == wanted
    hospital.run(f"ALTER ROLE {quoted(hospital.role)} NOREPLICATION")
    assert shown() == {
        "keyless": "多重集，下次扫描发现 multiset, found at the next scan",
        "doubled": "下次扫描发现 found at the next scan",
    }
    out = ran(hospital.slug)[1]
    for text in wanted.values():
        assert f"就绪后 once prepared：{text}" in out


def test_a_publication_that_others_read_is_changed_for_them_by_their_choice_alone(hospital: Hospital) -> None:
    """Of it the script asks no more than that tables join."""
    name = f"read_by_others_{hospital.slug[4:]}"
    hospital.publications = (name,)
    hospital.login()
    hospital.run(
        f"CREATE PUBLICATION {name} FOR TABLE ONLY visit WHERE (id < 5), ONLY keyless WITH (publish = 'insert, update')"
    )
    listed = f"SELECT tablename, rowfilter FROM pg_publication_tables WHERE pubname = '{name}'"
    options = (
        f"SELECT pubowner, pubupdate, pubdelete, pubviaroot FROM pg_publication WHERE pubname = '{name}'"
    )
    before, stood = hospital.rows(listed), hospital.rows(options)
    hospital.run_script()
    assert hospital.rows(options) == stood
    joined = {table for table, _ in hospital.rows(listed)} - {"visit", "keyless"}
    assert joined == {*BY_LOG} - {"visit", "parted", "full_root"} | {"parted_00", "parted_1", "full_root_0"}
    assert set(before) <= set(hospital.rows(listed))
    server, tables = hospital.check()
    assert (server["missing"], [fault["code"] for fault in server["harms"]]) == ([], ["GC-2080"])
    assert {tables[table]["log"]["mend"] for table in BY_LOG} == {"a choice in the DBA's script"}
    chosen = [one for one in server["choices"] if name in one]
    assert {one.split()[3] for one in chosen} == {"DROP", "ADD", "SET", "OWNER"}
    hospital.run(*chosen)
    server, tables = hospital.check()
    assert (server["missing"], server["harms"]) == ([], [])
    assert not [one for one in server["choices"] if name in one]
    assert {table for table, one in tables.items() if one["way"] == "log"} == set(BY_LOG)
    assert works(hospital) == {}


def test_row_level_security_is_said(hospital: Hospital) -> None:
    bare(hospital)
    hospital.run("ALTER TABLE visit ENABLE ROW LEVEL SECURITY")
    hospital.run_script()
    server, tables = hospital.check()
    visit = tables["visit"]
    assert (visit["way"], visit["fault"].partition(" ")[0]) == (None, "GC-2003")
    assert visit["log"]["row_security"] is True
    (chosen,) = [one for one in server["choices"] if "BYPASSRLS" in one]
    hospital.run(chosen)
    server, tables = hospital.check()
    assert (tables["visit"]["way"], tables["visit"]["fault"]) == ("log", None)
    assert not [one for one in server["choices"] if "BYPASSRLS" in one]


def test_no_slot_left_is_said(hospital: Hospital) -> None:
    hospital.login()
    ((most,),) = hospital.rows("SELECT current_setting('max_replication_slots')::int")
    ((used,),) = hospital.rows("SELECT count(*) FROM pg_replication_slots")
    names = [f"someone_{number}" for number in range(most - used)]
    hospital.run(*(f"SELECT pg_create_physical_replication_slot('{name}')" for name in names))
    try:
        server, _ = hospital.check()
        assert "GC-2082" in {fault["code"] for fault in server["hindrances"]}
        assert f"ALTER SYSTEM SET max_replication_slots = {most + 1};" in server["choices"]
    finally:
        hospital.run(*(f"SELECT pg_drop_replication_slot('{name}')" for name in names))


def test_a_server_without_a_logical_log() -> None:
    for hospital in hospital_on(postgres()):
        hospital.login()
        hospital.run_script()
        server, tables = hospital.check()
        assert [fault["code"] for fault in server["hindrances"]] == ["GC-2056"]
        assert {table for table, one in tables.items() if one["log"]["once_prepared"] == EXACT} == set(BY_LOG)
        assert {one["log"]["why_not"] for table, one in tables.items() if table in BY_LOG} == {None}
        assert not [table for table, one in tables.items() if one["way"] == "log"]
        assert server["missing"] == []
        assert server["choices"][0] == "ALTER SYSTEM SET wal_level = logical;"
