"""Histories of one table as hypothesis draws them: batches and marks over a few epochs."""

from __future__ import annotations

from hypothesis import strategies as st

from .changes_tables import SOURCE, Line, aside, change, mark

_KEYS = st.sampled_from("abc")
_IMAGES = st.fixed_dictionaries(
    {"id": st.none() | st.integers(0, 3), "姓名": st.none() | st.sampled_from(["x", "it's"])}
)
_NAMES = st.lists(st.sampled_from(SOURCE.names), unique=True)
_ASIDES = st.none() | st.builds(lambda name: [aside(name, "raw")], st.sampled_from(SOURCE.names))


@st.composite
def _row(draw: st.DrawFn, keyed: bool) -> list[Line]:
    op = draw(st.sampled_from("rrccuuud" if keyed else "rrccd"))
    more: Line = {"op": op, "key": draw(_KEYS)}
    if op != "d":
        more |= draw(_IMAGES) | {"aside": draw(_ASIDES), "unchanged": draw(st.none() | _NAMES)}
    if op == "c" and draw(st.booleans()):
        more["old_key"] = draw(_KEYS)
    moved = keyed and "old_key" in more and draw(st.booleans())
    return [{"op": "d", "key": more["old_key"]}, more] if moved else [more]


@st.composite
def histories(draw: st.DrawFn, keyed: bool) -> list[Line]:
    """Batches and marks of one table, over a few epochs; ends are sometimes right, sometimes not."""
    lines: list[Line] = []
    epoch, seq, snapshots, reads = 1, 0, 0, 0
    for step in draw(st.lists(st.sampled_from("rrrrbbeetn"), max_size=14)):
        seq += draw(st.integers(1, 2))
        if step == "r":
            rows = [one for group in draw(st.lists(_row(keyed), min_size=1, max_size=4)) for one in group]
            lines += [change(epoch, seq, i, **row) for i, row in enumerate(rows)]
            reads += sum(row["op"] == "r" for row in rows)
        elif step == "b":
            snapshots, reads = snapshots + 1, 0
            lines.append(mark(epoch, seq, "snapshot_begin", f"{snapshots:032x}"))
        elif step == "e":
            named = snapshots - draw(st.sampled_from([0, 0, 0, 1]))
            wrong = draw(st.sampled_from([0, 0, 0, 1]))
            lines.append(mark(epoch, seq, "snapshot_end", f"{named:032x}", reads + wrong))
        elif step == "t":
            lines.append(mark(epoch, seq, draw(st.sampled_from(["truncate", "drop", "inventory"]))))
        else:
            epoch, seq = epoch + 1, 0
    return lines
