"""In which encoding a file of text is: as its rule says, or found out from the file itself."""

from __future__ import annotations

import codecs

from edge_agent.sources import charsets
from edge_agent.sources.escaped import is_shifting
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


def breaks_lines_plainly(encoding: str) -> bool:
    """Whether the bytes CR and LF are line breaks wherever they stand, and what is behind one means the same alone."""
    name = codecs.lookup(encoding).name.removesuffix("-sig")
    return not is_shifting(name) and "\r\n".encode(name) == b"\r\n"
