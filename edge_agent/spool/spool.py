"""The agent's spool: its durable outbox and its memory of positions.

Whatever belongs together becomes durable in one transaction (promise 1), and an envelope leaves only for a
receipt that names it by hash or because a newer epoch takes the stream's place (promise 2). Methods may be
called from any thread of the one process that owns the directory; `commit` returns once the disk has it.
It refuses to know what envelopes hold, how they travel and where positions come from.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from protocol.envelope import Kind
from protocol.errors import Rejected, Transient
from protocol.names import Stream, TableName
from protocol.sealing import Sealed

from . import rows
from .database import Database
from .queries import QUERIES as Q
from .records import Backlog, Dropped, Overlaid, Shard, Stored, StreamState, TableState, Work

_WINDOW_ENVELOPES_MAX = 64


Carry = Callable[[TableState, int], TableState | None]


class Spool:
    """One directory with `spool.sqlite` in it. `recovered` names the damaged file that was moved aside."""

    def __init__(self, database: Database, bytes_max: int, keep_receipted_bytes: int) -> None:
        self._database = database
        self._bytes_max = bytes_max
        self._keep_receipted_bytes = keep_receipted_bytes
        self._subscribers: list[Callable[[], None]] = []

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        bytes_max: int,
        keep_receipted_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> Spool:
        """`bytes_max` bounds all envelope bytes, receipted ones give way first. `clock` names what is moved aside.

        Raises Permanent GC-1006 where another process works here, GC-3002 for a spool of a newer version;
        Transient GC-3002 where the directory cannot be written.
        """
        return cls(Database(directory, clock), bytes_max, keep_receipted_bytes)

    @property
    def recovered(self) -> Path | None:
        return self._database.recovered

    def close(self) -> None:
        self._database.close()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call `callback`, from the committing thread, after each commit that put envelopes in. It must return at
        once and not raise: the work is durable already."""
        self._subscribers.append(callback)

    # Streams and epochs

    def streams(self) -> list[StreamState]:
        with self._database.read() as db:
            return [rows.stream_state(row) for row in db.execute(Q["streams"])]

    def stream(self, stream: Stream) -> StreamState | None:
        with self._database.read() as db:
            row = rows.find(db, stream)
            return None if row is None else rows.stream_state(row)

    def open_epoch(
        self,
        stream: Stream,
        epoch: int,
        grant: bytes,
        secret: bytes,
        carry: Carry = lambda _state, _rows: None,
    ) -> Dropped:
        """Begin `epoch`, forget everything of the older one but its schemas, and say what had no receipt.

        `carry` makes of each table's state and the rows that were indexed of it what the new epoch knows.
        Promise 2: a granted epoch fences the older one, and its snapshot replaces what is dropped here. Raises
        ValueError for an epoch that is not above the present one.
        """
        with self._database.write() as db:
            row = rows.find(db, stream)
            dropped = Dropped(0, 0)
            if row is not None:
                if epoch <= row["epoch"]:
                    raise ValueError(f"epoch {epoch} of {stream} is not above {row['epoch']}")
                waiting = rows.backlog(db, row)
                dropped = Dropped(waiting.envelopes, waiting.bytes)
                kept = [carry(*known) for known in rows.tables_with_rows(db, row["id"])]
                for what in (
                    "bodies",
                    "envelopes",
                    "tables",
                    "shards",
                    "overlay",
                    "objects",
                    "pieces",
                    "scans",
                ):
                    rows.run(db, f"{what}_delete_of_stream", row["id"])
                for state in kept:
                    if state is not None:
                        rows.put_table(db, row["id"], state)
            names = {"site": stream.site, "source": stream.source}
            rows.run(db, "stream_put", None, **names, epoch=epoch, grant=grant, secret=secret)
        return dropped

    def stop(self, stream: Stream, epoch: int, code: str) -> bool:
        """Remember why nothing more is sent in this epoch; False where the stream has another one by now."""
        with self._database.write() as db:
            row = rows.known(db, stream)
            if row["epoch"] != epoch:
                return False
            rows.run(db, "stream_stop", row["id"], code=code)
            return True

    # Work in

    def commit(self, work: Work) -> None:
        """Make all of `work` durable, or nothing of it.

        Raises Transient GC-3001 where its envelopes do not fit `bytes_max` beside those without a receipt, GC-3002
        where the disk refuses. A wrong epoch or `after_seq`, or a broken sequence, is the caller's mistake.
        """
        checksums = [rows.checksum(sealed.data) for sealed in work.envelopes]
        with self._database.write() as db:
            row = rows.known(db, work.stream)
            assert (row["epoch"], row["head_seq"]) == (work.epoch, work.after_seq), "not the stream's head"
            self._make_room(db, sum(len(sealed.data) for sealed in work.envelopes))
            rows.append(db, row, work, checksums)
            rows.note_sent(db, row["id"], work)
            rows.store_table(db, row["id"], work)
            if work.scan is not None:
                head = work.envelopes[-1].last_seq if work.envelopes else work.after_seq
                rows.run(db, "scan_put", row["id"], seq=head, started=work.scan.started)
                rows.run(db, "scans_forget", row["id"], seq=row["receipted_seq"])
        if work.envelopes:
            self._tell()

    def replace(self, stream: Stream, epoch: int, gap: Sealed) -> None:
        """Put `gap` where the envelopes seq..last_seq stand or stood, at or below the head (landing.md §1).

        Schemas and large values may have been among them: all count as not sent any more. Later envelopes keep
        their sequence and hash; their offsets move, so that both ends count the same bytes.
        """
        assert gap.kind is Kind.GAP
        with self._database.write() as db:
            row = rows.known(db, stream)
            assert row["epoch"] == epoch
            assert gap.last_seq <= row["head_seq"]
            rows.put_gap(db, row, gap)
            rows.run(db, "schemas_unsent", row["id"])
            rows.run(db, "objects_delete_of_stream", row["id"])
            rows.run(db, "pieces_delete_of_stream", row["id"])
        self._tell()

    def _tell(self) -> None:
        for callback in self._subscribers:
            callback()

    def _make_room(self, db: sqlite3.Connection, new_bytes: int) -> None:
        if not new_bytes:
            return
        waiting = db.execute(Q["totals"]).fetchone()["waiting"]
        if waiting + new_bytes > self._bytes_max:
            raise Transient("GC-3001", limit=self._bytes_max)
        rows.forget(db, self._bytes_max - waiting - new_bytes)

    # Envelopes out

    def peek(self, stream: Stream, seq: int) -> Stored | None:
        """The envelope that stands for `seq` (a gap that covers it, too); None where it is not here (any more).

        Raises Rejected GC-3003 where its bytes are not those that were stored: a gap must take its place.
        """
        with self._database.read() as db:
            row = rows.find(db, stream)
            found = None if row is None else rows.covering(db, row["id"], seq)
            data = None if found is None else rows.body(db, found)
        return None if found is None else rows.stored(stream, found, data)

    def window(self, stream: Stream, from_seq: int, bytes_max: int) -> list[Stored]:
        """Consecutive envelopes from `from_seq` on: the first whatever its size, others while they fit.

        Ends before a damaged one; raises Rejected GC-3003 where the first is.
        """
        found: list[tuple[sqlite3.Row, bytes | None]] = []
        with self._database.read() as db:
            row = rows.find(db, stream)
            first = None if row is None else rows.covering(db, row["id"], from_seq)
            if row is None or first is None:
                return []
            next_seq, room = first["seq"], bytes_max
            following = {"seq": first["seq"], "limit": _WINDOW_ENVELOPES_MAX}
            for envelope in rows.run(db, "envelopes_from", row["id"], **following).fetchall():
                room -= envelope["bytes"]
                if envelope["seq"] != next_seq or (found and room < 0):
                    break
                found.append((envelope, rows.body(db, envelope)))
                next_seq = envelope["last_seq"] + 1
        window = [rows.stored(stream, *found[0])]
        for envelope, data in found[1:]:
            try:
                window.append(rows.stored(stream, envelope, data))
            except Rejected:
                break  # it is told when its turn has come
        return window

    def hash_at(self, stream: Stream, seq: int) -> bytes | None:
        """Our hash at `seq`, as a receipt for it names it: None above the head, b"" where we know none (pruned, or
        inside a gap)."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            return None if row is None else rows.hash_at(db, row, seq)

    def receipt(self, stream: Stream, epoch: int, seq: int, digest: bytes, message: bytes) -> None:
        """The centre holds everything up to `seq`, whose hash is `digest`; `message` is its signed word.

        Promise 2: nothing above `seq` is deleted. A receipt of another epoch, or not above the last one, changes
        nothing. That the hash is ours was decided in `delivery.Outbound`; another one here is a mistake.
        """
        # A power cut that undoes a receipt only makes us ask the centre again: no fsync is spent on it.
        with self._database.write(durable=False) as db:
            row = rows.find(db, stream)
            if row is None or row["epoch"] != epoch or seq <= row["receipted_seq"]:
                return
            assert rows.hash_at(db, row, seq) in (b"", digest), "a receipt for another history"
            last = rows.covering(db, row["id"], seq)
            assert last is not None
            offset = last["end_offset"] - (last["bytes"] if last["last_seq"] > seq else 0)
            rows.run(db, "stream_receipted", row["id"], seq=seq, offset=offset, message=message)
            rows.run(db, "scans_forget", row["id"], seq=seq)
            rows.forget(db, self._keep_receipted_bytes)

    def last_receipt(self, stream: Stream) -> bytes | None:
        """The message of the newest receipt of this epoch."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            return None if row is None else row["receipt_message"]

    def backlog(self, stream: Stream) -> Backlog:
        """What of `stream` waits for a receipt."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            return Backlog(0, 0, None) if row is None else rows.backlog(db, row)

    def fresh_as_of(self, stream: Stream) -> int | None:
        """Microseconds UTC: everything that the source had committed before has its receipt (landing.md §1a)."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            if row is None:
                return None
            started: int | None = rows.one(db, "scan_fresh", row["id"], seq=row["receipted_seq"])["started"]
            return started

    # What capture remembers

    def schema_sent(self, stream: Stream, fingerprint: bytes) -> bool:
        """Whether this epoch carried it already."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            known = None if row is None else rows.one(db, "schema", row["id"], fingerprint=fingerprint)
            return row is not None and known is not None and bool(known["sent_epoch"] == row["epoch"])

    def schema(self, stream: Stream, fingerprint: bytes) -> bytes | None:
        """The content of any schema that was ever sent from here."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            known = None if row is None else rows.one(db, "schema", row["id"], fingerprint=fingerprint)
            return None if known is None else known["content"]

    def object_sent(self, stream: Stream, sha256: bytes) -> bool:
        """Whether this epoch carried the large value already."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            return row is not None and rows.one(db, "object", row["id"], sha256=sha256) is not None

    def bytes_sent(self, stream: Stream, sha256: bytes) -> int:
        """How much of a large value whose last piece is still to come this epoch has carried, from its beginning."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            known = None if row is None else rows.one(db, "piece", row["id"], sha256=sha256)
            return 0 if known is None else int(known["sent"])

    def table(self, stream: Stream, table: TableName) -> TableState | None:
        with self._database.read() as db:
            row = rows.find(db, stream)
            known = None if row is None else rows.one(db, "table", row["id"], name=rows.name_text(table))
            return None if known is None else rows.table_state(known)

    def tables(self, stream: Stream) -> list[TableState]:
        with self._database.read() as db:
            row = rows.find(db, stream)
            if row is None:
                return []
            return [rows.table_state(known) for known in rows.run(db, "tables", row["id"])]

    def shard_at(self, stream: Stream, table: TableName, lo: bytes) -> Shard | None:
        with self._database.read() as db:
            row = rows.find(db, stream)
            known = (
                None if row is None else rows.one(db, "shard", row["id"], name=rows.name_text(table), lo=lo)
            )
            return None if known is None else rows.shard(known)

    def shards(self, stream: Stream, table: TableName) -> list[Shard]:
        """In chain order from the unbounded beginning on; the last one's `hi` is b"" once the table is covered."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            if row is None:
                return []
            found = rows.run(db, "shards", row["id"], name=rows.name_text(table)).fetchall()
        by_lo = {known["lo"]: rows.shard(known) for known in found}
        chain: list[Shard] = []
        while shard := by_lo.pop(chain[-1].hi if chain else b"", None):
            chain.append(shard)
        assert not by_lo, "shards that no chain reaches"
        return chain

    def overlaid(self, stream: Stream, table: TableName, keys: Iterable[bytes]) -> dict[bytes, Overlaid]:
        """What overrides the shards for these canonical keys; a key that nothing overrides is absent."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            name = rows.name_text(table)
            if row is None or not rows.one(db, "overlay_any", row["id"], name=name)["found"]:
                return {}
            found = (rows.one(db, "overlay_of", row["id"], name=name, key=key) for key in keys)
            return {one["key"]: rows.overlaid(one) for one in found if one is not None}

    def overlay_left(
        self, stream: Stream, table: TableName, before_seq: int, after: bytes, limit: int
    ) -> list[Overlaid]:
        """Some of what no shard has and was found when the head was below `before_seq`, beyond key `after`."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            if row is None:
                return []
            place = {"name": rows.name_text(table), "seq": before_seq, "after": after, "limit": limit}
            return [rows.overlaid(one) for one in rows.run(db, "overlay_left", row["id"], **place)]

    def rows_indexed(self, stream: Stream, table: TableName) -> int:
        """Rows known of the table."""
        with self._database.read() as db:
            row = rows.find(db, stream)
            if row is None:
                return 0
            return int(rows.one(db, "shard_rows", row["id"], name=rows.name_text(table))["row_count"])

    def files(self) -> set[str]:
        """Every index file that a shard names, or a table in `facts["files"]`: any other is an orphan."""
        with self._database.read() as db:
            files = {str(row["file"]) for row in db.execute(Q["shard_files"])}
            for row in db.execute(Q["table_facts"]):
                files.update(json.loads(row["facts"]).get("files", ()))
        return files
