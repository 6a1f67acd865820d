"""A look at a folder sees every file of it, each by its own name, opens none, and is stopped by none."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.files import FilesSource
from edge_agent.sources.foldernames import fitting, name_bytes, spelt
from edge_agent.sources.footing import rounded
from edge_agent.sources.mounts import mounted_type
from edge_agent.sources.opening import open_shared
from edge_agent.sources.rereading import Rereading
from protocol.errors import Fault
from protocol.limits import NAME_BYTES_MAX
from tests.unit.edge_agent.sources.watching import (
    NO_LIMIT,
    Clock,
    alarms,
    code,
    names,
    plain_folder,
    unprivileged,
    watched,
)

DEPTH = 1_000


@pytest.fixture
def root() -> Iterator[Path]:
    with plain_folder() as folder:
        yield folder


# names

name_as_bytes = st.binary(min_size=1, max_size=12).filter(
    lambda b: b"/" not in b and b"\0" not in b
) | st.text(st.sampled_from("\\x0aFf5c门é\n"), min_size=1, max_size=12).map(str.encode)


@given(name_as_bytes, name_as_bytes)
def test_no_two_names_are_spelt_alike_and_each_can_be_read_back(one: bytes, other: bytes) -> None:
    said = [spelt(os.fsdecode(name)) for name in (one, other)]
    assert [name_bytes(text) for text in said] == [one, other]
    assert (said[0] == said[1]) == (one == other)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"visit.csv", "visit.csv"),
        ("门诊\n1.csv".encode(), "门诊\n1.csv"),
        ("门诊.csv".encode("gbk"), r"\xc3\xc5\xd5\xef.csv"),
        (rb"\xc3\xc5\xd5\xef.csv", r"\x5cxc3\x5cxc5\x5cxd5\x5cxef.csv"),
        (rb"a\b \xC3 \x4", r"a\b \xC3 \x4"),
        (b"\\\xff", r"\\xff"),
    ],
)
def test_a_name_is_spelt_so(name: bytes, said: str) -> None:
    assert spelt(os.fsdecode(name)) == said


@given(st.text("门ab/", max_size=600), st.text("门ab/", max_size=600))
def test_a_long_path_fits_and_stays_apart(one: str, other: str) -> None:
    head = "x" * 900
    fit = [fitting(head + path) for path in (one, other)]
    assert all(len(name.encode()) <= NAME_BYTES_MAX for name in fit)
    assert (fit[0] == fit[1]) == (one == other)


def test_names_that_look_alike_are_files_of_their_own(root: Path) -> None:
    odd = [
        *(
            "门诊.csv".encode("gbk"),
            rb"\xc3\xc5\xd5\xef.csv",
            b"A.csv",
            b"a.csv",
            b"line\nbreak\r.csv",
            b" .csv",
        ),
        *(
            "é.csv".encode(),
            "e\u0301.csv".encode(),
            "\uff41.csv".encode(),
            b"\xff",
            b"-rf",
            b"*",
            "\u202e.csv".encode(),
        ),
    ]
    for name in odd:
        (root / os.fsdecode(name)).write_bytes(name)
    found = watched(root).scan()
    assert {name_bytes(file.name): file.path.read_bytes() for file in found} == {name: name for name in odd}
    assert len({file.name for file in found}) == len(odd)


def test_hidden_temporary_and_system_names_do_not_count(root: Path) -> None:
    for name in (
        ".a",
        "~$b.docx",
        "c.tmp",
        "d.PART",
        "e.filepart",
        "lost+found/f",
        ".g/h",
        "x/lost+found/i",
        "j.tmpl",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1")
    assert names(watched(root).scan()) == ["j.tmpl", "x/lost+found/i"]


# what is no file


def test_nothing_but_files_is_looked_at(root: Path, tmp_path: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "file").write_text("1")
    (tmp_path / "far").write_text("2")
    os.mkfifo(root / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.path.relpath(root / "socket"))
    links = {
        "circle": ".",
        "a/up": "..",
        "self": "self",
        "one": "other",
        "other": "one",
        "dangling": "nowhere",
    }
    links |= {
        "near": "a/file",
        "far": str(tmp_path / "far"),
        "device": "/dev/null",
        "to the pipe": "pipe",
        "folder": "a",
    }
    for name, target in links.items():
        os.symlink(target, root / name)
    folder = watched(root)
    found = folder.scan()
    assert {file.name: file.path.read_text() for file in found} == {"a/file": "1", "near": "1", "far": "2"}
    assert folder.alarms == []
    (root / "near").unlink()
    os.symlink("pipe", root / "near")
    assert folder.look("near") is None
    listening.close()


def test_a_linked_file_is_what_it_leads_to(root: Path, tmp_path: Path) -> None:
    (tmp_path / "far").write_text("1")
    os.symlink(tmp_path / "far", root / "near")
    folder = watched(root)
    (before,) = folder.scan()
    (tmp_path / "far").write_text("12")
    (after,) = folder.scan()
    assert (before.state.size, after.state.size) == (1, 2)


# depth


def _dig(root: Path, name: str, depth: int) -> int:
    """A folder that lies so deep, opened."""
    at = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    return at


def test_a_file_a_thousand_folders_deep_is_found(root: Path) -> None:
    at = _dig(root, "d", DEPTH)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    folder = watched(root)
    (found,) = folder.scan()
    assert found.path == root / ("d/" * DEPTH + "file")
    assert len(found.name.encode()) <= NAME_BYTES_MAX
    assert folder.scan() == [found] == [folder.look(found.name)]
    found.path.unlink()
    for depth in range(DEPTH, 0, -1):  # `rm` takes seconds
        os.rmdir(root / ("d/" * depth))


def test_what_lies_too_deep_to_be_named_is_an_alarm_and_stops_no_other(root: Path) -> None:
    os.close(_dig(root, "d" * 200, 25))
    (root / "file").write_text("1")
    folder = watched(root)
    assert names(folder.scan()) == ["file"]
    ((what, where),) = alarms(folder)
    assert what == "GC-2142"
    assert str(where).startswith("d" * 200)
    assert folder.alarms[0].facts["reason"] == "its path is too long"


# changes


def test_a_file_in_the_place_of_a_folder_and_the_other_way_round(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "b").write_text("1")
    (root / "c").write_text("2")
    folder = watched(root)
    assert names(folder.scan()) == ["a/b", "c"]
    (root / "a" / "b").unlink()
    (root / "a").rmdir()
    (root / "a").write_text("3")
    (root / "c").unlink()
    (root / "c").mkdir()
    (root / "c" / "d").write_text("4")
    assert (folder.look("a/b"), folder.look("c")) == (None, None)
    assert names(folder.scan()) == ["a", "c/d"]


def test_a_file_that_is_replaced_all_the_while_is_always_there(root: Path) -> None:
    for i in range(300):
        (root / f"{i}.csv").write_text("1")
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            for i in range(0, 300, 7):
                (root / "new.tmp").write_text("2")
                os.replace(root / "new.tmp", root / f"{i}.csv")

    writer = threading.Thread(target=replace)
    folder = watched(root)
    writer.start()
    try:
        for _ in range(30):
            assert len(folder.scan()) == 300
    finally:
        stop.set()
        writer.join()


def test_what_a_listing_lacks_is_looked_for_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a name is taken anew while the folder is read."""
    for name in ("a", "b", "c"):
        (root / name).write_text("1")
    folder = watched(root)
    folder.scan()
    real, lacks = os.scandir, "b"

    class Lacking:
        def __init__(self, path: str) -> None:
            self._entries = real(path)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return (entry for entry in self._entries if entry.name != lacks)

        def __exit__(self, *_: object) -> None:
            self._entries.close()

    monkeypatch.setattr("edge_agent.sources.walking.os.scandir", Lacking)
    assert names(folder.scan()) == ["a", "b", "c"]
    assert names(folder.scan()) == ["a", "c"], "as where case means nothing and it has another one now"
    monkeypatch.undo()
    assert names(folder.scan()) == ["a", "b", "c"]
    monkeypatch.setattr("edge_agent.sources.walking.os.scandir", Lacking)
    os.rename(root / "c", root / "new")
    (root / "c").hardlink_to(root / "new")
    lacks = "c"
    assert names(folder.scan()) == ["a", "b", "new"], "what is there under another name is no file of its own"


# rest


def test_what_a_process_that_goes_on_meets_being_written_counts(root: Path) -> None:
    (root / "a").write_text("1")
    first = watched(root, stable_seconds=2)
    assert names(first.scan()) == ["a"]
    (root / "b").write_text("1")
    clock = Clock((root / "b").stat().st_mtime + 1)
    new = watched(root, stable_seconds=2, clock=clock)
    assert new.scan() == []
    later = watched(root, first.identity, stable_seconds=2, clock=clock)
    assert [(file.name, file.resting) for file in later.scan()] == [("a", False), ("b", False)]
    (root / "c").write_text("1")
    clock.now += 0.5
    assert names(later.scan()) == ["a", "b"], "but what comes later waits"
    clock.now += 2
    assert [(file.name, file.resting) for file in later.scan()] == [(name, True) for name in "abc"]


def test_over_a_network_a_files_own_times_say_nothing_of_now() -> None:
    from edge_agent.sources.found import FileState
    from edge_agent.sources.resting import Resting

    clock = Clock(1e9)
    resting = Resting(2.0, clock)
    hour_ago = FileState(1, int((1e9 - 3_600) * 1e9), 0, 1)
    week_ago = FileState(1, int((1e9 - 604_800) * 1e9), 0, 1)
    assert resting.rests("local", hour_ago, None, own_clock=True)
    assert resting.rests("old", week_ago, None, own_clock=False)
    assert not resting.rests("remote", hour_ago, None, own_clock=False)
    clock.now += 2
    assert resting.rests("remote", hour_ago, None, own_clock=False)


def test_a_file_replaced_in_place_with_the_same_size_and_time_is_another(root: Path) -> None:
    (root / "a").write_text("1")
    folder = watched(root)
    (before,) = folder.scan()
    for _ in range(1_000):  # where the clock of the file system is coarse it takes some
        (root / "a").write_text("2")
        os.utime(root / "a", ns=(0, before.state.modified_ns))
        (after,) = folder.scan()
        if after.state != before.state:
            break
    assert (after.state.size, after.state.modified_ns) == (before.state.size, before.state.modified_ns)
    assert after.state != before.state


def test_what_nothing_tells_of_is_read_again_after_hours(root: Path) -> None:
    (root / "a.csv").write_text("id\n1\n")
    clock = Clock()
    source = FilesSource("f", root, stable_seconds=0, clock=clock, reread_hours=24)
    never = FilesSource("f", root, stable_seconds=0, clock=clock, reread_hours=0)
    table = source.inventory()[0].name
    never.inventory()
    before = source.token(table), never.token(table)
    clock.now += 24 * 3_600
    assert (source.token(table) == before[0], never.token(table) == before[1]) == (False, True)


# rights


def test_a_folder_that_is_closed_keeps_its_files_and_stops_no_other(root: Path) -> None:
    for name in ("closed/below/a", "closed/b", "listed/c", "open/d"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1")
    every = ["closed/b", "closed/below/a", "listed/c", "open/d"]
    with unprivileged(root):
        folder = watched(root, limit=NO_LIMIT)
        assert names(folder.scan()) == every
        (root / "closed").chmod(0)
        (root / "listed").chmod(0o400)
        (root / "open" / "e").write_text("1")
        assert names(folder.scan()) == [*every, "open/e"]
        assert sorted(alarms(folder)) == [("GC-2142", "closed/"), ("GC-2142", "listed/")]
        assert {alarm.facts["reason"] for alarm in folder.alarms} == {"no permission"}
        assert folder.is_complete
        assert [folder.is_hidden(name) for name in ("closed/new", "listed/c", "open/d")] == [
            True,
            True,
            False,
        ]
        kept = folder.look("closed/b")
        assert kept is not None
        later = watched(root, folder.identity, limit=NO_LIMIT)
        assert (names(later.scan()), later.is_hidden("closed/below/a")) == (["open/d", "open/e"], True)
        assert (later.is_complete, later.scan() and later.is_complete) == (False, False)
        for name in ("closed", "listed"):
            (root / name).chmod(0o700)
        (root / "closed" / "b").unlink()
        for one in (folder, later):
            assert names(one.scan()) == ["closed/below/a", "listed/c", "open/d", "open/e"]
            assert (one.alarms, one.is_complete) == ([], True)


def test_a_file_that_cannot_be_looked_at_is_an_alarm_of_its_own(root: Path) -> None:
    (root / "away").mkdir()
    (root / "away" / "a").write_text("1")
    (root / "share").mkdir()
    (root / "share" / "b").write_text("1")
    os.symlink("../away/a", root / "share" / "link")
    with unprivileged(root):
        folder = watched(root / "share")
        assert names(folder.scan()) == ["b", "link"]
        (root / "away").chmod(0)
        assert (names(folder.scan()), alarms(folder)) == (["b", "link"], [("GC-2142", "link")])
        (root / "share" / "b").chmod(0)
        assert names(folder.scan()) == ["b", "link"], "to find a file takes no right to read it"
        (root / "away").chmod(0o700)
        (root / "share").chmod(0o400)
        assert code(folder) == "GC-2001"


# what else is told

MOUNTS = [
    "22 1 8:1 / / rw - ext4 /dev/sda1 rw",
    r"30 22 0:50 / /data/HIS\040export rw,relatime shared:7 master:1 - cifs //pacs/export rw",
    "31 22 0:51 / /data rw - nfs4 server:/data rw",
    "32 22 0:52 /@ /home rw - btrfs /dev/sdb rw",
    "broken",
]


@pytest.mark.parametrize(
    ("path", "device", "kind"),
    [
        ("/data/HIS export/x", "0:50", "cifs"),
        ("/somewhere", "0:51", "nfs4"),
        ("/home/volume", "0:99", "btrfs"),
        ("/data/HIS export", "0:99", "cifs"),
        ("/data/HIS exports", "0:99", "nfs4"),
        ("/database", "0:99", "ext4"),
    ],
)
def test_the_type_of_a_mount(path: str, device: str, kind: str) -> None:
    assert mounted_type(MOUNTS, path, device) == kind


@pytest.mark.parametrize(
    ("count", "said"), [(0, 0), (256, 256), (257, 260), (1_249, 1_200), (99_999, 100_000)]
)
def test_counts_are_remembered_roughly(count: int, said: int) -> None:
    assert rounded(count) == said


def test_each_file_is_read_again_once_in_so_many_hours_and_not_all_at_once() -> None:
    clock = Clock(0)
    rereading = Rereading(24, clock)
    first = {name: rereading.turn(name) for name in map(str, range(100))}
    clock.now = 12 * 3_600
    half = sum(rereading.turn(name) != turn for name, turn in first.items())
    clock.now = 24 * 3_600
    assert all(rereading.turn(name) == turn + 1 for name, turn in first.items())
    assert 20 < half < 80
    assert Rereading(0, clock).turn("a") == 0


def test_a_pipe_in_the_place_of_a_file_makes_nobody_wait(root: Path) -> None:
    (root / "a.csv").write_text("id\n1\n")
    source = FilesSource("f", root, stable_seconds=0)
    schema = source.describe(source.inventory()[0].name)
    found = watched(root).scan()
    (root / "a.csv").unlink()
    os.mkfifo(root / "a.csv")
    with open_shared(found[0].path) as stream:
        assert stream.read(1) == b""
    with pytest.raises(Fault) as caught:
        list(source.whole(schema))
    assert caught.value.code == "GC-2009"
