"""Histories by seed: whatever fails and whenever it dies, the promises hold and all that is there arrives.

A failure prints its plan and the command that lives through it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from .history import run
from .plan import draw

SEEDS = (*range(100), 157, 163)
ROOT = Path(__file__).parents[2]
lived = cache(run)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_promises_hold(seed: int) -> None:
    report = lived(seed)
    assert report.rows_checked
    assert report.receipts


def test_the_seeds_are_not_idle() -> None:
    assert sum(lived(seed).deaths for seed in range(5)) >= 5


def test_what_rots_in_the_journal_is_sent_again_where_an_agent_still_has_it() -> None:
    """In some of them; every history compares source and lake per key."""
    rotten = [seed for seed in SEEDS if any(one.kind == "rot" for one in draw(seed).happenings)]
    assert any(lived(seed).repairs for seed in rotten)


@pytest.mark.parametrize("seed", [3])
def test_a_seed_lives_through_the_same_again(seed: int) -> None:
    """Here, and in another process whose hashes are others."""
    once, again = lived(seed), run(seed)
    assert once == again
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert f"trace {once.trace}" in said.stdout.splitlines()
