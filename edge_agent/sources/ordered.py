"""Rows in the order of one column: what both ways that follow a column (query, window) ask of a source.

The order is that of the column and then of the key, so that a page can end anywhere and the next one begin
right behind it. Pure; shared by all kinds of sources that can do it.
"""

from __future__ import annotations

from edge_agent.sources.source import Page, Rows
from protocol.canonical import encode_rows
from protocol.schema import Column, TableSchema


def order_of(schema: TableSchema, column: str) -> list[Column]:
    """The columns that the rows are ordered by."""
    by_name = {c.name: c for c in schema.columns}
    return [by_name[column], *(by_name[name] for name in schema.key if name != column)]


def page_of(schema: TableSchema, column: str, rows: Rows, full: bool) -> Page:
    """These rows as a page. A value that its column does not carry (infinity) is none to go on behind: such
    rows stand at an end of the order, and a page ends with the last row before them."""
    order = order_of(schema, column)
    columns = {c.name: rows.columns[i] for i, c in enumerate(schema.columns)}
    last = next((i for i in reversed(range(rows.count)) if columns[column][i].is_valid), None)
    if last is None:
        return Page(rows, b"", False)
    here = [columns[c.name].slice(last, 1) for c in order]
    return Page(rows, encode_rows(here)[0], full and last == rows.count - 1)
