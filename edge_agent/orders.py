"""Orders: what this agent was told to do, by the centre or by a person here, durable until it is done.

One small file in the state directory, outside the spool: a lost spool must not let a paused source run, nor an
old command be obeyed again. Whoever took an order may be killed at once: a snapshot stays wanted until its
begin mark is in the spool, a confirmation until the spool has it, an answer as long as its command may come
again. It refuses to know who may ask for what.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

from protocol.errors import Permanent, Rejected, Transient
from protocol.names import TableName

from . import platform

FORMAT = 1
ANSWERS_MAX = 1_000
"""Commands whose outcome is remembered by id. Older ones are known by when they were issued."""

Wanted = tuple[str, TableName]
"""Source and table."""


@dataclass(frozen=True, slots=True)
class Pause:
    """`since`: UTC microseconds. `by`: "local" (a person here, whom the centre cannot overrule) or "centre"."""

    since: int
    by: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was answered to a command."""

    issued: int
    done: bool
    code: str | None = None
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that the file holds. `snapshots` has the id under which each begins; commands issued at or
    before `forgotten` may have been answered and forgotten."""

    pauses: dict[str, Pause] = field(default_factory=dict)
    snapshots: dict[Wanted, str] = field(default_factory=dict)
    confirmed: frozenset[Wanted] = frozenset()
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    forgotten: int = -1

    # each gives the book as it is afterwards

    def pausing(self, source: str, pause: Pause) -> Book:
        """A person's pause takes the place of the centre's; otherwise the first one stays."""
        known = self.pauses.get(source)
        if known is not None and (known.by == "local" or pause.by == "centre"):
            return self
        since = pause.since if known is None else known.since
        return replace(self, pauses=self.pauses | {source: replace(pause, since=since)})

    def resuming(self, source: str, by: str) -> Book:
        """The centre lifts no pause but its own."""
        known = self.pauses.get(source)
        if known is not None and known.by == "local" != by:
            return self
        return replace(self, pauses={s: p for s, p in self.pauses.items() if s != source})

    def wanting(self, source: str, tables: Iterable[TableName]) -> Book:
        new = {(source, t): secrets.token_hex(16) for t in tables}
        return replace(self, snapshots=new | self.snapshots)

    def confirming(self, source: str, tables: Iterable[TableName]) -> Book:
        return replace(self, confirmed=self.confirmed | {(source, t) for t in tables})

    def remembering(self, command: str, outcome: Outcome) -> Book:
        outcomes = self.outcomes | {command: outcome}
        forgotten = self.forgotten
        while len(outcomes) > ANSWERS_MAX:
            oldest = min(outcomes, key=lambda one: outcomes[one].issued)
            forgotten = max(forgotten, outcomes.pop(oldest).issued)
        return replace(self, outcomes=outcomes, forgotten=forgotten)


class Orders:
    """The book and its file; from any thread. Without a path nothing outlives the object."""

    def __init__(self, path: Path | None, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called after each order that was taken. Raises Permanent GC-4017 for a damaged file."""
        self._path = path
        self._changed = changed
        self._lock = Lock()
        self._book = Book() if path is None else _read(path)

    @property
    def book(self) -> Book:
        return self._book

    def take(self, change: Callable[[Book], Book]) -> None:
        """Make `change` durable, whole or not at all. Raises Transient GC-4016."""
        self._write(change)
        self._changed()

    # what capture asks, and says

    def pause_of(self, source: str) -> Pause | None:
        return self._book.pauses.get(source)

    def wanted(self, source: str, table: TableName) -> str | None:
        """The id under which a snapshot of the table is to begin, None where nobody asked for one."""
        return self._book.snapshots.get((source, table))

    def is_confirmed(self, source: str, table: TableName) -> bool:
        return (source, table) in self._book.confirmed

    def begun(self, source: str, table: TableName) -> None:
        """The begin mark of a snapshot is in the spool. Raises Transient GC-4016."""
        if (one := (source, table)) in self._book.snapshots:
            self._write(lambda b: replace(b, snapshots={w: i for w, i in b.snapshots.items() if w != one}))

    def passed_on(self, source: str, table: TableName) -> None:
        """The spool has the confirmation, or what it was for. Raises Transient GC-4016."""
        if (one := (source, table)) in self._book.confirmed:
            self._write(lambda b: replace(b, confirmed=b.confirmed - {one}))

    def _write(self, change: Callable[[Book], Book]) -> None:
        with self._lock:
            book = change(self._book)
            if book == self._book:
                return
            if self._path is not None:
                try:
                    platform.write_atomically(self._path, _to_bytes(book), private=True)
                except OSError as e:
                    raise Transient("GC-4016", path=str(self._path), reason=str(e.strerror)) from e
            self._book = book


def _to_bytes(book: Book) -> bytes:
    said: dict[str, Any] = {
        "format": FORMAT,
        "pauses": {source: asdict(pause) for source, pause in book.pauses.items()},
        "snapshots": [[s, t.as_list(), i] for (s, t), i in book.snapshots.items()],
        "confirmed": [[s, t.as_list()] for s, t in sorted(book.confirmed, key=repr)],
        "outcomes": {command: asdict(outcome) for command, outcome in book.outcomes.items()},
        "forgotten": book.forgotten,
    }
    return json.dumps(said).encode()  # in ASCII: a name may hold half a surrogate pair


def _read(path: Path) -> Book:
    try:
        said = json.loads(path.read_bytes())
        if said["format"] != FORMAT:
            raise ValueError
        return Book(
            pauses={source: Pause(**pause) for source, pause in said["pauses"].items()},
            snapshots={(s, TableName.from_list(t)): i for s, t, i in said["snapshots"]},
            confirmed=frozenset((s, TableName.from_list(t)) for s, t in said["confirmed"]),
            outcomes={command: Outcome(**outcome) for command, outcome in said["outcomes"].items()},
            forgotten=said["forgotten"],
        )
    except FileNotFoundError:
        return Book()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, Rejected):
        raise Permanent("GC-4017", path=str(path)) from None
