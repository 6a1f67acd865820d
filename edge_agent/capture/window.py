"""The way `window`: reads a recent range of a table, and finds what was created, updated and deleted in it.

Which keys the last look saw is remembered in an index file. A key that this look does not see may have left the
window by age or by a changed date; it is deleted only if asking for that key alone finds nothing. The guard
against mass deletion counts against the rows of the window: a recent range that vanishes waits for a person.
What was never seen in the window (deleted within moments, or older) is for the scans to find.
"""

from __future__ import annotations

from dataclasses import replace

from protocol import canonical
from protocol.change import Op
from protocol.errors import Fault, Rejected
from protocol.schema import Column

from ..changes import Changes
from ..spool.records import Overlaid
from .diff import key_rows
from .facts import Recent, facts_of
from .following import Kind, Place, behind, kind_of
from .index import IndexFiles
from .polling import Follower

WINDOW_ROWS_MAX = 200_000
"""Keys of a window are held in memory while it is read: 40 MB at most."""
KEYS_PER_STEP = 2_000
_NOTHING = bytes(canonical.HASH_BYTES)


class Window:
    """One look at the window of one table."""

    def __init__(self, one: Follower, files: IndexFiles, *, confirmed: bool) -> None:
        self._one = one
        self._files = files
        self._confirmed = confirmed
        self._after: bytes | None = None
        self._seen: set[bytes] = set()
        self._missing: list[bytes] | None = None
        self._counted = 0
        self._gone = 0
        self._deleted = 0

    def step(self) -> bool:
        column = self._one.column("window")
        if self._missing is None:
            if not self._read(column):
                return False
            self._missing = sorted(self._before(column) - self._seen)
        elif self._counted < len(self._missing):
            self._counted += KEYS_PER_STEP
            self._gone += len(self._gone_of(self._missing[self._counted - KEYS_PER_STEP : self._counted]))
            if self._counted >= len(self._missing):
                self._guard(self._gone)
        else:
            self._delete(self._missing[self._deleted : self._deleted + KEYS_PER_STEP])
            self._deleted += KEYS_PER_STEP
        if self._deleted < len(self._missing):
            return False
        self._remember(column)
        return True

    def _read(self, column: Column) -> bool:
        """One page; True after the last."""
        one = self._one
        if self._after is None:
            self._after = self._bound(column)
        page = one.source.changed(one.schema, column.name, self._after, one.limits())
        group, overlaid, keys = one.sift(page.rows)
        self._seen.update(keys)
        if len(self._seen) > WINDOW_ROWS_MAX:
            raise Rejected("GC-2025", table=str(one.schema.table), rows=WINDOW_ROWS_MAX)
        if overlaid:
            one.writer.commit(group, table=one.state(), overlaid=overlaid)
        if page.last:
            self._after = page.last
        return not page.full

    def _bound(self, column: Column) -> bytes:
        """What the window lies behind; b"" where the table is empty."""
        one, kind = self._one, kind_of(column)
        reach = one.table.window_span if kind is Kind.NUMBER else one.table.window_days
        if reach is None:
            missing = "window_span" if kind is Kind.NUMBER else "window_days"
            source_type = column.source_type or str(column.wire)
            table = str(one.schema.table)
            raise Rejected("GC-2023", table=table, column=column.name, type=source_type, missing=missing)
        if kind is Kind.NUMBER:
            _, at = one.latest(column, "window")
            return b"" if at is None else behind(column, at, reach)
        at = Place(one.now(column))
        if kind is Kind.TEXT:
            _, newest = one.latest(column, "window")
            if newest is None:
                return b""
            at = replace(at, form=newest.form)
        return behind(column, at, reach * 86_400)

    def _before(self, column: Column) -> set[bytes]:
        """The keys that the last look saw. Raises IndexDamaged."""
        recent = facts_of(self._one.state()).recent
        if recent is None or recent.column != column.name:
            return set()
        return set(self._files.read_keyed(recent.file))

    def _gone_of(self, keys: list[bytes]) -> list[Overlaid]:
        """Those that were sent and are no longer there."""
        one = self._one
        still = one.source.present(one.schema, keys)
        known = one.known.find(one.schema.table, [key for key in keys if key not in still])
        return [found for found in known.values() if found.digest]

    def _guard(self, deletes: int) -> None:
        """Promise 8, as a scan's: raises Rejected GC-2006, and nothing of it is committed."""
        one, settings = self._one, self._one.settings
        recent = facts_of(one.state()).recent
        rows = recent.rows if recent else 0
        bound = max(settings.deletion_rows_min, settings.deletion_share_max * rows)
        if deletes > bound and not self._confirmed:
            raise Rejected(
                "GC-2006", deletes=deletes, rows=rows, table=str(one.schema.table), source=one.source_slug
            )

    def _delete(self, part: list[bytes]) -> None:
        """Asked for once more: since they were counted a poll or a scan may have seen one again."""
        one = self._one
        gone = self._gone_of(part)
        keys = [found.key for found in gone]
        if not keys:
            return
        deletes = [Op.DELETE] * len(keys)
        group = one.writer.group()
        group.add(Changes(one.schema, key_rows(one.schema, keys), deletes, canonical.digests(keys)))
        one.writer.commit(
            group,
            table=one.state(),
            overlaid=[Overlaid(found.key, b"", fresh=False) for found in gone if not found.fresh],
            drop_overlaid=[found.key for found in gone if found.fresh],
        )

    def _remember(self, column: Column) -> None:
        """What this look saw takes the place of what the last one did."""
        one = self._one
        state = one.state()
        facts = facts_of(state)
        old = facts.recent
        if old is not None and old.column == column.name and self._before(column) == self._seen:
            return
        file = self._files.write_keyed(dict.fromkeys(self._seen, _NOTHING))
        facts = replace(facts, recent=Recent(column.name, file, len(self._seen)))
        try:
            one.writer.commit(None, table=replace(state, facts=facts.to_json()))
        except Fault:
            self._files.remove(file)
            raise
        self._files.remove(old.file if old else "")
