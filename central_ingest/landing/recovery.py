"""What a lake on a local disk does for durability: sync what was committed, and after a power cut prove it.

deltalake never calls fsync (measured with strace, 1.6.6), and it opens a table whose last log entry is empty
without a word, its rows missing (measured). So commits are synced here, and after an unclean stop each one
that was not known to be synced is synced, read back from the disk and compared with its digests; the first
that fails is cut, with everything after it. Nothing is deleted: cut entries move to `_system/damaged`.
Knows Delta's log as files; it does not know deltalake.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from . import commits

LOG = "_delta_log"
_LAST_CHECKPOINT = "_last_checkpoint"
_DAMAGE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.EINVAL)


class Damaged(Exception):
    """A commit that is not whole: its entry, or a data file that it names. Stays inside landing."""


def establish(root: Path) -> None:
    """Make `root` and what is missing above it, durably."""
    missing = [place for place in (root, *root.parents) if not place.exists()]
    root.mkdir(parents=True, exist_ok=True)
    for place in missing:
        _sync_path(place.parent)


def versions(table: Path) -> list[int]:
    """Every version that has a log entry, rising; none where there is no table."""
    try:
        names = os.listdir(table / LOG)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(v for v in map(commits.entry_version, names) if v is not None)


def sync(root: Path, table: Path, span: Iterable[int], synced_dirs: set[Path]) -> None:
    """Make the commits of `span` durable: data files, entries, then the directories that name them.

    `synced_dirs` remembers which directories are known to stand durably in their parents. Raises OSError, and
    Damaged for an entry that is not whole.
    """
    touched = {table / LOG}
    for version in span:
        entry = table / LOG / commits.entry_name(version)
        for name, _, _ in commits.data_files(_actions(entry)):
            file = table / unquote(name)
            _sync_path(file)
            touched.add(file.parent)
        _sync_path(entry)
    for directory in sorted(touched):
        _sync_path(directory)
        _sync_parents(root, directory, synced_dirs)


def cut_after_damage(root: Path, table: Path, synced_version: int) -> tuple[int, tuple[int, ...]]:
    """The last version that is whole from `synced_version` on, and the versions that were cut above it.

    What stays has been synced and read back. Raises OSError when the disk refuses to say.
    """
    present = versions(table)
    last = min(synced_version, present[-1]) if present else -1
    synced_dirs: set[Path] = set()
    for version in (v for v in present if v > last):
        if version != last + 1 or not _is_whole(root, table, version, synced_dirs):
            break
        last = version
    cut = tuple(v for v in present if v > last)
    if present:
        _move_aside(root, table, last, cut)
    return last, cut


def sync_checkpoint(table: Path) -> None:
    """Make the newest checkpoint durable, and then what points to it."""
    for _, name in _checkpoints(table)[-1:]:
        _sync_path(table / LOG / name)
    _sync_path(table / LOG / _LAST_CHECKPOINT)
    _sync_path(table / LOG)


def checkpointed(table: Path) -> int:
    """The version of the newest checkpoint, -1 where there is none."""
    found = _checkpoints(table)
    return found[-1][0] if found else -1


def _actions(entry: Path) -> list[commits.Action]:
    actions = commits.decode(entry.read_bytes())
    if actions is None:
        raise Damaged
    return actions


def _is_whole(root: Path, table: Path, version: int, synced_dirs: set[Path]) -> bool:
    """Synced first and read past the page cache, which after a failed write may hold what the disk does not."""
    try:
        sync(root, table, [version], synced_dirs)
        entry = table / LOG / commits.entry_name(version)
        _forget_cached(entry)
        for name, size, declared in commits.data_files(_actions(entry)):
            _check_file(table / unquote(name), size, declared)
    except Damaged:
        return False
    except OSError as error:
        if error.errno not in _DAMAGE:
            raise
        return False
    return True


def _check_file(file: Path, size: int, declared: str | None) -> None:
    _forget_cached(file)
    content = file.read_bytes()
    if len(content) != size or (declared is not None and commits.digest(content) != declared):
        raise Damaged
    if declared is None:
        try:
            pq.read_table(pa.BufferReader(content))
        except (pa.ArrowException, OSError) as error:
            raise Damaged from error


def _move_aside(root: Path, table: Path, last: int, cut: tuple[int, ...]) -> None:
    """From the top down, so that a crash in between leaves a log that the next recovery cuts further."""
    log = table / LOG
    checkpoints = _checkpoints(table)
    kept = {version for version, name in checkpoints if version <= last and _reads(log / name)}
    aside = [name for version, name in checkpoints if version not in kept]
    aside += [_LAST_CHECKPOINT] if aside or _points_wrong(log / _LAST_CHECKPOINT, kept) else []
    aside += [commits.entry_name(version) for version in reversed(cut)]
    existing = [name for name in aside if (log / name).exists()]
    if existing:
        target = _fresh_directory(root / "_system" / "damaged" / table.relative_to(root), last + 1)
        for name in existing:
            os.replace(log / name, target / name)
        _sync_path(target)
        _sync_parents(root, target, set())
    for name in os.listdir(log):
        if name.endswith(".tmp"):
            (log / name).unlink()
    _sync_path(log)


def keep(file: Path, content: bytes) -> None:
    """Write a file that never changes, durably and whole, unless it is there."""
    if file.exists():
        return
    establish(file.parent)
    draft = file.with_name(f".{file.name}.new")
    draft.write_bytes(content)
    _sync_path(draft)
    os.replace(draft, file)
    _sync_path(file.parent)


def _checkpoints(table: Path) -> list[tuple[int, str]]:
    try:
        names = os.listdir(table / LOG)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = ((commits.checkpoint_version(name), name) for name in names)
    return sorted((version, name) for version, name in found if version is not None)


def _reads(checkpoint: Path) -> bool:
    """A checkpoint only repeats the entries, so one in doubt is better away than half read."""
    try:
        held = pq.read_table(pa.BufferReader(checkpoint.read_bytes()), columns=["metaData", "protocol"])
    except (pa.ArrowException, OSError):
        return False
    return all(len(held[name]) - held[name].null_count == 1 for name in held.column_names)


def _points_wrong(pointer: Path, kept: set[int]) -> bool:
    """deltalake does not open a table whose pointer leads to no checkpoint."""
    try:
        return json.loads(pointer.read_bytes())["version"] not in kept
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):
        return True


def _fresh_directory(parent: Path, version: int) -> Path:
    for attempt in range(1_000_000):
        target = parent / f"{version}-{attempt}"
        with contextlib.suppress(FileExistsError):
            target.mkdir(parents=True)
            return target
    raise OSError("no free name for damaged commits")


def _sync_parents(root: Path, directory: Path, synced_dirs: set[Path]) -> None:
    while directory != root and directory not in synced_dirs:
        _sync_path(directory.parent)
        synced_dirs.add(directory)
        directory = directory.parent


def _sync_path(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _forget_cached(file: Path) -> None:
    if hasattr(os, "posix_fadvise"):
        handle = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
