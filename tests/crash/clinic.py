"""A hospital's SQLite database that lives: many tables, few of them busy, and definitions that change.

Which table is written to follows Zipf's law, as in a real one: the first gets about a fifth of all changes. Every
fifth table has no key. What was done is counted, so that a test can see that nothing was missing.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from pathlib import Path

_NAMES = ("挂号", "门诊就诊", "Lab Result", "收费明细", "Order", "药品.发药", "住院记录", "检查申请")
_FAMILY = "王李张刘陈杨黄赵吴周徐孙马朱胡林郭何高罗"
_TYPES = ("TEXT", "INTEGER", "REAL", "BLOB")


class Clinic:
    def __init__(self, path: Path, tables: int, rng: random.Random, rows: int = 50) -> None:
        self.path = path
        self.done: Counter[str] = Counter()
        """Statements that were committed, by kind."""
        self._rng = rng
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._names = [f"{_NAMES[i % len(_NAMES)]} {i}" for i in range(tables)]
        self._weights = [1 / (i + 1) for i in range(tables)]
        self._columns: dict[str, dict[str, str]] = {}
        self._next = 0
        self._db.execute("BEGIN")
        for name in self._names:
            self._create(name)
            for _ in range(rows):
                self._insert(name)
        self._db.execute("COMMIT")

    @property
    def tables(self) -> list[str]:
        return list(self._names)

    def close(self) -> None:
        self._db.close()

    def step(self, changes: int) -> None:
        """One transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        for _ in range(changes):
            (name,) = self._rng.choices(self._names, self._weights)
            (do,) = self._rng.choices((self._insert, self._update, self._delete), (5, 4, 2))
            do(name)
        self._db.execute("COMMIT")

    def evolve(self) -> None:
        """One change of one table's definition: a column more, renamed or gone, or the whole table made anew."""
        name = self._rng.choice(self._names)
        do = self._rng.choice((self._add_column, self._rename_column, self._drop_column, self._make_anew))
        self._db.execute("BEGIN IMMEDIATE")
        do(name)
        self._db.execute("COMMIT")

    def _has_key(self, name: str) -> bool:
        return self._names.index(name) % 5 != 4

    def _create(self, name: str) -> None:
        kinds = [self._rng.choice(_TYPES) for _ in range(self._rng.randint(2, 5))]
        self._columns[name] = {f"列 {i}": kind for i, kind in enumerate(kinds)}
        key = " PRIMARY KEY" if self._has_key(name) else ""
        columns = "".join(f", {_quoted(column)} {kind}" for column, kind in self._columns[name].items())
        self._db.execute(f"CREATE TABLE {_quoted(name)} (id INTEGER{key}{columns})")

    def _insert(self, name: str) -> None:
        self._next += 1
        values = [self._next, *(self._value(kind) for kind in self._columns[name].values())]
        marks = ", ".join("?" * len(values))
        self._db.execute(f"INSERT INTO {_quoted(name)} VALUES ({marks})", values)
        self.done["insert"] += 1

    def _update(self, name: str) -> None:
        column, kind = self._rng.choice(list(self._columns[name].items()))
        where = self._some_row(name)
        self._db.execute(
            f"UPDATE {_quoted(name)} SET {_quoted(column)} = ? WHERE rowid = ?", (self._value(kind), where)
        )
        self.done["update"] += 1

    def _delete(self, name: str) -> None:
        self._db.execute(f"DELETE FROM {_quoted(name)} WHERE rowid = ?", (self._some_row(name),))
        self.done["delete"] += 1

    def _some_row(self, name: str) -> int | None:
        found = self._db.execute(
            f"SELECT rowid FROM {_quoted(name)} LIMIT 1 OFFSET "
            f"abs(random()) % max(1, (SELECT count(*) FROM {_quoted(name)}))"
        ).fetchone()
        return None if found is None else int(found[0])

    def _add_column(self, name: str) -> None:
        self._next += 1
        column, kind = f"加 {self._next}", self._rng.choice(_TYPES)
        self._db.execute(f"ALTER TABLE {_quoted(name)} ADD COLUMN {_quoted(column)} {kind}")
        self._columns[name][column] = kind
        self.done["add column"] += 1

    def _rename_column(self, name: str) -> None:
        self._next += 1
        old, new = self._rng.choice(list(self._columns[name])), f"改 {self._next}"
        self._db.execute(f"ALTER TABLE {_quoted(name)} RENAME COLUMN {_quoted(old)} TO {_quoted(new)}")
        self._columns[name] = {new if c == old else c: kind for c, kind in self._columns[name].items()}
        self.done["rename column"] += 1

    def _drop_column(self, name: str) -> None:
        if len(self._columns[name]) > 1:
            column = self._rng.choice(list(self._columns[name]))
            self._db.execute(f"ALTER TABLE {_quoted(name)} DROP COLUMN {_quoted(column)}")
            del self._columns[name][column]
            self.done["drop column"] += 1

    def _make_anew(self, name: str) -> None:
        """Columns of the same names, of other types."""
        self._db.execute(f"DROP TABLE {_quoted(name)}")
        self._create(name)
        for _ in range(20):
            self._insert(name)
        self.done["make anew"] += 1

    def _value(self, kind: str) -> object:
        match kind:
            case _ if self._rng.random() < 0.1:
                return None
            case "INTEGER":
                return self._rng.randint(-(2**40), 2**40)
            case "REAL":
                return self._rng.randint(-10_000, 10_000) / 4
            case "BLOB":
                return self._rng.randbytes(self._rng.randint(0, 40))
        return "".join(self._rng.choices(_FAMILY, k=self._rng.randint(1, 12)))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
