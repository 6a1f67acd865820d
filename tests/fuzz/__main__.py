"""`make fuzz MINUTES=5`: the targets of `targets.py` for so long, by atheris where it is installed (it follows the
branches of our Python), else by seeded mutations of the corpus. A finding is kept in the corpus, where the tests
run it from then on.

Atheris is no part of the lock: `.venv/bin/pip install atheris` (or into an environment of its own).

Each target runs in a process of its own under an address-space limit, so that neither a crash of Arrow nor memory
without end can hide: a process that dies leaves its last input behind, and that is a finding. So is what takes more
memory or time than an input may, and what does not end: its process is ended with the place where it stood.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import importlib.util
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import resident

CORPUS = Path(__file__).parent / "corpus"
MEMORY_BYTES = 1 << 30
"""Beyond what the process holds when it begins."""
GROWTH_BYTES_MAX = 256 << 20
"""Of resident memory, for one input."""
SLOW_SECONDS, SLOW_SECONDS_FOLDER = 2.0, 20.0
"""Of processor time; a folder has up to six files, one time after another."""
HANG_SECONDS = 300.0


def main() -> int:
    """0 where nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together")
    parser.add_argument("--target", choices=_targets())
    parser.add_argument("--engine", choices=("atheris", "mutations"))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    said = parser.parse_args()
    engine = said.engine or ("atheris" if importlib.util.find_spec("atheris") else "mutations")
    seed = said.seed if said.seed is not None else random.SystemRandom().randrange(1 << 32)
    if said.alone:
        return _alone(said.target, engine, seed, 60 * said.minutes)
    targets = [said.target] if said.target else _targets()
    return max(_in_process(target, engine, seed, said.minutes / len(targets)) for target in targets)


def _targets() -> list[str]:
    return sorted(path.name for path in CORPUS.iterdir())


def _in_process(target: str, engine: str, seed: int, minutes: float) -> int:
    """1 where the corpus has grown by a finding."""
    known = set((CORPUS / target).iterdir())
    arguments = [
        "--alone",
        "--target",
        target,
        "--engine",
        engine,
        "--seed",
        str(seed),
        "--minutes",
        str(minutes),
    ]
    with tempfile.TemporaryDirectory() as folder:
        last = Path(folder) / "last"
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz", *arguments],
            env=os.environ | {"FUZZ_LAST": str(last)},
            check=False,
        )
        if done.returncode:
            print(f"{target}: the process ended with {done.returncode}")
            _keep(target, last.read_bytes() if last.exists() else b"")
    found = sorted(set((CORPUS / target).iterdir()) - known)
    print(f"{target}: {engine}, seed {seed}, findings {[path.name for path in found]}", flush=True)
    return int(bool(found))


def _keep(target: str, data: bytes) -> Path:
    from .corpus import keep

    return keep(target, data)


def _alone(target: str, engine: str, seed: int, seconds: float) -> int:
    if engine == "atheris":
        atheris: Any = importlib.import_module("atheris")
        with atheris.instrument_imports(include=["protocol", "central_ingest", "edge_agent"]):
            from .targets import CHANGES, quiet, run
    else:
        from .targets import CHANGES, quiet, run
    _limit()
    last = os.open(os.environ["FUZZ_LAST"], os.O_CREAT | os.O_RDWR, 0o600)
    outcomes: Counter[str] = Counter()
    count, peak = Counter[str](), [0]
    slow = SLOW_SECONDS_FOLDER if target == "folder" else SLOW_SECONDS

    def one(data: bytes) -> None:
        os.ftruncate(last, 0)
        os.pwrite(last, data, 0)
        count.update(("inputs",))
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        before, began = resident.begin(), time.process_time()
        try:
            with quiet():
                outcomes.update(run(target, data).split() or ("taken",))
        except Exception:
            traceback.print_exc(limit=-3)
            print(f"{target}: found {_keep(target, data)}", flush=True)
        faulthandler.cancel_dump_traceback_later()
        if (took := time.process_time() - began) > slow:
            print(f"{target}: {took:.1f} s for {_keep(target, data)}", flush=True)
        growth = resident.peak() - before
        peak[0] = max(peak[0], growth)
        if growth > GROWTH_BYTES_MAX:
            print(f"{target}: {growth >> 20} MiB for {_keep(target, data)}", flush=True)

    until = time.monotonic() + seconds
    if engine == "atheris":
        _atheris(target, one, seed, seconds)
    else:
        rng, inputs = random.Random(seed), _inputs(target)
        while time.monotonic() < until:
            one(CHANGES[target](rng.choice(inputs), rng, inputs))
    said = dict(sorted(outcomes.items()))
    print(f"{target}: {count.total()} inputs, at most {peak[0] >> 20} MiB for one, {said}")
    return 0


def _inputs(target: str) -> list[bytes]:
    from .targets import BEYOND_CORPUS

    held = [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]
    return held + (BEYOND_CORPUS[target]() if target in BEYOND_CORPUS else [])


def _limit() -> None:
    """No more address space than there is now and MEMORY_BYTES."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _atheris(target: str, one: Callable[[bytes], None], seed: int, seconds: float) -> None:
    from .targets import CHANGES

    atheris: Any = importlib.import_module("atheris")
    others = _inputs(target)

    def changed(data: bytes, size_max: int, seed_of_one: int) -> bytes:
        if seed_of_one % 4 == 0:
            return bytes(atheris.Mutate(data, size_max))
        return CHANGES[target](data, random.Random(seed_of_one), others)[:size_max]

    work = Path(os.environ["FUZZ_LAST"] + ".work")
    work.mkdir()
    folder = str(CORPUS / target)
    options = [
        f"-max_total_time={int(seconds)}",
        f"-seed={seed}",
        "-max_len=16384",
        "-rss_limit_mb=0",
        "-verbosity=0",
    ]
    atheris.Setup(
        [sys.argv[0], *options, str(work), folder], one, custom_mutator=changed, enable_python_coverage=True
    )
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
