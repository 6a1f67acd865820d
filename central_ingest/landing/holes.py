"""Holes: where the journal is damaged and what stood there had not landed, so that it is lost at the centre.

Nobody can tell which streams a damaged stretch held. Every stream that was not known to have landed up to its
end counts as hurt: its epoch is broken, the agent is refused in it and comes back with a new one, which begins
with full snapshots. What is damaged below all low-water marks stands in the lake already and hurts nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from protocol.errors import Rejected
from protocol.names import Stream

from ..journal.journal import TORN_TAIL, Journal
from ..ledger.broken import break_epoch, broken_epochs
from ..ledger.ledger import Ledger

log = logging.getLogger("central.holes")


class Holes:
    def __init__(self, journal: Journal, ledger: Ledger) -> None:
        self._journal = journal
        self._ledger = ledger
        self._seen = 0

    def look(self, low_water: Mapping[Stream, int]) -> None:
        """After reading, before any mark is moved: break the epochs that new damage has hurt."""
        damage = self._journal.damage[self._seen :]
        ends = [one.offset + one.length for one in damage if one.reason != TORN_TAIL]
        if ends:
            broken = broken_epochs(self._ledger)
            for record in self._ledger.streams():
                stream, epoch = record.stream, record.head.epoch
                if low_water.get(stream, record.low_water) < max(ends) and broken.get(stream, 0) < epoch:
                    break_epoch(self._ledger, stream, epoch)
                    log.error("%s: %s", stream, Rejected("GC-3010", source=stream.source))
        self._seen += len(damage)
