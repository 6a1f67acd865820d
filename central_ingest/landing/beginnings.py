"""Streams that would have to be read from before the journal's beginning, and what that means for them.

Archives are given up only behind every low-water mark. A mark lies before the beginning where the lake, or the
ledger, is older than it was. What the journal no longer has of the epoch in which a stream stands can only come with
another one, which begins with full snapshots; of an earlier epoch only history is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from protocol.envelope import parse
from protocol.errors import Permanent
from protocol.names import Stream

from ..journal.journal import Journal, Run
from ..ledger.broken import break_epoch
from ..ledger.ledger import Ledger

log = logging.getLogger("central.beginnings")


def begin_anew(journal: Journal, ledger: Ledger, low_water: Mapping[Stream, int]) -> None:
    """Break the epochs of which landing needs what was given up (GC-3010, GC-6078)."""
    epochs = {one.stream: one.head.epoch for one in ledger.streams() if one.head.seq > 0}
    behind = {stream for stream, mark in low_water.items() if mark < journal.start}
    if not behind:
        return
    whole = {stream for stream, epoch in _begun(journal) if epochs.get(stream) == epoch}
    for stream in sorted(behind):
        log.error("%s", Permanent("GC-6078", stream=str(stream)))
        if stream in epochs and stream not in whole:
            break_epoch(ledger, stream, epochs[stream])


def _begun(journal: Journal) -> set[tuple[Stream, int]]:
    """The epochs whose first envelope the journal still has."""
    found = set()
    for one in journal.outline():
        if one.offset < journal.start:
            continue
        if isinstance(one, Run):
            stream, epoch, first = one.stream, one.epoch, one.first
        else:
            header = parse(one.envelope).header
            stream, epoch, first = header.stream, header.epoch, header.seq
        if first == 1:
            found.add((stream, epoch))
    return found
