"""A table of visits that the log carries → landed, as its first snapshot: beside dlt, COPY to nowhere, and ADBC.

Ours is the agent as it is installed (kind `postgres`, everything on), timed from the start of its process until every
row is visible in the lake; dlt, psql and the rest to the end of theirs. Two ways to read are compared without
anything behind them: COPY as our sources read it, and ADBC, which is also asked what it makes of odd values.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.databases import PASSWORD, PostgresServer

from .. import sql, visits
from ..databases import postgres_login, program
from ..landed import Run
from ..processes import Usage, run_to_end
from ..rivals import environment
from .server import Hospital, hospital

OURS, DLT, PSQL = "ours → landed", "dlt, {} → Parquet", "COPY BINARY → nowhere"
KIND, SLOT = "postgres", "guicang_his"
COPY, ADBC = "COPY as we read it → nowhere", "ADBC → nowhere"
BACKENDS = {"connectorx": True, "pyarrow": False}
"""Whether it takes part in every round; the slow one does once."""
PROBES = {
    "numeric": "NaN",
    "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "jsonb": '{"a": 1}',
    "timestamptz": "infinity",
    "date": "infinity",
    "timetz": "08:00:00+08",
    "bit(3)": "101",
    "inet": "10.0.0.1",
    "int4range": "[1,5)",
    "tsvector": "a b",
    "oid": "4294967295",
}
_ADBC = Path(__file__).parents[1] / "rivals" / "adbc_read.py"


@dataclass
class Figures:
    """Runs by who; `kinds`: what ADBC makes of the PROBES, by type (`text`, `bytes` or an Arrow type)."""

    runs: dict[str, list[Run]] = field(default_factory=dict)
    reading: dict[str, list[Run]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)


def run(rows: int, rounds: int, rival: Path | None, server: PostgresServer | None = None) -> Figures:
    """Raises Missing. Without `rival` (a Python that has dlt and ADBC) ours and psql run alone."""
    found = Figures()
    with hospital(rows, visits.TABLE, server) as one:
        for number in range(rounds):
            found.runs.setdefault(OURS, []).append(
                _with_server(one, partial(sql.ours, one.made, rows, kind=KIND))
            )
            one.drop_slot(SLOT)
            for backend, always in BACKENDS.items():
                if rival is not None and (always or number == 0):
                    theirs = _with_server(one, partial(sql.dlt, rival, one.made, backend, rows))
                    found.runs.setdefault(DLT.format(backend), []).append(theirs)
            found.runs.setdefault(PSQL, []).append(_with_server(one, partial(_psql, one, rows)))
            found.reading.setdefault(COPY, []).append(_ours_alone(one, rows))
            if rival is not None:
                one_run, found.kinds = _adbc(one, rows, rival)
                found.reading.setdefault(ADBC, []).append(one_run)
    return found


def _with_server(one: Hospital, act: Callable[[], Run]) -> Run:
    before = one.usage()
    done = act()
    return Run(done.rows, done.seconds, {**done.usages, "server": one.usage().since(before)})


def _psql(one: Hospital, rows: int) -> Run:
    login = postgres_login(one.server, one.database)
    command = [program("psql"), *login, "-c", f"COPY {visits.TABLE} TO STDOUT (FORMAT binary)"]
    done = run_to_end(command, subprocess.DEVNULL, os.environ | {"PGPASSWORD": PASSWORD})
    if done.code:
        raise RuntimeError("psql could not copy the table")
    return Run(rows, done.seconds, {"psql": done.usage})


def _ours_alone(one: Hospital, rows: int) -> Run:
    command = [sys.executable, "-m", "bench.pg.copy_read", one.made.url, visits.TABLE]
    settings = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    return told(one, command, settings, rows)[0]


def _adbc(one: Hospital, rows: int, rival: Path) -> tuple[Run, dict[str, str]]:
    probes = [f"{name}={literal}" for name, literal in PROBES.items()]
    with TemporaryDirectory(prefix="guicang-bench-") as folder:
        url = one.made.url.replace(" ", "%20")  # libpq's form of an address, not SQLAlchemy's
        command = [str(rival), str(_ADBC), url, visits.TABLE, *probes]
        done, said = told(one, command, environment(Path(folder)), rows)
    kinds = said["kinds"]
    assert isinstance(kinds, dict)
    return done, {probe.partition("=")[0]: kind for probe, kind in kinds.items()}


def told(
    one: Hospital, command: Sequence[str], settings: Mapping[str, str], rows: int
) -> tuple[Run, dict[str, object]]:
    """Run a program that tells its own figures (`rivals.measuring`), and all that it said."""
    before = one.usage()
    done = subprocess.run(command, env=dict(settings), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(command[1]).name} failed: {done.stderr[-2_000:]}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    if said["rows"] != rows:
        raise RuntimeError(f"{said['rows']} of {rows} rows were read")
    usages = {"reader": Usage(said["cpu"], said["peak"]), "server": one.usage().since(before)}
    return Run(rows, said["seconds"], usages), said
