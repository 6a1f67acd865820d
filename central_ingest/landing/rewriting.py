"""Rewriting: commits that remove data files and add others, and the letting go of what no commit holds any more.

Heavy work (reading, writing and syncing files) happens beside the appends of the same table; only the entry is
published in the table's turn, and not at all where what the rewrite started from no longer stands. Only one thread
rewrites. What is worth rewriting this room does not know.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from . import checkpoints, columns, commits, datafiles, recovery, tablefiles
from .held import Held, following
from .holding import Holding
from .lake import Txn
from .tablestate import LiveFile, TableState

_REWRITING = "_system/rewriting"


class Rewriting(Holding):
    def rewrite(
        self,
        path: str,
        removed: Sequence[LiveFile],
        parts: Iterable[pa.Table | pa.RecordBatchReader],
        *,
        changes_rows: bool,
        partition: Sequence[str] = (columns.PARTITION,),
        txns: Sequence[Txn] = (),
        settings: Mapping[str, str] | None = None,
        redefines: bool = False,
    ) -> int | None:
        """One durable commit that removes data files and adds `parts`, each written before the next is asked for.
        Returns its version. A table becomes a file in each partition that it meets; a reader becomes one file, written
        while it is read, and all its rows belong to one partition.

        None, and nothing has changed, where one of `removed` is not live any more. Creates the table, partitioned by
        `partition`, where there is none (a part without rows gives it columns). Parts may bring new columns to a
        table to which nobody appends. Unless it `changes_rows`, those who follow the table pass the commit by.
        `settings` become properties. Where it `redefines`, which removes all files, columns are those of `parts` alone.
        """
        with self._faults(path), contextlib.ExitStack() as undo:
            with self._turn(path):
                held = self._held(path)
            known = self.state(path)
            if not known.live.keys() >= {one.path for one in removed}:
                return None
            written_ms, coming = int(self._clock() * 1_000), held and held.or_bare(redefines)
            adds: list[commits.Action] = []
            undo.callback(lambda: tablefiles.discard(self.store, path, (one["add"]["path"] for one in adds)))
            for part in parts:
                shape = tuple(partition) if coming is None else coming.partition
                given = part if isinstance(part, pa.Table) else part.schema.empty_table()
                fitted = columns.fit(path, given, coming and coming.schema, shape)
                coming = following(coming, fitted.schema, written_ms, shape, self._settings, sent=False)
                files = datafiles.encode(fitted, coming.stored, shape)
                if part is not given:
                    files = datafiles.encode_stream(self._fitted(path, part, coming), coming.stored, shape)
                for one in tablefiles.write(self.store, path, files, written_ms, changes_rows):
                    adds.append(one)
                    self.store.sync([tablefiles.file_name(path, one["add"]["path"])])
            removes = [commits.remove(f.path, f.partition, f.size, written_ms, changes_rows) for f in removed]
            with self._intent(path), self._turn(path):
                if coming is None or not self._still_stands(path, known, held, coming, removed):
                    return None
                now = self._held(path)
                lasting = {**self._settings, **(settings or {})}
                facts = (coming.schema, written_ms, coming.partition, lasting)
                final = following(now and now.or_bare(redefines), *facts, sent=False)
                actions = [commits.txn(one.app, one.version) for one in txns] + self._definition(now, final)
                operation = "MERGE" if changes_rows else "OPTIMIZE"
                entry = commits.encode([*actions, *removes, *adds], written_ms, operation)
                undo.pop_all()
                self.store.create(recovery.log_entry(path, final.version), entry)
                final.txns |= {one.app: one.version for one in txns}
                self._hold(path, final)
                self._note_commit(path)
                self.make_durable(path, final.version)
                return final.version

    def files(self, path: str) -> list[LiveFile]:
        """The data files whose rows the table holds now; none where there is no table. Reads the whole log since the
        last checkpoint, so it is for maintenance, never between two appends."""
        with self._faults(path):
            return list(self.state(path).live.values())

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

    def state(self, path: str) -> TableState:
        """What the table's log says now, removed files and transactions included."""
        with self._faults(path):
            cuts = self._cuts.get(path, 0)
            found = recovery.state(self.store, tablefiles.folder(path))
            found.cuts = cuts
            return found

    def resume(self) -> None:
        """At the start of whoever writes: prove the tables in which a rewrite or a checkpoint was under way, so that no
        reader meets what a power cut left of it."""
        with self._faults("_system"):
            for item in self.store.list(_REWRITING):
                content = self.store.get(f"{_REWRITING}/{item.name}")
                if commits.digest(content) == item.name:  # else it is torn, and its rewrite had not begun
                    self.recover(content.decode(), -1)
                self.store.delete(f"{_REWRITING}/{item.name}")

    def sealed(self, path: str) -> int:
        """The version of the newest sealed checkpoint, -1 where there is none."""
        with self._faults(path):
            return max(checkpoints.sealed(self.store, tablefiles.folder(path)), default=-1)

    def strays(self, path: str, known: TableState, until: float) -> list[str]:
        """Data files, as the log spells them, of which the table's state knows nothing and that were written before
        `until` (seconds since 1970)."""
        with self._faults(path):
            named = {tablefiles.file_name(path, name) for name in (*known.live, *known.removed)}
            found = tablefiles.data_files(self.store, path, until)
            return [tablefiles.spelt(path, file) for file in found if file not in named]

    def clean_log(self, path: str, until: float) -> int:
        """Delete entries that two sealed checkpoints do without and that were written before `until` (seconds since
        1970); returns how many files went."""
        with self._faults(path):
            names = checkpoints.superfluous(self.store, tablefiles.folder(path), until)
            for name in names:
                self.store.delete(name)
            return len(names)

    def discard(self, path: str, names: Iterable[str], known: TableState) -> int:
        """Delete data files (as the log spells them) that the table does not hold, given its state as it was `known`;
        returns how many went. While this looks and deletes no append is under way, so that a file which one has just
        written is either named in the log or not yet there."""
        with self._faults(path), self._turn(path):
            held = self._held(path)
            if held is None or self._cuts.get(path, 0) != known.cuts:
                return 0
            added = recovery.added(self.store, path, range(known.version + 1, held.version + 1))
            kept = {tablefiles.file_name(path, name) for name in (*known.live, *added)}
            gone = [file for name in names if (file := tablefiles.file_name(path, name)) not in kept]
            for file in gone:
                self.store.delete(file)
            return len(gone)

    def _fitted(self, path: str, reader: pa.RecordBatchReader, held: Held) -> Iterator[pa.Table]:
        for batch in reader:
            yield columns.fit(path, pa.Table.from_batches([batch]), held.schema, held.partition)

    def _still_stands(
        self, path: str, known: TableState, before: Held | None, coming: Held, removed: Iterable[LiveFile]
    ) -> bool:
        """Whether what a rewrite started from is there yet: nothing was cut, nobody removed the same files, and no
        column came from two sides."""
        self._refuse_unsure(path)
        now = self._held(path)
        if self._cuts.get(path, 0) != known.cuts or (now is None) != (before is None):
            return False
        if now is None or before is None:
            return True
        if len(now.schema) > len(before.schema) and len(coming.schema) > len(before.schema):
            return False
        gone = recovery.removed(self.store, path, range(known.version + 1, now.version + 1))
        return gone.isdisjoint(one.path for one in removed)

    @contextlib.contextmanager
    def _intent(self, path: str) -> Iterator[None]:
        """A name in the store, durable before an entry or a checkpoint that is not can be seen."""
        name = f"{_REWRITING}/{commits.digest(path.encode())}"
        self.store.keep(name, path.encode())
        yield
        self.store.delete(name)
