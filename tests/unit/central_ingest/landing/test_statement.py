"""What a materialised table states of itself, and that the floor can be followed with the marks that it keeps."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing.current import Floor, Mark, Span, floor
from central_ingest.landing.statement import Statement, Track
from protocol.change import Version

from .changes_tables import Line, change, mark, table
from .histories import histories

S1, S2 = "1" * 32, "2" * 32


def _version(line: Line) -> Version:
    return Version(line["_gc_epoch"], line["_gc_seq"], line["_gc_ord"])


def _marks(lines: Sequence[Line]) -> list[Mark]:
    return [Mark.read(_version(one), one["_gc_mark"]) for one in lines if one["_gc_op"] == "m"]


def _floor(lines: Sequence[Line]) -> Floor:
    """With all marks and all rows in hand."""

    def reads(span: Span) -> int:
        inside = (one for one in lines if one["_gc_op"] == "r")
        return sum(span.begin < _version(one) < span.end for one in inside)

    return floor(_marks(lines), reads)


def _envelopes(lines: Sequence[Line]) -> list[tuple[int, int]]:
    return sorted({(one["_gc_epoch"], one["_gc_seq"]) for one in lines})


@settings(max_examples=60, deadline=None)
@given(st.booleans().flatmap(lambda keyed: histories(keyed=keyed)), st.data())
def test_the_floor_followed_is_the_floor_of_the_whole_history(lines: list[Line], data: st.DataObject) -> None:
    envelopes = _envelopes(lines)
    begin = data.draw(st.integers(0, len(envelopes)))
    seen = [one for one in lines if (one["_gc_epoch"], one["_gc_seq"]) in envelopes[:begin]]
    track = Track()
    if seen:
        rows = [one for one in seen if one["_gc_op"] == "r"]
        track = Track.of(
            _marks(seen),
            lambda span: sum(span.begin < _version(one) < span.end for one in rows),
            max(map(_version, seen)),
        )
    while True:
        assert track.floor == _floor(seen)
        rest = envelopes[len(_envelopes(seen)) :]
        if not rest:
            break
        taken = rest[: data.draw(st.integers(1, len(rest)))]
        window = [one for one in lines if (one["_gc_epoch"], one["_gc_seq"]) in taken]
        track, seen = track.followed(table(window)), seen + window


def test_marks_that_no_floor_can_rest_on_are_let_go() -> None:
    lines = [mark(1, 1, "snapshot_begin", S1), change(1, 2, 0, "r", "a"), mark(1, 3, "snapshot_end", S1, 1)]
    lines += [mark(1, seq, "truncate") for seq in range(4, 40)]
    lines += [mark(1, 40, "snapshot_begin", S2), mark(1, 41, "snapshot_end", S2, 9)]
    kinds = [(one.kind, one.version.seq) for one in Track().followed(table(lines)).marks]
    assert kinds == [
        ("snapshot_begin", 1),
        ("snapshot_end", 3),
        ("truncate", 39),
        ("snapshot_begin", 40),
    ]
    more = [change(1, 42, i, "r", str(i)) for i in range(9)] + [mark(1, 43, "snapshot_end", S2, 9)]
    assert [one.version.seq for one in Track().followed(table(lines + more)).marks] == [40, 43]


def test_a_statement_reads_back_and_what_is_none_is_none() -> None:
    track = Track((Mark(Version(1, 1), "snapshot_begin", S1), Mark(Version(1, 5), "snapshot_end", S1, 3)), 3)
    said = Statement("changes/h/his/t-1", 7, 2, 9, 1_000, 3, True, track, more=True)
    assert Statement.from_json(said.to_json()) == said
    assert (said.place, said.upto > Version(2, 9, 1_000_000), said.upto < Version(2, 10)) == (
        (2, 9),
        True,
        True,
    )
    older = said.to_json().replace('"format":1', '"format":0')
    assert [Statement.from_json(text) for text in (older, "", "[]", '{"format":1}')] == [None] * 4
