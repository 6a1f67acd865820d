"""What the two ways of scanning a table share: their context, their settings, the guard against mass deletion.

A scan is one pass over one table. It advances by `step`, each at most one statement at the source and one
transaction in the spool, so that whoever drives it can pause between any two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from protocol import canonical
from protocol.change import Op
from protocol.errors import Rejected
from protocol.limits import GROUP_BYTES_MAX
from protocol.schema import TableSchema

from ..changes import Changes
from ..sources.source import Rows, Source
from ..spool.records import TableState
from .diff import key_rows, select
from .facts import Facts, facts_of
from .index import IndexFiles
from .phases import Phase
from .writer import StreamWriter


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """Bounds of one step, and when deletions wait for a person: more than `deletion_rows_min` rows and more
    than `deletion_share_max` of the table."""

    page_rows: int = 10_000
    page_bytes: int = GROUP_BYTES_MAX
    deletion_share_max: float = 0.3
    deletion_rows_min: int = 1_000


@dataclass(slots=True)
class Pass:
    """One pass over one table: a snapshot where `facts` have its progress, else a diff."""

    source_slug: str
    source: Source
    writer: StreamWriter
    files: IndexFiles
    settings: ScanSettings
    schema: TableSchema
    facts: Facts
    read: int = 0
    """Rows read in this pass."""

    @property
    def snapshot(self) -> bool:
        return self.facts.progress is not None

    def state(self) -> TableState:
        """The table's state as it must stand in the spool now."""
        phase = Phase.SNAPSHOT if self.snapshot else Phase.FOLLOW
        table = self.schema.table
        facts = self.facts.beside(facts_of(self.writer.table(table)))
        return TableState(table, phase, self.schema.fingerprint, facts.to_json())

    def guard(self, deletes: int, rows: int) -> None:
        """Promise 8: raises Rejected GC-2006 where too much would vanish; nothing of it is committed then.
        `rows` is how many the table had; where an earlier pass was interrupted its number counts."""
        deleted = self.facts.deleted + deletes
        of = self.facts.of or rows
        bound = max(self.settings.deletion_rows_min, self.settings.deletion_share_max * of)
        if deleted > bound and not self.facts.confirmed:
            raise Rejected(
                "GC-2006", deletes=deleted, rows=of, table=str(self.schema.table), source=self.source_slug
            )
        if deletes:
            self.facts = replace(self.facts, deleted=deleted, of=of)

    def guard_end(self) -> None:
        """A snapshot that was read without the old index shows only here how much it would sweep."""
        progress, before = self.facts.progress, self.facts.before
        if progress is not None and progress.rows < before:
            self.guard(before - progress.rows, before)

    def advance(self, cursor: bytes, batches: int, lines: list[bytes]) -> None:
        """A snapshot has read these canonical rows; a diff keeps no count."""
        if self.facts.progress is not None:
            self.facts = replace(self.facts, progress=self.facts.progress.plus(cursor, batches, lines))

    def complete(self) -> None:
        """Everything was read. A snapshot's end mark is still to come, a diff is over: nothing of it is kept."""
        if self.facts.progress is None:
            self.facts = Facts(mark=self.facts.mark)
        else:
            self.facts = replace(self.facts, progress=replace(self.facts.progress, complete=True))

    def changes(self, rows: Rows, ops: list[Op | None], keys: list[bytes]) -> Changes:
        """The changed rows among `rows`; `keys` are 16-byte row keys."""
        positions = [i for i, op in enumerate(ops) if op is not None]
        return Changes(
            self.schema,
            select(rows, positions),
            [op for op in ops if op is not None],
            [keys[i] for i in positions],
        )

    def keyed_deletes(self, keys: list[bytes]) -> Changes:
        """Deletions of these canonical keys."""
        return Changes(
            self.schema, key_rows(self.schema, keys), [Op.DELETE] * len(keys), canonical.digests(keys)
        )


class Scan(Protocol):
    """A pass under way."""

    def step(self) -> bool:
        """Do the next piece; True when the pass is complete. May raise what the source and the spool raise,
        and IndexDamaged; what was committed before stays. The pass must then be thrown away: a new one goes on
        from what the spool holds."""
        ...
