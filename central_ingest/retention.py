"""Retention: which segments of the journal become archives, and which archives go (landing.md §3).

A segment stays until landing needs nothing of it any more (every stream's low-water mark and every open hole lies
behind it; what is parked lies in the quarantine), and then for a set time. An archive stays as long as evidence is
wanted. It decides and the journal does, in the maintenance's thread: neither reception nor landing waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from protocol.signing import Suite

from .journal.files import FileJournal
from .journal.journal import Damage
from .ledger.ledger import Ledger

log = logging.getLogger("central.retention")

LOOK_SECONDS = 30.0
DAY_MICROS = 86_400 * 1_000_000


class Retention:
    """Every call on one thread at a time. `evidence_days`: None keeps archives for ever."""

    def __init__(
        self,
        journal: FileJournal,
        ledger: Ledger,
        suites: Mapping[int, Suite],
        *,
        keep_days: float,
        evidence_days: float | None,
        is_examined: Callable[[Damage], bool],
        wall: Callable[[], int],
    ) -> None:
        """`is_examined`: whether landing has looked at a damaged stretch, and written down what is missing there."""
        self._journal = journal
        self._ledger = ledger
        self._suites = suites
        self._keep_micros = int(keep_days * DAY_MICROS)
        self._evidence_micros = None if evidence_days is None else int(evidence_days * DAY_MICROS)
        self._is_examined = is_examined
        self._wall = wall
        self._keys: dict[bytes, bytes] | None = None

    def step(self) -> float:
        """Make one archive, or give one up; returns seconds until there may be something to do again. Raises Transient
        GC-6001, GC-6070: nothing is lost, the same step is tried again."""
        return 0.0 if self._archive() or self._give_up() else LOOK_SECONDS

    def needed(self) -> int:
        """The journal offset from which landing may still need it."""
        marks = [one.low_water for one in self._ledger.streams()]
        return min([*marks, *(one.hole.start for one in self._ledger.holes.open())]) if marks else 0

    def as_json(self) -> dict[str, Any]:
        """For `status.json`."""
        kept = [one for one in self._journal.archives if one.is_kept]
        return {
            "start": self._journal.start,
            "end": self._journal.end,
            "archives": len(kept),
            "archived_bytes": sum(one.end - one.base for one in kept),
            "archives_given_up": len(self._journal.archives) - len(kept),
        }

    def _archive(self) -> bool:
        now = self._wall()
        if self._keys is None and self._journal.archives:  # the last process may have died before it did
            self._journal.keep_schemas(self._schemas_beside)
        made = self._journal.archive(
            self.needed(),
            now - self._keep_micros,
            keys=self._keys_known(),
            made=now,
            is_settled=self._is_settled,
        )
        if made is None:
            return False
        self._journal.keep_schemas(self._schemas_beside)
        manifest = self._journal.manifest(made)
        self._keys_known().update(manifest.keys if manifest is not None else {})
        log.info("archived the journal from %d to %d", made.base, made.end)
        return True

    def _give_up(self) -> bool:
        if self._evidence_micros is None:
            return False
        gone = self._journal.give_up(self._wall() - self._keep_micros - self._evidence_micros)
        if gone is None:
            return False
        log.info("gave up the archive of the journal from %d to %d", gone.base, gone.end)
        return True

    def _is_settled(self, stretch: Damage) -> bool:
        """Whether nothing of a damaged stretch will come again."""
        holes = [one.hole for one in self._ledger.holes.open()]
        waited_for = any(one.start < stretch.end and stretch.offset < one.stop for one in holes)
        return self._is_examined(stretch) and not waited_for

    def _schemas_beside(self, there: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """What the archives need to be read by themselves, and lies not beside them yet."""
        for fingerprint in self._ledger.schemas() - there:
            content = self._ledger.schema(fingerprint)
            if content is not None:
                yield fingerprint, content

    def _keys_known(self) -> dict[bytes, bytes]:
        """Public keys by id: of agents and streams now, and those that any manifest names."""
        if self._keys is None:
            manifests = [self._journal.manifest(one) for one in self._journal.archives]
            self._keys = {k: v for one in manifests if one is not None for k, v in one.keys.items()}
        suite_of = {
            one.id: self._suites[one.suite] for one in self._ledger.agents() if one.suite in self._suites
        }
        known = [(one.id, one.public) for one in self._ledger.agents()]
        known += [(one.agent, one.public) for one in self._ledger.streams() if one.public is not None]
        self._keys |= {suite_of[agent].key_id(public): public for agent, public in known if agent in suite_of}
        return self._keys
