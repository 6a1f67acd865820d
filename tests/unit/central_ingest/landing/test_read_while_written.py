"""Reading a table's log while commits come and its log is cleaned up: nothing of that is damage, and damage still is.

`Meanwhile` makes listings as a disk may give them (readdir) and as a bucket may that is listed page by page: of what
came or went while they were taken they show any part, the later of two commits without the earlier too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing import recovery
from central_ingest.landing.bucket import Bucket, Credentials
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.inspecting import Inspection
from central_ingest.landing.lake import Txn
from central_ingest.landing.localstore import LocalStore
from central_ingest.landing.objectstore import ObjectStore
from central_ingest.landing.store import Item
from protocol.errors import Transient
from tests.objectstores import ACCESS_KEY, SECRET_KEY, shared_server

from .delta_tables import APP, PATH, ids, log, rows

Shows = Callable[[list[str]], list[str]]
FAR = 2_000_000_000.0


def the_last(changed: list[str]) -> list[str]:
    """Of the commits that came no more than the last, and all that went."""
    return changed[-1:]


class Meanwhile:
    """`acts`: what others do while the next listings of a log are taken, one each; `shows` chooses, from the names
    that came or went, those that the listing has. `then`: what they do before the next file is read."""

    def __init__(self) -> None:
        self.acts: list[Callable[[], object]] = []
        self.then: list[Callable[[], object]] = []
        self.shows: Shows = the_last

    def before_reading(self) -> None:
        if self.then and not self.acts:
            self.then.pop(0)()

    def listed(self, folder: str, take: Callable[[str], list[Item]]) -> list[Item]:
        before = take(folder)
        if not self.acts or not folder.endswith(recovery.LOG):
            return before
        self.acts.pop(0)()
        found = [{item.name: item for item in items} for items in (before, take(folder))]
        changed = sorted(found[0].keys() ^ found[1].keys())
        shown = (found[0].keys() & found[1].keys()) | set(self.shows(changed))
        return [(found[0] | found[1])[name] for name in sorted(shown)]


class Disk(LocalStore):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.meanwhile = Meanwhile()

    def get(self, name: str) -> bytes:
        self.meanwhile.before_reading()
        return super().get(name)

    def list(self, folder: str) -> list[Item]:
        return self.meanwhile.listed(folder, super().list)


class InABucket(ObjectStore):
    def __init__(self) -> None:
        server = shared_server()
        place = Bucket(server.bucket(), "lake", endpoint=server.url, allow_http=True)
        super().__init__(place, lambda: Credentials(ACCESS_KEY, SECRET_KEY))
        self.meanwhile = Meanwhile()

    def get(self, name: str) -> bytes:
        self.meanwhile.before_reading()
        return super().get(name)

    def list(self, folder: str) -> list[Item]:
        return self.meanwhile.listed(folder, super().list)


@pytest.fixture(params=["disk", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Disk | InABucket:
    return Disk(tmp_path) if request.param == "disk" else InABucket()


def grown(lake: DeltaLake, numbers: range) -> None:
    for one in numbers:
        lake.make_durable(PATH, lake.append(PATH, rows(one), [Txn(APP, one)]))


def cleaned(lake: DeltaLake) -> None:
    """Two sealed checkpoints, and nothing below the older of them."""
    for _ in range(2):
        lake.checkpoint(PATH)
        lake.append(PATH, rows(99), [])
    lake.clean_log(PATH, FAR)


def test_a_commit_that_the_listing_lacks_is_read_by_its_number(store: Disk | InABucket) -> None:
    """Seen to fail (GC-6005, Damaged) as long as the listing said which entries there are."""
    writer = DeltaLake(store)
    grown(writer, range(3))
    store.meanwhile.acts = [lambda: grown(writer, range(3, 6))]
    found = writer.state(PATH)
    assert (found.version, found.txns, len(found.live)) == (5, {APP: 5}, 6)
    store.meanwhile.acts = [lambda: grown(writer, range(6, 9))]
    assert len(writer.files(PATH)) == 9
    store.meanwhile.acts = [lambda: grown(writer, range(9, 12))]
    inspected = Inspection(store, PATH, deep=False, now=FAR).found()
    assert (inspected.is_sound, inspected.sound) == (True, 11)


def test_a_log_that_is_cleaned_up_while_it_is_read_is_read_again(store: Disk | InABucket) -> None:
    """Seen to fail (GC-6005, FileNotFoundError) with one look only."""
    writer = DeltaLake(store)
    grown(writer, range(3))
    for _ in range(2):
        store.meanwhile.then = [lambda: None, lambda: cleaned(writer)]  # once the seals were read
        found, version = writer.state(PATH), writer.version(PATH)
        assert (found.version, found.txns, len(found.live)) == (version, {APP: 2}, version + 1)


@pytest.mark.parametrize("ask", [lambda lake: lake.dataset(PATH), lambda lake: lake.schema(PATH)])
def test_what_another_process_opens_stops_at_a_commit_that_was_there(
    tmp_path: Path, ask: Callable[[DeltaLake], object]
) -> None:
    """deltalake lists the log by itself, and takes what comes meanwhile for a gap. Seen to fail (GC-6005, DeltaError)
    without a version."""
    writer, store = DeltaLake(tmp_path), Disk(tmp_path)
    grown(writer, range(3))

    def more() -> None:
        grown(writer, range(3, 6))
        log(tmp_path, 4).rename(tmp_path / "not in its listing")

    store.meanwhile.acts, store.meanwhile.shows = [more], lambda changed: []
    assert ask(DeltaLake(store)) is not None


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_what_is_damaged_is_told_whatever_comes_meanwhile(tmp_path: Path, damage: str) -> None:
    store = Disk(tmp_path)
    writer = DeltaLake(store)
    grown(writer, range(4))
    writer.checkpoint(PATH)
    grown(writer, range(4, 8))
    name = recovery.log_entry(PATH, 6)
    content = store.get(name)
    store.delete(name)
    if damage == "torn":
        store.put(name, content[: len(content) // 2])
    store.meanwhile.acts = [partial(grown, writer, range(one, one + 2)) for one in range(8, 28, 2)]
    with pytest.raises(Transient, match="GC-6005") as caught:
        writer.state(PATH)
    assert caught.value.facts["reason"] == "Damaged"
    assert len(store.meanwhile.acts) == 8
    store.meanwhile.acts = []
    inspected = Inspection(store, PATH, deep=False, now=FAR).found()
    assert (inspected.broken[0], inspected.sound) == (6, 5)


def test_nothing_is_cut_because_a_listing_lacks_it(tmp_path: Path) -> None:
    """A bucket may be late with one of two entries. Seen to fail: the later of them was cut."""
    writer, store = DeltaLake(tmp_path), Disk(tmp_path)
    grown(writer, range(3))
    store.meanwhile.acts = [lambda: grown(writer, range(3, 6))]
    again = DeltaLake(store)
    found = again.recover(PATH, 2)
    assert (found.version, found.cut) == (5, ())
    assert (ids(again), again.txn(PATH, APP)) == (list(range(6)), 5)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2), max_size=3), min_size=1, max_size=3),
    st.lists(st.booleans(), min_size=1, max_size=8),
)
def test_whatever_a_listing_shows_the_state_is_that_of_one_version(
    acts: list[list[int]], choices: list[bool]
) -> None:
    """Each listing meets some acts: so many commits, or (0) a clean-up. Each commit adds one file."""
    with TemporaryDirectory() as directory:
        store, writer = Disk(Path(directory)), DeltaLake(Path(directory))
        grown(writer, range(2))

        def act(counts: list[int]) -> None:
            for count in counts:
                begin = writer.version(PATH) + 1
                grown(writer, range(begin, begin + count)) if count else cleaned(writer)

        store.meanwhile.shows = lambda changed: [
            name for at, name in enumerate(changed) if choices[at % len(choices)]
        ]
        while acts:
            before = writer.version(PATH)
            store.meanwhile.acts = [lambda: act(acts.pop())]
            found = DeltaLake(store).state(PATH)
            assert before <= found.version <= writer.version(PATH)
            assert len(found.live) == found.version + 1
