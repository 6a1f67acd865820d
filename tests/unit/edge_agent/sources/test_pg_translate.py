"""A log's texts become changes: what a change of key is, what a deletion carries, what an update left out."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.columns import Carrier, Layout
from edge_agent.sources.log import Logged
from edge_agent.sources.pg.events import Identity, LogColumn, OldKind, Relation, TableChanges
from edge_agent.sources.pg.translate import logged
from protocol.change import Op
from protocol.names import TableName
from protocol.schema import Column, TableSchema

NAMES, WIRES = ("id", "name", "long"), (pa.int64(), pa.string(), pa.string())
LAYOUT = Layout(NAMES, WIRES, (Carrier.SPELT,) * 3)
RELATION = Relation(1, "public", "t", Identity.DEFAULT, tuple(LogColumn(n, n == "id", 25, -1) for n in NAMES))
UNCHANGED = "unchanged"

Image = tuple[Any, ...]
Said = tuple[Op, Image | None, Image | None, OldKind]
"""op, old image, new image, kind of the old one."""


def schema(*key: str) -> TableSchema:
    columns = tuple(Column(n, w) for n, w in zip(NAMES, WIRES, strict=True))
    return TableSchema(TableName("d", "public", "t"), columns, key)


def changes(said: list[Said]) -> TableChanges:
    """As the decoder gives them."""
    new = [image for _, _, image, _ in said if image is not None]
    old = [image for _, image, _, _ in said if image is not None]

    def column(images: list[Image], place: int) -> pa.Array:
        values = [image[place] for image in images]
        return pa.array([None if v in (None, UNCHANGED) else str(v).encode() for v in values], pa.binary())

    left_out = [[image[place] == UNCHANGED for image in new] for place in range(3)]
    return TableChanges(
        RELATION,
        [op for op, _, _, _ in said],
        [0] * len(said),
        list(range(len(said))),
        [kind for _, _, _, kind in said],
        [column(new, place) for place in range(3)],
        [pa.array(flags) if any(flags) else None for flags in left_out],
        [column(old, place) for place in range(3)],
    )


def told(found: Logged) -> list[tuple[Any, ...]]:
    rows = zip(*(c.to_pylist() for c in found.rows.columns), strict=True)
    moved = found.moved or [False] * len(found.ops)
    unchanged = found.unchanged or [None] * len(found.ops)
    return list(zip(found.ordinal, found.ops, rows, moved, unchanged, strict=True))


def test_what_becomes_of_each_kind_of_change() -> None:
    said: list[Said] = [
        (Op.CREATE, None, (1, "王", None), OldKind.NONE),
        (Op.UPDATE, None, (1, "李", UNCHANGED), OldKind.NONE),
        (Op.UPDATE, (1, None, None), (2, "李", UNCHANGED), OldKind.KEY),
        (Op.DELETE, (2, None, None), None, OldKind.KEY),
    ]
    assert told(logged(schema("id"), LAYOUT, changes(said))) == [
        (0, Op.CREATE, (1, "王", None), False, None),
        (1, Op.UPDATE, (1, "李", None), False, ["long"]),
        (2, Op.DELETE, (1, None, None), False, None),
        (2, Op.CREATE, (2, "李", None), True, ["long"]),
        (3, Op.DELETE, (2, None, None), False, None),
    ]


def test_of_an_old_row_in_full_only_its_key_counts() -> None:
    said: list[Said] = [
        (Op.UPDATE, (1, "王", "x"), (1, "李", "x"), OldKind.FULL),
        (Op.DELETE, (1, "李", "x"), None, OldKind.FULL),
    ]
    assert told(logged(schema("id"), LAYOUT, changes(said))) == [
        (0, Op.UPDATE, (1, "李", "x"), False, None),
        (1, Op.DELETE, (1, None, None), False, None),
    ]


def test_without_a_key_an_update_takes_one_row_away_and_brings_another() -> None:
    said: list[Said] = [(Op.UPDATE, (1, "王", "x"), (1, "王", "x"), OldKind.FULL)]
    assert told(logged(schema(), LAYOUT, changes(said))) == [
        (0, Op.DELETE, (1, "王", "x"), False, None),
        (0, Op.CREATE, (1, "王", "x"), False, None),
    ]


IMAGES = st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None]), st.sampled_from(["l", None]))


@st.composite
def any_change(draw: st.DrawFn) -> Said:
    op = draw(st.sampled_from([Op.CREATE, Op.UPDATE, Op.DELETE]))
    kind = draw(st.sampled_from([OldKind.KEY, OldKind.FULL]))
    full = draw(IMAGES)
    old = full if kind is OldKind.FULL else (full[0], None, None)
    new = draw(IMAGES)
    if op is Op.CREATE:
        return op, None, new, OldKind.NONE
    if op is Op.DELETE:
        return op, old, None, kind
    if draw(st.booleans()):
        return op, None, (*new[:2], UNCHANGED) if draw(st.booleans()) else new, OldKind.NONE
    return op, old, new, kind


@given(st.lists(any_change(), max_size=12))
def test_any_changes_in_any_order(said: list[Said]) -> None:
    expected: list[tuple[Any, ...]] = []
    for ordinal, (op, old, new, _) in enumerate(said):
        if op is Op.DELETE or (old is not None and new is not None and old[0] != new[0]):
            assert old is not None
            expected.append((ordinal, Op.DELETE, (old[0], None, None), False, None))
        if new is not None:
            moved = old is not None and old[0] != new[0]
            row = tuple(None if v == UNCHANGED else v for v in new)
            left_out = [n for n, v in zip(NAMES, new, strict=True) if v == UNCHANGED] or None
            expected.append((ordinal, Op.CREATE if moved else op, row, moved, left_out))
    assert told(logged(schema("id"), LAYOUT, changes(said))) == expected
