"""An agent of its own process captures a table with a very large value, by a snapshot and by the log, and says how much
memory that took: `python -m tests.integration.large_value PORT DATABASE FOLDER VALUE`.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from tests.databases import PostgresServer
from tests.integration.following import Hospital, arrived, capturing, check

TABLE = "big"


class Running(PostgresServer):
    """One that another process started."""

    def __init__(self, port: int) -> None:
        self.port = port


async def capture(hospital: Hospital, folder: Path, value: str) -> None:
    hospital.run(f"INSERT INTO {TABLE} VALUES(1, 0, {value})")
    async with capturing(hospital, folder) as one:
        before = peak()
        await arrived(hospital, one, TABLE)
        hospital.run(
            f"INSERT INTO {TABLE} VALUES(2, 0, {value})",
            f"UPDATE {TABLE} SET n = 1 WHERE id = 1",
            f"UPDATE {TABLE} SET v = v WHERE id = 1",
        )
        await arrived(hospital, one, TABLE)
        taken = peak() - before
        check(hospital, one, TABLE)
        assert one.said("his") == {}
    print(taken)


def peak() -> int:
    """Bytes of memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    port, database, folder, value = sys.argv[1:]
    asyncio.run(capture(Hospital(Running(int(port)), database), Path(folder), value))
