"""Eight sessions that write to a PostgreSQL database as fast as it lets them, in every way that changes a row or table.

Each is a thread with a connection of its own and a seed; a server that dies is found again. What could not be done
(a deadlock, a key that is taken, a table that is locked) was not done, and is tried in another shape; how often each
kind of statement was committed is counted, so that a test can see that none of them is missing.
"""

from __future__ import annotations

import io
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg2

from tests.crash.hospital_pg import TABLES, HospitalDatabase, Table

SESSIONS = 8
IDS = 3_000
DDL_SECONDS = (0.2, 1.0)
"""Between two changes of a table's definition, which one of the sessions makes."""
WAITS = "SET lock_timeout = '300ms'; SET synchronous_commit = off"
_RETRY_SECONDS = 0.05


class Workload:
    def __init__(self, hospital: HospitalDatabase, seed: int) -> None:
        self._hospital = hospital
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.done: Counter[str] = Counter()
        """Statements that were committed, by kind."""
        self._sessions = [_Session(self, hospital, i, random.Random(f"{seed} {i}")) for i in range(SESSIONS)]
        self._threads = [
            threading.Thread(target=one.run, name=f"session {one.number}") for one in self._sessions
        ]

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def count(self, kinds: list[str]) -> None:
        with self._lock:
            self.done.update(kinds)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns once nobody writes any more."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


class _Session:
    """`number` 0 changes definitions, too."""

    def __init__(
        self, workload: Workload, hospital: HospitalDatabase, number: int, rng: random.Random
    ) -> None:
        self.number = number
        self._workload = workload
        self._hospital = hospital
        self._rng = rng
        self._made = 0
        self._connection: Any = None
        self._ddl_at = time.monotonic()
        self._planned: list[Callable[[_Session, Table], None]] = []

    def run(self) -> None:
        while not self._workload.stopped:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg2.connect(**self._hospital.server.login(self._hospital.name))
                    self._commit(lambda cursor: cursor.execute(WAITS))
                if self.number == 0 and time.monotonic() >= self._ddl_at:
                    self._define()
                else:
                    self._write()
            except psycopg2.OperationalError:
                if self._connection is None or self._connection.closed:
                    time.sleep(_RETRY_SECONDS)  # until the server is there again
                else:
                    self._undo()
            except psycopg2.Error:
                self._undo()
        if self._connection is not None:
            self._connection.close()

    def _undo(self) -> None:
        with suppress(psycopg2.Error):
            self._connection.rollback()

    def _commit(self, act: Callable[[Any], None]) -> None:
        with self._connection.cursor() as cursor:
            act(cursor)
        self._connection.commit()

    # Rows.

    def _write(self) -> None:
        """One transaction, of one or several tables; one in ten is undone."""
        kinds: list[str] = []
        with self._connection.cursor() as cursor:
            for _ in range(self._rng.choice((1, 1, 2, 4, 8))):
                kind = self._rng.choice(_KINDS)
                kind(self, cursor, self._rng.choice(TABLES))
                kinds.append(kind.__name__)
        if self._rng.random() < 0.1:
            self._connection.rollback()
            kinds = ["rolled back"]
        else:
            self._connection.commit()
        self._workload.count(kinds + ["several tables"] * (len(kinds) > 1))

    def _id(self) -> int:
        return self._rng.randrange(1, IDS)

    def _new_id(self) -> int:
        self._made += 1
        return (self.number + 1) * 1_000_000 + self._made

    def insert(self, cursor: Any, table: Table) -> None:
        cursor.execute(
            f"INSERT INTO {table.quoted}(id, n, note, long) VALUES(%s, %s, %s, {table.long(self._id())}) "
            "ON CONFLICT DO NOTHING",
            (self._id(), self._id(), self._text()),
        )

    def update(self, cursor: Any, table: Table) -> None:
        column = self._rng.choice(("n", "n", "note", "note", "long"))
        value = {"n": str(self._id()), "note": "%s", "long": table.long(self._id())}[column]
        values = (self._text(),) if column == "note" else ()
        cursor.execute(
            f"UPDATE {table.quoted} SET {column} = {value} WHERE id = {self._id()}", values or None
        )

    def update_several(self, cursor: Any, table: Table) -> None:
        first = self._id()
        cursor.execute(f"UPDATE {table.quoted} SET n = n + 1 WHERE id BETWEEN {first} AND {first + 20}")

    def move(self, cursor: Any, table: Table) -> None:
        other = self._rng.choice((self._id(), self._new_id()))
        cursor.execute("SAVEPOINT moving")
        try:
            cursor.execute(f"UPDATE {table.quoted} SET id = {other} WHERE id = {self._id()}")
        except psycopg2.errors.UniqueViolation:
            cursor.execute("ROLLBACK TO SAVEPOINT moving")

    def delete(self, cursor: Any, table: Table) -> None:
        cursor.execute(f"DELETE FROM {table.quoted} WHERE id = {self._id()}")

    def copy(self, cursor: Any, table: Table) -> None:
        lines = "".join(f"{self._new_id()}\t{self._id()}\t复制 {self._made}\n" for _ in range(20))
        cursor.copy_expert(f"COPY {table.quoted}(id, n, note) FROM STDIN", io.StringIO(lines))

    def undone(self, cursor: Any, table: Table) -> None:
        """A part of the transaction that is taken back, and one behind it that is not."""
        cursor.execute("SAVEPOINT undone")
        cursor.execute(
            f"DELETE FROM {table.quoted} WHERE id BETWEEN {(first := self._id())} AND {first + 50}"
        )
        cursor.execute("SAVEPOINT within")
        self.insert(cursor, table)
        cursor.execute("ROLLBACK TO SAVEPOINT undone")
        self.update(cursor, table)

    def _text(self) -> str | None:
        return self._rng.choice((None, "", "张三丰", "𠮷野家\n'\\\t", f"改 {self._id()}"))

    # Definitions.

    def _define(self) -> None:
        """The next of all that can be done to a definition; what fails is tried on another table."""
        low, high = DDL_SECONDS
        self._ddl_at = time.monotonic() + low + (high - low) * self._rng.random()
        if not self._planned:
            self._planned = self._rng.sample(_DEFINITIONS, len(_DEFINITIONS))
        self._planned[-1](self, self._rng.choice(TABLES))
        self._workload.count([self._planned.pop().__name__])

    def _one(self, *statements: str) -> None:
        """In one transaction."""

        def act(cursor: Any) -> None:
            for statement in statements:
                cursor.execute(statement)

        self._commit(act)

    def _extra(self, table: Table) -> str:
        """A column that was added, quoted; one that is added now where there is none."""
        names: list[str] = []

        def look(cursor: Any) -> None:
            cursor.execute(
                "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 5 "
                "AND NOT attisdropped",
                (table.quoted,),
            )
            names.extend(name for (name,) in cursor.fetchall())

        self._commit(look)
        if not names:
            self.add_column_with_default(table)
            self._commit(look)
        return self._rng.choice(names)

    def _column(self) -> str:
        """A name that no column had before: the lake holds a column for good."""
        return f'"新列 {self._new_id()}"'

    def add_column(self, table: Table) -> None:
        self._one(f"ALTER TABLE {table.quoted} ADD COLUMN {self._column()} text")

    def add_column_with_default(self, table: Table) -> None:
        value = self._rng.choice(("7", "(random() * 1000)::int"))
        self._one(f"ALTER TABLE {table.quoted} ADD COLUMN {self._column()} int DEFAULT {value}")

    def drop_column(self, table: Table) -> None:
        self._one(f"ALTER TABLE {table.quoted} DROP COLUMN {self._extra(table)}")

    def rename_column(self, table: Table) -> None:
        column = self._extra(table)
        self._one(f"ALTER TABLE {table.quoted} RENAME COLUMN {column} TO {self._column()}")

    def alter_type(self, table: Table) -> None:
        kind = self._rng.choice((f"varchar({self._rng.randrange(100, 200)})", "text USING note || ''"))
        self._one(f"ALTER TABLE {table.quoted} ALTER COLUMN note TYPE {kind}")

    def truncate(self, table: Table) -> None:
        self._one(f"TRUNCATE {table.quoted}", table.filled(1, table.rows // 3, "再填"))

    def vacuum_full(self, table: Table) -> None:
        self._connection.autocommit = True
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(f"VACUUM FULL {table.quoted}")
        finally:
            if not self._connection.closed:
                self._connection.autocommit = False

    def recreate(self, table: Table) -> None:
        self._one(f"DROP TABLE {table.quoted}", *table.statements(), table.filled(1, table.rows // 4, "重建"))


_KINDS: list[Callable[[_Session, Any, Table], None]] = [
    _Session.insert,
    _Session.insert,
    _Session.update,
    _Session.update,
    _Session.update,
    _Session.update_several,
    _Session.move,
    _Session.delete,
    _Session.copy,
    _Session.undone,
]
_DEFINITIONS: list[Callable[[_Session, Table], None]] = [
    _Session.add_column,
    _Session.add_column_with_default,
    _Session.drop_column,
    _Session.rename_column,
    _Session.alter_type,
    _Session.truncate,
    _Session.vacuum_full,
    _Session.recreate,
]
EVERY_KIND = {one.__name__ for one in (*_KINDS, *_DEFINITIONS)} | {"rolled back", "several tables"}
