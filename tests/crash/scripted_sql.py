"""Scripted changes of a database on a server: inserts, updates, deletes and key changes, over all its listed tables.

Foreign keys are off while the script writes, as in a restore or in a hospital's own repairs, so that any row may
go; what must hold is that the lake shows what stands there afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.databases import Database

TEXTS = ("张三丰", "𠮷野家", "", 'O\'Neil "x" %s', "行一\n行二", " 末尾 ", "NULL", "\\N", "á\u0301")
CHARACTERS_MAX = 40
FIRST_NEW_KEY = 1_000_000


@dataclass(frozen=True, slots=True)
class Table:
    """`key`: by what one row is found; its first column takes new numbers. `text`: a column whose text changes.
    `stamp`: a column that holds when the row changed last."""

    name: str
    key: tuple[str, ...]
    text: str | None = None
    stamp: str | None = None
    nullable: bool = True


class Script:
    """Changes of one database. Each step is one transaction on a connection of its own."""

    def __init__(self, server: Database, database: str, tables: Sequence[Table], rng: random.Random) -> None:
        self._server = server
        self._database = database
        self._tables = tables
        self._rng = rng
        self._next = FIRST_NEW_KEY
        self.done = 0

    def step(self, changes: int) -> None:
        with self._transaction() as cursor:
            for _ in range(changes):
                table = self._rng.choice(self._tables)
                self._rng.choice([self._insert, self._update, self._update, self._delete, self._rekey])(
                    cursor, table
                )
                self.done += 1

    def rename_one(self) -> Table:
        """One row of the first table gets a text that stands nowhere else; the table."""
        table = self._tables[0]
        assert table.text is not None
        with self._transaction() as cursor:
            row = self._row(cursor, table)
            assert row is not None
            name, column = self._quoted(table.name, table.text)
            text = f"改名 {self._new()}"
            cursor.execute(f"UPDATE {name} SET {column} = %s WHERE {self._where(table)}", (text, *row))
        return table

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        off = {
            "postgresql": "SET session_replication_role = replica",
            "mariadb": "SET foreign_key_checks = 0",
        }[self._server.backend]
        with closing(self._server.connect(self._database)) as connection, connection.cursor() as cursor:
            cursor.execute(off)
            cursor.execute("BEGIN")
            yield cursor
            cursor.execute("COMMIT")

    def _quoted(self, *names: str) -> list[str]:
        return [self._server.quoted(name) for name in names]

    def _row(self, cursor: Any, table: Table) -> tuple[Any, ...] | None:
        """The key of any row."""
        (name,), key = self._quoted(table.name), ", ".join(self._quoted(*table.key))
        cursor.execute(f"SELECT count(*) FROM {name}")
        (count,) = cursor.fetchone()
        if not count:
            return None
        place = self._rng.randrange(count)
        cursor.execute(f"SELECT {key} FROM {name} ORDER BY {key} LIMIT 1 OFFSET {place}")
        return tuple(cursor.fetchone())

    def _where(self, table: Table) -> str:
        return " AND ".join(f"{column} = %s" for column in self._quoted(*table.key))

    def _new(self) -> int:
        self._next += 1
        return self._next

    def _insert(self, cursor: Any, table: Table) -> None:
        """A copy of a row, under another key."""
        row = self._row(cursor, table)
        if row is None:
            return
        (name,) = self._quoted(table.name)
        cursor.execute(f"SELECT * FROM {name} LIMIT 0")
        columns = [column[0] for column in cursor.description]
        taken = {table.key[0]: "%s", table.stamp: "now()"}
        values = ", ".join(
            taken.get(c, quoted) for c, quoted in zip(columns, self._quoted(*columns), strict=True)
        )
        cursor.execute(
            f"INSERT INTO {name} SELECT {values} FROM {name} WHERE {self._where(table)}", (self._new(), *row)
        )

    def _update(self, cursor: Any, table: Table) -> None:
        row = self._row(cursor, table)
        if row is None or table.text is None:
            return
        name, column = self._quoted(table.name, table.text)
        texts = [None, *TEXTS] if table.nullable else TEXTS
        text = self._rng.choice(texts)
        value = None if text is None else f"{text}#{self._new()}"[-CHARACTERS_MAX:]
        stamped = "" if table.stamp is None else f", {self._quoted(table.stamp)[0]} = now()"
        cursor.execute(f"UPDATE {name} SET {column} = %s{stamped} WHERE {self._where(table)}", (value, *row))

    def _delete(self, cursor: Any, table: Table) -> None:
        row = self._row(cursor, table)
        if row is not None:
            (name,) = self._quoted(table.name)
            cursor.execute(f"DELETE FROM {name} WHERE {self._where(table)}", row)

    def _rekey(self, cursor: Any, table: Table) -> None:
        row = self._row(cursor, table)
        if row is None:
            return
        name, key = self._quoted(table.name, table.key[0])
        stamped = "" if table.stamp is None else f", {self._quoted(table.stamp)[0]} = now()"
        cursor.execute(
            f"UPDATE {name} SET {key} = %s{stamped} WHERE {self._where(table)}", (self._new(), *row)
        )
