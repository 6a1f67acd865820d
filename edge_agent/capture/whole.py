"""Scanning a table that can only be read whole: without a key (a multiset of rows), or a file.

One statement is read to a scratch file, so that it ends soon, and a new index is made. Of a table that is known to have
only grown (`GrowingSource`) the statement reads what came, and all of it is new. From then on the transactions follow
from old index and scratch alone: an interrupted pass goes on at its slice, and nothing is counted twice (a multiset
would not forgive that). The last transaction swaps the index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice

import pyarrow as pa

from protocol import canonical
from protocol.change import Op
from protocol.errors import Rejected

from ..batching import GroupBuilder
from ..changes import Changes
from ..sources.source import GrowingSource, Rows
from ..spool.records import Shard
from .diff import CountIndex, Encoded, KeyedIndex, count_ops, encode, keyed_ops
from .facts import Reading
from .index import ScratchWriter
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
        reading = self._pass.facts.reading
        if reading is None:
            return self._read()
        if self._slices is None:
            self._slices = self._resume(reading)
        rows = next(self._slices, None)
        if rows is None:
            return self._finish(reading)
        self._emit(rows, reading)
        return False

    # reading

    def _read(self) -> bool:
        """The one statement. True where nothing changed: then nothing is kept of it."""
        one = self._pass
        with suppress(Rejected):  # what is wrong is found in all of it, too, and can be said better then
            if (slices := self._since()) is not None:
                return self._take(slices, behind=True)
        one.read = 0
        return self._take(one.source.whole(one.schema), behind=False)

    def _since(self) -> Iterator[Rows] | None:
        """What came behind all that was there; None where all must be read."""
        one = self._pass
        if one.snapshot or not (one.facts.mark and self._old.file and isinstance(one.source, GrowingSource)):
            return None
        return one.source.since(one.schema, one.facts.mark)

    def _take(self, slices: Iterator[Rows], *, behind: bool) -> bool:
        one = self._pass
        scratch = one.files.new_scratch(one.schema)
        index = ""
        try:
            keyed, counts = self._to_scratch(scratch, slices)
            changed = self._add(keyed, counts) if behind else self._changed(keyed, counts)
            if not changed and not one.snapshot:
                scratch.discard()
                return True
            scratch.close()
            index = one.files.write_keyed(keyed) if self._keyed else one.files.write_counts(counts)
            mark = one.source.mark(one.schema.table) if isinstance(one.source, GrowingSource) else ""
            rows = len(keyed) if self._keyed else counts.total()
            one.facts = replace(
                one.facts, reading=Reading(scratch.name, index, rows, behind=behind, mark=mark)
            )
            one.writer.commit(None, table=one.state())
        except BaseException:
            scratch.discard()
            one.files.remove(index)
            raise
        return False

    def _to_scratch(self, scratch: ScratchWriter, slices: Iterator[Rows]) -> tuple[KeyedIndex, CountIndex]:
        one = self._pass
        keyed: KeyedIndex = {}
        counts: CountIndex = Counter()
        for rows in slices:
            encoded = encode(one.schema, rows, one.writer.secret)
            keyed.update(zip(encoded.keys, encoded.digests, strict=False))
            counts.update(encoded.digests)
            one.read += rows.count
            scratch.add(rows)
        if self._keyed and len(keyed) != one.read:
            raise Rejected("GC-2005", table=str(one.schema.table))
        return keyed, counts

    def _add(self, keyed: KeyedIndex, counts: CountIndex) -> bool:
        """What was there before, to the index of what came."""
        files, old = self._pass.files, self._old
        if not self._pass.read:
            return False
        if not self._keyed:
            counts.update(files.read_counts(old.file))
            return True
        before = files.read_keyed(old.file)
        if not before.keys().isdisjoint(keyed):
            raise Rejected("GC-2005", table=str(self._pass.schema.table))
        keyed.update(before)
        return True

    def _changed(self, keyed: KeyedIndex, counts: CountIndex) -> bool:
        """Compare with the old index; the guard stands here, before anything is sent."""
        files, old = self._pass.files, self._old
        if self._keyed:
            before = files.read_keyed(old.file)
            vanished, same = len(before.keys() - keyed.keys()), before == keyed
        else:
            before_counts = files.read_counts(old.file)
            vanished, same = (before_counts - counts).total(), before_counts == counts
        self._pass.guard(vanished, max(old.rows, 1))
        return not same or not old.file

    # emitting

    def _resume(self, reading: Reading) -> Iterator[Rows]:
        """The scratch where the last transaction left it; the old index is used up as far."""
        one = self._pass
        slices = one.files.read_scratch(reading.scratch, one.schema)
        if self._keyed:
            self._old_keys = one.files.read_keyed(self._old.file)
        if self._keyed or reading.behind:
            return islice(slices, reading.slices, None)
        self._remaining = one.files.read_counts(self._old.file)
        for rows in islice(slices, reading.slices):
            digests = encode(one.schema, rows, one.writer.secret).digests
            count_ops(self._remaining, digests, snapshot=one.snapshot)
        return slices

    def _emit(self, rows: Rows, reading: Reading) -> None:
        one = self._pass
        encoded = encode(one.schema, rows, one.writer.secret)
        group = one.writer.group()
        group.add(one.changes(rows, self._ops(encoded), self._row_keys(encoded)))
        one.advance(b"", group.batches, encoded.rows)
        one.facts = replace(one.facts, reading=replace(reading, slices=reading.slices + 1))
        one.writer.commit(group, table=one.state())

    def _ops(self, encoded: Encoded) -> list[Op | None]:
        if self._keyed:
            return keyed_ops(self._old_keys, encoded, snapshot=self._pass.snapshot)
        return count_ops(self._remaining, encoded.digests, snapshot=self._pass.snapshot)

    def _row_keys(self, encoded: Encoded) -> list[bytes]:
        return canonical.digests(encoded.keys) if self._keyed else encoded.digests

    # deleting, and the end

    def _finish(self, reading: Reading) -> bool:
        """Deletions, a bounded number a transaction; with the last of them the index is swapped."""
        one = self._pass
        if self._deletes is None:
            self._deletes = self._find_deletes(reading)
        part = self._deletes[reading.deletes : reading.deletes + DELETES_PER_STEP]
        group = one.writer.group()
        if part:
            group.add(one.keyed_deletes(part) if self._keyed else self._count_deletes(part))
            one.advance(b"", group.batches, [])
        sent = reading.deletes + len(part)
        if sent < len(self._deletes):
            one.facts = replace(one.facts, reading=replace(reading, deletes=sent))
            one.writer.commit(group, table=one.state())
            return False
        self._swap(group, reading)
        return True

    def _find_deletes(self, reading: Reading) -> list[bytes]:
        """Canonical keys, or row digests as often as they are gone. A snapshot of a multiset needs none: its
        begin mark is a floor under which nothing counts."""
        one = self._pass
        if self._keyed:
            new = one.files.read_keyed(reading.index)
            return sorted(self._old_keys.keys() - new.keys())
        return [] if one.snapshot else sorted(self._remaining.elements())

    def _count_deletes(self, digests: list[bytes]) -> Changes:
        """One deletion a lost copy; a row without a key is named by its digest alone."""
        schema = self._pass.schema
        nothing = Rows([pa.nulls(len(digests), c.wire) for c in schema.columns])
        return Changes(schema, nothing, [Op.DELETE] * len(digests), digests)

    def _swap(self, group: GroupBuilder, reading: Reading) -> None:
        one = self._pass
        one.facts = replace(one.facts, reading=None, mark=reading.mark)
        one.complete()
        one.writer.commit(
            group,
            table=one.state(),
            drop_shards=[b""] if self._old.file else [],
            add_shards=[Shard(b"", b"", reading.index, reading.rows)],
        )
        one.files.remove(reading.scratch, self._old.file)
