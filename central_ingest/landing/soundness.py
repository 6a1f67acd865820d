"""What was found wrong in the lake, what it means and what mends it: the table of docs/operating.md, as code. Pure.

Whoever reads the store says what there is (`TableFound`, `Wrong`); here it is judged. Nothing is ever deleted for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from protocol.errors import Permanent

DERIVED = "current/"
"""Tables below it are made from `changes`."""


class Mend(StrEnum):
    """What mends it. The first three need no `--repair`."""

    NOTHING = "nothing need be done"
    START = "the next start of the daemon"
    AGENTS = "the daemon asks the agents"
    ASIDE = "set aside: the table's log has all of it"
    AGAIN = "set aside, and landed again from the journal"
    SNAPSHOT = "set aside, the gap recorded, and a snapshot ordered"
    EPOCH = "set aside, and a new epoch of its source reads everything anew"
    ANEW = "set aside, and made anew from changes"
    PERSON = "a person"


class Wrong(StrEnum):
    """What is wrong with a file or an object."""

    MISSING = "missing"
    SIZE = "not as long as it was written"
    CONTENT = "not what was written"


@dataclass(frozen=True, slots=True)
class Reach:
    """Epoch and sequence of the first record that the journal has of a stream, and where that stands; `whole`: it has
    all from the start."""

    whole: bool
    first: tuple[int, int] | None = None
    offset: int = 0

    def covers(self, held: tuple[int, int] | None) -> bool:
        """Whether everything behind the version `held` (None: from the beginning) can be landed again."""
        if self.whole:
            return True
        return held is not None and self.first is not None and self.first <= (held[0], held[1] + 1)


@dataclass(frozen=True, slots=True)
class TableFound:
    """What there is of one table. `last`: its newest entry, -1 where there is none; `broken`: entries above the newest
    checkpoint that are missing or not whole; `bad`: data files that the table needs, by the name that its log gives
    them; `sound`: the newest version of which all is whole, -1 where there is none, and what it holds."""

    path: str
    last: int
    broken: tuple[int, ...] = ()
    bad: Mapping[str, Wrong] = field(default_factory=dict)
    base: int = -1
    """The version of the checkpoint that its log was read from, below which no start cuts; -1 where there is none."""
    sound: int = -1
    sound_rows: int = 0
    held: tuple[int, int] | None = None
    """Epoch and sequence up to which `sound` holds everything."""
    orphans: int = 0
    orphan_bytes: int = 0
    spoilt: Mapping[str, Wrong] = field(default_factory=dict)
    """Checkpoints that whoever opens the table would read, by the name that their folder gives them."""

    @property
    def is_sound(self) -> bool:
        return not self.broken and not self.bad and not self.spoilt


@dataclass(frozen=True, slots=True)
class Verdict:
    """`place`: a path or name in the lake, or what else it is about."""

    fault: Permanent
    mend: Mend
    place: str = ""

    @property
    def is_damage(self) -> bool:
        return self.mend is not Mend.NOTHING


def judged(found: TableFound, synced: int | None, reach: Reach) -> Iterator[Verdict]:
    """Of one table of the lake; `synced`: what the ledger calls durable, None where it does not know the table."""
    path = found.path
    mend = _mend(found, synced, reach)
    for version in found.broken:
        where = "last" if version == found.last else "middle"
        yield Verdict(Permanent("GC-6095", table=path, version=version, where=where), mend, path)
    for name, wrong in sorted({**found.bad, **found.spoilt}.items()):
        yield Verdict(Permanent("GC-6096", table=path, file=name, wrong=wrong), mend, path)
    if found.is_sound and not path.startswith(DERIVED):
        yield from _beside_the_ledger(found, synced)
    if found.orphans:
        facts = {"count": found.orphans, "bytes": found.orphan_bytes}
        yield Verdict(Permanent("GC-6099", table=path, **facts), Mend.NOTHING, path)


def _beside_the_ledger(found: TableFound, synced: int | None) -> Iterator[Verdict]:
    if synced is None:
        yield Verdict(Permanent("GC-6098", table=found.path), Mend.START, found.path)
    elif synced != found.last:
        mend = Mend.START if synced > found.last else Mend.NOTHING
        fault = Permanent("GC-6097", table=found.path, said=synced, found=found.last)
        yield Verdict(fault, mend, found.path)


def _mend(found: TableFound, synced: int | None, reach: Reach) -> Mend:
    if found.path.startswith(DERIVED):
        return Mend.ANEW
    if not found.broken and not found.bad:
        return Mend.ASIDE
    durable = -1 if synced is None else synced
    above = [version for version in found.broken if version > durable]
    if len(above) == len(found.broken) and found.sound >= max(durable, found.base):
        return Mend.START  # it cuts down to there; below that it takes everything for whole
    return Mend.AGAIN if reach.covers(found.held) else Mend.SNAPSHOT
