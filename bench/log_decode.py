"""What it costs to read PostgreSQL's log: pg_recvlogical to nowhere, our connection alone, connection and decoder.

Run as `python -m bench.log_decode [ROWS]`: one server, one log of inserted visits (25 columns, 470 bytes), each reader
from a slot of its own that stood before the rows. Prints rows a second, CPU seconds of the reader for a million rows,
and both as ratios to pg_recvlogical; it asserts nothing.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import make_url

from edge_agent.sources.pg.pgoutput import Decoder, Message, Segment
from edge_agent.sources.pg.replication import Gulp, LogConnection
from tests.databases import PASSWORD, PostgresServer

ROWS = 200_000
GULP_BYTES_MAX = 4 << 20
SECONDS_MAX = 600.0
SCRIPT = Path(__file__).parents[2] / "shared" / "bench" / "gen_pg.sql"
READERS = ("pg_recvlogical", "read", "read and decode")
END = "the end"


def main(rows: int) -> None:
    server = PostgresServer(wal_level="logical", max_wal_size="8GB", wal_sender_timeout="0")
    with server.database() as database:
        url = make_url(server.url(database))
        server.run("CREATE PUBLICATION p FOR ALL TABLES", database=database)
        connection = LogConnection(url, "bench")
        for place in range(len(READERS)):
            connection.create_slot(f"s{place}")
        connection.close()
        fill(server, database, rows)
        server.rows(f"SELECT pg_logical_emit_message(false, '{END}', '')", database)
        (end,) = server.rows("SELECT pg_current_wal_flush_lsn()", database)[0]
        acts: list[Callable[[], int]] = [
            lambda: recvlogical(server, database, str(end)),
            lambda: ours("s1", LogConnection(url, "bench"), None),
            lambda: ours("s2", LogConnection(url, "bench"), Decoder("bench")),
        ]
        first = (0.0, 0.0)
        for name, act in zip(READERS, acts, strict=True):
            speed, cpu = measured(act, rows)
            first = first if first[0] else (speed, cpu)
            print(
                f"{name:16} {speed:9,.0f} rows/s ({speed / first[0]:.2f})   "
                f"{cpu:5.1f} CPU s per 1 M rows ({cpu / first[1]:.2f})"
            )
    server.stop()


def fill(server: PostgresServer, database: str, rows: int) -> None:
    options = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "administrator", "-d", database]
    command = ["psql", *options, "-q", "-v", "ON_ERROR_STOP=1", "-v", f"n={rows}", "-f", str(SCRIPT)]
    subprocess.run(command, env={**os.environ, "PGPASSWORD": PASSWORD}, check=True)


def measured(act: Callable[[], int], rows: int) -> tuple[float, float]:
    """Rows a second, and CPU seconds for a million, of this process and its children."""
    before, begun = _cpu(), time.monotonic()
    seen = act()
    seconds, cpu = time.monotonic() - begun, _cpu() - before
    if seen not in (rows, -1):
        raise SystemExit(f"{seen} rows came, not {rows}")
    return rows / seconds, cpu * 1_000_000 / rows


def _cpu() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def recvlogical(server: PostgresServer, database: str, end: str) -> int:
    """-1: it counts nothing."""
    program = server.program("pg_recvlogical")
    place = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "administrator", "-d", database]
    options = ["-o", "proto_version=1", "-o", "publication_names=p", "-o", "messages=true", "-f", "/dev/null"]
    command = [program, *place, "-S", "s0", "--start", "--endpos", end, *options]
    subprocess.run(command, env={**os.environ, "PGPASSWORD": PASSWORD}, check=True)
    return -1


def ours(slot: str, connection: LogConnection, decoder: Decoder | None) -> int:
    """Rows that came before the end."""
    connection.start(slot, 0, ["p"])
    rows, deadline = 0, time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        gulp = connection.read(GULP_BYTES_MAX, 1.0)
        if decoder is None:
            rows += sum(message[0] == ord("I") for message in gulp.messages)
            ended = any(message[0] == ord("M") for message in gulp.messages)
        else:
            seen, ended = decoded(decoder, gulp)
            rows += seen
        if ended:
            connection.close()
            return rows
    raise SystemExit("the log did not come to its end")


def decoded(decoder: Decoder, gulp: Gulp) -> tuple[int, bool]:
    events = decoder.decode(gulp.messages)
    rows = sum(sum(t.rows for t in event.transactions) for event in events if isinstance(event, Segment))
    return rows, any(isinstance(event, Message) for event in events)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
