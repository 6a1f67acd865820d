"""The pen of one stream: begins groups at its head, and commits them with the state that they cover.

Invariant 1: whatever a table's state says is done was in the spool in the same transaction. One writer per
stream; it runs on one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protocol.errors import Transient
from protocol.names import Stream, TableName
from protocol.schema import TableSchema

from ..batching import GroupBuilder, Seal, place_after
from ..spool.records import Overlaid, Scan, Shard, StreamState, TableState, Work
from ..spool.spool import Spool


class StreamWriter:
    """Of one epoch of one stream. Raises Transient GC-3005 where none was granted yet."""

    def __init__(self, spool: Spool, stream: Stream, seal: Seal, wall: Callable[[], int]) -> None:
        self.spool = spool
        self.stream = stream
        self._seal = seal
        self.wall = wall
        state = self.spool.stream(stream)
        if state is None:
            raise Transient("GC-3005", source=stream.source)
        self.epoch, self.secret = state.epoch, state.secret
        self.state()

    def state(self) -> StreamState:
        """Raises Transient with the code that ended this epoch, once it is over."""
        state = self.spool.stream(self.stream)
        assert state is not None
        if state.stopped or state.epoch != self.epoch:
            code = state.stopped or "GC-3007"
            raise Transient(code, source=self.stream.source, epoch=self.epoch, seq=state.head_seq)
        return state

    def group(self) -> GroupBuilder:
        """A new group behind the stream's head. One at a time."""
        state = self.state()
        return GroupBuilder(
            self._seal,
            place_after(self.stream, state.epoch, state.head_seq, state.head_hash),
            captured=self.wall(),
            schema_sent=lambda fingerprint: self.spool.schema_sent(self.stream, fingerprint),
            object_sent=lambda sha256: self.spool.object_sent(self.stream, sha256),
        )

    def commit(
        self,
        group: GroupBuilder | None,
        *,
        position: str | None = None,
        cut: bool = False,
        table: TableState | None = None,
        tables: Sequence[TableState] = (),
        drop_shards: Sequence[bytes] = (),
        add_shards: Sequence[Shard] = (),
        drop_all_shards: bool = False,
        drop_overlaid: Sequence[bytes] = (),
        overlaid: Sequence[Overlaid] = (),
        drop_overlay: bool = False,
        scan: Scan | None = None,
    ) -> None:
        """One transaction. `cut`: the group ends a transaction of the source, a consistent point.

        Raises Transient GC-3001/3002 or as `state`; then nothing of it happened."""
        done = group.finish(position, cut) if group is not None else None
        state = self.state()  # after the sealing, which takes its time
        self.spool.commit(
            Work(
                stream=self.stream,
                epoch=self.epoch,
                after_seq=state.head_seq,
                envelopes=done.envelopes if done else (),
                schemas=done.schemas if done else (),
                objects=done.objects if done else (),
                pieces=done.pieces if done else {},
                position=position,
                table=table,
                tables=tables,
                drop_shards=drop_shards,
                add_shards=add_shards,
                drop_all_shards=drop_all_shards,
                drop_overlaid=drop_overlaid,
                overlaid=overlaid,
                drop_overlay=drop_overlay,
                scan=scan,
            )
        )

    def was_sent_as(self, fingerprint: bytes, schema: TableSchema) -> bool:
        """Whether the schema of this fingerprint is the same but for comments."""
        if fingerprint == schema.fingerprint:
            return True
        content = self.spool.schema(self.stream, fingerprint)
        return content is not None and TableSchema.from_bytes(content).shape == schema.shape

    def table(self, table: TableName) -> TableState | None:
        return self.spool.table(self.stream, table)
