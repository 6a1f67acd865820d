"""In which encoding a file of text is: as its rule says, or found out from the file itself."""

from __future__ import annotations

from edge_agent.sources import charsets
from edge_agent.sources.filerule import AUTO, FileRule
from edge_agent.sources.kinds.kind import Opened


def encoding_of(opened: Opened, rule: FileRule) -> str:
    """Python's name of it; the stream is at its beginning afterwards. Rejected GC-2008 where it is no text at all."""
    if rule.encoding != AUTO:
        return rule.encoding
    found = charsets.of_stream(opened.stream, opened.size)
    if not found.confidence:
        raise opened.refused("it is no text")
    return found.encoding
