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
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake import Schema as DeltaSchema

from protocol.errors import Fault, Transient

from . import columns, commits, datafiles, recovery
from .lake import Recovery, Txn
from .localstore import LocalStore
from .store import Store

_TABLES_HELD_MAX = 4_096  # what is held of a table is its schema and txns, a few kB
_COMMITS_PER_CHECKPOINT = 100
_NOT_TABLES = ("files", recovery.DAMAGED)


@dataclass(slots=True)
class _Held:
    """What appends need to know of a table; `opened` answers for txns until we commit ourselves."""

    version: int
    table_id: str
    created_ms: int
    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    stored: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    zoneless: bool = False
    txns: dict[str, int | None] = field(default_factory=dict)
    opened: DeltaTable | None = None


class DeltaLake:
    """A `Lake` in a store (a path: on the local disk there). Safe for use from several threads, each table from one
    at a time."""

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
        self._tables: OrderedDict[str, _Held] = OrderedDict()
        self._durable: dict[str, int] = {}  # of tables that this process synced or recovered
        self._unsure: set[str] = set()
        with self._faults("."):
            self.store.establish()

    def append(self, path: str, rows: pa.Table, txns: Sequence[Txn]) -> int:
        with self._faults(path):
            held = self._held(path)
            fitted = columns.fit(path, rows, None if held is None else held.schema)
            written_ms = int(self._clock() * 1_000)
            following = _following(held, fitted.schema, written_ms)
            actions = [commits.txn(one.app, one.version) for one in txns]
            actions += _definition(held, following)
            actions += self._write_files(path, fitted, following.stored, written_ms)
            entry = recovery.log_entry(self._folder(path), following.version)
            self.store.create(entry, commits.encode(actions, written_ms))
            following.txns |= {one.app: one.version for one in txns}
            self._hold(path, following)
            return following.version

    def make_durable(self, path: str, version: int) -> None:
        """As the seam says. After a sync that failed it refuses until `recover` has proven the table: the
        kernel reports a failed write once and then calls the page clean."""
        with self._faults(path):
            if path in self._unsure:
                raise Transient("GC-6005", path=path, reason="an earlier sync failed")
            span = range(self._durable.get(path, -1) + 1, version + 1)
            if not span:
                return
            try:
                recovery.sync(self.store, self._folder(path), span)
            except (OSError, recovery.Damaged):
                self._unsure.add(path)
                raise
            self._durable[path] = version

    def recover(self, path: str, synced_version: int) -> Recovery:
        with self._faults(path):
            self._forget(path)
            version, cut = recovery.cut_after_damage(self.store, self._folder(path), synced_version)
            self._durable[path] = version
            self._unsure.discard(path)
            return Recovery(version, cut)

    def txn(self, path: str, app: str) -> int | None:
        with self._faults(path):
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

    def tables(self) -> Mapping[str, int]:
        """As the seam says; lists directories and opens no table."""
        with self._faults("."):
            return dict(self._walk())

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
            if not recovery.versions(self.store, self._folder(path)):
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
            checkpointed = recovery.checkpointed(self.store, self._folder(path))
            if held.version - checkpointed < self._commits_per_checkpoint:
                return False
            self.make_durable(path, held.version)
            self._open(path, held.version).create_checkpoint()
            recovery.sync_checkpoint(self.store, self._folder(path))
            return True

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

    def _folder(self, path: str) -> str:
        if not path or any(part in ("", ".", "..") for part in path.split("/")):
            raise ValueError("not a table's path")
        return path

    def _open(self, path: str, version: int | None = None) -> DeltaTable:
        """A handle of deltalake's, at the newest version unless one is named."""
        place = self.store.locate(self._folder(path))
        options = None if place.options is None else dict(place.options)
        return DeltaTable(place.address, version=version, storage_options=options)

    def _held(self, path: str) -> _Held | None:
        with self._lock:
            if path in self._tables:
                self._tables.move_to_end(path)
                return self._tables[path]
        if not recovery.versions(self.store, self._folder(path)):
            return None
        held = _look_up(self._open(path))
        self._hold(path, held)
        return held

    def _hold(self, path: str, held: _Held) -> None:
        with self._lock:
            self._tables[path] = held
            self._tables.move_to_end(path)
            while len(self._tables) > _TABLES_HELD_MAX:
                self._tables.popitem(last=False)

    def _forget(self, path: str) -> None:
        with self._lock:
            self._tables.pop(path, None)

    def _write_files(
        self, path: str, rows: pa.Table, stored: Mapping[str, str], written_ms: int
    ) -> list[commits.Action]:
        """One Parquet file for each date in `rows`, and the actions that add them."""
        actions = []
        for date, content, stats in datafiles.encode(rows, stored):
            name = f"{columns.PARTITION}={date}/part-{uuid.uuid4()}.zstd.parquet"
            self.store.put(f"{self._folder(path)}/{name}", content)
            partition = (columns.PARTITION, date.isoformat())
            actions.append(commits.add(name, partition, content, written_ms, stats))
        return actions

    def _walk(self, folder: str = "") -> Iterator[tuple[str, int]]:
        below = [item.name for item in self.store.list(folder) if item.name.endswith("/")]
        if f"{recovery.LOG}/" in below:
            if found := recovery.versions(self.store, folder):
                yield folder, found[-1]
            return
        for name in below:
            path = f"{folder}/{name[:-1]}".lstrip("/")
            if path not in _NOT_TABLES:
                yield from self._walk(path)


def _schema_name(fingerprint: bytes) -> str:
    return f"_system/schemas/{fingerprint.hex()}.json"


def _look_up(table: DeltaTable) -> _Held:
    facts = table.metadata()
    physical = pa.schema(table.schema().to_arrow())
    exact = [columns.exact_name(name) for name in physical.names]
    return _Held(
        version=table.version(),
        table_id=str(facts.id),
        created_ms=facts.created_time,
        schema=pa.schema([one.with_name(name) for one, name in zip(physical, exact, strict=True)]),
        stored=dict(zip(exact, physical.names, strict=True)),
        settings=dict(facts.configuration),
        zoneless="timestampNtz" in (table.protocol().reader_features or ()),
        opened=table,
    )


def _following(held: _Held | None, rows: pa.Schema, now_ms: int) -> _Held:
    """What the table will be with the next commit; equal in schema to `held` where no column is new."""
    if held is None:
        stats = ",".join(name for name in datafiles.STATS if name in rows.names)
        settings = {"delta.dataSkippingStatsColumns": stats} if stats else {}
        held = _Held(-1, str(uuid.uuid4()), now_ms, settings=settings)
    schema = columns.united(held.schema, rows)
    return _Held(
        version=held.version + 1,
        table_id=held.table_id,
        created_ms=held.created_ms,
        schema=schema,
        stored=columns.stored_names(schema.names, held.stored),
        settings=held.settings,
        zoneless=held.zoneless or any(_has_zoneless(one.type) for one in schema),
        txns=dict(held.txns),
    )


def _definition(held: _Held | None, following: _Held) -> list[commits.Action]:
    """The actions that define the table, where it is new or changes."""
    actions = []
    if held is None or held.zoneless != following.zoneless:
        actions.append(commits.protocol(following.zoneless))
    if held is None or len(held.schema) != len(following.schema):
        named = [one.with_name(following.stored[one.name]) for one in following.schema]
        schema = DeltaSchema.from_arrow(pa.schema(named)).to_json()
        facts = (following.table_id, following.created_ms, schema, following.settings, columns.PARTITION)
        actions.append(commits.metadata(*facts))
    return actions


def _has_zoneless(kind: pa.DataType) -> bool:
    if pa.types.is_timestamp(kind):
        return kind.tz is None
    return any(_has_zoneless(kind.field(i).type) for i in range(kind.num_fields))
