"""Kind `postgres`: a PostgreSQL database by its log, and by SQL for the tables that its log does not carry.

The log comes by a slot and publications that a DBA made for us; this module says which tables they carry, gives each
relation of the log its schema, and turns what the decoder says into events. A log that is not the one that was read
before (another server, another timeline, a slot that is gone or has moved on) is `LogLost`, never silently another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DBAPIError

from edge_agent.sources.address import bad_address, read_address
from edge_agent.sources.columns import Layout
from edge_agent.sources.dialects.dialect import KeyChoice, Statement, TableFacts, choose_key
from edge_agent.sources.dialects.postgres_catalogue import column_of
from edge_agent.sources.log import Changed, Event, Fence, Gulp, Logged, LogLost, Truncated, Unreadable
from edge_agent.sources.pg import events as said
from edge_agent.sources.pg import publications
from edge_agent.sources.pg import statements as asked
from edge_agent.sources.pg.chunking import ChunkSource
from edge_agent.sources.pg.pgoutput import Decoder
from edge_agent.sources.pg.prepared import KEYLESS_BYTES_MAX, Prepared
from edge_agent.sources.pg.probe import Row, probe
from edge_agent.sources.pg.replication import PLUGIN, LogConnection, Slot
from edge_agent.sources.pg.replication import Gulp as Read
from edge_agent.sources.pg.translate import logged
from edge_agent.sources.reading import Reading, cause_of
from edge_agent.sources.source import PageLimits, Rows
from protocol.errors import Rejected, Transient
from protocol.names import TableName
from protocol.schema import TableSchema

ASK_SECONDS = 0.5
"""How often the server is asked where its log stands."""
BEHIND_SECONDS = 1.0
"""Whoever has not reached by now where the log stood so long ago has more of it to read."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A relation of the log that we capture."""

    schema: TableSchema
    layout: Layout


class PostgresSource(ChunkSource):
    """A Source and a LogSource. `included` says which tables are captured at all."""

    def __init__(
        self,
        slug: str,
        url: Callable[[], str],
        included: Callable[[TableName], bool],
        slot: str,
        publications: Sequence[str],
        keys: Mapping[str, tuple[str, ...]] | None = None,
        *,
        statement_seconds_max: float = 1.0,
        timezone: str = "Asia/Shanghai",
        answer_seconds_max: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            slug, url, keys, statement_seconds_max, timezone, clock, answer_seconds_max=answer_seconds_max
        )
        if self._dialect.name != "postgresql":
            raise bad_address(slug, "a source of kind `postgres` begins with postgresql://")
        self._included = included
        self._slot_name = slot
        self._publications = list(publications)
        self._log: LogConnection | None = None
        self._decoder = Decoder(slug)
        self._relations: dict[int, _Known] = {}
        self._now_carried: set[TableName] = set()
        self._asked_at = 0.0
        self._stood: tuple[int, int] | None = None
        """A moment of the server's clock, and where its log stood then, until that has been reached."""
        self._stood_at = 0.0
        self._told_time = 0
        self._undecodable = False
        self._heard = (0.0, 0)
        """When something was heard last, and what the server's clock said then."""

    def describe(self, table: TableName) -> TableSchema:
        """No log tells that a type was renamed: its rows are described anew where they were described otherwise."""
        schema = super().describe(table)
        for oid, known in list(self._relations.items()):
            if known.schema.table == table and known.schema.fingerprint != schema.fingerprint:
                del self._relations[oid]
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
            log.start(self._slot_name, 0, self._publications)
        except BaseException:
            log.close()
            raise
        self._log, self._decoder = log, Decoder(self._slug, log.charset)
        self._relations.clear()
        self._asked_at, self._stood, self._told_time = 0.0, None, 0
        self._heard = (self._clock(), 0)
        return now

    def _usable_slot(self, log: LogConnection) -> Slot | None:
        """One whose log the server gave up, or can decode no more (a publication was made anew), is no longer one."""
        slot = log.slot(self._slot_name)
        if slot is not None and (slot.plugin != PLUGIN or slot.database != self._url.database):
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
        log = self._log
        assert log is not None, "the log is not followed"
        now = self._clock()
        if not self._asked_at or now - self._asked_at >= ASK_SECONDS:
            self._ask(log, now)
        try:
            gulp = log.read(bytes_max, seconds)
        except Transient as fault:
            self._undecodable = fault.code == "GC-2054" and self._has_publications()
            raise
        self._listen(log, gulp, now)
        events: list[Event] = []
        for one in self._decoder.decode(gulp.messages):
            events += self._event(one)
        if self._stood is not None and gulp.wal_end >= self._stood[1]:
            self._told_time, self._stood = max(self._told_time, self._stood[0]), None
        drained = self._stood is None or now - self._stood_at < BEHIND_SECONDS
        return Gulp(events, gulp.wal_end, self._told_time, drained)

    def _listen(self, log: LogConnection, gulp: Read, now: float) -> None:
        """A connection that nobody answers on any more looks like one on which nothing happens."""
        if gulp.messages or gulp.server_time != self._heard[1]:
            self._heard = (now, gulp.server_time)
        elif now - self._heard[0] > self._answer_seconds_max:
            log.interrupt()
            raise Transient("GC-2001", source=self._slug, reason="the server has fallen silent")

    def _has_publications(self) -> bool:
        """What was written while one did not exist is read with the catalogue of then, and so never."""
        try:
            with self._reading(None) as reading:
                publications.require_log(reading.fetch, self._slug, self._publications)
        except Transient:
            return False
        return True

    def _ask(self, log: LogConnection, now: float) -> None:
        """For a keepalive. Its time is when it was sent, however far behind its sender was: how fresh we are is told
        from where the log stood at a moment, once that is reached."""
        if self._stood is None:
            with self._reading(None) as reading:
                ((moment, lsn),) = reading.fetch(asked.STANDS, ())
            self._stood, self._stood_at = (int(moment), int(lsn)), now
        log.ask()
        self._asked_at = now

    def _event(self, one: said.LogEvent) -> list[Event]:
        match one:
            case said.Segment():
                done = [t.time for t in one.transactions if t.end is not None]
                self._told_time = max([self._told_time, *done])
                return self._changed(one)
            case said.RelationChanged():
                self._relations.pop(one.relation.oid, None)
                return []
            case said.Truncated():
                names = map(self._name, one.relations)
                emptied = [name for name in names if name in self._now_carried]
                return [Truncated(one.transaction, one.ordinal, emptied)]
            case said.Message():
                return [Fence(one.content.decode("ascii", "replace"))] if one.prefix == asked.FENCE else []

    def _name(self, relation: said.Relation) -> TableName:
        return TableName(self._url.database, relation.schema, relation.name)

    def _changed(self, one: said.Segment) -> list[Event]:
        """Of the tables that the log carries for us; a table whose rows cannot be told by its key is said."""
        assert self._log is not None
        charset = self._log.charset
        unreadable: list[Event] = []
        tables: list[Logged] = []
        for changes in one.tables:
            name = self._name(changes.relation)
            if name in self._now_carried:
                try:
                    known = self._known_as(name, changes.relation)
                    tables.append(logged(known.schema, known.layout, changes, charset))
                except Rejected as fault:
                    unreadable.append(Unreadable(name, fault))
        return [*unreadable, Changed(one.transactions, tables)]

    def _known_as(self, table: TableName, relation: said.Relation) -> _Known:
        known = self._relations.get(relation.oid)
        if known is None:
            schema = self._schema_of(table, relation)
            known = self._relations[relation.oid] = _Known(schema, self.layout_of(schema))
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
        """As the key is now, where it had the same columns then: the log says neither their order nor, of a full
        identity, which they are."""
        names = {c.name for c in relation.columns}
        identity = tuple(c.name for c in relation.columns if c.key)
        with suppress(Rejected):  # it is gone by now
            key = self._describe(reading, table)[0].key
            if set(key) == set(identity) or (relation.identity is said.Identity.FULL and set(key) <= names):
                return key
        if relation.identity is said.Identity.FULL:
            raise Rejected("GC-2070", table=str(table))
        return identity

    def holding(self) -> int | None:
        with self._reading(None) as reading:
            lines = reading.fetch(asked.HOLDING, ())
        return int(lines[0][0]) if lines else None

    def _read_page(
        self, reading: Reading, schema: TableSchema, statement: Statement, limits: PageLimits
    ) -> tuple[Rows, bool]:
        """The log is not read meanwhile, and is not lost for it."""
        with nullcontext() if self._log is None else self._log.unread():
            return super()._read_page(reading, schema, statement, limits)

    def confirm(self, lsn: int) -> None:
        if self._log is not None:
            self._log.confirm(lsn)

    def kept(self) -> tuple[int, int]:
        with self._reading(None) as reading:
            lines = reading.fetch(asked.KEPT, (self._slot_name,))
        return (int(lines[0][0]), int(lines[0][1])) if lines else (0, 0)

    def give_up(self) -> None:
        self._end_log()
        with self._replicating() as log:
            log.drop_slot(self._slot_name)

    def _replicating(self) -> closing[LogConnection]:
        url, _ = read_address(self._slug, self._ask_url())
        return closing(LogConnection(url, self._slug))

    # Which tables.

    def identities(self, tables: Sequence[TableName]) -> dict[TableName, str]:
        with self._reading(None) as reading:
            self._now_carried = carried = self._carried(reading)
            found = {name: self._identify(reading, name) for name in tables if name in carried}
        return {name: identity for name, identity in found.items() if identity is not None}

    def _identify(self, reading: Reading, table: TableName) -> str | None:
        """With its place in our publications: one that it had left in between is another."""
        found = super()._identify(reading, table)
        if found is None:
            return None
        ((places,),) = reading.fetch(asked.PLACES, (table.schema, table.name, self._publications))
        return f"{places} {found}"

    def _carried(self, reading: Reading) -> set[TableName]:
        """Tables whose every change the log says, in a way that tells rows apart."""
        publications.require_log(reading.fetch, self._slug, self._publications)
        carried = publications.carried(reading.fetch, str(self._url.database), self._publications)
        keys = {facts.name: self._key(facts) for facts in self._dialect.catalogue(reading.fetch, None)}
        wanted = ((table, one, keys.get(table)) for table, one in carried.items() if self._included(table))
        told = {table for table, one, key in wanted if key is not None and self._tells(table, one, key)}
        gone = self._now_carried - keys.keys()  # of which the log may still have much to say
        return told | gone

    def _tells(self, table: TableName, one: publications.Carried, key: KeyChoice) -> bool:
        """Whether the log says all of its changes in a way that a snapshot can be merged with."""
        if one.generated or not all(key.columns and set(key.columns) <= leaf for leaf in one.leaves):
            return False
        if key.columns:
            return one.is_full or set(key.columns) == one.columns
        already = table in self._now_carried
        return one.is_full and one.bytes <= KEYLESS_BYTES_MAX * (2 if already else 1)

    def _key(self, facts: TableFacts) -> KeyChoice | None:
        """Where the log says of old rows another index than the primary key, its columns tell them apart."""
        identity = next((index.columns for index in facts.indexes if index.identity), None)
        chosen = choose_key(facts, self._keys.get(str(facts.name), identity), self._dialect)
        return super()._key(facts) if chosen is None else chosen

    def spare(self) -> dict[TableName, Rejected]:
        with self._reading(None) as reading:
            found = publications.endangered(reading.fetch, self._publications)
        return {TableName(self._url.database, one.schema, one.name): self._spare(one) for one in found}

    def _spare(self, one: publications.Endangered) -> Rejected:
        table, taken_out = TableName(self._url.database, one.schema, one.name), False
        if one.given:
            with suppress(Transient), self._replicating() as log:  # where we do not own the publication
                log.execute(asked.MAY_CHANGE)
                log.execute(publications.taking_out(one))
                taken_out = True
        return publications.alarm(one, table, taken_out=taken_out)

    # How it is prepared.

    @property
    def login(self) -> tuple[str, str]:
        """The account ("" where it names none) and the database of its address."""
        return self._url.username or "", self._url.database or ""

    def prepared(self, publications: Sequence[str]) -> Prepared:
        """How the server stands for its log to be followed by these publications, as far as our account may see."""
        account, database = self.login
        return probe(self._told, database, account, self._slot_name, publications)

    def _told(self, sql: str, values: tuple[Any, ...]) -> list[Row] | None:
        """None where the server refuses it."""
        with self._reading(None) as reading:
            try:
                return reading.fetch(sql, values)
            except (DBAPIError, self._driver_error) as error:
                if self._dialect.trouble(cause_of(error)).everywhere:
                    raise
                return None

    # Its end.

    def _end_log(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def interrupt(self) -> None:
        super().interrupt()
        if self._log is not None:
            self._log.interrupt()

    def close(self) -> None:
        self._end_log()
        super().close()
