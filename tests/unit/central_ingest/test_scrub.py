"""The scrub: each file once a round, from where it was; what is rotten is named, and healed if it can be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from central_ingest.landing import scrub
from central_ingest.landing.delta import DeltaLake
from protocol.change import ASIDE, ASIDE_LARGE

from .repaired import COMMITS, LARGE, SHA256, Region, Scrubbing
from .sender import SITE
from .test_checkup import rot

OBJECT = f"files/{SITE}/{SHA256}"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Region:
    region = Region(tmp_path_factory.mktemp("sound") / "centre")
    region.live()
    return region


@pytest.fixture
def region(sound: Region, tmp_path: Path) -> Region:
    shutil.copytree(sound.root, tmp_path / "centre")
    return Region(tmp_path / "centre")


def test_a_round_reads_each_file_once_at_its_rate_and_the_next_waits(region: Region) -> None:
    sizes = [one.stat().st_size for one in (region.lake_dir / "changes").rglob("*.parquet")]
    with Scrubbing(region, days=1.0) as one:
        assert sorted(one.until_idle()) == sorted(size / 1_000 for size in [*sizes, len(LARGE)])
        assert (one.found(), one.until_idle()) == ([], [])
        one.now += 90_000 * 1_000_000
        assert len(one.until_idle()) == 2 * COMMITS + 1


def test_switched_off_it_reads_nothing(region: Region) -> None:
    with Scrubbing(region, rate=0.0) as one:
        assert one.until_idle() == []


def test_a_restart_goes_on_from_the_place_that_was_written_down(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "NOTED_BYTES", 1)
    seen = []
    for _ in range(2 * COMMITS + 1):
        with Scrubbing(region) as one:
            while one.scrub.step() == scrub.GLANCE_SECONDS:
                pass
            seen.append(one.book.cursor()[1])
    assert len(set(seen)) == 2 * COMMITS + 1
    assert seen == sorted(seen)
    with Scrubbing(region) as one:
        assert one.until_idle() == []


def test_a_rotten_large_value_is_set_aside_and_comes_from_the_journal_again(region: Region) -> None:
    place = region.root / OBJECT
    rot(place)
    rotten = place.read_bytes()
    with Scrubbing(region) as one:
        one.until_idle()
        assert one.found() == [(OBJECT, "GC-6102")]
        assert place.read_bytes() == LARGE
        (kept,) = (region.root / "files" / ".damaged").rglob(f"{SHA256}*")
        assert kept.read_bytes() == rotten
        one.now += 700 * 1_000_000
        one.until_idle()
        assert one.found() == [], "it is seen that it is whole"


def test_a_large_value_that_a_row_refers_to_and_that_is_gone_comes_again(region: Region) -> None:
    lake = DeltaLake(region.lake_dir)
    (first, *_) = lake.files(region.path)
    (rows,) = lake.read_file(region.path, first)
    aside = [
        {
            "column": "name",
            "reason": ASIDE_LARGE,
            "original": None,
            "sha256": bytes.fromhex(SHA256),
            "bytes": 44,
        }
    ]
    at = rows.schema.get_field_index("_gc_aside")
    lake.rewrite(
        region.path, [first], [rows.set_column(at, "_gc_aside", pa.array([aside], ASIDE))], changes_rows=True
    )
    (region.root / OBJECT).unlink()
    with Scrubbing(region) as one:
        one.until_idle()
        assert one.found() == [(OBJECT, "GC-6102")]
        assert (region.root / OBJECT).read_bytes() == LARGE


def test_what_the_journal_lacks_stays_named_and_gone(region: Region) -> None:
    strange = "0" * 64
    (region.root / "files" / SITE / strange).write_bytes(b"nobody sent this")
    with Scrubbing(region) as one:
        one.until_idle()
        assert one.found() == [(f"files/{SITE}/{strange}", "GC-6102")]
        one.now += 700 * 1_000_000
        one.until_idle()
        assert one.found() == [(f"files/{SITE}/{strange}", "GC-6102")]
        assert not one.objects.has(SITE, strange)


def test_a_rotten_data_file_is_named_until_it_is_mended(region: Region) -> None:
    rows, file = region.rows(), region.data_file(2)
    name = file.name
    rot(file)
    with Scrubbing(region) as one:
        one.until_idle()
        assert one.found() == [(name, "GC-6096")]
        assert file.exists(), "its table is read and written meanwhile"
    region.repair()
    region.land()
    assert region.rows() == rows
    with Scrubbing(region) as one:
        one.now += 700 * 1_000_000
        one.until_idle()
        assert one.found() == []


def test_a_table_whose_log_is_broken_is_named_and_the_others_go_on(region: Region) -> None:
    entry = region.entry(2)
    name = entry.name
    other = region.data_file(3, "beds")
    entry.write_bytes(b"")
    rot(other)
    with Scrubbing(region) as one:
        one.until_idle()
        assert one.found() == sorted([(name, "GC-6095"), (other.name, "GC-6096")])
    region.repair()
    region.land()
    with Scrubbing(region) as one:
        one.now += 700 * 1_000_000
        one.until_idle()
        assert one.found() == []


def test_soon_after_a_start_what_is_torn_or_gone_is_told_though_no_round_is_due(region: Region) -> None:
    with Scrubbing(region) as one:
        one.until_idle()
    entry, file = region.entry(2), region.data_file(3, "beds")
    entry.write_bytes(b"")
    file.unlink()
    with Scrubbing(region) as one:
        assert one.until_idle() == []
        found = [(entry, "GC-6095"), (file, "GC-6096")]
        assert one.found() == sorted((place.name, code) for place, code in found)


def test_a_round_that_takes_too_long_is_told(region: Region) -> None:
    with Scrubbing(region, days=0.000_1, rate=100.0) as one:
        while one.scrub.step() == scrub.GLANCE_SECONDS:
            pass
        assert not one.scrub.is_late
        one.now += 9_000_000
        assert one.scrub.is_late
