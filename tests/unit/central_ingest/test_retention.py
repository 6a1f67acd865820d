"""What of the journal is archived, and when: nothing that anybody still needs, and nothing too early."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from central_ingest.journal.archive import Notary
from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import HEADER_BYTES
from central_ingest.journal.journal import Damage
from central_ingest.ledger.holes import GONE, Hole
from central_ingest.ledger.ledger import AgentRecord
from central_ingest.retention import DAY_MICROS, Retention
from protocol.errors import Transient
from protocol.signing import SUITE_1, SUITES, Ed25519Signer

from .journal.faulty_disk import FaultyDisk
from .journal.small_journal import flip, segments
from .ledgers import memory_ledger
from .sender import CENTRE, OTHER_STREAM, STREAM, VISITS, Sender

KEEP_DAYS, EVIDENCE_DAYS = 30, 365


class Ground:
    """Two agents that have sent for a while, one envelope a day each; all of it has landed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.disk = FaultyDisk()
        self.ledger = memory_ledger()
        self.senders = [Sender(1, STREAM), Sender(2, OTHER_STREAM)]
        self.examined: set[Damage] = set()
        self.day = 0
        self.open()
        for one in self.senders:
            self.ledger.invite(one.agent.encode(), "h1", 10)
            record = AgentRecord(one.agent, "h1", 1, one.signer.public, "1", 0, None)
            assert self.ledger.use_invitation(one.agent.encode(), "h1", record, 1)
            self.ledger.begin_epoch(one.stream, one.epoch, one.agent, 1, 0)

    def open(self) -> None:
        self.journal = FileJournal.open(
            self.directory,
            segment_bytes_max=HEADER_BYTES + 2_500,
            disk=self.disk,
            notary=Notary.of(CENTRE, SUITES),
        )
        self.start()

    def start(self, evidence_days: float | None = EVIDENCE_DAYS) -> None:
        self.retention = Retention(
            self.journal,
            self.ledger,
            SUITES,
            keep_days=KEEP_DAYS,
            evidence_days=evidence_days,
            is_examined=self.examined.__contains__,
            wall=lambda: self.day * DAY_MICROS,
        )

    def send(self, days: int) -> None:
        for _ in range(days):
            self.day += 1
            self.journal.append(self.day * DAY_MICROS, [one.mark() for one in self.senders])
        self.land()

    def land(self) -> None:
        self.ledger.save_low_water({one.stream: self.journal.end for one in self.senders})

    def run(self) -> int:
        """Until nothing is left to do; where the archives end."""
        while self.retention.step() == 0:
            pass
        return max((one.end for one in self.journal.archives), default=0)

    def received_before(self, offset: int) -> list[int]:
        """Days."""
        return [one.received // DAY_MICROS for one in self.journal.read() if one.offset < offset]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    one = Ground(tmp_path / "journal")
    yield one
    one.journal.close()


def test_what_has_landed_is_archived_after_its_days(ground: Ground) -> None:
    ground.send(KEEP_DAYS)
    assert ground.run() == 0
    ground.send(40)
    end = ground.run()
    assert max(ground.received_before(end)) < ground.day - KEEP_DAYS
    assert ground.day - KEEP_DAYS - max(ground.received_before(end)) < 6, "but for what shares a segment"
    assert len(list(ground.journal.read())) == 140
    assert ground.retention.as_json() == {
        "start": 0,
        "end": ground.journal.end,
        "archives": 1,
        "archived_bytes": end,
        "archives_given_up": 0,
    }


def test_the_lowest_mark_of_all_streams_holds_it(ground: Ground) -> None:
    ground.send(70)
    mark = list(ground.journal.read())[21].offset
    ground.ledger.save_low_water({OTHER_STREAM: mark})
    end = ground.run()
    assert 0 < end <= mark == ground.retention.needed()
    ground.land()
    assert ground.run() > end


def test_without_any_stream_nothing_is_known_to_have_landed(ground: Ground) -> None:
    ground.send(70)
    ground.ledger = memory_ledger()
    ground.start()
    assert ground.run() == 0


def test_an_open_hole_holds_it_until_it_ends(ground: Ground) -> None:
    ground.send(70)
    at = list(ground.journal.read())[10].offset
    hole = Hole(STREAM, 1, 6, 6, b"", b"", at, at + 100, 1)
    ground.ledger.holes.add(hole, ground.senders[0].agent, False, 1)
    assert ground.run() <= at
    ground.ledger.holes.end(ground.ledger.holes.open()[0].id, GONE)
    assert ground.run() > at


def test_damage_waits_until_landing_has_examined_it_and_nobody_fills_it(ground: Ground) -> None:
    ground.send(70)
    entries = list(ground.journal.read())
    ground.journal.close()
    flip(segments(ground.directory)[0], HEADER_BYTES + entries[2].offset + 100)
    ground.disk = FaultyDisk()
    ground.open()
    assert ground.run() == 0
    (lost,) = ground.journal.damage
    ground.examined.add(lost)
    hole = Hole(STREAM, 1, 2, 2, b"", b"", lost.offset, lost.end, 1)
    ground.ledger.holes.add(hole, ground.senders[0].agent, False, 1)
    assert ground.run() == 0
    ground.ledger.holes.end(ground.ledger.holes.open()[0].id, GONE)
    assert ground.run() > lost.end
    manifest = ground.journal.manifest(ground.journal.archives[0])
    assert manifest is not None
    assert manifest.damaged == ((lost.offset, lost.length),)


def test_archives_go_when_evidence_is_no_longer_wanted(ground: Ground) -> None:
    ground.send(70)
    first = ground.run()
    ground.day += EVIDENCE_DAYS
    ground.send(2)
    ground.run()
    assert (ground.journal.start, ground.retention.as_json()["archives_given_up"]) == (first, 1)
    assert next(ground.journal.read()).offset == first
    ground.start(evidence_days=None)
    ground.day += 100 * EVIDENCE_DAYS
    ground.run()
    assert ground.journal.start == first


def test_manifests_name_every_key_also_one_from_long_ago(ground: Ground) -> None:
    one = ground.senders[0]
    keys = [one.signer.public, b"", ground.senders[1].signer.public]
    ground.send(20)
    new = Ed25519Signer(b"n" * 32)
    keys[1] = new.public
    ground.journal.append(ground.day * DAY_MICROS, [one.rotation(new)])
    ground.send(50)
    ground.run()
    ground.start()  # which remembers no key by itself
    ground.send(60)
    ground.run()
    signed = [m for a in ground.journal.archives if (m := ground.journal.manifest(a)) is not None]
    assert len(signed) > 1
    assert {SUITE_1.key_id(key): key for key in keys} == {k: v for m in signed for k, v in m.keys.items()}
    assert set(signed[-1].keys.values()) == set(keys[1:])


def test_every_schema_lies_beside_the_archives(ground: Ground) -> None:
    ground.ledger.save_schema(VISITS.fingerprint, VISITS.content)
    ground.send(70)
    ground.run()
    assert ground.journal.kept_schema(VISITS.fingerprint) == VISITS.content
    (ground.directory / "archive" / "schemas" / f"{VISITS.fingerprint.hex()}.json").unlink()
    ground.start()  # as after a crash before it was there
    ground.run()
    assert ground.journal.kept_schema(VISITS.fingerprint) == VISITS.content


def test_a_disk_that_is_full_is_told_and_tried_again(ground: Ground) -> None:
    ground.send(70)
    ground.disk.room = 100
    with pytest.raises(Transient) as failure:
        ground.retention.step()
    assert failure.value.code == "GC-6001"
    ground.disk.room = None
    assert ground.run() > 0
