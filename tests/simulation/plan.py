"""A seed becomes a plan: how large the world is, how bad the air, and what happens when.

Drawn in full before anything runs, so that a plan can be read, and so that what happens in the world does not
change what is to come.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from protocol.link.memory import NO_FAULTS, Faults

from .edge import COMMANDS

HAPPENINGS = (4, 14)
SECONDS = (0.0, 0.05, 0.5, 2.0, 6.0, 20.0)
DOWN_SECONDS = (0.0, 0.0, 1.0, 10.0, 90.0)
MOMENTS = 60

KINDS: dict[str, int] = {
    "live": 12,
    "kill edge": 5,
    "kill centre": 5,
    "power cut": 5,
    "stop edge": 1,
    "stop centre": 1,
    "cut link": 3,
    "kill broker": 3,
    "disk full": 2,
    "disk fails": 2,
    "lake fails": 3,
    "source away": 1,
    "alter": 2,
    "drop": 1,
    "empty": 1,
    "confirm": 2,
    "snapshot": 1,
    "command": 5,
    "replay": 2,
    "pause here": 1,
    "poison": 5,
    "mend": 1,
    "retry parked": 2,
    "drop parked": 2,
    "back up": 3,
    "old edge": 1,
    "lost spool": 1,
    "old centre": 2,
    "lost part of the centre": 2,
    "rot": 1,
    "copy": 1,
    "replace": 1,
}


@dataclass(frozen=True)
class Happening:
    """What happens, after how many seconds; `number` and `down_seconds` as the kind has it."""

    kind: str
    after_seconds: float
    number: int
    down_seconds: float


@dataclass(frozen=True)
class Plan:
    seed: int
    slugs: tuple[str, ...]
    faults: Faults
    spool_bytes_max: int
    keep_receipted_bytes: int
    allow: tuple[str, ...]
    quarantine_bytes_max: int
    mends: bool
    happenings: tuple[Happening, ...]

    def __str__(self) -> str:
        lines = [
            f"sources {self.slugs}, {self.faults}, spool {self.spool_bytes_max} bytes, allowed {self.allow}, "
            f"quarantine {self.quarantine_bytes_max} bytes, {'mended' if self.mends else 'dropped'} at the end"
        ]
        lines += [
            f"  +{h.after_seconds:g} s {h.kind} {h.number} (down {h.down_seconds:g} s)"
            for h in self.happenings
        ]
        return "\n".join(lines)


def draw(seed: int) -> Plan:
    rng = random.Random(f"{seed} plan")
    kinds, weights = list(KINDS), list(KINDS.values())
    happenings = tuple(
        Happening(
            rng.choices(kinds, weights)[0],
            rng.choice(SECONDS) * rng.random(),
            rng.randrange(MOMENTS),
            rng.choice(DOWN_SECONDS),
        )
        for _ in range(rng.randint(*HAPPENINGS))
    )
    return Plan(
        seed,
        rng.choice([("his",), ("lis",), ("his", "lis")]),
        _faults(rng),
        rng.choice([1 << 30, 1 << 30, 100_000]),
        rng.choice([1 << 20, 4_000, 0]),
        rng.choice([COMMANDS, COMMANDS, ("snapshot",), ("pause", "resume"), ()]),
        rng.choice([1 << 30, 1 << 30, 5_000]),
        rng.random() < 0.5,
        happenings,
    )


def _faults(rng: random.Random) -> Faults:
    if rng.random() < 0.2:
        return NO_FAULTS
    return Faults(
        drop=rng.choice([0.0, 0.03, 0.2]),
        repeat=rng.choice([0.0, 0.05, 0.3]),
        reorder=rng.choice([0.0, 0.05, 0.2]),
        delay=rng.choice([0.0, 0.1, 0.5]),
        delay_seconds_max=rng.choice([0.2, 2.0, 20.0]),
        disconnect=rng.choice([0.0, 0.01, 0.05]),
    )
