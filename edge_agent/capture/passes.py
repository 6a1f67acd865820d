"""How a pass over a table begins and ends: what is due, what is kept of before, what is remembered after.

A snapshot begins where a table is new, is back, has other columns, or somebody asked; else it is a diff. Nothing is
decided here about when.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace

from protocol.errors import Rejected

from ..orders import Orders
from ..spool.records import TableState
from . import snapshot
from .facts import ASKED_FOR, BACK, COLUMNS_CHANGED, FIRST, WAY_CHANGED, Facts, facts_of
from .index import IndexFiles
from .phases import Phase
from .polling import Follower, begin_polling
from .scan import Pass
from .writer import StreamWriter

log = logging.getLogger("edge.capture")

DAMAGED = "index damaged"


def begin(one: Follower, files: IndexFiles, orders: Orders, damaged: bool) -> Pass:
    """The pass that is due: a snapshot that begins or goes on, or a diff. What was ordered is passed on once the
    spool has it."""
    name, slug = one.schema.table, one.source_slug
    state = one.writer.table(name)
    facts = facts_of(state)
    if facts.progress is not None and facts.progress.id == orders.wanted(slug, name):
        orders.begun(slug, name)  # it died right behind the begin mark
    if orders.is_confirmed(slug, name):
        facts = replace(facts, confirmed=True)
        if state is not None:
            one.writer.commit(None, table=replace(state, facts=facts.to_json()))
    wanted = orders.wanted(slug, name)
    reason = _reason(one, state) or (DAMAGED if damaged else None if wanted is None else ASKED_FOR)
    if reason is not None:
        facts = _begin_snapshot(one, files, state, facts, reason, wanted)
        orders.begun(slug, name)
    elif state is not None and state.fingerprint != one.schema.fingerprint:
        _tell_comments(one, replace(state, facts=facts.to_json()))
    orders.passed_on(slug, name)
    return Pass(slug, one.source, one.writer, files, one.settings, one.schema, facts)


def _reason(one: Follower, state: TableState | None) -> str | None:
    if state is None or state.phase == Phase.NEW:
        return FIRST
    if state.phase == Phase.GONE:
        return BACK
    if facts_of(state).log is not None:
        return WAY_CHANGED
    return None if one.writer.was_sent_as(state.fingerprint, one.schema) else COLUMNS_CHANGED


def _tell_comments(one: Follower, state: TableState) -> None:
    """Somebody wrote another comment at the source: no reason to read a row."""
    group = one.writer.group()
    group.schema(one.schema)
    one.writer.commit(group, table=replace(state, fingerprint=one.schema.fingerprint))


def _begin_snapshot(
    one: Follower, files: IndexFiles, state: TableState | None, facts: Facts, reason: str, id: str | None
) -> Facts:
    """Under the same columns the old index stays: with it the guard sees a mass deletion as it is found.
    Otherwise only how many rows were known; a snapshot that never ended hands that number on."""
    spool, stream, table = one.writer.spool, one.writer.stream, one.schema.table
    same = state is not None and one.writer.was_sent_as(state.fingerprint, one.schema)
    keep_index = same and reason not in (DAMAGED, WAY_CHANGED)
    lasting = facts.lasting if keep_index else Facts(checked=facts.checked)
    before = facts.before
    if not keep_index:
        before = max(before, spool.rows_indexed(stream, table))
    if lasting.polled is None and one.table.cursor is not None:
        with suppress(Rejected):  # the poll says it
            lasting = replace(lasting, polled=begin_polling(one))
    voided = set(facts.files) - set(lasting.files)
    if not keep_index:
        voided |= {shard.file for shard in spool.shards(stream, table)}
    begun = snapshot.begin(
        one.writer,
        one.schema,
        reason,
        keep_index=keep_index,
        confirmed=facts.confirmed,
        before=before,
        id=id,
        lasting=lasting,
    )
    files.remove(*voided)
    return begun


def end(one: Pass, checked: int) -> None:
    """Everything was read: a snapshot gets its end mark, of a diff little is remembered. `checked`: when this
    pass began, 0 where nobody needs to know after a restart."""
    progress = one.facts.progress
    known = facts_of(one.writer.table(one.schema.table))
    lasting = replace(known.lasting, checked=checked or known.checked)
    if progress is not None:
        one.guard_end()
        snapshot.end(one.writer, one.schema, progress, lasting)
        log.info("%s: snapshot of %s ended with %d rows", one.source_slug, one.schema.table, progress.rows)
    elif known != lasting:
        one.complete()
        state = one.state()
        one.writer.commit(None, table=replace(state, facts=lasting.to_json()))


def drop(one: StreamWriter, files: IndexFiles, state: TableState) -> None:
    """Say that a table is gone; a person has confirmed it."""
    of_shards = [shard.file for shard in one.spool.shards(one.stream, state.table)]
    snapshot.drop(one, state)
    files.remove(*of_shards, *facts_of(state).files)
