"""Scanning a keyed table in shards: fixed ranges of the key's own order (capture.md §5).

Bounds are values that the database gave, and only the database compares them. Each shard has an index file,
swapped in the transaction of the changes that it found. A shard that has grown past twice a page is split: its
front part gets an index of its own, the rest keeps what of the old index was not met in front. A key that is
in the index and not in what was read is a deletion only if asking for that key alone finds nothing.

What polls and windows found lies over the shards, and is folded in where its keys are met. What a pass has met
in no shard although it was there at the beginning is asked for at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol import canonical
from protocol.errors import Fault, Rejected

from ..batching import GroupBuilder
from ..sources.source import Page, PageLimits, Rows
from ..spool.records import Overlaid, Shard
from .ahead import Ahead
from .diff import KeyedIndex, encode, index_of, keyed_ops
from .scan import Pass

LEFT_PER_STEP = 2_000


@dataclass(frozen=True, slots=True)
class _Swap:
    """What becomes of a shard: the index of its front part, of what lies behind `until`, and which keys leave
    the overlay."""

    shard: Shard
    until: bytes
    new: KeyedIndex
    rest: KeyedIndex | None
    folded: list[bytes]
    all_folded: bool


class RangeScan:
    """Goes on at the snapshot's cursor; a diff begins at the first shard."""

    def __init__(self, one: Pass) -> None:
        self._pass = one
        self._cursor = one.facts.progress.cursor if one.facts.progress else b""
        self._rows = max(1, one.writer.spool.rows_indexed(one.writer.stream, one.schema.table))
        self._begun_at = one.writer.state().head_seq
        self._ahead = Ahead(one)
        self._lacking = 0.0
        self._page: Page | None = None
        """What was read of the shard, while that to which its rows refer is sent ahead."""
        self._left: bytes | None = None
        """Behind the last shard: the key up to which the rest of the overlay was looked at."""

    def step(self) -> bool:
        return self._read_shard() if self._left is None else self._look_at_rest(self._left)

    def _read_shard(self) -> bool:
        one = self._pass
        shard = self._shard()
        old = one.files.read_keyed(shard.file)
        page = self._page or one.source.page(one.schema, shard.lo, shard.hi, self._limits(shard))
        rows, until = self._front(page, shard)
        rows, held_back = self._ahead.without_lost(rows)
        encoded = encode(one.schema, rows, one.writer.secret)
        new = index_of(one.schema, encoded)
        overlaid = self._overlaid(old, new)
        known = _under(old, overlaid)
        ops = keyed_ops(known, encoded, snapshot=one.snapshot)
        self._page = page if self._ahead.step(rows, ops) else None
        if self._page is not None:
            return False
        self._note_lacking(page.lacking + len(held_back))
        ends = until == shard.hi
        deletes: list[bytes] = []
        folded = [key for key in overlaid if ends or key in new]
        if ends and (missing := [key for key in known if key not in new]):
            still = one.source.present(one.schema, missing) | (held_back & set(missing))
            deletes = [key for key in missing if key not in still]
            if not one.snapshot:
                new |= {key: old[key] for key in still}
                folded = [key for key in folded if key not in still]
        group = one.writer.group()
        group.add(one.changes(rows, ops, canonical.digests(encoded.keys)))
        self._delete(group, deletes)
        one.read += rows.count
        one.advance(until, group.batches, encoded.rows)
        done = until == b"" and one.snapshot
        if done:
            self._sweep_rest(set(folded))
            one.complete()
        rest = None if ends else {key: digest for key, digest in old.items() if key not in new}
        if new != old or rest is not None or folded or one.snapshot or not shard.file:
            self._commit(group, _Swap(shard, until, new, rest, folded, all_folded=done))
        self._cursor = until
        if until == b"":
            self._left = b""
        return done or (self._left is not None and not self._rest(self._left))

    def _note_lacking(self, rows: float) -> None:
        """What a snapshot lacks its end would sweep; a few rows come back with the next diff."""
        self._lacking += rows
        if self._pass.snapshot and self._lacking > self._pass.settings.deletion_rows_min:
            raise Rejected("GC-2014", file=str(self._pass.schema.table))

    def _shard(self) -> Shard:
        spool, table = self._pass.writer.spool, self._pass.schema.table
        found = spool.shard_at(self._pass.writer.stream, table, self._cursor)
        return found or Shard(self._cursor, b"", "", 0)

    def _limits(self, shard: Shard) -> PageLimits:
        settings = self._pass.settings
        rows = settings.page_rows * 2 if shard.rows else settings.page_rows
        return PageLimits(rows, settings.page_bytes)

    def _front(self, page: Page, shard: Shard) -> tuple[Rows, bytes]:
        """The rows to take now, and the key up to which they cover the shard. A limit that was met at the
        shard's own bound left nothing unread."""
        if not page.full or page.last == shard.hi:
            return page.rows, shard.hi
        half = self._pass.settings.page_rows
        if page.rows.count <= half:
            return page.rows, page.last
        rows = page.rows.slice(0, half)
        last = [rows.columns[i].slice(half - 1, 1) for i in self._pass.schema.key_positions]
        return rows, canonical.encode_rows(last)[0]

    def _overlaid(self, old: KeyedIndex, new: KeyedIndex) -> dict[bytes, Overlaid]:
        writer = self._pass.writer
        return writer.spool.overlaid(writer.stream, self._pass.schema.table, old.keys() | new.keys())

    def _delete(self, group: GroupBuilder, keys: Sequence[bytes]) -> None:
        if keys:
            self._pass.guard(len(keys), self._rows)
            group.add(self._pass.keyed_deletes(list(keys)))

    def _commit(self, group: GroupBuilder, swap: _Swap) -> None:
        files, shard = self._pass.files, swap.shard
        add: list[Shard] = []
        try:
            add.append(Shard(shard.lo, swap.until, files.write_keyed(swap.new), len(swap.new)))
            if swap.rest is not None:
                add.append(Shard(swap.until, shard.hi, files.write_keyed(swap.rest), len(swap.rest)))
            self._pass.writer.commit(
                group,
                table=self._pass.state(),
                drop_shards=[shard.lo] if shard.file else [],
                add_shards=add,
                drop_overlaid=swap.folded,
                drop_overlay=swap.all_folded,
            )
        except Fault:  # in a long outage every attempt would leave its files
            files.remove(*(one.file for one in add))
            raise
        files.remove(shard.file)

    # what no shard has: found by a poll, and not met since

    def _rest(self, after: bytes) -> list[Overlaid]:
        writer = self._pass.writer
        table = self._pass.schema.table
        return writer.spool.overlay_left(writer.stream, table, self._begun_at, after, LEFT_PER_STEP)

    def _look_at_rest(self, after: bytes) -> bool:
        """A row that moved past the cursor is still there, and stays in the overlay until a pass meets it."""
        one = self._pass
        keys = [found.key for found in self._rest(after)]
        if keys:
            still = one.source.present(one.schema, keys)
            if gone := [key for key in keys if key not in still]:
                group = one.writer.group()
                self._delete(group, gone)
                one.writer.commit(group, table=one.state(), drop_overlaid=gone)
            self._left = keys[-1]
        return len(keys) < LEFT_PER_STEP

    def _sweep_rest(self, met: set[bytes]) -> None:
        """Whatever a snapshot has not met is swept at its end."""
        after = b""
        while left := self._rest(after):
            self._pass.guard(sum(found.key not in met for found in left), self._rows)
            after = left[-1].key


def _under(old: KeyedIndex, overlaid: dict[bytes, Overlaid]) -> KeyedIndex:
    """What was sent: `old`, as the overlay overrides it."""
    if not overlaid:
        return old
    known = old | {key: one.digest for key, one in overlaid.items()}
    return {key: digest for key, digest in known.items() if digest}
