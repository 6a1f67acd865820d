"""A disk that is full: nothing is lost, what cannot be written waits in the journal, and all goes on by itself."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central_ingest.landing.localstore import LocalStore
from protocol.errors import Transient

from .on_a_store import TABLES, OnAStore

PENDING_BYTES_MAX = 20_000


class Disk:
    """How many bytes it still takes; all the stores on it share them."""

    def __init__(self) -> None:
        self.room = 1 << 30


class FullStore(LocalStore):
    """On a disk that fills up. As on a real one, what is written last may be there in part."""

    def __init__(self, root: Path, disk: Disk) -> None:
        super().__init__(root)
        self._disk = disk

    def put(self, name: str, content: bytes) -> None:
        if len(content) > self._disk.room:
            super().put(name, content[: self._disk.room])
        self._take(len(content))
        super().put(name, content)

    def create(self, name: str, content: bytes) -> None:
        self._take(len(content))
        super().create(name, content)

    def keep(self, name: str, content: bytes | Path) -> None:
        self._take(len(content) if isinstance(content, bytes) else 100)
        super().keep(name, content)

    def sync(self, names: Iterable[str]) -> None:
        self._take(1)  # some file systems find out only here
        super().sync(names)

    def _take(self, size: int) -> None:
        if size > self._disk.room:
            self._disk.room = 0
            raise OSError(errno.ENOSPC, "no space left on device")
        self._disk.room -= size


def ground_on(root: Path, disk: Disk) -> OnAStore:
    return OnAStore(root / "parts", lambda folder: FullStore(root / folder, disk), PENDING_BYTES_MAX)


def test_while_the_disk_is_full_the_journal_is_read_no_further_than_memory_allows(tmp_path: Path) -> None:
    disk = Disk()
    ground = ground_on(tmp_path, disk)
    sender = ground.senders[0]
    assert ground.step() is None
    disk.room, waits = 0, []
    for _ in range(20):
        ground.send(sender, TABLES[0], 50)
        fault = ground.step()
        assert isinstance(fault, Transient)
        assert (fault.code, fault.facts["reason"]) == ("GC-6005", "OSError")
        waits.append((ground.lander.backlog_bytes, ground.lander.pending_rows))
    backlogs, rows = [bytes_ for bytes_, _ in waits], [pending for _, pending in waits]
    assert backlogs[0] == 0
    assert backlogs[-1] > PENDING_BYTES_MAX // 4  # what the centre's credit looks at
    assert rows[-1] == rows[-5], "memory would fill up next"
    disk.room = 1 << 30
    while ground.step() is not None or ground.lander.backlog_bytes or ground.lander.pending_rows:
        pass
    ground.check_all()


Turn = tuple[str, int]
turns = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 5)),
        st.tuples(st.just("send"), st.integers(0, 5)),
        st.tuples(st.just("value"), st.integers(1, 9_000)),
        st.tuples(st.just("step"), st.just(0)),
        st.tuples(st.just("room"), st.integers(0, 20_000)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    min_size=5,
    max_size=20,
)


@settings(max_examples=6, deadline=None)
@given(turns)
def test_wherever_the_disk_becomes_full_everything_lands_once_when_there_is_room(steps: list[Turn]) -> None:
    with TemporaryDirectory() as directory:
        disk = Disk()
        ground = ground_on(Path(directory), disk)
        for verb, number in steps:
            if verb == "send":
                ground.send(ground.senders[number % 2], TABLES[number % 3], 1 + number)
            elif verb == "value":
                ground.send_value(ground.senders[number % 2], number.to_bytes(2, "big") * number)
            elif verb == "room":
                disk.room = number
            elif verb == "restart":
                ground.restart()
            else:
                ground.step()
        disk.room = 1 << 30
        ground.restart()
        ground.land()
        ground.check_all()


@pytest.mark.parametrize("room", [0, 1, 400, 700, 1_500])
def test_a_table_that_met_a_full_disk_is_proven_before_it_goes_on(tmp_path: Path, room: int) -> None:
    """Without a restart: the data file in part, the entry not written, or the sync refused."""
    disk = Disk()
    ground = ground_on(tmp_path, disk)
    ground.land()
    ground.send(ground.senders[0], TABLES[0], 3)
    disk.room = room
    assert ground.step() is not None
    ground.send(ground.senders[0], TABLES[0], 2)
    assert ground.step() is not None
    disk.room = 1 << 30
    ground.land()
    ground.check_all()
