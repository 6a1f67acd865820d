"""What the lake does for durability: sync what was committed, and after an unclean stop prove it.

deltalake opens a table whose last log entry is empty without a word, its rows missing (measured). So after an
unclean stop each commit that was not known to be durable is synced, read back from where a power cut would have
left it and compared with its digests; the first that fails is cut, with everything after it. Nothing is deleted:
cut entries move to `_system/damaged`. Knows Delta's log as names in a store; it does not know deltalake.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from . import commits
from .store import Store
from .tablestate import TableState, from_checkpoint

LOG = "_delta_log"
DAMAGED = "_system/damaged"
_LAST_CHECKPOINT = "_last_checkpoint"
_DAMAGE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.EINVAL)


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
    What an entry above removed is live again once that entry is cut, and is looked at then. What stays has been
    synced and read back. Raises OSError when the store refuses to say.
    """
    present = versions(store, table)
    base = min(synced_version, present[-1]) if present else -1
    entries = _whole_entries(store, table, base, present)
    last, good = max(entries, default=base), set[str]()
    while (bad := _first_bad(store, table, {v: entries[v] for v in entries if v <= last}, good)) is not None:
        last = bad - 1
    cut = tuple(v for v in present if v > last)
    if present:
        _move_aside(store, table, last, cut)
    return last, cut


def state(store: Store, table: str) -> TableState:
    """The state at the last version, from the newest checkpoint that reads and the entries above it; version -1 where
    there is no table. Raises Damaged where an entry is missing or not whole."""
    held = TableState()
    for version, name in reversed(_checkpoints(store, table)):
        if name == commits.checkpoint_name(version):
            with contextlib.suppress(ValueError, pa.ArrowException):
                held = from_checkpoint(version, store.get(f"{table}/{LOG}/{name}"))
                break
    for version in versions(store, table):
        if version > held.version:
            if version != held.version + 1:
                raise Damaged
            held.take(version, _actions(store.get(log_entry(table, version))))
    return held


def removed(store: Store, table: str, span: Iterable[int]) -> set[str]:
    """Files that the commits of `span` remove, as the log spells them."""
    return _removed(_actions(store.get(log_entry(table, version))) for version in span)


def sync_checkpoint(store: Store, table: str) -> None:
    """Make the newest checkpoint durable, and then what points to it."""
    newest = [name for _, name in _checkpoints(store, table)[-1:]]
    store.sync(f"{table}/{LOG}/{name}" for name in [*newest, _LAST_CHECKPOINT])


def checkpointed(store: Store, table: str) -> int:
    """The version of the newest checkpoint, -1 where there is none."""
    found = _checkpoints(store, table)
    return found[-1][0] if found else -1


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
    for version in (v for v in present if v > base):
        if version != base + 1 + len(entries):
            break
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
        if error.errno not in _DAMAGE:
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


def _move_aside(store: Store, table: str, last: int, cut: tuple[int, ...]) -> None:
    """From the top down, so that a crash in between leaves a log that the next recovery cuts further."""
    log = f"{table}/{LOG}"
    checkpoints = _checkpoints(store, table)
    kept = {version for version, name in checkpoints if version <= last and _reads(store, f"{log}/{name}")}
    aside = [name for version, name in checkpoints if version not in kept]
    aside += [_LAST_CHECKPOINT] if aside or _points_wrong(store, f"{log}/{_LAST_CHECKPOINT}", kept) else []
    aside += [commits.entry_name(version) for version in reversed(cut)]
    present = set(_log(store, table))
    existing = [name for name in aside if name in present]
    if existing:
        target = _fresh_folder(store, f"{DAMAGED}/{table}", last + 1)
        for name in existing:
            store.move(f"{log}/{name}", f"{target}/{name}")
        store.sync([f"{target}/"])
    store.tidy(log)
    store.sync([f"{log}/"])


def _checkpoints(store: Store, table: str) -> list[tuple[int, str]]:
    found = ((commits.checkpoint_version(name), name) for name in _log(store, table))
    return sorted((version, name) for version, name in found if version is not None)


def _reads(store: Store, checkpoint: str) -> bool:
    """A checkpoint only repeats the entries, so one in doubt is better away than half read."""
    try:
        held = pq.read_table(pa.BufferReader(store.get(checkpoint)), columns=["metaData", "protocol"])
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) not in (None, *_DAMAGE):  # Arrow's own have no number
            raise
        return False
    return all(len(held[name]) - held[name].null_count == 1 for name in held.column_names)


def _points_wrong(store: Store, pointer: str, kept: set[int]) -> bool:
    """deltalake does not open a table whose pointer leads to no checkpoint."""
    try:
        return json.loads(store.get(pointer))["version"] not in kept
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):
        return True


def _fresh_folder(store: Store, parent: str, version: int) -> str:
    taken = {item.name for item in store.list(parent)}
    names = (f"{version}-{attempt}" for attempt in itertools.count())
    return f"{parent}/{next(name for name in names if f'{name}/' not in taken)}"
