"""Histories from the command line: random seeds until the time is up, or one seed again.

    python -m tests.simulation --minutes 5
    python -m tests.simulation --seed 4711

Exit 0 if every promise held, 1 with the seed and its plan where one did not.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections import Counter
from dataclasses import asdict

from .history import Failed, Report, run

COUNTED = ("deaths", "power_cuts", "faults", "changes", "envelopes", "receipts", "rows_checked")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, help="only this one, with all that the product logs")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
        return _report([chosen.seed], time.monotonic() + 3600)
    logging.disable(logging.CRITICAL)
    return _report(None, time.monotonic() + chosen.minutes * 60)


def _report(seeds: list[int] | None, until: float) -> int:
    totals: Counter[str] = Counter()
    failed: list[int] = []
    lived, last = 0, None
    while (seeds or seeds is None) and time.monotonic() < until:
        seed = seeds.pop() if seeds else random.SystemRandom().randrange(1 << 32)
        try:
            last = run(seed)
        except Failed as failure:
            failed.append(seed)
            print(f"{failure}\n{failure.__cause__!r}", file=sys.stderr, flush=True)
        else:
            totals.update(_counts(last))
        lived += 1
    print(f"seeds {lived}")
    for name in COUNTED:
        print(f"{name.replace('_', ' ')} {totals[name]}")
    print(f"virtual hours {totals['virtual_seconds'] / 3600:.1f}")
    if seeds is not None and last is not None:
        print(f"trace {last.trace}")
    print(f"differences {len(failed)}{': seeds ' + ' '.join(map(str, failed)) if failed else ''}")
    return 1 if failed else 0


def _counts(report: Report) -> dict[str, int]:
    return {name: int(value) for name, value in asdict(report).items() if name not in ("seed", "trace")}


if __name__ == "__main__":
    sys.exit(main())
