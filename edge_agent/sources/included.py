"""Which tables an operator's list means: patterns with * and ? over the whole name, as `check` prints it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from edge_agent.sources.settings import FilesSettings, SqlSettings
from protocol.names import TableName


def is_included(settings: SqlSettings | FilesSettings, name: TableName) -> bool:
    """Whether the operator's list names the table: an include pattern fits, and no exclude pattern."""
    text = str(name)
    return any(fnmatch.fnmatchcase(text, p) for p in settings.include) and not any(
        fnmatch.fnmatchcase(text, p) for p in settings.exclude
    )


def unmatched(settings: SqlSettings | FilesSettings, names: Iterable[TableName]) -> list[str]:
    """The patterns of `include` that fit none of the names: misspelt, or for a table that is yet to come."""
    texts = [str(name) for name in names]
    return [p for p in settings.include if not any(fnmatch.fnmatchcase(text, p) for text in texts)]
