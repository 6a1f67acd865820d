"""The lake in memory, for simulations and tests: the same promises as `delta`, and power cuts on demand.

A commit that was not made durable can be lost by `cut_power`, alone or with others; until `recover` the table
then reads as Delta reads it: without the rows and transactions of that commit, and without a word about it.
It refuses to know disks, Delta and column names that only files cannot hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from protocol.errors import Transient

from . import columns as fitting
from . import evolution
from .lake import Recovery, Txn


@dataclass(slots=True)
class _Commit:
    rows: pa.Table
    txns: dict[str, int]
    durable: bool = False
    lost: bool = False


class MemoryLake:
    """A `Lake`; version n of a table is its commit n."""

    def __init__(self) -> None:
        self.commits: dict[str, list[_Commit]] = {}
        self._schemas: dict[bytes, bytes] = {}

    def append(self, path: str, rows: pa.Table, txns: Sequence[Txn]) -> int:
        fitted = fitting.fit(path, rows, self.schema(path))
        commits = self.commits.setdefault(path, [])
        commits.append(_Commit(fitted, {one.app: one.version for one in txns}))
        return len(commits) - 1

    def make_durable(self, path: str, version: int) -> None:
        commits = self.commits.get(path, [])
        if version >= len(commits) or any(commit.lost for commit in commits[: version + 1]):
            raise Transient("GC-6005", path=path, reason="no such commit")
        for commit in commits[: version + 1]:
            commit.durable = True

    def recover(self, path: str, synced_version: int) -> Recovery:
        commits = self.commits.get(path, [])
        sound = min(synced_version + 1, len(commits))
        while sound < len(commits) and not commits[sound].lost:
            sound += 1
        cut = tuple(range(sound, len(commits)))
        del commits[sound:]
        for commit in commits:
            commit.durable = True
        if not commits:
            self.commits.pop(path, None)
        return Recovery(len(commits) - 1, cut)

    def recover_all(self, synced: Mapping[str, int]) -> Mapping[str, Recovery]:
        return {path: self.recover(path, version) for path, version in synced.items()}

    def txn(self, path: str, app: str) -> int | None:
        for commit in reversed(self._present(path)):
            if app in commit.txns:
                return commit.txns[app]
        return None

    def schema(self, path: str) -> pa.Schema | None:
        held: pa.Schema | None = None
        for commit in self._present(path):
            held = evolution.united(held, commit.rows.schema)
        return held

    def tables(self) -> Mapping[str, int]:
        return {path: len(commits) - 1 for path, commits in self.commits.items()}

    def keep_schema(self, fingerprint: bytes, content: bytes) -> None:
        self._schemas[fingerprint] = content

    def kept_schema(self, fingerprint: bytes) -> bytes | None:
        return self._schemas.get(fingerprint)

    def read(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """As the seam says. Raises FileNotFoundError where there is no table."""
        schema = self.schema(path)
        if schema is None:
            raise FileNotFoundError(path)
        names = schema.names if columns is None else list(columns)
        if unknown := set(names) - set(schema.names):
            raise KeyError(unknown.pop())
        parts = [schema.empty_table(), *(commit.rows for commit in self._present(path))]
        rows = pa.concat_tables(parts, promote_options="default").select(names)
        return rows.cast(pa.schema(map(schema.field, names), metadata=schema.metadata))

    def cut_power(self, survives: Callable[[str, int], bool] = lambda path, version: False) -> None:
        """Lose every commit that is not durable, but those for whose path and version `survives` is true."""
        for path, commits in self.commits.items():
            for version, commit in enumerate(commits):
                commit.lost = commit.lost or not (commit.durable or survives(path, version))

    def _present(self, path: str) -> list[_Commit]:
        return [commit for commit in self.commits.get(path, []) if not commit.lost]
