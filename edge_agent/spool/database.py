"""The spool's file: locked, opened after any crash, written in transactions, its faults said in our words.

One process owns the directory; inside it one connection writes and one reads, so that the courier never waits
for a commit's fsync. A damaged file is moved aside, never deleted, and an empty one takes its place: the agent
goes on with a new epoch. What the tables mean it refuses to know.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from protocol.errors import Permanent, Transient
from protocol.limits import MIB

from .queries import SCHEMA

VERSION = 3
"""`PRAGMA user_version` of the schema that this program writes."""

PAGE_BYTES = 32 * 1024
"""Envelopes are two orders of magnitude larger than SQLite's usual page: long chains of small ones cost."""
CHECKPOINT_BYTES = 32 * MIB
"""How much the WAL gathers before it is carried into the database."""
WAL_BYTES_MAX = 96 * MIB
"""Beyond this the next write waits until all of the WAL is carried over: the disk is the hospital's."""
CACHE_KIB = 8 * 1024

_SMALL_TABLES = (
    "streams",
    "envelopes",
    "schemas",
    "objects",
    "pieces",
    "tables",
    "shards",
    "overlay",
    "scans",
)
"""Checked at each start. Envelopes' bytes are not: each has its checksum, and there may be gigabytes."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PASSING = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
)


class Damaged(Exception):
    """SQLite finds its own file malformed."""


class Database:
    """`recovered` is where a damaged file was moved when this one was opened, None otherwise."""

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since 1970. Raises Permanent GC-1006/3002/3008, Transient GC-3002."""
        self.path = directory / "spool.sqlite"
        self.recovered: Path | None = None
        self._wal = directory / "spool.sqlite-wal"
        self._suspect = directory / "spool.suspect"
        self._write_lock = Lock()
        self._read_lock = Lock()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owner = _own(directory)
            try:
                self._open_or_replace(clock)
            except BaseException:
                self._owner.close()
                raise
        except sqlite3.DatabaseError as error:
            raise self._fault(error) from error
        except OSError as error:
            raise Transient("GC-3002", path=str(self.path), reason=str(error.strerror)) from error

    def _open_or_replace(self, clock: Callable[[], float]) -> None:
        try:
            self._open()
        except Damaged:
            self.recovered = self._move_aside(datetime.fromtimestamp(clock(), UTC))
            self._open()
        self._suspect.unlink(missing_ok=True)

    def _open(self) -> None:
        self.path.touch(mode=0o600)  # SQLite gives its WAL the same rights
        self._writer = self._connect()
        try:
            self._migrate()
            self._check()
            self._reader = self._connect()
        except BaseException as error:
            self._writer.close()
            if _code(error) in _DAMAGED:
                raise Damaged from error
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise Permanent("GC-3002", path=str(self.path), reason="file system without shared memory")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cell_size_check = ON")
            # Debian's SQLite writes zeros over each envelope that goes; it is sealed. Rows' keys are still overwritten.
            connection.execute("PRAGMA secure_delete = FAST")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_BYTES // PAGE_BYTES}")
            connection.execute(f"PRAGMA journal_size_limit = {CHECKPOINT_BYTES}")
        except BaseException as error:
            connection.close()
            if _code(error) in _DAMAGED:
                raise Damaged from error
            raise
        return connection

    def _migrate(self) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise Permanent("GC-3008", path=str(self.path))
        if version < VERSION:
            script = f"BEGIN IMMEDIATE;\n{SCHEMA}\nPRAGMA user_version = {VERSION};\nCOMMIT;"
            self._writer.executescript(script)

    def _check(self) -> None:
        checks = [f"PRAGMA quick_check({table})" for table in _SMALL_TABLES]
        if self._suspect.exists():
            checks = ["PRAGMA quick_check"]
        for check in checks:
            if [tuple(row) for row in self._writer.execute(check)] != [("ok",)]:
                raise Damaged

    def _move_aside(self, now: datetime) -> Path:
        base = f"{self.path.name}.damaged-{now:%Y%m%dT%H%M%SZ}"
        count, target = 1, self.path.with_name(base)
        while target.exists():
            count += 1
            target = self.path.with_name(f"{base}-{count}")
        # The WAL goes first: one that stayed beside a new, empty database would be carried into it.
        for ending in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + ending).replace(target.with_name(target.name + ending))
        return target

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction that is on the disk at the end, or never was. One that is not `durable` may be undone by a
        power cut until the next durable one ends. Raises GC-3002."""
        with self._write_lock:
            connection = self._writer
            try:
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                with _transaction(connection):
                    yield connection
            except sqlite3.DatabaseError as error:
                raise self._fault(error) from error
            self._bound_wal()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of what is committed. Raises GC-3002."""
        with self._read_lock:
            try:
                self._reader.execute("BEGIN")
                try:
                    yield self._reader
                finally:  # not COMMIT: it would say again what a caller has met and taken for one damaged row
                    self._reader.execute("ROLLBACK")
            except sqlite3.DatabaseError as error:
                raise self._fault(error) from error

    def _bound_wal(self) -> None:
        # What fails here fails again, and is told, at the next write; the one before it is on the disk.
        with suppress(OSError, sqlite3.DatabaseError):
            if self._wal.stat().st_size > WAL_BYTES_MAX:
                with self._read_lock:  # a reader would keep the WAL from starting again
                    self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _fault(self, error: sqlite3.DatabaseError) -> Exception:
        code = _code(error)
        reason = str(getattr(error, "sqlite_errorname", error))
        if code in _DAMAGED:
            with suppress(OSError):
                self._suspect.touch()  # the next start looks at every page
            return Permanent("GC-3002", path=str(self.path), reason=reason)
        if code in _PASSING:
            return Transient("GC-3002", path=str(self.path), reason=reason)
        return error  # our own mistake: it crashes

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()
            self._owner.close()


def damaged(error: sqlite3.DatabaseError) -> bool:
    """Whether SQLite met malformed pages, as opposed to a disk that refuses or a mistake of ours."""
    return _code(error) in _DAMAGED


def _code(error: BaseException) -> int:
    """SQLite's primary result code, 0 for any other error."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # On a full disk SQLite may have rolled back by itself; the first error is the one to tell.
        if connection.in_transaction:
            with suppress(sqlite3.DatabaseError):
                connection.execute("ROLLBACK")
        raise


def _own(directory: Path) -> sqlite3.Connection:
    """Hold an exclusive lock for as long as the connection lives; a kill releases it. SQLite's own locks serve on
    every system. The lock's file never holds a byte, so a damaged spool cannot damage it."""
    path = directory / "spool.lock"
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    try:
        connection.execute("PRAGMA journal_mode = OFF")  # nothing is ever written
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        connection.close()
        if _code(error) == sqlite3.SQLITE_BUSY:
            raise Permanent("GC-1006", command="edge-agent", path=str(directory)) from None
        raise
    except BaseException:
        connection.close()
        raise
    return connection
