"""From the source's commit to the lake, at 2,000 changes a second: how old each change is when it can be read.

A hundred transactions a second, each of twelve rows inserted, six updated and two deleted. When a change was
committed the server says, and each row has it (`_gc_source_time`); it can be read when the entry of its Delta commit
has its name, which is looked for every 2 ms. The first seconds, in which a quiet table becomes a busy one, are left
out.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.databases import PostgresServer

from .. import visits
from ..delta_log import DeltaLog
from ..processes import Usage
from ..site import Site, site
from .server import PUBLICATION, SEED, Hospital, hospital

TRANSACTIONS_PER_SECOND = 100
INSERTS, UPDATES, DELETES = 12, 6, 2
WARM_UP_SECONDS = 3.0
SLOT = "guicang_his"
MARKS = 2
_POLL_SECONDS = 0.002
_SQL = f"""
INSERT INTO {visits.TABLE} SELECT * FROM {SEED} WHERE visit_id > %(at)s AND visit_id <= %(at)s + {INSERTS};
UPDATE {visits.TABLE} SET visit_type = visit_type + 1, updated_at = now()
    WHERE visit_id > %(at)s - {INSERTS} AND visit_id <= %(at)s - {INSERTS} + {UPDATES};
DELETE FROM {visits.TABLE} WHERE visit_id > %(at)s - {DELETES} AND visit_id <= %(at)s;
"""


@dataclass(frozen=True)
class Fresh:
    """`waits`: seconds of each change, the warm-up's left out. `rate`: changes a second that were made."""

    waits: list[float]
    rate: float
    usages: dict[str, Usage]
    seconds: float


class _Writer(threading.Thread):
    """Makes the changes, each transaction at its time."""

    def __init__(self, here: Hospital, transactions: int) -> None:
        super().__init__(name="writer", daemon=True)
        self._connection = here.server.connect(here.database)
        self._transactions = transactions
        self.changes = 0
        self.seconds = 0.0
        self.ended = False

    def run(self) -> None:
        began = time.monotonic()
        with self._connection.cursor() as cursor:
            for number in range(self._transactions):
                time.sleep(max(0.0, began + number / TRANSACTIONS_PER_SECOND - time.monotonic()))
                cursor.execute(_SQL, {"at": number * INSERTS})
                self.changes += INSERTS + UPDATES + DELETES if number else INSERTS
        self.seconds = time.monotonic() - began
        self._connection.close()
        self.ended = True


def run(seconds: float, server: PostgresServer | None = None) -> Fresh:
    """Raises Missing."""
    transactions = max(1, round((WARM_UP_SECONDS + seconds) * TRANSACTIONS_PER_SECOND))
    with (
        hospital(transactions * INSERTS, SEED, server) as here,
        TemporaryDirectory(prefix="guicang-bench-") as folder,
        site(
            Path(folder),
            here.made.url,
            kind="postgres",
            publications=[PUBLICATION],
            include=[f"*{visits.TABLE}"],
        ) as one,
    ):
        log = DeltaLog(one.lake / "changes", visits.TABLE[:10])
        one.start_agent()
        one.wait_until(lambda: log.has(MARKS), 120)
        writer, before = _Writer(here, transactions), one.usages()
        began = time.time()
        writer.start()
        seen = _watch(one, log, writer, seconds + 60)
        usages = {name: use.since(before[name]) for name, use in one.usages().items()}
        waits = _waits(seen, began + WARM_UP_SECONDS)
        one.stop("agent")
        one.wait_until(lambda: not here.is_read(SLOT), 60)
        here.drop_slot(SLOT)
    return Fresh(waits, writer.changes / writer.seconds, usages, writer.seconds)


def _watch(one: Site, log: DeltaLog, writer: _Writer, seconds_max: float) -> list[tuple[float, Path]]:
    """When each file could be read, until every change could."""
    seen: list[tuple[float, Path]] = []
    give_up, known = time.monotonic() + seconds_max, len(log.files)
    while not (writer.ended and log.rows == MARKS + writer.changes):
        if log.poll():
            now = time.time()
            seen += [(now, path) for path in log.files[known:]]
            known = len(log.files)
        if time.monotonic() > give_up:
            raise RuntimeError(f"{log.rows - MARKS} of {writer.changes} changes could be read")
        time.sleep(_POLL_SECONDS)
    one.check_alive()
    return seen


def _waits(seen: list[tuple[float, Path]], since: float) -> list[float]:
    """Of every change that was committed after that moment."""
    waits = []
    for moment, path in seen:
        stamps = pq.read_table(path, columns=["_gc_source_time"]).column(0).drop_null()
        for committed in pc.divide(stamps.cast("int64").cast("float64"), 1e6).to_pylist():
            if committed >= since:
                waits.append(moment - committed)
    return waits
