"""What people wrote at a source about a table and its columns, as its schema carries it.

Comments change nothing that is captured, so they are bounded: one that is longer than a line of text, or that comes
after too many others, ends in an ellipsis. Knows no source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from protocol.schema import COMMENT, Column, TableSchema

CHARS_MAX = 1_000
BYTES_MAX = 128 << 10
"""Of all comments of a table: a schema travels in one envelope."""
CUT = "…"


@dataclass(frozen=True, slots=True)
class Comments:
    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, table: str | None, columns: Mapping[str, str | None]) -> Comments:
        """As a catalogue gives them: empty or none where nobody wrote one."""
        return cls(table or "", {name: text for name, text in columns.items() if text})


def commented(schema: TableSchema, comments: Comments) -> TableSchema:
    """`schema` with its comments as metadata."""
    room = BYTES_MAX

    def bounded(text: str) -> str:
        nonlocal room
        # What is no text in the database's own encoding came as half surrogates, which do not travel.
        plain = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if len(plain) > CHARS_MAX:
            plain = plain[:CHARS_MAX] + CUT
        room -= len(plain.encode())
        return plain if room >= 0 else CUT

    meta = dict(schema.meta) | ({COMMENT: bounded(comments.table)} if comments.table else {})
    columns = []
    for column in schema.columns:
        text = comments.columns.get(column.name)
        columns.append(column if not text else _with(column, bounded(text)))
    return replace(schema, columns=tuple(columns), meta=meta)


def _with(column: Column, comment: str) -> Column:
    return replace(column, meta={**column.meta, COMMENT: comment})
