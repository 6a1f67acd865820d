"""What a materialising that was killed left in `current/` goes at last, also of a table that nobody changes again."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pytest

from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Txn
from central_ingest.landing.maintenance import Maintenance, Pace
from central_ingest.landing.materialising import Limits, Materialising, path_of
from central_ingest.landing.upkeep import Upkeep

from .changes_tables import change, table
from .delta_tables import PATH
from .dying import DyingStore, Killed, copied

CURRENT = path_of(PATH)
NOW = time.time()
LATER = NOW + 4 * 3600  # when nobody is promised any more what was written NOW
PACE = Pace(round_seconds=1.0)


def landed(lake: DeltaLake, seq: int) -> None:
    """A change of each of 300 keys."""
    lines = [change(1, seq, at, "u", chr(at % 100) + f"{at}", id=at, 姓名=f"{seq}" * 40) for at in range(300)]
    lake.append(PATH, table(lines), [Txn("h1/his/1", seq)])


def materialise(lake: DeltaLake, root: Path) -> None:
    limits = Limits(bucket_bytes=8_000)
    Materialising(lake, root.parent / "scratch", lambda: 1, limits).step(PATH, keyed=True)


def files(root: Path) -> set[str]:
    return {
        file.relative_to(root / CURRENT).as_posix()
        for file in (root / CURRENT).rglob("*")
        if file.is_file() and "_delta_log" not in file.parts
    }


def rows(lake: DeltaLake) -> pa.Table:
    return lake.read(CURRENT, ["id", "姓名", "_gc_seq"]).sort_by("id")


def passed_by(root: Path, wall: float) -> DeltaLake:
    """A centre that starts, and passes by each of its tables once."""
    lake, clock = DeltaLake(root), [0.0]
    lake.resume()
    upkeep = Upkeep(lake, reader_hours=3, wall=lambda: wall)
    maintenance = Maintenance(lake, upkeep, paths=lambda: [PATH, CURRENT], pace=PACE, now=lambda: clock[0])
    for _ in range(2):
        clock[0] += 1.0
        maintenance.step()
    assert maintenance.fault is None
    return lake


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A table that was materialised, and changes that are not in yet."""
    root = tmp_path / "lake"
    lake = DeltaLake(root)
    landed(lake, 1)
    materialise(lake, root)
    landed(lake, 2)
    return root


def test_what_a_killed_materialising_left_is_swept_once_it_is_old(root: Path, tmp_path: Path) -> None:
    """Seen to fail: after a restart no round passed by a `current` that had no news."""
    place, before = tmp_path / "copy" / "lake", rows(DeltaLake(root))
    whole = DyingStore(copied(root, place))
    materialise(DeltaLake(whole), place)
    after = rows(DeltaLake(place))
    puts = [at for at, call in enumerate(whole.calls) if call.startswith(("put current/", "create current/"))]
    assert len(puts) > 4
    for at in (puts[0], puts[2], puts[-1], puts[-1] + 1):
        store = DyingStore(copied(root, place), at, halfway=True)
        with pytest.raises(Killed):
            materialise(DeltaLake(store), place)
        left = files(place)
        young = passed_by(place, NOW)
        assert files(place) == left
        lake = passed_by(place, LATER)
        live = {one.path for one in lake.files(CURRENT)}
        assert files(place) == live, whole.calls[at]
        assert rows(lake).equals(before if rows(young).equals(before) else after)
        assert left != live, whole.calls[at]
