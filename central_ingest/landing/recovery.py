"""What the lake does for durability: sync what was committed, and after an unclean stop prove it.

deltalake opens a table whose last log entry is empty without a word, its rows missing (measured). So after an
unclean stop each commit that was not known to be durable is synced, read back from where a power cut would have
left it and compared with its digests; the first that fails is cut, with everything after it. Nothing is deleted:
cut entries move to `_system/damaged`. Knows Delta's log as names in a store; it does not know deltalake.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from . import checkpoints, commits
from .store import Store
from .tablestate import TableState, from_checkpoint

LOG = checkpoints.LOG
DAMAGED = "_system/damaged"
_LAST_CHECKPOINT = "_last_checkpoint"


class Damaged(Exception):
    """A commit that is not whole: its entry, or a data file that it names. Stays inside landing."""


def log_entry(table: str, version: int) -> str:
    """The name of a commit's log entry."""
    return f"{table}/{LOG}/{commits.entry_name(version)}"


def versions(store: Store, table: str) -> list[int]:
    """Every version that has a log entry, rising; none where there is no table."""
    found = (commits.entry_version(name) for name in _log(store, table))
    return sorted(v for v in found if v is not None)


def sync(store: Store, table: str, span: Iterable[int]) -> None:
    """Make the commits of `span` durable: data files, entries, then the directories that name them. A file that one
    of them removes again may be gone.

    Raises OSError, and Damaged for an entry that is not whole.
    """
    entries = {version: _actions(store.get(log_entry(table, version))) for version in span}
    gone = _removed(entries.values())
    names = []
    for version, actions in entries.items():
        added = (name for name, _, _ in commits.data_files(actions))
        files = [(f"{table}/{unquote(name)}", name in gone) for name in added]
        names += [file for file, may_miss in files if not may_miss or store.size(file) is not None]
        names.append(log_entry(table, version))
    store.sync(names)


def cut_after_damage(store: Store, table: str, synced_version: int) -> tuple[int, tuple[int, ...]]:
    """The last version that is whole from `synced_version` on, and the versions that were cut above it.

    Whole means: every entry up to it, and every data file that they added and that the table holds at that version.
    What an entry above removed is live again once that entry is cut, and is looked at then. Below a checkpoint whose
    seal holds nothing is cut: it was sealed when all of that was durable, and needs no entry. What stays has been
    synced and read back. Raises OSError when the store refuses to say.
    """
    present = versions(store, table)
    if store.lasting and (present[-1] if present else -1) == synced_version:
        return synced_version, ()  # no power cut reaches there
    sound = checkpoints.sound(store, table)
    if found := _stands_for_what_is_gone(store, table, present, sound):
        sound = {found.version}
    base = max(min(synced_version, present[-1]), *sound, -1) if present else -1
    entries = _whole_entries(store, table, base, present)
    last, good = max(entries, default=base), set[str]()
    while (bad := _first_bad(store, table, {v: entries[v] for v in entries if v <= last}, good)) is not None:
        last = bad - 1
    cut = tuple(v for v in present if v > last)
    if present:
        _move_aside(store, table, last, cut, sound)
    return last, cut


def state(store: Store, table: str, at: int | None = None) -> TableState:
    """The state at the last version, or at version `at` by what lies below it: from a checkpoint and the entries above
    it; version -1 where there is no table. Commits may come and the log may be cleaned up meanwhile: entries are read
    by their numbers, since a listing is no picture of one moment, and what seems damaged is looked at again.

    Raises Damaged where an entry is missing or not whole, twice at one place above one checkpoint."""
    seemed: tuple[int, int] | None = None
    while True:
        present = versions(store, table)
        held = checkpoints.newest(store, table, at) or TableState()
        if present and held.version + 1 < present[0]:
            held = unsealed(store, table, present[0] - 1) or held
        base = held.version
        try:
            _follow(store, table, held, present[-1] if present else -1, at)
            return held
        except Damaged:
            if seemed == (base, held.version):
                raise
            seemed = base, held.version


def _follow(store: Store, table: str, held: TableState, last: int, at: int | None) -> None:
    """Bring `held` up to `at`, or to the last entry that there is, which is not below the version `last`."""
    while at is None or held.version < at:
        version = held.version + 1
        try:
            entry = store.get(log_entry(table, version))
        except FileNotFoundError:
            if version > last:
                return
            raise Damaged from None
        held.take(version, _actions(entry))


def added(store: Store, table: str, span: Iterable[int]) -> set[str]:
    """Files that the commits of `span` add, as the log spells them."""
    entries = (_actions(store.get(log_entry(table, version))) for version in span)
    return {name for actions in entries for name, _, _ in commits.data_files(actions)}


def removed(store: Store, table: str, span: Iterable[int]) -> set[str]:
    """Files that the commits of `span` remove, as the log spells them."""
    return _removed(_actions(store.get(log_entry(table, version))) for version in span)


def _log(store: Store, table: str) -> list[str]:
    return [item.name for item in store.list(f"{table}/{LOG}")]


def _actions(entry: bytes) -> list[commits.Action]:
    actions = commits.decode(entry)
    if actions is None:
        raise Damaged
    return actions


def _removed(entries: Iterable[list[commits.Action]]) -> set[str]:
    return {name for actions in entries for name in commits.removed_files(actions)}


def _whole_entries(
    store: Store, table: str, base: int, present: list[int]
) -> dict[int, list[commits.Action]]:
    """The entries above `base`, up to the first that is missing or not whole. Each is synced first, then read past
    every cache, which after a failed write may hold what the disk does not."""
    entries: dict[int, list[commits.Action]] = {}
    for version in range(base + 1, present[-1] + 1 if present else 0):
        with _damage_of() as damage:
            store.sync([log_entry(table, version)])
            entries[version] = _actions(store.prove(log_entry(table, version)))
        if damage:
            break
    return entries


def _first_bad(
    store: Store, table: str, entries: dict[int, list[commits.Action]], good: set[str]
) -> int | None:
    """The first version that added a file which is not whole and which no later entry removed. `good` gathers what
    was looked at."""
    gone: dict[str, int] = {}
    for version, actions in entries.items():
        gone |= dict.fromkeys(commits.removed_files(actions), version)
    for version, actions in entries.items():
        for name, size, declared in commits.data_files(actions):
            if name in good or gone.get(name, -1) > version:
                continue
            file = f"{table}/{unquote(name)}"
            with _damage_of() as damage:
                store.sync([file])
                _check(store.prove(file), size, declared)
            if damage:
                return version
            good.add(name)
    return None


@contextlib.contextmanager
def _damage_of() -> Iterator[list[Exception]]:
    """Gathers what shows that something is not whole; a store that refuses to say is none of that."""
    found: list[Exception] = []
    try:
        yield found
    except Damaged as error:
        found.append(error)
    except OSError as error:
        if error.errno not in checkpoints.DAMAGE:
            raise
        found.append(error)


def _check(content: bytes, size: int, declared: str | None) -> None:
    if len(content) != size or (declared is not None and commits.digest(content) != declared):
        raise Damaged
    if declared is None:
        try:
            pq.read_table(pa.BufferReader(content))
        except (pa.ArrowException, OSError) as error:
            raise Damaged from error


def _move_aside(store: Store, table: str, last: int, cut: tuple[int, ...], sound: set[int]) -> str | None:
    """From the top down, so that a crash in between leaves a log that the next recovery cuts further."""
    log = f"{table}/{LOG}"
    present = _log(store, table)
    aside = [name for name in present if commits.checkpoint_version(name) not in (None, *sound)]
    aside += [_LAST_CHECKPOINT] if aside or _points_wrong(store, f"{log}/{_LAST_CHECKPOINT}", sound) else []
    aside += [commits.entry_name(version) for version in reversed(cut)]
    existing, target = [name for name in aside if name in set(present)], None
    if existing:
        target = _fresh_folder(store, f"{DAMAGED}/{table}", last + 1)
        for name in existing:
            store.move(f"{log}/{name}", f"{target}/{name}")
        store.sync([f"{target}/", f"{log}/"])
    store.tidy(log)
    return target


def _stands_for_what_is_gone(
    store: Store, table: str, present: list[int], sound: set[int]
) -> TableState | None:
    """The checkpoint that is all there is of the entries below the lowest one, where none that is sealed has them."""
    if not present or present[0] <= 0 or any(version >= present[0] - 1 for version in sound):
        return None
    return unsealed(store, table, present[0] - 1)


def unsealed(store: Store, table: str, lowest: int) -> TableState | None:
    """The newest checkpoint from `lowest` on that reads, where no sealed one does and entries are missing: another
    engine's, or ours whose seals are lost."""
    found = ((commits.checkpoint_version(name), name) for name in _log(store, table))
    named = [
        (v, name) for v, name in found if v is not None and v >= lowest and commits.checkpoint_name(v) == name
    ]
    for version, name in sorted(named, reverse=True):
        with contextlib.suppress(ValueError, KeyError, pa.ArrowException):
            return from_checkpoint(version, checkpoints.read(store, f"{table}/{LOG}/{name}") or b"")
    return None


def _points_wrong(store: Store, pointer: str, sound: set[int]) -> bool:
    """deltalake does not open a table whose pointer leads to no checkpoint."""
    try:
        return json.loads(store.get(pointer))["version"] not in sound
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):
        return True


def _fresh_folder(store: Store, parent: str, version: int) -> str:
    taken = {item.name for item in store.list(parent)}
    names = (f"{version}-{attempt}" for attempt in itertools.count())
    return f"{parent}/{next(name for name in names if f'{name}/' not in taken)}"


def cut(store: Store, table: str, last: int) -> str | None:
    """Leave nothing above version `last` (-1: no table), whole or not; returns the folder that has it now."""
    present = versions(store, table)
    sound = checkpoints.sound(store, table)
    if found := _stands_for_what_is_gone(store, table, present, sound):
        sound = {found.version}
    sound = {version for version in sound if version <= last}
    return _move_aside(store, table, last, tuple(v for v in present if v > last), sound)


def set_aside(store: Store, table: str, name: str, target: str) -> None:
    """Move a data file of a table, by the name that its log gives it, into `target`; it may be gone."""
    file = f"{table}/{unquote(name)}"
    if store.size(file) is not None:
        store.move(file, f"{target}/files/{unquote(name)}")
        store.sync([f"{target}/files/{unquote(name)}", file.rpartition("/")[0] + "/"])
