"""Changes that stand in the log → spool, and → landed, beside `pg_recvlogical` to nowhere and beside our own reader.

Each portion of the log (so many rows inserted, then all of them updated, then all deleted, in transactions of 1,000)
was written before anybody reads it. Then it is read by one after another, each from a slot of its own: by
`pg_recvlogical`, whose time is that of its process; by the agent whose link is down (→ spool) and by another one with
broker and centre (→ landed), from when its slot is in use; by our connection alone, and with the decoder.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_agent.sources.pg.replication import parse_lsn
from tests.databases import PASSWORD, PostgresServer

from .. import visits
from ..databases import postgres_login
from ..delta_log import DeltaLog
from ..landed import Run
from ..processes import run_to_end
from ..site import Site, site
from .server import PUBLICATION, SEED, Hospital, hospital
from .snapshot import told

PORTION_ROWS = 1_000
"""Of one transaction."""
SECONDS_MAX = 900.0
RIVAL, SPOOL, LANDED = "pg_recvlogical → nowhere", "ours → spool", "ours → landed"
READ, DECODE = "our connection → nowhere", "connection and decoder → nowhere"

_AND = f"visit_id > {{first}} AND visit_id <= {{first}} + {PORTION_ROWS}"
KINDS = {
    "inserts": f"INSERT INTO {visits.TABLE} SELECT * FROM {SEED} WHERE {_AND}",
    "updates": f"UPDATE {visits.TABLE} SET visit_type = visit_type + 1, updated_at = now() WHERE {_AND}",
    "deletes": f"DELETE FROM {visits.TABLE} WHERE {_AND}",
}
Found = dict[tuple[str, str], list[Run]]
"""By kind of change and who."""


@dataclass
class Follower:
    """A site whose agent follows the table, and is stopped now."""

    one: Site
    slot: str
    log: DeltaLog


def run(rows: int, rounds: int, server: PostgresServer | None = None) -> Found:
    """Raises Missing."""
    found: Found = {}
    with (
        hospital(rows, SEED, server) as here,
        _follower(here, "spool") as spool,
        _follower(here, "lake") as lake,
    ):
        spool.one.end_link()
        for _ in range(rounds):
            for kind, statement in KINDS.items():
                for who, run in _portion(here, spool, lake, statement, rows):
                    found.setdefault((kind, who), []).append(run)
    return found


@contextlib.contextmanager
def _follower(here: Hospital, name: str) -> Iterator[Follower]:
    """One that has read the empty table to its end."""
    slot = f"guicang_{name}"
    with (
        TemporaryDirectory(prefix="guicang-bench-") as folder,
        site(
            Path(folder),
            here.made.url,
            kind="postgres",
            slot=slot,
            publications=[PUBLICATION],
            include=[f"*{visits.TABLE}"],
            duty_share_max=1.0,
        ) as one,
    ):
        follower = Follower(one, slot, DeltaLog(one.lake / "changes", visits.TABLE[:10]))
        one.start_agent()
        one.wait_until(lambda: follower.log.has(2), 120)  # the marks of the snapshot
        _stop(here, follower)
        yield follower


def _stop(here: Hospital, follower: Follower) -> None:
    follower.one.stop("agent")
    follower.one.wait_until(lambda: not here.is_read(follower.slot), 60)


def _portion(
    here: Hospital, spool: Follower, lake: Follower, statement: str, rows: int
) -> Iterator[tuple[str, Run]]:
    slots = {RIVAL: "bench_rival", READ: "bench_read", DECODE: "bench_decode"}
    for slot in slots.values():
        here.create_slot(slot)
    last = _write(here, statement, rows)
    end = here.end()
    yield RIVAL, _recvlogical(here, slots[RIVAL], end, rows)
    yield SPOOL, _followed(here, spool, lambda: _spooled(spool.one) > last, rows)
    landed = lake.log.rows + rows
    yield LANDED, _followed(here, lake, lambda: lake.log.has(landed), rows)
    for who, what in ((READ, "read"), (DECODE, "decode")):
        command = [sys.executable, "-m", "bench.log_decode", what, here.made.url, slots[who], PUBLICATION]
        yield who, told(here, command, os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}, rows)[0]
    for slot in slots.values():
        here.drop_slot(slot)


def _write(here: Hospital, statement: str, rows: int) -> int:
    """Where the log stands just before the last transaction's commit."""
    last = (rows - 1) // PORTION_ROWS * PORTION_ROWS
    if last:
        each = statement.format(first="portion")
        loop = f"FOR portion IN 0 .. {last - 1} BY {PORTION_ROWS} LOOP {each}; COMMIT; END LOOP"
        here.run(f"DO $$ BEGIN {loop}; END $$")
    connection = here.server.connect(here.database)
    connection.autocommit = False
    with connection, connection.cursor() as cursor:
        cursor.execute(statement.format(first=last))
        cursor.execute("SELECT pg_current_wal_insert_lsn()")
        lsn = str(cursor.fetchone()[0])
    connection.close()
    return parse_lsn(lsn)


def _recvlogical(here: Hospital, slot: str, end: str, rows: int) -> Run:
    place = postgres_login(here.server, here.database)
    options = [
        word
        for option in ("proto_version=1", f"publication_names={PUBLICATION}", "messages=true")
        for word in ("-o", option)
    ]
    command = [here.server.program("pg_recvlogical"), *place, "-S", slot, "--start", "--endpos", end]
    before = here.usage()
    done = run_to_end(
        [*command, *options, "-f", "/dev/null"], subprocess.DEVNULL, os.environ | {"PGPASSWORD": PASSWORD}
    )
    if done.code:
        raise RuntimeError("pg_recvlogical could not read the log")
    return Run(rows, done.seconds, {"pg_recvlogical": done.usage, "server": here.usage().since(before)})


def _followed(here: Hospital, follower: Follower, there: Callable[[], bool], rows: int) -> Run:
    one = follower.one
    one.start_agent()
    began = one.wait_until(lambda: here.is_read(follower.slot), 60)
    before = one.usages() | {"server": here.usage()}
    seconds = one.wait_until(there, SECONDS_MAX) - began
    after = one.usages() | {"server": here.usage()}
    _stop(here, follower)
    return Run(rows, seconds, {name: after[name].since(before[name]) for name in before})


def _spooled(one: Site) -> int:
    """Every transaction whose commit begins below this is in the spool, whole."""
    with contextlib.closing(sqlite3.connect(f"file:{one.spool}?mode=ro", uri=True)) as spool:
        ((position,),) = spool.execute("SELECT position FROM streams").fetchall()
    return int(json.loads(position)["end"])
