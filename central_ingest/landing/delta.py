"""The lake as Delta tables, in any store, that Spark, Trino, Flink, DuckDB and deltalake read.

The only room that imports deltalake: it opens, reads and checkpoints tables, and translates schemas. Appends
write their Parquet files and log entry themselves (see `commits` for why), without hooks of any kind. A
column that readers could not tell from another is stored under another name (see `columns`); `schema` and
`read` speak of the exact names only. Knows nothing of envelopes, streams or the ledger, nor where bytes lie.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake import Schema as DeltaSchema

from . import checkpoints, columns, commits, datafiles, evolution, recovery, tablefiles
from .held import Held, following, known_of, same, told_of
from .lake import Txn
from .rewriting import Rewriting


class DeltaLake(Rewriting):
    """A `Lake` in a store (a path: on the local disk there). Safe for use from several threads: one that appends to a
    table and one that rewrites it take turns for a commit, and do everything else side by side."""

    def append(self, path: str, rows: pa.Table, txns: Sequence[Txn]) -> int:
        with self._faults(path), self._turn(path):
            held = self._held(path)
            partition = (columns.PARTITION,) if held is None else held.partition
            fitted = columns.fit(path, rows, None if held is None else held.schema, partition)
            written_ms = int(self._clock() * 1_000)
            coming = following(held, fitted.schema, written_ms, partition, self._settings)
            actions = [commits.txn(one.app, one.version) for one in txns]
            actions += self._definition(held, coming)
            files = datafiles.encode(fitted, coming.stored, coming.partition)
            actions += tablefiles.write(self.store, path, files, written_ms)
            entry = commits.encode(actions, written_ms)
            self.store.create(recovery.log_entry(path, coming.version), entry)
            if self.store.lasting:
                self._durable[path] = coming.version
            coming.txns |= {one.app: one.version for one in txns}
            self._hold(path, coming)
            self._note_commit(path)
            return coming.version

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
        with self._faults("."), tablefiles.asking(self.store) as each:
            return dict(tablefiles.walk(self.store, each))

    def read(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """As the seam says. Raises FileNotFoundError where there is no table."""
        with self._faults(path):
            held = self._held(path)
            if held is not None:
                names = held.schema.names if columns is None else list(columns)
                opened = self._open(path, held.version)
                rows = opened.to_pyarrow_table(columns=[held.stored[name] for name in names])
                return rows.rename_columns(names).replace_schema_metadata(held.schema.metadata)
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
        """The table's rows as they stand now, columns named as stored, with what is known of the table as metadata;
        None where there is no table."""
        with self._faults(path):
            if (table := self._open_newest(path)) is None:
                return None
            rows = table.to_pyarrow_dataset()
            return rows.replace_schema(rows.schema.with_metadata(_known(table)))

    def dataset_stated(self, path: str) -> tuple[ds.Dataset, dict[str, str]] | None:
        """The rows as `dataset` gives them, and the table's properties at the same version."""
        with self._faults(path):
            if (opened := self._open_newest(path)) is None:
                return None
            return opened.to_pyarrow_dataset(), dict(opened.metadata().configuration)

    def checkpoint(self, path: str) -> int | None:
        """Make a checkpoint of the table as it stands, and return its version; None where it has one, or lost commits
        meanwhile. Every transaction is proven to be in it before anything relies on it (Permanent GC-6050).

        Takes long on a large table: for maintenance. Appends go on.
        """
        with self._faults(path):
            with self._turn(path):
                held, cuts = self._held(path), self._cuts.get(path, 0)
                if held is None or held.version in checkpoints.sealed(self.store, path):
                    return None
                self.make_durable(path, held.version)
            expected = recovery.state(self.store, path, held.version)
            with self._intent(path):
                self._open(path, held.version).create_checkpoint()
                digest = checkpoints.prove(self.store, path, expected)
                with self._turn(path):
                    if self._cuts.get(path, 0) != cuts:
                        checkpoints.drop(self.store, path, held.version)
                        return None
                    checkpoints.seal(self.store, path, held.version, digest)
            return held.version

    def _open_newest(self, path: str) -> DeltaTable | None:
        """At the newest version that can be seen; None where there is no table."""
        found = recovery.versions(self.store, tablefiles.folder(path))
        return self._open(path, found[-1]) if found else None

    def _open(self, path: str, version: int) -> DeltaTable:
        """A handle of deltalake's. It lists the log itself, and takes what comes meanwhile for a gap unless it stops
        at a version that was there before."""
        place = self.store.locate(tablefiles.folder(path))
        options = None if place.options is None else dict(place.options)
        return DeltaTable(place.address, version=version, storage_options=options)

    def _look_up(self, path: str, version: int) -> Held:
        table = self._open(path, version)
        facts = table.metadata()
        physical = pa.schema(table.schema().to_arrow())
        exact = [columns.exact_name(name) for name in physical.names]
        return Held(
            version=table.version(),
            partition=tuple(columns.exact_name(name) for name in facts.partition_columns),
            table_id=str(facts.id),
            created_ms=facts.created_time,
            schema=pa.schema(
                [one.with_name(name) for one, name in zip(physical, exact, strict=True)],
                metadata=_known(table),
            ),
            stored=dict(zip(exact, physical.names, strict=True)),
            settings={k: v for k, v in facts.configuration.items() if k not in evolution.TABLE_FACTS},
            zoneless="timestampNtz" in (table.protocol().reader_features or ()),
            opened=table,
        )

    def _definition(self, held: Held | None, coming: Held) -> list[commits.Action]:
        """The actions that define the table, where it is new or changes."""
        actions = []
        if held is None or held.zoneless != coming.zoneless:
            actions.append(commits.protocol(coming.zoneless))
        if held is None or not same(held.schema, coming.schema) or held.settings != coming.settings:
            named = [one.with_name(coming.stored[one.name]) for one in coming.schema]
            schema = DeltaSchema.from_arrow(pa.schema(named)).to_json()
            partition = [coming.stored[name] for name in coming.partition]
            comment, told = told_of(coming.schema)
            facts = (coming.table_id, coming.created_ms, schema, coming.settings | told, partition, comment)
            actions.append(commits.metadata(*facts))
        return actions


def _known(table: DeltaTable) -> dict[str, str] | None:
    facts = table.metadata()
    return known_of(facts.description, facts.configuration)


def _schema_name(fingerprint: bytes) -> str:
    return f"_system/schemas/{fingerprint.hex()}.json"
