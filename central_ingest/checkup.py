"""`central-ingest fsck` without its screen: what there is is read, judged and, if asked, mended (landing.soundness).

It reads a centre that may be running, and then looks at what seems wrong a second time. Without `repair` it changes
nothing, not even the ledger's version; with it no daemon may run: it holds the journal as a daemon does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from protocol.envelope import parse
from protocol.errors import Permanent
from protocol.names import Stream

from .journal.files import FileJournal
from .landing import tablefiles
from .landing.delta import DeltaLake
from .landing.inspecting import Inspection
from .landing.mending import Mending
from .landing.objects import Objects, large_in
from .landing.soundness import Mend, Reach, TableFound, Verdict, Wrong, judged
from .ledger.broken import break_epoch
from .ledger.ledger import Ledger
from .quarantine import FileShelves


class Checkup:
    def __init__(
        self,
        *,
        lake: DeltaLake,
        ledger: Ledger,
        journal: FileJournal,
        objects: Objects,
        quarantine_dir: Path,
        deep: bool,
    ) -> None:
        self._lake = lake
        self._ledger = ledger
        self._journal = journal
        self._objects = objects
        self._quarantine_dir = quarantine_dir
        self._deep = deep
        self._records = {one.path: one for one in ledger.lake_tables()}
        """As they stood before anything was mended: a table is judged once."""
        self._reaches: dict[Stream, Reach] | None = None
        self._references: dict[str, set[Stream]] | None = None
        self.tables = 0
        """How many were looked at."""

    def verdicts(self) -> Iterator[Verdict]:
        """Raises OSError, Transient where the store refuses to say."""
        yield from self._of_the_ledger()
        for found in self._found():
            yield from self._judged(found)
        yield from self._of_objects()
        yield from self._of_the_journal()
        yield from self._of_shelves()

    def mend(self, who: str, now: int) -> Iterator[Verdict]:
        """Mend what can be, and yield all that was found, each after what was done for it."""
        mending = Mending(self._lake, self._ledger, who, now)
        yield from self._of_the_ledger()
        for found in self._found():
            verdicts = list(self._judged(found))
            worst = next((one for one in verdicts if one.mend in _TABLES), None)
            if worst is not None:
                begins = self._begins(found.path) if worst.mend is Mend.AGAIN else 0
                mending.table(found, worst.mend, worst.fault.code, worst.fault.what, begins=begins)
            yield from verdicts
        for verdict in self._of_objects():
            self._mend_object(verdict)
            yield verdict
        yield from self._of_the_journal()
        yield from self._of_shelves()

    def _mend_object(self, verdict: Verdict) -> None:
        site, _, sha256 = verdict.place.partition("/")
        self._objects.set_aside(site, sha256)
        for one in self._ledger.streams():
            if verdict.mend is Mend.AGAIN and one.stream.site == site:
                self._ledger.save_low_water({one.stream: 0})
            elif verdict.mend is Mend.EPOCH and one.stream in self._referred().get(verdict.place, ()):
                break_epoch(self._ledger, one.stream, one.head.epoch)

    # tables

    def _found(self) -> Iterator[TableFound]:
        present = dict(tablefiles.walk(self._lake.store))
        known = {path for path, one in self._records.items() if one.synced_version >= 0}
        for path in sorted({*present, *known}):
            self.tables += 1
            found = self._inspect(path)
            yield found if found.is_sound else self._inspect(path)  # it may have changed meanwhile

    def _inspect(self, path: str) -> TableFound:
        return Inspection(self._lake.store, path, deep=self._deep, now=time.time()).found()

    def _judged(self, found: TableFound) -> Iterator[Verdict]:
        record = self._records.get(found.path)
        needs_rows = bool(found.broken or found.bad)
        reach = self._reach(record.stream) if record is not None and needs_rows else Reach(True)
        return judged(found, None if record is None else record.synced_version, reach)

    def _begins(self, path: str) -> int:
        """Where the journal begins of a table's stream: no mark may stand before, where it was given up."""
        record = self._records.get(path)
        return 0 if record is None else self._reach(record.stream).offset

    def _reach(self, stream: Stream) -> Reach:
        if self._reaches is None:
            self._reaches = dict(self._read_reaches())
        return self._reaches.get(stream, Reach(False))

    def _read_reaches(self) -> Iterator[tuple[Stream, Reach]]:
        seen: set[Stream] = set()
        is_whole = False
        for number, entry in enumerate(self._journal.read()):
            header = parse(entry.envelope).header
            is_whole = entry.offset == 0 if number == 0 else is_whole
            if header.stream not in seen:
                seen.add(header.stream)
                yield header.stream, Reach(is_whole, (header.epoch, header.seq), entry.offset)

    # what stands beside them

    def _of_the_ledger(self) -> Iterator[Verdict]:
        knows = self._records or self._ledger.streams() or self._ledger.agents()
        if not knows and (self._journal.end or dict(tablefiles.walk(self._lake.store))):
            yield Verdict(Permanent("GC-6101"), Mend.START, "ledger")

    def _of_objects(self) -> Iterator[Verdict]:
        """With `deep`: what is there is read, and what rows refer to is looked for."""
        if not self._deep:
            return
        there = {f"{site}/{sha256}" for site, names in self._objects.all() for sha256 in names}
        for place in sorted({*there, *self._referred()}):
            if place not in there:
                yield self._of_object(place, Wrong.MISSING)
            elif not self._objects.is_whole(place):
                yield self._of_object(place, Wrong.CONTENT)

    def _of_object(self, place: str, wrong: Wrong) -> Verdict:
        site = place.partition("/")[0]
        streams = [one.stream for one in self._ledger.streams() if one.stream.site == site]
        again = bool(streams) and all(self._reach(one).whole for one in streams)
        return Verdict(
            Permanent("GC-6102", file=place, wrong=wrong), Mend.AGAIN if again else Mend.EPOCH, place
        )

    def _referred(self) -> dict[str, set[Stream]]:
        """Objects that rows of `changes` refer to, of tables that can be read, and whose they are."""
        if self._references is None:
            self._references = {}
            for record in self._records.values():
                for sha256 in self._large_of(record.path):
                    self._references.setdefault(f"{record.stream.site}/{sha256}", set()).add(record.stream)
        return self._references

    def _large_of(self, path: str) -> set[str]:
        schema = self._lake.schema(path) if self._inspect(path).is_sound else None
        if schema is None or "_gc_aside" not in schema.names:
            return set()
        return large_in(self._lake.read(path, ["_gc_aside"])["_gc_aside"])

    def _of_the_journal(self) -> Iterator[Verdict]:
        if self._ledger.checkpoint() > self._journal.end:
            facts = {"end": self._journal.end, "said": self._ledger.checkpoint()}
            yield Verdict(Permanent("GC-6103", **facts), Mend.AGENTS, "journal")
        for _ in self._journal.read() if self._deep else ():
            pass
        for one in self._journal.damage:
            if one.is_loss:
                fault = Permanent("GC-6002", offset=one.offset, reason=one.reason)
                yield Verdict(fault, Mend.AGENTS, "journal")

    def _of_shelves(self) -> Iterator[Verdict]:
        shelves = FileShelves(self._quarantine_dir)
        for held in self._ledger.quarantine.held():
            there = shelves.count(held.id)
            if there < held.envelopes:
                yield Verdict(
                    Permanent("GC-6104", number=held.id), Mend.PERSON, held.path or str(held.stream)
                )
        for place in shelves.unknown():
            yield Verdict(Permanent("GC-6105", path=str(place)), Mend.PERSON, str(place))


_TABLES = (Mend.ASIDE, Mend.AGAIN, Mend.SNAPSHOT, Mend.ANEW)
