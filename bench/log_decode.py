"""The log read by our connection alone, or by connection and decoder, to nowhere; `pg-log` starts it.

`python -m bench.log_decode read|decode URL SLOT PUBLICATION`: up to the first logical message. Prints what `measuring`
tells.
"""

from __future__ import annotations

import sys
import time

from sqlalchemy import make_url

from edge_agent.sources.pg.events import Message, Segment
from edge_agent.sources.pg.pgoutput import Decoder
from edge_agent.sources.pg.replication import LogConnection
from protocol.limits import GROUP_BYTES_MAX

from .rivals.measuring import tell

SECONDS_MAX = 600.0


def followed(url: str, slot: str, publication: str, *, decoding: bool) -> int:
    """Rows that came before the end."""
    connection, decoder = LogConnection(make_url(url), "bench"), Decoder("bench")
    connection.start(slot, 0, [publication])
    rows, deadline, ended = 0, time.monotonic() + SECONDS_MAX, False
    while not ended and time.monotonic() < deadline:
        gulp = connection.read(GROUP_BYTES_MAX, 1.0)
        if not decoding:
            kinds = bytes(message[0] for message in gulp.messages)
            rows += sum(map(kinds.count, b"IUD"))
            ended = b"M" in kinds
            continue
        for event in decoder.decode(gulp.messages):
            rows += sum(t.rows for t in event.transactions) if isinstance(event, Segment) else 0
            ended = ended or isinstance(event, Message)
    connection.close()
    if not ended:
        raise SystemExit("the log did not come to its end")
    return rows


def main() -> None:
    what, *place = sys.argv[1:]
    tell(lambda: followed(*place, decoding=what == "decode"))


if __name__ == "__main__":
    main()
