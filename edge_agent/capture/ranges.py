"""Scanning a keyed table in shards: fixed ranges of the key's own order (capture.md §5).

Bounds are values that the database gave, and only the database compares them. Each shard has an index file,
swapped in the transaction of the changes that it found. A shard that has grown past twice a page is split: its
front part gets an index of its own, the rest keeps what of the old index was not met in front. A key that is
in the index and not in what was read is a deletion only if asking for that key alone finds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol import canonical
from protocol.errors import Fault

from ..batching import GroupBuilder
from ..sources.source import Page, PageLimits, Rows
from ..spool.records import Shard
from .diff import KeyedIndex, encode, index_of, keyed_ops
from .scan import Pass


class RangeScan:
    """Goes on at the snapshot's cursor; a diff begins at the first shard."""

    def __init__(self, one: Pass) -> None:
        self._pass = one
        self._cursor = one.facts.progress.cursor if one.facts.progress else b""
        self._rows = max(1, one.writer.spool.rows_indexed(one.writer.stream, one.schema.table))

    def step(self) -> bool:
        one = self._pass
        shard = self._shard()
        old = one.files.read_keyed(shard.file)
        page = one.source.page(one.schema, shard.lo, shard.hi, self._limits(shard))
        rows, until = self._front(page, shard)
        encoded = encode(one.schema, rows, one.writer.secret)
        new = index_of(one.schema, encoded)
        ops = keyed_ops(old, encoded, snapshot=one.snapshot)
        missing = [key for key in old if key not in new]
        rest: KeyedIndex | None = None
        deletes: list[bytes] = []
        if until != shard.hi:
            rest = {key: old[key] for key in missing}
        elif missing:
            still = one.source.present(one.schema, missing)
            deletes = [key for key in missing if key not in still]
            if not one.snapshot:
                new |= {key: old[key] for key in still}
        group = one.writer.group()
        group.add(one.changes(rows, ops, canonical.digests(encoded.keys)))
        self._delete(group, deletes)
        one.read += rows.count
        one.advance(until, group.batches, encoded.rows)
        done = until == b""
        if done and one.snapshot:
            one.complete()
        if new != old or rest is not None or one.snapshot or not shard.file:
            self._commit(group, shard, until, new, rest)
        self._cursor = until
        return done

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

    def _delete(self, group: GroupBuilder, keys: Sequence[bytes]) -> None:
        if keys:
            self._pass.guard(len(keys), self._rows)
            group.add(self._pass.keyed_deletes(list(keys)))

    def _commit(
        self, group: GroupBuilder, shard: Shard, until: bytes, new: KeyedIndex, rest: KeyedIndex | None
    ) -> None:
        files = self._pass.files
        add: list[Shard] = []
        try:
            add.append(Shard(shard.lo, until, files.write_keyed(new), len(new)))
            if rest is not None:
                add.append(Shard(until, shard.hi, files.write_keyed(rest), len(rest)))
            drop = [shard.lo] if shard.file else []
            self._pass.writer.commit(group, table=self._pass.state(), drop_shards=drop, add_shards=add)
        except Fault:  # in a long outage every attempt would leave its files
            files.remove(*(one.file for one in add))
            raise
        files.remove(shard.file)
