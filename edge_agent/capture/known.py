"""What was sent of a table's rows: the shards' indexes, overridden by the overlay of polls and windows.

Only the database compares keys, so nobody here can tell in which shard a polled key lies. Each shard's index
file is immutable; of each a sorted array of 32-bit hashes is kept in memory (4 bytes a row, within a budget),
made when it is first asked for. A key is looked up in the overlay, then in the hashes, and only files that
seem to have it are read. Hashes are Python's own, good within one process.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable

from protocol.names import Stream, TableName

from ..spool.records import Overlaid
from ..spool.spool import Spool
from .diff import KeyedIndex
from .index import IndexFiles

HASHES_MAX = 8_000_000
"""Rows whose hashes are kept, of all tables of a source: 32 MB. What is beyond is read again at each look-up."""
PARSED_MAX = 4
"""Indexes kept as they were read: the rows that change are mostly the newest ones, side by side."""
_FEW = 200
"""Up to so many keys are looked for one by one in a shard's hashes."""
_MASK = 0xFFFFFFFF


class Known:
    """Of one source."""

    def __init__(self, spool: Spool, stream: Stream, files: IndexFiles) -> None:
        self._spool = spool
        self._stream = stream
        self._files = files
        self._hashes: OrderedDict[str, array[int]] = OrderedDict()
        self._hashed = 0
        self._parsed: OrderedDict[str, KeyedIndex] = OrderedDict()

    def find(self, table: TableName, keys: Iterable[bytes]) -> dict[bytes, Overlaid]:
        """What is known of these canonical keys; a key that was never sent is absent, one whose deletion was
        has an empty digest. Raises IndexDamaged."""
        wanted = list(keys)
        found = self._spool.overlaid(self._stream, table, wanted)
        rest = {key for key in wanted if key not in found}
        if rest:
            for shard in self._spool.shards(self._stream, table):
                if shard.rows and self._may_hold(shard.file, rest):
                    index = self._index(shard.file)
                    found |= {key: Overlaid(key, index[key], fresh=False) for key in rest & index.keys()}
        return found

    def _may_hold(self, file: str, keys: set[bytes]) -> bool:
        hashes = self._hashes_of(file)
        if len(keys) > _FEW:
            return not {hash(key) & _MASK for key in keys}.isdisjoint(hashes)
        for key in keys:
            value = hash(key) & _MASK
            place = bisect_left(hashes, value)
            if place < len(hashes) and hashes[place] == value:
                return True
        return False

    def _hashes_of(self, file: str) -> array[int]:
        hashes = self._hashes.pop(file, None)
        if hashes is None:
            hashes = array("I", sorted(hash(key) & _MASK for key in self._files.read_keyed(file)))
            self._hashed += len(hashes)
        self._hashes[file] = hashes
        while self._hashed > HASHES_MAX and len(self._hashes) > 1:
            _, oldest = self._hashes.popitem(last=False)
            self._hashed -= len(oldest)
        return hashes

    def _index(self, file: str) -> KeyedIndex:
        index = self._parsed.pop(file, None)
        if index is None:
            index = self._files.read_keyed(file)
        self._parsed[file] = index
        while len(self._parsed) > PARSED_MAX:
            self._parsed.popitem(last=False)
        return index
