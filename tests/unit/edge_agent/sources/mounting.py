"""Run in a view of the file systems of its own, as its root: what a folder says while things are mounted below it, and
while it is a mount itself. Prints it as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_agent.sources.folder import Folder
from protocol.errors import Fault
from tests.unit.edge_agent.sources.watching import alarms, names, watched


def mount(at: Path, files: Sequence[str]) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", str(at)], check=True)
    for name in files:
        (at / name).touch()


def unmount(at: Path) -> None:
    subprocess.run(["umount", str(at)], check=True)


def seen(folder: Folder) -> object:
    try:
        found = names(folder.scan())
    except Fault as fault:
        return fault.code
    return [found, alarms(folder)]


def below(root: Path, blocker: Path) -> dict[str, object]:
    """`blocker`: while something is mounted there, what is mounted elsewhere gets another number."""
    scans = root / "scans"
    scans.mkdir(parents=True)
    (root / "a").touch()
    (scans / "left behind").touch()
    mount(scans, ["1", "2"])
    folder = watched(root)
    said: dict[str, object] = {"first": seen(folder)}
    unmount(scans)
    said["unmounted"] = seen(folder)
    said["and hidden"] = [folder.is_hidden("scans/left behind"), folder.is_hidden("a")]
    said["after a restart"] = seen(watched(root, folder.identity))
    mount(blocker, [])
    mount(scans, ["1", "2"])
    said["mounted anew"] = seen(folder)
    unmount(scans)
    unmount(blocker)
    mount(scans, ["3", "4"])
    said["another one"] = seen(folder)
    unmount(scans)
    mount(blocker, [])
    mount(scans, [])
    said["emptied"] = seen(folder)
    unmount(scans)
    unmount(blocker)
    (scans / "left behind").unlink()
    scans.rmdir()
    said["removed"] = seen(folder)
    folder.accept()
    said["accepted"] = seen(folder)
    return said


def itself(root: Path, blocker: Path) -> dict[str, object]:
    root.mkdir()
    mount(root, ["1", "2"])
    folder = watched(root)
    said = {"a share": seen(folder)}
    unmount(root)
    said["a share, unmounted"] = seen(folder)
    mount(blocker, [])
    mount(root, ["1", "2"])
    said["a share, after a restart"] = seen(watched(root, folder.identity))
    said["a share, mounted anew"] = seen(folder)
    unmount(root)
    unmount(blocker)
    mount(root, ["3", "4"])
    said["a share, another one"] = seen(folder)
    return said


def much(root: Path) -> object:
    many = root / "many"
    many.mkdir(parents=True)
    mount(many, [str(i) for i in range(99)])
    (root / "a").touch()
    folder = watched(root)
    folder.scan()
    for i in range(40):
        (many / str(i)).unlink()
    return [len(folder.scan()), alarms(folder)]


def bound(root: Path) -> object:
    """A folder that is mounted below itself."""
    (root / "x" / "loop").mkdir(parents=True)
    (root / "x" / "a").touch()
    subprocess.run(["mount", "--bind", str(root / "x"), str(root / "x" / "loop")], check=True)
    return seen(watched(root))


def main(base: Path) -> None:
    blocker = base / "blocker"
    blocker.mkdir()
    said = below(base / "below", blocker) | itself(base / "itself", blocker)
    print(json.dumps({**said, "much of a part": much(base / "much"), "bound": bound(base / "bound")}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
