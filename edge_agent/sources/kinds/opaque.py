"""Record kind `file`: a row a file of any kind, with what it is by its first bytes.

Nothing in it is parsed, so nothing in it can be broken: PDF, images, archives and whatever has no other kind land as
they are, and the row says where to begin. Only the head of a file is read.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.kind import Opened, Record
from edge_agent.sources.kinds.mediatype import HEAD_BYTES, media_type, pdf_version
from protocol.schema import Column


class OpaqueKind:
    """See `kind.RecordKind`."""

    version = 1
    columns = (Column("media_type", pa.string(), "text"), Column("pdf_version", pa.string(), "text"))

    def records(self, opened: Opened, rule: FileRule) -> Iterator[Record]:
        head = opened.stream.read(HEAD_BYTES)
        yield Record((media_type(head), pdf_version(head)))
