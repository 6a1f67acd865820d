"""Scanning a table that can only be read whole: without a key (a multiset of rows), or a file.

One statement is read to a scratch file, so that it ends soon, and a new index is made. From then on the
transactions follow from old index and scratch alone: an interrupted pass goes on at its slice, and nothing is
counted twice (a multiset would not forgive that). The last transaction swaps the index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa

from protocol import canonical
from protocol.change import Op
from protocol.errors import Rejected

from ..batching import Changes, GroupBuilder
from ..sources.source import Rows
from ..spool.records import Shard
from .diff import CountIndex, Encoded, KeyedIndex, count_ops, encode, keyed_ops
from .scan import Pass

DELETES_PER_STEP = 50_000


class WholeScan:
    def __init__(self, one: Pass) -> None:
        self._pass = one
        self._keyed = bool(one.schema.key)
        shard = one.writer.spool.shard_at(one.writer.stream, one.schema.table, b"")
        self._old = shard or Shard(b"", b"", "", 0)
        self._slices: Iterator[Rows] | None = None
        self._remaining: CountIndex = Counter()
        self._old_keys: KeyedIndex = {}
        self._deletes: list[bytes] | None = None

    def step(self) -> bool:
        if "scratch" not in self._pass.facts:
            return self._read()
        if self._slices is None:
            self._resume()
        assert self._slices is not None
        rows = next(self._slices, None)
        if rows is not None:
            self._emit(rows)
            return False
        return self._finish()

    # reading

    def _read(self) -> bool:
        """The one statement. True where nothing changed: then nothing is kept of it."""
        one = self._pass
        scratch = one.files.new_scratch(one.schema)
        keyed: KeyedIndex = {}
        counts: CountIndex = Counter()
        rows_read = 0
        try:
            for rows in one.source.whole(one.schema):
                encoded = encode(one.schema, rows, one.writer.secret)
                keyed.update(zip(encoded.keys, encoded.digests, strict=False))
                counts.update(encoded.digests)
                rows_read += rows.count
                scratch.add(rows)
            if self._keyed and len(keyed) != rows_read:
                raise Rejected("GC-2005", table=str(one.schema.table))
            changed = self._changed(keyed, counts, rows_read)
        except BaseException:
            scratch.discard()
            raise
        one.read = rows_read
        if not changed and not one.snapshot:
            scratch.discard()
            return True
        scratch.close()
        name = one.files.write_keyed(keyed) if self._keyed else one.files.write_counts(counts)
        one.facts |= {
            "scratch": scratch.name,
            "index": name,
            "indexed": rows_read,
            "done": 0,
            "deleted": 0,
            "files": [scratch.name, name],
        }
        one.writer.commit(None, table=one.state())
        return False

    def _changed(self, keyed: KeyedIndex, counts: CountIndex, rows: int) -> bool:
        """Compare with the old index; the guard stands here, before anything is sent."""
        files, old = self._pass.files, self._old
        if self._keyed:
            before = files.read_keyed(old.file)
            vanished = len(before.keys() - keyed.keys())
            changed = before != keyed
        else:
            before_counts = files.read_counts(old.file)
            vanished = (before_counts - counts).total()
            changed = before_counts != counts
        self._pass.guard(vanished, max(old.rows, 1))
        return changed or not old.file

    # emitting

    def _resume(self) -> None:
        """Open the scratch where the last transaction left it, with the old index used up as far."""
        one = self._pass
        done = int(str(one.facts["done"]))
        if self._keyed:
            self._old_keys = one.files.read_keyed(self._old.file)
        else:
            self._remaining = one.files.read_counts(self._old.file)
            for rows in islice(self._scratch(), done):
                digests = encode(one.schema, rows, one.writer.secret).digests
                count_ops(self._remaining, digests, snapshot=one.snapshot)
        self._slices = islice(self._scratch(), done, None)

    def _scratch(self) -> Iterator[Rows]:
        return self._pass.files.read_scratch(str(self._pass.facts["scratch"]), self._pass.schema)

    def _emit(self, rows: Rows) -> None:
        one = self._pass
        encoded = encode(one.schema, rows, one.writer.secret)
        group = one.writer.group()
        group.add(one.changes(rows, self._ops(encoded), self._row_keys(encoded)))
        self._advance(group, encoded.rows)

    def _ops(self, encoded: Encoded) -> list[Op | None]:
        if self._keyed:
            return keyed_ops(self._old_keys, encoded, snapshot=self._pass.snapshot)
        return count_ops(self._remaining, encoded.digests, snapshot=self._pass.snapshot)

    def _row_keys(self, encoded: Encoded) -> list[bytes]:
        return canonical.digests(encoded.keys) if self._keyed else encoded.digests

    def _advance(self, group: GroupBuilder, lines: list[bytes]) -> None:
        one = self._pass
        one.facts["done"] = int(str(one.facts["done"])) + 1
        if one.progress is not None:
            one.progress = one.progress.plus(b"", group.batches, lines)
        one.writer.commit(group, table=one.state())

    # deleting, and the end

    def _finish(self) -> bool:
        """Deletions, a bounded number a transaction; with the last of them the index is swapped."""
        one = self._pass
        if self._deletes is None:
            self._deletes = self._find_deletes()
        start = int(str(one.facts["deleted"]))
        part = self._deletes[start : start + DELETES_PER_STEP]
        group = one.writer.group()
        if part:
            group.add(one.keyed_deletes(part) if self._keyed else self._count_deletes(part))
        last = start + len(part) >= len(self._deletes)
        one.facts["deleted"] = start + len(part)
        if not last:
            one.writer.commit(group, table=one.state())
            return False
        self._swap(group)
        return True

    def _find_deletes(self) -> list[bytes]:
        """Canonical keys, or row digests as often as they are gone. A snapshot of a multiset needs none: its
        begin mark is a floor under which nothing counts."""
        one = self._pass
        if self._keyed:
            new = one.files.read_keyed(str(one.facts["index"]))
            return sorted(self._old_keys.keys() - new.keys())
        return [] if one.snapshot else sorted(self._remaining.elements())

    def _count_deletes(self, digests: list[bytes]) -> Changes:
        """One deletion a lost copy; a row without a key is named by its digest alone."""
        schema = self._pass.schema
        nothing = Rows([pa.nulls(len(digests), c.wire) for c in schema.columns])
        return Changes(schema, nothing, [Op.DELETE] * len(digests), digests)

    def _swap(self, group: GroupBuilder) -> None:
        one = self._pass
        scratch = str(one.facts.pop("scratch"))
        index = str(one.facts.pop("index"))
        rows = int(str(one.facts.pop("indexed")))
        for name in ("done", "deleted", "files"):
            one.facts.pop(name, None)
        one.writer.commit(
            group,
            table=one.state(),
            drop_shards=[b""] if self._old.file else [],
            add_shards=[Shard(b"", b"", index, rows)],
        )
        one.files.remove(scratch, self._old.file)
