"""What the two ways of scanning a table share: their context, their settings, the guard against mass deletion.

A scan is one pass over one table. It advances by `step`, each at most one statement at the source and one
transaction in the spool, so that whoever drives it can pause between any two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from protocol import canonical
from protocol.change import Op
from protocol.errors import Rejected
from protocol.schema import TableSchema

from ..batching import Changes
from ..sources.source import Rows, Source
from ..spool.records import TableState
from .diff import key_rows, select
from .index import IndexFiles
from .phases import Phase
from .snapshot import Progress
from .writer import StreamWriter


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """Bounds of one step, and when deletions wait for a person: more than `deletion_rows_min` rows and more
    than `deletion_share_max` of the table."""

    page_rows: int = 10_000
    page_bytes: int = 16 << 20
    deletion_share_max: float = 0.3
    deletion_rows_min: int = 1_000


@dataclass(slots=True)
class Pass:
    """One pass over one table, as snapshot (with `progress`) or as diff (without)."""

    source_slug: str
    source: Source
    writer: StreamWriter
    files: IndexFiles
    settings: ScanSettings
    schema: TableSchema
    confirmed: bool
    progress: Progress | None
    facts: dict[str, object] = field(default_factory=dict)
    """What the table's state holds besides the snapshot's progress."""
    deleted: int = 0
    read: int = 0
    """Rows read in this pass."""

    @property
    def snapshot(self) -> bool:
        return self.progress is not None

    def state(self) -> TableState:
        """The table's state as it must stand in the spool now."""
        facts = dict(self.facts)
        if self.confirmed:
            facts["confirmed"] = True
        if self.progress is not None:
            facts |= self.progress.to_facts()
        phase = Phase.SNAPSHOT if self.progress is not None else Phase.FOLLOW
        return TableState(self.schema.table, phase, self.schema.fingerprint, facts)

    def guard(self, deletes: int, rows: int) -> None:
        """Promise 8: raises Rejected GC-2006 where too much would vanish; nothing of it is committed then."""
        total = self.deleted + deletes
        bound = max(self.settings.deletion_rows_min, self.settings.deletion_share_max * rows)
        if total > bound and not self.confirmed:
            raise Rejected(
                "GC-2006", deletes=total, rows=rows, table=str(self.schema.table), source=self.source_slug
            )
        self.deleted = total

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
