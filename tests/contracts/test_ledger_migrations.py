"""A ledger is brought to this program's tables, whole or not at all, by one process at a time, on either database.

Where `tables.py` and the migrations differ, the first test prints what a migration would have to do.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import api, compare_metadata, render_python_code
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from central_ingest.ledger import engine as opening
from central_ingest.ledger import migrating, migrations, tables
from central_ingest.ledger.address import Address
from central_ingest.ledger.engine import bring_up_to_date
from central_ingest.ledger.ledger import Ledger
from protocol.errors import Permanent
from tests.ledgers import KINDS, new_place

BEFORE = Path(__file__).parents[1] / "vectors" / "ledger_before_migrations.sql"


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Address]:
    with new_place(request.param, tmp_path) as place:
        yield place


@pytest.fixture
def bare(place: Address) -> Iterator[sa.Engine]:
    """The database without any table."""
    engine = new_engine(place)
    yield engine
    engine.dispose()


def new_engine(place: Address) -> sa.Engine:
    return opening._sqlite(place) if isinstance(place, Path) else opening._postgres(place)


def difference(engine: sa.Engine) -> str:
    with engine.connect() as c:
        context = MigrationContext.configure(c, opts={"compare_type": True})
        if not compare_metadata(context, tables.metadata):
            return ""
        produced = api.produce_migrations(context, tables.metadata)
        assert produced.upgrade_ops is not None
        return render_python_code(produced.upgrade_ops, migration_context=context)


def rows(path: Path, known: Mapping[str, list[str]] | None = None) -> dict[str, Any]:
    """By table: its columns, or those `known`, and its rows."""
    raw = sqlite3.connect(path)
    if known is None:
        names = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        known = {n: [c[1] for c in raw.execute(f"PRAGMA table_info({n})")] for n in names}
    found = {}
    for name, columns in known.items():
        quoted = ", ".join(f'"{column}"' for column in columns)
        found[name] = (columns, sorted(raw.execute(f"SELECT {quoted} FROM {name}").fetchall(), key=repr))
    raw.close()
    return found


def test_all_migrations_together_make_the_tables(bare: sa.Engine) -> None:
    with bare.begin() as c:
        c.execute(sa.schema.CreateTable(tables.meta))  # so that it does not count as new
    bring_up_to_date(bare)
    missing = difference(bare)
    assert not missing, f"tables.py has what no migration makes; one would have to do:\n{missing}"


def test_a_new_ledger_gets_the_tables_at_once(bare: sa.Engine) -> None:
    bring_up_to_date(bare)
    assert difference(bare) == ""
    with bare.connect() as c:
        assert c.exec_driver_sql("SELECT version_num FROM alembic_version").all() == [(migrations.NEWEST,)]


def test_there_is_one_newest_migration() -> None:
    assert ScriptDirectory.from_config(migrating.configuration()).get_heads() == [migrations.NEWEST]


def test_what_is_missing_in_the_migrations_is_found(bare: sa.Engine) -> None:
    """The test of that test."""
    bring_up_to_date(bare)
    with bare.begin() as c:
        c.exec_driver_sql("ALTER TABLE site DROP COLUMN created")
    assert "created" in difference(bare)


def test_a_ledger_of_before_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    raw = sqlite3.connect(path)
    raw.executescript(BEFORE.read_text("utf-8"))
    raw.close()
    before = rows(path)
    assert all(found for _, found in before.values()), "every table has a row"
    Ledger.open(path).close()
    engine = opening._sqlite(path)
    assert difference(engine) == ""
    engine.dispose()
    assert rows(path, {name: columns for name, (columns, _) in before.items()}) == before


def test_a_ledger_of_long_before_gets_the_tables_that_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    raw = sqlite3.connect(path)
    raw.executescript(BEFORE.read_text("utf-8"))
    raw.execute("DROP TABLE command")
    raw.close()
    ledger = Ledger.open(path)
    assert (ledger.sites(), ledger.commands.all()) == ([("h1", "第一医院")], [])
    ledger.close()


def test_a_ledger_of_a_newer_program_is_refused_and_left_alone(place: Address, bare: sa.Engine) -> None:
    for newer in ("9999", "f00ba4"):
        bring_up_to_date(bare)
        with bare.begin() as c:
            c.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{newer}'")
        with pytest.raises(Permanent) as caught:
            Ledger.open(place)
        assert (caught.value.code, caught.value.facts["found"]) == ("GC-6092", newer)
        with bare.begin() as c:
            assert c.exec_driver_sql("SELECT version_num FROM alembic_version").all() == [(newer,)]
            c.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{migrations.NEWEST}'")


HALF = '''"""Adds a column, and fails."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9000", "{before}"
def upgrade():
    op.add_column("site", sa.Column("half", sa.Text))
    op.execute("UPDATE site SET name = 'half'")
    {end}
'''


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program with one migration more, yet to be written."""
    there = tmp_path / "migrations"
    shutil.copytree(migrations.PLACE, there, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrating, "PLACE", there)
    return there / "versions" / "r9000_half.py"


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(
    place: Address, bare: sa.Engine, next_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger.open(place)
    ledger.add_site("h1", "第一医院", 1)
    ledger.close()
    with monkeypatch.context() as newer:
        newer.setattr(opening, "NEWEST", "9000")
        next_version.write_text(HALF.format(before=migrations.NEWEST, end="raise RuntimeError('power cut')"))
        with pytest.raises(RuntimeError):
            bring_up_to_date(bare)
    assert difference(bare) == ""
    ledger = Ledger.open(place)
    assert ledger.sites() == [("h1", "第一医院")]
    ledger.close()


def test_whoever_finds_somebody_migrating_waits_and_has_nothing_to_do(
    place: Address, bare: sa.Engine, next_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up_to_date(bare)
    monkeypatch.setattr(opening, "NEWEST", "9000")
    next_version.write_text(HALF.format(before=migrations.NEWEST, end=""))
    other, arrived, failed = new_engine(place), threading.Event(), []

    def look(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "pg_advisory" in statement or statement.startswith(("BEGIN IMMEDIATE", "ALTER")):
            arrived.set()

    def migrate() -> None:
        try:
            bring_up_to_date(other)  # a second ALTER TABLE would fail
        except Exception as error:
            failed.append(error)

    sa.event.listen(other, "before_cursor_execute", look)
    thread = threading.Thread(target=migrate)
    with bare.begin() as c:
        opening._lock(c)
        c.exec_driver_sql("ALTER TABLE site ADD COLUMN half TEXT")
        c.exec_driver_sql("UPDATE alembic_version SET version_num = '9000'")
        thread.start()
        assert arrived.wait(30)
    thread.join()
    other.dispose()
    assert failed == []


PROCESS = """
import sys
from pathlib import Path
from central_ingest.ledger.address import PostgresAddress
from central_ingest.ledger.ledger import Ledger
kind, where, password = sys.argv[1:]
sys.stdin.readline()
ledger = Ledger.open(Path(where) if kind == "sqlite" else PostgresAddress(where, password))
ledger.add_audit(1, "me", "opened")
ledger.close()
assert "alembic" not in sys.modules, "a new ledger, and one that is up to date, need no Alembic"
"""


def test_two_processes_may_make_it_at_once(place: Address) -> None:
    said = (
        ["sqlite", str(place), ""] if isinstance(place, Path) else ["postgresql", place.url, place.password]
    )
    command = [sys.executable, "-W", "error", "-c", PROCESS, *said]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
    for one in processes:
        assert one.stdin is not None
        one.stdin.write(b"\n")
        one.stdin.close()
    assert [one.wait() for one in processes] == [0, 0]
    ledger = Ledger.open(place)
    assert ledger.audits() == [(1, "me", "opened")] * 2
    ledger.close()


def test_the_command_line_starts_without_alembic() -> None:
    code = (
        "import sys, central_ingest.commands;"
        "assert not {'alembic', 'psycopg2', 'sqlalchemy.dialects.postgresql'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_to_look_at_a_ledger_as_it_is_changes_nothing(place: Address, bare: sa.Engine) -> None:
    assert Ledger.as_it_is(place).sites() == []
    with bare.connect() as c:
        assert sa.inspect(c).get_table_names() == []
    ledger = Ledger.open(place)
    ledger.add_site("h1", "第一医院", 1)
    ledger.close()
    ledger = Ledger.as_it_is(place)
    assert ledger.sites() == [("h1", "第一医院")]
    ledger.close()
    with bare.begin() as c:
        c.exec_driver_sql("DROP TABLE alembic_version")
    with pytest.raises(Permanent) as caught:
        Ledger.as_it_is(place)
    assert caught.value.code == "GC-6106"
    with bare.connect() as c:
        assert "alembic_version" not in sa.inspect(c).get_table_names()
