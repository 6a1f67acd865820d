"""Looking: whether a table holds what the ledger says, asked when it is touched first after a start, not before.

A region has 40,000 tables, of which a start touches the few hundred whose envelopes come first. Those that nobody
touches are passed by slowly, one at a time: what a power cut left of them is cut all the same, and a lake that was
restored from an older copy does not stay unnoticed. Where one table is older than the ledger, all are looked at, so
that the journal is read again once for all.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from protocol.errors import Rejected, Transient
from protocol.names import Stream

from ..ledger.ledger import TableRecord
from .catalogue import Catalogue, Landing
from .lake import Lake, Recovery

log = logging.getLogger("central.lander")

PASS_BY_SECONDS = 0.25


class Looking:
    def __init__(
        self,
        lake: Lake,
        catalogue: Catalogue,
        *,
        save: Callable[[Landing, TableRecord], None],
        older: Callable[[Stream], None],
        now: Callable[[], float],
    ) -> None:
        """`older` is told of a stream that must be read again from the journal's beginning, before the ledger is told
        that its table holds less."""
        self._lake = lake
        self._catalogue = catalogue
        self._save = save
        self._older = older
        self._now = now
        self._waiting = deque(catalogue.all())
        self._passed_by = now()

    def at(self, landing: Landing) -> None:
        """Before anything is asked of the table or written to it. Raises Transient GC-6052 where it holds less than the
        ledger says: nothing may be taken of it before what is missing."""
        if landing.looked:
            return
        record = landing.record
        if self._is_older(landing, self._lake.recover(record.path, record.synced_version)):
            others = {one.record.path: one for one in self._catalogue.all() if not one.looked}
            synced = {path: one.record.synced_version for path, one in others.items()}
            for path, found in self._lake.recover_all(synced).items():
                self._is_older(others[path], found)
            raise Transient("GC-6052", path=landing.record.path)

    def at_path(self, path: str) -> None:
        for landing in self._catalogue.all():
            if landing.record.path == path:
                self.at(landing)

    def pass_by(self) -> None:
        """Now and then: look at one that nobody has touched yet."""
        if self._waiting and self._now() - self._passed_by >= PASS_BY_SECONDS:
            self._passed_by = self._now()
            self._waiting.rotate(-1)  # one that is in trouble comes again after all others
            self.at(self._waiting[-1])
            self._waiting.pop()

    def _is_older(self, landing: Landing, found: Recovery) -> bool:
        record = landing.record
        is_older = found.version < record.synced_version
        if is_older:
            self._older(record.stream)
        for version in found.cut:
            log.warning("%s", Rejected("GC-6006", table=str(record.table), version=version))
        self._save(landing, replace(record, synced_version=found.version))
        landing.looked = True
        return is_older
