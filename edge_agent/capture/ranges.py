"""Scanning a keyed table in shards: fixed ranges of the key's own order (capture.md §5).

Bounds are values that the database gave, and only the database compares them. Each shard has an index file,
swapped in the transaction of the changes that it found. A shard that has grown past twice a page is split: its
front part gets an index of its own, the rest keeps what of the old index was not met in front. A key that is
in the index and not in what was read is a deletion only if asking for that key alone finds nothing.
"""

from __future__ import annotations

from protocol import canonical

from ..batching import GroupBuilder
from ..sources.source import Page, PageLimits
from ..spool.records import Shard
from .diff import KeyedIndex, encode, index_of, keyed_ops
from .scan import Pass


class RangeScan:
    def __init__(self, one: Pass, cursor: bytes) -> None:
        self._pass = one
        self._cursor = cursor
        self._rows = max(1, one.writer.spool.rows_indexed(one.writer.stream, one.schema.table))

    def step(self) -> bool:
        one = self._pass
        shard = self._shard()
        old = one.files.read_keyed(shard.file)
        page = one.source.page(one.schema, shard.lo, shard.hi, self._limits(shard))
        page, until = self._front(page, shard)
        encoded = encode(one.schema, page.rows, one.writer.secret)
        new = index_of(one.schema, encoded)
        ops = keyed_ops(old, encoded, snapshot=one.snapshot)
        missing = [key for key in old if key not in new]
        deletes: list[bytes] = []
        rest: KeyedIndex = {}
        if page.full:
            rest = {key: old[key] for key in missing}
        elif missing:
            still = one.source.present(one.schema, missing)
            new |= {key: old[key] for key in still}
            deletes = [key for key in missing if key not in still]
            one.guard(len(deletes), self._rows)
        group = one.writer.group()
        group.add(one.changes(page.rows, ops, canonical.digests(encoded.keys)))
        if deletes:
            group.add(one.keyed_deletes(deletes))
        one.read += page.rows.count
        self._commit(group, shard, until, new, rest, encoded.rows, changed=new != old)
        self._cursor = until
        return until == shard.hi and shard.hi == b""

    def _shard(self) -> Shard:
        spool, table = self._pass.writer.spool, self._pass.schema.table
        found = spool.shard_at(self._pass.writer.stream, table, self._cursor)
        return found or Shard(self._cursor, b"", "", 0)

    def _limits(self, shard: Shard) -> PageLimits:
        settings = self._pass.settings
        rows = settings.page_rows * 2 if shard.rows else settings.page_rows
        return PageLimits(rows, settings.page_bytes)

    def _front(self, page: Page, shard: Shard) -> tuple[Page, bytes]:
        """The part of a page to take now, and the key up to which it covers the shard."""
        if not page.full:
            return page, shard.hi
        half = self._pass.settings.page_rows
        if page.rows.count <= half:
            return page, page.last
        rows = page.rows.slice(0, half)
        keys = [rows.columns[i].slice(half - 1, 1) for i in self._pass.schema.key_positions]
        last = canonical.encode_rows(keys)[0]
        return Page(rows, last, True), last

    def _commit(
        self,
        group: GroupBuilder,
        shard: Shard,
        until: bytes,
        new: KeyedIndex,
        rest: KeyedIndex,
        lines: list[bytes],
        *,
        changed: bool,
    ) -> None:
        one = self._pass
        split = until != shard.hi
        if not (changed or split or one.snapshot or not shard.file):
            return
        add = [Shard(shard.lo, until, one.files.write_keyed(new), len(new))]
        if split:
            add.append(Shard(until, shard.hi, one.files.write_keyed(rest), len(rest)))
        if one.progress is not None:
            one.progress = one.progress.plus(until, group.batches, lines)
        drop = [shard.lo] if shard.file else []
        one.writer.commit(group, table=one.state(), drop_shards=drop, add_shards=add)
        one.files.remove(shard.file)
