"""Taking large values out of the journal again: the envelopes of their pieces, in order, a part of the journal a step.

What is wanted while a reading is under way waits for the next one. A value whose pieces the journal no longer has
stays away: then only a new epoch of its source brings it (`fsck --deep --repair`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from protocol import batch as batches
from protocol.envelope import Kind, parse
from protocol.errors import Rejected
from protocol.sealing import open_inner
from protocol.signing import Opener, Suite

from ..journal.journal import Entry, Journal
from .objects import Objects

log = logging.getLogger("central.refetching")

STEP_BYTES = 16 << 20


class Refetching:
    def __init__(
        self, journal: Journal, objects: Objects, opener: Opener, suites: Mapping[int, Suite]
    ) -> None:
        self._journal = journal
        self._objects = objects
        self._opener = opener
        self._suites = suites
        self._wanted: set[tuple[str, str]] = set()
        self._sought: set[tuple[str, str]] = set()
        self._entries: Iterator[Entry] | None = None

    def want(self, site: str, sha256: str) -> None:
        if not self._objects.has(site, sha256):
            self._wanted.add((site, sha256))

    def step(self) -> int | None:
        """Bytes of the journal that were read; None where nothing is wanted. Raises Transient where it, or the store of
        the values, fails."""
        if self._entries is None:
            if not self._wanted:
                return None
            self._sought, self._wanted = self._wanted, set()
            self._entries = self._journal.read()
        taken = 0
        for entry in self._entries:
            self._take(entry)
            taken += len(entry.envelope)
            if not self._sought:
                break
            if taken >= STEP_BYTES:
                return taken
        for site, sha256 in sorted(self._sought):
            log.warning("the journal no longer has the large value files/%s/%s", site, sha256)
        self._entries = None
        return taken

    def _take(self, entry: Entry) -> None:
        envelope = parse(entry.envelope)
        header = envelope.header
        if header.kind is not Kind.PIECE or not any(s == header.stream.site for s, _ in self._sought):
            return
        try:
            inner = open_inner(envelope, self._suites[header.suite], self._opener)
            piece, data = batches.decode_piece(inner)
            one = (header.stream.site, piece.sha256)
            if one in self._sought and self._objects.add(header.stream.site, piece, data):
                self._sought.discard(one)
        except Rejected as fault:  # parked, or sealed for a key that is gone
            log.info("a piece of a large value is passed over: %s", fault.code)
