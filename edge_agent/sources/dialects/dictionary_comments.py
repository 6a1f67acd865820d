"""Comments from a dictionary of Oracle's form: ALL_TAB_COMMENTS and ALL_COL_COMMENTS, which DM8 has too.

Both show what the account may read (Oracle Database Reference; DM's own SQLAlchemy dialect asks the same). A comment
has 4,000 bytes at most. In a database whose text is read as bytes comments are so too, in pieces that a RAW holds, and
are decoded here. Knows no driver: text may come as str, or as the bytes that the driver had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_agent.sources.comments import Comments
from edge_agent.sources.dialects.dialect import Fetch
from edge_agent.sources.dialects.oracle_catalogue import PIECE_CHARS
from protocol.names import TableName

_PIECES = 8
_PLAIN = "m.comments"
_IN_BYTES = ", ".join(
    f"UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, {i * PIECE_CHARS + 1}, {PIECE_CHARS}))" for i in range(_PIECES)
)
_WHERE = " WHERE m.owner = {1} AND m.table_name = {2} AND m.comments IS NOT NULL"
_OF_TABLE = "SELECT {0} FROM all_tab_comments m" + _WHERE  # noqa: S608 (our own text)
_OF_COLUMNS = "SELECT m.column_name, {0} FROM all_col_comments m" + _WHERE  # noqa: S608 (our own text)


def read_comments(fetch: Fetch, table: TableName, places: tuple[str, str], charset: str | None) -> Comments:
    """What people wrote at the table; `places` are those of two parameters. `charset` is Python's name of what the
    comments are in, None where the server itself converts them."""
    told = _PLAIN if charset is None else _IN_BYTES
    values = (table.schema, table.name)
    of_table = fetch(_OF_TABLE.format(told, *places), values)
    of_columns = fetch(_OF_COLUMNS.format(told, *places), values)
    return Comments.of(
        _text(of_table[0], charset) if of_table else None,
        {_name(row[0]): _text(row[1:], charset) for row in of_columns},
    )


def _name(value: Any) -> str:
    """As the catalogue spells it."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes | bytearray) else str(value)


def _text(pieces: Sequence[Any], charset: str | None) -> str:
    if charset is None:
        return _name(pieces[0])
    return b"".join(piece for piece in pieces if piece is not None).decode(charset, "replace")
