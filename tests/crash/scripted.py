"""Scripted changes of known effect: what each step does to a database and a folder, as the lake must show it.

Every step returns its net changes, (table, op, key) with how often, so that a test can hold exactly those
against what landed. Rows without a key are named by nothing but their table.
"""

from __future__ import annotations

import csv
import os
import random
import sqlite3
from collections import Counter
from pathlib import Path

Net = Counter[tuple[str, str, tuple[object, ...]]]


class Chinook:
    """Changes of a Chinook database: inserts, updates, deletes and key changes, ten in a transaction."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._rng = rng
        self._next = 1_000_000

    def step(self, changes: int) -> Net:
        """At most one change a row, so that the step's net changes are its changes."""
        net: Net = Counter()
        touched: set[tuple[str, object]] = set()
        self._db.execute("BEGIN IMMEDIATE")
        for _ in range(changes):
            self._rng.choice([self._insert, self._update, self._delete, self._rekey])(net, touched)
        self._db.execute("COMMIT")
        return net

    def close(self) -> None:
        self._db.close()

    def _new(self) -> int:
        self._next += 1
        return self._next

    def _row(self, table: str, key: str, touched: set[tuple[str, object]]) -> int:
        """A row that this step has not touched yet."""
        while True:
            (value,) = self._db.execute(
                f'SELECT "{key}" FROM "{table}" ORDER BY "{key}" LIMIT 1 OFFSET '
                f'abs(random()) % (SELECT count(*) FROM "{table}")'
            ).fetchone()
            if (table, value) not in touched:
                touched.add((table, value))
                return int(value)

    def _insert(self, net: Net, touched: set[tuple[str, object]]) -> None:
        key = self._new()
        touched.add(("InvoiceLine", key))
        self._db.execute(
            "INSERT INTO InvoiceLine VALUES (?, 1, 1, ?, 2)", (key, self._rng.choice([0.99, 1.99, 12]))
        )
        net["InvoiceLine", "c", (key,)] += 1

    def _update(self, net: Net, touched: set[tuple[str, object]]) -> None:
        table, key, column = self._rng.choice(
            [
                ("Track", "TrackId", "Composer"),
                ("Customer", "CustomerId", "Address"),
                ("Album", "AlbumId", "Title"),
            ]
        )
        value = self._row(table, key, touched)
        text = self._rng.choice(["张三丰", "𠮷野家", "", 'O\'Neil "x"', "行一\n行二", None, "a " * 40_000])
        if table == "Album" and text is None:
            text = "无题"
        text = None if text is None else f"{text}#{self._new()}"
        before = self._db.execute(f'SELECT "{column}" FROM "{table}" WHERE "{key}" = ?', (value,)).fetchone()[
            0
        ]
        self._db.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE "{key}" = ?', (text, value))
        if before != text:
            net[table, "u", (value,)] += 1

    def _delete(self, net: Net, touched: set[tuple[str, object]]) -> None:
        value = self._row("InvoiceLine", "InvoiceLineId", touched)
        self._db.execute("DELETE FROM InvoiceLine WHERE InvoiceLineId = ?", (value,))
        net["InvoiceLine", "d", (value,)] += 1

    def _rekey(self, net: Net, touched: set[tuple[str, object]]) -> None:
        value, key = self._row("Invoice", "InvoiceId", touched), self._new()
        touched.add(("Invoice", key))
        self._db.execute("UPDATE Invoice SET InvoiceId = ? WHERE InvoiceId = ?", (key, value))
        net["Invoice", "d", (value,)] += 1
        net["Invoice", "c", (key,)] += 1


class Exports:
    """Changes of a folder of CSV files: rows added, changed and removed, each file replaced as a whole."""

    def __init__(self, folder: Path, names: list[str], rng: random.Random) -> None:
        self._folder = folder
        self._names = names
        self._rng = rng
        self._serial = 0

    def step(self, changes: int) -> Net:
        name = self._rng.choice(self._names)
        path = self._folder / name
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
        before = Counter(map(tuple, rows))
        for _ in range(changes):
            self._change(rows, len(header))
        after = Counter(map(tuple, rows))
        self._write(path, [header, *rows])
        net: Net = Counter()
        net[name, "c", ()] = (after - before).total()
        net[name, "d", ()] = (before - after).total()
        return +net

    def _change(self, rows: list[list[str]], width: int) -> None:
        self._serial += 1
        match self._rng.randrange(4):
            case 0:
                rows.append([f"新增{self._serial}"] + [""] * (width - 1))
            case 1:
                rows.append(list(self._rng.choice(rows)))
            case 2:
                rows.pop(self._rng.randrange(len(rows)))
            case 3:
                row = list(self._rng.choice(rows))
                row[-1] = f'改, "{self._serial}"\n续'
                rows[self._rng.randrange(len(rows))] = row

    def _write(self, path: Path, rows: list[list[str]]) -> None:
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
        os.replace(temporary, path)
