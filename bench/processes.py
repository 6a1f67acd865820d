"""Processes as the kernel sees them: started on chosen cores, their CPU seconds and peak memory read from /proc."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since a process began (its ended children with it), and the most memory it ever held."""

    cpu_seconds: float
    peak_bytes: int

    def since(self, earlier: Usage) -> Usage:
        return Usage(self.cpu_seconds - earlier.cpu_seconds, self.peak_bytes)


def usage_of(pid: int) -> Usage:
    """Raises ProcessLookupError once it has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return Usage(ticks / _TICKS, _status_kib(pid, "VmHWM") * 1024)


def resident_bytes(pid: int) -> int:
    """What it holds now."""
    return _status_kib(pid, "VmRSS") * 1024


def _status_kib(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def pinned(command: list[str], cores: set[int] | None) -> list[str]:
    """The command as it runs on these cores only; None: wherever the kernel likes."""
    if cores is None:
        return command
    taskset = shutil.which("taskset")
    assert taskset is not None, "taskset (util-linux) pins processes to cores"
    return [taskset, "-c", ",".join(map(str, sorted(cores))), *command]


def cores() -> list[int]:
    """Those that we may use."""
    return sorted(os.sched_getaffinity(0))
