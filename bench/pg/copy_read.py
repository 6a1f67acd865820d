"""A table read by COPY as our sources read it, to nowhere: CSV into Arrow's reader, texts into typed columns.

`python -m bench.pg.copy_read URL TABLE`. Prints what `measuring` tells.
"""

from __future__ import annotations

import sys

from sqlalchemy import make_url

from edge_agent.sources.sql import SqlSource
from protocol.names import TableName

from ..rivals.measuring import tell


def copied(url: str, table: str) -> int:
    source = SqlSource("his", lambda: url)
    schema = source.describe(TableName(make_url(url).database, "public", table))
    rows = sum(piece.count for piece in source.whole(schema))
    source.close()
    return rows


if __name__ == "__main__":
    tell(lambda: copied(*sys.argv[1:]))
