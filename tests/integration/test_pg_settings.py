"""No setting that a hospital gives its database or our account changes what we capture of a value.

Each setting that changes how PostgreSQL spells values is found by trying all that there are.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from edge_agent.sources.dialects.postgres import SESSION
from tests.databases import PASSWORD, PostgresServer, logical_postgres
from tests.integration.two_ways import SLOT, Cells, TwoWays
from tests.servers import require_server

SPELLING = {
    "bytea_output": "escape",
    "datestyle": "German",
    "extra_float_digits": "-3",
    "intervalstyle": "sql_standard",
    "lc_monetary": "xx_XX",
    "quote_all_identifiers": "on",
    "search_path": "public, other",
    "timezone": "Asia/Shanghai",
}
"""Every setting by which a value is spelt otherwise, and how it would be."""

STRINGS = {
    "datestyle": ("German", "SQL, DMY", "Postgres"),
    "default_text_search_config": ("pg_catalog.english",),
    "lc_messages": ("xx_XX",),
    "lc_monetary": ("xx_XX",),
    "lc_numeric": ("xx_XX",),
    "lc_time": ("xx_XX",),
    "role": ("other",),
    "search_path": ("public, other",),
    "temp_tablespaces": ("",),
    "timezone": ("Asia/Shanghai",),
    "timezone_abbreviations": ("India",),
    "backtrace_functions": ("now",),
    "session_authorization": ("other",),
}
"""What settings of type string are tried with. Others name places and programs: nothing that is spelt."""

LOCALE = """LC_MONETARY
int_curr_symbol "XXX "
currency_symbol "Q"
mon_decimal_point ","
mon_thousands_sep "."
mon_grouping 3
positive_sign ""
negative_sign "-"
int_frac_digits 3
frac_digits 3
p_cs_precedes 1
p_sep_by_space 0
n_cs_precedes 1
n_sep_by_space 0
p_sign_posn 1
n_sign_posn 1
END LC_MONETARY
"""
"""One whose money has three places."""

ROW: dict[str, str] = {
    "citext PRIMARY KEY": "Ab",
    "date": "2024-02-01",
    "timestamp": "2024-02-01 01:02:03.5",
    "timestamptz": "2024-02-01 01:02:03.5+08",
    "timetz": "01:02:03+08:05:43",
    "interval": "1 year 2 mons -3 days 04:05:06.7",
    "real": "16777216",
    "double precision": "0.30000000000000004",
    "numeric": "1.50",
    "bytea": "\\x00ff5c",
    "money": "1234.5",
    "xml": "<a/>",
    "regclass": "other.elsewhere",
    "regtype": "mood[]",
    "regprocedure": "citext_eq(citext,citext)",
    "regoperator": "=(citext,citext)",
    "regconfig": "english",
    "point": "(0.1,1e300)",
    "tstzrange": "[2024-02-01 00:00+08,)",
    "timestamptz[]": "{2024-02-01 01:02:03+08}",
    "bytea[]": '{"\\\\x00"}',
    "money[]": "{1.5}",
    "pair": '("2024-02-01 01:02:03+08",0.1)',
    "hstore": "a=>1",
    "aclitem": "administrator=r/administrator",
    "tsvector": "a:1",
    "jsonb": '{"a": 1.0}',
    "mood": "sad",
    "boolean": "t",
}
MAKE = (
    "CREATE EXTENSION citext",
    "CREATE EXTENSION hstore",
    "CREATE SCHEMA other",
    "CREATE TYPE pair AS (at timestamptz, part real)",
    "CREATE TYPE mood AS ENUM('sad')",
    "CREATE TABLE other.elsewhere()",
    f"CREATE TABLE t({', '.join(f'c{place} {kind}' for place, kind in enumerate(ROW))})",
    "INSERT INTO t VALUES({})".format(", ".join(f"'{text}'" for text in ROW.values())),
)
ALTERED = (
    "ALTER DATABASE {database} SET",
    "ALTER ROLE settled SET",
    "ALTER ROLE settled IN DATABASE {database} SET",
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that knows a locale of other money, made for it."""
    logical_postgres()  # which skips where there is no PostgreSQL
    with tempfile.TemporaryDirectory(prefix="guicang-locales-") as folder:
        make_locale(Path(folder))
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("LOCPATH", folder)
            one = PostgresServer(wal_level="logical", wal_sender_timeout="60s")
        yield one
        one.stop()


def make_locale(folder: Path) -> None:
    program, source = require_server("localedef"), Path("/usr/share/i18n/locales/en_US")
    text = source.read_text()
    end = text.index("END LC_MONETARY\n")
    start = text.rindex("LC_MONETARY\n", 0, end)
    changed = folder / "source"
    changed.write_text(text[:start] + LOCALE + text[end + len("END LC_MONETARY\n") :])
    command = [program, "-c", "-i", str(changed), "-f", "UTF-8", str(folder / "xx_XX")]
    subprocess.run(command, check=False, capture_output=True)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)  # the server runs as somebody else


@pytest.fixture(scope="module")
def database(server: PostgresServer) -> Iterator[str]:
    with server.database() as name:
        server.run(
            *MAKE,
            "CREATE PUBLICATION p FOR ALL TABLES",
            f"CREATE ROLE settled LOGIN REPLICATION PASSWORD '{PASSWORD}'",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO settled",
            "GRANT USAGE ON SCHEMA other TO settled",
            database=name,
        )
        yield name


def captured(server: PostgresServer, database: str) -> tuple[list[Cells], list[Cells], list[str]]:
    """The row by a chunk and by the log, and its columns' types."""
    ways = TwoWays(server, database, "settled")
    try:
        ways.run("UPDATE t SET c0 = 'aB'", "UPDATE t SET c0 = 'Ab'")
        schema, chunk = ways.snapshot("t")
        said = ways.log("t")
    finally:
        ways.close()
        server.drop_slot(SLOT, database)
    return chunk, [said[-1].cells], [column.source_type for column in schema.columns]


def plain(server: PostgresServer, database: str) -> str:
    """The row as a session spells it that sets nothing itself, as psycopg2's would."""
    login = server.login(database, "settled")
    place = {name: login[name] for name in ("host", "port", "user", "dbname")}
    words = " ".join(f"{name}='{value}'" for name, value in place.items())
    command = [server.program("psql"), "-AtX", "-c", "SELECT t.*::text FROM public.t", words]
    environment = {**os.environ, "PGPASSWORD": PASSWORD}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", SPELLING)
def test_what_was_set_for_us_changes_nothing(server: PostgresServer, database: str, name: str) -> None:
    before, usual = captured(server, database), plain(server, database)
    assert before[0] == before[1]
    for altered in ALTERED:
        alter = altered.format(database=server.quoted(database))
        server.run(f"{alter} {name} = {value_of(name)}", database=database)
        try:
            assert plain(server, database) != usual, "it would have been another text"
            assert captured(server, database) == before, altered
        finally:
            server.run(alter.removesuffix("SET") + f"RESET {name}", database=database)


def value_of(name: str) -> str:
    return SPELLING[name] if name == "search_path" else f"'{SPELLING[name]}'"


def test_no_other_setting_spells_a_value_otherwise(server: PostgresServer, database: str) -> None:
    """Each that an account may set, at each value that it may have or at both its ends."""
    asked = "SELECT name, vartype, enumvals, min_val, max_val FROM pg_settings WHERE context IN ('user', 'superuser')"
    found = set()
    with closing(server.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(SESSION)
        cursor.execute(asked)
        settings = cursor.fetchall()
        usual = spelt(cursor, "", "")
        assert usual is not None
        for name, kind, enumerated, least, most in settings:
            tried = {"bool": ("on", "off"), "enum": enumerated, "string": STRINGS.get(name.lower(), ())}
            for value in tried.get(kind, (least, most)):
                if spelt(cursor, name, value) not in (None, usual):
                    found.add(name.lower())
    assert found == set(SPELLING)
    assert len(settings) > 100
    assert all(name.lower() in SESSION.lower() for name in SPELLING)


def spelt(cursor: Any, name: str, value: str) -> Any:
    """The row under this setting; None where it may not be set so, or no statement runs under it."""
    try:
        cursor.execute("BEGIN")
        if name:
            literal = value if name == "search_path" else f"'{value}'"
            cursor.execute(f"SET LOCAL {name} = {literal}")
        cursor.execute("SELECT format('%s', t.*) FROM public.t")
        return cursor.fetchall()
    except psycopg2.Error:
        return None
    finally:
        cursor.execute("ROLLBACK")
