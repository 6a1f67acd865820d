"""A synthetic Chinese hospital that lives: an SQLite database in WAL mode and a folder of CSV exports.

It stands in for a HIS that the edge agent has never met: it does not know that anyone reads along, and commits short
transactions whenever it likes. The same seed, size and steps make the same hospital, unless a clock is handed in, which
the demonstration does so that the screen shows the present.

    python -m demo.hospital --db x.db --folder f --seconds 5
"""

import argparse
import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from types import TracebackType

from demo import exports
from demo.desk import Allowance, Count, Desk, Serials
from demo.dictionaries import PricedDrug
from demo.founding import TABLES, Size, found, read_drugs
from demo.life import live_step

__all__ = ["TABLES", "Count", "Hospital", "Size"]

OPENING = datetime(2026, 3, 2, 8, 0)
STEP = timedelta(seconds=7)
REPORT_STEPS = 20
DEVICES_STEPS = 30
REPORT_ROWS = 30
REPORTS_FIRST = 3

_LATEST_RESULTS = """
SELECT r.lab_no, r.patient_id, p.patient_name, r.item_name, r.result_text, r.unit, r.abnormal_flag,
       r.reported_at, r.reporter
FROM lab_result r LEFT JOIN patient_info p ON p.patient_id = r.patient_id
ORDER BY r.lab_no DESC LIMIT ? OFFSET ?
"""


class Hospital:
    """Founds the hospital where `path_sqlite` holds none, else goes on with the one that is there.

    `clock` gives the hospital's local time, without zone; by default time stands at `OPENING` and moves by `STEP` a
    step. Methods may be called from any thread, one at a time takes its turn. Counts are rows that statements touched,
    by table or by kind of file; several changes of one row count each.
    """

    def __init__(
        self,
        path_sqlite: Path | str,
        folder_csv: Path | str,
        seed: int,
        size: Size | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.path = Path(path_sqlite)
        self.folder = Path(folder_csv)
        self.seed = seed
        self.step = 0
        self.totals: dict[str, Count] = {}
        self._clock = clock
        self._turn = threading.Lock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            self._open(size or Size())
        except BaseException:
            self._db.close()
            raise

    def _open(self, size: Size) -> None:
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'patient_info'").fetchone():
            # Before WAL: a founding in rollback mode writes each page once.
            found(self._db, self._chance("founding"), size, self._now())
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        if not (self.folder / exports.DEVICE_LIST).exists():
            exports.found_devices(self.folder, self._chance("devices"))
            for i in range(REPORTS_FIRST):
                self._drop_report(self._chance(f"report {i}"), self._now(), REPORT_ROWS * i)
        self._serials = Serials.read(self._db)
        self._drugs: list[PricedDrug] = read_drugs(self._db)
        self._allowance = Allowance()

    def live(self, step: int) -> dict[str, Count]:
        """Live one step (from 1): one short transaction, then perhaps a file. Returns what was done, by table."""
        with self._turn:
            self.step = step
            desk = Desk(
                self._db,
                self._serials,
                self._drugs,
                self._allowance,
                self._chance(f"step {step}, visit {self._serials.visit}"),
                self._now(),
            )
            self._db.execute("BEGIN IMMEDIATE")
            try:
                live_step(desk, step)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
            self._export(desk, step)
            for name, count in desk.tally.items():
                self.totals.setdefault(name, Count()).add(count)
            return desk.tally

    async def run(self, stop: asyncio.Event, rate: float = 5.0) -> None:
        """Live `rate` steps a second (each about ten rows) until `stop` is set; steps go on from the last one.

        Steps run in a thread, so that the caller's loop never waits for the disk. A step that is late is not caught up.
        """
        while not stop.is_set():
            begun = time.monotonic()
            await asyncio.to_thread(self.live, self.step + 1)
            rest = 1 / rate - (time.monotonic() - begun)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(rest, 0.0))

    def close(self) -> None:
        """Finish the step in hand and close the database."""
        with self._turn:
            self._db.close()

    def __enter__(self) -> "Hospital":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _chance(self, what: str) -> Random:
        return Random(f"{self.seed}/{what}")

    def _now(self) -> datetime:
        return self._clock() if self._clock else OPENING + STEP * self.step

    def _export(self, desk: Desk, step: int) -> None:
        if step % REPORT_STEPS == 0:
            rows = self._drop_report(desk.rng, desk.now)
            desk.count(f"{exports.REPORT_PREFIX}_*.csv").inserts += rows
        if step % DEVICES_STEPS == 0:
            desk.count(exports.DEVICE_LIST).add(exports.revise_devices(self.folder, desk.rng))

    def _drop_report(self, rng: Random, now: datetime, skipped: int = 0) -> int:
        results = self._db.execute(_LATEST_RESULTS, (1 + rng.randrange(REPORT_ROWS), skipped)).fetchall()
        return exports.drop_report(self.folder, rng, now, results)[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Found a hospital or open one, let it live for some seconds, and say what happened."""
    parser = argparse.ArgumentParser(prog="python -m demo.hospital", description=main.__doc__)
    parser.add_argument("--db", type=Path, required=True, help="SQLite file, created if absent")
    parser.add_argument("--folder", type=Path, required=True, help="folder of CSV exports, created if absent")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=5.0, help="steps a second")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    begun = time.monotonic()
    with Hospital(chosen.db, chosen.folder, chosen.seed, clock=datetime.now) as hospital:
        print(f"open after {time.monotonic() - begun:.1f} s")
        asyncio.run(_run_for(hospital, chosen.seconds, chosen.rate))
        print(f"{hospital.step} steps")
        for name, count in sorted(hospital.totals.items()):
            print(f"{name}: +{count.inserts} ~{count.updates} -{count.deletes}")


async def _run_for(hospital: Hospital, seconds: float, rate: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await hospital.run(stop, rate)


if __name__ == "__main__":
    main()
