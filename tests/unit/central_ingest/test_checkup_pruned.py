"""Damage in the lake whose rows the journal no longer has, because it was really pruned: what is missing is a gap that
is named exactly, a snapshot is ordered, and once it has landed the table is exact again. Nobody else is disturbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from central_ingest.journal.archive import Notary
from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import HEADER_BYTES
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.materialising import Materialising, path_of
from central_ingest.landing.soundness import Mend
from central_ingest.ledger.broken import broken_epochs
from central_ingest.ledger.ledger import Ledger, StreamRecord
from central_ingest.retention import LOOK_SECONDS, Retention
from protocol.batch import encode_mark
from protocol.change import MarkKind, Op
from protocol.envelope import Kind, parse
from protocol.names import Stream
from protocol.signing import SUITES

from .journal.small_journal import segments
from .repaired import COMMITS, RECEIVED, Region
from .sender import CENTRE, STREAM, VISITS, a_batch, a_mark
from .test_checkup import LAST, Break, rot, tear

DAY = 86_400_000_000
ROOMY, SMALL = 1 << 20, HEADER_BYTES + 1_500


def given_up(region: Region) -> None:
    """As the daemon does, with `keep_days` and `evidence_days` over for all that landing does not need."""
    journal = FileJournal.open(region.root / "journal", notary=Notary.of(CENTRE, SUITES))
    ledger = Ledger.open(region.root / "ledger.sqlite")
    retention = Retention(
        journal,
        ledger,
        SUITES,
        keep_days=1,
        evidence_days=1,
        is_examined=lambda _: True,
        wall=lambda: RECEIVED + 3 * DAY,
    )
    while retention.step() != LOOK_SECONDS:
        pass
    assert retention.as_json()["archives_given_up"]
    journal.close()
    ledger.close()


def thrown_away(region: Region) -> None:
    """By somebody who needed room: no archive stands for them."""
    for path in segments(region.root / "journal")[:-1]:
        path.unlink()


PRUNED: dict[str, Callable[[Region], None]] = {"given up": given_up, "thrown away": thrown_away}


def lived(root: Path) -> Region:
    region = Region(root, segment_bytes=SMALL)
    region.live()
    with region.running():
        head = StreamRecord(STREAM, region.sender.agent, region.sender.head, 0)
        region.ledger.save_heads([head], region.journal.end)
    return region


def first_kept(region: Region) -> int:
    """The sequence from which the journal still has the stream."""
    journal = FileJournal.open(region.root / "journal", read_only=True)
    first = next(iter(journal.read()))
    journal.close()
    return parse(first.envelope).header.seq


def broken(region: Region) -> dict[Stream, int]:
    ledger = Ledger.open(region.root / "ledger.sqlite")
    found = broken_epochs(ledger)
    ledger.close()
    return found


def current(region: Region, scratch: Path) -> list[int]:
    lake = DeltaLake(region.lake_dir)
    assert Materialising(lake, scratch, lambda: 1).step(region.path, True) is not None
    return sorted(lake.read(path_of(region.path), ["id"])["id"].to_pylist())


def snapshot(region: Region, ids: list[int]) -> None:
    """As the agent reads the table for the command."""
    for kind in (MarkKind.SNAPSHOT_BEGIN, MarkKind.SNAPSHOT_END):
        facts = {"rows": len(ids)} if kind is MarkKind.SNAPSHOT_END else {}
        mark = a_mark(VISITS.table, kind=kind, schema=VISITS)
        region.send((Kind.MARK, encode_mark(mark.model_copy(update={"facts": facts, "snapshot": "1" * 32}))))
        if kind is MarkKind.SNAPSHOT_BEGIN:
            region.send((Kind.BATCH, a_batch(VISITS, ids, Op.READ)))


@pytest.mark.parametrize("pruned", PRUNED)
@pytest.mark.parametrize(
    ("break_it", "code", "first", "last", "gone"),
    [
        (lambda r, t: rot(r.data_file(1, t)), "GC-6096", 7, 7, [1]),
        (lambda r, t: tear(r.entry(1, t)), "GC-6095", 6, 12, [1, 2, 3]),
    ],
    ids=["a data file", "a commit"],
)
def test_a_gap_is_named_a_snapshot_ordered_and_then_the_table_is_exact(
    tmp_path: Path, pruned: str, break_it: Break, code: str, first: int, last: int, gone: list[int]
) -> None:
    region = lived(tmp_path / "centre")
    rows, path = region.rows(), region.path
    PRUNED[pruned](region)
    assert first_kept(region) > 8
    break_it(region, "visits")
    found = [(one.fault.code, one.mend) for one in region.repair() if one.place == path]
    assert found == [(code, Mend.SNAPSHOT)]
    with region.running() as lander:
        (gap,) = region.ledger.quarantine.gaps()
        (order,) = region.ledger.commands.all()
        assert (gap.path, gap.first, gap.last, gap.code) == (path, (1, first), (1, last), code)
        assert (order.name, order.arguments["table"], gap.command) == ("snapshot", "db.visits", order.id)
        lost = Counter({one: 1 for one in rows if one[0] == path and one[2] in gone})
        assert (rows - region.rows(), region.rows() - rows) == (lost, Counter()), "nothing else is gone"
        snapshot(region, list(range(COMMITS)))
        while lander.step(everything=True) == 0.0:
            pass
        lander.step(everything=True)
        assert region.ledger.quarantine.gaps()[0].healed is not None
        region.send((Kind.BATCH, a_batch(VISITS, [COMMITS])))
        lander.step(everything=True)
        lander.step(everything=True)
    assert current(region, tmp_path / "scratch") == list(range(COMMITS + 1))
    assert broken(region) == {}, "no new epoch was needed"
    assert [one for one in region.check() if one.fault.code.startswith("GC-609")] == []


def test_what_the_journal_still_has_comes_from_it_and_no_epoch_ends_for_it(tmp_path: Path) -> None:
    """It begins later, but not behind what stays of the table."""
    region = lived(tmp_path / "centre")
    rows = region.rows()
    given_up(region)
    assert 8 < first_kept(region) <= 11
    rot(region.data_file(LAST, "beds"))
    assert [(one.fault.code, one.mend) for one in region.repair()] == [("GC-6096", Mend.AGAIN)]
    region.land()
    assert (region.rows(), broken(region), region.check()) == (rows, {}, [])
