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
from tests.databases import PASSWORD, Database

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
    server = _server(databases.postgres, ("postgres", "/usr/lib/postgresql"))
    script, program = _generator("gen_pg.sql"), _program("psql")
    with server.database() as name:
        options = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "administrator", "-d", name]
        command = [program, *options, "-q", "-v", "ON_ERROR_STOP=1", "-v", f"n={rows}", "-f", str(script)]
        _run(command, {"PGPASSWORD": PASSWORD})
        url = server.url(name)
        yield Made("PostgreSQL", url, url.replace("postgresql:", "postgresql+psycopg2:"), server, name)


@contextlib.contextmanager
def mariadb(_root: Path, rows: int) -> Iterator[Made]:
    server = _server(databases.mariadb, ("mariadbd", "/usr/sbin/mariadbd"))
    script, program = _generator("gen_mysql.sql"), _program("mariadb")
    with server.database() as name:
        options = ["-h", "127.0.0.1", "-P", str(server.port), "-u", "administrator", name]
        text = f"SET @n={rows};\n".encode() + script.read_bytes()
        _run([program, *options], {"MYSQL_PWD": PASSWORD}, text)
        url = server.url(name)
        yield Made("MariaDB", url, url.replace("mysql:", "mysql+pymysql:"), server, name)


KINDS: dict[str, Callable[[Path, int], contextlib.AbstractContextManager[Made]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "mariadb": mariadb,
}


def _server(start: Callable[[], Database], where: tuple[str, str]) -> Database:
    program, place = where
    if shutil.which(program) is None and not Path(place).exists():
        raise Missing(f"{program} is not installed")
    return start()


def _generator(name: str) -> Path:
    if not (path := GENERATORS / name).exists():
        raise Missing(f"the generator {name} is not beside the repository")
    return path


def _program(name: str) -> str:
    if (path := shutil.which(name)) is None:
        raise Missing(f"{name} is not installed")
    return path


def _run(command: list[str], environment: dict[str, str], text: bytes | None = None) -> None:
    done = subprocess.run(command, input=text, env=os.environ | environment, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.decode(errors='replace')[-1000:]}")
