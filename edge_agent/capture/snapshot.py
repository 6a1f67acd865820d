"""Snapshots: what stands between a begin and an end mark, counted and hashed (capture.md §2).

The end mark says how many batches and rows were read and the set hash of their canonical form; it takes effect
at the centre only if all of that landed. Progress is durable with every chunk, so that a snapshot goes on
where it was interrupted; a second begin voids the first.
"""

from __future__ import annotations

import secrets
from typing import Any

from protocol.batch import MarkHeader
from protocol.change import MarkKind
from protocol.schema import TableSchema

from ..batching import GroupBuilder
from ..changes import Changes
from ..spool.records import TableState
from .diff import encode_lines
from .facts import Facts, Progress
from .phases import Event, Phase, after
from .writer import StreamWriter


def begin(
    writer: StreamWriter,
    schema: TableSchema,
    reason: str,
    *,
    keep_index: bool,
    confirmed: bool,
    before: int = 0,
    id: str | None = None,
    lasting: Facts = Facts(),
) -> Facts:
    """Write the begin mark, under `id` (32 hex digits) or one of its own. Without `keep_index` the table is read
    as if nothing were known of it; `before` is then how many rows were known, for the guard at the end.
    `lasting` is what goes on to be remembered."""
    state = writer.table(schema.table)
    phase = after(Phase(state.phase) if state else Phase.NEW, Event.BEGIN)
    progress = Progress(id or secrets.token_hex(16), reason)
    facts = Facts(progress, confirmed=confirmed, before=before).beside(lasting)
    group = writer.group()
    group.schema(schema)
    group.mark(_mark(writer, schema, MarkKind.SNAPSHOT_BEGIN, progress.id, {"reason": reason}))
    writer.commit(
        group,
        table=TableState(schema.table, phase, schema.fingerprint, facts.to_json()),
        drop_all_shards=not keep_index,
    )
    return facts


def carried(state: TableState, rows: int) -> TableState:
    """What a new epoch knows of a table of the older one: that it was there and how many rows it had. So it is
    missed should it be gone, and what its first snapshot would sweep is guarded. That it was dropped is said again:
    the mark may be among what the older epoch did not deliver."""
    if state.phase == Phase.GONE:
        return TableState(state.table, Phase.NEW, state.fingerprint, Facts(gone=True).to_json())
    facts = Facts(
        gone=Facts.from_json(state.facts).gone, before=max(rows, Facts.from_json(state.facts).before)
    )
    return TableState(state.table, Phase.NEW, state.fingerprint, facts.to_json())


def end(writer: StreamWriter, schema: TableSchema, progress: Progress, lasting: Facts) -> None:
    """Write the end mark: the table follows from now on, and `lasting` is remembered."""
    group = writer.group()
    group.mark(_mark(writer, schema, MarkKind.SNAPSHOT_END, progress.id, _ended(progress)))
    phase = after(Phase.SNAPSHOT, Event.END)
    writer.commit(group, table=TableState(schema.table, phase, schema.fingerprint, lasting.to_json()))


def drop(writer: StreamWriter, state: TableState) -> None:
    """Say that a table is gone, once a person has confirmed it."""
    group = writer.group()
    say(writer, group, state, MarkKind.DROP)
    phase = after(Phase(state.phase), Event.DROP)
    writer.commit(group, table=TableState(state.table, phase, state.fingerprint, {}), drop_all_shards=True)


def _ended(progress: Progress) -> dict[str, Any]:
    return {"batches": progress.batches, "rows": progress.rows, "set_hash": progress.set_hash_text}


def whole(
    writer: StreamWriter, group: GroupBuilder, changes: Changes, reason: str, *, id: str | None
) -> TableState:
    """All of a snapshot in one group: its begin mark, its rows, which are all reads, its end mark. Gives the table's
    state afterwards, but for its facts."""
    schema = changes.schema
    known = writer.table(schema.table)
    phase = after(after(Phase(known.phase) if known else Phase.NEW, Event.BEGIN), Event.END)
    progress = Progress(id or secrets.token_hex(16), reason)
    group.schema(schema)
    group.mark(_mark(writer, schema, MarkKind.SNAPSHOT_BEGIN, progress.id, {"reason": reason}))
    before = group.batches
    group.add(changes)
    progress = progress.plus(b"", group.batches - before, encode_lines(schema, changes.rows))
    group.mark(_mark(writer, schema, MarkKind.SNAPSHOT_END, progress.id, _ended(progress)))
    return TableState(schema.table, phase, schema.fingerprint, {})


def say(writer: StreamWriter, group: GroupBuilder, state: TableState, kind: MarkKind) -> None:
    """A mark about a table as it was last captured, with its schema where this epoch has none of it yet."""
    name = state.table
    content = writer.spool.schema(writer.stream, state.fingerprint)
    if content is not None:
        group.schema(TableSchema.from_bytes(content))
    group.mark(
        MarkHeader(
            captured=writer.wall(),
            mark=kind,
            table=(name.database, name.schema, name.name),
            schema_=state.fingerprint.hex(),
        )
    )


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
