"""Whatever is done to a folder, a scan says what is there: against a plain model of it, over a real one."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from edge_agent.sources.folder import FileState, Folder, VanishLimit
from tests.unit.edge_agent.sources.watching import code, names, plain_folder, watched

LIMIT = VanishLimit(share_max=0.4, files_min=2)
PATHS = st.lists(
    st.sampled_from(["a", "A", "\\xff", "é", "e\u0301", ".h", "x.tmp"]), min_size=1, max_size=3
).map("/".join)
CONTENT = st.binary(max_size=2)


@dataclass(frozen=True)
class Content:
    """`moment`: when it was written, another one each time."""

    data: bytes
    moment: int


class FolderMachine(RuleBasedStateMachine):
    """`files`: what is there, by path. `counted`: what the last scan that was believed gave."""

    @initialize(paths=st.sets(PATHS, min_size=4, max_size=12))
    def begin(self, paths: set[str]) -> None:
        self._held = plain_folder()
        self.root = self._held.__enter__() / "share"
        self.root.mkdir()
        self.files: dict[str, Content] = {}
        self.counted: dict[str, Content] = {}
        self.seen: dict[str, tuple[Content, FileState]] = {}
        self.moment = 0
        self.folder: Folder = watched(self.root, limit=LIMIT)
        self.is_recalled = False
        for path in sorted(paths):
            self.write(path, b"1")
        self.look()

    def teardown(self) -> None:
        self.look()
        self._held.__exit__(None, None, None)

    # what hospitals do

    @rule(path=PATHS, data=CONTENT)
    def write(self, path: str, data: bytes) -> None:
        """In place, or as a new file; whatever is in the way goes."""
        self._make_way(path)
        at = self.root / path
        at.write_bytes(data)
        self._date(at)
        self.files[path] = Content(data, self.moment)

    @rule(path=PATHS, data=CONTENT)
    def replace(self, path: str, data: bytes) -> None:
        """Written beside it and renamed."""
        self._make_way(path)
        beside = self.root.parent / "new"
        beside.write_bytes(data)
        self._date(beside)
        os.replace(beside, self.root / path)
        self.files[path] = Content(data, self.moment)

    @rule(choice=st.randoms())
    def delete(self, choice: object) -> None:
        if path := self._any(choice):
            (self.root / path).unlink()
            del self.files[path]

    @rule(choice=st.randoms(), to=PATHS)
    def move(self, choice: object, to: str) -> None:
        path = self._any(choice)
        if path is None or path == to or to.startswith(path + "/"):
            return
        content = self.files[path]
        self._make_way(to)
        if path not in self.files:  # it was in the way
            return
        os.replace(self.root / path, self.root / to)
        del self.files[path]
        self.files[to] = content

    @rule(name=st.sampled_from(["a", "A", "é"]))
    def remove_folder(self, name: str) -> None:
        if (self.root / name).is_dir():
            shutil.rmtree(self.root / name)
        self.files = {path: one for path, one in self.files.items() if not path.startswith(name + "/")}

    @rule(name=st.sampled_from(["a", "A", "é"]), to=st.sampled_from(["b", "a", "é"]))
    def move_folder(self, name: str, to: str) -> None:
        if (self.root / name).is_dir() and not (self.root / to).exists():
            os.rename(self.root / name, self.root / to)
            length = len(name) + 1
            below = [path for path in self.files if path.startswith(name + "/")]
            self.files |= {f"{to}/{path[length:]}": self.files.pop(path) for path in below}

    @rule(name=st.sampled_from(["circle", "dangling", "pipe"]))
    def leave_what_is_no_file(self, name: str) -> None:
        at = self.root / name
        if os.path.lexists(at):
            at.unlink()
        elif name == "pipe":
            os.mkfifo(at)
        else:
            os.symlink("." if name == "circle" else "nowhere", at)

    # what the agent and people do

    @rule()
    def restart(self) -> None:
        self.folder = watched(self.root, self.folder.identity, limit=LIMIT)
        self.is_recalled = bool(self.counted)

    @rule()
    def confirm(self) -> None:
        self.folder.accept()
        self.counted = {}
        self.look()

    @rule()
    def look(self) -> None:
        expected = {_spelt(path): one for path, one in self.files.items() if _counts(path)}
        fault = self._expected_fault(expected)
        if fault is not None:
            assert code(self.folder) == fault
            return
        found = self.folder.scan()
        assert names(found) == sorted(expected)
        for file in found:
            assert file.state == FileState.of(file.path.stat())
            assert file.path.read_bytes() == expected[file.name].data
            content, state = self.seen.get(file.name, (expected[file.name], file.state))
            assert (content == expected[file.name]) or (state != file.state), "touched, and looks as before"
            assert self.folder.look(file.name) == file
        self.counted, self.is_recalled = expected, False
        self.seen = {file.name: (expected[file.name], file.state) for file in found}

    def _expected_fault(self, now: dict[str, Content]) -> str | None:
        if self.counted and not now:
            return "GC-2009"
        new = set() if self.is_recalled else {one for name, one in now.items() if name not in self.counted}
        gone = sum(name not in now and one not in new for name, one in self.counted.items())
        return "GC-2141" if gone > max(2, 0.4 * len(self.counted)) else None

    # how

    def _any(self, choice: object) -> str | None:
        return choice.choice(sorted(self.files)) if self.files else None  # type: ignore[attr-defined]

    def _make_way(self, path: str) -> None:
        """Folders where it needs them, nothing where it will be."""
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if not (self.root / above).is_dir():
                (self.root / above).unlink(missing_ok=True)
                self.files.pop(above, None)
                (self.root / above).mkdir()
        if (self.root / path).is_dir():
            shutil.rmtree(self.root / path)
            self.files = {
                one: content for one, content in self.files.items() if not one.startswith(path + "/")
            }

    def _date(self, at: Path) -> None:
        """Clocks of file systems are too coarse to tell two writes of a test apart."""
        self.moment += 1
        os.utime(at, ns=(self.moment * 1_000_000_000, self.moment * 1_000_000_000))


def _counts(path: str) -> bool:
    parts = path.split("/")
    return ".h" not in parts and parts[-1] != "x.tmp"


def _spelt(path: str) -> str:
    return path.replace("\\xff", "\\x5cxff")


TestFolder = FolderMachine.TestCase
TestFolder.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
