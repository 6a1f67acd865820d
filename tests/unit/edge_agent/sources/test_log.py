"""When a table is what it was, by its identity."""

from __future__ import annotations

from edge_agent.sources.log import is_still


def test_what_was_added_behind_changes_no_row_that_stands() -> None:
    assert is_still("a", "a")
    assert is_still("a", "a+1+2")
    assert is_still("a+1", "a+1+2")
    for before, now in (
        ("a+1", "a+2"),
        ("a+1+2", "a+1"),
        ("a", "ab"),
        ("", "a"),
        ("", "+a"),
        ("a+1", "a+12"),
    ):
        assert not is_still(before, now), (before, now)
