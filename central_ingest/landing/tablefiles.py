"""Names and files of the lake's tables in a store: where a table lies, how its data files are written and taken away.

A data file gets its content before any entry of the log names it. Partition folders are spelled as Hive and
delta-rs spell them. Knows nothing of versions, and leaves it to the caller to make anything durable.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from . import commits, datafiles, recovery
from .store import Store

_NOT_TABLES = ("files", recovery.DAMAGED)
_AT_ONCE = 16


def folder(path: str) -> str:
    """The path itself, where it is one that a table may have."""
    if not path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError("not a table's path")
    return path


def file_name(path: str, name: str) -> str:
    """The name in the store of a data file, from the name that the table's log gives it."""
    return f"{folder(path)}/{unquote(name)}"


def spelt(path: str, file: str) -> str:
    """The other way round: how a log of ours spells a file in the store."""
    return quote(file.removeprefix(f"{path}/"), safe="/=")


def data_files(store: Store, below: str, until: float) -> Iterator[str]:
    """Names in the store of a table's data files that were written before `until`, whether a log knows them or not."""
    for item in store.list(below):
        name = f"{below}/{item.name}"
        if item.name.endswith("/") and item.name != f"{recovery.LOG}/":
            yield from data_files(store, name[:-1], until)
        elif item.name.endswith(".parquet") and item.written < until:
            yield name


def write(
    store: Store, path: str, files: Iterable[datafiles.DataFile], written_ms: int, changes_rows: bool = True
) -> Iterator[commits.Action]:
    """Write Parquet files, each as it is encoded; yields the action that adds it when it is written."""
    for file in files:
        name = quote(f"{file.folder}part-{uuid.uuid4()}.zstd.parquet", safe="/=")
        try:
            store.put(file_name(path, name), file.content)
        except OSError:
            discard(store, path, [name])
            raise
        yield commits.add(name, file.partition, file.content, written_ms, file.stats, changes_rows)


def discard(store: Store, path: str, names: Iterable[str]) -> None:
    """What no entry names gives its room back; what cannot be deleted now is left to vacuum."""
    for name in names:
        with contextlib.suppress(OSError):
            store.delete(file_name(path, name))


@contextlib.contextmanager
def asking(store: Store) -> Iterator[Callable[..., Iterable[Any]]]:
    """`map`, and for a store over a network one that asks for several at a time: of 40,000 tables, one after the other,
    a start would take minutes."""
    if not store.lasting:
        yield map
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield pool.map


def walk(store: Store, each: Callable[..., Iterable[Any]] = map) -> Iterator[tuple[str, int]]:
    """Path and last version of every table, by listing folders alone."""
    level = [""]
    while level:
        tables, deeper = [], []
        for below, items in zip(level, each(store.list, level), strict=True):
            folders = [item.name for item in items if item.name.endswith("/")]
            if f"{recovery.LOG}/" in folders:
                tables.append(below)
                continue
            paths = (f"{below}/{name[:-1]}".lstrip("/") for name in folders)
            deeper += [path for path in paths if path not in _NOT_TABLES]
        for table, found in zip(tables, each(partial(recovery.versions, store), tables), strict=True):
            if found:
                yield table, found[-1]
        level = deeper
