"""The book of one folder: what each of its files was when it was read, and what it was taken for.

It spares reading a hundred thousand files again for the sake of one, and holds what kind `auto` decided, so that the
same file is not taken for something else tomorrow. All of it can be made again: a damaged book is moved aside and a
new one begun, and then everything is read once more. It knows no folder and no kind; rows are JSON to it. What stands
here of patients lies beside their files on the same machine, readable by the agent alone.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge_agent.sources.folder import FileState
from protocol.errors import Transient
from protocol.limits import MIB

T = TypeVar("T")

ROWS_BYTES_MAX = 4 * MIB
"""Rows of a file that come to more are not kept but read again."""

_VERSION = 1
_SCHEMA = """
CREATE TABLE files (
    name TEXT PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, changed INTEGER NOT NULL,
    inode TEXT NOT NULL, reader TEXT NOT NULL, sha256 BLOB NOT NULL, rows BLOB, problem TEXT, read_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX by_content ON files (sha256);
CREATE TABLE choices (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, said TEXT NOT NULL, confidence REAL NOT NULL, why TEXT NOT NULL,
    chosen_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE refusals (
    name TEXT NOT NULL, part TEXT NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL,
    changed INTEGER NOT NULL, inode TEXT NOT NULL, problem TEXT NOT NULL, PRIMARY KEY (name, part)
) WITHOUT ROWID;
CREATE TABLE parts (name TEXT PRIMARY KEY, parts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tables (name TEXT PRIMARY KEY, kind TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE generation (number INTEGER NOT NULL);
INSERT INTO generation VALUES (0);
"""
_MARKS = """
CREATE TABLE IF NOT EXISTS marks (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, id BLOB NOT NULL, said BLOB NOT NULL
)
"""
_MARKS_KEPT = 3
"""Of a table: the spool may name the one before, where what was read last did not get into it."""
_LEAVE_MARKS = """
DELETE FROM marks
WHERE name = ? AND number NOT IN (SELECT number FROM marks WHERE name = ? ORDER BY number DESC LIMIT ?)
"""
_KNOWN = """
SELECT name, size, modified, changed, inode, reader, sha256, rows, problem, read_at FROM files WHERE name = ?
"""
_ALL_KNOWN = """
SELECT name, size, modified, changed, inode, reader, sha256, NULL, problem, read_at FROM files ORDER BY name
"""


Refusals = dict[str, dict[str, tuple[FileState, str]]]
"""By file and part: what was no table, as which state and why."""


@dataclass(frozen=True, slots=True)
class Known:
    """A file as it was read. `reader`: its kind and whatever else bears on the rows. `rows` are None where they are too
    many to be kept. `problem`: why there is nothing but its bytes."""

    name: str
    state: FileState
    reader: str
    sha256: bytes
    rows: Sequence[Sequence[Any]] | None
    problem: str | None
    read_at: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """What kind `auto` took a file for: the keys of a rule that it stands for, how surely and why."""

    name: str
    kind: str
    said: dict[str, Any]
    confidence: float
    why: str
    chosen_at: float


class FileBook:
    """`path` None: in memory, for this process alone. Transient GC-3002 where its disk fails. One who is not its owner
    leaves a damaged one where it is."""

    def __init__(self, path: Path | None, *, is_owner: bool = True) -> None:
        self._path = path
        self._is_owner = is_owner
        with self._faults():
            try:
                self._db = self._opened()
            except sqlite3.DatabaseError as error:
                if path is None or not self._may_begin_anew(error):
                    raise
                self._move_aside(path)
                self._db = self._opened()

    def _opened(self) -> sqlite3.Connection:
        if self._path is not None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
        db = sqlite3.connect(self._path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = OFF")  # what a power cut takes is read again
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                db.executescript(f"BEGIN IMMEDIATE;\n{_SCHEMA}\nPRAGMA user_version = {_VERSION};\nCOMMIT;")
            elif version != _VERSION:
                raise sqlite3.DatabaseError("another version's")
            db.execute(_MARKS)
        except BaseException:
            db.close()
            raise
        return db

    @staticmethod
    def _move_aside(path: Path) -> None:
        for ending in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                path.with_name(path.name + ending).replace(path.with_name(f"{path.name}.damaged{ending}"))

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise Transient("GC-3002", path=str(self._path), reason=type(error).__name__) from error

    def close(self) -> None:
        self._db.close()

    def _all(self, sql: str, *values: Any) -> list[Any]:
        """Its rows. A book that is found damaged is begun anew, and the call fails."""
        with self._faults():
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.DatabaseError as error:
                if self._path is None or not self._may_begin_anew(error):
                    raise
                self._db.close()
                self._move_aside(self._path)
                self._db = self._opened()
                raise Transient("GC-3002", path=str(self._path), reason="damaged") from error

    def _may_begin_anew(self, error: sqlite3.DatabaseError) -> bool:
        return self._is_owner and not isinstance(error, sqlite3.OperationalError)

    def _one(self, sql: str, *values: Any) -> Any:
        return next(iter(self._all(sql, *values)), None)

    # what was read

    def known(self, name: str) -> Known | None:
        return next(_whole(_known, self._all(_KNOWN, name)), None)

    def all_known(self) -> list[Known]:
        """Without their rows, by name."""
        return list(_whole(_known, self._all(_ALL_KNOWN)))

    def put(self, known: Known) -> None:
        k = known
        row = (k.name, *_plain(k.state), k.reader, k.sha256, _packed(k.rows), k.problem, k.read_at)
        self._all("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *row)

    def named(self, sha256: bytes) -> list[tuple[str, FileState]]:
        """The files that had this content when they were read."""
        found = self._all("SELECT name, size, modified, changed, inode FROM files WHERE sha256 = ?", sha256)
        return [(name, _state(state)) for name, *state in found]

    def forget(self, name: str) -> None:
        """What was read of it counts no more."""
        self._all("DELETE FROM files WHERE name = ?", name)

    def prune(self, names: Collection[str], tables: Collection[str], decided_before: float) -> None:
        """Forget what was read of files and tables that are not among these, and what was decided of the files before
        then (seconds since 1970)."""
        with self._transaction():
            for (name,) in self._all("SELECT name FROM files"):
                if name not in names:
                    self.forget(name)
            for (name,) in self._all("SELECT DISTINCT name FROM marks"):
                if name not in tables:
                    self._all("DELETE FROM marks WHERE name = ?", name)
            old = self._all("SELECT name FROM choices WHERE chosen_at < ?", decided_before)
            for name in {name for (name,) in old} - set(names):
                self._decide_anew(name)

    # up to where tables were read

    def mark(self, table: str, id: str) -> str | None:
        """What was said under this id."""
        found = self._all("SELECT said FROM marks WHERE name = ? AND id = ?", table, bytes.fromhex(id))
        said = next(_whole(lambda row: zlib.decompress(row[0]).decode(), found), None)
        return said if said is not None and _id(said) == id else None

    def put_mark(self, table: str, said: str) -> str:
        """Its id; the last few of a table are kept."""
        id = _id(said)
        packed = zlib.compress(said.encode(), 1)
        with self._transaction():
            self._all("INSERT INTO marks (name, id, said) VALUES (?, ?, ?)", table, bytes.fromhex(id), packed)
            self._all(_LEAVE_MARKS, table, table, _MARKS_KEPT)
        return id

    # what was decided

    def chosen(self, name: str) -> Chosen | None:
        return next(_whole(_chosen, self._all("SELECT * FROM choices WHERE name = ?", name)), None)

    def all_chosen(self) -> list[Chosen]:
        return list(_whole(_chosen, self._all("SELECT * FROM choices ORDER BY name")))

    def choose(self, chosen: Chosen) -> None:
        c = chosen
        row = (c.name, c.kind, json.dumps(c.said), c.confidence, c.why, c.chosen_at)
        self._all("INSERT OR REPLACE INTO choices VALUES (?, ?, ?, ?, ?, ?)", *row)

    # what was refused as a table

    def refusals(self) -> Refusals:
        found = self._all("SELECT name, part, size, modified, changed, inode, problem FROM refusals")
        refusals: Refusals = {}
        for name, part, refusal in _whole(_refused, found):
            refusals.setdefault(name, {})[part] = refusal
        return refusals

    def refuse(self, name: str, part: str, state: FileState, problem: str) -> None:
        """`part`: which table of the file; "": the file as a whole."""
        row = (name, part, *_plain(state), problem)
        self._all("INSERT OR REPLACE INTO refusals VALUES (?, ?, ?, ?, ?, ?, ?)", *row)

    def accept(self, name: str, part: str) -> None:
        """It is a table after all."""
        self._all("DELETE FROM refusals WHERE name = ? AND part = ?", name, part)

    # the tables of one file

    def parts(self, name: str) -> tuple[str, ...]:
        """What told the tables of a file apart when it was last read: while it cannot be, they are not gone."""
        found = self._all("SELECT parts FROM parts WHERE name = ?", name)
        return next(_whole(lambda row: tuple(json.loads(row[0])), found), ())

    def note_parts(self, name: str, parts: Sequence[str]) -> None:
        if self.parts(name) != tuple(parts):
            self._all("INSERT OR REPLACE INTO parts VALUES (?, ?)", name, json.dumps(list(parts)))

    # tables that files share

    def tables(self) -> dict[str, str]:
        """Name and kind of every one that ever had a file: without files it is empty, not gone."""
        return dict(self._all("SELECT name, kind FROM tables ORDER BY name"))

    def note_table(self, name: str, kind: str) -> None:
        self._all("INSERT OR REPLACE INTO tables VALUES (?, ?)", name, kind)

    # reading again

    @property
    def generation(self) -> int:
        """Another number once somebody asked that something be read again."""
        return int(self._one("SELECT number FROM generation")[0])

    def again(self, names: Iterable[str]) -> None:
        """Decide on these anew and read them again; also from another process."""
        with self._transaction():
            for name in names:
                self.forget(name)
                self._decide_anew(name)
            self._all("UPDATE generation SET number = number + 1")

    def _decide_anew(self, name: str) -> None:
        self._all("DELETE FROM choices WHERE name = ?", name)
        self._all("DELETE FROM refusals WHERE name = ?", name)
        self._all("DELETE FROM parts WHERE name = ?", name)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._all("BEGIN IMMEDIATE")
        try:
            yield
            self._all("COMMIT")
        except BaseException:
            with suppress(Transient):
                self._all("ROLLBACK")
            raise


def _id(said: str) -> str:
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def _plain(state: FileState) -> tuple[int, int, int, str]:
    inode = str(state.inode)  # may have 64 bits without a sign
    return state.size, state.modified_ns, state.changed_ns, inode


def _state(found: Sequence[Any]) -> FileState:
    size, modified, changed, inode = found
    return FileState(size, modified, changed, int(inode))


def _whole(made: Callable[[Sequence[Any]], T], found: Iterable[Sequence[Any]]) -> Iterator[T]:
    """What rows say. SQLite checks no page: one that says nothing is as if it were not there, and is made anew."""
    for row in found:
        with suppress(zlib.error, ValueError, TypeError):
            yield made(row)


def _refused(found: Sequence[Any]) -> tuple[str, str, tuple[FileState, str]]:
    name, part, *state, problem = found
    return name, part, (_state(state), problem)


def _known(found: Sequence[Any]) -> Known:
    name, *state, reader, sha256, rows, problem, read_at = found
    return Known(name, _state(state), reader, sha256, _unpacked(rows), problem, read_at)


def _chosen(found: Sequence[Any]) -> Chosen:
    name, kind, said, confidence, why, chosen_at = found
    return Chosen(name, kind, json.loads(said), confidence, why, chosen_at)


def _packed(rows: Sequence[Sequence[Any]] | None) -> bytes | None:
    if rows is None:
        return None
    text = json.dumps(rows, separators=(",", ":"))
    return zlib.compress(text.encode(), 1) if len(text) <= ROWS_BYTES_MAX else None


def _unpacked(data: bytes | None) -> list[list[Any]] | None:
    return None if data is None else json.loads(zlib.decompress(data))
