"""What differs between operating systems, and nothing else.

fcntl, pwd, fork, Unix sockets and signal handlers stand here or nowhere. Linux is tested; Windows is kept
possible.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

WINDOWS = sys.platform == "win32"


def sync_directory(path: Path) -> None:
    """Make names created in a directory survive a power cut. Windows has no such call, nor needs it on NTFS."""
    if WINDOWS:
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(path: Path, data: bytes, *, private: bool = False, durable: bool = True) -> None:
    """Replace a file as a whole. `private` files are readable by their owner only from their first byte on."""
    temporary = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    fd = os.open(temporary, flags, 0o600 if private else 0o644)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)
    if durable:
        sync_directory(path.parent)


def return_memory() -> None:
    """Give what was freed back to the system: the front-end machine has others to serve. glibc keeps it otherwise."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def is_private(path: Path) -> bool:
    """Whether only the owner can read it. On Windows rights are the folder's: taken as given."""
    return WINDOWS or not path.stat().st_mode & 0o077


def config_path() -> Path:
    if WINDOWS:
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "guicang" / "agent.toml"
    return Path("/etc/guicang/agent.toml")


def state_dir() -> Path:
    if WINDOWS:
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "guicang" / "state"
    return Path("/var/lib/guicang")


def run(main: Callable[[asyncio.Event], object]) -> None:
    """Run the coroutine that `main` makes from a stop event; SIGTERM and Ctrl-C set the event. On Windows the
    selector loop is used: aiomqtt cannot run on the proactor (aiomqtt#332)."""

    import asyncio  # here, so that `status` need not load it

    async def body() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            if WINDOWS:
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
            else:
                loop.add_signal_handler(number, stop.set)
        await main(stop)  # type: ignore[misc]

    factory = asyncio.SelectorEventLoop if WINDOWS else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(body())
