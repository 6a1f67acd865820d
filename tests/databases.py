"""Real database servers for tests: one of a kind a session, under a temporary folder, on a free loopback port.

They refuse to run as root, so as root they run as `nobody`, in a folder of its own; otherwise as whoever
tests. A missing server skips or fails the test as in tests/servers.py. Durability is off: they live an hour.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import glob
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.servers import free_port, require_server

PASSWORD = "a pass-word/with: odd@characters"
"""Of every account in these servers."""

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 20.0
UNREAD_SECONDS_MAX = 60.0

_ACCOUNT = "nobody"


def _as_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


class Database(ABC):
    """A server of our own."""

    backend: str

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"guicang-{self.backend}-"))
        if _as_root():
            shutil.chown(self.folder, _ACCOUNT)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        atexit.register(self.discard)
        self.install()
        self.start()

    @abstractmethod
    def install(self) -> None:
        """Make an empty server below `folder`."""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def connect(self, database: str | None = None, account: str | None = None) -> Any:
        """A DB-API connection in autocommit, of the administrator unless `account` is given."""

    def run(self, *statements: str, database: str | None = None) -> None:
        """Each in a transaction of its own, as the administrator."""
        connection = self.connect(database)
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()

    def rows(self, query: str, database: str | None = None) -> list[tuple[Any, ...]]:
        connection = self.connect(database)
        with connection.cursor() as cursor:
            cursor.execute(query)
            found = [tuple(row) for row in cursor.fetchall()]
        connection.close()
        return found

    @abstractmethod
    def url(self, database: str, account: str | None = None, password: str = PASSWORD) -> str: ...

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """A new database, by its name."""
        name = f"h i%s_{next(self._names)}"
        self.run(f"CREATE DATABASE {self.quoted(name)}")
        try:
            yield name
        finally:
            self.run(self.drop_database(name))

    @abstractmethod
    def quoted(self, name: str) -> str: ...

    @abstractmethod
    def drop_database(self, name: str) -> str: ...

    def start(self) -> None:
        """Start it, and return when it answers."""
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = self.spawn(self.command(), stdout=output, stderr=output)
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{self.backend} did not start: {log.read_text(errors='replace')[-2_000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(Exception):
            self.connect().close()
            return True
        return False

    def stop(self, *, fast: bool = False) -> None:
        """End it as a crash would: no client is told goodbye politely. `fast`: as a DBA does, PostgreSQL alone."""
        if self._process is not None:
            crash = signal.SIGQUIT if self.backend == "postgresql" else signal.SIGKILL
            self._process.send_signal(signal.SIGINT if fast else crash)
            self._process.wait(STOP_SECONDS_MAX)
            self._process = None

    def spawn(self, command: Sequence[str], **streams: Any) -> subprocess.Popen[bytes]:
        account: dict[str, Any] = {"user": _ACCOUNT, "extra_groups": []} if _as_root() else {}
        return subprocess.Popen(command, cwd=self.folder, **account, **streams)

    def finish(self, command: Sequence[str]) -> None:
        """Run a command to its end."""
        process = self.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = process.communicate()
        if process.returncode:
            pytest.fail(f"{command[0]}: {output.decode(errors='replace')[-2_000:]}")

    def discard(self) -> None:
        """End it, and leave nothing of it."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgresServer(Database):
    backend = "postgresql"

    def __init__(self, **settings: str) -> None:
        """With further settings of the server."""
        self._settings = settings
        super().__init__()

    def install(self) -> None:
        words = self.folder / "password"
        words.write_text(PASSWORD)
        words.chmod(0o644)
        options = ["-U", "administrator", "-A", "scram-sha-256", "--pwfile", str(words), "-E", "UTF8", "-N"]
        self.finish([self.program("initdb"), "-D", str(self.folder / "data"), "--locale=C", *options])

    def program(self, name: str) -> str:
        # Debian keeps them out of the path.
        found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
        return found[-1] if found else require_server(name)

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 30,
            **self._settings,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self.program("postgres"), "-D", str(self.folder / "data"), *options]

    def connect(self, database: str | None = None, account: str | None = None) -> Any:
        import psycopg2

        connection = psycopg2.connect(**self.login(database or "postgres", account))
        connection.autocommit = True
        return connection

    def login(self, database: str, account: str | None = None) -> dict[str, Any]:
        """What psycopg2 connects with."""
        user = account or "administrator"
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": user,
            "password": PASSWORD,
            "dbname": database,
        }

    def words(self, database: str) -> str:
        """The same as libpq's programs take it."""
        login = self.login(database)
        return " ".join(f"{name}='{value}'" for name, value in login.items())

    def url(self, database: str, account: str | None = None, password: str = PASSWORD) -> str:
        return _url("postgresql", account or "administrator", password, self.port, database)

    def quoted(self, name: str) -> str:
        return f'"{name}"'

    def drop_database(self, name: str) -> str:
        return f"DROP DATABASE {self.quoted(name)} WITH (FORCE)"

    def drop_slot(self, slot: str, database: str) -> None:
        """Once its reader has gone; nothing where there is none."""
        self.once_unread(slot, f"SELECT pg_drop_replication_slot('{slot}')", database)

    def once_unread(self, slot: str, statement: str, database: str) -> None:
        """Say this of a slot, as soon as nobody reads it; nothing where there is none."""
        from psycopg2.errors import ObjectInUse

        end = time.monotonic() + UNREAD_SECONDS_MAX
        while self.rows(f"SELECT FROM pg_replication_slots WHERE slot_name = '{slot}'"):
            assert time.monotonic() < end
            with contextlib.suppress(ObjectInUse):
                self.run(statement, database=database)
                return


class StandbyServer(PostgresServer):
    """A copy of another server, which follows it until it is promoted."""

    def __init__(self, primary: PostgresServer, **settings: str) -> None:
        self._primary = primary
        super().__init__(**settings)

    def install(self) -> None:
        options = ["-D", str(self.folder / "data"), "-R", "-N", "-X", "stream", "-c", "fast"]
        self.finish([self.program("pg_basebackup"), *options, "-d", self._primary.words("postgres")])

    def promote(self) -> None:
        """Returns once it is a primary, of another timeline."""
        self.run("SELECT pg_promote()")


class MariadbServer(Database):
    backend = "mariadb"

    def install(self) -> None:
        program = require_server("mariadb-install-db")
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self.finish([program, "--no-defaults", f"--datadir={self.folder / 'data'}", *options])
        # A server that starts removes whatever temporary tables lie there, another's that runs included,
        # which then crashes (measured, 10.11: ha_maria::drop_table).
        self._temporary = self.folder / "tmp"
        self._temporary.mkdir()
        if _as_root():
            shutil.chown(self._temporary, _ACCOUNT)
        self._statements = self.folder / "accounts.sql"
        account = f"administrator@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"
        self._statements.write_text(
            f"CREATE USER IF NOT EXISTS {account};\nGRANT ALL ON *.* TO {account} WITH GRANT OPTION;\n"
        )
        self._statements.chmod(0o644)

    def command(self) -> list[str]:
        settings = {
            "datadir": self.folder / "data",
            "tmpdir": self._temporary,
            "socket": self.folder / "socket",
            "pid-file": self.folder / "pid",
            "bind-address": "127.0.0.1",
            "port": self.port,
            "init-file": self._statements,
            "innodb-flush-log-at-trx-commit": 2,
            "innodb-buffer-pool-size": "32M",
            "character-set-server": "utf8mb4",
            "sql-mode": "NO_ENGINE_SUBSTITUTION",
            "default-time-zone": "+08:00",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [require_server("mariadbd"), "--no-defaults", *options]

    def connect(self, database: str | None = None, account: str | None = None) -> Any:
        import pymysql

        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=account or "administrator",
            password=PASSWORD,
            database=database,
            charset="utf8mb4",
            autocommit=True,
        )

    def url(self, database: str, account: str | None = None, password: str = PASSWORD) -> str:
        return _url("mysql", account or "administrator", password, self.port, database)

    def quoted(self, name: str) -> str:
        return f"`{name}`"

    def drop_database(self, name: str) -> str:
        return f"DROP DATABASE {self.quoted(name)}"


def _url(driver: str, account: str, password: str, port: int, database: str) -> str:
    from sqlalchemy import URL

    url = URL.create(driver, account, password, "127.0.0.1", port, database)
    return url.render_as_string(hide_password=False)


def require_postgres() -> None:
    if not glob.glob("/usr/lib/postgresql/*/bin/postgres"):
        require_server("postgres")


@functools.cache
def postgres() -> PostgresServer:
    """The session's PostgreSQL."""
    require_postgres()
    return PostgresServer()


@functools.cache
def logical_postgres() -> PostgresServer:
    """Another of the session's, whose log can be decoded; it gives up silent readers after a second."""
    require_postgres()
    settings = {"wal_sender_timeout": "1s", "max_prepared_transactions": "5"}
    return PostgresServer(wal_level="logical", **settings)


@functools.cache
def mariadb() -> MariadbServer:
    """The session's MariaDB."""
    require_server("mariadbd")
    return MariadbServer()
