"""The ledger's tables through time: one file a version, below `versions/`, applied by Alembic in their order.

To add one: change `tables.py`; run tests/contracts/test_ledger.py, which prints what a migration would have to do;
put that into `versions/rNNNN_what.py`, with the next number as its revision and the one before as `down_revision`.
"""

from __future__ import annotations

from pathlib import Path

PLACE = Path(__file__).parent
NEWEST = max(path.stem[1:5] for path in (PLACE / "versions").glob("r[0-9][0-9][0-9][0-9]_*.py"))
"""The number of the newest one: what a ledger of this program stands at."""
