"""What vanished, was emptied or exchanged is an outage, of all or of a part, until it is back or a person agrees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.sources.folder import Folder, VanishLimit
from edge_agent.sources.footing import Footing, footing, from_text, hashes_of, name_hash, to_text
from protocol.errors import Fault
from tests.unit.edge_agent.sources.watching import NO_LIMIT, code, names, plain_folder, watched

LIMIT = VanishLimit(share_max=0.3, files_min=5)


@pytest.fixture
def root() -> Iterator[Path]:
    with plain_folder() as folder:
        yield folder


def fill(root: Path, count: int) -> list[str]:
    every = [f"{i:04}" for i in range(count)]
    for name in every:
        (root / name).touch()
    return every


# too much at once


def test_too_many_files_that_vanish_at_once_wait_for_a_person(root: Path) -> None:
    every = fill(root, 20)
    folder = watched(root, limit=LIMIT)
    folder.scan()
    for name in every[:6]:
        (root / name).unlink()
    assert names(folder.scan()) == every[6:], "six of twenty are no more than the share"
    for name in every[6:11]:
        (root / name).unlink()
    assert names(folder.scan()) == every[11:], "five nobody needs to confirm"
    for name in every[11:17]:
        (root / name).unlink()
    (root / "new").touch()
    before = folder.identity
    for _ in range(2):
        with pytest.raises(Fault) as caught:
            folder.scan()
        assert caught.value.code == "GC-2141"
        assert caught.value.facts == {"source": "f", "folder": "/", "vanished": 6, "files": 9}
    assert folder.identity == before
    folder.accept()
    assert names(folder.scan()) == [*every[17:], "new"]


def test_it_passes_when_they_come_back(root: Path) -> None:
    every = fill(root, 20)
    folder = watched(root, limit=LIMIT)
    folder.scan()
    (root / ".away").mkdir()
    for name in every[:10]:
        os.rename(root / name, root / ".away" / name)
    assert code(folder) == "GC-2141"
    for name in every[:10]:
        os.rename(root / ".away" / name, root / name)
    assert names(folder.scan()) == every


def test_what_is_only_moved_has_not_vanished(root: Path) -> None:
    (root / "old").mkdir()
    every = fill(root / "old", 20)
    folder = watched(root, limit=LIMIT)
    folder.scan()
    os.rename(root / "old", root / "new")
    assert names(folder.scan()) == [f"new/{name}" for name in every]


@pytest.mark.parametrize(
    ("count", "gone", "stands"), [(40, 12, True), (40, 13, False), (1_000, 230, True), (1_000, 400, False)]
)
def test_the_next_process_notices_as_well(root: Path, count: int, gone: int, stands: bool) -> None:
    every = fill(root, count)
    first = watched(root, limit=LIMIT)
    first.scan()
    for name in every[:: count // gone][:gone]:
        (root / name).unlink()
    (root / "new").touch()
    later = watched(root, first.identity, limit=LIMIT)
    if stands:
        assert len(later.scan()) == count - gone + 1
    else:
        assert [code(later), code(later)] == ["GC-2141", "GC-2141"]
        later.accept()
        assert len(later.scan()) == count - gone + 1


def test_a_person_may_agree_while_a_scan_runs(root: Path) -> None:
    """What he agrees to is what the next one finds."""
    every = fill(root, 10)

    def wanted(name: str) -> bool:
        if name == every[0] and agrees:
            folder.accept()
        return True

    agrees = False
    folder = Folder("f", root, wanted, 0.0, None, lambda: 4e9, LIMIT)
    folder.scan()
    agrees = True
    folder.scan()
    assert folder.identity is None, "an older one would be kept although he said that it counts no more"
    agrees = False
    for name in every[:9]:
        (root / name).unlink()
    assert names(folder.scan()) == every[9:]


# emptied, vanished, another one


def test_an_emptied_folder_is_an_outage_unless_all_may_vanish(root: Path) -> None:
    (root / "a").touch()
    folder, inbox = watched(root, limit=LIMIT), watched(root, limit=NO_LIMIT)
    assert names(folder.scan()) == names(inbox.scan()) == ["a"]
    (root / "a").unlink()
    assert code(folder) == code(watched(root, folder.identity)) == "GC-2009"
    assert inbox.scan() == watched(root, inbox.identity, limit=NO_LIMIT).scan() == []
    root.rmdir()
    assert code(folder) == code(inbox) == "GC-2009"
    root.touch()
    assert code(folder) == code(inbox) == "GC-2009"
    root.unlink()
    root.mkdir()


def test_a_folder_in_which_nothing_ever_was_may_be_empty(root: Path) -> None:
    folder = watched(root)
    assert (folder.scan(), folder.scan(), folder.identity) == ([], [], None)


def test_another_folder_with_the_same_names_is_another_folder(root: Path) -> None:
    share = root / "share"
    share.mkdir()
    fill(share, 10)
    folder = watched(share)
    folder.scan()
    shutil.copytree(share, root / "copy")
    share.rename(root / "away")
    (root / "copy").rename(share)
    assert code(folder) == code(watched(share, folder.identity)) == "GC-2045"
    share.rename(root / "copy")
    (root / "away").rename(share)
    assert len(folder.scan()) == 10


def test_what_an_older_agent_remembered_is_understood(root: Path) -> None:
    fill(root, 3)
    status = root.stat()
    folder = watched(root, f"{status.st_dev}:{status.st_ino}")
    assert len(folder.scan()) == 3
    assert folder.identity is not None
    assert from_text(folder.identity) == {"": footing(status.st_dev, status.st_ino, names(folder.scan()))}
    for odd in (
        f"{status.st_dev}:{status.st_ino + 1}",
        "another:1",
        "",
        "{}",
        "[]",
        '{"mounts": {"": [1]}}',
        "1:x",
    ):
        assert code(watched(root, odd)) == "GC-2045"


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.text(max_size=2),
        st.builds(
            footing, st.integers(0, 2**64), st.integers(0, 2**64), st.sets(st.text("门ab", max_size=3))
        ),
    )
)
def test_what_is_remembered_can_be_read_back(footings: dict[str, Footing]) -> None:
    assert from_text(to_text(footings)) == footings


@given(st.sets(st.integers(0, 5_000), min_size=1), st.sets(st.integers(0, 5_000)))
def test_where_the_sample_has_all_names_the_count_is_exact(before: set[int], now: set[int]) -> None:
    known = footing(1, 2, [str(n) for n in before])
    if len(before) <= len(known.sample):
        assert known.vanished(hashes_of(map(str, now))) == len(before - now)


def test_a_sample_of_many_names_tells_the_share_that_is_gone() -> None:
    """Of 10,000 names with the hash as it is: no chance is in it."""
    every = [f"报告/{i}.pdf" for i in range(10_000)]
    known = footing(1, 2, every)
    for share in (0.1, 0.3, 0.5, 0.9):
        left = every[int(share * 10_000) :]
        assert abs(known.vanished(hashes_of(left)) / 10_000 - share) < 0.07
    assert known.is_alike(hashes_of(every[:6_000]))
    assert not known.is_alike(hashes_of(every[:3_000]))
    assert len(to_text({"": known})) < 3_000
    assert name_hash("a") != name_hash("b")


# mounts, which take an own view of the file systems

MOUNTING = "tests.unit.edge_agent.sources.mounting"
ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def mounted() -> dict[str, object]:
    """What `mounting.py` saw."""
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", MOUNTING]
    with plain_folder() as folder:
        done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode and "unshare" in done.stderr:
        if os.environ.get("GUICANG_REQUIRE_SERVERS") == "1":
            pytest.fail(f"no mounts of our own: {done.stderr}")
        pytest.skip("this system lets nobody have mounts of his own")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


SEEN: dict[str, object] = {
    "first": [["a", "scans/1", "scans/2"], []],
    "unmounted": [["a", "scans/1", "scans/2"], [["GC-2140", "scans/"]]],
    "and hidden": [True, False],
    "after a restart": [["a"], [["GC-2140", "scans/"]]],
    "mounted anew": [["a", "scans/1", "scans/2"], []],
    "another one": [["a", "scans/1", "scans/2"], [["GC-2140", "scans/"]]],
    "emptied": [["a", "scans/1", "scans/2"], [["GC-2140", "scans/"]]],
    "removed": [["a", "scans/1", "scans/2"], [["GC-2140", "scans/"]]],
    "accepted": [["a"], []],
    "bound": [["x/a"], [["GC-2142", "x/loop/"]]],
    "a share": [["1", "2"], []],
    "a share, unmounted": "GC-2045",
    "a share, mounted anew": [["1", "2"], []],
    "a share, after a restart": [["1", "2"], []],
    "a share, another one": "GC-2045",
}


@pytest.mark.parametrize("case", SEEN)
def test_a_mount_that_comes_and_goes(mounted: dict[str, object], case: str) -> None:
    assert mounted[case] == SEEN[case]


def test_a_part_has_its_own_limit(mounted: dict[str, object]) -> None:
    assert mounted["much of a part"] == [100, [["GC-2141", "many/"]]]
