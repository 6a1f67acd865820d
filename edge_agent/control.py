"""Control: how a person at the command line asks the running agent for something.

A request is a small JSON file in the state directory; the agent takes it, does it and removes it. Whoever may
write there may ask. (The centre asks by signed commands, which `[remote] allow` bounds.)
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from . import platform

ACTIONS = ("snapshot", "confirm")


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
    """The requests that wait, oldest first, each removed as it is given. What is no request is removed too."""
    if not directory.is_dir():
        return
    for path in sorted(directory.glob("*.json"), key=lambda p: p.stat().st_mtime_ns):
        try:
            request = Request(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            request = None
        path.unlink(missing_ok=True)
        if request is not None and request.action in ACTIONS:
            yield request
