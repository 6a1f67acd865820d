"""One step further from a state is what the whole history gives, wherever `advance` says that it can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from central_ingest.landing.current import SYSTEM, Floor
from central_ingest.landing.deriving import Standing, advance, derive, unchanged_in
from central_ingest.landing.replay import replay

from .changes_tables import Line, aside, change, mark, table
from .histories import histories
from .test_statement import _envelopes, _floor

LEFT_OUT = ["姓名"]


def _derived(lines: Sequence[Line], above: Floor) -> pa.Table:
    changes = table([one for one in lines if one["_gc_op"] != "m"])
    return derive(changes, True, above, unchanged_in(changes))


def _standing(rows: pa.Table) -> Standing:
    def standing(keys: pa.Array, columns: Sequence[str]) -> pa.Table:
        found = rows.filter(pc.is_in(rows["_gc_key"], value_set=keys))
        return found.select([*columns, *SYSTEM])

    return standing


def _advanced(before: list[Line], window: list[Line]) -> list[Line] | None:
    """The state after the window, made of the one before it."""
    state = _derived(before, _floor(before))
    changes = table([one for one in window if one["_gc_op"] != "m"])
    live = advance(changes, _standing(state))
    if live is None:
        return None
    untouched = pc.invert(pc.is_in(state["_gc_key"], value_set=pc.unique(changes["_gc_key"])))
    rows: list[Line] = pa.concat_tables([state.filter(untouched), live]).to_pylist()
    return sorted(rows, key=repr)


def _replayed(lines: list[Line]) -> list[Line]:
    return sorted(replay(table(lines), True), key=repr)


@settings(max_examples=60, deadline=None)
@given(histories(keyed=True), st.data())
def test_a_step_gives_what_a_replay_gives(lines: list[Line], data: st.DataObject) -> None:
    envelopes = _envelopes(lines)
    cut = envelopes[: data.draw(st.integers(0, len(envelopes)))]
    before = [one for one in lines if (one["_gc_epoch"], one["_gc_seq"]) in cut]
    window = [one for one in lines if (one["_gc_epoch"], one["_gc_seq"]) not in cut]
    if _floor(before).above != _floor(lines).above or not any(one["_gc_op"] != "m" for one in window):
        event("the floor moved, or nothing changed")
        return
    found = _advanced(before, window)
    event("only the history tells" if found is None else "advanced")
    assert found is None or found == _replayed(lines)


def test_what_an_update_left_out_comes_from_what_stands() -> None:
    before = [
        change(1, 1, 0, "c", "a", id=1, 姓名="x", aside=[aside("id", "raw")]),
        change(1, 1, 1, "c", "b", id=1),
        change(1, 2, 0, "u", "b", unchanged=["id"]),
    ]
    window = [
        change(1, 3, 0, "u", "a", id=2, unchanged=LEFT_OUT),
        change(1, 3, 1, "u", "c", unchanged=["id"]),
    ]
    found = _advanced(before, window)
    assert found == _replayed([*before, *window])
    assert {row["_gc_key"]: (row["id"], row["姓名"], row["_gc_unknown"]) for row in found or ()} == {
        b"a": (2, "x", []),
        b"b": (1, None, []),
        b"c": (None, None, ["id"]),
    }


def test_a_key_that_moves_in_the_window_takes_along_what_stands_under_the_old_one() -> None:
    before = [change(1, 1, 0, "c", "a", id=1, 姓名="travels")]
    window = [
        change(1, 2, 0, "d", "a"),
        change(1, 2, 1, "c", "b", old_key="a", id=2, unchanged=LEFT_OUT),
        change(1, 3, 0, "d", "b"),
        change(1, 3, 1, "c", "c", old_key="b", id=3, unchanged=LEFT_OUT),
        change(1, 4, 0, "u", "c", id=4, unchanged=LEFT_OUT),
    ]
    found = _advanced(before, window)
    assert found == _replayed([*before, *window])
    assert [(row["_gc_key"], row["id"], row["姓名"]) for row in found or ()] == [(b"c", 4, "travels")]


@pytest.mark.parametrize("unchanged", [LEFT_OUT, None])
def test_an_old_key_that_died_before_the_window_sends_to_the_history(unchanged: Any) -> None:
    before = [change(1, 1, 0, "c", "a", 姓名="x"), change(1, 2, 0, "d", "a")]
    window = [change(1, 3, 0, "c", "b", old_key="a", unchanged=unchanged)]
    found = _advanced(before, window)
    assert found is None if unchanged else found == _replayed([*before, *window])


def test_columns_that_differ_in_case_alone_are_told_apart() -> None:
    source = pa.schema([("Name", pa.string()), ("name", pa.string())])
    lines = [
        change(1, 1, 0, "c", "a", Name="N", name="n"),
        change(1, 2, 0, "u", "a", unchanged=["name"], Name="M"),
        mark(1, 3, "truncate"),
    ]
    state = derive(table(lines[:1], source), True, Floor(), ())
    found = advance(table(lines[1:2], source), _standing(state))
    assert found is not None
    assert [(row["Name"], row["name"]) for row in found.to_pylist()] == [("M", "n")]
