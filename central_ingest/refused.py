"""Refused bytes: a few samples of what was not authentic, kept with their reason (promise 6), and bounded.

Each agent on the roster has a folder of SAMPLES_MAX files, everybody else shares one, so that nobody can fill the
disk. A sample is one line of JSON and the first bytes as they came. Once a folder is full the oldest makes way,
no more than once a minute: who sends garbage does not decide how much is written.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger("central.refused")

SAMPLES_MAX = 8
SAMPLE_BYTES_MAX = 64 << 10
FOLDERS_MAX = 256
"""With SAMPLES_MAX of SAMPLE_BYTES_MAX: at most 128 MiB."""
AGAIN_MICROS = 60_000_000
STRANGERS = "unknown"


@dataclass(frozen=True, slots=True)
class Sample:
    """`bytes`: how many came. `agent`: whose topic it came on, or STRANGERS."""

    agent: str
    code: str
    reason: str
    time: int
    bytes: int


class Refused:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._replaced: dict[str, int] = {}

    def keep(self, agent: str | None, code: str, reason: str, payload: bytes, now: int) -> None:
        """Keep a sample, or not, where there are enough. `agent` is None for whoever is not on the roster. What
        cannot be written is not kept: nothing else may suffer from it."""
        folder = self._root / (agent or STRANGERS)
        try:
            if (
                not folder.exists()
                and agent
                and self._root.exists()
                and len(list(self._root.iterdir())) >= FOLDERS_MAX
            ):
                folder = self._root / STRANGERS
            files = sorted(folder.glob("*.sample")) if folder.exists() else []
            if len(files) >= SAMPLES_MAX:
                if now - self._replaced.get(folder.name, 0) < AGAIN_MICROS:
                    return
                self._replaced[folder.name] = now
                for old in files[: len(files) - SAMPLES_MAX + 1]:
                    old.unlink()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            head = json.dumps(asdict(Sample(agent or STRANGERS, code, reason, now, len(payload)))).encode()
            path = folder / f"{now:020d}-{len(files):02d}.sample"
            path.touch(mode=0o600)
            path.write_bytes(head + b"\n" + payload[:SAMPLE_BYTES_MAX])
        except OSError as e:
            log.warning("a refused message was not kept: %s", type(e).__name__)


def samples(root: Path) -> Iterator[tuple[Path, Sample]]:
    """What was kept, by agent and age."""
    for path in sorted(root.glob("*/*.sample")):
        try:
            head, _, _ = path.read_bytes().partition(b"\n")
            yield path, Sample(**json.loads(head))
        except (OSError, ValueError, TypeError):
            continue
