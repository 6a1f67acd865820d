"""The spool's statements that several of its methods share, and how rows become records.

Every function works inside a transaction that `spool.py` has opened; none begins, ends or hides one.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from protocol.envelope import Gap, Kind, parse
from protocol.errors import Rejected
from protocol.names import Stream, TableName
from protocol.sealing import Sealed

from .database import damaged
from .queries import QUERIES
from .records import Backlog, Overlaid, Shard, Stored, StreamState, TableState, Work


def run(db: sqlite3.Connection, query: str, stream: int | None, **parameters: Any) -> sqlite3.Cursor:
    """A named query about one stream, which is given by its number in `streams`."""
    return db.execute(QUERIES[query], {"stream": stream, **parameters})


def one(db: sqlite3.Connection, query: str, stream: int | None, **parameters: Any) -> Any:
    """The first row of `run`, or None."""
    return run(db, query, stream, **parameters).fetchone()


def find(db: sqlite3.Connection, stream: Stream) -> sqlite3.Row | None:
    row: sqlite3.Row | None = one(db, "stream", None, site=stream.site, source=stream.source)
    return row


def known(db: sqlite3.Connection, stream: Stream) -> sqlite3.Row:
    """As `find`, for callers that may only name a stream with an epoch."""
    row = find(db, stream)
    assert row is not None, f"no epoch of {stream}"
    return row


def covering(db: sqlite3.Connection, stream: int, seq: int) -> sqlite3.Row | None:
    """The row of `envelopes` that stands for `seq`."""
    row: sqlite3.Row | None = one(db, "envelope_at", stream, seq=seq)
    return row if row is not None and seq <= row["last_seq"] else None


def hash_at(db: sqlite3.Connection, row: sqlite3.Row, seq: int) -> bytes | None:
    """See `Spool.hash_at`; `row` is the stream's."""
    if seq >= row["head_seq"]:
        return bytes(row["head_hash"]) if seq == row["head_seq"] else None
    found = covering(db, row["id"], seq)
    return bytes(found["hash"]) if found is not None and found["last_seq"] == seq else b""


def backlog(db: sqlite3.Connection, row: sqlite3.Row) -> Backlog:
    waiting = one(db, "envelopes_waiting", row["id"], seq=row["receipted_seq"])
    waiting_bytes = row["head_offset"] - row["receipted_offset"]
    return Backlog(waiting["envelopes"], waiting_bytes, waiting["oldest_seq"])


def forget(db: sqlite3.Connection, keep_bytes: int) -> None:
    """Delete receipted envelopes, the oldest first, until those that are kept fit `keep_bytes`.

    Promise 2: `oldest_receipted` gives none that is above its stream's receipt.
    """
    kept = db.execute(QUERIES["totals"]).fetchone()["kept"]
    while kept > keep_bytes:
        oldest = db.execute(QUERIES["oldest_receipted"]).fetchone()
        _delete(db, oldest)
        run(db, "stream_forget", oldest["stream"], bytes=oldest["bytes"])
        kept -= oldest["bytes"]


def append(db: sqlite3.Connection, row: sqlite3.Row, work: Work, checksums: Sequence[bytes]) -> None:
    """Put the envelopes of `work` behind the stream's head and move head and position."""
    seq, head_hash, offset = row["head_seq"], row["head_hash"], row["head_offset"]
    for sealed, digest in zip(work.envelopes, checksums, strict=True):
        assert sealed.seq == seq + 1 <= sealed.last_seq, "a hole in the sequence"
        seq, head_hash, offset = sealed.last_seq, chain_hash(sealed), offset + len(sealed.data)
        _put(db, row["id"], sealed, head_hash, digest, offset)
    head = {"head_seq": seq, "head_hash": head_hash, "head_offset": offset}
    run(db, "stream_advance", row["id"], **head, position=work.position)


def put_gap(db: sqlite3.Connection, row: sqlite3.Row, gap: Sealed) -> None:
    """See `Spool.replace`. What was pruned before has no known length: then no offset moves."""
    stream, resume = row["id"], chain_hash(gap)
    assert gap.last_seq < row["head_seq"] or resume == row["head_hash"], "the chain does not go on"
    lost = run(db, "envelopes_within", stream, seq=gap.seq, last_seq=gap.last_seq).fetchall()
    assert all(gap.seq <= envelope["seq"] and envelope["last_seq"] <= gap.last_seq for envelope in lost)
    for envelope in lost:
        _delete(db, envelope)
    after = one(db, "envelope_after", stream, seq=gap.last_seq)
    end_offset = row["head_offset"] if after is None else after["end_offset"] - after["bytes"]
    delta = sum(envelope["bytes"] for envelope in lost) - len(gap.data) if lost else 0
    _put(db, stream, gap, resume, checksum(gap.data), end_offset - delta)
    run(db, "offsets_shift", stream, seq=gap.last_seq, delta=delta)
    run(db, "stream_recount", stream, head_offset=row["head_offset"] - delta)


def note_sent(db: sqlite3.Connection, stream: int, work: Work) -> None:
    """The schemas and large values that the envelopes of `work` carry."""
    for fingerprint, content in work.schemas:
        run(db, "schema_put", stream, fingerprint=fingerprint, content=content, epoch=work.epoch)
    for sha256 in work.objects:
        run(db, "object_put", stream, sha256=sha256)
        run(db, "piece_delete", stream, sha256=sha256)
    for sha256, sent in work.pieces.items():
        run(db, "piece_put", stream, sha256=sha256, sent=sent)


def store_table(db: sqlite3.Connection, stream: int, work: Work) -> None:
    """The tables' states, and the index of one of them, as far as `work` changes them."""
    for state in work.tables:
        put_table(db, stream, state)
    if work.table is None:
        lists = (work.drop_shards, work.add_shards, work.drop_overlaid, work.overlaid)
        assert not any((*lists, work.drop_all_shards, work.drop_overlay)), "which table's?"
        return
    put_table(db, stream, work.table)
    name = name_text(work.table.table)
    if work.drop_all_shards:
        run(db, "shards_delete_of_table", stream, name=name)
    for lo in work.drop_shards:
        assert run(db, "shard_delete", stream, name=name, lo=lo).rowcount == 1, "no such shard"
    for shard in work.add_shards:
        bounds = {"lo": shard.lo, "hi": shard.hi}
        run(db, "shard_put", stream, name=name, **bounds, file=shard.file, rows=shard.rows)
    _store_overlay(db, stream, name, work)


def _store_overlay(db: sqlite3.Connection, stream: int, name: str, work: Work) -> None:
    if work.drop_overlay or work.drop_all_shards:
        run(db, "overlay_delete_of_table", stream, name=name)
    places = [{"stream": stream, "name": name, "key": key} for key in work.drop_overlaid]
    db.executemany(QUERIES["overlay_delete"], places)
    found = [{"stream": stream, "name": name, **asdict(one), "seq": work.after_seq} for one in work.overlaid]
    db.executemany(QUERIES["overlay_put"], found)


def put_table(db: sqlite3.Connection, stream: int, state: TableState) -> None:
    facts = json.dumps(state.facts)
    name = name_text(state.table)
    run(db, "table_put", stream, name=name, phase=state.phase, fingerprint=state.fingerprint, facts=facts)


def tables_with_rows(db: sqlite3.Connection, stream: int) -> list[tuple[TableState, int]]:
    """Every table's state, and how many rows its shards index."""
    states = [table_state(row) for row in run(db, "tables", stream).fetchall()]
    return [(s, int(one(db, "shard_rows", stream, name=name_text(s.table))["row_count"])) for s in states]


def body(db: sqlite3.Connection, envelope: sqlite3.Row) -> bytes | None:
    """An envelope's bytes, unchecked; None where SQLite itself cannot find them any more."""
    try:
        row = db.execute(QUERIES["body"], {"body": envelope["body"]}).fetchone()
    except sqlite3.DatabaseError as error:
        if damaged(error):
            return None
        raise
    return None if row is None else row["data"]


def checksum(data: bytes) -> bytes:
    """Tells damage by a disk, no forgery. SHA-256 because OpenSSL's is three times as fast as hashlib's BLAKE2b
    where the processor helps; at 256 KiB that is more than SQLite takes."""
    return hashlib.sha256(data).digest()


def chain_hash(sealed: Sealed) -> bytes:
    """What the next header names: the envelope's hash, but after a gap the one where the chain goes on."""
    if sealed.kind is Kind.GAP:
        return Gap.from_bytes(parse(sealed.data).header.extension).resume
    return sealed.hash


def stored(stream: Stream, envelope: sqlite3.Row, data: bytes | None) -> Stored:
    """Raises Rejected GC-3003 where `data` is not what was stored."""
    if data is None or checksum(data) != envelope["checksum"]:
        raise Rejected("GC-3003", seq=envelope["seq"], source=stream.source)
    return Stored(envelope["seq"], envelope["last_seq"], envelope["hash"], data, envelope["end_offset"])


def stream_state(row: sqlite3.Row) -> StreamState:
    return StreamState(
        stream=Stream(row["site"], row["source"]),
        epoch=row["epoch"],
        grant=row["grant_message"],
        secret=row["secret"],
        head_seq=row["head_seq"],
        head_hash=row["head_hash"],
        head_offset=row["head_offset"],
        receipted_seq=row["receipted_seq"],
        position=row["position"],
        stopped=row["stopped"],
    )


def name_text(table: TableName) -> str:
    return json.dumps(table.as_list())


def table_state(row: sqlite3.Row) -> TableState:
    name = TableName.from_list(json.loads(row["name"]))
    return TableState(name, row["phase"], row["fingerprint"], json.loads(row["facts"]))


def overlaid(row: sqlite3.Row) -> Overlaid:
    return Overlaid(row["key"], row["digest"], bool(row["fresh"]))


def shard(row: sqlite3.Row) -> Shard:
    return Shard(row["lo"], row["hi"], row["file"], row["row_count"])


def _put(
    db: sqlite3.Connection, stream: int, sealed: Sealed, next_hash: bytes, digest: bytes, end_offset: int
) -> None:
    body_id = db.execute(QUERIES["body_put"], {"data": sealed.data}).lastrowid
    place = {"seq": sealed.seq, "last_seq": sealed.last_seq, "hash": next_hash, "checksum": digest}
    run(db, "envelope_put", stream, **place, bytes=len(sealed.data), end_offset=end_offset, body=body_id)


def _delete(db: sqlite3.Connection, envelope: sqlite3.Row) -> None:
    db.execute(QUERIES["body_delete"], {"body": envelope["body"]})
    run(db, "envelope_delete", envelope["stream"], seq=envelope["seq"])
