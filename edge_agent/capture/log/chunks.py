"""Snapshots of tables that have a log: chunk by chunk, each merged into the stream where its fence stands.

While a chunk waits for its fence no other is read. What a chunk is made of lives in memory only: whoever is
interrupted reads it again, from the cursor that the spool has. A table whose definition or file changed begins anew.
One without a key is read by one statement, and its whole snapshot stands at the fence.
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
from ...sources.log import Chunk, LogSource, Snapshot, is_still
from ...sources.source import PageLimits
from .. import snapshot
from ..diff import encode, encode_keys, encode_lines
from ..facts import ASKED_FOR, BACK, FIRST, WAY_CHANGED, Facts, Followed, Progress
from ..index import IndexFiles
from ..phases import Phase
from ..scan import ScanSettings
from ..writer import StreamWriter
from . import multiset
from .merging import merge
from .tables import Tables
from .unseen import Unseen

log = logging.getLogger("edge.capture")

REREAD_KEYS_MAX = 200
"""Rows that are read once more by one statement."""
WHOLE = PageLimits(1 << 40, 96 << 20)
"""Of a table without a key more than this is not read by one statement."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A chunk whose fence is still to come. `again`: rows read once more, so many of the list. `reason`: of a snapshot
    that is this chunk alone."""

    schema: TableSchema
    chunk: Chunk
    token: str
    again: int = 0
    reason: str | None = None


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
        self._ended: set[TableName] = set()
        self.floors: dict[TableName, int] = {}

    @property
    def waits_for_fence(self) -> bool:
        return self._pending is not None

    def restart(self) -> Unseen:
        """After any fault: the chunk that was read is void, and the log is told again to what it gives."""
        self._pending = None
        self._schemas.clear()
        self._ended.clear()
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
            if self._must_wait(table, reason, now):
                return False
            schema, identity = self._described(source, table)
            if schema.key:
                self._begin(writer, schema, identity, reason)
            else:
                self._read_whole(writer, source, schema, identity, reason)
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

    def _must_wait(self, table: TableName, reason: str, now: Snapshot) -> bool:
        """Whoever had written to the table before its log was to be relied on is in neither log nor chunk: all that run
        as a new beginning is first thought of must have ended (capture.md §3.7). One that is only asked for has no such
        writers."""
        ran = reason != ASKED_FOR and now.xmin < self.floors.setdefault(table, now.xmax)
        return ran or self._unseen.any

    def _reason(self, writer: StreamWriter, table: TableName, progress: Progress | None) -> str | None:
        """Why a snapshot has to begin now, None where one goes on."""
        state = self._tables.state(writer, table)
        wanted = self._orders.wanted(self._slug, table)
        if state is None or state.phase == Phase.NEW:
            return FIRST
        if state.phase == Phase.GONE:
            return BACK
        if (stale := self._tables.followed(writer, table).stale) != "":
            return stale
        if self._tables.facts(writer, table).log is None:
            return WAY_CHANGED
        if wanted is not None and (progress is None or progress.id != wanted):
            return ASKED_FOR
        return None

    def _described(self, source: LogSource, table: TableName) -> tuple[TableSchema, str]:
        schema = source.describe(table)
        identity = source.identity(table)
        if identity is None:
            raise Rejected("GC-2002", table=str(table), source=self._slug)
        return schema, identity

    def _begin(self, writer: StreamWriter, schema: TableSchema, identity: str, reason: str) -> None:
        table = schema.table
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
        self.floors.pop(table, None)
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

    def _read_whole(
        self, writer: StreamWriter, source: LogSource, schema: TableSchema, identity: str, reason: str
    ) -> None:
        """Until its fence the table goes on as it stands at the centre. What was known for scans of it goes now."""
        chunk = source.whole_chunk(schema, WHOLE)
        if chunk.page.full:
            raise Rejected("GC-2077", table=str(schema.table))
        if chunk.identity != identity:
            raise Rejected("GC-2010", table=str(schema.table))
        self._forget_scans(writer, schema.table)
        self._pending = _Pending(schema, chunk, source.fence(), reason=reason)

    def _forget_scans(self, writer: StreamWriter, table: TableName) -> None:
        state, facts = self._tables.state(writer, table), self._tables.facts(writer, table)
        shards = writer.spool.shards(writer.stream, table)
        if state is None or facts.log is not None:
            return
        kept = Facts(
            confirmed=facts.confirmed,
            before=max(facts.before, sum(one.rows for one in shards)),
            checked=facts.checked,
            log=Followed(stale=WAY_CHANGED),
        )
        writer.commit(None, table=replace(state, facts=kept.to_json()), drop_all_shards=True)
        self._files.remove(*(one.file for one in shards), *facts.files)
        self._tables.written(table)

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
        if pending.reason is not None:
            self._meet_whole(writer, group, pending, pending.reason)
            return
        table, chunk = pending.schema.table, pending.chunk
        keys = canonical.digests(encode_keys(pending.schema, chunk.page.rows))
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
        lines = encode_lines(pending.schema, merged.rows)
        facts = self._tables.facts(writer, table)
        assert facts.progress is not None
        assert facts.log is not None
        cursor = facts.progress.cursor if pending.again else chunk.page.last or facts.progress.cursor
        progress = facts.progress.plus(cursor, group.batches - before, lines)
        if not pending.again and not chunk.page.full:
            progress = replace(progress, complete=True)
        followed = replace(facts.log, reread=facts.log.reread[pending.again :])
        self._tables.keep(writer, table, replace(facts, progress=progress, log=followed))

    def _meet_whole(self, writer: StreamWriter, group: GroupBuilder, pending: _Pending, reason: str) -> None:
        """What its statement read, and what that did not see, is the table as it stands at the fence."""
        schema, rows = pending.schema, pending.chunk.page.rows
        table, digests = schema.table, encode(schema, rows, writer.secret).digests
        read = Changes(schema, rows, [Op.READ] * rows.count, digests)
        merged, digests = multiset.standing(read, self._unseen.of(table, pending.chunk.snapshot))
        facts = self._tables.facts(writer, table)
        self._guard(table, facts, merged.count)
        state = snapshot.whole(
            writer,
            group,
            Changes(schema, merged, [Op.READ] * merged.count, digests),
            reason,
            id=self._orders.wanted(self._slug, table),
        )
        lasting = Facts(checked=facts.checked, before=merged.count, log=Followed(pending.chunk.identity))
        self._tables.keep_state(replace(state, facts=lasting.to_json()), lasting)
        self.floors.pop(table, None)
        self._ended.add(table)

    def committed(self) -> None:
        """The group is in the spool, and with it what was ordered of the snapshots that ended in it."""
        for table in self._ended:
            self._orders.begun(self._slug, table)
            self._orders.passed_on(self._slug, table)
        self._ended.clear()

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
