"""The table of visits in the databases that hospitals have: a SQLite file, a PostgreSQL, a MariaDB of our own.

Servers are those of the tests; their tables are made by the generators beside the repository (`../shared/bench`), whose
figures we compare with. Where a server or a generator is missing, `Missing` says which.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import databases
from tests.databases import PASSWORD, Database, PostgresServer

from . import visits

GENERATORS = Path(__file__).parents[2] / "shared" / "bench"


class Missing(Exception):
    """A server, a program or a file that a bench needs is not here."""


@dataclass(frozen=True)
class Made:
    """A table of visits: its address for us, its address for SQLAlchemy in the rivals' environment."""

    name: str
    url: str
    rival_url: str
    server: Database | None = None
    database: str = ""


@contextlib.contextmanager
def sqlite(root: Path, rows: int) -> Iterator[Made]:
    path = root / "visits.db"
    visits.write_sqlite(path, rows)
    yield Made("SQLite", f"sqlite:///{path}", f"sqlite:///{path}")


@contextlib.contextmanager
def postgres(_root: Path, rows: int) -> Iterator[Made]:
    server = postgres_server(databases.postgres)
    with server.database() as name:
        fill_postgres(server, name, visits.TABLE, rows)
        url = server.url(name)
        yield Made("PostgreSQL", url, url.replace("postgresql:", "postgresql+psycopg2:"), server, name)


@contextlib.contextmanager
def mariadb(_root: Path, rows: int) -> Iterator[Made]:
    _server(("mariadbd", "/usr/sbin/mariadbd"))
    server, script, client = databases.mariadb(), generator("gen_mysql.sql"), program("mariadb")
    with server.database() as name:
        options = ["-h", "127.0.0.1", "-P", str(server.port), "-u", "administrator", name]
        text = f"SET @n={rows};\n".encode() + script.read_bytes()
        _run([client, *options], {"MYSQL_PWD": PASSWORD}, text)
        url = server.url(name)
        yield Made("MariaDB", url, url.replace("mysql:", "mysql+pymysql:"), server, name)


KINDS: dict[str, Callable[[Path, int], contextlib.AbstractContextManager[Made]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "mariadb": mariadb,
}


def postgres_server(start: Callable[[], PostgresServer]) -> PostgresServer:
    _server(("postgres", "/usr/lib/postgresql"))
    return start()


def fill_postgres(server: PostgresServer, database: str, table: str, rows: int) -> None:
    """Make the table. Raises Missing."""
    script, login = generator("gen_pg.sql"), postgres_login(server, database)
    values = ["-v", "ON_ERROR_STOP=1", "-v", f"n={rows}", "-v", f"t={table}"]
    _run([program("psql"), *login, "-q", *values, "-f", str(script)], {"PGPASSWORD": PASSWORD})


def postgres_login(server: PostgresServer, database: str) -> list[str]:
    """As PostgreSQL's own programs take it; the password stands in PGPASSWORD."""
    return ["-h", "127.0.0.1", "-p", str(server.port), "-U", "administrator", "-d", database]


def _server(where: tuple[str, str]) -> None:
    """Raises Missing where it is not installed."""
    name, place = where
    if shutil.which(name) is None and not Path(place).exists():
        raise Missing(f"{name} is not installed")


def generator(name: str) -> Path:
    if not (path := GENERATORS / name).exists():
        raise Missing(f"the generator {name} is not beside the repository")
    return path


def program(name: str) -> str:
    if (path := shutil.which(name)) is None:
        raise Missing(f"{name} is not installed")
    return path


def _run(command: list[str], environment: dict[str, str], text: bytes | None = None) -> None:
    done = subprocess.run(command, input=text, env=os.environ | environment, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.decode(errors='replace')[-1000:]}")
