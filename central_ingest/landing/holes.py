"""Holes: what the journal lost, found by the chain, and where landing waits for it (decision 0016).

Between the records before and behind a damaged stretch the sequence of each stream tells what is missing; behind
the last record of a stream its head in the ledger does. What the agent of the epoch may still have is written
down to be asked for (`central_ingest.again`). A stream that had not landed up to the stretch waits there, the
others go on. It goes on when the journal itself, read again, has no hole there any more, or when nobody can fill
it: then its epoch is broken (GC-3010). Who asks, and what may fill a hole, this room refuses to know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from protocol.envelope import Gap, Header, Kind, parse
from protocol.errors import Permanent, Rejected
from protocol.names import Stream
from protocol.signing import Suite

from ..journal.journal import Damage, Journal, Run
from ..ledger.broken import break_epoch, broken_epochs
from ..ledger.holes import GONE, HEALED, Hole, HoleRecord
from ..ledger.ledger import Ledger, StreamRecord

log = logging.getLogger("central.holes")


@dataclass(frozen=True, slots=True)
class _Tip:
    """A stream's last record so far. `chain` is known of what is archived; else the record tells it."""

    epoch: int
    seq: int
    offset: int
    chain: bytes | None = None


class Survey:
    """One reading of the whole journal: what is missing in it of the epochs in which the streams stand. What is
    archived was whole, or nothing of it would come again: there its runs are enough."""

    def __init__(
        self, journal: Journal, streams: Sequence[StreamRecord], suites: Mapping[int, Suite]
    ) -> None:
        self._journal = journal
        self._suites = suites
        self._received = 0
        self._tips: dict[Stream, _Tip] = {}
        epochs = {one.stream: one.head.epoch for one in streams}
        found: list[Hole] = []
        for entry in journal.outline():
            if isinstance(entry, Run):
                self._reach(entry.stream, _Tip(entry.epoch, entry.last, entry.offset, entry.chain))
                self._received = entry.received
                continue
            header = parse(entry.envelope).header
            hole = self._before(header, entry.offset)
            if hole is not None and epochs.get(hole.stream) == hole.epoch:
                found.append(hole)
            self._received = entry.received
        found += (hole for one in streams if (hole := self._behind(one)) is not None)
        self.holes = found

    def reaches(self, hole: Hole) -> bool:
        """Whether a record of the stream stands at or behind the end of `hole`."""
        tip = self._tips.get(hole.stream)
        return tip is not None and (tip.epoch, tip.seq) >= (hole.epoch, hole.last)

    def _reach(self, stream: Stream, there: _Tip) -> None:
        tip = self._tips.get(stream)
        if tip is None or (there.epoch, there.seq) > (tip.epoch, tip.seq):
            self._tips[stream] = there

    def _before(self, header: Header, offset: int) -> Hole | None:
        """What is missing between a record and the one before it of its stream."""
        tip = self._tips.get(header.stream)
        first = tip.seq + 1 if tip is not None and tip.epoch == header.epoch else 1
        self._reach(header.stream, _Tip(header.epoch, header.last_seq, offset))
        if header.seq <= first:
            return None
        return self._hole(header.stream, tip, (header.epoch, first, header.seq - 1), header.previous, offset)

    def _behind(self, one: StreamRecord) -> Hole | None:
        """What is missing between a stream's last record and its head."""
        tip, head = self._tips.get(one.stream), one.head
        first = tip.seq + 1 if tip is not None and tip.epoch == head.epoch else 1
        if head.seq < first or (tip is not None and tip.epoch > head.epoch):
            return None
        return self._hole(one.stream, tip, (head.epoch, first, head.seq), head.chain, self._journal.end)

    def _hole(
        self, stream: Stream, tip: _Tip | None, lost: tuple[int, int, int], after: bytes, offset: int
    ) -> Hole | None:
        since = -1 if tip is None else tip.offset
        stretches = [d for d in self._journal.damage if d.is_loss and since < d.offset and d.end <= offset]
        if not stretches:
            return None
        is_first = tip is None or tip.epoch < lost[0]
        before = b"" if is_first or tip is None else self._chain_at(tip)
        start, stop = min(d.offset for d in stretches), max(d.end for d in stretches)
        return Hole(stream, *lost, before, after, start, stop, self._received)

    def _chain_at(self, tip: _Tip) -> bytes:
        if tip.chain is not None:
            return tip.chain
        envelope = parse(next(iter(self._journal.read(tip.offset))).envelope)
        if envelope.header.kind is Kind.GAP:
            return Gap.from_bytes(envelope.header.extension).resume
        return envelope.digest(self._suites[envelope.header.suite])


class Holes:
    """Also the book of what the lander has taken, as far as streams that wait make it more than one offset."""

    def __init__(
        self, journal: Journal, ledger: Ledger, suites: Mapping[int, Suite], wall: Callable[[], int]
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._suites = suites
        self._wall = wall
        self._examined: list[Damage] = []
        self._waiting: dict[Stream, int] = {}
        """Where each stream stands that waits."""
        self._late: dict[Stream, int] = {}
        """Of a stream that waited: the lowest offset that was not taken of it."""
        self._frontier = 0
        """What lies below was taken of all others."""

    def recover(self, low_water: Mapping[Stream, int]) -> None:
        """Before anything comes: what is open is what the journal lacks, whatever a crash left in the ledger."""
        if self._ledger.holes.open():
            self._examine(low_water, at_start=True)
        self._wait()

    def look(self, low_water: Mapping[Stream, int], position: int) -> bool:
        """After reading on, before what stands at `position` is taken: whether all damage before it was examined.

        It is not while the ledger's heads are older than a stretch: they alone may know what stood at its end.
        """
        damage = self._journal.damage
        new = [one for one in damage if one.is_loss and one.offset < position and not self.knows(one)]
        if not new:
            return True
        if max(one.end for one in new) > self._ledger.checkpoint() or not self._examine(low_water):
            return False
        self._wait()
        return True

    def refresh(self, low_water: Mapping[Stream, int], position: int) -> int:
        """Now and then: where to read on, since all holes of a stream were filled or given up."""
        is_open = {one.hole.stream for one in self._ledger.holes.open() if one.waits}
        ended = self._waiting.keys() - is_open
        if not ended or not self._examine(low_water):
            return position
        self._wait()
        return min([position, *(self._late[stream] for stream in ended if stream in self._late)])

    def takes(self, stream: Stream, offset: int) -> bool:
        """Whether the lander takes this record now: it has not yet, and nothing is missing before it."""
        late = self._late.get(stream)
        if offset < (self._frontier if late is None else late):
            return False
        if offset >= self._waiting.get(stream, offset + 1):
            self._late.setdefault(stream, self._waiting[stream])
            return False
        return True

    def again(self, stream: Stream) -> None:
        """All of this stream is taken anew from the journal's beginning; at which holes it waits is asked anew, too."""
        self._late[stream] = 0
        self._examined = []

    def took(self, stream: Stream, offset: int) -> None:
        if stream in self._late:
            self._late[stream] = max(self._late[stream], offset + 1)

    def passed(self, position: int) -> None:
        """The lander has read up to `position`."""
        for stream, start in self._waiting.items():
            if position > start:
                self._late.setdefault(stream, start)
        if position >= self._frontier:
            self._frontier = position
            self._late = {s: offset for s, offset in self._late.items() if s in self._waiting}

    @property
    def behind(self) -> int:
        return len(self._waiting.keys() | self._late.keys())

    def late(self) -> Iterator[tuple[Stream, int]]:
        """Streams that have taken less than the others, and up to where."""
        yield from self._late.items()

    def swallowed(self, stream: Stream, epoch: int) -> bool:
        """Whether a part of an epoch is lost that a newer one replaces: what cannot land without it need not."""
        if not any(one.is_loss for one in self._journal.damage):
            return False
        if broken_epochs(self._ledger).get(stream, 0) >= epoch:
            return True
        return any(one.stream == stream and one.head.epoch > epoch for one in self._ledger.streams())

    def knows(self, stretch: Damage) -> bool:
        """Whether it was examined: what is missing in it stands in the ledger."""
        return any(stretch.is_within(one) for one in self._examined)

    def _wait(self) -> None:
        self._waiting = {}
        for one in self._ledger.holes.open():
            if one.waits:
                stream, start = one.hole.stream, one.hole.start
                self._waiting[stream] = min(start, self._waiting.get(stream, start))

    def _examine(self, low_water: Mapping[Stream, int], *, at_start: bool = False) -> bool:
        """Read the journal through, and write down what is missing; False where that must be done again later."""
        checkpoint, streams, known = (
            self._ledger.checkpoint(),
            self._ledger.streams(),
            self._ledger.holes.open(),
        )
        survey = Survey(self._journal, streams, self._suites)
        damage = [one for one in self._journal.damage if one.is_loss]
        closed_meanwhile = {one.id for one in known} - {one.id for one in self._ledger.holes.open()}
        if closed_meanwhile or any(one.end > checkpoint for one in damage):
            return False
        records = {one.stream: one for one in streams}
        for hole in survey.holes:
            record = records[hole.stream]
            waits = low_water.get(hole.stream, record.low_water) < hole.stop
            same = [one for one in known if one.hole.meets(hole)]
            self._meet(hole, record.agent, waits, same, at_start=at_start)
        for one in known if at_start else ():
            if survey.reaches(one.hole) and not any(one.hole.meets(hole) for hole in survey.holes):
                self._ledger.holes.end(one.id, HEALED)
        self._examined = damage
        return True

    def _meet(
        self, hole: Hole, agent: str, waits: bool, same: Sequence[HoleRecord], *, at_start: bool
    ) -> None:
        if broken_epochs(self._ledger).get(hole.stream, 0) >= hole.epoch:
            return
        if not same and self._is_known_to_be_gone(hole):
            self._give_up(hole, waits)
        elif not same:
            log.error("%s", Permanent("GC-6034", offset=hole.start, stream=str(hole)))
            self._ledger.holes.add(hole, agent, waits, self._wall())
        elif [one.hole.first for one in same] == [hole.first]:
            (one,) = same
            waits = waits or one.waits
            self._ledger.holes.is_as(one.id, hole if at_start else None, waits)
        else:  # more was damaged around what is just being filled
            for one in same:
                self._ledger.holes.end(one.id, GONE)
            self._give_up(hole, waits or any(one.waits for one in same))

    def _is_known_to_be_gone(self, hole: Hole) -> bool:
        return any(one.state == GONE and one.hole.meets(hole) for one in self._ledger.holes.all())

    def _give_up(self, hole: Hole, waits: bool) -> None:
        if waits:
            break_epoch(self._ledger, hole.stream, hole.epoch)
            log.error("%s: %s", hole.stream, Rejected("GC-3010", source=hole.stream.source))
