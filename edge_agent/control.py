"""Control: how a person at the command line asks the running agent for something.

A request is a small JSON file in the state directory; the agent takes it, writes it down among its orders and
only then removes it. Whoever may write there may ask. (The centre asks by signed commands, which
`[remote] allow` bounds.)
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from . import platform

ACTIONS = ("snapshot", "confirm", "pause", "resume")


@dataclass(frozen=True, slots=True)
class Request:
    """`table` is a table's name as `status` prints it; None means every table of the source."""

    action: str
    source: str
    table: str | None


def leave(directory: Path, request: Request) -> None:
    """Put a request where the agent finds it."""
    directory.mkdir(parents=True, exist_ok=True)
    data = json.dumps(asdict(request), ensure_ascii=False).encode()
    platform.write_atomically(directory / f"{secrets.token_hex(8)}.json", data)


def take(directory: Path) -> Iterator[Request]:
    """The requests that wait, oldest first, each removed once the caller comes for the next one: by then it must
    be durable. What is no request is removed too."""
    directory.mkdir(parents=True, exist_ok=True)  # ours, before a person at the command line makes it his
    for path in sorted(directory.glob("*.json"), key=_age):
        request = _read(path)
        if request is not None:
            yield request
        with suppress(OSError):
            path.unlink()


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path) -> Request | None:
    try:
        match json.loads(path.read_text("utf-8")):
            case {"action": str() as action, "source": str() as source, "table": None | str() as table}:
                return Request(action, source, table) if action in ACTIONS else None
    except (OSError, ValueError, RecursionError):
        pass
    return None
