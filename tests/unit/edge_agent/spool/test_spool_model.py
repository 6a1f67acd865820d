"""The spool against a plain model in memory, over random sequences of all that changes it.

After each step everything that the spool tells about both streams must be what the model tells.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_agent.spool.records import Backlog, Dropped, Scan, Stored, Work
from edge_agent.spool.spool import Spool
from protocol.errors import Transient
from protocol.names import Stream

from .envelopes import OTHER, SECRET, STREAM, envelope, gap

BYTES_MAX = 6000
KEEP = 1500
streams = st.sampled_from([STREAM, OTHER])


@dataclass
class Row:
    seq: int
    last_seq: int
    hash: bytes
    data: bytes
    born: int
    end_offset: int


@dataclass
class Model:
    """One stream as its epoch's rows and the few numbers that follow from its history."""

    epoch: int = 0
    rows: list[Row] = field(default_factory=list)
    head: int = 0
    head_hash: bytes = b""
    offset: int = 0
    receipted: int = 0
    position: str | None = None
    message: bytes | None = None
    scans: list[tuple[int, int]] = field(default_factory=list)
    sent: set[bytes] = field(default_factory=set)

    def waiting(self) -> list[Row]:
        return [row for row in self.rows if row.last_seq > self.receipted]

    def kept(self) -> list[Row]:
        return [row for row in self.rows if row.last_seq <= self.receipted]

    def fresh(self) -> int | None:
        return max((started for seq, started in self.scans if seq <= self.receipted), default=None)

    def hash_at(self, seq: int) -> bytes | None:
        if seq > self.head:
            return None
        if seq == self.head:
            return self.head_hash
        return next((row.hash for row in self.rows if row.last_seq == seq), b"")


def size(rows: list[Row]) -> int:
    return sum(len(row.data) for row in rows)


class SpoolMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.models = {STREAM: Model(), OTHER: Model()}
        self.schemas: set[tuple[Stream, bytes]] = set()
        self.born = 0
        self.open()
        for stream in self.models:
            self.open_epoch(stream, 1)

    def open(self) -> None:
        self.spool = Spool.open(self.directory, bytes_max=BYTES_MAX, keep_receipted_bytes=KEEP)
        assert self.spool.recovered is None

    def all_from(self, stream: Stream, seq: int) -> list[Stored]:
        told: list[Stored] = []
        while window := self.spool.window(stream, told[-1].last_seq + 1 if told else seq, 2000):
            told += window
        return told

    def forget(self, keep_bytes: int) -> None:
        while size([row for model in self.models.values() for row in model.kept()]) > keep_bytes:
            firsts = [model for model in self.models.values() if model.rows and model.rows[0] in model.kept()]
            min(firsts, key=lambda model: model.rows[0].born).rows.pop(0)

    @rule(stream=streams, step=st.integers(-1, 2))
    def open_epoch(self, stream: Stream, step: int) -> None:
        model = self.models[stream]
        epoch = model.epoch + step
        if step <= 0:
            with pytest.raises(ValueError, match="not above"):
                self.spool.open_epoch(stream, epoch, b"g", SECRET)
            return
        waiting = model.waiting()
        assert self.spool.open_epoch(stream, epoch, b"g", SECRET) == Dropped(len(waiting), size(waiting))
        self.models[stream] = Model(epoch)

    @rule(
        stream=streams,
        sizes=st.lists(st.integers(1, 900), max_size=4),
        scan=st.none() | st.integers(1, 99),
        fingerprints=st.sets(st.sampled_from([b"f1", b"f2"])),
    )
    def commit(self, stream: Stream, sizes: list[int], scan: int | None, fingerprints: set[bytes]) -> None:
        model = self.models[stream]
        sealed = [envelope(model.head + 1 + i, n, model.epoch, self.born) for i, n in enumerate(sizes)]
        work = Work(
            stream,
            model.epoch,
            model.head,
            sealed,
            position=f"{self.born}",
            schemas=[(fingerprint, b"{}") for fingerprint in fingerprints],
            objects=list(fingerprints),
            scan=None if scan is None else Scan(scan),
        )
        waiting = sum(size(each.waiting()) for each in self.models.values())
        if sizes and waiting + sum(sizes) > BYTES_MAX:
            with pytest.raises(Transient, match="GC-3001"):
                self.spool.commit(work)
            return
        self.spool.commit(work)
        if sizes:
            self.forget(BYTES_MAX - waiting - sum(sizes))
        for each in sealed:
            self.born += 1
            model.offset += len(each.data)
            model.rows.append(Row(each.seq, each.seq, each.hash, each.data, self.born, model.offset))
            model.head, model.head_hash = each.seq, each.hash
        model.position = work.position
        model.sent |= fingerprints
        self.schemas |= {(stream, fingerprint) for fingerprint in fingerprints}
        if scan is not None:
            # A later scan at the same head stands for an earlier one of it; older ones below it no longer matter.
            model.scans.append((model.head, scan))
            self.prune_scans(model)

    @staticmethod
    def prune_scans(model: Model) -> None:
        done = max((seq for seq, _ in model.scans if seq <= model.receipted), default=0)
        model.scans = [(seq, started) for seq, started in model.scans if seq >= done]

    @rule(stream=streams, data=st.data())
    def receipt(self, stream: Stream, data: st.DataObject) -> None:
        model = self.models[stream]
        seq = data.draw(st.integers(0, model.head))
        digest = model.hash_at(seq)
        assert digest is not None
        self.spool.receipt(stream, model.epoch, seq, digest, b"to %d" % seq)
        if seq > model.receipted:
            model.receipted, model.message = seq, b"to %d" % seq
            self.prune_scans(model)
            self.forget(KEEP)

    @precondition(lambda self: self.models[STREAM].head > 0)
    @rule(data=st.data())
    def replace(self, data: st.DataObject) -> None:
        model = self.models[STREAM]
        if not model.rows:
            return
        first = data.draw(st.integers(0, len(model.rows) - 1))
        last = data.draw(st.integers(first, len(model.rows) - 1))
        lost = model.rows[first : last + 1]
        mended = gap(lost[0].seq, lost[-1].last_seq, lost[-1].hash, model.epoch)
        self.spool.replace(STREAM, model.epoch, mended)
        self.born += 1
        delta = size(lost) - len(mended.data)
        end_offset = lost[-1].end_offset - delta
        row = Row(mended.seq, mended.last_seq, lost[-1].hash, mended.data, self.born, end_offset)
        model.rows[first : last + 1] = [row]
        for later in model.rows[first + 1 :]:
            later.end_offset -= delta
        model.offset -= delta
        model.sent = set()

    @rule()
    def reopen(self) -> None:
        self.spool.close()
        self.open()

    @invariant()
    def agree(self) -> None:
        for stream, model in self.models.items():
            state = self.spool.stream(stream)
            assert state is not None
            assert (state.epoch, state.head_seq, state.head_hash) == (
                model.epoch,
                model.head,
                model.head_hash,
            )
            assert (state.head_offset, state.receipted_seq) == (model.offset, model.receipted)
            assert state.position == model.position
            waiting = model.waiting()
            oldest = waiting[0].seq if waiting else None
            assert self.spool.backlog(stream) == Backlog(len(waiting), size(waiting), oldest)
            assert self.spool.fresh_as_of(stream) == model.fresh()
            assert self.spool.last_receipt(stream) == model.message
            for seq in range(1, model.head + 2):
                assert self.spool.hash_at(stream, seq) == model.hash_at(seq), seq
            first = model.rows[0].seq if model.rows else 1
            assert first == 1 or self.spool.peek(stream, first - 1) is None
            told = self.all_from(stream, first)
            assert [(s.seq, s.last_seq, s.hash, s.data, s.end_offset) for s in told] == [
                (r.seq, r.last_seq, r.hash, r.data, r.end_offset) for r in model.rows
            ]
            for fingerprint in (b"f1", b"f2"):
                assert self.spool.schema_sent(stream, fingerprint) == (fingerprint in model.sent)
                assert self.spool.object_sent(stream, fingerprint) == (fingerprint in model.sent)
                assert (self.spool.schema(stream, fingerprint) == b"{}") == (
                    (stream, fingerprint) in self.schemas
                )

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.directory)


TestSpoolModel = SpoolMachine.TestCase
TestSpoolModel.settings = settings(
    max_examples=8,
    stateful_step_count=15,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
