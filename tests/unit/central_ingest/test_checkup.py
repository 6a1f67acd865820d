"""Every case of docs/operating.md (Checking and repairing): found by its code, mended as it says, per row.

Each begins with a sound centre, breaks one thing, and looks three times: before anything is repaired (nothing may
have changed on the disk), after the repair, and after the next start, when every row stands there once again.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import HEADER_BYTES
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.inspecting import Inspection
from central_ingest.landing.materialising import Materialising, path_of
from central_ingest.landing.mending import Mending
from central_ingest.landing.recovery import LOG
from central_ingest.landing.soundness import Mend
from central_ingest.ledger import holdings
from central_ingest.ledger.holdings import Holdings
from central_ingest.ledger.ledger import AgentRecord, Ledger
from central_ingest.ledger.quarantine import Held
from central_ingest.safekeeping import Safe, restore
from protocol.batch import MarkHeader, encode_mark
from protocol.change import MarkKind
from protocol.delivery import Head
from protocol.envelope import Kind, parse
from protocol.errors import Permanent, Transient
from protocol.signing import SUITES, Ed25519Signer

from .journal.small_journal import flip
from .repaired import COMMITS, Place, Region
from .sender import SITE, VISITS, a_batch, a_mark, table

Break = Callable[[Region, str], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Region:
    region = Region(tmp_path_factory.mktemp("sound") / "centre")
    region.live()
    return region


@pytest.fixture
def region(sound: Region, tmp_path: Path) -> Region:
    """One of its own."""
    shutil.copytree(sound.root, tmp_path / "centre")
    return Region(tmp_path / "centre")


def told(region: Region, *, deep: bool = True) -> list[tuple[str, Mend]]:
    return [(one.fault.code, one.mend) for one in region.check(deep=deep)]


def empty(path: Path | Place) -> None:
    path.write_bytes(b"")


def tear(path: Path | Place) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def rot(path: Path | Place) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


LAST = COMMITS - 1
CASES: dict[str, tuple[Break, str, bool]] = {
    "last commit torn": (lambda r, t: tear(r.entry(LAST, t)), "GC-6095", False),
    "last commit of zero length": (lambda r, t: empty(r.entry(LAST, t)), "GC-6095", False),
    "commit in the middle torn": (lambda r, t: tear(r.entry(2, t)), "GC-6095", False),
    "commit in the middle of zero length": (lambda r, t: empty(r.entry(2, t)), "GC-6095", False),
    "commit in the middle missing": (lambda r, t: r.entry(2, t).unlink(), "GC-6095", False),
    "first commit rotten": (lambda r, t: rot(r.entry(0, t)), "GC-6095", False),
    "data file missing": (lambda r, t: r.data_file(2, t).unlink(), "GC-6096", False),
    "data file too short": (lambda r, t: tear(r.data_file(2, t)), "GC-6096", False),
    "data file rotten": (lambda r, t: rot(r.data_file(2, t)), "GC-6096", True),
    "last data file rotten": (lambda r, t: rot(r.data_file(LAST, t)), "GC-6096", True),
    "large value rotten": (lambda r, _: rot(r.large), "GC-6102", True),
}
"""How one of its tables is broken, the code, and whether only `--deep` finds it."""


def test_of_a_sound_centre_nothing_is_told(region: Region) -> None:
    assert told(region) == []
    assert told(region, deep=False) == []


@pytest.mark.parametrize("case", CASES)
def test_it_is_found_and_mended_and_every_row_stands_there_once(region: Region, case: str) -> None:
    break_it, code, needs_deep = CASES[case]
    rows = region.rows()
    break_it(region, "visits")
    before = region.files()
    assert [one for one in told(region, deep=False) if one[0] != "GC-6097"] == (
        [] if needs_deep else [(code, Mend.AGAIN)]
    )
    assert (code, Mend.AGAIN) in told(region)
    assert region.files() == before, "without a repair nothing changes"
    region.repair()
    after = region.files()
    assert sorted(before[name] for name in before if name not in after) == sorted(
        after[name]
        for name in after
        if name not in before and ("damaged" in name or not name.startswith(("lake", "files")))
    ), "what moved aside is kept, byte for byte"
    region.land()
    assert region.rows() == rows
    assert [one for one in told(region) if one[1] is not Mend.NOTHING] == []
    assert region.large.exists()


def test_a_lake_older_than_the_ledger_is_mended_by_the_next_start(region: Region) -> None:
    rows = region.rows()
    region.entry(LAST).unlink()
    assert told(region) == [("GC-6097", Mend.START)]
    region.land()
    assert region.rows() == rows
    assert told(region) == []


def test_a_ledger_older_than_the_lake_needs_nothing(region: Region) -> None:
    rows = region.rows()
    ledger = Ledger.open(region.root / "ledger.sqlite")
    for record in ledger.lake_tables():
        ledger.save_table(replace(record, synced_version=1))
    ledger.close()
    assert told(region) == [("GC-6097", Mend.NOTHING)] * 2
    region.land()
    assert (region.rows(), told(region)) == (rows, [])


def test_a_lost_ledger_is_told_and_made_by_nobody_but_a_start(region: Region) -> None:
    for one in region.root.glob("ledger.sqlite*"):
        one.unlink()
    found = told(region)
    assert found[0] == ("GC-6101", Mend.START)
    assert set(found[1:]) == {("GC-6098", Mend.START)}
    assert not (region.root / "ledger.sqlite").exists()


def test_files_of_no_commit_are_told_and_left(region: Region) -> None:
    orphan = region.table() / "_gc_date=2023-11-14" / "part-left.zstd.parquet"
    orphan.write_bytes(b"x" * 70)
    assert told(region) == [], "it may be on its way into a commit"
    os.utime(orphan, (1, 1))
    (one,) = region.check()
    assert (one.fault.code, one.mend, one.fault.facts["bytes"]) == ("GC-6099", Mend.NOTHING, 70)
    region.repair()
    assert orphan.exists()


def test_what_lies_below_a_checkpoint_is_landed_again_as_well(region: Region) -> None:
    """Entries that maintenance took away need not be there; a file that they added does."""
    rows = region.rows()
    DeltaLake(region.lake_dir).checkpoint(region.path)
    lost = region.data_file(1)
    for version in range(LAST):
        region.entry(version).unlink()
    assert told(region) == []
    lost.unlink()
    assert told(region) == [("GC-6096", Mend.AGAIN)]
    region.repair()
    region.land()
    assert region.rows() == rows


@pytest.mark.parametrize("way", ["gone", "torn"])
def test_a_checkpoint_that_the_log_can_do_without_is_set_aside(region: Region, way: str) -> None:
    """Nothing is missing of the table, and yet no engine opens it; the check itself must not trip over it."""
    rows = region.rows()
    DeltaLake(region.lake_dir).checkpoint(region.path)
    WAYS[way](region.checkpoint)
    with pytest.raises(Transient, match="GC-6005"):
        region.rows()
    for deep in (False, True):
        assert told(region, deep=deep) == [("GC-6096", Mend.ASIDE)]
    region.repair()
    assert (told(region), region.rows()) == ([], rows)
    region.land()
    assert region.rows() == rows


@pytest.mark.parametrize("way", ["gone", "torn"])
def test_a_checkpoint_that_stood_for_entries_is_named_and_the_journal_lands_all_again(
    region: Region, way: str
) -> None:
    rows = region.rows()
    DeltaLake(region.lake_dir).checkpoint(region.path)
    for version in range(LAST):
        region.entry(version).unlink()
    WAYS[way](region.checkpoint)
    found = region.check()
    assert [(one.fault.code, one.mend) for one in found] == [("GC-6095", Mend.AGAIN), ("GC-6096", Mend.AGAIN)]
    assert found[0].fault.facts["version"] == LAST - 1, "one line, not one for each entry that is gone"
    region.repair()
    region.land()
    assert (told(region), region.rows()) == ([], rows)


def test_a_start_keeps_a_checkpoint_whose_seal_is_lost_where_it_is_all_there_is(region: Region) -> None:
    rows = region.rows()
    DeltaLake(region.lake_dir).checkpoint(region.path)
    for version in range(LAST):
        region.entry(version).unlink()
    (region.table() / LOG / "_sealed_checkpoints").unlink()
    assert told(region) == []
    region.land()
    assert (told(region), region.rows()) == ([], rows)


@pytest.mark.parametrize("is_durable", [False, True])
def test_a_start_that_would_meet_what_is_gone_is_not_waited_for(region: Region, is_durable: bool) -> None:
    """A joined file is not whole, and the files that it was joined from are gone: another engine's vacuum."""
    rows, lake = region.rows(), DeltaLake(region.lake_dir)
    files = lake.files(region.path)[:3]
    parts = [part for one in files for part in lake.read_file(region.path, one)]
    lake.rewrite(region.path, files, [pa.concat_tables(parts)], changes_rows=False)
    for one in files:
        (region.table() / one.path).unlink()
    if is_durable:
        lake.checkpoint(region.path)
    empty(region.data_file(COMMITS))
    assert told(region)[0] == ("GC-6096", Mend.AGAIN)
    region.repair()
    region.land()
    assert region.rows() == rows


def test_what_the_journal_no_longer_has_is_a_gap_and_a_snapshot_heals_it(region: Region) -> None:
    rows, path = region.rows(), region.path
    rot(region.data_file(2))
    found = Inspection(DeltaLake(region.lake_dir).store, path, deep=True, now=0.0).found()
    ((_, lost, _),) = [one for one in rows if one[0] == path and one[2] == 2]
    ledger = Ledger.open(region.root / "ledger.sqlite")
    for _ in range(2):  # a repair that died is run again
        Mending(DeltaLake(region.lake_dir), ledger, "wang", 5).table(
            found, Mend.SNAPSHOT, "GC-6096", "rotten"
        )
    (gap,) = ledger.quarantine.gaps()
    (order,) = ledger.commands.all()
    assert (gap.path, gap.first, gap.last, gap.code) == (path, (1, lost), (1, lost), "GC-6096")
    assert (order.name, order.arguments["table"], gap.command) == ("snapshot", "db.visits", order.id)
    ledger.close()
    assert told(region) == []
    region.land()
    assert rows - region.rows() == Counter({(path, lost, 2): 1}), "nothing else is gone"
    assert region.rows() - rows == Counter()
    kept = region.lake_dir / "_system" / "damaged" / path / "files"
    assert sum(one.is_file() for one in kept.rglob("*")) == 1
    with region.running() as lander:
        region.sender.head = head_of(region)
        for kind in (MarkKind.SNAPSHOT_BEGIN, MarkKind.SNAPSHOT_END):
            region.send((Kind.MARK, encode_mark(snapshot(kind))))
        while lander.step(everything=True) == 0.0:
            pass
        lander.step(everything=True)
        assert region.ledger.quarantine.gaps()[0].healed is not None


def snapshot(kind: MarkKind) -> MarkHeader:
    return a_mark(VISITS.table, kind=kind, schema=VISITS).model_copy(
        update={"facts": {"rows": 0} if kind is MarkKind.SNAPSHOT_END else {}, "snapshot": "1" * 32}
    )


def test_a_ledger_that_is_lost_with_all_it_knew(region: Region) -> None:
    """What landed lands no second time, what was parked is parked again, and what is forgotten is said."""
    signer = Ed25519Signer(b"C" * 32)
    safe = Safe((region.lake_dir / "_system", region.root / "journal"), signer)
    beds = table("rooms", "floor")
    with region.running() as lander:
        agent = AgentRecord(region.sender.agent, SITE, 1, region.sender.signer.public, "1", 1, None)
        holdings.add(region.ledger, Holdings(agents={agent.id: agent}))
        restore(region.ledger, safe, region.journal)
        region.sender.head = head_of(region)
        region.send((Kind.BATCH, a_batch(beds, [7])))  # its schema never came: it parks
        lander.step(everything=True)
        lander.step(everything=True)
        assert [one.code for one in region.ledger.parked()] == ["GC-5006"]
    rows = region.rows()
    for one in region.root.glob("ledger.sqlite*"):
        one.unlink()
    assert told(region)[0] == ("GC-6101", Mend.START)
    journal = FileJournal.open(region.root / "journal")
    ledger = Ledger.open(region.root / "ledger.sqlite")
    assert restore(ledger, safe, journal), "GC-6033 is told"
    journal.close()
    ledger.close()
    region.land()
    assert region.rows() == rows
    ledger = Ledger.open(region.root / "ledger.sqlite")
    assert [one.code for one in ledger.parked()] == ["GC-5006"]
    ledger.close()
    assert told(region) == [("GC-6105", Mend.PERSON)], "the shelf of before was kept"


def head_of(region: Region) -> Head:
    """Where the sender of the copied centre stood."""
    last = list(region.journal.read())[-1]
    envelope = parse(last.envelope)
    return Head(1, envelope.header.seq, envelope.digest(SUITES[1]), b"")


def test_a_shelf_that_lost_something_is_told(region: Region) -> None:
    with region.running():
        region.ledger.quarantine.note([parked_with(region, envelopes=2)])
    assert told(region) == [("GC-6104", Mend.PERSON)]


def parked_with(region: Region, envelopes: int) -> Held:
    held = region.ledger.quarantine.park(region.sender.stream, "p", "GC-6004", "why", (1, 90), 5)
    return replace(held, envelopes=envelopes)


def test_a_journal_that_lost_its_end_or_its_middle_is_told(region: Region) -> None:
    (segment,) = (region.root / "journal").glob("*.gcj")
    ledger = Ledger.open(region.root / "ledger.sqlite")
    ledger.save_heads([], segment.stat().st_size + 1_000)
    ledger.close()
    flip(segment, HEADER_BYTES + 100)
    assert sorted(told(region)) == [("GC-6002", Mend.AGENTS), ("GC-6103", Mend.AGENTS)]


def test_while_a_daemon_works_nothing_is_repaired(region: Region) -> None:
    with region.running(), pytest.raises(Permanent) as caught:
        region.repair()
    assert caught.value.code == "GC-1006"


def test_a_materialised_current_is_made_anew(region: Region, tmp_path: Path) -> None:
    def stands() -> list[dict[str, object]]:
        lake = DeltaLake(region.lake_dir)
        assert Materialising(lake, tmp_path / "scratch", lambda: 1).step(region.path, True) is not None
        return sorted(lake.read(path_of(region.path), ["id", "name"]).to_pylist(), key=lambda r: r["id"])

    before = stands()
    data = next((region.lake_dir / "current").rglob("*.parquet"))
    rot(data)
    assert told(region) == [("GC-6096", Mend.ANEW)]
    region.repair()
    ledger = Ledger.open(region.root / "ledger.sqlite")
    assert [one.path for one in ledger.materialised.news() if one.rebuild] == [region.path]
    ledger.close()
    assert (stands(), told(region)) == (before, [])


WAYS: dict[str, Callable[[Path | Place], None]] = {
    "gone": lambda path: path.unlink(),
    "empty": empty,
    "torn": tear,
    "rotten": rot,
}


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    picks=st.lists(st.tuples(st.integers(0, 99), st.sampled_from(sorted(WAYS))), min_size=1, max_size=4),
    compacted=st.integers(0, 4),
    is_vacuumed=st.booleans(),
)
def test_whatever_is_broken_at_once_every_row_stands_there_once_afterwards(
    sound: Region, picks: list[tuple[int, str]], compacted: int, is_vacuumed: bool
) -> None:
    with TemporaryDirectory() as folder:
        shutil.copytree(sound.root, Path(folder) / "centre")
        region = Region(Path(folder) / "centre")
        rows, lake = region.rows(), DeltaLake(region.lake_dir)
        files = lake.files(region.path)[:compacted]
        if files:
            parts = [part for one in files for part in lake.read_file(region.path, one)]
            lake.rewrite(region.path, files, [pa.concat_tables(parts)], changes_rows=False)
        for one in files if is_vacuumed else ():
            (region.table() / one.path).unlink()
        there = sorted(one for one in region.table().rglob("*") if one.is_file())
        for number, way in picks:
            path = there[number % len(there)]
            if path.exists() and path.stat().st_size:
                WAYS[way](path)
        region.repair()
        region.land()
        assert region.rows() == rows
        assert [one for one in told(region) if one[1] is not Mend.NOTHING] == []
