"""Snapshots: what stands between a begin and an end mark, counted and hashed (capture.md §2).

The end mark says how many batches and rows were read and the set hash of their canonical form; it takes effect
at the centre only if all of that landed. Progress is durable with every chunk, so that a snapshot goes on
where it was interrupted; a second begin voids the first.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any

from protocol import canonical
from protocol.batch import MarkHeader
from protocol.change import MarkKind
from protocol.schema import TableSchema

from ..spool.records import TableState
from .phases import Event, Phase, after
from .writer import StreamWriter


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a snapshot is. `cursor` is the canonical key up to which it has read."""

    id: str
    reason: str
    cursor: bytes = b""
    batches: int = 0
    rows: int = 0
    set_hash: int = 0

    def plus(self, cursor: bytes, batches: int, lines: list[bytes]) -> Progress:
        """After a chunk with these canonical rows."""
        return replace(
            self,
            cursor=cursor,
            batches=self.batches + batches,
            rows=self.rows + len(lines),
            set_hash=canonical.add_to_set_hash(self.set_hash, canonical.digests(lines)),
        )

    def to_facts(self) -> dict[str, Any]:
        return {
            "snapshot": self.id,
            "reason": self.reason,
            "cursor": self.cursor.hex(),
            "batches": self.batches,
            "rows": self.rows,
            "set_hash": f"{self.set_hash:032x}",
        }

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Progress:
        return cls(
            facts["snapshot"],
            facts["reason"],
            bytes.fromhex(facts["cursor"]),
            facts["batches"],
            facts["rows"],
            int(facts["set_hash"], 16),
        )


def begin(
    writer: StreamWriter,
    schema: TableSchema,
    reason: str,
    *,
    keep_index: bool,
    confirmed: bool,
    before: int = 0,
) -> Progress:
    """Write the begin mark. Without `keep_index` the table is read as if nothing were known of it; `before` is
    then how many rows were known, for the guard at the end."""
    state = writer.table(schema.table)
    phase = after(Phase(state.phase) if state else Phase.NEW, Event.BEGIN)
    progress = Progress(secrets.token_hex(16), reason)
    facts = progress.to_facts() | ({"confirmed": True} if confirmed else {})
    if before:
        facts["before"] = before
    group = writer.group()
    group.schema(schema)
    group.mark(_mark(writer, schema, MarkKind.SNAPSHOT_BEGIN, progress.id, {"reason": reason}))
    writer.commit(
        group,
        table=TableState(schema.table, phase, schema.fingerprint, facts),
        drop_all_shards=not keep_index,
    )
    return progress


def end(writer: StreamWriter, schema: TableSchema, progress: Progress) -> None:
    """Write the end mark: the table follows from now on."""
    facts = {
        "batches": progress.batches,
        "rows": progress.rows,
        "set_hash": f"{progress.set_hash:032x}",
    }
    group = writer.group()
    group.mark(_mark(writer, schema, MarkKind.SNAPSHOT_END, progress.id, facts))
    writer.commit(
        group,
        table=TableState(
            schema.table, after(Phase.SNAPSHOT, Event.END), schema.fingerprint, {"rows": progress.rows}
        ),
    )


def drop(writer: StreamWriter, state: TableState) -> None:
    """Say that a table is gone, once a person has confirmed it."""
    name = state.table
    mark = MarkHeader(
        captured=writer.wall(),
        mark=MarkKind.DROP,
        table=(name.database, name.schema, name.name),
        schema_=state.fingerprint.hex(),
    )
    group = writer.group()
    content = writer.spool.schema(writer.stream, state.fingerprint)
    if content is not None:
        group.schema(TableSchema.from_bytes(content))
    group.mark(mark)
    phase = after(Phase(state.phase), Event.DROP)
    writer.commit(group, table=TableState(name, phase, state.fingerprint, {}), drop_all_shards=True)


def _mark(
    writer: StreamWriter, schema: TableSchema, kind: MarkKind, snapshot: str, facts: dict[str, Any]
) -> MarkHeader:
    name = schema.table
    return MarkHeader(
        captured=writer.wall(),
        mark=kind,
        table=(name.database, name.schema, name.name),
        schema_=schema.fingerprint.hex(),
        snapshot=snapshot,
        facts=facts,
    )
