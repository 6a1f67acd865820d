"""What the tests of a watched folder share: a folder under test, and an account to which rights mean something."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.sources.folder import Folder, FoundFile, VanishLimit
from protocol.errors import Fault

NOBODY = 65_534
NO_LIMIT = VanishLimit(share_max=1.0)


class Clock:
    """Seconds since 1970, after all that happens in a test."""

    def __init__(self, now: float = 4e9) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def watched(
    root: Path,
    identity: str | None = None,
    *,
    stable_seconds: float = 0.0,
    clock: Clock | None = None,
    limit: VanishLimit | None = None,
) -> Folder:
    """All files count."""
    return Folder("f", root, lambda _: True, stable_seconds, identity, clock or Clock(), limit)


def names(files: list[FoundFile]) -> list[str]:
    return [file.name for file in files]


def code(folder: Folder) -> str:
    """Of the fault that a scan raises."""
    with pytest.raises(Fault) as caught:
        folder.scan()
    return caught.value.code


def alarms(folder: Folder) -> list[tuple[str, object]]:
    return [(alarm.code, alarm.facts["folder"]) for alarm in folder.alarms]


@contextmanager
def plain_folder() -> Iterator[Path]:
    """Not pytest's own place: there nobody but its owner may go, and it cannot remove what lies a thousand deep."""
    root = Path(tempfile.mkdtemp(prefix="guicang-watched-"))
    try:
        yield root
    finally:
        if subprocess.run(["rm", "-rf", str(root)], check=False, capture_output=True).returncode:
            subprocess.run(["chmod", "-R", "u+rwX", str(root)], check=True)
            subprocess.run(["rm", "-rf", str(root)], check=True)


@contextmanager
def unprivileged(root: Path) -> Iterator[None]:
    """Root may read all."""
    if os.geteuid() != 0:
        yield
        return
    for path in [root, *root.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
