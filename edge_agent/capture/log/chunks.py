"""Snapshots of tables that have a log: chunk by chunk, each merged into the stream where its fence stands.

While a chunk waits for its fence no other is read. What a chunk is made of lives in memory only: whoever is
interrupted reads it again, from the cursor that the spool has. A table whose definition or file changed begins anew.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from protocol import canonical
from protocol.change import Op
from protocol.errors import Rejected
from protocol.names import TableName
from protocol.schema import TableSchema

from ...batching import GroupBuilder
from ...changes import Changes
from ...orders import Orders
from ...sources.log import Chunk, LogSource, is_still
from ...sources.source import PageLimits
from .. import snapshot
from ..diff import encode
from ..facts import Facts, Followed, Progress
from ..index import IndexFiles
from ..phases import Phase
from ..scan import ScanSettings
from ..writer import StreamWriter
from .merging import merge
from .tables import Tables
from .unseen import Unseen

log = logging.getLogger("edge.capture")

REREAD_KEYS_MAX = 200
"""Rows that are read once more by one statement."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A chunk whose fence is still to come. `again`: rows read once more, so many of the list."""

    schema: TableSchema
    chunk: Chunk
    token: str
    again: int


class Chunks:
    """Of one source."""

    def __init__(
        self,
        slug: str,
        tables: Tables,
        unseen: Unseen,
        orders: Orders,
        files: IndexFiles,
        settings: ScanSettings,
    ) -> None:
        self._slug = slug
        self._tables = tables
        self._unseen = unseen
        self._orders = orders
        self._files = files
        self._settings = settings
        self._pending: _Pending | None = None
        self._schemas: dict[TableName, TableSchema] = {}
        self.floors: dict[TableName, int] = {}

    @property
    def waits_for_fence(self) -> bool:
        return self._pending is not None

    def restart(self) -> Unseen:
        """After any fault: the chunk that was read is void, and the log is told again to what it gives."""
        self._pending = None
        self._schemas.clear()
        self._unseen = Unseen()
        return self._unseen

    def void(self, table: TableName) -> None:
        """What was read of this table does not count any more."""
        self._schemas.pop(table, None)
        if self._pending is not None and self._pending.schema.table == table:
            self._pending = None

    def leave(self, table: TableName) -> None:
        """Whoever wrote to the table while the log did not carry it is waited for again."""
        self.void(table)
        self.floors.pop(table, None)

    def due(self, writer: StreamWriter, table: TableName) -> bool:
        """Whether something of the table is to be read."""
        state = self._tables.state(writer, table)
        if state is None or state.phase != Phase.FOLLOW:
            return True
        followed = self._tables.facts(writer, table).log
        stale = followed is None or bool(followed.stale)
        return stale or self._orders.wanted(self._slug, table) is not None

    def step(self, writer: StreamWriter, source: LogSource, table: TableName) -> bool:
        """Begin the table's snapshot, read a chunk or end it; False where it has to wait. Raises the table's faults as
        Rejected."""
        assert self._pending is None
        now = source.visible()
        self._unseen.see(now)
        progress = self._tables.facts(writer, table).progress
        reason = self._reason(writer, table, progress)
        if reason is not None:
            if now.xmin < self.floors.setdefault(table, now.newest) or self._unseen.any:
                return False
            self._begin(writer, source, table, reason)
            return True
        assert progress is not None
        schema = self._schema(writer, table)
        followed = self._tables.followed(writer, table)
        if followed.reread:
            again = followed.reread[:REREAD_KEYS_MAX]
            self._fence(writer, source, schema, source.rows_of(schema, again), len(again))
        elif progress.complete:
            self._end(writer, schema, progress)
        else:
            limits = PageLimits(self._settings.page_rows, self._settings.page_bytes)
            self._fence(writer, source, schema, source.chunk(schema, progress.cursor, limits), 0)
        return True

    def _reason(self, writer: StreamWriter, table: TableName, progress: Progress | None) -> str | None:
        """Why a snapshot has to begin now, None where one goes on."""
        state = self._tables.state(writer, table)
        wanted = self._orders.wanted(self._slug, table)
        if state is None or state.phase == Phase.NEW:
            return "first"
        if state.phase == Phase.GONE:
            return "back"
        if (stale := self._tables.followed(writer, table).stale) != "":
            return stale
        if self._tables.facts(writer, table).log is None:
            return "way changed"
        if wanted is not None and (progress is None or progress.id != wanted):
            return "asked for"
        return None

    def _begin(self, writer: StreamWriter, source: LogSource, table: TableName, reason: str) -> None:
        schema = source.describe(table)
        identity = source.identity(table)
        if identity is None:
            raise Rejected("GC-2002", table=str(table), source=self._slug)
        before = self._tables.facts(writer, table)
        shards = writer.spool.shards(writer.stream, table)
        known = before.progress.rows if before.progress is not None else sum(one.rows for one in shards)
        facts = Facts(checked=before.checked, log=Followed(identity))
        snapshot.begin(
            writer,
            schema,
            reason,
            keep_index=False,
            confirmed=before.confirmed,
            before=max(known, before.before),
            id=self._orders.wanted(self._slug, table),
            lasting=facts,
        )
        self._files.remove(*(one.file for one in shards), *before.files)
        self._tables.written(table)
        self._orders.begun(self._slug, table)
        self._schemas[table] = schema

    def _schema(self, writer: StreamWriter, table: TableName) -> TableSchema:
        """That of the begin mark; the chunk's statement sees whether the table still has it."""
        if table not in self._schemas:
            state = self._tables.state(writer, table)
            assert state is not None
            content = writer.spool.schema(writer.stream, state.fingerprint)
            assert content is not None
            self._schemas[table] = TableSchema.from_bytes(content)
        return self._schemas[table]

    def _fence(
        self, writer: StreamWriter, source: LogSource, schema: TableSchema, chunk: Chunk, again: int
    ) -> None:
        if not is_still(self._tables.followed(writer, schema.table).identity, chunk.identity):
            raise Rejected("GC-2010", table=str(schema.table))
        self._pending = _Pending(schema, chunk, source.fence(), again)

    def put_off(self) -> None:
        """The chunk that waits for its fence is read again later."""
        self._pending = None

    def waiting_for(self, token: str) -> TableName | None:
        """The table whose chunk waits for this fence."""
        pending = self._pending
        return None if pending is None or pending.token != token else pending.schema.table

    def meet(self, writer: StreamWriter, group: GroupBuilder) -> None:
        """The fence of our chunk stands here in the log: its rows enter the group. Raises the table's faults."""
        assert self._pending is not None
        pending, self._pending = self._pending, None
        table, chunk = pending.schema.table, pending.chunk
        encoded = encode(pending.schema, chunk.page.rows, writer.secret)
        keys = canonical.digests(encoded.keys)
        merged = merge(
            chunk.page.rows,
            keys,
            [c.name for c in pending.schema.columns],
            self._unseen.of(table, chunk.snapshot),
        )
        before = group.batches
        group.add(
            Changes(
                pending.schema,
                merged.rows,
                [Op.READ] * merged.rows.count,
                [keys[at] for at in merged.positions],
            )
        )
        lines = canonical.encode_rows(
            merged.rows.columns, [c.name for c in pending.schema.columns], merged.rows.asides
        )
        facts = self._tables.facts(writer, table)
        assert facts.progress is not None
        assert facts.log is not None
        cursor = facts.progress.cursor if pending.again else chunk.page.last or facts.progress.cursor
        progress = facts.progress.plus(cursor, group.batches - before, lines)
        if not pending.again and not chunk.page.full:
            progress = replace(progress, complete=True)
        followed = replace(facts.log, reread=facts.log.reread[pending.again :])
        self._tables.keep(writer, table, replace(facts, progress=progress, log=followed))

    def _end(self, writer: StreamWriter, schema: TableSchema, progress: Progress) -> None:
        facts = self._tables.facts(writer, schema.table)
        self._guard(schema.table, facts, progress.rows)
        lasting = replace(facts.lasting, before=progress.rows)
        snapshot.end(writer, schema, progress, lasting)
        self._tables.written(schema.table)
        self._orders.passed_on(self._slug, schema.table)
        self._schemas.pop(schema.table, None)
        log.info("%s: snapshot of %s ended with %d rows", self._slug, schema.table, progress.rows)

    def _guard(self, table: TableName, facts: Facts, rows: int) -> None:
        """Promise 8: what this end mark would sweep waits for a person where it is too much."""
        swept, of = facts.before - rows, facts.before
        bound = max(self._settings.deletion_rows_min, self._settings.deletion_share_max * of)
        if swept > bound and not (facts.confirmed or self._orders.is_confirmed(self._slug, table)):
            raise Rejected("GC-2006", deletes=swept, rows=of, table=str(table), source=self._slug)
