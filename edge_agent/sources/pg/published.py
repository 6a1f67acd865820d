"""The side of a PostgreSQL source that knows which of its tables a log carries, as publications and catalogue have it.

It reads no log: what is asked here is true of now, and a log that lags tells of before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.exc import DBAPIError

from edge_agent.sources.address import bad_address
from edge_agent.sources.dialects.dialect import KeyChoice, TableFacts, choose_key
from edge_agent.sources.log import KeyOf, nothing_known
from edge_agent.sources.pg import publications as published
from edge_agent.sources.pg import statements as asked
from edge_agent.sources.pg.chunking import ChunkSource
from edge_agent.sources.pg.prepared import KEYLESS_BYTES_MAX, Prepared
from edge_agent.sources.pg.probe import Row, probe
from edge_agent.sources.reading import Reading, cause_of
from protocol.names import TableName


class PublishedSource(ChunkSource):
    """`included` says which tables are captured at all; of `publications` all must be there, that of `inserts` need
    not. Faults as of a `LogSource`."""

    def __init__(
        self,
        slug: str,
        url: Callable[[], str],
        included: Callable[[TableName], bool],
        slot: str,
        publications: Sequence[str],
        keys: Mapping[str, tuple[str, ...]] | None = None,
        *,
        inserts: str | None = None,
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
        self._inserts = inserts
        self._now_carried: set[TableName] = set()
        self._key_of: KeyOf = nothing_known

    @property
    def _all_publications(self) -> list[str]:
        return [*self._publications, *filter(None, [self._inserts])]

    def _readable(self) -> list[str]:
        """The publications with which the log can be followed."""
        if self._inserts is None:
            return self._publications
        with self._reading(None) as reading:
            more = reading.fetch(asked.READABLE, (self._inserts, self._slot_name))
        return [*self._publications, *(name for (name,) in more)]

    def _require_log(self, reading: Reading) -> None:
        published.require_log(reading.fetch, self._slug, self._publications)

    def identities(self, tables: Sequence[TableName], key_of: KeyOf = nothing_known) -> dict[TableName, str]:
        self._key_of = key_of
        with self._reading(None) as reading:
            self._now_carried = carried = self._carried(reading, tables)
            found = {name: self._identify(reading, name) for name in tables if name in carried}
        return {name: identity for name, identity in found.items() if identity is not None}

    def _identify(self, reading: Reading, table: TableName) -> str | None:
        """With its place in our publications: one that it had left in between is another."""
        found = super()._identify(reading, table)
        if found is None:
            return None
        ((places,),) = reading.fetch(asked.PLACES, (table.schema, table.name, self._publications))
        return f"{places} {found}"

    def _carried(self, reading: Reading, asked_of: Sequence[TableName]) -> set[TableName]:
        """Tables whose every change the log says, in a way that tells rows apart."""
        self._require_log(reading)
        carried = published.carried(reading.fetch, str(self._url.database), self._publications)
        keys = {facts.name: self._key(facts) for facts in self._dialect.catalogue(reading.fetch, None)}
        wanted = ((table, one, keys.get(table)) for table, one in carried.items() if self._included(table))
        told = {table for table, one, key in wanted if key is not None and self._tells(table, one, key)}
        # Of one that is gone the log may still have much to say.
        gone = self._now_carried.union(filter(self._included, asked_of)) - keys.keys()
        return told | gone

    def _tells(self, table: TableName, one: published.Carried, key: KeyChoice) -> bool:
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
