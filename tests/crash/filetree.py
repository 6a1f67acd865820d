"""A folder as it stands, for `tests.compare`: every table and every record of its files.

Read by a source that never saw the folder before, while nobody writes there. Only what the agent took each file for is
the agent's own word, from its book: that was decided once, perhaps when the file was another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from edge_agent.sources.filebook import FileBook
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.files import FilesSource
from edge_agent.sources.filetables import NO_TABLE
from edge_agent.sources.source import PageLimits, Rows, Way
from protocol import canonical
from protocol.errors import Rejected
from protocol.schema import TableSchema
from tests.comparing.catalogue import Name

RULE = FileRule(glob="**", kind="auto", encoding="auto")
"""Of the folder's only rule."""
_PAGE = PageLimits(rows=1_000, bytes=8 << 20)


class FileTree:
    """The tables below `root`. `book`: the agent's, which need not have stopped."""

    def __init__(self, root: Path, book: Path) -> None:
        self._root = root
        chosen = _chosen(book)
        self._source = FilesSource("share", root, (RULE,), stable_seconds=0, book=chosen)
        self._tables: dict[str, tuple[TableSchema, list[Rows]]] = {}
        self._read()
        self._read()  # what was refused has a row of its own now
        self.refused = set(chosen.refusals())
        """Files that should be tables and are none, or not whole ones."""

    def close(self) -> None:
        self._source.close()

    def tables(self) -> list[Name]:
        return [(None, None, name) for name in sorted(self._tables)]

    def columns(self, table: Name) -> tuple[str, ...]:
        return tuple(column.name for column in self._tables[table[2]][0].columns)

    def rows(self, table: Name, wires: Mapping[str, pa.DataType | None]) -> Iterator[list[list[bytes]]]:
        """As the Protocol of `tests.comparing.source` has it."""
        columns = self.columns(table)
        for rows in self._tables[table[2]][1]:
            cells = [canonical.encode_column(column) for column in rows.columns]
            for row, entries in enumerate(rows.asides or ()):
                for entry in entries or ():
                    cells[columns.index(entry["column"])][row] = canonical.aside_cell(entry)
            yield cells

    def is_refused(self, table: str) -> bool:
        """It is such a file's, or was a part of it: what was read of it last may stand."""
        return any(table == name or table.startswith(f"{name}#") for name in self.refused)

    def check_records(self, files: Path) -> set[str]:
        """Each row of a file names the file's bytes, which are below `files`; the paths that have rows."""
        found = set()
        for schema, slices in self._tables.values():
            if schema.key != ("path", "number"):
                continue
            for rows in slices:
                for path, sha256 in zip(
                    rows.columns[0].to_pylist(), rows.columns[4].to_pylist(), strict=True
                ):
                    found.add(path)
                    data = (self._root / path).read_bytes()
                    assert sha256 == hashlib.sha256(data).hexdigest(), path
                    assert not data or (files / sha256).read_bytes() == data, path
        return found

    def _read(self) -> None:
        self._tables.clear()
        for info in self._source.inventory():
            try:
                schema = self._source.describe(info.name)
                self._tables[info.name.name] = schema, list(self._rows(schema))
            except Rejected as fault:
                if fault.code not in NO_TABLE:
                    raise

    def _rows(self, schema: TableSchema) -> Iterator[Rows]:
        if self._source.way(schema) is Way.WHOLE:
            yield from self._source.whole(schema)
            return
        after, full = b"", True
        while full:
            page = self._source.page(schema, after, b"", _PAGE)
            assert not page.lacking, "somebody writes there"
            after, full = page.last, page.full
            yield page.rows


def _chosen(book: Path) -> FileBook:
    """A book that holds no more of another one than what `auto` decided."""
    agents, own = FileBook(book, is_owner=False), FileBook(None)
    try:
        for choice in agents.all_chosen():
            own.choose(choice)
    finally:
        agents.close()
    return own
