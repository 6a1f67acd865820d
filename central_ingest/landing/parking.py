"""Parking: what cannot land moves to the quarantine, and people decide what becomes of it there (landing.md §4).

`retry` lands a shelf in order, beginning with what could not; what arrives meanwhile goes behind it, so order is
kept, and once the shelf is empty the place is no longer parked. `drop` leaves a record of the gap and orders what
heals it: a snapshot of the table, or a new epoch of the stream. Until that has landed the table counts as
incomplete. A crash between any two steps repeats some of them: tables skip what they hold (invariant 4).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from protocol import batch as batches
from protocol.envelope import Header, Kind, parse
from protocol.errors import Fault, Permanent, Rejected
from protocol.names import Stream

from ..journal.journal import Entry
from ..ledger.broken import break_epoch
from ..ledger.commands import CommandRecord, new_command
from ..ledger.ledger import Ledger
from ..ledger.quarantine import Gap, Held, Position
from ..quarantine import NOWHERE, Place, Quarantine
from .catalogue import Catalogue, Landing
from .healing import COLUMNS, is_gone, is_healed
from .lake import Lake

log = logging.getLogger("central.parking")

LOOK_SECONDS = 0.5
CHUNK_BYTES = 16 << 20
COUNTED_BYTES_MAX = 64 << 20
"""Rows of a larger shelf are not counted when it is dropped: landing waits meanwhile."""
ORDER_MICROS = 30 * 86_400 * 1_000_000
"""How long an ordered snapshot waits for its agent."""
LIMIT = "the size limit"


class Hands(Protocol):
    """What the lander does for a retry."""

    def land_again(self, place: Place, entry: Entry) -> None:
        """Take one envelope of a shelf. Raises Rejected where it still cannot land, Transient where nothing can."""
        ...

    def settle(self, place: Place) -> bool:
        """Commit what came from a shelf; whether none of it waits for anything any more."""
        ...

    def look_at(self, path: str) -> None:
        """Before a table is read. Raises Transient."""
        ...

    def inner(self, entry: Entry) -> bytes:
        """What an envelope holds. Raises Rejected."""
        ...


@dataclass(slots=True)
class _Retry:
    position: int = 0
    started: bool = False


class Parking:
    def __init__(
        self,
        *,
        quarantine: Quarantine,
        ledger: Ledger,
        lake: Lake,
        catalogue: Catalogue,
        hands: Hands,
        bytes_max: int,
        now: Callable[[], float],
        wall: Callable[[], int],
    ) -> None:
        """`bytes_max`: a larger shelf drops by itself."""
        self._quarantine = quarantine
        self._ledger = ledger
        self._book = ledger.quarantine
        self._lake = lake
        self._catalogue = catalogue
        self._hands = hands
        self._bytes_max = bytes_max
        self._now = now
        self._wall = wall
        self._retries: dict[Place, _Retry] = {}
        self._gaps: list[Gap] = []
        self._settled: dict[Place, None] = {}
        """Tables with a new floor, of which nobody has seen yet whether it heals them."""
        self._looked: float | None = None

    def load(self) -> None:
        """At the start. Whether a gap was healed is asked again: the answer may not have been written down."""
        self._quarantine.load()
        self._gaps = self._book.gaps()
        for landing in self._catalogue.all():
            self.settled(landing)

    # while landing

    def holds_back(self, place: Place, header: Header | None = None) -> bool:
        """Whether the place is parked; what came before its first one lands all the same, should it come again."""
        held = self._quarantine.held(place)
        return held is not None and (header is None or held.first <= (header.epoch, header.seq))

    def is_retrying(self, place: Place) -> bool:
        return place in self._retries

    def is_dropped(self, place: Place, header: Header) -> bool:
        """Whether somebody gave this envelope up: should it be read again, it does not land."""
        at = (header.epoch, header.seq)
        return any((g.stream, g.path) == place and g.first <= at <= g.last for g in self._gaps)

    def park(self, place: Place, header: Header, entry: Entry, fault: Fault) -> None:
        """This is the first one that cannot land."""
        self._quarantine.park(place, header, fault, self._wall())
        self._quarantine.hold(place, header, entry)

    def hold(self, place: Place, header: Header, entry: Entry) -> None:
        """This comes behind one that cannot."""
        self._quarantine.hold(place, header, entry)

    def failed(self, place: Place, first: Position, fault: Fault) -> None:
        """A retry met what still cannot land."""
        held = self._quarantine.held(place)
        assert held is not None
        log.warning("retry of %s %s ended at %d/%d: %s", *place, *first, fault)
        self._quarantine.blame(place, first, fault)
        self._book.finish(held.id, self._wall(), fault.code, fault.what)
        self._retries.pop(place, None)

    def settled(self, landing: Landing) -> None:
        """A mark that may lay a new floor has landed: perhaps nothing is missing any more."""
        self._settled[landing.place] = None

    def _heal(self) -> None:
        """Where the lake cannot be read it is asked again: a table may never get another mark."""
        for stream, path in list(self._settled):
            self._heal_table(stream, path)
            del self._settled[stream, path]

    def _heal_table(self, stream: Stream, path: str) -> None:
        mine = [g for g in self._gaps if g.stream == stream and g.healed is None and g.path in ("", path)]
        if not mine or not self._is_there(path):
            return
        changes = self._lake.read(path, COLUMNS)
        for gap in sorted(mine, key=lambda g: g.path == ""):  # a stream's own once all of its tables are
            others = [
                o for o in self._gaps if o.path and (o.stream, o.time, o.healed) == (stream, gap.time, None)
            ]
            if is_healed(changes, gap.last) and not (gap.path == "" and others):
                self._book.heal(gap, self._wall())
                self._gaps = [replace(g, healed=self._wall()) if g.id == gap.id else g for g in self._gaps]

    # between two steps

    def step(self) -> bool:
        """Do what people ask, a piece of it; whether there is more to do at once."""
        self._look()
        for place in list(self._retries):
            self._advance(place)
        for place in self._quarantine.places():
            held = self._quarantine.held(place)
            if held is not None and held.bytes > self._bytes_max and place not in self._retries:
                self._drop(held, LIMIT)
        self._heal()
        return any(self._has_more(place) for place in self._retries)

    def _has_more(self, place: Place) -> bool:
        """A retry that has read all waits, say for the rest of a large value."""
        held = self._quarantine.held(place)
        return held is not None and self._retries[place].position < held.end

    def _look(self) -> None:
        now = self._now()
        if self._looked is not None and now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        places = {held.id: p for p in self._quarantine.places() if (held := self._quarantine.held(p))}
        for request in self._book.open_requests():
            place = places.get(request.held)
            held = None if place is None else self._quarantine.held(place)
            if place is None or held is None:
                fault = Permanent("GC-6020", number=request.held)
                self._book.finish(request.held, self._wall(), fault.code, fault.what)
            elif request.what == "drop":
                self._drop(held, request.who)
            else:
                self._retries.setdefault(place, _Retry())

    # retry

    def _advance(self, place: Place) -> None:
        retry, taken = self._retries[place], 0
        held = self._quarantine.held(place)
        assert held is not None
        if not retry.started and not self._quarantine.is_whole(place):
            self.failed(place, held.first, Rejected("GC-6022"))
            return
        retry.started = True
        for entry in self._quarantine.read(place, retry.position):
            retry.position = entry.offset
            if taken >= CHUNK_BYTES:
                break
            taken += len(entry.envelope)
            try:
                self._hands.land_again(place, replace(entry, offset=NOWHERE))
            except Rejected as fault:
                self._hands.settle(place)
                self._quarantine.flush()  # what went behind other places is no longer this one's
                if place in self._retries:
                    header = parse(entry.envelope).header
                    self.failed(place, (header.epoch, header.seq), fault)
            if place not in self._retries:
                return
        else:
            retry.position = held.end
        if self._hands.settle(place) and place in self._retries:
            self._finish(place, retry)

    def _finish(self, place: Place, retry: _Retry) -> None:
        """Everything of the shelf stands in the lake, or behind something else that is parked."""
        self._quarantine.flush()
        held = self._quarantine.held(place)
        if held is None or retry.position != held.end:
            return
        self._book.release(held, self._wall())
        self._quarantine.remove(place)
        del self._retries[place]
        log.info("%s %s is no longer parked: %d envelopes landed", *place, held.envelopes)

    # drop

    def _drop(self, held: Held, who: str) -> None:
        place = (held.stream, held.path)
        if place in self._retries:
            self._hands.settle(place)
        self._quarantine.flush()
        held = self._quarantine.held(place) or held
        if (retry := self._retries.get(place)) is not None:
            held = self._rest(held, retry)
        now = self._wall()
        envelopes, size, rows = self._size(held)
        order = self._order(held, who, now) if held.path else None
        if not held.path:
            self._end_epoch(held.stream)
        gap = Gap(
            stream=held.stream,
            path=held.path,
            first=held.first,
            last=held.last,
            envelopes=envelopes,
            bytes=size,
            rows=rows,
            code=held.code,
            reason=held.reason,
            who=who,
            time=now,
            command=order.id if order else None,
        )
        hurt = [replace(gap, path=path, rows=None) for path in self._tables_hurt(held)]
        self._gaps += self._book.drop(held, [gap, *hurt], order, now)
        self._quarantine.remove(place)
        self._retries.pop(place, None)
        log.error("dropped %s %s from %s to %s by %s", *place, held.first, held.last, who)

    def _rest(self, held: Held, retry: _Retry) -> Held:
        """What of a shelf a retry under way has not landed yet."""
        rest = next(iter(self._quarantine.read((held.stream, held.path), retry.position)), None)
        header = None if rest is None else parse(rest.envelope).header
        return replace(
            held, first=held.last if header is None else max(held.first, (header.epoch, header.seq))
        )

    def _order(self, held: Held, who: str, now: int) -> CommandRecord | None:
        """A snapshot of the table, asked of whoever holds the stream now."""
        names = {one.record.path: str(one.record.table) for one in self._catalogue.of(held.stream)}
        holders = [one.agent for one in self._ledger.streams() if one.stream == held.stream]
        if not holders:
            return None
        return new_command(held.stream, holders[0], "snapshot", names[held.path], who, now, ORDER_MICROS)

    def _end_epoch(self, stream: Stream) -> None:
        """Schemas and large values may have been among what is dropped; only a new epoch sends them again."""
        for record in self._ledger.streams():
            if record.stream == stream:
                break_epoch(self._ledger, stream, record.head.epoch)

    def _tables_hurt(self, held: Held) -> list[str]:
        """Of a stream that is dropped: every table that a new epoch will tell of again."""
        if held.path:
            return []
        lines = [line for line in self._ledger.inventory() if line.stream == held.stream]
        captured = {line.name: line.captured for line in lines}
        tables = [(o.record.path, str(o.record.table)) for o in self._catalogue.of(held.stream)]
        return [
            p for p, name in tables if captured.get(name, True) and (name in captured or not self._is_gone(p))
        ]

    def _is_gone(self, path: str) -> bool:
        return self._is_there(path) and is_gone(self._lake.read(path, COLUMNS))

    def _is_there(self, path: str) -> bool:
        self._hands.look_at(path)
        return self._lake.schema(path) is not None

    def _size(self, held: Held) -> tuple[int, int, int | None]:
        """Envelopes and bytes that are given up, and rows where they can be counted."""
        envelopes = size = 0
        rows: int | None = 0
        for entry in self._quarantine.read((held.stream, held.path), 0):
            header = parse(entry.envelope).header
            if (header.epoch, header.seq) < held.first:
                continue
            envelopes, size = envelopes + 1, size + len(entry.envelope)
            if rows is not None and header.kind is Kind.BATCH:
                more = self._rows(entry) if held.bytes <= COUNTED_BYTES_MAX else None
                rows = None if more is None else rows + more
        return envelopes, size, rows

    def _rows(self, entry: Entry) -> int | None:
        try:
            return batches.rows_of(self._hands.inner(entry))
        except Rejected:
            return None
