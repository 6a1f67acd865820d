"""The lake as Delta tables, in any store, that Spark, Trino, Flink, DuckDB and deltalake read.

The only room that imports deltalake: it opens, reads and checkpoints tables, and translates schemas. Appends
write their Parquet files and log entry themselves (see `commits` for why), without hooks of any kind. A
column that readers could not tell from another is stored under another name (see `columns`); `schema` and
`read` speak of the exact names only. Knows nothing of envelopes, streams or the ledger, nor where bytes lie.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake import Schema as DeltaSchema

from protocol.errors import Fault, Transient

from . import columns, commits, datafiles, recovery, tablefiles
from .held import Held, following
from .lake import Recovery, Txn
from .localstore import LocalStore
from .store import Store
from .tablestate import LiveFile

_TABLES_HELD_MAX = 4_096  # what is held of a table is its schema and txns, a few kB
_COMMITS_PER_CHECKPOINT = 100
_LOCKS = 256  # tables that share one wait for each other now and then; 40,000 locks would be kept for nothing


@dataclass(frozen=True, slots=True)
class _Basis:
    """What a rewrite starts from: what appends hold of the table, the version it read, how often it was cut."""

    held: Held | None
    version: int
    cuts: int


class DeltaLake:
    """A `Lake` in a store (a path: on the local disk there). Safe for use from several threads: one that appends to a
    table and one that rewrites it take turns for a commit, and do everything else side by side."""

    def __init__(
        self,
        store: Store | Path,
        *,
        commits_per_checkpoint: int = _COMMITS_PER_CHECKPOINT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = LocalStore(store) if isinstance(store, Path) else store
        self._commits_per_checkpoint = commits_per_checkpoint
        self._clock = clock
        self._lock = threading.Lock()
        self._turns = [threading.RLock() for _ in range(_LOCKS)]
        self._tables: OrderedDict[str, Held] = OrderedDict()
        self._durable: dict[str, int] = {}  # of tables that this process synced or recovered
        self._cuts: dict[str, int] = {}  # how often commits were cut: versions then stand for others
        self._unsure: set[str] = set()
        with self._faults("."):
            self.store.establish()

    def append(self, path: str, rows: pa.Table, txns: Sequence[Txn]) -> int:
        with self._faults(path), self._turn(path):
            held = self._held(path)
            partition = (columns.PARTITION,) if held is None else held.partition
            fitted = columns.fit(path, rows, None if held is None else held.schema, partition)
            written_ms = int(self._clock() * 1_000)
            coming = following(held, fitted.schema, written_ms, partition)
            actions = [commits.txn(one.app, one.version) for one in txns]
            actions += _definition(held, coming)
            actions += tablefiles.write(self.store, path, fitted, coming, written_ms)
            entry = commits.encode(actions, written_ms)
            self.store.create(recovery.log_entry(path, coming.version), entry)
            if self.store.lasting:
                self._durable[path] = coming.version
            coming.txns |= {one.app: one.version for one in txns}
            self._hold(path, coming)
            return coming.version

    def make_durable(self, path: str, version: int) -> None:
        """As the seam says. After a sync that failed it refuses until `recover` has proven the table: the
        kernel reports a failed write once and then calls the page clean."""
        with self._faults(path), self._turn(path):
            self._refuse_unsure(path)
            if path not in self._durable:
                self._durable[path] = recovery.checkpointed(self.store, tablefiles.folder(path))
            span = range(self._durable[path] + 1, version + 1)
            if not span:
                return
            try:
                recovery.sync(self.store, tablefiles.folder(path), span)
            except (OSError, recovery.Damaged):
                self._unsure.add(path)
                raise
            self._durable[path] = version

    def _refuse_unsure(self, path: str) -> None:
        if path in self._unsure:
            raise Transient("GC-6005", path=path, reason="an earlier sync failed")

    def recover(self, path: str, synced_version: int) -> Recovery:
        with self._faults(path), self._turn(path):
            self._forget(path)
            version, cut = recovery.cut_after_damage(self.store, tablefiles.folder(path), synced_version)
            self._durable[path] = version
            self._unsure.discard(path)
            if cut:
                self._cuts[path] = self._cuts.get(path, 0) + 1
            return Recovery(version, cut)

    def rewrite(
        self,
        path: str,
        removed: Sequence[LiveFile],
        parts: Iterable[pa.Table],
        *,
        changes_rows: bool,
        partition: Sequence[str] = (columns.PARTITION,),
        txns: Sequence[Txn] = (),
        settings: Mapping[str, str] | None = None,
    ) -> int | None:
        """One durable commit that removes data files and adds `parts`, each written before the next is asked for:
        a file for each partition that it meets. Returns its version.

        None, and nothing has changed, where one of `removed` is not live any more. Creates the table, partitioned by
        `partition`, where there is none (a part without rows gives it columns). Parts may bring new columns to a
        table to which nobody appends. Unless it `changes_rows`, those who follow the table pass the commit by.
        `settings` become properties of the table.
        """
        with self._faults(path), contextlib.ExitStack() as undo:
            basis = self._basis(path, removed)
            if basis is None:
                return None
            adds: list[commits.Action] = []
            undo.callback(lambda: tablefiles.discard(self.store, path, (one["add"]["path"] for one in adds)))
            written_ms, coming = int(self._clock() * 1_000), basis.held
            for part in parts:
                shape = tuple(partition) if coming is None else coming.partition
                fitted = columns.fit(path, part, coming and coming.schema, shape)
                coming = following(coming, fitted.schema, written_ms, shape)
                for one in tablefiles.write(self.store, path, fitted, coming, written_ms, changes_rows):
                    adds.append(one)
                    self.store.sync([tablefiles.file_name(path, one["add"]["path"])])
            with self._turn(path):
                self._refuse_unsure(path)
                held = self._held(path)
                if coming is None or not self._still_stands(path, basis, held, coming, removed):
                    return None
                final = following(held, coming.schema, written_ms, coming.partition)
                final.settings = final.settings | dict(settings or {})
                actions = [commits.txn(one.app, one.version) for one in txns] + _definition(held, final)
                actions += [
                    commits.remove(f.path, f.partition, f.size, written_ms, changes_rows) for f in removed
                ]
                entry = commits.encode(actions + adds, written_ms, "MERGE" if changes_rows else "OPTIMIZE")
                undo.pop_all()
                self.store.create(recovery.log_entry(path, final.version), entry)
                final.txns |= {one.app: one.version for one in txns}
                self._hold(path, final)
                self.make_durable(path, final.version)
                return final.version

    def files(self, path: str) -> list[LiveFile]:
        """The data files whose rows the table holds now; none where there is no table. Reads the whole log since the
        last checkpoint, so it is for maintenance, never between two appends."""
        with self._faults(path):
            return list(recovery.state(self.store, tablefiles.folder(path)).live.values())

    def read_file(
        self, path: str, file: LiveFile, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """The rows of one data file, a piece at a time, with these columns of the table (None: all) under their exact
        names. In memory stand the file as it lies and one piece."""
        with self._faults(path):
            held = self._held(path)
            if held is not None:
                content = self.store.get(tablefiles.file_name(path, file.path))
                schema = held.schema
                if columns is not None:
                    schema = pa.schema([schema.field(name) for name in columns])
                return datafiles.decode(content, schema, held.stored, file.partition)
        raise FileNotFoundError(path)

    def txn(self, path: str, app: str) -> int | None:
        with self._faults(path), self._turn(path):
            held = self._held(path)
            if held is None:
                return None
            if app not in held.txns:
                opened = held.opened or self._open(path, held.version)
                held.txns[app] = opened.transaction_version(app)
            return held.txns[app]

    def schema(self, path: str) -> pa.Schema | None:
        with self._faults(path):
            held = self._held(path)
            return None if held is None else held.schema

    def version(self, path: str) -> int:
        """The commit the table stands at, -1 where there is none."""
        with self._faults(path):
            held = self._held(path)
            return -1 if held is None else held.version

    def settings(self, path: str) -> dict[str, str]:
        """The table's properties; none where there is no table."""
        with self._faults(path):
            held = self._held(path)
            return {} if held is None else dict(held.settings)

    def tables(self) -> Mapping[str, int]:
        """As the seam says; lists directories and opens no table."""
        with self._faults("."):
            return dict(tablefiles.walk(self.store))

    def read(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """As the seam says. Raises FileNotFoundError where there is no table."""
        with self._faults(path):
            held = self._held(path)
            if held is not None:
                names = held.schema.names if columns is None else list(columns)
                opened = self._open(path, held.version)
                rows = opened.to_pyarrow_table(columns=[held.stored[name] for name in names])
                return rows.rename_columns(names)
        raise FileNotFoundError(path)

    def keep_schema(self, fingerprint: bytes, content: bytes) -> None:
        with self._faults("_system"):
            if self.store.size(_schema_name(fingerprint)) is None:
                self.store.keep(_schema_name(fingerprint), content)

    def kept_schema(self, fingerprint: bytes) -> bytes | None:
        with self._faults("_system"):
            with contextlib.suppress(FileNotFoundError):
                return self.store.get(_schema_name(fingerprint))
            return None

    def dataset(self, path: str) -> ds.Dataset | None:
        """The table's rows as they stand now, columns named as stored; None where there is no table."""
        with self._faults(path):
            if not recovery.versions(self.store, tablefiles.folder(path)):
                return None
            return self._open(path).to_pyarrow_dataset()

    def maintain(self, path: str) -> bool:
        """Checkpoint the table when enough commits stand above its last checkpoint, and tell whether it was.

        Takes long on a large table: for a maintenance task, never between two appends that someone awaits.
        """
        with self._faults(path):
            held = self._held(path)
            if held is None:
                return False
            checkpointed = recovery.checkpointed(self.store, tablefiles.folder(path))
            if held.version - checkpointed < self._commits_per_checkpoint:
                return False
            self.make_durable(path, held.version)
            self._open(path, held.version).create_checkpoint()
            recovery.sync_checkpoint(self.store, tablefiles.folder(path))
            return True

    def _turn(self, path: str) -> threading.RLock:
        """Whose turn it is with a table: entered for as long as a commit takes, never while files are read."""
        return self._turns[hash(path) % _LOCKS]

    @contextlib.contextmanager
    def _faults(self, path: str) -> Iterator[None]:
        """Whatever fails below becomes a Transient, and what we held of the table is looked up anew."""
        try:
            yield
        except BaseException as error:
            misuse = isinstance(error, ValueError | KeyError) and not isinstance(error, pa.ArrowException)
            if misuse or isinstance(error, Fault):
                raise
            self._forget(path)
            # A panic inside deltalake is no Exception, and its class cannot be imported.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise Transient("GC-6005", path=path, reason=type(error).__name__) from error

    def _open(self, path: str, version: int | None = None) -> DeltaTable:
        """A handle of deltalake's, at the newest version unless one is named."""
        place = self.store.locate(tablefiles.folder(path))
        options = None if place.options is None else dict(place.options)
        return DeltaTable(place.address, version=version, storage_options=options)

    def _held(self, path: str) -> Held | None:
        with self._turn(path):
            with self._lock:
                if path in self._tables:
                    self._tables.move_to_end(path)
                    return self._tables[path]
            if not recovery.versions(self.store, tablefiles.folder(path)):
                return None
            held = _look_up(self._open(path))
            self._hold(path, held)
            return held

    def _hold(self, path: str, held: Held) -> None:
        with self._lock:
            self._tables[path] = held
            self._tables.move_to_end(path)
            while len(self._tables) > _TABLES_HELD_MAX:
                self._tables.popitem(last=False)

    def _forget(self, path: str) -> None:
        with self._lock:
            self._tables.pop(path, None)

    def _basis(self, path: str, removed: Iterable[LiveFile]) -> _Basis | None:
        """What a rewrite starts from; None where it would remove what is not live."""
        with self._turn(path):
            held, cuts = self._held(path), self._cuts.get(path, 0)
        state = recovery.state(self.store, tablefiles.folder(path))
        if not state.live.keys() >= {one.path for one in removed}:
            return None
        return _Basis(held, state.version, cuts)

    def _still_stands(
        self, path: str, basis: _Basis, held: Held | None, coming: Held, removed: Iterable[LiveFile]
    ) -> bool:
        """Whether what a rewrite started from is there yet: nothing was cut, nobody removed the same files, and no
        column came from two sides."""
        if self._cuts.get(path, 0) != basis.cuts or (held is None) != (basis.held is None):
            return False
        if held is None or basis.held is None:
            return True
        brings = len(coming.schema) > len(basis.held.schema)
        if brings and len(held.schema) > len(basis.held.schema):
            return False
        since = range(basis.version + 1, held.version + 1)
        gone = recovery.removed(self.store, tablefiles.folder(path), since)
        return gone.isdisjoint(one.path for one in removed)


def _schema_name(fingerprint: bytes) -> str:
    return f"_system/schemas/{fingerprint.hex()}.json"


def _look_up(table: DeltaTable) -> Held:
    facts = table.metadata()
    physical = pa.schema(table.schema().to_arrow())
    exact = [columns.exact_name(name) for name in physical.names]
    return Held(
        version=table.version(),
        partition=tuple(columns.exact_name(name) for name in facts.partition_columns),
        table_id=str(facts.id),
        created_ms=facts.created_time,
        schema=pa.schema([one.with_name(name) for one, name in zip(physical, exact, strict=True)]),
        stored=dict(zip(exact, physical.names, strict=True)),
        settings=dict(facts.configuration),
        zoneless="timestampNtz" in (table.protocol().reader_features or ()),
        opened=table,
    )


def _definition(held: Held | None, coming: Held) -> list[commits.Action]:
    """The actions that define the table, where it is new or changes."""
    actions = []
    if held is None or held.zoneless != coming.zoneless:
        actions.append(commits.protocol(coming.zoneless))
    if held is None or len(held.schema) != len(coming.schema) or held.settings != coming.settings:
        named = [one.with_name(coming.stored[one.name]) for one in coming.schema]
        schema = DeltaSchema.from_arrow(pa.schema(named)).to_json()
        partition = [coming.stored[name] for name in coming.partition]
        facts = (coming.table_id, coming.created_ms, schema, coming.settings, partition)
        actions.append(commits.metadata(*facts))
    return actions
