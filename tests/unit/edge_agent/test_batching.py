"""Batching: what goes in comes out of the envelopes in order; schemas and pieces go ahead, and once; one flag."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.batching import Group, GroupBuilder, place_after
from edge_agent.changes import Changes
from edge_agent.sources.columns import aside
from edge_agent.sources.source import Rows
from protocol import canonical
from protocol.batch import MarkHeader, decode_batch
from protocol.change import TIME, MarkKind, Op
from protocol.envelope import Kind, parse
from protocol.errors import Rejected
from protocol.limits import (
    BATCH_PLAIN_BYTES_TARGET,
    BATCH_ROWS_MAX,
    ENVELOPE_BYTES_MAX,
    PIECE_BYTES,
    VALUE_INLINE_BYTES_MAX,
)
from protocol.names import TableName
from protocol.schema import Column, TableSchema
from protocol.sealing import open_inner
from protocol.signing import SUITE_1

from .keys import EPOCH_SECRET, SEAL, SITE_OPENER, STREAM
from .reading import Change, Mark, Reader

NAME = TableName(None, None, "t")
SCHEMA = TableSchema(NAME, (Column("id", pa.int64()), Column("v", pa.string())), ("id",))
BINARY = TableSchema(NAME, (Column("id", pa.int64()), Column("v", pa.binary())), ("id",))
NOISE = random.Random(1)


def builder(sent: set[bytes] = frozenset()) -> GroupBuilder:  # type: ignore[assignment]
    return GroupBuilder(
        SEAL,
        place_after(STREAM, 1, 0, b""),
        captured=5,
        schema_sent=sent.__contains__,
        object_sent=sent.__contains__,
    )


def changes(
    schema: TableSchema, values: list[Any], first: int = 0, asides: list[Any] | None = None
) -> Changes:
    ids = pa.array(range(first, first + len(values)), pa.int64())
    rows = Rows([ids, pa.array(values, schema.columns[1].wire)], asides)
    keys = canonical.digests(canonical.encode_rows([ids]))
    return Changes(schema, rows, [Op.CREATE] * len(values), keys)


def lines(of: Changes) -> list[bytes]:
    return canonical.encode_rows(of.rows.columns, [c.name for c in of.schema.columns], of.rows.asides)


def read(group: Group, known: TableSchema | None = None) -> tuple[Reader, list[Change]]:
    reader = Reader(EPOCH_SECRET)
    if known is not None:
        reader.schemas[known.fingerprint] = known
    events = list(reader.read(sealed.data for sealed in group.envelopes))
    assert max((len(sealed.data) for sealed in group.envelopes), default=0) <= ENVELOPE_BYTES_MAX
    return reader, [event for event in events if isinstance(event, Change)]


def test_changes_come_out_as_they_went_in() -> None:
    some = changes(SCHEMA, ["a", None, "甲"], asides=[None, [aside("v", "charset", b"\xff")], None])
    some = replace(some, ops=[Op.READ, Op.UPDATE, Op.CREATE])
    made = builder()
    made.add(some)
    assert made.batches == 1
    reader, found = read(made.finish())
    assert reader.kinds == [Kind.SCHEMA, Kind.BATCH]
    assert [(c.op, c.key, c.row, c.version.ord) for c in found] == [
        (op, key, line, i)
        for i, (op, key, line) in enumerate(zip(some.ops, some.keys, lines(some), strict=True))
    ]


def test_nothing_makes_no_envelope() -> None:
    made = builder()
    made.add(changes(SCHEMA, []))
    assert made.finish() == Group([], [], [], {})


def test_a_schema_goes_once_in_a_group_and_once_in_an_epoch() -> None:
    made = builder()
    made.add(changes(SCHEMA, ["a"]))
    made.add(changes(SCHEMA, ["b"], first=1))
    group = made.finish()
    assert group.schemas == [(SCHEMA.fingerprint, SCHEMA.content)]
    assert read(group)[0].kinds == [Kind.SCHEMA, Kind.BATCH, Kind.BATCH]
    made = builder({SCHEMA.fingerprint})
    made.add(changes(SCHEMA, ["a"]))
    group = made.finish()
    assert group.schemas == []
    assert read(group, SCHEMA)[0].kinds == [Kind.BATCH]


def test_only_the_last_envelope_has_the_flags() -> None:
    made = builder()
    made.mark(MarkHeader(captured=1, mark=MarkKind.INVENTORY, table=None, group_end=True))
    made.add(changes(SCHEMA, ["a"]))
    made.mark(MarkHeader(captured=1, mark=MarkKind.INVENTORY, table=None))
    group = made.finish("lsn 7", cut=True)
    reader = Reader(EPOCH_SECRET)
    marks = [e.header for e in reader.read(s.data for s in group.envelopes) if isinstance(e, Mark)]
    assert reader.group_ends == {4}
    assert [(m.group_end, m.cut, m.position) for m in marks] == [(False, False, None), (True, True, "lsn 7")]


def test_batches_are_cut_at_the_target_and_lose_nothing() -> None:
    values = [f"{i:0100}" for i in range(25_000)]
    some = changes(SCHEMA, values)
    made = builder()
    made.add(some)
    reader, found = read(made.finish())
    assert [c.row for c in found] == lines(some)
    assert reader.kinds.count(Kind.BATCH) == made.batches
    assert 2 <= made.batches <= 1 + some.rows.nbytes * 2 // BATCH_PLAIN_BYTES_TARGET


WIDE = ["x" * 8, "甲" * 2_000, "".join(NOISE.choices("abcdefghij", k=20_000))]


@settings(max_examples=60)
@given(
    kinds=st.lists(st.tuples(st.sampled_from("cuk"), st.integers(0, 2)), min_size=1, max_size=12),
    copies=st.integers(1, 40),
)
def test_what_a_log_knows_travels_and_a_change_of_key_is_never_parted(
    kinds: list[tuple[str, int]], copies: int
) -> None:
    """That the two halves stand together in one batch is asserted by the reader."""
    ops: list[Op] = []
    values: list[str | None] = []
    olds: list[bytes | None] = []
    for kind, wide in kinds * copies:
        if kind == "k":
            ops, values, olds = [*ops, Op.DELETE], [*values, None], [*olds, None]
        ops.append(Op.UPDATE if kind == "u" else Op.CREATE)
        values.append(None if kind == "u" else WIDE[wide])
        olds.append(b"k" if kind == "k" else None)
    some = changes(SCHEMA, values)
    olds = [old and some.keys[i - 1] for i, old in enumerate(olds)]
    unchanged = [["v"] if op is Op.UPDATE else None for op in ops]
    times = pa.array(range(len(ops)), TIME)
    some = replace(some, ops=ops, old_keys=olds, unchanged=unchanged, times=times)
    made = builder()
    made.add(some)
    _, found = read(made.finish())
    assert [(c.op, c.key, c.old_key, c.unchanged, c.time) for c in found] == list(
        zip(ops, some.keys, olds, [(1,) if u else () for u in unchanged], range(len(ops)), strict=True)
    )
    assert [c.row for c in found if c.op is not Op.DELETE] == [
        line for line, op in zip(lines(some), ops, strict=True) if op is not Op.DELETE
    ]


def test_a_batch_never_has_more_rows_than_agreed() -> None:
    tiny = TableSchema(NAME, (Column("b", pa.bool_()),))
    count = BATCH_ROWS_MAX + 1
    column = pa.nulls(count, pa.bool_())
    made = builder()
    made.add(Changes(tiny, Rows([column]), [Op.DELETE] * count, [b"k" * 16] * count))
    assert made.batches >= 2
    assert len(read(made.finish())[1]) == count


def test_what_was_sealed_to_see_that_it_fits_is_not_sealed_again() -> None:
    sealings = 0

    def random(count: int) -> bytes:
        nonlocal sealings
        sealings += 1
        return bytes(count)

    made = builder()
    made._seal = replace(SEAL, random=random)
    texts = [
        "值" * 300 + str(i) for i in range(5_000)
    ]  # no dictionary, so that the plain bytes reach the target
    made.add(changes(SCHEMA, texts))
    group = made.finish()
    envelopes = len(group.envelopes)
    assert envelopes > 4
    assert sealings <= envelopes + 1  # the last one's flags may come after its trial
    assert [one.key for one in read(group)[1]] == changes(SCHEMA, texts).keys


def test_what_does_not_compress_is_halved_until_it_fits() -> None:
    long = [NOISE.randbytes(60_000) for _ in range(2)]
    some = changes(BINARY, [*([b"s"] * 500), *(NOISE.randbytes(60_000) for _ in range(30)), *long])
    made = builder()
    made.add(some)
    reader, found = read(made.finish())
    assert [c.row for c in found] == lines(some)
    assert reader.kinds.count(Kind.BATCH) == made.batches


def test_a_row_that_no_envelope_holds_is_told() -> None:
    columns = tuple(Column(f"c{i}", pa.binary()) for i in range(20))
    wide = TableSchema(NAME, columns)
    rows = Rows([pa.array([NOISE.randbytes(VALUE_INLINE_BYTES_MAX)]) for _ in columns])
    with pytest.raises(Rejected, match="GC-2013") as caught:
        builder().add(Changes(wide, rows, [Op.CREATE], [b"k" * 16]))
    assert caught.value.facts["table"] == "t"


@pytest.mark.parametrize(
    "size",
    [VALUE_INLINE_BYTES_MAX, VALUE_INLINE_BYTES_MAX + 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES],
)
def test_a_long_value_goes_ahead_in_pieces(size: int) -> None:
    value = NOISE.randbytes(size)
    some = changes(BINARY, [b"short", value, None, value])
    made = builder()
    made.add(some)
    group = made.finish()
    reader, found = read(group)
    pieces = -(-size // PIECE_BYTES) if size > VALUE_INLINE_BYTES_MAX else 0
    assert reader.kinds == [Kind.SCHEMA, *[Kind.PIECE] * pieces, Kind.BATCH]
    assert [c.row for c in found] == lines(some), "canonical form is the same, in place or aside"
    digest = hashlib.sha256(value)
    assert group.objects == ([digest.digest()] if pieces else [])
    assert reader.objects == ({digest.hexdigest(): value} if pieces else {})


def test_a_long_value_that_the_epoch_has_is_only_named() -> None:
    value = b"v" * (VALUE_INLINE_BYTES_MAX + 1)
    digest = hashlib.sha256(value).digest()
    made = builder({digest, BINARY.fingerprint})
    made.add(changes(BINARY, [value]))
    group = made.finish()
    assert [sealed.kind for sealed in group.envelopes] == [Kind.BATCH]
    assert group.objects == []


def test_a_long_value_joins_what_is_aside_already() -> None:
    columns = (Column("a", pa.string()), Column("b", pa.string()), Column("c", pa.string()))
    schema = TableSchema(NAME, columns)
    long = "长" * VALUE_INLINE_BYTES_MAX
    rows = Rows(
        [pa.nulls(2, pa.string()), pa.array([long, "x"]), pa.array([long, long])],
        [[aside("a", "charset", b"\xff")], None],
    )
    expected = canonical.encode_rows(rows.columns, "abc", rows.asides)
    keys = canonical.digests(expected, EPOCH_SECRET)
    made = builder()
    made.add(Changes(schema, rows, [Op.CREATE] * 2, keys))
    _, found = read(made.finish())
    assert [c.row for c in found] == expected
    assert rows.asides == [[aside("a", "charset", b"\xff")], None], "what was given is left alone"


def test_a_long_original_that_stands_aside_goes_ahead_too() -> None:
    original = NOISE.randbytes(PIECE_BYTES * 3)
    some = changes(SCHEMA, [None, "x"], asides=[[aside("v", "charset", original)], None])
    made = builder()
    made.add(some)
    reader, found = read(made.finish())
    assert [c.row for c in found] == lines(some), "canonical form is the same, in place or by hash"
    assert list(reader.objects.values()) == [original]


def test_text_of_few_values_travels_as_a_dictionary() -> None:
    few, many = changes(SCHEMA, ["男", "女", None] * 400), changes(SCHEMA, [f"{i:08}" for i in range(1200)])
    sizes = []
    for some in (few, many):
        made = builder()
        made.add(some)
        group = made.finish()
        sizes.append(len(group.envelopes[-1].data))
        assert [c.row for c in read(group)[1]] == lines(some)
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        (lambda i: "男女"[i % 2], True),
        (lambda i: None if i % 4 else f"{i:08}", False),  # few, and each once
        (lambda _: None, False),
    ],
)
def test_a_column_is_a_dictionary_where_the_values_that_it_has_come_again(
    text: Callable[[int], str | None], repeats: bool
) -> None:
    made = builder()
    made.add(changes(SCHEMA, [text(i) for i in range(1_000)]))
    inner = open_inner(parse(made.finish().envelopes[-1].data), SUITE_1, SITE_OPENER)
    assert decode_batch(inner, lambda _: SCHEMA).header.dictionaries == ((1,) if repeats else ())
