"""A tree of files of every kind, all of kind `auto`: copied by rsync while it is watched, its mount away and back, then
edited, renamed and partly deleted by people; agent and centre are killed with SIGKILL all the while.

At the end the lake is the tree: each table per row, each record per path with its bytes, nothing of what is gone, and
whatever is refused is listed with its reason. `GUICANG_FILES=all` copies every file of the shared datasets.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from demo.stage import SITE, wait_for
from edge_agent import control
from edge_agent.identity import StateDir
from tests import datafiles
from tests.compare import compare
from tests.comparing import catalogue
from tests.comparing.changes import read
from tests.comparing.report import TableReport
from tests.crash.filetree import RULE, FileTree
from tests.crash.region import Region
from tests.servers import SHARED, require_dataset, require_server

SEED = int(os.environ.get("GUICANG_SEED", "20261128"))
COPY_SECONDS = 3.0 if not datafiles.ALL else 20.0
"""How long rsync takes for each half of the tree, at least."""
EDITS, GONE_MAX = 18 if not datafiles.ALL else 120, 14
"""No more vanish than may do so at once (`vanish_files_min`), whenever the next scan is."""
KILL_SECONDS = (0.4, 4.0)
QUIET_MICROSECONDS = 1_500_000
SETTLE_SECONDS = 120.0 if not datafiles.ALL else 600.0
ANSWERING = f"{sys.executable} -m tests.comparing.answering --config {{config}}"
OMOP = SHARED / "eunomia-synthea27nj" / "Synthea27Nj_5.4.zip"

SETTINGS = (
    "scan_interval_seconds = 0.5",
    "duty_share_max = 0.8",
    "stable_seconds = 0.5",
)
RULES = f"""
[[sources.share.rules]]
glob = {json.dumps(RULE.glob)}
kind = {json.dumps(RULE.kind)}
encoding = {json.dumps(RULE.encoding)}
"""


class Share(Region):
    """A hospital with one shared folder."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        super().__init__(root)
        self.folder = root / "share"
        self.folder.mkdir()
        self._rng = rng
        self._deaths = 0
        self._kill_at = 0.0
        self.stage.found_centre()
        self.stage.start_centre()
        self.stage.join_share(self.folder, SETTINGS, RULES)
        self.stage.start_agent()

    @property
    def state(self) -> StateDir:
        """The agent's."""
        return StateDir(self.stage.root / "edge")

    def live(self, seconds: float) -> None:
        """Kill at random for so long; every fourth death is the centre's."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._maybe_kill()
            time.sleep(0.02)

    def _maybe_kill(self) -> None:
        if time.monotonic() < self._kill_at:
            return
        if self._kill_at:
            self._deaths += 1
            self.kill("agent" if self._deaths % 4 else "centre")
        self._kill_at = time.monotonic() + self._rng.uniform(*KILL_SECONDS)

    # waiting

    def until_said(self, code: str | None) -> None:
        """Until the agent that runs now says this of the source as a whole."""
        since = _now()
        wait_for(lambda: self._says(code, since), SETTLE_SECONDS, f"the source did not come to {code}")

    def _says(self, code: str | None, since: int) -> bool:
        self.stage.check_alive()
        status = self.stage.agent_status()
        if not status or status["time"] < since:
            return False
        fault = status["sources"][0]["fault"]
        return (fault["code"] if fault else None) == code

    def settle_all(self) -> None:
        """Until all that was sent has landed, and nothing more comes."""
        while self._landed(_now()) != self._landed(_now() + QUIET_MICROSECONDS):
            pass

    def _landed(self, since: int) -> set[int]:
        """What the agent has sent, once a status of after `since` says that all of it has landed."""
        found: set[int] = set()

        def landed() -> bool:
            self.stage.check_alive()
            agent, centre = self.stage.agent_status(), self.stage.centre_status()
            if not agent or not centre or min(agent["time"], centre["time"]) < since:
                return False
            sent = {s["source"]: s["head_seq"] for s in agent["sources"]}
            got = {s["source"]: s["seq"] for s in centre["streams"]}
            waiting = centre["journal"]["not_landed_bytes"] or centre["landing"]["pending_rows"]
            found.update(sent.values())
            return sent == got and not waiting and not agent["sources"][0]["backlog_bytes"]

        wait_for(landed, SETTLE_SECONDS, "what was sent did not land")
        return found

    # comparing

    def check(self) -> None:
        """The lake is the tree."""
        end = time.monotonic() + SETTLE_SECONDS
        found: list[Any] = ["not looked at"]
        while found:
            assert time.monotonic() < end, f"seed {SEED}: lake and tree differ: {found[:10]}"
            self._confirm()
            self.settle_all()
            found = self._differences()

    def _differences(self) -> list[Any]:
        tree = FileTree(self.folder, self.state.book_path("share"))
        report = compare(
            {"share": tree},
            self.stage.data_dir,
            allow_gone=True,
            query_command=ANSWERING.format(config=self.stage.centre_config) if datafiles.ALL else None,
        )
        gone = [one for one in report.tables if one.gone and not tree.is_refused(one.table)]
        wrong: list[Any] = [one for one in report.tables if not (one.equal or self._is_excused(one, tree))]
        wrong += [f"{one.table} is gone and has {one.rows_lake} rows" for one in gone if one.rows_lake]
        return wrong + report.problems + self._files(tree)

    @staticmethod
    def _is_excused(one: TableReport, tree: FileTree) -> bool:
        """A file that went bad before it was ever read to its end."""
        return tree.is_refused(one.table) and one.problems == ["no snapshot of it has ended"]

    def _files(self, tree: FileTree) -> list[str]:
        """Every file is a table or bytes, and both where it is refused, with a reason."""
        bytes_of = tree.check_records(self.stage.data_dir / "files" / SITE)
        tables = {name for _, _, name in tree.tables()}
        listed = {
            one["file"]: one["problem"] for one in json.loads(self.stage.agent("files", "share", "--json"))
        }
        found = []
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file():
                is_table = any(one == name or one.startswith(f"{name}#") for one in tables)
                if not (is_table or name in bytes_of):
                    found.append(f"{name} is nowhere")
                if name in tree.refused and not (name in bytes_of and listed.get(name)):
                    found.append(f"{name} is refused and not listed")
        return found

    def _confirm(self) -> None:
        """That files which were tables are gone: as `edge-agent confirm` leaves it."""
        for table in catalogue.read(self.stage.data_dir).tables:
            file, _, _ = table.name[2].partition("#")
            if not table.key and not (self.folder / file).exists():
                control.leave(self.state.requests_dir, control.Request("confirm", "share", table.name[2]))

    def deletions(self) -> int:
        """How many rows and tables were ever taken away."""
        count = 0
        for table in catalogue.read(self.stage.data_dir).tables:
            rows = read(self.stage.data_dir / "lake" / table.path)
            count += pc.sum(pc.equal(rows.column("_gc_op"), "d")).as_py() or 0
            count += sum('"drop"' in (mark or "") for mark in rows.column("_gc_mark").to_pylist())
        return count


def _now() -> int:
    return time.time_ns() // 1_000


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    require_server("mosquitto")
    require_server("rsync")
    one = Share(tmp_path, random.Random(SEED))
    try:
        yield one
    finally:
        one.close()


def copied(files: list[Path], folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """rsync at work, as slowly as the time of the test allows."""
    bytes_per_second = sum(path.stat().st_size for path in files) / COPY_SECONDS
    names = "\n".join(path.relative_to(SHARED).as_posix() for path in files)
    command = [require_server("rsync"), "-t", "--chmod=Du+rwx,Fu+rw", *options, "--files-from=-"]
    command += [f"--bwlimit={max(1, round(bytes_per_second / 1_024))}", f"{SHARED}/", f"{folder}/"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(names.encode())
    process.stdin.close()
    return process


class People:
    """Who work with the files of a folder."""

    def __init__(self, folder: Path, others: list[Path], rng: random.Random) -> None:
        self._folder = folder
        self._others = others
        self._rng = rng
        self._gone = 0

    def change(self) -> None:
        path = self._rng.choice(sorted(path for path in self._folder.rglob("*") if path.is_file()))
        doings = [self._edit, self._grow, self._append, self._swap, self._replace, self._add]
        doings += [self._rename, self._delete] if self._gone < GONE_MAX else []
        self._rng.choice(doings)(path)

    def _edit(self, path: Path) -> None:
        path.write_bytes(path.read_bytes()[::-1])

    def _grow(self, path: Path) -> None:
        path.write_bytes(path.read_bytes() * 2)

    def _append(self, path: Path) -> None:
        """To the next table of lines what it begins with, in two goes."""
        path = self._rng.choice(sorted(self._folder.rglob("*.csv")) or [path])
        lines = path.read_bytes().splitlines(keepends=True)[1:]
        for _ in range(2):
            with path.open("ab") as file:
                file.writelines(self._rng.sample(lines, min(3, len(lines))))
            time.sleep(self._rng.random() / 4)

    def _swap(self, path: Path) -> None:
        """Same size, same time."""
        before = path.stat()
        data = bytearray(path.read_bytes())
        data[-2:-1] = data[-2:-1] and bytes([data[-2] ^ 1])
        with path.open("r+b") as file:
            file.write(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def _replace(self, path: Path) -> None:
        """By another one of its kind, written beside it and renamed."""
        same = [one for one in self._others if one.suffix.lower() == path.suffix.lower()] or self._others
        beside = path.with_name(f".{path.name}.new")
        shutil.copyfile(self._rng.choice(same), beside)
        beside.rename(path)

    def _add(self, path: Path) -> None:
        shutil.copyfile(self._rng.choice(self._others), path.with_name(f"new {path.name}"))

    def _rename(self, path: Path) -> None:
        path.rename(path.with_name(f"renamed {path.name}"))
        self._gone += 1

    def _delete(self, path: Path) -> None:
        path.unlink()
        self._gone += 1


def test_the_lake_is_the_tree_after_rsync_people_and_a_lost_mount_while_everything_is_killed(
    share: Share, tmp_path: Path
) -> None:
    rng = random.Random(SEED + 1)
    files = datafiles.representative(rng)
    rng.shuffle(files)
    with zipfile.ZipFile(require_dataset(OMOP)) as archive:
        archive.extract("PERSON.csv", share.folder / "exports")
    for half, options in ((files[::2], ()), (files[1::2], ("--inplace",))):
        rsync = copied(half, share.folder, *options)
        while rsync.poll() is None:
            share.live(0.1)
        assert rsync.returncode == 0
    share.settle_all()

    before = share.deletions()
    share.folder.rename(tmp_path / "away")
    share.until_said("GC-2009")
    share.kill("agent")
    share.until_said("GC-2009")
    (tmp_path / "away").rename(share.folder)
    share.until_said(None)
    share.settle_all()
    assert share.deletions() == before, "an outage, no deletion"

    people = People(share.folder, datafiles.representative(rng), rng)
    for _ in range(EDITS):
        people.change()
        share.live(rng.random() * 0.3)
    share.check()
