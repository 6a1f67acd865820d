"""Processes as the kernel sees them: started on chosen cores, their CPU seconds and peak memory read from /proc."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since a process began (its ended children with it), and the most memory it ever held."""

    cpu_seconds: float
    peak_bytes: int

    def since(self, earlier: Usage) -> Usage:
        return Usage(self.cpu_seconds - earlier.cpu_seconds, self.peak_bytes)


def usage_of(pid: int) -> Usage:
    """Raises ProcessLookupError once it has ended."""
    return Usage(_cpu_seconds(pid), _status_kib(pid, "VmHWM") * 1024)


def _cpu_seconds(pid: int) -> float:
    """Also of one that has ended, until its parent has taken note."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS  # utime, stime, cutime, cstime


def cpu_of_server(pid: int) -> Usage:
    """The CPU of a process and of those that it started, ended ones too. What a server's processes hold they share, so
    their peaks say nothing: 0."""
    while True:
        children = _children(pid)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one counts with its parent by now
            found = [_cpu_seconds(one) for one in (*children, pid)]
            if _children(pid) == children:
                return Usage(sum(found), 0)


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ran to its end."""

    code: int
    seconds: float
    usage: Usage


def run_to_end(command: Sequence[str], output: BinaryIO | int, environment: Mapping[str, str]) -> Ended:
    """`output` takes what it says on both of its streams."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    peak = 0
    while True:
        with contextlib.suppress(OSError):
            peak = max(peak, usage_of(process.pid).peak_bytes)
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu = used.ru_utime + used.ru_stime
            return Ended(process.returncode, time.monotonic() - began, Usage(cpu, peak))
        time.sleep(_POLL_SECONDS)


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
