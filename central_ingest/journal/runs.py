"""Runs: what a stretch of the journal holds of each stream, as far as its chain goes on without a break.

A run says enough of its envelopes for whoever only asks how far a stream goes (heads, epochs, what is missing),
so that nobody reads terabytes of archives for it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from protocol.delivery import advance
from protocol.envelope import Header, Kind, Rotation, parse
from protocol.names import Stream
from protocol.signing import Suite

from .journal import Entry, Run


class Runs:
    """Takes records in the order of the journal."""

    def __init__(self, suites: Mapping[int, Suite]) -> None:
        self._suites = suites
        self._open: dict[Stream, Run] = {}
        self._done: list[Run] = []

    def add(self, entry: Entry) -> None:
        envelope = parse(entry.envelope)
        header, size = envelope.header, len(entry.envelope)
        run = self._open.get(header.stream)
        if run is not None and _is_repeated(run, header):
            return
        head = advance(header, envelope.digest(self._suites[header.suite]))
        public = Rotation.from_bytes(header.extension).public if header.kind is Kind.ROTATION else b""
        if run is None or not _follows(run, header):
            if run is not None:
                self._done.append(run)
            run = Run(
                header.stream, header.epoch, header.seq, 0, header.previous, b"", b"", entry.offset, 0, 0, 0
            )
        self._open[header.stream] = replace(
            run,
            last=header.last_seq,
            hash=head.hash,
            resume=head.resume,
            offset=entry.offset,
            received=entry.received,
            envelope_bytes=run.envelope_bytes + size,
            public=public or run.public,
        )

    def join(self, run: Run) -> None:
        """All of `run`, behind what was taken so far."""
        known = self._open.get(run.stream)
        if known is not None and (known.epoch, known.last + 1, known.chain) == (
            run.epoch,
            run.first,
            run.before,
        ):
            size = known.envelope_bytes + run.envelope_bytes
            begun = replace(run, first=known.first, before=known.before, begin=known.begin)
            self._open[run.stream] = replace(begun, envelope_bytes=size, public=run.public or known.public)
            return
        if known is not None:
            self._done.append(known)
        self._open[run.stream] = run

    def all(self) -> tuple[Run, ...]:
        """In the order in which they end."""
        return tuple(sorted([*self._done, *self._open.values()], key=lambda run: run.offset))


def _is_repeated(run: Run, header: Header) -> bool:
    return header.epoch == run.epoch and run.first <= header.seq and header.last_seq <= run.last


def _follows(run: Run, header: Header) -> bool:
    """A gap may begin in what was admitted before: then nothing here knows the hash that it names."""
    if header.epoch != run.epoch or not run.first <= header.seq <= run.last + 1:
        return False
    return header.seq <= run.last or header.previous == run.chain
