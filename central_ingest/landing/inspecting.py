"""Reading a table of the lake to see whether all of it is there: its log, and the files that it needs. It only reads.

Entries count above the newest checkpoint whose seal holds; what lies below it no reader wants. Sound is the newest
version whose entries and whose data files are whole, looked for back to the oldest checkpoint, or the beginning.
Knows Delta's log as names in a store, and neither ledger nor journal.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from . import checkpoints, commits, recovery, tablefiles
from .soundness import TableFound, Wrong
from .store import Item, Store
from .tablestate import LiveFile, TableState

FRESH_SECONDS = 3_600.0
"""A file that no entry names may still be on its way into one."""


@dataclass(slots=True)
class _Log:
    """What can be replayed from one checkpoint, or from the first entry: states by version, and what is broken."""

    base: int
    states: dict[int, dict[str, LiveFile]] = field(default_factory=dict)
    txns: dict[int, dict[str, int]] = field(default_factory=dict)
    added: dict[str, int] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    broken: tuple[int, ...] = ()


class Inspection:
    """One reading of one table. `deep` reads every data file that it needs, past the caches of this machine."""

    def __init__(self, store: Store, path: str, *, deep: bool, now: float) -> None:
        self._store = store
        self._path = path
        self._deep = deep
        self._now = now
        self._wrong: dict[str, Wrong | None] = {}

    def found(self) -> TableFound:
        """Raises OSError where the store refuses to say."""
        present = recovery.versions(self._store, self._path)
        if not present:
            return TableFound(self._path, -1)
        logs = self._logs(present)
        newest = next(logs)
        top = max(newest.states, default=-1)
        live = newest.states.get(top, {})
        bad = {name: wrong for name, file in live.items() if (wrong := self._look(file)) is not None}
        sound, log = top, newest
        if bad or top < 0:
            sound, log = self._soundest([newest, *logs])
        files = log.states.get(sound, {}).values()
        orphans = self._orphans(newest, live) if not newest.broken else []
        return TableFound(
            self._path,
            present[-1],
            newest.broken,
            bad,
            newest.base,
            sound,
            sum(one.rows or 0 for one in files),
            _held(log.txns.get(sound, {})),
            len(orphans),
            sum(one.size for one in orphans),
            dict(self._spoilt()),
        )

    def _soundest(self, logs: list[_Log]) -> tuple[int, _Log]:
        for log in logs:
            for version in sorted(log.states, reverse=True):
                if all(self._look(file) is None for file in log.states[version].values()):
                    return version, log
        return -1, _Log(-1)

    def _logs(self, present: list[int]) -> Iterator[_Log]:
        """From the newest checkpoint whose seal holds, then from older ones, at last from the first entry."""
        last: int | None = None
        while (state := checkpoints.newest(self._store, self._path, last)) is not None:
            last = state.version
            yield self._replayed(state, present)
        if last is None and present[0] > 0:
            state = recovery.unsealed(self._store, self._path, present[0] - 1)
        yield self._replayed(state or TableState(), present)

    def _replayed(self, state: TableState, present: list[int]) -> _Log:
        log = _Log(state.version)
        self._note(log, state)
        broken, first = [], state.version + 1
        if first < present[0] and self._entry(present[0] - 1) is None:
            first = present[0] - 1  # one stands for all that went below
        for version in range(first, present[-1] + 1):
            actions = self._entry(version)
            if actions is None:
                broken.append(version)
            elif not broken:
                log.added |= {name: version for name, _, _ in commits.data_files(actions)}
                state.take(version, actions)
                self._note(log, state)
        log.broken = tuple(broken)
        return log

    def _note(self, log: _Log, state: TableState) -> None:
        if state.version >= 0:
            log.states[state.version] = dict(state.live)
            log.txns[state.version] = dict(state.txns)
            log.removed |= state.removed.keys()

    def _entry(self, version: int) -> list[commits.Action] | None:
        with contextlib.suppress(FileNotFoundError):
            return commits.decode(self._store.get(recovery.log_entry(self._path, version)))
        return None

    def _spoilt(self) -> Iterator[tuple[str, Wrong]]:
        """The log may do without them, but no engine opens a table whose newest one is not whole, or is not where the
        log points."""
        seals, sound = checkpoints.sealed(self._store, self._path), checkpoints.sound(self._store, self._path)
        pointed = checkpoints.pointed(self._store, self._path)
        for version in sorted({*seals, *pointed} - sound):
            content = checkpoints.read(self._store, checkpoints.name(self._path, version))
            if content is None and version in pointed:
                yield checkpoints.file_name(version), Wrong.MISSING
            elif content is None:
                continue
            elif version in seals or not checkpoints.is_readable(version, content):
                yield checkpoints.file_name(version), Wrong.CONTENT

    def _look(self, file: LiveFile) -> Wrong | None:
        if file.path not in self._wrong:
            self._wrong[file.path] = wrong_with(self._store, self._path, file, deep=self._deep)
        return self._wrong[file.path]

    def _orphans(self, log: _Log, live: dict[str, LiveFile]) -> list[Item]:
        known = {
            tablefiles.file_name(self._path, name) for name in live.keys() | log.removed | log.added.keys()
        }
        return [
            item
            for name, item in _files(self._store, self._path)
            if name not in known and self._now - item.written > FRESH_SECONDS
        ]


def wrong_with(store: Store, path: str, file: LiveFile, *, deep: bool) -> Wrong | None:
    """What is wrong with a data file of a table; None where nothing is."""
    name = tablefiles.file_name(path, file.path)
    size = store.size(name)
    if size is None:
        return Wrong.MISSING
    if size != file.size:
        return Wrong.SIZE
    if not deep:
        return None
    content = content_of(store, path, file)
    return content if isinstance(content, Wrong) else None


def content_of(store: Store, path: str, file: LiveFile) -> bytes | Wrong:
    """A data file as a power cut would leave it, or what is wrong with it. Raises OSError where the store refuses to
    say."""
    try:
        content = store.prove(tablefiles.file_name(path, file.path))
    except OSError as error:
        if error.errno not in checkpoints.DAMAGE:
            raise
        return Wrong.MISSING if error.errno == errno.ENOENT else Wrong.CONTENT
    if len(content) != file.size:
        return Wrong.SIZE
    if file.digest is not None:
        return content if commits.digest(content) == file.digest else Wrong.CONTENT
    try:
        pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError):
        return Wrong.CONTENT
    return content


def _held(txns: dict[str, int]) -> tuple[int, int] | None:
    """Of the newest epoch: a table holds all that came before of its stream."""
    return max(((int(app.rpartition("/")[2]), version) for app, version in txns.items()), default=None)


def _files(store: Store, folder: str) -> Iterator[tuple[str, Item]]:
    """Every file of a table but those of its log."""
    for item in store.list(folder):
        name = f"{folder}/{item.name}"
        if item.name == f"{recovery.LOG}/":
            continue
        if item.name.endswith("/"):
            yield from _files(store, name[:-1])
        else:
            yield name, item
