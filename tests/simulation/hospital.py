"""The hospital of the simulation: sources in memory that change all along, within a scan too.

Tables with keys of several types, composite ones and none; values that travel aside. `live` does one random
thing, among them what changes a table as a whole. What stands there is given as plain comparable rows.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from operator import itemgetter

from edge_agent.sources.memory import MemorySource, Row, Wild
from protocol.errors import Transient
from protocol.limits import VALUE_INLINE_BYTES_MAX
from protocol.names import TableName
from tests.unit.edge_agent.capture.tables import CODE, ITEM, KEYS, LOG, STAMP, VALUES, VISIT, row, schema

from .clock import PROCESS

SOURCES: dict[str, tuple[TableName, ...]] = {"his": (VISIT, ITEM, LOG), "lis": (CODE, STAMP)}
CHANGE_WITHIN_A_CALL = 0.05
Plain = tuple[object, ...]


class Hospital:
    def __init__(self, rng: random.Random, slugs: tuple[str, ...]) -> None:
        self._rng = rng
        self.away: set[str] = set()
        """Sources that cannot be reached now."""
        self.quiet = False
        """Nothing changes by itself."""
        self.sources = {slug: MemorySource(slug, self._before(slug)) for slug in slugs}
        self._altered: set[TableName] = set()
        self.dropped: set[TableName] = set()
        self.changes = 0
        for slug in slugs:
            for name in SOURCES[slug]:
                self.sources[slug].create(schema(name))
        for _ in range(15 * len(slugs)):
            self.live()

    def _before(self, slug: str) -> Callable[[str, TableName | None], None]:
        def before(call: str, table: TableName | None) -> None:
            if (process := PROCESS.get()) is not None:
                process.moment()
                process.reads(slug)
            if slug in self.away:
                raise Transient("GC-2001", source=slug, reason="ordered")
            if not self.quiet and self._rng.random() < CHANGE_WITHIN_A_CALL:
                self.live()

        return before

    def open(self, slug: str) -> MemorySource:
        """As an agent does; a moment of whoever asks comes before each statement."""
        return self.sources[slug]

    # what happens in it

    def live(self) -> None:
        slug = self._rng.choice(list(self.sources))
        source, name = self.sources[slug], self._rng.choice(SOURCES[slug])
        if name in self.dropped:
            return
        self.changes += 1
        rows = source.rows(name)
        if rows and self._rng.random() < 0.3:
            source.delete(name, self._rng.choice(rows))
        else:
            source.put(name, self._row(name))

    def _row(self, name: TableName) -> Row:
        value = self._rng.choices(range(len(VALUES)), (8, 8, 4, 2, 1))[0]
        return row(name, self._rng.randrange(KEYS), value, name in self._altered)

    def alter(self) -> None:
        """A table gets another column, or loses it, with all its rows."""
        slug, name = self._some_table()
        if name in self.dropped:
            return
        self._altered ^= {name}
        self._found(slug, name)

    def drop(self) -> None:
        """A table vanishes, or comes back."""
        slug, name = self._some_table()
        if len([one for one in SOURCES[slug] if one not in self.dropped]) == 1:
            return
        self.dropped ^= {name}
        if name in self.dropped:
            self.sources[slug].drop(name)
        else:
            self._found(slug, name)

    def empty(self) -> None:
        """All rows of a table vanish at once."""
        slug, name = self._some_table()
        if name not in self.dropped:
            self.sources[slug].delete(name, *self.sources[slug].rows(name))

    def _found(self, slug: str, name: TableName) -> None:
        """Create it, and fill it row by row: of one key the last one stays."""
        self.sources[slug].create(schema(name, name in self._altered))
        for _ in range(6):
            self.sources[slug].put(name, self._row(name))

    def _some_table(self) -> tuple[str, TableName]:
        slug = self._rng.choice(list(self.sources))
        return slug, self._rng.choice(SOURCES[slug])

    # what stands in it

    def tables(self) -> list[tuple[str, TableName]]:
        return [(slug, name) for slug in self.sources for name in SOURCES[slug]]

    def standing(self, slug: str, name: TableName) -> Counter[Plain]:
        """Row by row the columns that have a value, by name; of what travels aside what is told of it."""
        if name in self.dropped:
            return Counter()
        columns = [c.name for c in schema(name, name in self._altered).columns]
        rows = self.sources[slug].rows(name)
        pairs = (sorted(zip(columns, map(plain, one), strict=True), key=itemgetter(0)) for one in rows)
        return Counter(tuple(pair for pair in one if pair[1] is not None) for one in pairs)


def plain(value: object) -> object:
    match value:
        case Wild(reason, original):
            return reason, original
        case str() if len(value.encode()) > VALUE_INLINE_BYTES_MAX:
            return "large", hashlib.sha256(value.encode()).digest()
    return value
