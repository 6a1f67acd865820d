"""Kind `postgres`: a PostgreSQL database by its log, and by SQL for the tables that its log does not carry.

The log comes by a slot and publications that a DBA made for us (`published`); this module gives each relation of the
log its schema, and turns what the decoder says into events. A log that is not the one that was read
before (another server, another timeline, a slot that is gone or has moved on) is `LogLost`, never silently another.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from edge_agent.sources.address import read_address
from edge_agent.sources.columns import Layout
from edge_agent.sources.dialects.dialect import Statement
from edge_agent.sources.dialects.postgres_catalogue import column_of
from edge_agent.sources.log import Changed, Event, Fence, Gulp, Logged, LogLost, Truncated, Unreadable
from edge_agent.sources.pg import events as said
from edge_agent.sources.pg import publications
from edge_agent.sources.pg import statements as asked
from edge_agent.sources.pg.pgoutput import Decoder
from edge_agent.sources.pg.published import PublishedSource
from edge_agent.sources.pg.replication import PLUGIN, LogConnection, Slot
from edge_agent.sources.pg.replication import Gulp as Read
from edge_agent.sources.pg.translate import logged
from edge_agent.sources.reading import Reading
from edge_agent.sources.source import PageLimits, Rows
from protocol.errors import Rejected, Transient
from protocol.names import TableName
from protocol.schema import TableSchema

ASK_SECONDS = 0.5
"""How often the server is asked where its log stands."""
GONE_SECONDS_MAX = 5.0
"""How long the server may take to notice that a reader of ours has gone."""
MESSAGES_MAX = 20_000
"""So many come at once, about: short ones, as of deletions, take more memory than their bytes."""
GULP_BYTES_MIN = 1 << 20
BEHIND_SECONDS = 1.0
"""Whoever has not reached by now where the log stood so long ago has more of it to read."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A relation of the log that we capture."""

    schema: TableSchema
    layout: Layout


@dataclass(slots=True)
class _Following:
    """The log as it is read since it was begun last. `publications`: those that it tells of; `written`: what stands in
    the next `Gulp.written`; `stood`: a moment of the server's clock, and where its log stood then, until that has been
    reached; `heard`: when something was heard last, and what the server's clock said then."""

    log: LogConnection
    decoder: Decoder
    publications: list[str]
    heard: tuple[float, int]
    relations: dict[int, _Known] = field(default_factory=dict)
    written: set[TableName] = field(default_factory=set)
    asked_at: float = 0.0
    stood: tuple[int, int] | None = None
    stood_at: float = 0.0
    told_time: int = 0
    gulp_bytes: int = GULP_BYTES_MIN


def _room_for(messages: int, last: Read) -> int:
    """Bytes of so many messages that are as long as the last ones."""
    came = len(last.messages)
    if not came:
        return GULP_BYTES_MIN
    length = last.messages.ends[-1] - last.messages.starts[0]
    return max(GULP_BYTES_MIN, messages * (length // came + 1))


class PostgresSource(PublishedSource):
    """A Source and a LogSource."""

    _now: _Following | None = None
    _undecodable = False

    def describe(self, table: TableName) -> TableSchema:
        """No log tells that a type was renamed: its rows are described anew where they were described otherwise."""
        schema = super().describe(table)
        relations = self._now.relations if self._now else {}
        for oid, known in list(relations.items()):
            if known.schema.table == table and known.schema.fingerprint != schema.fingerprint:
                del relations[oid]
        return schema

    # The log.

    def follow(self, after: int, origin: str) -> str:
        """Statements go to the same server as the log from here on: both connections are made anew."""
        self._end_log()
        self._engine.dispose()
        url, _ = read_address(self._slug, self._ask_url())
        log = LogConnection(url, self._slug)
        try:
            server = log.identify()
            now = f"{server.system}/{server.timeline}"
            slot = self._usable_slot(log)
            if origin:
                self._compare(origin, now, None if slot is None else slot.confirmed, after)
                if server.lsn < after:
                    raise LogLost("its log ends before what was read of it")
            if slot is None:
                log.create_slot(self._slot_name)
            told = self._readable()
            log.start(self._slot_name, 0, told)
        except BaseException:
            log.close()
            raise
        self._now = _Following(log, Decoder(self._slug, log.charset), told, (self._clock(), 0))
        return now

    def tells_more(self) -> bool:
        return self._now is not None and len(self._readable()) > len(self._now.publications)

    def _usable_slot(self, log: LogConnection) -> Slot | None:
        """One whose log the server gave up, or can decode no more (a publication was made anew), is no longer one."""
        slot = log.slot(self._slot_name)
        if slot is not None and not self._is_ours(slot):
            raise Transient("GC-2084", source=self._slug, slot=self._slot_name)
        if slot is not None and (self._undecodable or slot.status == "lost" or slot.restart is None):
            log.drop_slot(self._slot_name)
            slot = None
        self._undecodable = False
        return slot

    def _compare(self, before: str, now: str, confirmed: int | None, after: int) -> None:
        """Raise LogLost unless what follows `after` is still to come, of the same history (capture.md §3.12)."""
        if before != now:
            raise LogLost("another server or timeline")
        if confirmed is None:
            raise LogLost("slot gone")
        if confirmed > after:
            raise LogLost("slot has moved on")

    def read(self, bytes_max: int, seconds: float) -> Gulp:
        now = self._following()
        begun = self._clock()
        if not now.asked_at or begun - now.asked_at >= ASK_SECONDS:
            self._ask(now, begun)
        try:
            gulp = now.log.read(min(bytes_max, now.gulp_bytes), seconds)
        except Transient as fault:
            self._undecodable = fault.code == "GC-2054" and self._can_decode_no_more(now)
            raise
        self._listen(now, gulp, begun)
        now.gulp_bytes = _room_for(MESSAGES_MAX, gulp)
        events: list[Event] = []
        for one in now.decoder.decode(gulp.messages):
            events += self._event(now, one)
        if now.stood is not None and gulp.wal_end >= now.stood[1]:
            now.told_time, now.stood = max(now.told_time, now.stood[0]), None
        drained = now.stood is None or begun - now.stood_at < BEHIND_SECONDS
        written, now.written = frozenset(now.written), set()
        return Gulp(events, gulp.wal_end, now.told_time, drained, written)

    def _following(self) -> _Following:
        assert self._now is not None, "the log is not followed"
        return self._now

    def _listen(self, now: _Following, gulp: Read, begun: float) -> None:
        """A connection that nobody answers on any more looks like one on which nothing happens."""
        if gulp.messages or gulp.server_time != now.heard[1]:
            now.heard = (begun, gulp.server_time)
        elif begun - now.heard[0] > self._answer_seconds_max:
            now.log.interrupt()
            raise Transient("GC-2001", source=self._slug, reason="the server has fallen silent")

    def _can_decode_no_more(self, now: _Following) -> bool:
        """What was written while a publication did not exist is read with the catalogue of then, and so never. That of
        inserts is left out where it is at fault."""
        try:
            with self._reading(None) as reading:
                self._require_log(reading)
        except Transient:
            return False
        return self._readable() == now.publications

    def _ask(self, now: _Following, begun: float) -> None:
        """For a keepalive. Its time is when it was sent, however far behind its sender was: how fresh we are is told
        from where the log stood at a moment, once that is reached."""
        if now.stood is None:
            with self._reading(None) as reading:
                ((moment, lsn),) = reading.fetch(asked.STANDS, ())
            now.stood, now.stood_at = (int(moment), int(lsn)), begun
        now.log.ask()
        now.asked_at = begun

    def _event(self, now: _Following, one: said.LogEvent) -> list[Event]:
        match one:
            case said.Segment():
                done = [t.time for t in one.transactions if t.end is not None]
                now.told_time = max([now.told_time, *done])
                return self._changed(now, one)
            case said.RelationChanged():
                now.relations.pop(one.relation.oid, None)
                return []
            case said.Truncated():
                names = [self._name(relation) for relation in one.relations]
                self._note_written(now, names)
                emptied = [name for name in names if name in self._now_carried]
                return [Truncated(one.transaction, one.ordinal, emptied)]
            case said.Message():
                return [Fence(one.content.decode("ascii", "replace"))] if one.prefix == asked.FENCE else []

    def _name(self, relation: said.Relation) -> TableName:
        return TableName(self._url.database, relation.schema, relation.name)

    def _note_written(self, now: _Following, tables: Sequence[TableName]) -> None:
        """Of those that are scanned."""
        now.written |= {name for name in tables if name not in self._now_carried and self._included(name)}

    def _changed(self, now: _Following, one: said.Segment) -> list[Event]:
        """Of the tables that the log carries for us; a table whose rows cannot be told by its key is said."""
        unreadable: list[Event] = []
        tables: list[Logged] = []
        self._note_written(now, [self._name(changes.relation) for changes in one.tables])
        for changes in one.tables:
            name = self._name(changes.relation)
            if name in self._now_carried:
                try:
                    known = self._known_as(now, name, changes.relation)
                    tables.append(logged(known.schema, known.layout, changes, now.log.charset))
                except Rejected as fault:
                    unreadable.append(Unreadable(name, fault))
        return [*unreadable, Changed(one.transactions, tables)]

    def _known_as(self, now: _Following, table: TableName, relation: said.Relation) -> _Known:
        known = now.relations.get(relation.oid)
        if known is None:
            schema = self._schema_of(table, relation)
            known = now.relations[relation.oid] = _Known(schema, self.layout_of(schema))
        return known

    def _schema_of(self, table: TableName, relation: said.Relation) -> TableSchema:
        """As the table is described, where its columns are still those of the log; else (it was altered since) by
        the log's own columns. Rejected GC-2070 where the replica identity does not carry the key."""
        with self._reading(None) as reading:
            columns = [(c.name, c.type_oid, c.modifier) for c in relation.columns]
            present = reading.fetch(asked.COLUMNS, (table.schema, table.name))
            if [tuple(row) for row in present] == columns:
                schema = self._describe(reading, table)[0]
            else:
                schema = self._by_its_log(reading, table, relation)
        identity = {c.name for c in relation.columns if c.key}
        if relation.identity is not said.Identity.FULL and (not schema.key or set(schema.key) != identity):
            raise Rejected("GC-2070", table=str(table))
        return schema

    def _by_its_log(self, reading: Any, table: TableName, relation: said.Relation) -> TableSchema:
        lines = reading.fetch(
            asked.TYPES, ([c.type_oid for c in relation.columns], [c.modifier for c in relation.columns])
        )
        columns = tuple(column_of(c.name, *line) for c, line in zip(relation.columns, lines, strict=True))
        meta = {"dialect": self._dialect.name, "timezone": self._timezone}
        return TableSchema(table, columns, self._key_then(reading, table, relation), meta)

    def _key_then(self, reading: Reading, table: TableName, relation: said.Relation) -> tuple[str, ...]:
        """As the key is now, or was when the table was captured last, where it had the same columns then: the log says
        neither their order nor, of a full identity, which they are."""
        names = {c.name for c in relation.columns}
        identity = tuple(c.name for c in relation.columns if c.key)
        with suppress(Rejected):  # it is gone by now
            key = self._describe(reading, table)[0].key
            if set(key) == set(identity) or (relation.identity is said.Identity.FULL and set(key) <= names):
                return key
        if relation.identity is not said.Identity.FULL:
            return identity
        before = self._key_of(table)
        if before is None or not set(before) <= names:
            raise Rejected("GC-2070", table=str(table))
        return before

    def holding(self) -> int | None:
        with self._reading(None) as reading:
            lines = reading.fetch(asked.HOLDING, ())
        return int(lines[0][0]) if lines else None

    def _elsewhere(self) -> AbstractContextManager[None]:
        """The log is not read meanwhile, and is not lost for it."""
        return nullcontext() if self._now is None else self._now.log.elsewhere()

    def _read_page(
        self, reading: Reading, schema: TableSchema, statement: Statement, limits: PageLimits
    ) -> tuple[Rows, bool]:
        with self._elsewhere():
            return super()._read_page(reading, schema, statement, limits)

    def whole(self, schema: TableSchema) -> Iterator[Rows]:
        with self._elsewhere():
            yield from super().whole(schema)

    def confirm(self, lsn: int) -> None:
        if self._now is not None:
            self._now.log.confirm(lsn)

    def kept(self) -> tuple[int, int]:
        with self._reading(None) as reading:
            lines = reading.fetch(asked.KEPT, (self._slot_name, PLUGIN))
        return (int(lines[0][0]), int(lines[0][1])) if lines else (0, 0)

    def give_up(self) -> None:
        self._end_log()
        with self._replicating() as log:
            slot = log.slot(self._slot_name)
            if slot is not None and self._is_ours(slot):
                self._drop(log)

    def _drop(self, log: LogConnection) -> None:
        """Our own reader has gone, which the server may notice a moment later."""
        end = self._clock() + GONE_SECONDS_MAX
        while True:
            try:
                log.drop_slot(self._slot_name)
            except Transient as fault:
                if fault.code != "GC-2052" or self._clock() > end:
                    raise
                time.sleep(GONE_SECONDS_MAX / 50)
            else:
                return

    def _is_ours(self, slot: Slot) -> bool:
        """No other tool's that has our slot's name."""
        return slot.plugin == PLUGIN and slot.database == self._url.database

    def _replicating(self) -> closing[LogConnection]:
        url, _ = read_address(self._slug, self._ask_url())
        return closing(LogConnection(url, self._slug))

    # Which tables.

    def spare(self) -> dict[TableName, Rejected]:
        with self._reading(None) as reading:
            found = publications.endangered(reading.fetch, self._all_publications)
        return {TableName(self._url.database, one.schema, one.name): self._spare(one) for one in found}

    def _spare(self, one: publications.Endangered) -> Rejected:
        table, taken_out = TableName(self._url.database, one.schema, one.name), False
        if one.removable:
            with suppress(Transient), self._replicating() as log:  # it is locked, or gone by now
                log.execute(asked.MAY_CHANGE)
                log.execute(publications.taking_out(one))
                taken_out = True
        return publications.alarm(one, table, taken_out=taken_out)

    # Its end.

    def _end_log(self) -> None:
        now, self._now = self._now, None
        if now is not None:
            now.log.close()

    def interrupt(self) -> None:
        super().interrupt()
        if self._now is not None:
            self._now.log.interrupt()

    def close(self) -> None:
        self._end_log()
        super().close()
