"""The lake on a local disk, as Delta tables that Spark, Trino, Flink, DuckDB and deltalake read.

The only room that imports deltalake: it opens, reads and checkpoints tables, and translates schemas. Appends
write their Parquet files and log entry themselves (see `commits` for why), without hooks of any kind. A
column that readers could not tell from another is stored under another name (see `columns`); `schema` and
`read` speak of the exact names only. Knows nothing of envelopes, streams or the ledger.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake import Schema as DeltaSchema

from protocol.errors import Fault, Transient

from . import columns, commits, datafiles, recovery
from .lake import Recovery, Txn

_TABLES_HELD_MAX = 4_096  # what is held of a table is its schema and txns, a few kB
_COMMITS_PER_CHECKPOINT = 100


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
    """A `Lake` below `root`. Safe for use from several threads, each table from one at a time."""

    def __init__(
        self,
        root: Path,
        *,
        commits_per_checkpoint: int = _COMMITS_PER_CHECKPOINT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._root = root
        self._commits_per_checkpoint = commits_per_checkpoint
        self._clock = clock
        self._lock = threading.Lock()
        self._tables: OrderedDict[str, _Held] = OrderedDict()
        self._durable: dict[str, int] = {}  # of tables that this process synced or recovered
        self._unsure: set[str] = set()
        self._synced_dirs: set[Path] = set()
        with self._store("."):
            recovery.establish(root)

    def append(self, path: str, rows: pa.Table, txns: Sequence[Txn]) -> int:
        with self._store(path):
            held = self._held(path)
            fitted = columns.fit(path, rows, None if held is None else held.schema)
            written_ms = int(self._clock() * 1_000)
            following = _following(held, fitted.schema, written_ms)
            actions = [commits.txn(one.app, one.version) for one in txns]
            actions += _definition(held, following)
            actions += self._write_files(path, fitted, following.stored, written_ms)
            self._publish(path, following.version, commits.encode(actions, written_ms))
            following.txns |= {one.app: one.version for one in txns}
            self._hold(path, following)
            return following.version

    def make_durable(self, path: str, version: int) -> None:
        """As the seam says. After a sync that failed it refuses until `recover` has proven the table: the
        kernel reports a failed write once and then calls the page clean."""
        with self._store(path):
            if path in self._unsure:
                raise Transient("GC-6005", path=path, reason="an earlier sync failed")
            span = range(self._durable.get(path, -1) + 1, version + 1)
            if not span:
                return
            try:
                recovery.sync(self._root, self._directory(path), span, self._synced_dirs)
            except (OSError, recovery.Damaged):
                self._unsure.add(path)
                raise
            self._durable[path] = version

    def recover(self, path: str, synced_version: int) -> Recovery:
        with self._store(path):
            self._forget(path)
            version, cut = recovery.cut_after_damage(self._root, self._directory(path), synced_version)
            self._durable[path] = version
            self._unsure.discard(path)
            return Recovery(version, cut)

    def txn(self, path: str, app: str) -> int | None:
        with self._store(path):
            held = self._held(path)
            if held is None:
                return None
            if app not in held.txns:
                opened = held.opened or DeltaTable(self._directory(path), version=held.version)
                held.txns[app] = opened.transaction_version(app)
            return held.txns[app]

    def schema(self, path: str) -> pa.Schema | None:
        with self._store(path):
            held = self._held(path)
            return None if held is None else held.schema

    def tables(self) -> Mapping[str, int]:
        """As the seam says; lists directories and opens no table."""
        with self._store("."):
            return dict(self._walk())

    def read(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """As the seam says. Raises FileNotFoundError where there is no table."""
        with self._store(path):
            held = self._held(path)
            if held is not None:
                names = held.schema.names if columns is None else list(columns)
                opened = DeltaTable(self._directory(path), version=held.version)
                rows = opened.to_pyarrow_table(columns=[held.stored[name] for name in names])
                return rows.rename_columns(names)
        raise FileNotFoundError(path)

    def keep_schema(self, fingerprint: bytes, content: bytes) -> None:
        with self._store("_system"):
            recovery.keep(self._schema_file(fingerprint), content)

    def kept_schema(self, fingerprint: bytes) -> bytes | None:
        with self._store("_system"):
            file = self._schema_file(fingerprint)
            return file.read_bytes() if file.exists() else None

    def _schema_file(self, fingerprint: bytes) -> Path:
        return self._root / "_system" / "schemas" / f"{fingerprint.hex()}.json"

    def dataset(self, path: str) -> ds.Dataset | None:
        """The table's rows as they stand now, columns named as stored; None where there is no table."""
        directory = self._directory(path)
        with self._store(path):
            if not DeltaTable.is_deltatable(str(directory)):
                return None
            return DeltaTable(str(directory)).to_pyarrow_dataset()

    def maintain(self, path: str) -> bool:
        """Checkpoint the table when enough commits stand above its last checkpoint, and tell whether it was.

        Takes long on a large table: for a maintenance task, never between two appends that someone awaits.
        """
        with self._store(path):
            held = self._held(path)
            table = self._directory(path)
            if held is None or held.version - recovery.checkpointed(table) < self._commits_per_checkpoint:
                return False
            self.make_durable(path, held.version)
            DeltaTable(table, version=held.version).create_checkpoint()
            recovery.sync_checkpoint(table)
            return True

    @contextlib.contextmanager
    def _store(self, path: str) -> Iterator[None]:
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

    def _directory(self, path: str) -> Path:
        if not path or any(part in ("", ".", "..") for part in path.split("/")):
            raise ValueError("not a table's path")
        return self._root / PurePosixPath(path)

    def _held(self, path: str) -> _Held | None:
        with self._lock:
            if path in self._tables:
                self._tables.move_to_end(path)
                return self._tables[path]
        directory = self._directory(path)
        if not recovery.versions(directory):
            return None
        held = _look_up(DeltaTable(directory))
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
            folder = f"{columns.PARTITION}={date}"
            name = f"{folder}/part-{uuid.uuid4()}.zstd.parquet"
            (self._directory(path) / folder).mkdir(parents=True, exist_ok=True)
            (self._directory(path) / name).write_bytes(content)
            partition = (columns.PARTITION, date.isoformat())
            actions.append(commits.add(name, partition, content, written_ms, stats))
        return actions

    def _publish(self, path: str, version: int, entry: bytes) -> None:
        """Give the entry its name, unless another has it. An outcome that is unknown is looked up."""
        log = self._directory(path) / recovery.LOG
        log.mkdir(parents=True, exist_ok=True)
        draft = log / f"{uuid.uuid4()}.tmp"
        final = log / commits.entry_name(version)
        draft.write_bytes(entry)
        try:
            os.link(draft, final)
        except OSError:
            if not final.exists() or final.read_bytes() != entry:
                raise
        finally:
            with contextlib.suppress(OSError):  # `recover` clears drafts that stay behind
                draft.unlink()

    def _walk(self) -> Iterator[tuple[str, int]]:
        not_tables = {self._root / "files", self._root / "_system" / "damaged"}
        for place, folders, _ in os.walk(self._root):
            here = Path(place)
            if recovery.LOG in folders:
                found = recovery.versions(here)
                folders.clear()
                if found:
                    yield here.relative_to(self._root).as_posix(), found[-1]
            folders[:] = [name for name in folders if here / name not in not_tables]


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
