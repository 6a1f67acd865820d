"""The decoder says what the log says, change by change, however gulps are cut; what is no log is a fault."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.sources.pg import pgoutput, tuples
from edge_agent.sources.pg.events import Identity, LogColumn, Message, Relation, RelationChanged, Segment
from edge_agent.sources.pg.messages import Messages, numbers
from edge_agent.sources.pg.pgoutput import Decoder
from edge_agent.sources.pg.tuples import read_few, read_many
from protocol.errors import Transient

from . import encoder
from .encoder import UNCHANGED, Value, said

Said = list[Any]


class Log:
    """A log that a random hand writes, and what it says."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.messages: list[bytes] = []
        self.says: Said = []
        self.known: dict[int, Relation] = {}
        self.lsn = 1_000

    def relation(self, oid: int) -> None:
        rng = self.rng
        columns = tuple(
            LogColumn(
                rng.choice(["id", "名称", 'a"b', "Mixed", ""]), rng.random() < 0.3, rng.choice([23, 25]), -1
            )
            for _ in range(rng.randint(0, 4))
        )
        schema = rng.choice(["public", "门诊", "pg_catalog"])
        changed = Relation(oid, schema, "t", rng.choice(list(Identity)), columns)
        self.messages.append(encoder.relation(changed))
        if self.known.get(oid) != changed:
            self.known[oid] = changed
            self.says.append(RelationChanged(changed))

    def value(self, *, large: bool = False) -> Value:
        kind = self.rng.random()
        if kind < 0.2:
            return None
        if large and kind < 0.4:
            return UNCHANGED
        if kind < 0.45:
            return b"x" * self.rng.choice([255, 256, 65_535, 65_536])
        return self.rng.randbytes(self.rng.randint(0, 12))

    def row(self, oid: int, *, large: bool = False) -> tuple[Value, ...]:
        return tuple(self.value(large=large) for _ in self.known[oid].columns)

    def change(self, xid: int, ordinal: int) -> int:
        rng = self.rng
        oid = rng.choice(list(self.known))
        kind = rng.choice("IIUUUDTRrMY")
        if kind == "I":
            new = self.row(oid)
            self.messages.append(encoder.insert(oid, new))
            self.says.append((xid, ordinal, oid, "c", 0, None, new))
        elif kind == "U":
            old_kind = rng.choice([b"", b"K", b"O"])
            old, new = self.row(oid), self.row(oid, large=True)
            self.messages.append(encoder.update(oid, new, old_kind, old))
            columns = self.known[oid].columns
            carried = [old_kind == b"O" or (old_kind == b"K" and column.key) for column in columns]
            new = tuple(
                o if has and n == UNCHANGED else n for has, o, n in zip(carried, old, new, strict=True)
            )
            was = old if old_kind else None
            code = ord(old_kind) if old_kind else 0
            self.says.append((xid, ordinal, oid, "u", code, was, new))
        elif kind == "D":
            old_kind, old = rng.choice([b"K", b"O"]), self.row(oid)
            self.messages.append(encoder.delete(oid, old_kind, old))
            self.says.append((xid, ordinal, oid, "d", ord(old_kind), old, None))
        elif kind == "T":
            oids, options = rng.sample(list(self.known), rng.randint(1, len(self.known))), rng.randint(0, 3)
            self.messages.append(encoder.truncate(oids, options))
            self.says.append((xid, ordinal, "truncated", oids))
        elif kind in "Rr":
            self.relation(oid) if kind == "R" else self.messages.append(encoder.relation(self.known[oid]))
            return ordinal
        else:
            self.message(transactional=True) if kind == "M" else self.messages.append(b"Y\0\0\0\1public\0t\0")
            return ordinal
        return ordinal + 1

    def message(self, *, transactional: bool) -> None:
        message = Message("归仓", self.rng.randbytes(3), transactional)
        self.messages.append(encoder.message(self.lsn, message.prefix, message.content, transactional))
        self.says.append(message)

    def transaction(self, changes: int) -> None:
        self.lsn += 100
        xid, commit = self.rng.getrandbits(32), self.lsn
        time = encoder.EPOCH_MICROS + self.rng.randint(-5, 10**15)
        self.messages.append(encoder.begin(xid, commit, time))
        if self.rng.random() < 0.1:
            self.messages.append(b"O" + bytes(8) + b"elsewhere\0")
        ordinal = 0
        for oid in range(1, 4):
            if oid not in self.known:
                self.relation(oid)
        for _ in range(changes):
            ordinal = self.change(xid, ordinal)
        self.messages.append(encoder.commit(commit, commit + 50))
        self.says.append((xid, commit, commit + 50, time))
        if self.rng.random() < 0.2:
            self.message(transactional=False)


def decoded(messages: list[bytes], rng: random.Random, most: int) -> Said:
    decoder, found, at = Decoder("his"), [], 0
    while at < len(messages):
        step = rng.randint(1, most)
        found += decoder.decode(messages[at : at + step])
        at += step
    return said(found)


def written(rng: random.Random) -> Log:
    log = Log(rng)
    for _ in range(rng.randint(1, 4)):
        log.transaction(rng.choice([0, 1, 3, 20]))
    return log


@given(st.integers(), st.integers(1, 60), st.sampled_from([0, 500]))
def test_whatever_the_cuts_the_decoder_says_what_the_log_says(seed: int, most: int, few: int) -> None:
    rng = random.Random(seed)
    log = written(rng)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuples, "FEW", few)
        assert decoded(log.messages, rng, most) == log.says


def test_a_segment_ends_where_it_holds_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgoutput, "SEGMENT_BYTES_MAX", 40)
    for seed in range(20):
        rng = random.Random(seed)
        log = written(rng)
        assert decoded(log.messages, rng, 1_000) == log.says


def test_a_relation_that_is_said_again_ends_no_segment() -> None:
    table = Relation(7, "public", "t", Identity.DEFAULT, (LogColumn("id", True, 23, -1),))
    known, new = encoder.relation(table), encoder.insert(7, [b"1"])
    decoder = Decoder("his")
    log = [encoder.begin(1, 100, 0), known, new, known, new, encoder.commit(100, 150)]
    announced, segment = decoder.decode(log)
    assert announced == RelationChanged(table)
    assert isinstance(segment, Segment)
    assert [t.ordinal for t in segment.tables] == [[0, 1]]
    assert decoder.decode([encoder.begin(2, 200, 0), known]) == []
    assert decoder.decode([]) == []


@given(st.integers())
def test_a_message_that_is_cut_or_goes_on_is_a_fault(seed: int) -> None:
    rng = random.Random(seed)
    log = Log(rng)
    log.transaction(6)
    which = rng.randrange(len(log.messages))
    before, whole = log.messages[:which], log.messages[which]
    if whole[:1] in (b"O", b"Y"):
        return
    cuts = range(len(whole)) if len(whole) < 60 else rng.sample(range(len(whole)), 10)
    for wrong in (*(whole[:cut] for cut in cuts), whole + b"n", whole + whole):
        for few in (0, 500):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tuples, "FEW", few)
                with pytest.raises(Transient, match="GC-2050"):
                    Decoder("his").decode([*before, wrong])


@example(91026491, 0)  # a tuple that is longer than all that comes behind it
@given(st.integers(), st.sampled_from([0, 500]))
def test_bytes_that_were_changed_are_a_fault_or_a_valid_log(seed: int, few: int) -> None:
    rng = random.Random(seed)
    log = Log(rng)
    log.transaction(6)
    which = rng.randrange(len(log.messages))
    wrong = bytearray(log.messages[which])
    wrong[rng.randrange(len(wrong))] = rng.randrange(256)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuples, "FEW", few)
        try:
            events = Decoder("his").decode([*log.messages[:which], bytes(wrong), *log.messages[which + 1 :]])
        except Transient:
            events = []
    said(events)


TABLE = Relation(
    7, "public", "t", Identity.FULL, (LogColumn("id", True, 23, -1), LogColumn("b", True, 25, -1))
)
OPENED = [encoder.begin(1, 100, 0), encoder.relation(TABLE)]
FIT = [b"1", b"x"]
WRONG: dict[str, list[bytes]] = {
    "an unknown kind": [b"Z"],
    "nothing": [b""],
    "a row outside of any transaction": [encoder.commit(100, 150), encoder.insert(7, FIT)],
    "a transaction in another": [encoder.begin(2, 200, 0)],
    "the end of another transaction": [encoder.commit(101, 150)],
    "an end without a beginning": [encoder.commit(100, 150), encoder.commit(100, 150)],
    "a row of an unknown relation": [encoder.insert(8, FIT)],
    "a truncation of an unknown relation": [encoder.truncate([8], 0)],
    "a column too many": [encoder.insert(7, [*FIT, b"y"])],
    "a column too few": [encoder.insert(7, FIT[:1])],
    "a binary value": [encoder.insert(7, FIT).replace(b"t", b"b")],
    "an insert that leaves a value alone": [encoder.insert(7, [b"1", UNCHANGED])],
    "an old row that leaves a value alone": [encoder.delete(7, b"O", [b"1", UNCHANGED])],
    "a deletion with a new row": [b"D" + encoder.insert(7, FIT)[1:]],
    "an insert with an old row": [b"I" + encoder.delete(7, b"K", FIT)[1:]],
    "an update with nothing new": [b"U" + encoder.delete(7, b"K", FIT)[1:]],
    "a length beyond the message": [encoder.insert(7, FIT)[:-5] + struct.pack(">I", 2**32 - 1) + b"x"],
    "a value of the next message": [encoder.insert(7, FIT)[:-1], encoder.insert(7, FIT)],
    "an unknown identity": [encoder.relation(TABLE).replace(b"t\0f", b"t\0z")],
    "a name that is no text": [encoder.relation(TABLE).replace(b"public", b"publi\xff")],
    "a transactional message outside": [encoder.commit(100, 150), encoder.message(1, "p", b"", True)],
}


@pytest.mark.parametrize("few", [0, 500])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_no_server_says_is_a_fault(
    wrong: list[bytes], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuples, "FEW", few)
    decoder = Decoder("his")
    with pytest.raises(Transient, match="GC-2050"):
        decoder.decode([*OPENED, *wrong])


@given(
    st.lists(
        st.lists(st.none() | st.just(UNCHANGED) | st.binary(max_size=9), min_size=3, max_size=3), min_size=1
    )
)
def test_one_value_after_another_or_one_column_give_the_same(rows: list[list[Value]]) -> None:
    found = Messages.of([encoder.row(row) for row in rows])
    place = (found.octets, numbers(found.starts), numbers(found.ends), 3)
    few, many = read_few(*place), read_many(*place)
    assert few.ends == many.ends == place[2]
    assert few.columns == many.columns
    assert few.unchanged == many.unchanged
    assert list(zip(*(c.to_pylist() for c in few.columns), strict=True)) == [
        tuple(v if isinstance(v, bytes) else None for v in row) for row in rows
    ]
